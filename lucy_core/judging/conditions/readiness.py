"""That a node is ready, as its spec says: a condition of anybody's, and that the node hasn't ended before. Sans-IO."""

from typing import Any, final

import msgspec

from lucy_core.judging.conditions.combinations import Combination
from lucy_core.judging.conditions.condition import AnyCondition, Machine, Progress, Start
from lucy_core.judging.conditions.logged import Logged
from lucy_core.judging.conditions.probes import Probe, probes_of
from lucy_core.judging.conditions.sightings import HARD, Never, Quiet, Seen
from lucy_core.judging.durations import Duration
from lucy_core.records.journal import LIFE_EVENTS, NodeExited, NodeStopped
from lucy_core.records.record import Event


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """A node is ready. Made by `readiness`."""

    node: str
    part: AnyCondition
    """What makes it so."""
    soft: Duration = HARD
    hard: Duration = HARD

    name = "ready"
    must_hold = False
    is_readiness = True

    @property
    def description(self) -> str:
        return f"{self.node} to be ready: {self.part.description}"

    @property
    def event_types(self) -> tuple[type, ...]:
        return self.part.event_types

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.node, *self.part.nodes)))

    @property
    def needs_all_lines(self) -> bool:
        return self.part.needs_all_lines

    @property
    def probes(self) -> tuple[Probe, ...]:
        return probes_of(self.part)

    def begin(self, start: Start) -> Machine:
        return _Starting(self.node, self.part, start)


def readiness(node: str, condition: AnyCondition) -> Readiness:
    """Make the condition that a node is ready. What names no node is meant of this one."""
    return Readiness(node=node, part=_meant_of(node, condition))


def _meant_of(node: str, condition: AnyCondition) -> AnyCondition:
    match condition:
        case Seen() | Never() | Quiet() if not condition.of.nodes:
            return msgspec.structs.replace(condition, of=msgspec.structs.replace(condition.of, nodes=(node,)))
        case Logged() if not condition.nodes:
            return msgspec.structs.replace(condition, nodes=(node,))
        case Combination():
            parts = tuple(_meant_of(node, part) for part in condition.parts)
            return msgspec.structs.replace(condition, parts=parts)
        case _:
            return condition


@final
class _Starting:
    """Judges `Readiness`. The end of the node may be what makes it ready: a node of one task is, once it is done."""

    def __init__(self, node: str, part: AnyCondition, start: Start) -> None:
        self._node = node
        self._types = (*part.event_types, *LIFE_EVENTS)
        self._needs_all_lines = part.needs_all_lines
        self._machine = part.begin(start)
        self._ended: str | None = None

    @property
    def progress(self) -> Progress:
        progress = self._machine.progress
        if self._ended is None or progress.verdict.is_final:
            return progress
        return msgspec.structs.replace(progress, impossible=self._ended, holds=False)

    @property
    def evidence(self) -> tuple[Event[Any], ...]:
        return self._machine.evidence

    @property
    def due_ns(self) -> int | None:
        return self._machine.due_ns

    @property
    def rests_on_absence(self) -> bool:
        return bool(getattr(self._machine, "rests_on_absence", self._needs_all_lines))

    def step(self, event: Event[Any]) -> None:
        if isinstance(event.data, self._types):
            self._machine.step(event)
        match event.data:
            case NodeExited(node=self._node):
                self._ended = f"{self._node} {event.data.how} before"
            case NodeStopped(node=self._node):
                self._ended = f"{self._node} was {'killed' if event.data.killed else 'stopped'} before"

    def pass_time(self, now_ns: int) -> None:
        self._machine.pass_time(now_ns)
