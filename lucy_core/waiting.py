"""Waiting: a condition, a place to start from, two timeouts, and an explanation when it doesn't come true.

A *condition* folds the run into an answer. It never looks at the network: it gets the vocabulary's state as it was at
the wait's start (`baseline`) and as it is after each event that may matter, and says how near it is (`Progress`). So
the same condition judges a live network and a recording, and a wait that starts from a mark sees what came before the
call.

The wait ends at once when it is decided: true, or impossible. The soft timeout records an error and goes on; the hard
one ends the test. What is kept for the explanation is little and bounded: the nearest miss, since when nothing has got
better, and the last few related events.
"""

import enum
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec

from lucy_core.errors import ImpossibleError, JudgementError, WaitTimeoutError
from lucy_core.journal import LIFE_EVENTS
from lucy_core.records import Event


class Verdict(enum.StrEnum):
    """What a condition or monitor says, for ever (`TRUE`, `FALSE`) or so far (the presumable ones)."""

    TRUE = "true"
    PRESUMABLY_TRUE = "presumably true"
    PRESUMABLY_FALSE = "presumably false"
    FALSE = "false"
    INCONCLUSIVE = "inconclusive"


class Unit(enum.StrEnum):
    """What a duration counts."""

    SECONDS = "seconds"
    SLOTS = "slots"
    EPOCHS = "epochs"


class Duration(msgspec.Struct, frozen=True):
    """A span of time in seconds, or in the network's own slots or epochs."""

    count: float
    unit: Unit = Unit.SECONDS

    def __str__(self) -> str:
        unit = self.unit.value if self.count != 1 else self.unit.value[:-1]
        return f"{self.count:g} {unit}"


def seconds(count: float) -> Duration:
    """A span of wall time."""
    return Duration(count)


def slots(count: float) -> Duration:
    """A span of the network's slots."""
    return Duration(count, Unit.SLOTS)


def epochs(count: float) -> Duration:
    """A span of the network's epochs."""
    return Duration(count, Unit.EPOCHS)


class Clock(msgspec.Struct, frozen=True):
    """How long the network's slots and epochs are."""

    slot_seconds: float | None = None
    slots_per_epoch: int | None = None

    def in_seconds(self, duration: Duration | float) -> float:
        """Convert a duration; a bare number is seconds.

        Raises:
            ValueError: the network doesn't count in that unit.
        """
        if not isinstance(duration, Duration):
            return float(duration)
        if duration.unit is Unit.SECONDS:
            return duration.count
        if self.slot_seconds is None:
            message = f"{duration}: this network has no slots; give seconds"
            raise ValueError(message)
        if duration.unit is Unit.SLOTS:
            return duration.count * self.slot_seconds
        if self.slots_per_epoch is None:
            message = f"{duration}: this network has no epochs; give slots or seconds"
            raise ValueError(message)
        return duration.count * self.slot_seconds * self.slots_per_epoch


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How near a condition is: `have` of `need`, what is `missing`, or why it is `impossible`."""

    have: float
    need: float
    missing: tuple[str, ...] = ()
    """What is still wanted, a line each, naming its node: `bp-2: at height 3, 5 wanted`."""
    impossible: str | None = None
    """Why it can't come true any more."""

    @property
    def verdict(self) -> Verdict:
        """True for good, false for good, or not yet."""
        if self.impossible is not None:
            return Verdict.FALSE
        return Verdict.TRUE if self.have >= self.need else Verdict.PRESUMABLY_FALSE


class StateFold(Protocol):
    """A vocabulary's picture of the network, folded from events. Mutable and single-owner; `copy` shares nothing."""

    def apply(self, event: Event[Any]) -> None:
        """Take one event in. Called in the run's order, with events of the vocabulary's types and Lucy's own."""
        ...

    def copy(self) -> Self:
        """Return an independent picture of the same moment."""
        ...


S = TypeVar("S", bound=StateFold)


