"""A network and its nodes as a test sees them.

The engine does what it is asked; here is what holds for every engine. A call comes at a moment that makes sense, or is
refused by name. What Lucy did goes into the journal, at a position, after all that the node had written before. A node
that ends by itself is known at once, with its last lines, and ends the test unless that was expected.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, final

import anyio
import anyio.abc
import msgspec

from lucy_core.aio import PATIENCE, carry_through, one_error
from lucy_core.arguments import instance_of, seconds_of, switch_of
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.engine import Capability, Engine, EngineNetwork, NetworkSpec, NodeExit, NodeSpec, State
from lucy_core.engine.contract import require, require_of
from lucy_core.engine.lifecycle import LifeCycle
from lucy_core.engine.spec import start_order
from lucy_core.errors import CaptureDiedError, TopologyError, UnknownNodeError
from lucy_core.judging import waits
from lucy_core.judging.conditions.condition import AnyCondition
from lucy_core.judging.conditions.probes import Prober
from lucy_core.judging.durations import Clock, Duration
from lucy_core.judging.journaling import Journal
from lucy_core.judging.judgement import Judgement
from lucy_core.judging.scopes import Scopes
from lucy_core.judging.strictness import hold_malformed
from lucy_core.judging.waiting import WaitOutcome
from lucy_core.network.asking import asking
from lucy_core.network.ending import Ending
from lucy_core.network.leases import Faults
from lucy_core.network.node import STOP_GRACE, Node
from lucy_core.network.observed import Observed
from lucy_core.network.probing import NodeProber
from lucy_core.network.vocabulary import Vocabulary
from lucy_core.records.journal import (
    MarkTaken,
    NodeAdded,
    NodeRemoved,
    NodeStopped,
    RunBegan,
    WaitEnded,
)
from lucy_core.records.record import Mark

T = TypeVar("T")


@final
class Network(Observed):
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
        """The run's name among all runs."""
        self.spec = spec
        """What is deployed, nodes that were added and not those that were removed."""
        self.engine = engine
        """Who deploys it."""
        super().__init__(pipeline, vocabulary, Clock(spec.units, spec.counted_from))
        self.scopes = Scopes()
        """Numbers what happens in the run, and knows what the running task is inside of."""
        self._journal = Journal(pipeline)
        self.judgement = Judgement(self._journal.fold, self.scopes, self._journal.write, self._journal.now)
        """What is held against the run, and what it makes of it."""
        self.nodes: dict[str, Node] = {}
        """The nodes, by name; `network["a"]` is one, and iterating gives all."""
        self.ending = Ending(pipeline, tasks)
        """What ends the run from outside the test."""
        self.faults = Faults(self, tasks)
        """Faults, each as a lease: `async with network.faults.inject(…)`."""
        self._life = LifeCycle.of_run(run_id)
        self._deployed = EngineNetwork({})
        self._removed: tuple[str, ...] = ()
        self._changing = anyio.Lock()
        """Nodes come and go one at a time."""
        self._tasks = tasks
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
        """What its spec calls it."""
        return self.spec.name

    @property
    def directory(self) -> Path | None:
        """The run directory."""
        return self.pipeline.directory

    # Observing

    def mark(self) -> Mark:
        """Return the place after the last line that has arrived: `since=` it, nothing that follows is missed."""
        mark = self.history.mark()
        self.journal(MarkTaken(self.scopes.new_id(), mark.position, self.scopes.current()))
        return mark

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

    async def journaled(self, event: msgspec.Struct) -> int:
        """Write one, and return its place, once it has it; see `Journal.written`."""
        return await self._journal.written(event)

    async def _wait(
        self, condition: AnyCondition | type, *, since: Mark | int | None, **limits: Duration | float | None
    ) -> WaitOutcome[Any]:
        self._journal.check_caller()
        number, parent = self.scopes.new_id(), self.scopes.current()
        waiting: waits.Waiting | None = None
        began = time.monotonic()
        outcome = "cancelled"
        try:
            async with self.ending.named():
                with self.scopes.entered(number):
                    waiting = waits.prepare(self, condition, since=since, **limits)
                    description = waiting.condition.description
                    started = await self._journal.begin_wait(number, description, waiting.limits, parent)
                    result = await waiting.decide(started)
            outcome = "late" if result.late else "passed"
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            outcome = type(error).__name__
            raise
        else:
            return result
        finally:
            if waiting is not None:
                seconds = round(time.monotonic() - began, 3)
                self.journal(WaitEnded(number, waiting.condition.description, seconds, outcome))

    @property
    def node_names(self) -> tuple[str, ...]:
        """All nodes' names, in the spec's order."""
        return tuple(node.name for node in self.spec.nodes)

    @property
    def _known_names(self) -> tuple[str, ...]:
        return (*self.node_names, *self._removed)

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
        return self.pipeline.aborted

    def fail(self, error: BaseException) -> None:
        """End the run from outside the test: whatever is awaited of the network raises this. The first counts."""
        self.pipeline.abort(error)

    def when_fatal(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have something called once, when the run ends from outside the test, or at once, where it has.

        Returns what takes that back; again is no error.
        """
        return self.pipeline.when_aborted(call)

    def exited(self, end: NodeExit) -> None:
        """Take note that a node's process ended. For `Plan.open`."""
        self.ending.exited(self.nodes[end.node], end)
        self.faults.exited(end)

    async def start_all(self) -> None:
        """Start every node that was never started, each once those are ready that it is to be started after.

        Returns once all are. Those that run already are waited for too; whom a test has stopped, frozen or removed is
        not. Of several that can't be started the first is raised; the others stand on it as notes.

        Raises:
            NotReadyError: a node did not become ready. What else `Node.start` raises comes too.
        """
        if self._life.state is State.DEPLOYED:
            self._life.move("start")
        ready = {spec.name: anyio.Event() for spec in self.spec.nodes}

        async def start(spec: NodeSpec) -> None:
            for other in spec.after:
                if other in ready:  # else it was removed
                    await ready[other].wait()
            node = self.nodes.get(spec.name)  # None: it was removed meanwhile
            if node is not None and node.state is State.DEPLOYED:
                await node.start()
            elif node is not None and node.state is State.RUNNING:
                await node.until_ready()
            ready[spec.name].set()

        async with one_error(), anyio.create_task_group() as tasks:
            for wave in start_order(self.spec.nodes):
                for spec in wave:
                    tasks.start_soon(start, spec)

    async def add(self, spec: NodeSpec, *, start: bool = True) -> Node:
        """Add one more node while the network is up, start it, and return it once it is ready.

        It may name the others by placeholders, as they may name it from then on (`start(arguments=…)`, `exec`). Those
        that it is to be started `after` are not waited for: they are there. Cancelling waits until it is made.

        Args:
            spec: the node. Its name is one that no node of the run has had.
            start: whether to start it.

        Raises:
            ArgumentError: it is no `NodeSpec`.
            TopologyError: it doesn't go with the others; nothing was done.
            UnsupportedError: the engine can't, or lacks what it asks for; nothing was done.
            LifeCycleError: the network isn't up.
            DeployError: it could not be made. What else `Node.start` raises comes too: it is a node by then.
        """
        instance_of(NodeSpec, "NodeSpec(…)")(spec, "spec")
        switch_of(start, "start")
        require(self.engine, Capability.MEMBERS)
        require_of(self.engine, (spec,))
        with asking(self, spec.name, "add", spec.description()):
            async with self._changing:
                self._life.check("add to")
                if spec.name in self._removed:
                    reason = "was that of a node that was removed, whose lines stand in the run; choose another"
                    raise TopologyError(f"node name {spec.name!r}", reason)
                together = msgspec.structs.replace(self.spec, nodes=(*self.spec.nodes, spec))
                together.check(spec)
                start_order((spec,))  # it may name itself
                await carry_through(self._add(spec, together))
            node = self.nodes[spec.name]
            if start:
                await node.start()
            return node

    async def _add(self, spec: NodeSpec, together: NetworkSpec) -> None:
        self._read_as_said(spec)
        made = await self._deployed.add(spec)
        await self.journaled(NodeAdded(spec.name, spec.role))
        self.spec = together
        self.nodes[spec.name] = Node(self, spec, made)

    async def remove(self, name: str, *, grace: float = STOP_GRACE) -> None:
        """Remove a node for good while the network is up: stop it, take its last lines, and forget it.

        Faults that it is part of are ended first. Its lines stay in the run, its streams are complete, and its name is
        not given again. Nodes that name it by placeholders had better not be started again. Isn't cancelled halfway.

        Args:
            name: the node's.
            grace: how many seconds it gets to end by itself, if it runs.

        Raises:
            UnknownNodeError: there is no such node.
            UnsupportedError: the engine can't.
            LifeCycleError: the network isn't up.
            ArgumentError: `grace` is no number of seconds.
            EngineError: something of it could not be taken away.
        """
        node = self[name]
        grace = seconds_of(grace, "grace")
        require(self.engine, Capability.MEMBERS)
        with asking(self, name, "remove", {"grace": grace}):
            async with self._changing:
                self._life.check("remove from")
                if self.nodes.get(name) is not node:
                    raise UnknownNodeError(name, self.nodes)
                await carry_through(self._remove(node, grace), patience=grace + PATIENCE)

    async def _remove(self, node: Node, grace: float) -> None:
        name = node.name
        await self.faults.end_all(of=name)

        async def take_away() -> None:
            await self._deployed.remove(name)

        last = await node.remove(take_away, grace=grace)
        await self.journaled(NodeRemoved(name))
        self._removed = (*self._removed, name)
        del self.nodes[name]
        self.spec = msgspec.structs.replace(
            self.spec, nodes=tuple(each for each in self.spec.nodes if each.name != name)
        )
        self.pipeline.end_node(name, last)

    def begin(self, test: str) -> None:
        """Write that the run begins, and say how the lines of its nodes are read. For `Run`."""
        for spec in self.spec.nodes:
            self._read_as_said(spec)
        nodes = {spec.name: spec.role for spec in self.spec.nodes}
        self.journal(RunBegan(self.run_id, test, self.engine.name, nodes))

    def _read_as_said(self, spec: NodeSpec) -> None:
        if spec.log_format is None:
            return
        chosen = self.pipeline.read_as(spec.name, spec.log_format)
        if chosen.are_strict:
            hold_malformed(self, spec.name, chosen)

    async def bring_up(self, deployed: EngineNetwork) -> None:
        """Take the nodes that the engine has made. For `Run`."""
        await self.history.begin()
        self.faults.serve(deployed)
        self._deployed = deployed
        self.nodes.update({spec.name: Node(self, spec, deployed.nodes[spec.name]) for spec in self.spec.nodes})
        self._life.move("deploy")
        self.ending.watch_capture()

    async def release(self) -> None:
        """Undo all faults: the engine is about to take the nodes down, and that isn't their doing. For `Run`.

        Raises:
            LucyError: a fault could not be undone.
        """
        self._life.move("destroy")
        async with self._changing:  # a node that is half made is made by then
            for node in self:
                node.leaving()
        await self.faults.end_all()

    async def take_last_lines(self) -> None:
        """Take what the nodes have written, now that the engine has taken them down. For `Run`."""
        await self.ending.deaths_told()
        try:
            for node in self:
                last = await self.pipeline.drain(node.name, ended=True)
                if node.state in (State.RUNNING, State.PAUSED):
                    await self.journaled(NodeStopped(node.name))
                node.destroyed()
                self.pipeline.end_node(node.name, last)
        except CaptureDiedError as error:  # `watch_capture` says so too, perhaps only after the verdict
            self.fail(error)
