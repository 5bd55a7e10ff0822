"""What people give by mistake, and a harness that gives it to every parameter of whatever is public.

Parameters are found by their signatures, so that a new one is tried without being named here; only what a required one
is like has to be said (`likely`). What comes of a call may be anything it returns, or an error that says something:
one of Lucy's, or a TypeError or ValueError that Lucy raises herself. A `raise` of somebody else's further down, an
AttributeError, an OverflowError and the like are Lucy's fault, for they tell nobody what to do.
"""

import inspect
import itertools
import linecache
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Any

import anyio

import lucy_core as lucy
from lucy_core import mina


class OddError(Exception):
    """What the odd values themselves raise: whose they are, and no fault of Lucy's."""


class Unshowable:
    def __repr__(self) -> str:
        raise OddError


class Strange:
    """Answers to nothing that is asked of it."""

    def __iter__(self) -> Iterator[Any]:
        raise OddError

    def __call__(self, *_: object, **__: object) -> Any:
        raise OddError

    def __bool__(self) -> bool:
        raise OddError


class Taking:
    """Takes whatever it is called with, so that an error of such a call is never its own."""

    def __init__(self, *_: object, **__: object) -> None:
        """Keep nothing."""


def a_function(*_: object) -> int:
    return 1


async def an_async_function(*_: object) -> int:
    return 1


def endless() -> Iterator[int]:
    """Give numbers for ever, to who believes that; nobody should take so many."""
    yield from range(2_000_000)
    message = "somebody takes for ever"
    raise AssertionError(message)


def deep(depth: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested


ODD: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "zero": lambda: 0,
    "one": lambda: 1,
    "minus one": lambda: -1,
    "huge": lambda: 1 << 80,
    "beyond floats": lambda: 10**400,
    "beyond digits": lambda: 10**6000,
    "fraction": lambda: 0.5,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "minus inf": lambda: -math.inf,
    "1e300": lambda: 1e300,
    "complex": lambda: 1j,
    "empty text": lambda: "",
    "text": lambda: "text",
    "space": lambda: " ",
    "NUL": lambda: "a\0b",
    "newline": lambda: "a\nb",
    "escape": lambda: "\x1b[2J",
    "a byte's surrogate": lambda: "a\udcff",
    "a surrogate": lambda: "\ud800",
    "long text": lambda: "x" * 10_000,
    "braces": lambda: "{port:nowhere}",
    "bytes": lambda: b"x",
    "no bytes": lambda: b"",
    "bytearray": lambda: bytearray(b"x"),
    "memoryview": lambda: memoryview(b"x"),
    "path": lambda: Path("path"),
    "empty tuple": lambda: (),
    "tuple": lambda: ("text",),
    "pair": lambda: ("text", 5),
    "empty list": list,
    "list": lambda: [1, None],
    "deep list": lambda: deep(3000),
    "empty dict": dict,
    "dict": lambda: {"a": 1},
    "odd dict": lambda: {None: None, 5: "x"},
    "set": lambda: {"a"},
    "generator": lambda: (each for each in ("a", "b")),
    "endless": endless,
    "object": object,
    "unshowable": Unshowable,
    "strange": Strange,
    "class": lambda: Taking,
    "function": lambda: a_function,
    "lambda": lambda: lambda *_: None,
    "async function": lambda: an_async_function,
    "coroutine": an_async_function,
    "exception": lambda: OddError("odd"),
    "ellipsis": lambda: ...,
    "enum": lambda: lucy.Severity.INFO,
    "duration": lambda: lucy.seconds(1),
    "odd duration": lambda: lucy.Duration(math.nan),
    "slots": lambda: mina.slots(1),
    "mark": lambda: lucy.Mark(5, 5),
    "event type": lambda: lucy.NodeStarted,
    "condition": lambda: lucy.seen(lucy.NodeStarted),
    "node spec": lambda: lucy.NodeSpec(name="a", role="r", command=("true",)),
    "stream": lambda: lucy.from_items((1, 2)),
}


