"""What Lucy and the guardian say to each other, as forms. Standard library only."""

import math
import signal
from typing import Annotated, NamedTuple

from lucy_core.helpers.forms import Seconds


def _words(value: list[str]) -> list[str]:
    if not value:
        raise ValueError("it names no program")
    return value


def _signal(value: int) -> int:
    if not 1 <= value <= signal.SIGRTMAX:
        raise ValueError("no signal has this number")
    return value


Words = Annotated[list[str], _words]


class Fifo(NamedTuple):
    """Remove a FIFO at the guardian's own end."""

    fifo: str


class Identity(NamedTuple):
    """As whom something runs, where that isn't the guardian's own user."""

    user: int
    groups: tuple[int, ...]
    """The first is its own."""


class Spawn(NamedTuple):
    """Start a node's leader. Answered by `Spawned`."""

    name: str
    argv: Words
    environment: dict[str, str]
    cwd: str
    fifo: str
    errors: str = ""
    """The FIFO for its stderr, where that isn't the same."""
    identity: Identity | None = None


class Spawned(NamedTuple):
    """A leader runs."""

    pid: int


class Signal(NamedTuple):
    """Signal a leader and all that came from it. Answered by `Signalled`."""

    pid: int
    signal: Annotated[int, _signal]
    lasting: Seconds = math.inf
    """After so many seconds it goes on, where that is to freeze it."""
    alone: bool = False
    """To the leader alone."""
    ends: bool = False
    """Whether it is to end: what comes of it is our doing."""


class Signalled(NamedTuple):
    """What came of a signal."""

    refused: str | None = None
    """The leader, described, where it may not be signalled."""


class End(NamedTuple):
    """Take note that all nodes are about to be ended."""


class Exec(NamedTuple):
    """Run a command in the place of a node. Three descriptors come with it; `Executed` answers at its end."""

    argv: Words
    environment: dict[str, str]
    cwd: str
    timeout: Seconds
    identity: Identity | None = None


class Cancel(NamedTuple):
    """Kill a command, by the number of the order to run it; that is answered too, by the same `Executed`."""

    order: int


class Executed(NamedTuple):
    """How a command ended."""

    code: int = 0
    """Its exit code, or the negative number of the signal that killed it."""
    timed_out: bool = False
    left: tuple[str, ...] = ()
    """Processes, described, that could not be ended."""


class Exited(NamedTuple):
    """Unasked: how a node's leader ended, once what it left behind has been killed."""

    name: str
    pid: int
    code: int | None
    signal: str | None
    after: float
    asked: bool
    """Whether it had been told to."""
    left: tuple[str, ...] = ()


class Left(NamedTuple):
    """Unasked, and its last word: what could not be ended with the run."""

    left: tuple[str, ...]
