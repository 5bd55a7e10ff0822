"""Waiting on a run, live or replayed: the shell around `waiting.Wait`, which decides.

It places the wait in the run's order, feeds it, wakes when something may be decided, asks the fence where time has
passed, and says in the journal what it did.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, NoReturn, Protocol, final

import anyio
import msgspec

from lucy_core.aio import one_error
from lucy_core.delivery.delivery import Handle
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import CaptureDiedError, InconclusiveError, RecordingError
from lucy_core.judging.conditions.about import sightings_of
from lucy_core.judging.conditions.combinations import conditions
from lucy_core.judging.conditions.condition import AnyCondition
from lucy_core.judging.conditions.probes import Probe, Prober, probes_of
from lucy_core.judging.conditions.sightings import Sighting
from lucy_core.judging.durations import NS, Clock, Duration
from lucy_core.judging.history import History
from lucy_core.judging.waiting import Limits, Wait, WaitOutcome, limits
from lucy_core.records.event import EventType, event_type
from lucy_core.records.journal import JOURNAL
from lucy_core.records.keys import node_of
from lucy_core.records.record import Arrived, Malformed, Mark, Undecodable

PATIENCE = 30.0
"""Seconds that capture, and the way from it to here, get to answer a fence."""
PAST = 1e-5
"""Seconds behind a limit at which to look: at the limit itself something may still arrive that counts."""
LONGEST_SLEEP = 3600.0
"""Loops differ in what they make of timers of years."""
PROBE_SECONDS = 0.1
"""How long to wait between two questions to a node."""


class Run(Protocol):
    """What a wait needs of the run that it is in."""

    pipeline: Pipeline
    history: History
    clock: Clock

    @property
    def fatal(self) -> BaseException | None:
        """What ended the run from outside the test."""
        ...

    @property
    def node_names(self) -> tuple[str, ...]:
        """All nodes there are."""
        ...

    @property
    def prober(self) -> Prober | None:
        """Who asks nodes; None where nobody can be asked any more, and what was answered stands in the recording."""
        ...

    def check_nodes(self, names: tuple[str, ...]) -> None:
        """Refuse names that the network doesn't have. Raises UnknownNodeError."""
        ...

    def when_fatal(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call once the run is ended from outside; return what takes that back."""
        ...

    def soft_error(self, message: str, kind: str = "check") -> None:
        """Hold something against the run and go on."""
        ...

    def journal(self, event: msgspec.Struct) -> None:
        """Write one of Lucy's own events into the run's order."""
        ...


@final
class Waiting:
    """One wait, about to begin or under way. Made by `prepare`."""

    def __init__(self, run: Run, condition: AnyCondition, start: int | None, limits: Limits) -> None:
        self.condition = condition
        self.limits = limits
        """When it is late and when over."""
        self.start = start
        """The position from which on events count; None for where it begins."""
        self._run = run
        self._changed = anyio.Event()
        self._ended = False
        self._end_error: Exception | None = None
        self._about: tuple[Sighting[Any], ...] | None = sightings_of(condition)
        self._declared = _declared(condition.event_types)
        self._unreadable: list[Undecodable | Malformed] = []
        """What may be such an event: of lines that are no records those that name one."""
        self._handles: list[Handle] = []
        self._wait: Wait
        self._told_late = False

    async def decide(self, started: int) -> WaitOutcome[Any]:
        """Follow the run until it is decided, asking nodes where that is awaited. Raises as `Network.wait_for` does.

        Args:
            started: the position before which everything had arrived when it began; its fold goes there at least.
        """
        run = self._run
        try:
            if run.prober is None or not probes_of(self.condition):
                return await self._decide(started)
            return await self._decide_asking(run.prober, started)
        except (CaptureDiedError, RecordingError):
            if run.fatal is not None:
                raise run.fatal from None
            raise

    async def _decide_asking(self, prober: Prober, started: int) -> WaitOutcome[Any]:
        async def ask(probe: Probe) -> None:
            last = None
            while True:
                answer = await prober(probe)
                if answer != last:
                    self._run.journal(answer)
                    last = answer
                await anyio.sleep(PROBE_SECONDS)

        outcomes: list[WaitOutcome[Any]] = []
        async with one_error(), anyio.create_task_group() as tasks:
            for probe in probes_of(self.condition):
                tasks.start_soon(ask, probe)
            outcomes.append(await self._decide(started))
            tasks.cancel_scope.cancel()
        return outcomes[0]

    async def _decide(self, started: int) -> WaitOutcome[Any]:
        async with AsyncExitStack() as stack:
            self._subscribe(started if self.start is None else self.start)
            stack.callback(self._cancel)
            stack.callback(self._run.when_fatal(self._changed.set))
            await self._follow(started)
        return self._conclude()

    def _subscribe(self, start: int) -> None:
        # In one turn of the loop: the copy stands where the subscription begins.
        pipeline, history, kinds = self._run.pipeline, self._run.history, self.condition.event_types
        copied, state = history.copy_before(start)
        self._wait = Wait(self.condition, state, self.limits, start, self._run.node_names)
        self._handles.append(pipeline.subscribe(history.interest(kinds), self._take, self._end, since=copied))
        if self.condition.needs_all_lines and self._declared:
            for kind in (Undecodable, Malformed):
                interest = Interest(kind=kind, event_types=self._declared)
                handle = pipeline.subscribe(interest, self._unreadable.extend, lambda _: None, since=start)
                self._handles.append(handle)

    def _cancel(self) -> None:
        for handle in self._handles:
            handle.cancel()

    def _take(self, items: list[Any]) -> None:
        for item in items:
            self._wait.take(item)
        if self._wait.is_over:
            self._changed.set()

    def _end(self, error: Exception | None) -> None:
        self._ended = True
        self._end_error = error
        self._changed.set()

    async def _follow(self, started: int) -> None:
        pipeline, wait = self._run.pipeline, self._wait
        await self._reach(started)
        wait.begin()
        while not (wait.is_over or self._ended or self._run.fatal is not None):
            self._tell_late()
            now_ns = pipeline.now_ns()
            next_ns = wait.next_ns()
            if next_ns is None or now_ns <= next_ns:
                seconds = LONGEST_SLEEP if next_ns is None else min(LONGEST_SLEEP, (next_ns - now_ns) / NS + PAST)
                with anyio.move_on_after(seconds):
                    await self._changed.wait()
                continue
            position = await self._reach(None)
            wait.pass_time(now_ns - 1, position)  # something else may yet arrive at this very moment
        if self._ended and not wait.is_over:
            # A replayed run is over at its last line, a live one now.
            wait.begin()
            wait.pass_time(pipeline.now_ns(), pipeline.delivered)
        self._tell_late()

    async def _reach(self, position: int | None) -> int:
        """See all before a position; None: before a fence behind which only later arrivals stand. Return it.

        Raises:
            InconclusiveError: neither came in time.
        """
        with anyio.move_on_after(PATIENCE) as scope:
            if position is None:
                position = await self._run.pipeline.fence()
            for handle in self._handles:
                await handle.reach(position)
        if scope.cancelled_caught and not self._wait.is_over and self._run.fatal is None:
            self._inconclusive(f"for {PATIENCE:g} s capture did not answer, or did not deliver what had arrived")
        return position or 0

    def _tell_late(self) -> None:
        wait = self._wait
        if wait.late and not self._told_late:
            self._told_late = True
            near = f"{wait.closest.have:g} of {wait.closest.need:g}"
            soft = wait.limits.seconds(wait.limits.soft_ns)
            self._run.soft_error(
                f"soft timeout after {soft:g} s waiting for {self.condition.description} ({near} so far)",
                kind="soft timeout",
            )

    def _conclude(self) -> WaitOutcome[Any]:
        wait, run = self._wait, self._run
        if wait.has_come_true:
            if wait.rests_on_absence:
                self._check_that_nothing_is_missing()
            return wait.outcome()
        ledger = run.pipeline.ledger
        if wait.error is None and not wait.verdict.is_final:
            if run.fatal is not None:
                raise run.fatal
            self._check_that_nothing_is_missing()
            if not wait.expired and self._end_error is not None:
                self._inconclusive(f"its lines can't be read any further: {self._end_error}")
            if not wait.expired and self.condition.must_hold:
                self._inconclusive("the run has ended before its time was over")
        error = wait.failure(run.pipeline.now_ns(), ledger.summary())
        raise error

    def _check_that_nothing_is_missing(self) -> None:
        """Let no verdict rest on lines that nobody has seen.

        Raises:
            InconclusiveError: there is a gap, a capture filter left out events, or some can't be read.
        """
        ledger, judged = self._run.pipeline.ledger, self._wait.position
        gap = next((gap for gap in ledger.gaps if gap.position <= judged and self._may_matter(gap.node)), None)
        if gap is not None:
            self._inconclusive(f"the log is incomplete {gap}")
        absence = next((each for each in ledger.absences if each.from_ns < self._wait.judged_ns <= each.to_ns), None)
        if absence is not None:
            seconds = (absence.to_ns - absence.from_ns) / NS
            self._inconclusive(
                f"capture stood still for {seconds:.1f} s when its time was over, so nobody can say what came in time"
            )
        kinds = self.condition.event_types
        any_line = Arrived in kinds or not all(kind.is_counted for kind in self._declared)
        left_out = sum(
            account.filtered_lines if any_line else account.filtered_events
            for key, account in ledger.nodes.items()
            if account.filtered_at is not None and account.filtered_at <= judged and self._may_matter(node_of(key))
        )
        if left_out:
            what = f"the capture filter left out {left_out:,} {'lines' if any_line else 'events'}"
            advice = "use none" if any_line else "use a filter that keeps events, or none"
            self._inconclusive(f"{what}, and what was awaited may be among them; {advice}")
        unreadable = [each for each in self._unreadable if self._may_be_meant(each)]
        if unreadable:
            first = unreadable[0]
            self._inconclusive(
                f"{len(unreadable)} lines say that they are such events and can't be read, the first at position "
                f"{first.position} of {first.node}: {first.reason}"
            )

    def _may_matter(self, node: str | None) -> bool:
        """Whether a node's lines have a part in the condition."""
        if self._about is None or node is None:
            return True
        return any(not each.nodes or node in each.nodes or node == JOURNAL for each in self._about)

    def _may_be_meant(self, line: Undecodable | Malformed) -> bool:
        wait = self._wait
        if line.arrived_ns > wait.judged_ns or (wait.decided_by is not None and line.position > wait.decided_by):
            return False
        if self._about is None:
            return True
        meant = [each for each in self._about if not each.nodes or line.node in each.nodes]
        if isinstance(line, Malformed):
            return any(kind.may_be(line.raw, line.node) for each in meant for kind in _declared(each.kinds))
        return any(kind.__name__ == line.event_type for each in meant for kind in each.kinds)

    def _inconclusive(self, why: str) -> NoReturn:
        explanation = self._wait.explain(self._run.pipeline.ledger.summary())
        raise InconclusiveError(why, what=f"waiting for {self.condition.description}", explanation=explanation)


def _declared(kinds: tuple[type, ...]) -> list[EventType[Any]]:
    """Look up the types; that anything arrived at all is no line's."""
    return [event_type(kind) for kind in kinds if kind is not Arrived]


def prepare(
    run: Run,
    condition: AnyCondition | type,
    *,
    since: Mark | int | None,
    soft: Duration | float | None,
    hard: Duration | float | None,
    lasting: Duration | float | None,
) -> Waiting:
    """Check what is to be awaited, and work out from where and until when. Raises as `Network.wait_for` does.

    Args:
        run: where.
        condition: for what; an event type is short for seeing one.
        since: from where on events count.
        soft: after this it is late.
        hard: after this it is over.
        lasting: for how long it has to hold.
    """
    pipeline = run.pipeline
    if pipeline.is_closed:
        raise RecordingError(
            "this run", "is over and its recording closed: open it with `lucy.replay(…)` to ask it again"
        )
    (condition,) = conditions("wait_for", (condition,))
    run.check_nodes(condition.nodes)
    start = pipeline.place(since)
    began_ns = pipeline.began_at_ns(start)
    chosen = limits(condition, run.clock, began_ns, soft=soft, hard=hard, lasting=lasting)
    if run.fatal is not None:
        raise run.fatal
    return Waiting(run, condition, start, chosen)