class Condition(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """Something to wait for.

    `check` is pure: it gets the state when the wait began and the state now, and says how near it is. It is called once
    at the start, then after each event whose data is one of `event_types` (and of Lucy's own about nodes).
    """

    name: str
    """The condition's kind, the same for every wait of that kind: `blocks_produced`."""
    description: str
    """What is awaited, to finish the sentence "waiting for …"."""
    check: Callable[[S, S], Progress]
    event_types: tuple[type, ...]
    soft: Duration
    hard: Duration
    counts_from_start: bool = False
    """Whether events before the wait count unless `since=` says otherwise. They don't for "two more blocks"."""

    def with_timeouts(self, *, soft: Duration | None = None, hard: Duration | None = None) -> Self:
        """Return the same condition with other timeouts."""
        return msgspec.structs.replace(self, soft=soft or self.soft, hard=hard or self.hard)


class WaitOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a wait ended well, and how much room it had."""

    description: str
    waited: float
    position: int | None
    """The event that decided it, or None where it was true from the start."""
    soft: float
    hard: float
    late: bool
    """The soft timeout had passed; the run has a soft error for it."""


RELATED_EVENTS = 8
"""How many of the last related events an explanation shows."""


class WaitTracker(Generic[S]):
    """Follows one condition through the run. Sans-IO: events go in, a verdict stands, an explanation comes out.

    `state` belongs to the tracker. Until `begin` is called, events only bring the state up to the wait's start.
    """

    def __init__(self, condition: Condition[S], state: S, clock: Callable[[], float]) -> None:
        self._condition = condition
        self._state = state
        self._clock = clock
        self._baseline: S | None = None
        self._related: deque[Event[Any]] = deque(maxlen=RELATED_EVENTS)
        self._started = clock()
        self._last_change = self._started
        self.progress = Progress(have=0, need=1)
        self.closest = self.progress
        self.decided_by: int | None = None

    @property
    def begun(self) -> bool:
        """Whether the baseline is taken."""
        return self._baseline is not None

    @property
    def verdict(self) -> Verdict:
        """What stands now."""
        return self.progress.verdict if self.begun else Verdict.PRESUMABLY_FALSE

    def begin(self) -> Verdict:
        """Take the state as it is for the baseline, and look for the first time."""
        self._baseline = self._state.copy()
        return self._look(None)

    def apply(self, event: Event[Any]) -> Verdict:
        """Take one event in; return what stands now. After a final verdict nothing changes any more."""
        if self.begun and self.verdict in (Verdict.TRUE, Verdict.FALSE):
            return self.verdict
        self._state.apply(event)
        if not self.begun:
            return Verdict.PRESUMABLY_FALSE
        if isinstance(event.data, self._condition.event_types):
            self._related.append(event)
            return self._look(event)
        if isinstance(event.data, LIFE_EVENTS):
            return self._look(event)
        return self.verdict

    def _look(self, event: Event[Any] | None) -> Verdict:
        assert self._baseline is not None  # noqa: S101  # an invariant of this class, not a check of input
        progress = self._condition.check(self._baseline, self._state)
        if progress.have > self.closest.have or event is None:
            self.closest = progress
            self._last_change = self._clock()
        self.progress = progress
        if progress.verdict in (Verdict.TRUE, Verdict.FALSE) and event is not None:
            self.decided_by = event.position
        return progress.verdict

    def failure(self, waited: float, ledger_lines: Mapping[str, str]) -> JudgementError:
        """Return the error to raise for a wait that did not come true."""
        description, explanation = self._condition.description, self.explain(ledger_lines)
        if self.progress.impossible is not None:
            return ImpossibleError(description, waited, self.progress.impossible, explanation)
        return WaitTimeoutError(self._condition.name, description, waited, explanation)

    def explain(self, ledger_lines: Mapping[str, str]) -> str:
        """Say how close it came, what is missing, since when it is stuck, and what was seen last."""
        now = self._clock()
        progress = self.progress
        lines = [
            f"  closest : {self.closest.have:g} of {self.closest.need:g}"
            + (f" (now {progress.have:g})" if progress.have != self.closest.have else "")
            + f"; nothing better for the last {now - self._last_change:.1f} s"
        ]
        lines += [f"  missing : {text}" for text in progress.missing]
        if self._related:
            lines.append(f"  last {len(self._related)} related events, oldest first:")
            lines += [f"    {describe(event)}" for event in self._related]
        else:
            names = ", ".join(kind.__name__ for kind in self._condition.event_types) or "none"
            lines.append(f"  no related event came at all (related: {names})")
        lines += [f"  log     : {node}: {text}" for node, text in ledger_lines.items()]
        return "\n".join(lines)


def describe(event: Event[Any]) -> str:
    """Show an event in one line: when and where, then its data, cut to a readable length."""
    stamp = event.timestamp
    when = stamp.strftime("%H:%M:%S.%f")[:-3] if stamp else "--:--:--.---"
    text = repr(event.data)
    return f"{when} {event.node} #{event.position} {text if len(text) <= 160 else text[:157] + '…'}"
