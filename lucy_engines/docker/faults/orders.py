"""What Lucy and the warden say to each other, as forms. Standard library only."""

from typing import NamedTuple

from lucy_core.helpers.forms import Seconds


class FaultPlace(NamedTuple):
    """A node, as the warden has to know it."""

    container: str
    clock: str | None = None
    """The file on this machine that the node's clock follows, where it has such a one."""
    disk: str | None = None
    """The path in the container of a disk with a size of its own."""


class Inject(NamedTuple):
    """Make a fault, and end it after a time. Answered by `Injected`."""

    number: int
    """A number for it."""
    kind: str
    nodes: tuple[str, ...]
    others: tuple[str, ...]
    amounts: dict[str, float]
    lasting: Seconds
    places: dict[str, FaultPlace]


class Injected(NamedTuple):
    """It is in effect, unless this machine can't do it at all."""

    unable: str | None = None


class Revert(NamedTuple):
    """End a fault. Answered by `Reverted`."""

    number: int


class Reverted(NamedTuple):
    """For how long it was in effect."""

    seconds: float


class Lost(NamedTuple):
    """Unasked: a fault has ended with a container."""

    number: int
    why: str
