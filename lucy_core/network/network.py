"""A network and its nodes as a test sees them.

The engine does what it is asked; here is what holds for every engine. A call comes at a moment that makes sense, or is
refused by name. What Lucy did goes into the journal, at a position, after all that the node had written before. A node
that ends by itself is known at once, with its last lines, and ends the test unless that was expected.
"""

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
from lucy_core.arguments import names_of
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.engine import Engine, LifeCycle, NetworkManager, NetworkSpec, NodeExit, State, start_order
from lucy_core.errors import CaptureDiedError, LucyError, UnknownNodeError
from lucy_core.judging import waits
from lucy_core.judging.conditions.condition import AnyCondition
from lucy_core.judging.conditions.probes import Prober
from lucy_core.judging.conditions.sightings import Seen
from lucy_core.judging.durations import Clock, Duration
from lucy_core.judging.history import History
from lucy_core.judging.journaling import Journal
from lucy_core.judging.judgement import Judgement
from lucy_core.judging.scopes import Scopes
from lucy_core.judging.waiting import Limits, WaitOutcome
from lucy_core.network.ending import Ending
from lucy_core.network.leases import Faults
from lucy_core.network.node import Node
from lucy_core.network.probing import NodeProber
from lucy_core.network.vocabulary import Vocabulary
from lucy_core.recording.ledger import Ledger
from lucy_core.records.journal import (
    JOURNAL,
    MarkTaken,
    NodeStopped,
    RunBegan,
    WaitEnded,
)
from lucy_core.records.record import Event, Level, LogRecord, Mark
from lucy_core.streams import Stream

