"""The process engine: each node is a process on this machine. The embedded default: nothing to install.

On the way in: directories and files, probed ports, a FIFO a node, a guardian. On the way out, however it is taken, the
guardian takes every process along.
"""

import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
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
from lucy_engines.process.node import ProcessNode, find_program
from lucy_engines.process.orders import Exited
from lucy_engines.process.ports import Ports
from lucy_engines.process.users import User, user_of

GRACE = 2.0
"""Seconds that a node gets to end by itself when the whole run ends."""


@final
class ProcessNetwork(EngineNetwork):
    """The processes of one run, and the guardian that they end with."""

    def __init__(self, capture: LineCapture) -> None:
        self.nodes: dict[str, ProcessNode] = {}
        self.guardian = GuardianClient(self._exited, self._lost)
        self._capture = capture

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
    directories: dict[str, str]
    run: Path
    users: dict[str, User]
    """Those of the nodes that don't run as who runs Lucy."""
    statistics: bool = False

    def layouts(self, ports: Ports) -> dict[str, Layout]:
        """Say where the nodes are for each other, with ports that are free now."""
        names = [node.name for node in self.spec.nodes]
        taken = {node.name: {port: ports.take() for port in node.ports} for node in self.spec.nodes}
        return {
            name: Layout(
                directory=directory,
                state=f"{directory}/state",
                bind="127.0.0.1",
                hosts=dict.fromkeys(names, "127.0.0.1"),
                host_forms=self.spec.host_forms,
                ports=taken,
            )
            for name, directory in self.directories.items()
        }

    @asynccontextmanager
    async def open(self, capture: LineCapture, on_exit: ExitReport) -> AsyncIterator[ProcessNetwork]:
        """Start the guardian; on the way out it takes down whatever is left."""
        ports, network = Ports(), ProcessNetwork(capture)
        guardian = network.guardian
        try:
            async with Services.running() as services:
                services.start(guardian.listen)
                try:
                    layouts = self.layouts(ports)
                    for spec in self.spec.nodes:
                        fifo = await capture.open_fifo(spec.name)
                        capture.note_way(spec.name, "fifo")
                        await guardian.remove_at_end(fifo)
                        node = ProcessNode(
                            spec,
                            layouts[spec.name],
                            guardian,
                            fifo,
                            on_exit,
                            run_id=self.run_id,
                            run=self.run,
                            user=self.users.get(spec.name),
                        )
                        await node.prepare()
                        network.nodes[spec.name] = node
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
            ports.close()

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
        directories = {node.name: str(place.directory / run_files.NODES / node.name) for node in spec.nodes}
        users = {node.name: user for node in spec.nodes if (user := user_of(node)) is not None}
        statistics = is_on(place.options, "statistics")
        return ProcessPlan(spec, place.run_id, directories, place.directory, users, statistics=statistics)

    async def leftovers(self, run_id: str) -> list[str]:
        """Name the processes that were started for a run and still live."""
        name, value = RUN_VARIABLE.encode(), run_id.encode()
        return [f"process {pid}" for pid in sorted(pids()) if variables_of(pid).get(name) == value]
