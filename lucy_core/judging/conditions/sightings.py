"""Ready-made conditions about events of any software: seen, never, quiet. Sans-IO."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, final

import msgspec

from lucy_core.answers import refuse_async, refuse_awaitable
from lucy_core.arguments import function_of, names_of, optional, whole
from lucy_core.errors import ArgumentError, EventDefinitionError, LimitError, NoNodesError
from lucy_core.judging.conditions.condition import Machine, Progress, Start, Timeless
from lucy_core.judging.durations import NS, Duration, checked, seconds
from lucy_core.records.described import described
from lucy_core.records.event import event_type
from lucy_core.records.journal import JOURNAL, is_of
from lucy_core.records.record import Arrived, Event
from lucy_core.words import called

T = TypeVar("T")
SOFT = seconds(30)
HARD = seconds(60)
"""What a wait gets that was told no limit, where the condition knows nothing of the software's pace."""


class Sighting(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Which events are meant."""

    kinds: tuple[type, ...]
    where: Callable[[Event[Any]], bool] | None = None
    nodes: tuple[str, ...] = ()
    """Of these nodes alone; of all where it names none."""

    def __str__(self) -> str:
        names = " or ".join(kind.__name__ for kind in self.kinds)
        where = f" where {called(self.where, 'its predicate')}" if self.where is not None else ""
        return names + (f" of {', '.join(self.nodes)}" if self.nodes else "") + where

    def why_not(self, event: Event[Any]) -> str | None:
        """Say why an event isn't meant, or None where it is."""
        if not isinstance(event.data, self.kinds):
            return "of another type"
        if self.nodes and not is_of(event, self.nodes):
            return "of another node"
        if self.where is None:
            return None
        answer: object = self.where(event)
        if not isinstance(answer, bool):
            refuse_awaitable(answer, f"{called(self.where, 'the predicate')} returned")
        return None if answer else f"refused by {called(self.where, 'its predicate')}"


def sighting(
    what: str,
    kinds: tuple[type, ...],
    where: Callable[[Event[Any]], bool] | None,
    nodes: Iterable[str] | None,
) -> Sighting[Any]:
    """Check what somebody wants to see.

    Raises:
        EventDefinitionError: one of the types is none, or there is none.
        ValueError: `nodes` is empty.
        TypeError: `where` is an async function.
    """
    if not kinds:
        raise EventDefinitionError(f"{what}()", f"needs an event type, such as {what}(NodeStarted)")
    refuse_async(where, f"{what}(where=…)")
    optional(function_of)(where, "where")
    return Sighting(kinds=tuple(event_type(kind).data_type for kind in kinds), where=where, nodes=named(nodes))


def named(nodes: Iterable[str] | None) -> tuple[str, ...]:
    """Return the names that were given; none where all nodes are meant.

    Raises:
        NoNodesError: they were given, and there are none.
    """
    if nodes is None:
        return ()
    names = names_of(nodes, "nodes")
    if not names:
        raise NoNodesError
    return names


class _Sighted(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What the conditions below have in common."""

    of: Sighting[T]
    soft: Duration = SOFT
    hard: Duration = HARD

    @property
    def event_types(self) -> tuple[type, ...]:
        return self.of.kinds

    @property
    def nodes(self) -> tuple[str, ...]:
        return self.of.nodes


class Seen(_Sighted[T], frozen=True, kw_only=True):
    """`count` events that are meant have come. Made by `seen`."""

    count: int

    name = "seen"
    must_hold = False
    needs_all_lines = False

    @property
    def description(self) -> str:
        return f"{self.of}" if self.count == 1 else f"{self.count} times {self.of}"

    def begin(self, start: Start) -> Machine:  # noqa: ARG002  # what was before does not count
        return _Counter(self.of, self.count)


def seen(
    kind: type[T],
    *others: type[T],
    where: Callable[[Event[T]], bool] | None = None,
    nodes: Iterable[str] | None = None,
    count: int = 1,
) -> Seen[T]:
    """Await `count` events of a type (or of one of several), for which `where` holds, of any node or of those named.

    The wait's outcome has the events, and `node` and `data` of the one that decided it.

    Raises:
        EventDefinitionError: a type was never declared.
        ValueError: `count` is less than one, or `nodes` empty.
    """
    if whole(count, "count") < 1:
        raise ArgumentError("count", count, "is no event; await one at least")
    return Seen(of=sighting("seen", (kind, *others), where, nodes), count=count)


@final
class _Counter(Timeless):
    """Judges `Seen`."""

    def __init__(self, of: Sighting[Any], count: int) -> None:
        self._of = of
        self._count = count
        self._near: tuple[Event[Any], str] | None = None
        self.evidence: tuple[Event[Any], ...] = ()

    @property
    def progress(self) -> Progress:
        have = len(self.evidence)
        if have >= self._count:
            return Progress(have=have, need=self._count)
        missing = f"{self._count - have} more {self._of}"
        if self._near is not None:
            event, reason = self._near
            missing += f"; the nearest was {reason}: {described(event)}"
        return Progress(have=have, need=self._count, missing=(missing,))

    def step(self, event: Event[Any]) -> None:
        reason = self._of.why_not(event)
        if reason is None:
            self.evidence = (*self.evidence, event)
        elif isinstance(event.data, self._of.kinds):
            self._near = (event, reason)


class Never(_Sighted[T], frozen=True, kw_only=True):
    """No event that is meant comes. Made by `never`."""

    name = "never"
    must_hold = True
    needs_all_lines = True

    @property
    def description(self) -> str:
        return f"never {self.of}"

    def begin(self, start: Start) -> Machine:  # noqa: ARG002  # what was before does not count
        return _Ban(self.of)


def never(
    kind: type[T],
    *others: type[T],
    where: Callable[[Event[T]], bool] | None = None,
    nodes: Iterable[str] | None = None,
) -> Never[T]:
    """Have no such event come for a time: `await network.wait_for(never(BecameLeader), lasting=5)`.

    The wait passes once the time is over and all that arrived within it has been looked at, and fails at the very line
    otherwise. Where the log has a gap, or a line that says that it is such an event can't be read, it is inconclusive.

    Raises:
        EventDefinitionError: a type was never declared.
        ValueError: `nodes` is empty.
    """
    return Never(of=sighting("never", (kind, *others), where, nodes))


@final
class _Ban(Timeless):
    """Judges `Never`."""

    def __init__(self, of: Sighting[Any]) -> None:
        self._of = of
        self.evidence: tuple[Event[Any], ...] = ()

    @property
    def progress(self) -> Progress:
        if self.evidence:
            return Progress(have=0, need=1, impossible=f"it came: {described(self.evidence[0])}")
        return Progress(have=1, need=1, holds=True)

    def step(self, event: Event[Any]) -> None:
        if not self.evidence and self._of.why_not(event) is None:
            self.evidence = (event,)


class Quiet(_Sighted[Any], frozen=True, kw_only=True):
    """For so many seconds at a stretch no line, or no event that is meant, came. Made by `quiet`."""

    seconds: float

    name = "quiet"
    must_hold = False
    needs_all_lines = True

    @property
    def description(self) -> str:
        what = "any line" if self.of.kinds == (Arrived,) else str(self.of)
        nodes = f" of {', '.join(self.of.nodes)}" if self.of.nodes and self.of.kinds == (Arrived,) else ""
        return f"{self.seconds:g} s without {what}{nodes}"

    def begin(self, start: Start) -> Machine:
        return _Silence(self.of, round(self.seconds * NS), start.at_ns)


def quiet(
    seconds: float,
    *kinds: type,
    where: Callable[[Event[Any]], bool] | None = None,
    nodes: Iterable[str] | None = None,
) -> Quiet:
    """Await that for `seconds` at a stretch nothing comes: no line at all of the nodes, or no event of these types.

    Counted from the wait's start at the earliest. Lucy's own journal is no noise.

    Raises:
        LimitError: `seconds` is no time that can pass.
        EventDefinitionError: a type was never declared.
        ValueError: `nodes` is empty.
    """
    length = checked("seconds", seconds).count
    if math.isinf(length):
        raise LimitError("seconds", seconds, "never comes; give a number of seconds")
    if kinds:
        of = sighting("quiet", kinds, where, nodes)
    else:
        of = Sighting(kinds=(Arrived,), where=where, nodes=named(nodes))
    return Quiet(of=of, seconds=length)


@final
class _Silence:
    """Judges `Quiet`."""

    def __init__(self, of: Sighting[Any], length_ns: int, since_ns: int) -> None:
        self._of = of
        self._length_ns = length_ns
        self._now_ns = since_ns
        self.due_ns: int | None = since_ns + length_ns
        self._last: Event[Any] | None = None
        self._over = length_ns == 0
        self.evidence: tuple[Event[Any], ...] = ()

    @property
    def progress(self) -> Progress:
        if self._over:
            return Progress(have=1, need=1)
        last = f"; the last was {described(self._last)}" if self._last is not None else ""
        return Progress(have=0, need=1, missing=(f"{self._length_ns / NS:g} s of quiet{last}",))

    def step(self, event: Event[Any]) -> None:
        if isinstance(event.data, Arrived) and event.node == JOURNAL:
            return  # what Lucy notes, of this very wait for one, is no noise
        if not self._over and self._of.why_not(event) is None:
            self._last = event
            self.due_ns = max(event.arrived_ns, self._now_ns) + self._length_ns

    def pass_time(self, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)
        self._over |= self.due_ns is not None and now_ns >= self.due_ns
        if self._over:
            self.due_ns = None