T = TypeVar("T")


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
        self.clock = Clock(spec.units, spec.counted_from)
        self.scopes = Scopes()
        """Numbers what happens in the run, and knows what the running task is inside of."""
        self._journal = Journal(pipeline)
        self.judgement = Judgement(self._journal.fold, self.scopes, self._journal.write, self._journal.now)
        self.nodes: dict[str, Node] = {}
        self.ending = Ending(pipeline, tasks)
        """What ends the run from outside the test."""
        self.faults = Faults(self, tasks)
        """Faults, each as a lease: `async with network.faults.inject(…)`."""
        self._life = LifeCycle.of_run(run_id)
        self._tasks = tasks
        self.history = History(
            pipeline, vocabulary.event_types if vocabulary else (), vocabulary.new_state() if vocabulary else None
        )
        pipeline.report_cut_off(lambda text: self.soft_error(text, kind="subscriber"))
        pipeline.report_escape(self.fail)

    def __repr__(self) -> str:
        return f"<network {self.spec.name}, run {self.run_id}>"

    def __getitem__(self, name: str) -> Node:
        try:
            return self.nodes[name]
        except (KeyError, TypeError):  # the latter of what can't be a key at all
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
        mark = self.history.mark()
        self.journal(MarkTaken(self.scopes.new_id(), mark.position, self.scopes.current()))
        return mark

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
        """Stream the nodes' records from a level up, and Lucy's own where `nodes` names it; see `streams.records`."""
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
        """Return what was logged from `since` to this call, exactly, or raise; without types the nodes' records.

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
        return [name if name == JOURNAL else self[name].name for name in names_of(nodes, "nodes")]

    # Judging

    @contextmanager
    def section(self, name: str, *, soft: bool = False) -> Iterator[None]:
        """Name and time a part of the test; see `Judgement.section`."""
        with self.judgement.section(name, soft=soft):
            yield

    def soft_error(self, message: str, kind: str = "check") -> None:
        """Hold something against the run and go on; see `Judgement.soft_error`."""
        self.judgement.soft_error(message, kind)

    def check(self, condition: bool, message: str) -> None:  # noqa: FBT001  # the thing that is checked
        """End the test unless `condition` holds. Raises CheckFailedError."""
        self.judgement.check(condition, message)

    def journal(self, event: msgspec.Struct) -> None:
        """Write one of Lucy's own events into the run's order."""
        self._journal.write(event)

    async def journaled(self, event: msgspec.Struct) -> None:
        """Write one, and return once it has its place; see `Journal.written`."""
        await self._journal.written(event)

    @overload
    async def wait_for(
        self,
        condition: Seen[T] | type[T],
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
        condition: AnyCondition | type,
        *,
        since: Mark | int | None = None,
        soft: Duration | float | None = None,
        hard: Duration | float | None = None,
        lasting: Duration | float | None = None,
    ) -> WaitOutcome[Any]:
        """Wait until a condition is decided; return what decided it.

        Limits count from the call, by the arrival of lines and not by when this loop looks at them; a bare number is
        seconds. Those given in units of the network's own begin when these do, if that is yet to come.

        Args:
            condition: what to wait for; an event type is short for `seen` of it.
            since: from where on events count; by default from now, all that has arrived by now being folded.
            soft: after this the run has a soft error, and the wait goes on. Where `hard` alone is given there is none.
            hard: after this the wait is over.
            lasting: for how long a condition has to hold that is never true for good: `never(…)`.

        Raises:
            WaitTimeoutError: the hard limit has passed.
            ImpossibleError: it can't come true any more.
            ViolationError: it had to hold, and was broken.
            ConditionError: the condition's own code failed.
            InconclusiveError: the log has a gap, so nobody can say.
            NodeExitedError: a node died that should be running. What else ends the run is raised too.
            UnknownNodeError: it names a node that the network doesn't have.
            LimitError, PlaceError: a limit, or `since`, makes no sense here.
            StrayCallError: it is called from another thread or loop than the network's.
        """
        self._journal.check_caller()
        number, parent = self.scopes.new_id(), self.scopes.current()
        awaited: AnyCondition | None = None
        began = time.monotonic()

        async def announce(chosen: AnyCondition, limits: Limits) -> int:
            nonlocal awaited
            awaited = chosen
            return await self._journal.begin_wait(number, chosen.description, limits, parent)

        outcome = "cancelled"
        try:
            async with self.ending.named():
                with self.scopes.entered(number):
                    result = await waits.wait(
                        self, condition, since=since, soft=soft, hard=hard, lasting=lasting, announce=announce
                    )
            outcome = "late" if result.late else "passed"
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            outcome = type(error).__name__
            raise
        else:
            return result
        finally:
            if awaited is not None:
                self.journal(WaitEnded(number, awaited.description, round(time.monotonic() - began, 3), outcome))

    @property
    def node_names(self) -> tuple[str, ...]:
        """All nodes' names, in the spec's order."""
        return tuple(node.name for node in self.spec.nodes)

    def check_nodes(self, names: Iterable[str]) -> None:
        """Refuse names that the network doesn't have.

        Raises:
            UnknownNodeError: naming the first, and those that there are.
        """
        for name in names_of(names, "names"):
            if name not in self.node_names:
                raise UnknownNodeError(name, self.node_names)

    @property
    def prober(self) -> Prober | None:
        """Who asks nodes whether they answer; nobody once the run is over."""
        return None if self.pipeline.ended else NodeProber(self.nodes)

    async def settle(self) -> None:
        """Wait until what has arrived is delivered and what is known of deaths is told; see `Ending.settle`."""
        await self.ending.settle()

    # Life

    @property
    def fatal(self) -> BaseException | None:
        """What ended the run from outside the test: a node or a capture that died, a callback's `pytest.fail`."""
        return self.ending.error

    def fail(self, error: BaseException) -> None:
        """End the run from outside the test; see `Ending.fail`."""
        self.ending.fail(error)

    def when_fatal(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have something called once when the run ends from outside the test; see `Ending.when`."""
        return self.ending.when(call)

    def _exited(self, end: NodeExit) -> None:
        self.ending.exited(self.nodes[end.node], end)
        self.faults.exited(end)

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

    def begin(self, test: str) -> None:
        """Write that the run begins. For `Run`."""
        nodes = {spec.name: spec.role for spec in self.spec.nodes}
        self.journal(RunBegan(self.run_id, test, self.engine.name, nodes))

    async def bring_up(self, manager: NetworkManager) -> None:
        """Deploy the nodes, without starting any. For `Run`."""
        await self.history.begin()
        deployed = await manager.deploy(self._exited)
        self.faults.serve(deployed)
        self.nodes.update({spec.name: Node(self, spec, deployed.nodes[spec.name]) for spec in self.spec.nodes})
        self._life.move("deploy")
        self.ending.watch_capture()

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
        await self.ending.deaths_told()
        try:
            for node in self:
                last = await self.pipeline.drain(node.name)
                if node.state in (State.RUNNING, State.PAUSED):
                    await self.journaled(NodeStopped(node.name))
                node.destroyed()
                self.pipeline.end_node(node.name, last)
        except CaptureDiedError as error:  # `watch_capture` says so too, perhaps only after the verdict
            self.fail(error)
        if trouble is not None:
            raise trouble
