"""Conditions made of conditions: all of them, any, one after the other, each for every node. Sans-IO.

A part sees only the events of its own types, and Lucy's own about nodes. A combination that has a part which must hold
(`never`) must hold itself: it is judged when its time (`lasting=`) is over.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self, final

import msgspec

from lucy_core.answers import refuse_awaitable
from lucy_core.errors import shown
from lucy_core.judging.conditions.condition import AnyCondition, Condition, Machine, Progress, Start, Verdict
from lucy_core.judging.conditions.probes import Probe, probes_of
from lucy_core.judging.conditions.sightings import HARD, SOFT, named, seen
from lucy_core.judging.durations import SECONDS, Duration
from lucy_core.records.journal import LIFE_EVENTS, about
from lucy_core.records.record import Event
from lucy_core.words import called


def _longest(limits: Iterable[Duration], otherwise: Duration) -> Duration:
    """Return the longest of limits in one unit; limits in several can't be compared without a network."""
    found = list(limits)
    if len({limit.unit for limit in found}) > 1:
        found = [limit for limit in found if limit.unit != SECONDS]
    return max(found, key=lambda limit: limit.count, default=otherwise)


def conditions(what: str, given: tuple[Any, ...]) -> tuple[AnyCondition, ...]:
    """Check the parts of a combination; an event type is short for seeing it once.

    Raises:
        ValueError: there is none.
        TypeError: one is no condition, such as the function that makes one, not called.
    """
    if not given:
        raise ValueError(f"{what}() needs conditions")
    parts: list[AnyCondition] = []
    for each in given:
        if isinstance(each, type):
            parts.append(seen(each))
        elif callable(getattr(each, "begin", None)):
            parts.append(each)
        else:
            refuse_awaitable(each, f"{what}() was given")
            advice = f"; call it: {called(each)}(…)" if callable(each) else ""
            raise TypeError(f"{what}(): {shown(each)} is neither a condition nor an event type{advice}")
    return tuple(parts)


class Combination(msgspec.Struct, frozen=True, kw_only=True):
    """What combinations have in common: their parts' types, nodes and limits."""

    parts: tuple[AnyCondition, ...]
    soft: Duration
    hard: Duration

    name: ClassVar[str]
    joint: ClassVar[str]
    """What stands between the parts' descriptions."""

    @classmethod
    def of(cls, parts: tuple[Any, ...]) -> Self:
        """Combine conditions and event types. Raises as `conditions` does."""
        found = conditions(cls.name, parts)
        soft, hard = _longest((part.soft for part in found), SOFT), _longest((part.hard for part in found), HARD)
        return cls(parts=found, soft=soft, hard=hard)

    @property
    def description(self) -> str:
        return self.joint.join(part.description for part in self.parts)

    @property
    def event_types(self) -> tuple[type, ...]:
        return tuple(dict.fromkeys(kind for part in self.parts for kind in part.event_types))

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self.parts for name in part.nodes))

    @property
    def must_hold(self) -> bool:
        return any(part.must_hold for part in self.parts)

    @property
    def needs_all_lines(self) -> bool:
        return any(part.needs_all_lines for part in self.parts)

    @property
    def probes(self) -> tuple[Probe, ...]:
        return tuple(dict.fromkeys(probe for part in self.parts for probe in probes_of(part)))


class AllOf(Combination, frozen=True, kw_only=True):
    """All parts are true, in any order. Made by `all_of`."""

    name = "all_of"
    joint = " and "

    def begin(self, start: Start) -> Machine:
        return _Several([_Part(part, start) for part in self.parts], _all)


def all_of(*parts: AnyCondition | type) -> AllOf:
    """Await that all of these are true, in whatever order they become so; each stays true once it is."""
    return AllOf.of(parts)


class AnyOf(Combination, frozen=True, kw_only=True):
    """One part is true. Made by `any_of`."""

    name = "any_of"
    joint = " or "

    def begin(self, start: Start) -> Machine:
        return _Several([_Part(part, start) for part in self.parts], _any)


def any_of(*parts: AnyCondition | type) -> AnyOf:
    """Await that one of these is true. Given up only when none can come true any more."""
    return AnyOf.of(parts)


