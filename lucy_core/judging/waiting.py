"""One wait: a condition, a place to start from, limits, and an explanation when it doesn't come true. Sans-IO.

Why a wait can't pass early, pass late, or wait for ever.

*One order.* Everything that arrives gets a position and a time from one loop (capture), in one step: positions and
times grow together. Lucy's own doings are lines in the same order. A wait is judged by that order alone, never by when
the loop of the test came to look at it; so a test that blocks, a machine that stands still and a replay years later
see the same.

*Not early.* A wait begins at a position: that of `since=`, or of the line that says that the wait began, which is
placed behind all that had arrived at the call. Its picture of the network is folded from the run's first line (or a
copy on the way) up to exactly that position, then the machine is begun, then it gets what follows, each event once and
in order, from one subscription. So an event before the start can't count, and none that had arrived before the call can
be overlooked: "the node was stopped, is it initialized?" sees the stop.

*Not late.* An event counts if it arrived before the limit or at it. That a limit has passed is known from an event that
arrived later, or else from a *fence*: once the clock has passed the limit, capture is asked how far it has come, and
all before that position is folded first. Nothing that arrived by the time of asking can stand behind the fence. So a
line that arrived in time counts however long the loop slept, and one that came too late never does. A limit that is
given is a limit: where only one of the two is, the default of the other yields to it.

*Not for ever.* Whoever waits is woken by the decision, by the next limit, by whatever ends the run (a death, the end of
capture, the end itself) and by the error of the condition's own code; a fence that isn't answered ends the wait as
inconclusive.

*Not on a gap.* What was seen was seen; but a limit that passed, and a condition that rests on something *not* having
come, are worth nothing where lines are missing: such a wait is inconclusive, which is neither red nor green.

What is kept for the explanation is little and bounded: how near it came, since when nothing has got better, and the
last few related events.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, final

import msgspec

from lucy_core.aio import is_cancellation
from lucy_core.errors import (
    ConditionError,
    ImpossibleError,
    JudgementError,
    LimitError,
    ViolationError,
    WaitTimeoutError,
)
from lucy_core.judging.conditions.condition import (
    RELATED_EVENTS,
    AnyCondition,
    Machine,
    Progress,
    Start,
    StateFold,
    Verdict,
)
from lucy_core.judging.durations import NS, Clock, Duration, checked
from lucy_core.records.described import described
from lucy_core.records.journal import LIFE_EVENTS
from lucy_core.records.record import Arrived, Event

T = TypeVar("T")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When a wait is late and when it is over, on the clock that stamps arrivals; None for never."""

    began_ns: int
    soft_ns: int | None = None
    hard_ns: int | None = None
    lasting: bool = False
    """Whether the hard limit is the time for which the condition has to hold."""

    def seconds(self, at_ns: int | None) -> float | None:
        """Return how long after the wait's begin a moment is."""
        return None if at_ns is None else (at_ns - self.began_ns) / NS


def limits(
    condition: AnyCondition,
    clock: Clock,
    began_ns: int,
    *,
    soft: Duration | float | None,
    hard: Duration | float | None,
    lasting: Duration | float | None,
) -> Limits:
    """Work out a wait's limits from what was given and from the condition's defaults.

    Raises:
        LimitError: one is no length of time, is in a unit that the network doesn't have, or doesn't go with the
            condition or the others.
    """
    if lasting is not None:
        if not condition.must_hold:
            reason = f"is for conditions that have to hold, such as never(…); {condition.name} comes true: give hard="
            raise LimitError("lasting", lasting, reason)
        if soft is not None or hard is not None:
            raise LimitError("lasting", lasting, "is the wait's one limit; leave soft= and hard= out")
        until_ns = clock.deadline(checked("lasting", lasting), began_ns)
        if until_ns is None:
            raise LimitError("lasting", lasting, "never ends")
        return Limits(began_ns=began_ns, hard_ns=until_ns, lasting=True)
    if condition.must_hold:
        reason = f"is missing: for how long has to hold what {condition.name} says? give lasting=SECONDS"
        raise LimitError("lasting", None, reason)
    soft_ns = clock.deadline(checked("soft", condition.soft if soft is None else soft), began_ns)
    hard_ns = clock.deadline(checked("hard", condition.hard if hard is None else hard), began_ns)
    # A default yields to what was said: "within a minute" is no failure after three seconds.
    if soft is None and hard is not None:
        soft_ns = None
    elif hard is None and soft is not None and hard_ns is not None:
        hard_ns = None if soft_ns is None else max(soft_ns, hard_ns)
    if hard_ns is not None and (soft_ns is None or soft_ns >= hard_ns):
        soft_ns = None  # what is over can't become late
    return Limits(began_ns=began_ns, soft_ns=soft_ns, hard_ns=hard_ns)


