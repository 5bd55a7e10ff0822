"""The process engine: each node is a process on this machine. The embedded default: nothing to install.

On the way in: directories and files, probed ports, a FIFO a node, a guardian. On the way out, however it is taken, the
guardian takes every process along.
"""

import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import final

import anyio
import msgspec

from lucy_core.engine import (
    Capability,
    Engine,
    EngineNetwork,
    EngineOption,
    ExitReport,
    Fault,
    FaultLost,
    Layout,
    LineCapture,
    NetworkSpec,
    NodeSpec,
    Pause,
    Plan,
    RunPlace,
    Services,
    is_on,
    run_files,
    start_order,
)
from lucy_core.errors import EngineError, HelperDiedError, TopologyError, UnknownProgramError, UnsupportedError
from lucy_engines.process import statistics
from lucy_engines.process.client import GuardianClient
from lucy_engines.process.garbage import RUN_VARIABLE, pids
from lucy_engines.process.kinship import variables_of
from lucy_engines.process.node import Place, ProcessNode, find_program
from lucy_engines.process.orders import Exited
from lucy_engines.process.ports import Ports
from lucy_engines.process.users import user_of

LOOPBACK = "127.0.0.1"
GRACE = 2.0
"""Seconds that a node gets to end by itself when the whole run ends."""


@final
class ProcessNetwork(EngineNetwork):
    """The processes of one run, and the guardian that they end with."""

    def __init__(self, plan: "ProcessPlan", capture: LineCapture, on_exit: ExitReport) -> None:
        self.nodes: dict[str, ProcessNode] = {}
        self.guardian = GuardianClient(self._exited, self._lost)
        self.ports = Ports()
        self._plan = plan
        self._capture = capture
        self._on_exit = on_exit
        self._hosts: dict[str, str] = {}
        self._taken: dict[str, dict[str, int]] = {}
        """The ports of each node. Every node's layout holds this table, and the one above: who comes later is in it."""

    async def make(self, specs: Sequence[NodeSpec]) -> None:
        """Make nodes, which know of each other from the first on.

        Raises:
            DeployError: one can't be made.
        """
        for spec in specs:
            self._hosts[spec.name] = LOOPBACK
            self._taken[spec.name] = {port: self.ports.take() for port in spec.ports}
        for spec in specs:
            await self._make(spec)

    async def _make(self, spec: NodeSpec) -> None:
        directory = self._plan.directory_of(spec.name)
        layout = Layout(
            directory=directory,
            state=f"{directory}/state",
            bind=LOOPBACK,
            hosts=self._hosts,
            host_forms=self._plan.spec.host_forms,
            ports=self._taken,
        )
        run = Place(self._plan.run_id, self._plan.run)
        node = ProcessNode(spec, layout, self.guardian, self._on_exit, run, user_of(spec))
        await node.prepare()
        fifos = [await self._open_fifo(spec.name, source) for source in spec.streams.sources]
        node.fifos = (fifos[0], fifos[-1])
        if spec.logs:
            await self._capture.follow_log_files(spec.name, node.directory, spec.logs)
        self.nodes[spec.name] = node

    async def _open_fifo(self, node: str, source: str) -> Path:
        fifo = await self._capture.open_fifo(node, source=source)
        self._capture.note_way(node, "fifo", source=source)
        await self.guardian.remove_at_end(fifo)
        return fifo

    async def add(self, spec: NodeSpec) -> ProcessNode:
        try:
            await self.make((spec,))
        except BaseException:
            self._forget(spec.name)
            raise
        return self.nodes[spec.name]

    async def remove(self, name: str) -> None:
        del self.nodes[name]
        self._forget(name)

    def _forget(self, name: str) -> None:
        self._hosts.pop(name, None)
        for port in self._taken.pop(name, {}).values():
            self.ports.give_back(port)

    def _exited(self, end: Exited) -> None:
        self.nodes[end.name].exited(end)

    def _lost(self, error: HelperDiedError) -> None:
        self._capture.abort(error)
        for node in self.nodes.values():
            node.lost()

    async def inject(self, fault: Fault, *, lasting: float, on_lost: Callable[[FaultLost], None]) -> "Freeze":  # noqa: ARG002
        if not isinstance(fault, Pause):
            raise UnsupportedError(ProcessEngine.name, fault.kind)
        freeze = Freeze([self.nodes[name] for name in fault.nodes])
        await freeze.begin(lasting)
        return freeze

    async def stop(self) -> None:
        """Stop all nodes, in the order for that. A guardian that is dead has taken them along."""
        if self.guardian.died is not None:
            return
        troubles: list[EngineError] = []
        with _kept(troubles):
            await self.guardian.begin_end()
        for wave in reversed(start_order([node.spec for node in self.nodes.values()])):
            async with anyio.create_task_group() as tasks:
                for spec in wave:
                    tasks.start_soon(_stop, self.nodes[spec.name], troubles)
        if troubles and self.guardian.died is None:
            raise troubles[0]