class InOrder(Combination, frozen=True, kw_only=True):
    """The parts become true one after the other. Made by `in_order`."""

    name = "in_order"
    joint = ", then "

    def begin(self, start: Start) -> Machine:
        return _Sequence(self.parts, start)


def in_order(*parts: AnyCondition | type) -> InOrder:
    """Await that these become true one after the other, each beginning behind the event that decided the one before.

    Raises:
        ValueError: a part that must hold (`never`) isn't the last: it is never true for good.
    """
    found = InOrder.of(parts)
    for part in found.parts[:-1]:
        if part.must_hold:
            raise ValueError(f"in_order(): {part.description} is never true for good, so nothing can come after it")
    return found


class EachNode(msgspec.Struct, frozen=True, kw_only=True):
    """A condition is true for each node by itself. Made by `each_node`."""

    part: AnyCondition
    nodes: tuple[str, ...]
    soft: Duration
    hard: Duration

    name = "each_node"

    @property
    def description(self) -> str:
        return f"{self.part.description} on {', '.join(self.nodes) if self.nodes else 'each node'}"

    @property
    def event_types(self) -> tuple[type, ...]:
        return self.part.event_types

    @property
    def must_hold(self) -> bool:
        return self.part.must_hold

    @property
    def needs_all_lines(self) -> bool:
        return self.part.needs_all_lines

    @property
    def probes(self) -> tuple[Probe, ...]:
        return probes_of(self.part)

    def begin(self, start: Start) -> Machine:
        return _EachNode(self.part, self.nodes or start.nodes, start)


def each_node(part: AnyCondition | type, *, nodes: Iterable[str] | None = None) -> EachNode:
    """Await that a condition is true for each node (or each of those named) by what that node logs alone.

    Raises:
        ValueError: the condition names nodes itself or compares pictures of the whole network, or `nodes` is empty.
    """
    (found,) = conditions("each_node", (part,))
    if isinstance(found, Condition):
        message = f"each_node(): {found.name} looks at the whole network; take one about events, such as seen(…)"
        raise ValueError(message)  # noqa: TRY004  # a condition it is, of the wrong kind
    if found.nodes:
        raise ValueError(f"each_node(): {found.description} names its nodes already")
    return EachNode(part=found, nodes=named(nodes), soft=found.soft, hard=found.hard)


# The machines


class _Part:
    """A part's machine, fed with what is the part's alone."""

    __slots__ = ("condition", "label", "machine", "types")

    def __init__(self, condition: AnyCondition, start: Start, label: str = "") -> None:
        self.condition = condition
        self.types = (*condition.event_types, *LIFE_EVENTS)
        self.label = label
        self.machine = condition.begin(start)

    @property
    def verdict(self) -> Verdict:
        return self.machine.progress.verdict

    @property
    def rests_on_absence(self) -> bool:
        needed = self.condition.needs_all_lines
        return needed and bool(getattr(self.machine, "rests_on_absence", needed))

    def step(self, event: Event[Any]) -> None:
        if isinstance(event.data, self.types) and not self.verdict.is_final:
            self.machine.step(event)

    def pass_time(self, now_ns: int) -> None:
        if not self.verdict.is_final:
            self.machine.pass_time(now_ns)

    def missing(self) -> tuple[str, ...]:
        progress = self.machine.progress
        if progress.verdict is not Verdict.PRESUMABLY_FALSE:
            return ()
        texts = progress.missing or (self.condition.description,)
        return tuple(f"{self.label}{text}" for text in texts)


def _all(parts: list[_Part]) -> Progress:
    verdicts = [part.verdict for part in parts]
    good = sum(verdict in (Verdict.TRUE, Verdict.PRESUMABLY_TRUE) for verdict in verdicts)
    broken = next((part.machine.progress.impossible for part in parts if part.verdict is Verdict.FALSE), None)
    missing = tuple(text for part in parts for text in part.missing())
    holds = Verdict.PRESUMABLY_TRUE in verdicts
    return Progress(have=good, need=len(parts), missing=missing, impossible=broken, holds=holds)