class WaitOutcome(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """How a wait ended well, on what it rests, and how much room it had."""

    description: str
    """What was awaited."""
    waited: float
    """Seconds from the call to the arrival of what decided it; 0 where that had come before."""
    events: tuple[Event[T], ...] = ()
    """What it waited for, in the run's order: of `seen` all that were counted; of a comparison the last related."""
    position: int | None = None
    """The event that decided it, or None where none did: it was true from the start, or nothing came in its time."""
    soft: float | None = None
    """The soft limit in seconds; None for none."""
    hard: float | None = None
    """The hard limit in seconds; None for none."""
    late: bool = False
    """The soft timeout had passed; the run has a soft error for it."""

    @property
    def event(self) -> Event[T]:
        """The last of the events.

        Raises:
            LookupError: it rests on no event.
        """
        if not self.events:
            raise LookupError(f"waiting for {self.description} was decided without an event")
        return self.events[-1]

    @property
    def node(self) -> str:
        """The last event's node. Raises as `event` does."""
        return self.event.node

    @property
    def data(self) -> T:
        """The last event's data. Raises as `event` does."""
        return self.event.data


@final
class Wait:
    """Follows one condition through the run: events and the passing of time go in, a verdict stands.

    `state` belongs to the wait. Events before `start` only bring the state up to there.
    """

    def __init__(
        self, condition: AnyCondition, state: StateFold, limits: Limits, start: int = 0, nodes: tuple[str, ...] = ()
    ) -> None:
        self.condition = condition
        self.limits = limits
        self.error: BaseException | None = None
        """What the condition's own code raised."""
        self.late = False
        self.expired = False
        """Whether the hard limit has passed and all that arrived before it was seen."""
        self.position = start
        """Up to where the run was looked at: what came later has no part in the verdict."""
        self.decided_by: int | None = None
        self.decided_ns = limits.began_ns
        self.progress = Progress(have=0, need=1)
        self.closest = self.progress
        self.evidence: tuple[Event[Any], ...] = ()
        """The events that it rests on."""
        self._due_ns: int | None = None
        self._state = state
        self._start = start
        self._nodes = nodes
        self._machine: Machine | None = None
        self._types = (*condition.event_types, *LIFE_EVENTS)
        self._related: deque[Event[Any]] = deque(maxlen=RELATED_EVENTS)
        self._last_change_ns = limits.began_ns
        self._now_ns = limits.began_ns

    @property
    def verdict(self) -> Verdict:
        """What stands now."""
        return self.progress.verdict if self._machine is not None else Verdict.PRESUMABLY_FALSE

    @property
    def is_over(self) -> bool:
        """Whether nothing that comes changes anything any more."""
        return self.expired or self.error is not None or self.verdict.is_final

    @property
    def has_come_true(self) -> bool:
        """Whether it is true, or has held for its whole time."""
        held = self.expired and self.limits.lasting and self.verdict is Verdict.PRESUMABLY_TRUE
        return self.error is None and (self.verdict is Verdict.TRUE or held)

    @property
    def rests_on_absence(self) -> bool:
        """Whether its being true rests on something *not* having come."""
        needed = self.condition.needs_all_lines
        return needed and bool(getattr(self._machine, "rests_on_absence", needed))

    @property
    def judged_ns(self) -> int:
        """Up to which arrival the run has a part in the verdict, as it stands."""
        if self.verdict.is_final or self.limits.hard_ns is None:
            return self.decided_ns if self.verdict.is_final else self._now_ns
        return min(self.limits.hard_ns, self._now_ns) if not self.expired else self.limits.hard_ns

    def next_ns(self) -> int | None:
        """Return when the passing of time will matter next; None for never."""
        moments = [self._due_ns, self.limits.hard_ns, None if self.late else self.limits.soft_ns]
        return min((moment for moment in moments if moment is not None), default=None)

    def begin(self) -> None:
        """Take the state as it is for the start, and look for the first time. Again is no error."""
        if self.error is not None or self._machine is not None:
            return
        try:
            self._machine = self.condition.begin(Start(self._state, self.limits.began_ns, self._nodes))
            self._look()
        except BaseException as error:  # noqa: BLE001  # whatever a condition's code raises is its wait's error
            self.error = error
        self.closest = self.progress

    def take(self, event: Event[Any]) -> None:
        """Take one event in, in the run's order. After the end nothing changes any more."""
        if self.is_over:
            return
        if event.position < self._start:
            self._guarded(self._state.apply, event)
            return
        if self._still_open_at(event):
            self._now_ns = max(self._now_ns, event.arrived_ns)
            self._guarded(self._step, event)

    def _still_open_at(self, event: Event[Any]) -> bool:
        """Let time come to just before an event: all that arrived earlier has been told."""
        self.begin()
        self.pass_time(event.arrived_ns - 1, event.position)
        return not self.is_over

    def _step(self, event: Event[Any]) -> None:
        assert self._machine is not None  # noqa: S101  # an invariant: it has begun
        self._state.apply(event)
        if isinstance(event.data, self._types):
            if isinstance(event.data, self.condition.event_types) and not isinstance(event.data, Arrived):
                self._related.append(event)
            self._machine.step(event)
            self._look(event)

    def pass_time(self, now_ns: int, position: int = 0) -> None:
        """Take note that all that arrived up to `now_ns` has been taken in, and stands before `position`."""
        if not self.is_over:
            self.position = max(self.position, position)
        while not self.is_over and (due := self._due_ns) is not None and due <= now_ns and self._is_within(due):
            self._now_ns = max(self._now_ns, due)
            self._guarded(self._pass, due)
            if self._due_ns == due:
                break
        if self.is_over:
            return
        soft_ns, hard_ns = self.limits.soft_ns, self.limits.hard_ns
        self.late |= soft_ns is not None and soft_ns <= now_ns
        if hard_ns is not None and hard_ns <= now_ns:
            self.expired = True
            self._now_ns = max(self._now_ns, hard_ns)
        else:
            self._now_ns = max(self._now_ns, now_ns)

    def _is_within(self, moment_ns: int) -> bool:
        if self.limits.soft_ns is not None and moment_ns > self.limits.soft_ns:
            self.late = True
        return self.limits.hard_ns is None or moment_ns <= self.limits.hard_ns

    def _pass(self, now_ns: int) -> None:
        assert self._machine is not None  # noqa: S101  # an invariant: something was due
        self._machine.pass_time(now_ns)
        self._look()

    def _guarded(self, call: Any, argument: Any) -> None:
        try:
            call(argument)
        except BaseException as error:  # noqa: BLE001  # whatever a condition's code raises is its wait's error
            self.error = error

    def _look(self, event: Event[Any] | None = None) -> None:
        assert self._machine is not None  # noqa: S101  # an invariant: it has begun
        progress = self._machine.progress
        if progress.have > self.closest.have:
            self.closest = progress
            self._last_change_ns = self._now_ns
        self.progress = progress
        self.evidence = self._machine.evidence
        self._due_ns = self._machine.due_ns
        if progress.verdict.is_final:
            self.decided_ns = self._now_ns
            self.decided_by = None if event is None else event.position

    # In words

    def outcome(self) -> WaitOutcome[Any]:
        return WaitOutcome(
            description=self.condition.description,
            waited=max(0, (self._now_ns if self.expired else self.decided_ns) - self.limits.began_ns) / NS,
            events=self.evidence,
            position=self.decided_by,
            soft=self.limits.seconds(self.limits.soft_ns),
            hard=self.limits.seconds(self.limits.hard_ns),
            late=self.late,
        )

    def failure(self, now_ns: int, ledger_lines: Mapping[str, str]) -> BaseException:
        """Return the error to raise for a wait that did not come true.

        What is no `Exception` (`pytest.fail`, Ctrl-C) comes out as it is; but a cancellation that the condition's code
        raised is nobody's wish, and would vanish.
        """
        description = self.condition.description
        if self.error is not None:
            if not isinstance(self.error, Exception) and not is_cancellation(self.error):
                return self.error
            return ConditionError(self.condition.name, description, self.error)
        waited, explanation = (now_ns - self.limits.began_ns) / NS, self.explain(ledger_lines)
        return self._judgement(waited, explanation)

    def _judgement(self, waited: float, explanation: str) -> JudgementError:
        description = self.condition.description
        if self.progress.impossible is not None:
            kind = ViolationError if self.limits.lasting else ImpossibleError
            return kind(description, waited, self.progress.impossible, explanation)
        if not self.expired:
            return ImpossibleError(description, waited, "the run has ended", explanation)
        is_readiness = getattr(self.condition, "is_readiness", False)
        return WaitTimeoutError(self.condition.name, description, waited, explanation, is_readiness=is_readiness)

    def explain(self, ledger_lines: Mapping[str, str]) -> str:
        """Say how close it came, what is missing, since when it is stuck, and what was seen last."""
        progress = self.progress
        stuck = max(0, self._now_ns - self._last_change_ns) / NS
        lines = [
            f"  closest : {self.closest.have:g} of {self.closest.need:g}"
            + (f" (now {progress.have:g})" if progress.have != self.closest.have else "")
            + f"; nothing better for the last {stuck:.1f} s"
        ]
        lines += [f"  missing : {text}" for text in progress.missing]
        if self._related:
            lines.append(f"  last {len(self._related)} related events, oldest first:")
            lines += [f"    {described(event)}" for event in self._related]
        else:
            names = ", ".join(kind.__name__ for kind in self.condition.event_types) or "none"
            lines.append(f"  no related event came at all (related: {names})")
        lines += [f"  log     : {node}: {text}" for node, text in ledger_lines.items()]
        return "\n".join(lines)