class Target:
    """Something public that can be called, and what it needs to be called at all."""

    def __init__(self, name: str, call: Callable[..., Any], likely: dict[str, Any]) -> None:
        self.name = name
        self.call = call
        self._likely = likely
        self.parameters = [
            each for each in inspect.signature(call).parameters.values() if each.kind is not each.VAR_KEYWORD
        ]

    def required(self) -> dict[str, Any]:
        """Make the arguments without which it can't be called."""
        needed = (
            each for each in self.parameters if each.default is each.empty and each.kind is not each.VAR_POSITIONAL
        )
        return {each.name: self._like(each.name) for each in needed}

    def _like(self, parameter: str) -> Any:
        for key in (f"{self.name}.{parameter}", parameter):
            if key in self._likely:
                like = self._likely[key]
                return like() if inspect.isfunction(like) and like.__name__ == "<lambda>" else like
        message = f"{self.name} needs {parameter}=: say in the test's table what it is like"
        raise AssertionError(message)

    def called_with(self, parameter: inspect.Parameter, value: Any) -> Any:
        """Call it with one odd value."""
        given = self.required() | ({} if parameter.kind is parameter.VAR_POSITIONAL else {parameter.name: value})
        by_place: list[Any] = []
        by_name: dict[str, Any] = {}
        for each in self.parameters:
            if each.kind is each.VAR_POSITIONAL:
                by_place += [value] if each is parameter else []
            elif each.name in given and each.kind is each.KEYWORD_ONLY:
                by_name[each.name] = given[each.name]
            elif each.name in given and len(by_place) == self.parameters.index(each):
                by_place.append(given[each.name])
            elif each.name in given:
                by_name[each.name] = given[each.name]
        return self.call(*by_place, **by_name)


def says_something(error: BaseException) -> bool:
    """Tell whether an error is one that Lucy raised to say what is wrong."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(says_something, error.exceptions))
    if isinstance(error, (lucy.LucyError, OddError)):
        return True
    if not isinstance(error, (TypeError, ValueError)) or isinstance(error, UnicodeError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code
    line = linecache.getline(code.co_filename, trace.tb_lineno).strip()
    return "/lucy_" in code.co_filename and line.startswith("raise")


async def made_use_of(result: Any) -> None:
    """Do with a result what one does with it: await it, go in and out, subscribe, take it back."""
    if isinstance(result, lucy.Stream):
        errors: list[Exception] = []
        stop = result.subscribe(lambda _: None, errors.append)
        await anyio.sleep(0)
        stop()
        for error in errors:
            raise error
    elif inspect.isawaitable(result):
        await made_use_of(await _awaited(result))
    elif isinstance(result, AbstractAsyncContextManager):
        async with result:
            await anyio.sleep(0)
    elif isinstance(result, AbstractContextManager) and not isinstance(result, (memoryview, Path)):
        with result:
            pass


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


async def faults_of(target: Target, patience: float, values: Iterable[str] = tuple(ODD)) -> list[str]:
    """Give every odd value to every parameter; return what told nobody what to do, or never ended."""
    found: list[str] = []
    target.required()
    for parameter, name in itertools.product(target.parameters, values):
        value = ODD[name]()
        told = f"{target.name}({parameter.name}={name})"
        try:
            with anyio.move_on_after(patience) as scope:
                await made_use_of(target.called_with(parameter, value))
            if scope.cancelled_caught and not _is_no_limit(value):
                found.append(f"{told} never ends")
        except (AssertionError, Exception) as error:  # noqa: BLE001  # that is the question
            if not says_something(error):
                found.append(f"{told}: {type(error).__name__}: {str(error)[:150]} at {where(error)}")
        finally:
            if inspect.iscoroutine(value):
                value.close()
    return found


def _is_no_limit(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 1e9)


def methods_of(kind: type, instance: Any, likely: dict[str, Any], but: Iterable[str] = ()) -> list[Target]:
    """List the public methods of an object, without those that only rooms of Lucy's call."""
    left_out = set(but)
    found: list[Target] = []
    for name in dict.fromkeys(name for base in kind.__mro__ for name in vars(base)):
        member = getattr(instance, name, None) if not isinstance(getattr(kind, name, None), property) else None
        if name.startswith("_") or not callable(member) or isinstance(member, (type, Enum)):
            continue
        if name in left_out:
            left_out.remove(name)
        elif "For `" not in (member.__doc__ or ""):
            found.append(Target(f"{kind.__name__}.{name}", member, likely))
    assert not left_out, f"{kind.__name__} has no {left_out} to leave out"
    return found