def _any(parts: list[_Part]) -> Progress:
    verdicts = [part.verdict for part in parts]
    if Verdict.TRUE in verdicts:
        return Progress(have=1, need=1)
    if Verdict.PRESUMABLY_TRUE in verdicts:
        return Progress(have=1, need=1, holds=True)
    reasons = [part.machine.progress.impossible for part in parts if part.verdict is Verdict.FALSE]
    impossible = "; ".join(str(reason) for reason in reasons) if len(reasons) == len(parts) else None
    missing = tuple(text for part in parts for text in part.missing())
    return Progress(have=0, need=1, missing=missing, impossible=impossible)


def _earliest(parts: Iterable[_Part]) -> int | None:
    due = [part.machine.due_ns for part in parts if not part.verdict.is_final]
    return min((at for at in due if at is not None), default=None)


def _evidence(parts: Iterable[_Part]) -> tuple[Event[Any], ...]:
    found = {event.position: event for part in parts for event in part.machine.evidence}
    return tuple(found[position] for position in sorted(found))


class _Several:
    """Judges `AllOf` and `AnyOf`."""

    def __init__(self, parts: list[_Part], join: Callable[[list[_Part]], Progress]) -> None:
        self._parts = parts
        self._join = join

    @property
    def progress(self) -> Progress:
        return self._join(self._parts)

    @property
    def rests_on_absence(self) -> bool:
        """Of several that will do, one that was seen to be true needs none of the others."""
        good = [part for part in self._parts if part.verdict in (Verdict.TRUE, Verdict.PRESUMABLY_TRUE)]
        return (all if self._join is _any else any)(part.rests_on_absence for part in good)

    @property
    def evidence(self) -> tuple[Event[Any], ...]:
        return _evidence(self._parts)

    @property
    def due_ns(self) -> int | None:
        return _earliest(self._parts)

    def step(self, event: Event[Any]) -> None:
        for part in self._parts:
            part.step(event)

    def pass_time(self, now_ns: int) -> None:
        for part in self._parts:
            part.pass_time(now_ns)


@final
class _Sequence:
    """Judges `InOrder`."""

    def __init__(self, parts: tuple[AnyCondition, ...], start: Start) -> None:
        self._left = list(parts[1:])
        self._start = start
        self._begun = [_Part(parts[0], start)]
        self._go_on(start.at_ns)

    def _go_on(self, now_ns: int) -> None:
        """Begin the next part once the one before is true; one may be so from its very start."""
        while self._left and self._begun[-1].verdict is Verdict.TRUE:
            start = msgspec.structs.replace(self._start, at_ns=now_ns)
            self._begun.append(_Part(self._left.pop(0), start))

    @property
    def progress(self) -> Progress:
        now = self._begun[-1]
        progress = now.machine.progress
        done = len(self._begun) - 1 + (progress.verdict in (Verdict.TRUE, Verdict.PRESUMABLY_TRUE))
        missing = (*now.missing(), *(f"then {part.description}" for part in self._left))
        need = len(self._begun) + len(self._left)
        return Progress(
            have=done, need=need, missing=missing, impossible=progress.impossible, holds=progress.holds and done == need
        )

    @property
    def rests_on_absence(self) -> bool:
        return any(part.rests_on_absence for part in self._begun)

    @property
    def evidence(self) -> tuple[Event[Any], ...]:
        return _evidence(self._begun)

    @property
    def due_ns(self) -> int | None:
        return _earliest(self._begun[-1:])

    def step(self, event: Event[Any]) -> None:
        self._begun[-1].step(event)
        self._go_on(event.arrived_ns)

    def pass_time(self, now_ns: int) -> None:
        self._begun[-1].pass_time(now_ns)
        self._go_on(now_ns)


@final
class _EachNode(_Several):
    """Judges `EachNode`: a part gets what its node logs."""

    def __init__(self, part: AnyCondition, nodes: tuple[str, ...], start: Start) -> None:
        self._of = {node: _Part(part, msgspec.structs.replace(start, nodes=(node,)), f"{node}: ") for node in nodes}
        super().__init__(list(self._of.values()), _all)

    def step(self, event: Event[Any]) -> None:
        for node in about(event):
            if node in self._of:
                self._of[node].step(event)
