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
from lucy_core.aio import one_error
from lucy_core.engine import Engine, LifeCycle, NetworkManager, NetworkSpec, NodeExit, State, start_order
from lucy_core.errors import (
    CaptureDiedError,
    LucyError,
    NodeExitedError,
    UnknownNodeError,
)
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
from lucy_core.judging import waits
from lucy_core.judging.conditions import AnyCondition
from lucy_core.judging.durations import Clock, Duration
from lucy_core.judging.history import History
from lucy_core.judging.probes import Prober
from lucy_core.judging.sightings import Seen
from lucy_core.judging.waiting import Limits, WaitOutcome
from lucy_core.leases import Faults
from lucy_core.node import Node
from lucy_core.pipeline.hub import Interest
from lucy_core.pipeline.ledger import Ledger
from lucy_core.pipeline.pipeline import Pipeline
from lucy_core.probing import NodeProber
from lucy_core.records import Event, Level, LogRecord, Mark
from lucy_core.streams import Stream
from lucy_core.vocabulary import Vocabulary

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
        self.clock = Clock(spec.slot_seconds, spec.slots_per_epoch, spec.genesis_time)
        self.judgement = Judgement()
        self.nodes: dict[str, Node] = {}
        self.fatal: LucyError | None = None
        """What ended the run from outside the test: a node that died, a capture that did."""
        self.on_fatal: list[Callable[[], None]] = []
        self.faults = Faults(self, tasks)
        """Faults, each as a lease: `async with network.faults.inject(…)`."""
        self._life = LifeCycle.of_run(run_id)
        self._tasks = tasks
        self.history = History(
            pipeline, vocabulary.event_types if vocabulary else (), vocabulary.new_state() if vocabulary else None
        )
        pipeline.report_cut_off(lambda text: self.soft_error(text, kind="subscriber"))
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
        return self.history.state

    # Observing

    def mark(self) -> Mark:
        """Return the place after the last line that has arrived: `since=` it, nothing that follows is missed."""
        return self.history.mark()

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

    @overload
    async def wait_for(
        self,
        condition: Seen[T],
        *,
        since: Mark | int | None = None,
        soft: Duration | float | None = None,
        hard: Duration | float | None = None,
    ) -> WaitOutcome[T]: ...
    @overload
    async def wait_for(
        self,
        condition: AnyCondition,
        *,
        since: Mark | int | None = None,
        soft: Duration | float | None = None,
        hard: Duration | float | None = None,
        lasting: Duration | float | None = None,
    ) -> WaitOutcome[Any]: ...
    async def wait_for(
        self,
        condition: AnyCondition,
        *,
        since: Mark | int | None = None,
        soft: Duration | float | None = None,
        hard: Duration | float | None = None,
        lasting: Duration | float | None = None,
    ) -> WaitOutcome[Any]:
        """Wait until a condition is decided; return what decided it.

        Limits count from the call, by the arrival of lines and not by when this loop looks at them; a bare number is
        seconds. Those given in slots or epochs count the network's: before its genesis none has begun.

        Args:
            condition: what to wait for.
            since: from where on events count; by default from now, with the state as it is once all that has arrived
                by now is folded.
            soft: after this the run has a soft error, and the wait goes on.
            hard: after this the wait is over.
            lasting: for how long a condition has to hold that is never true for good: `never(…)`.

        Raises:
            WaitTimeoutError: the hard limit has passed.
            ImpossibleError: it can't come true any more.
            ViolationError: it had to hold, and was broken.
            ConditionError: the condition's own code failed.
            InconclusiveError: the log has a gap, so nobody can say.
            NodeExitedError: a node died that should be running.
            UnknownNodeError: it names a node that the network doesn't have.
            LimitError: a limit is no length of time, or doesn't go with the condition.
            PlaceError: `since` is no place in this run.
        """
        announced: list[Limits] = []
        started = time.monotonic()

        async def announce(limits: Limits) -> int:
            announced.append(limits)
            soft_seconds, hard_seconds = limits.seconds(limits.soft_ns), limits.seconds(limits.hard_ns)
            self.judgement.current_wait = CurrentWait(condition.description, started, soft_seconds, hard_seconds)
            if self.pipeline.ended:
                return self.pipeline.delivered
            event = WaitStarted(condition.description, soft_seconds, hard_seconds)
            return await self.pipeline.write(JOURNAL, journal_line(event))

        outcome = "cancelled"
        try:
            result = await waits.wait(
                self, condition, since=since, soft=soft, hard=hard, lasting=lasting, announce=announce
            )
            outcome = "late" if result.late else "passed"
        except LucyError as error:
            outcome = type(error).__name__
            raise
        else:
            return result
        finally:
            if announced:
                waited = time.monotonic() - started
                self.judgement.waits.append((condition.description, waited, outcome))
                self.judgement.current_wait = None
                self.journal(WaitEnded(condition.description, round(waited, 3), outcome))

    @property
    def node_names(self) -> tuple[str, ...]:
        """All nodes' names, in the spec's order."""
        return tuple(node.name for node in self.spec.nodes)

    def check_nodes(self, names: Iterable[str]) -> None:
        """Refuse names that the network doesn't have.

        Raises:
            UnknownNodeError: naming the first, and those that there are.
        """
        for name in names:
            if name not in self.node_names:
                raise UnknownNodeError(name, self.node_names)

    @property
    def prober(self) -> Prober | None:
        """Who asks nodes whether they answer; nobody once the run is over."""
        return None if self.pipeline.ended else NodeProber(self.nodes)

    def when_fatal(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call once the run is ended from outside the test; return what takes that back."""
        self.on_fatal.append(call)
        return lambda: self.on_fatal.remove(call) if call in self.on_fatal else None

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

    def fail(self, error: LucyError) -> None:
        """End the run from outside the test: whatever the test awaits of the network raises this."""
        if self.fatal is None:
            self.fatal = error
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
        """Start every node that was never started, as dependencies allow, each wave concurrently.

        Of several that can't be started the first is raised; the others stand on it as notes.
        """
        if self._life.state is State.DEPLOYED:
            self._life.move("start")
        for wave in start_order(self.spec.nodes):
            async with one_error(), anyio.create_task_group() as tasks:
                for spec in wave:
                    if self.nodes[spec.name].state is State.DEPLOYED:
                        tasks.start_soon(self.nodes[spec.name].start)

    async def bring_up(self, manager: NetworkManager) -> None:
        """Deploy the nodes, without starting any. For `deploy`."""
        await self.history.begin()
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
