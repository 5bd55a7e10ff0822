"""A network and its nodes as a test sees them.

The engine does what it is asked; here is what holds for every engine. A call comes at a moment that makes sense, or is
refused by name. What Lucy did goes into the journal, at a position, after all that the node had written before. A node
that ends by itself is known at once, with its last lines, and ends the test unless that was expected.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, final

import anyio
import anyio.abc
import msgspec

from lucy_core import streams
from lucy_core.engine import Engine, LifeCycle, NetworkManager, NetworkSpec, NodeExit, State, start_order
from lucy_core.errors import (
    CaptureDiedError,
    InconclusiveError,
    LucyError,
    NodeExitedError,
    UnknownNodeError,
)
from lucy_core.history import History
from lucy_core.journal import (
    JOURNAL,
    NodeExited,
    NodeStopped,
    RunBegan,
    WaitEnded,
    WaitStarted,
    journal_line,
    moment,
)
from lucy_core.judging.fold import Fold
from lucy_core.judging.judgement import Judgement
from lucy_core.leases import Faults
from lucy_core.node import Node
from lucy_core.pipeline.hub import Interest
from lucy_core.pipeline.ledger import Ledger
from lucy_core.pipeline.pipeline import Pipeline
from lucy_core.records import Event, Level, LogRecord, Mark
from lucy_core.scopes import Scopes
from lucy_core.streams import Stream
from lucy_core.vocabulary import Vocabulary
from lucy_core.waiting import Clock, Condition, Duration, Verdict, WaitOutcome, WaitTracker

T = TypeVar("T")
LAST_LINES = 5


@final
class Network:
    """A running network. Made by `deploy`."""

    def __init__(
        self,
        *,
        run_id: str,
        spec: NetworkSpec,
        engine: Engine,
        pipeline: Pipeline,
        vocabulary: Vocabulary | None,
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        self.run_id = run_id
        self.spec = spec
        self.engine = engine
        self.pipeline = pipeline
        self.vocabulary = vocabulary
        self.clock = Clock(spec.slot_seconds, spec.slots_per_epoch)
        self.scopes = Scopes()
        """Numbers what happens in the run, and knows what the running task is inside of."""
        self._fold = Fold()
        self.judgement = Judgement(self._fold, self.scopes, self.journal, self._now)
        self.nodes: dict[str, Node] = {}
        self.fatal: LucyError | None = None
        """What ended the run from outside the test: a node that died, a capture that did."""
        self._when_fatal: dict[object, Callable[[], None]] = {}
        self._untold = 0
        self._all_told = anyio.Event()
        self.faults = Faults(self, tasks)
        """Faults, each as a lease: `async with network.faults.inject(…)`."""
        self._life = LifeCycle.of_run(run_id)
        self._tasks = tasks
        self._history = History(
            pipeline, vocabulary.event_types if vocabulary else (), vocabulary.new_state() if vocabulary else None
        )
        pipeline.report_cut_off(lambda text: self.soft_error(text, kind="subscriber"))

    def __repr__(self) -> str:
        return f"<network {self.spec.name}, run {self.run_id}>"

    def __getitem__(self, name: str) -> Node:
        try:
            return self.nodes[name]
        except KeyError:
            raise UnknownNodeError(name, self.nodes) from None

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    @property
    def name(self) -> str:
        """The network's name."""
        return self.spec.name

    @property
    def directory(self) -> Path | None:
        """The run directory."""
        return self.pipeline.directory

    @property
    def ledger(self) -> Ledger:
        """The account of what was captured."""
        return self.pipeline.ledger

    @property
    def state(self) -> Any:  # each vocabulary has its own
        """The vocabulary's picture of the network, up to what is delivered. Read it; don't keep or change it."""
        return self._history.state

    # Observing

    def mark(self) -> Mark:
        """Return the place after the last line that has arrived: `since=` it, nothing that follows is missed."""
        return self._history.mark()

    def events(
        self,
        kind: type[T],
        *others: type[T],
        nodes: Iterable[str] | None = None,
        level: Level | None = None,
        since: Mark | int | None = None,
    ) -> Stream[Event[T]]:
        """Stream events of one or more types, from `since` on, or from now. `since=0` is the run's beginning."""
        return streams.events(self.pipeline, kind, *others, nodes=self._known(nodes), level=level, since=since)

    def records(
        self,
        *,
        nodes: Iterable[str] | None = None,
        level: Level | None = None,
        since: Mark | int | None = None,
    ) -> Stream[Event[LogRecord]]:
        """Stream all records from a level up, Lucy's own included."""
        return streams.records(self.pipeline, nodes=self._known(nodes), level=level, since=since)

    def _known(self, nodes: Iterable[str] | None) -> list[str] | None:
        if nodes is None:
            return None
        return [self[name].name for name in ((nodes,) if isinstance(nodes, str) else nodes)]

    # Judging

    @contextmanager
    def section(self, name: str, *, soft: bool = False) -> Iterator[None]:
        """Name and time a part of the test; see `Judgement.section`."""
        with self.judgement.section(name, soft=soft):
            yield

    def soft_error(self, message: str, kind: str = "check") -> None:
        """Hold something against the run and go on."""
        self.judgement.soft_error(message, kind)

    def check(self, condition: bool, message: str) -> None:  # noqa: FBT001  # the thing that is checked
        """End the test unless `condition` holds. Raises CheckFailedError."""
        self.judgement.check(condition, message)

    def journal(self, event: msgspec.Struct) -> None:
        """Write one of Lucy's own events into the run's order."""
        self.pipeline.inject(JOURNAL, self._entry(event))

    async def journaled(self, event: msgspec.Struct) -> None:
        """Write one, and return once it has its place: a mark that is taken then stands behind it.

        A capture that has died is no error here: what happened counts for the result all the same, and the run is over.
        """
        line = self._entry(event)
        with contextlib.suppress(CaptureDiedError):
            await self.pipeline.write(JOURNAL, line)

    def _now(self) -> datetime:
        return moment(self.pipeline.now_ns())

    def _entry(self, event: msgspec.Struct) -> bytes:
        at = self._now()
        self._fold.apply(event, at)
        return journal_line(event, at)

    async def wait_for(
        self,
        condition: Condition[Any],
        *,
        since: Mark | int | None = None,
        soft: Duration | float | None = None,
        hard: Duration | float | None = None,
    ) -> WaitOutcome:
        """Wait until a condition is decided.

        Args:
            condition: what to wait for.
            since: from where on events count; by default from now, with the state as it is.
            soft: after this the run has a soft error, and the wait goes on; a bare number is seconds.
            hard: after this the wait is over.

        Raises:
            WaitTimeoutError: the hard timeout has passed.
            ImpossibleError: it can't come true any more.
            InconclusiveError: the log has a gap, so nobody can say.
            NodeExitedError: a node died that should be running.
        """
        soft_seconds = self.clock.in_seconds(condition.soft if soft is None else soft)
        hard_seconds = max(soft_seconds, self.clock.in_seconds(condition.hard if hard is None else hard))
        number = self.scopes.new_id()
        soft_limit, hard_limit = (_limit(seconds) for seconds in (soft_seconds, hard_seconds))
        self.journal(WaitStarted(number, condition.description, soft_limit, hard_limit, self.scopes.current()))
        began = time.monotonic()
        outcome = "cancelled"
        try:
            with self.scopes.entered(number):
                result = await self._wait(condition, since, soft_seconds, hard_seconds)
            outcome = "late" if result.late else "passed"
        except LucyError as error:
            outcome = type(error).__name__
            raise
        else:
            return result
        finally:
            self.journal(WaitEnded(number, condition.description, round(time.monotonic() - began, 3), outcome))

    async def _wait(self, condition: Condition[Any], since: Mark | int | None, soft: float, hard: float) -> WaitOutcome:
        if self.fatal is not None:
            raise self.fatal
        started = time.monotonic()
        decided = anyio.Event()
        async with self._history.track(condition, since, decided) as tracker:
            deaf = self.when_fatal(decided.set)
            try:
                late = not await _within(decided, soft)
                if late:
                    near = f"{tracker.closest.have:g} of {tracker.closest.need:g}"
                    self.soft_error(
                        f"soft timeout after {soft:g} s waiting for {condition.description} ({near} so far)",
                        kind="soft timeout",
                    )
                    if not await _within(decided, hard - soft):
                        # Lines that came in time may still be on their way through a loop that was blocked.
                        with anyio.move_on_after(hard):
                            await self.pipeline.reach(self.pipeline.mark().position)
            finally:
                deaf()
            waited = time.monotonic() - started
            return self._conclude(condition, tracker, waited, (soft, hard), late=late)

    def _conclude(
        self,
        condition: Condition[Any],
        tracker: WaitTracker[Any],
        waited: float,
        limits: tuple[float, float],
        *,
        late: bool,
    ) -> WaitOutcome:
        if tracker.verdict is Verdict.TRUE:
            return WaitOutcome(
                description=condition.description,
                waited=waited,
                position=tracker.decided_by,
                soft=limits[0],
                hard=limits[1],
                late=late,
            )
        if self.fatal is not None:
            raise self.fatal
        if not self.ledger.complete:
            message = (
                f"waiting for {condition.description}: the log is incomplete\n{tracker.explain(self.ledger.summary())}"
            )
            raise InconclusiveError(message)
        left_out = self.ledger.filtered_events
        if left_out and tracker.progress.impossible is None:
            message = (
                f"waiting for {condition.description}: the capture filter left out {left_out:,} events, and what was "
                "awaited may be among them; use a filter that keeps events, or none\n"
                f"{tracker.explain(self.ledger.summary())}"
            )
            raise InconclusiveError(message)
        raise tracker.failure(waited, self.ledger.summary())

    # Life

    def _exited(self, end: NodeExit) -> None:
        node = self.nodes[end.node]
        if (event := node.exited(end)) is not None:
            self._untold += 1
            self._tasks.start_soon(self._tell_death, node, end, event)

    async def _tell_death(self, node: Node, end: NodeExit, event: NodeExited) -> None:
        try:
            # Whoever is cancelled meanwhile: a death that was heard of is told. The capture answers or has an end.
            with anyio.CancelScope(shield=True):
                await node.settle(event)
            if not event.expected:
                recording = self.pipeline.recording
                lines = recording.last_lines(node.name, LAST_LINES) if recording else []
                self.fail(NodeExitedError(node.name, end.how, end.after, lines))
        finally:
            self._untold -= 1
            if not self._untold:
                self._all_told.set()
                self._all_told = anyio.Event()

    async def deaths_told(self) -> None:
        """Wait until each death that was heard of stands in the journal, and has ended the run if it has to."""
        while self._untold:
            await self._all_told.wait()

    def fail(self, error: LucyError) -> None:
        """End the run from outside the test: whatever the test awaits of the network raises this."""
        if self.fatal is None:
            self.fatal = error
            calls, self._when_fatal = self._when_fatal, {}
            for call in calls.values():
                call()

    def when_fatal(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have something called once when the run ends from outside the test; at once, where it has.

        Returns what takes that back; again is no error.
        """
        key = object()
        if self.fatal is None:
            self._when_fatal[key] = call
        else:
            call()

        def take_back() -> None:
            self._when_fatal.pop(key, None)

        return take_back

    async def _watch_capture(self) -> None:
        done = anyio.Event()

        def ended(error: Exception | None) -> None:
            if isinstance(error, CaptureDiedError):
                self.fail(error)
            done.set()

        self.pipeline.subscribe(Interest(nodes=()), lambda _: None, ended)
        await done.wait()

    async def start_all(self) -> None:
        """Start every node that was never started, as dependencies allow, each wave concurrently."""
        if self._life.state is State.DEPLOYED:
            self._life.move("start")
        for wave in start_order(self.spec.nodes):
            failures: list[Exception] = []
            async with anyio.create_task_group() as tasks:
                for spec in wave:
                    if self.nodes[spec.name].state is State.DEPLOYED:
                        tasks.start_soon(self._start_one, self.nodes[spec.name], failures, tasks.cancel_scope)
            if failures:
                raise failures[0]  # of the others each stands in the journal

    async def _start_one(self, node: Node, failures: list[Exception], rest: anyio.CancelScope) -> None:
        try:
            await node.start()
        except Exception as error:  # noqa: BLE001  # raised by `start_all`, and not in a group
            failures.append(error)
            rest.cancel()

    def begin(self, test: str) -> None:
        """Write that the run begins. For `Run`."""
        nodes = {spec.name: spec.role for spec in self.spec.nodes}
        self.journal(RunBegan(self.run_id, test, self.engine.name, nodes))

    async def bring_up(self, manager: NetworkManager) -> None:
        """Deploy the nodes, without starting any. For `Run`."""
        await self._history.begin()
        deployed = await manager.deploy(self._exited)
        self.faults.serve(deployed)
        self.nodes.update({spec.name: Node(self, spec, deployed.nodes[spec.name]) for spec in self.spec.nodes})
        self._life.move("deploy")
        self._tasks.start_soon(self._watch_capture)

    async def take_down(self, manager: NetworkManager) -> None:
        """Destroy the nodes and take their last lines. For `Run`.

        Raises:
            LucyError: a fault could not be undone, or a node not be destroyed; all else was done.
        """
        self._life.move("destroy")
        for node in self:
            node.leaving()
        trouble: LucyError | None = None
        try:
            await self.faults.end_all()
        except LucyError as error:
            trouble = error
        try:
            await manager.destroy()
        except LucyError as error:
            trouble = trouble or error
        await self.deaths_told()
        with contextlib.suppress(CaptureDiedError):  # said already, by `_watch_capture`
            for node in self:
                last = await self.pipeline.drain(node.name)
                if node.state in (State.RUNNING, State.PAUSED):
                    await self.journaled(NodeStopped(node.name))
                node.destroyed()
                self.pipeline.end_node(node.name, last)
        if trouble is not None:
            raise trouble


def _limit(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


async def _within(event: anyio.Event, seconds: float) -> bool:
    with anyio.move_on_after(seconds):
        await event.wait()
    return event.is_set()