@contextmanager
def _kept(troubles: list[EngineError]) -> Iterator[None]:
    """Keep what fails for later: the others are stopped all the same."""
    try:
        yield
    except EngineError as error:
        troubles.append(error)


async def _stop(node: ProcessNode, troubles: list[EngineError]) -> None:
    with _kept(troubles):
        await node.stop(grace=GRACE)


@final
class Freeze:
    """Nodes that are frozen for a while."""

    def __init__(self, nodes: list[ProcessNode]) -> None:
        self._nodes = nodes
        self._began = self._lasting = 0.0
        self._seconds: float | None = None

    async def begin(self, lasting: float) -> None:
        # Before the guardian's clock starts: once it has let them go, at least `lasting` is over here too.
        self._began, self._lasting = time.monotonic(), lasting
        for node in self._nodes:
            await node.freeze(lasting=lasting)

    async def revert(self) -> float:
        if self._seconds is None:
            self._seconds = min(time.monotonic() - self._began, self._lasting)
            for node in self._nodes:
                await node.resume()
        return self._seconds


@final
class ProcessPlan(Plan, msgspec.Struct, frozen=True):
    """All that the engine is about to do, but for the numbers of the ports."""

    spec: NetworkSpec
    run_id: str
    run: Path
    statistics: bool = False

    def directory_of(self, node: str) -> str:
        """Say where a node's files are to be."""
        return str(self.run / run_files.NODES / node)

    @asynccontextmanager
    async def open(self, capture: LineCapture, on_exit: ExitReport) -> AsyncIterator[ProcessNetwork]:
        """Start the guardian; on the way out it takes down whatever is left."""
        network = ProcessNetwork(self, capture, on_exit)
        guardian = network.guardian
        try:
            async with Services.running() as services:
                services.start(guardian.listen)
                try:
                    await network.make(self.spec.nodes)
                    if self.statistics:
                        services.start(functools.partial(statistics.follow, network.nodes, capture))
                    yield network
                finally:
                    with anyio.CancelScope(shield=True):
                        try:
                            await network.stop()
                        finally:
                            await guardian.close()
        finally:
            guardian.dispose()
            network.ports.close()

    def foresee(self) -> None:
        """Look for the nodes' programs, but for those that a node's own files hold."""
        for node in self.spec.nodes:
            if "{" not in node.command[0] and find_program(node.command[0]) is None:
                missing = UnknownProgramError(node.name, node.command[0])
                raise TopologyError(f"node {node.name!r}", f": {missing.reason}")


@final
class ProcessEngine(Engine):
    """Nodes as local processes."""

    name = "process"
    capabilities = frozenset(Capability) - {Capability.EXPORT}
    # Processes of one user share the loopback device, the disk and the clock, and limits need cgroups that a user may
    # not make: all else would be a pretence.
    faults = frozenset({Pause})
    options = (
        EngineOption(name="statistics", is_switch=True, help="write what each node uses into the run, once a second"),
    )

    def plan(self, spec: NetworkSpec, place: RunPlace) -> ProcessPlan:
        for node in spec.nodes:
            user_of(node)
        return ProcessPlan(spec, place.run_id, place.directory, statistics=is_on(place.options, "statistics"))

    async def leftovers(self, run_id: str) -> list[str]:
        """Name the processes that were started for a run and still live."""
        name, value = RUN_VARIABLE.encode(), run_id.encode()
        return [f"process {pid}" for pid in sorted(pids()) if variables_of(pid).get(name) == value]
