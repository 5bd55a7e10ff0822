"""A network and its nodes as a test sees them.

The engine does what it is asked; here is what holds for every engine. A call comes at a moment that makes sense, or is
refused by name. What Lucy did goes into the journal, at a position, after all that the node had written before. A node
that ends by itself is known at once, with its last lines, and ends the test unless that was expected.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, final, overload

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
    NodeStopped,
    RunError,
    SectionEnded,
    SectionStarted,
    WaitEnded,
    WaitStarted,
    journal_line,
)
from lucy_core.judgement import CurrentWait, HeldError, Judgement, SectionResult
from lucy_core.leases import Faults
from lucy_core.node import Node
from lucy_core.pipeline.hub import Interest
from lucy_core.pipeline.ledger import Ledger
from lucy_core.pipeline.pipeline import Pipeline
from lucy_core.records import Event, Level, LogRecord, Mark
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
        self.judgement = Judgement()
        self.nodes: dict[str, Node] = {}
        self.fatal: BaseException | None = None
        """What ended the run from outside the test: a node or a capture that died, a callback's `pytest.fail`."""
        self.on_fatal: list[Callable[[], None]] = []
        self.faults = Faults(self, tasks)
        """Faults, each as a lease: `async with network.faults.inject(…)`."""
        self._life = LifeCycle.of_run(run_id)
        self._tasks = tasks
        self._history = History(
            pipeline, vocabulary.event_types if vocabulary else (), vocabulary.new_state() if vocabulary else None
        )
        pipeline.report_cut_off(lambda text: self.soft_error(text, kind="subscriber"))
        pipeline.report_escape(self.fail)
        self.judgement.listeners.append(self._journal_judgement)

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
        """Stream events of one or more types, from `since` on, or from now. `since=0` is the run's beginning.

        Raises:
            UnknownNodeError: the network has no such node.
            NoNodesError: `nodes` is empty.
            PlaceError: `since` is no place in this run.
        """
        return streams.events(self.pipeline, kind, *others, nodes=self._known(nodes), level=level, since=since)

    def records(
        self,
        *,
        nodes: Iterable[str] | None = None,
        level: Level | None = None,
        since: Mark | int | None = None,
    ) -> Stream[Event[LogRecord]]:
        """Stream all records from a level up, Lucy's own included; raises as `events` does."""
        return streams.records(self.pipeline, nodes=self._known(nodes), level=level, since=since)

    @overload
    async def so_far(
        self, *, nodes: Iterable[str] | None = None, level: Level | None = None, since: Mark | int = 0
    ) -> list[Event[LogRecord]]: ...
    @overload
    async def so_far(
        self,
        kind: type[T],
        /,
        *others: type[T],
        nodes: Iterable[str] | None = None,
        level: Level | None = None,
        since: Mark | int = 0,
    ) -> list[Event[T]]: ...
    async def so_far(
        self,
        *kinds: Any,
        nodes: Iterable[str] | None = None,
        level: Level | None = None,
        since: Mark | int = 0,
    ) -> list[Event[Any]]:
        """Return what was logged from `since` to this call, exactly, or raise: records, where no types are named.

        ::

            assert not await network.so_far(level=lucy.Level.ERROR)

        Raises:
            InconclusiveError: the log has a gap, so that nobody can say.
            UnknownNodeError: the network has no such node.
            NoNodesError: `nodes` is empty.
            PlaceError: `since` is no place in this run.
        """
        return await streams.so_far(self.pipeline, *kinds, nodes=self._known(nodes), level=level, since=since)

    def _known(self, nodes: Iterable[str] | None) -> list[str] | None:
        if nodes is None:
            return None
        names = [nodes] if isinstance(nodes, str) else list(nodes)
        return [name if name == JOURNAL else self[name].name for name in names]

    # Judging

    @contextmanager
    def section(self, name: str, *, soft: bool = False) -> Iterator[None]:
        """Name and time a part of the test; see `Judgement.section`."""
        self.journal(SectionStarted(name))
        with self.judgement.section(name, soft=soft):
            yield

    def soft_error(self, message: str, kind: str = "check") -> None:
        """Hold something against the run and go on."""
        self.judgement.soft_error(message, kind)

    def check(self, condition: bool, message: str) -> None:  # noqa: FBT001  # the thing that is checked
        """End the test unless `condition` holds. Raises CheckFailedError."""
        self.judgement.check(condition, message)

    def _journal_judgement(self, what: HeldError | SectionResult) -> None:
        if isinstance(what, HeldError):
            self.journal(RunError(what.severity, what.message))
        else:
            self.journal(SectionEnded(what.name, round(what.seconds, 3), what.outcome))

    def journal(self, event: msgspec.Struct) -> None:
        """Write one of Lucy's own events into the run's order."""
        self.pipeline.inject(JOURNAL, journal_line(event))

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
        self.journal(WaitStarted(condition.description, soft_seconds, hard_seconds))
        wait = CurrentWait(condition.description, time.monotonic(), soft_seconds, hard_seconds)
        self.judgement.current_wait = wait
        outcome = "cancelled"
        try:
            result = await self._wait(condition, since, soft_seconds, hard_seconds)
            outcome = "late" if result.late else "passed"
        except LucyError as error:
            outcome = type(error).__name__
            raise
        else:
            return result
        finally:
            waited = time.monotonic() - wait.started
            self.judgement.waits.append((condition.description, waited, outcome))
            self.judgement.current_wait = None
            self.journal(WaitEnded(condition.description, round(waited, 3), outcome))

    async def _wait(self, condition: Condition[Any], since: Mark | int | None, soft: float, hard: float) -> WaitOutcome:
        if self.fatal is not None:
            raise self.fatal
        started = time.monotonic()
        decided = anyio.Event()
        async with self._history.track(condition, since, decided) as tracker:
            self.on_fatal.append(decided.set)
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
                self.on_fatal.remove(decided.set)
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
        if node.exited(end) and self._life.state is not State.DESTROYED:
            self._tasks.start_soon(self._explain_exit, node, end)

    async def _explain_exit(self, node: Node, end: NodeExit) -> None:
        await self.pipeline.drain(node.name)
        event = node.settle_exit(end)
        self.journal(event)
        if event.expected or self._life.state is not State.RUNNING:
            return
        recording = self.pipeline.recording
        lines = recording.last_lines(node.name, LAST_LINES) if recording else []
        self.fail(NodeExitedError(node.name, end.how, end.after, lines))

    def fail(self, error: BaseException) -> None:
        """End the run from outside the test: whatever the test awaits of the network raises this."""
        if self.fatal is None:
            self.fatal = error
            self.pipeline.abort(error)
            for call in tuple(self.on_fatal):
                call()

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
            async with anyio.create_task_group() as tasks:
                for spec in wave:
                    if self.nodes[spec.name].state is State.DEPLOYED:
                        tasks.start_soon(self.nodes[spec.name].start)

    async def bring_up(self, manager: NetworkManager) -> None:
        """Deploy the nodes, without starting any. For `deploy`."""
        await self._history.begin()
        deployed = await manager.deploy(self._exited)
        self.faults.serve(deployed)
        self.nodes.update({spec.name: Node(self, spec, deployed.nodes[spec.name]) for spec in self.spec.nodes})
        self._life.move("deploy")
        self._tasks.start_soon(self._watch_capture)

    async def _end_faults(self) -> None:
        try:
            await self.faults.end_all()
        except LucyError as error:
            self.judgement.hold(error)

    async def take_down(self, manager: NetworkManager) -> None:
        """Destroy the nodes and take their last lines. For `deploy`."""
        self._life.move("destroy")
        await self._end_faults()
        await manager.destroy()
        with contextlib.suppress(CaptureDiedError):  # said already, by `_watch_capture`
            for node in self:
                last = await self.pipeline.drain(node.name)
                if node.state in (State.RUNNING, State.PAUSED):
                    self.journal(NodeStopped(node.name))
                node.destroyed()
                self.pipeline.end_node(node.name, last)


async def _within(event: anyio.Event, seconds: float) -> bool:
    with anyio.move_on_after(seconds):
        await event.wait()
    return event.is_set()
