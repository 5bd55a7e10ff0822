"""What the guardian may be told, as values. Sans-IO; standard library only.

Whatever comes over the socket, nodes depend on the guardian's going on: what is no order is refused, in words that go
back to whoever sent it, and nothing of it reaches the loop. That holds for numbers too. A time-out of a month is a fine
one, and more than `poll` takes at a time.
"""

import json
import math
import signal
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class RefusedOrder(Exception):  # noqa: N818  # no error of Lucy's: an answer
    """It is none, or not whole.

    Attributes:
        number: which order it was, as far as that could be read.
        descriptors: how many came with it.
    """

    def __init__(self, number: int | None, reason: str, *, descriptors: int = 0) -> None:
        self.number = number
        self.descriptors = descriptors
        super().__init__(reason)


class RemoveAtEnd(NamedTuple):
    """Remove a FIFO at the guardian's own end."""

    number: int
    fifo: str


class Spawn(NamedTuple):
    """Start a node's leader."""

    number: int
    name: str
    argv: list[str]
    environment: dict[str, str]
    directory: str
    fifo: str


class Signal(NamedTuple):
    """Signal a leader and all that came from it; let it go on after `lasting` seconds where that is to freeze it."""

    number: int
    pid: int
    signal: int
    lasting: float


class End(NamedTuple):
    """Take note that all nodes are about to be ended."""

    number: int


class Execute(NamedTuple):
    """Run a command in the place of a node, with the three descriptors that come with the order; answer at its end."""

    number: int
    argv: list[str]
    environment: dict[str, str]
    directory: str
    timeout: float


class Cancel(NamedTuple):
    """Kill a command, by the number of the order to run it; that one is answered all the same."""

    number: int
    order: int


Order = RemoveAtEnd | Spawn | Signal | End | Execute | Cancel


def understand(line: bytes) -> Order:
    """Read one order.

    Raises:
        RefusedOrder: it is none.
    """
    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RefusedOrder(None, f"this is no JSON: {line[:80]!r} ({error})") from error
    number = told.get("id") if isinstance(told, dict) else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise RefusedOrder(None, f"this is no order, for it has no number: {line[:80]!r}")
    try:
        return _order(number, told)
    except (TypeError, ValueError) as error:
        raise RefusedOrder(number, str(error), descriptors=3 if told.get("op") == "exec" else 0) from error


def _order(number: int, told: Mapping[str, Any]) -> Order:
    def given(name: str, read: Callable[[Any], T]) -> T:
        if name not in told:
            message = f"{told['op']!r} needs {name!r}"
            raise ValueError(message)
        try:
            return read(told[name])
        except (TypeError, ValueError) as error:
            message = f"{told['op']!r} takes no {name}={told[name]!r:.80}: {error}"
            raise ValueError(message) from error

    match told.get("op"):
        case "fifo":
            return RemoveAtEnd(number, given("fifo", _text))
        case "spawn":
            environment = given("environment", _environment)
            place = (given("cwd", _text), given("fifo", _text))
            return Spawn(number, given("name", _text), given("argv", _words), environment, *place)
        case "signal":
            lasting = given("lasting", _seconds) if "lasting" in told else math.inf
            return Signal(number, given("pid", _whole), given("signal", _signal), lasting)
        case "end":
            return End(number)
        case "exec":
            environment, directory = given("environment", _environment), given("cwd", _text)
            return Execute(number, given("argv", _words), environment, directory, given("timeout", _seconds))
        case "cancel":
            return Cancel(number, given("order", _whole))
        case other:
            message = f"no command is called {other!r:.80}"
            raise ValueError(message)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("it is no text")
    return value


def _words(value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise TypeError("it is no list of words")
    return [_text(word) for word in value]


def _environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError("it is no table of variables")
    return {_text(name): _text(text) for name, text in value.items()}


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("it is no whole number")
    return value


def _signal(value: Any) -> int:
    number = _whole(value)
    if not 1 <= number <= signal.SIGRTMAX:
        raise ValueError("no signal has this number")
    return number


def _seconds(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError("it is no number of seconds")
    try:
        seconds = float(value)
    except OverflowError:
        return math.inf
    if not seconds >= 0:
        raise ValueError("it is no length of time")
    return seconds
