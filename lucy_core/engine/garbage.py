"""What runs left behind that nobody will remove any more: after a power cut, say, or where cleaning up was killed too.

A collector knows one kind of place where things may lie, finds those whose run is dead, and removes them. Collectors
are found by entry point in the group `lucy.garbage`; engines bring theirs. None may touch what a live run uses, or what
no run of Lucy's made.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from lucy_core.errors import BrokenPluginError, EngineError
from lucy_core.plugins import Kind, load_plugin


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for."""

    older_than: float = 0.0
    """Seconds; younger things are left alone."""
    run_id: str | None = None
    """The one run to look at, or None for all."""
    elsewhere: bool = False
    """Also take what was made where Lucy can't look from here, such as other machines: nobody can tell whether its run
    is still alive, so that its age alone decides."""
    options: dict[str, str] = {}
    """The collectors' own, from the command line."""


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """A thing whose run is dead."""

    kind: str
    """`process`, `network` and the like."""
    key: str
    """What its collector knows it by."""
    name: str
    """What people know it by."""
    run_id: str
    """The run that made it."""
    why: str
    """How its run is known to be dead."""


class Remark(msgspec.Struct, frozen=True):
    """A leftover was removed, and something is to be said of it."""

    text: str
    """A sentence."""


@runtime_checkable
class Collector(Protocol):
    """Finds and removes leftovers of one kind of engine. Its constructor takes no arguments and does nothing.

    Where it has `options`, `EngineOption`s, `lucy gc` takes them, and `Search.options` has what was given.
    """

    async def find(self, search: Search) -> Sequence[Leftover]:
        """Return what dead runs left.

        Raises:
            EngineError: nobody could be asked.
        """
        ...

    async def remove(self, leftovers: Sequence[Leftover]) -> Sequence[str | Remark | None]:
        """Remove them; return for each None, or why it is still there. What is gone already is removed.

        What somebody has to do although it is removed goes into a `Remark`.
        """
        ...


class Collected(msgspec.Struct, frozen=True):
    """What became of a leftover."""

    leftover: Leftover
    trouble: str | None = None
    """Why it is still there, if it is."""
    remark: str | None = None
    """What is to be said of it, though it is gone."""


class Harvest(msgspec.Struct, frozen=True):
    """What one collector did."""

    collector: str
    collected: tuple[Collected, ...] = ()
    failure: str | None = None
    """Why it could not look."""


def load_collector(name: str) -> Collector:
    """Import an installed collector and make it; raises as `load_plugin` does."""
    return load_plugin(Kind.COLLECTOR, name, Collector)  # type: ignore[type-abstract]  # a protocol is what is meant


async def harvest(name: str, search: Search, *, dry_run: bool = False) -> Harvest:
    """Have one collector look, and remove what it found unless it is a dry run; it failing is a result too."""
    try:
        collector = load_collector(name)
        leftovers = await collector.find(search)
        troubles: Sequence[str | Remark | None]
        troubles = [None] * len(leftovers) if dry_run else await collector.remove(leftovers)
    except (EngineError, BrokenPluginError) as error:
        return Harvest(name, failure=str(error))
    return Harvest(name, tuple(map(_collected, leftovers, troubles)))


def _collected(leftover: Leftover, outcome: str | Remark | None) -> Collected:
    if isinstance(outcome, Remark):
        return Collected(leftover, remark=outcome.text)
    return Collected(leftover, outcome)
