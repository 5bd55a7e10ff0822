"""The process engine: each node is a process on this machine. The embedded default: nothing to install.

On the way in: directories and files, probed ports, a FIFO a node, a guardian. On the way out, however it is taken, the
guardian takes every process along.
"""

import functools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

import anyio
import msgspec

from lucy_core.aio import Services
from lucy_core.engine import (
    Capability,
    EngineOption,
    Layout,
    LineCapture,
    NetworkSpec,
    NodeExit,
    RunPlace,
    run_files,
)
from lucy_core.errors import DeployError, EngineError, HelperDiedError, TopologyError, UnsupportedError
from lucy_core.faults import Fault, Pause
from lucy_core.run.options import is_on
from lucy_engines.process import statistics
from lucy_engines.process.client import GuardianClient
from lucy_engines.process.garbage import RUN_VARIABLE
from lucy_engines.process.kinship import variables_of
from lucy_engines.process.node import ProcessNode, find_program, no_program
from lucy_engines.process.ports import Ports

GRACE = 2.0
"""Seconds that a node gets to end by itself when the whole run ends."""


class ProcessConfig(msgspec.Struct, frozen=True):
    """All that the engine is about to do, but for the numbers of the ports."""

    spec: NetworkSpec
    run_id: str
    directories: dict[str, str]
    statistics: bool = False


@final
class ProcessNetwork:
    """The nodes of a deployed network."""

    def __init__(self, nodes: dict[str, ProcessNode]) -> None:
        self._nodes = nodes

    @property
    def nodes(self) -> dict[str, ProcessNode]:
        return self._nodes

    async def inject(self, fault: Fault, *, lasting: float, on_lost: Callable[[str], None]) -> "Freeze":  # noqa: ARG002
        if not isinstance(fault, Pause):
            raise UnsupportedError(ProcessEngine.name, fault.kind)
        freeze = Freeze([self._nodes[name] for name in fault.nodes])
        await freeze.begin(lasting)
        return freeze


@final
class Freeze:
    """Nodes that are frozen for a while."""

    def __init__(self, nodes: list[ProcessNode]) -> None:
        self._nodes = nodes
        self._began = self._lasting = 0.0
        self._seconds: float | None = None

    async def begin(self, lasting: float) -> None:
        """Freeze them."""
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
class ProcessManager:
    """Makes the directories, ports and nodes of one run, and says where their lines come from."""

    def __init__(self, config: ProcessConfig, guardian: GuardianClient, services: Services) -> None:
        self._config = config
        self._guardian = guardian
        self._ports = Ports()
        self._services = services
        self._capture: LineCapture | None = None
        self._layouts: dict[str, Layout] = {}
        self._fifos: dict[str, Path] = {}
        self._nodes: dict[str, ProcessNode] = {}

    async def create(self) -> None:
        spec = self._config.spec
        names = [node.name for node in spec.nodes]
        ports = {node.name: {port: self._ports.take() for port in node.ports} for node in spec.nodes}
        for node in spec.nodes:
            directory = self._config.directories[node.name]
            self._layouts[node.name] = Layout(
                directory=directory,
                state=f"{directory}/state",
                bind="127.0.0.1",
                hosts=dict.fromkeys(names, "127.0.0.1"),
                host_forms=spec.host_forms,
                ports=ports,
            )

    async def attach(self, capture: LineCapture) -> None:
        """Open a FIFO for every node."""
        self._capture = capture
        for node in self._config.spec.nodes:
            fifo = self._fifos[node.name] = await capture.open_fifo(node.name)
            capture.note_way(node.name, "fifo")
            await self._guardian.remove_at_end(fifo)

    async def deploy(self, on_exit: Callable[[NodeExit], None]) -> ProcessNetwork:
        for spec in self._config.spec.nodes:
            node = ProcessNode(
                spec,
                self._layouts[spec.name],
                self._guardian,
                self._fifos[spec.name],
                on_exit,
                run_id=self._config.run_id,
            )
            try:
                node.prepare()
            except OSError as error:
                message = f"node {spec.name!r}: {error.filename or node.directory}: {error.strerror}"
                raise DeployError(message) from error
            self._nodes[spec.name] = node
        self._guardian.on_exit = self._exited
        self._guardian.on_death = self._lost
        if self._config.statistics and self._capture is not None:
            self._services.start(functools.partial(statistics.follow, self._nodes, self._capture.inject))
        return ProcessNetwork(self._nodes)

    def _exited(self, pid: int, end: NodeExit) -> None:
        self._nodes[end.node].exited(pid, end)

    def _lost(self, error: HelperDiedError) -> None:
        if self._capture is not None:
            self._capture.abort(error)
        for node in self._nodes.values():
            node.lost()

    async def destroy(self) -> None:
        if self._guardian.died is not None:
            return
        await self._guardian.begin_end()
        troubles: list[EngineError] = []
        async with anyio.create_task_group() as tasks:
            for node in self._nodes.values():
                tasks.start_soon(_stop, node, troubles)
        if troubles and self._guardian.died is None:
            raise troubles[0]

    async def cleanup(self) -> None:
        self._ports.close()

    close = cleanup


async def _stop(node: ProcessNode, troubles: list[EngineError]) -> None:
    try:
        await node.stop(grace=GRACE)
    except EngineError as error:  # the others are stopped all the same
        troubles.append(error)


@final
class ProcessEngine:
    """Nodes as local processes."""

    name = "process"
    capabilities = frozenset(
        {
            Capability.PAUSE,
            Capability.FRESH_STATE,
            Capability.EXEC,
            Capability.ENVIRONMENT,
            Capability.RESOURCES,
            Capability.FILES,
            Capability.FAULTS,
        }
    )
    # Processes of one user share the loopback device, the disk and the clock, and limits need cgroups that a user may
    # not make: all else would be a pretence.
    faults: frozenset[type[Fault]] = frozenset({Pause})

    options = (
        EngineOption(name="statistics", is_switch=True, help="write what each node uses into the run, once a second"),
    )

    def expand(self, spec: NetworkSpec, place: RunPlace) -> ProcessConfig:
        """Choose the directories."""
        directories = {node.name: str(place.directory / run_files.NODES / node.name) for node in spec.nodes}
        return ProcessConfig(spec, place.run_id, directories, statistics=is_on(place.options, "statistics"))

    def foresee(self, config: ProcessConfig) -> None:
        """Look for the nodes' programs, but for those that a node's own files hold."""
        for node in config.spec.nodes:
            if "{" not in node.command[0] and find_program(node.command[0]) is None:
                raise TopologyError(no_program(node.name, node.command[0]))

    async def leftovers(self, run_id: str) -> list[str]:
        """Name the processes that were started for a run and still live."""
        marker = f"{RUN_VARIABLE}={run_id}".encode()
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [f"process {pid}" for pid in sorted(pids) if marker in variables_of(pid)]

    @asynccontextmanager
    async def open(self, config: ProcessConfig) -> AsyncIterator[tuple[ProcessManager, ProcessManager]]:
        """Start the guardian; on the way out it takes down whatever is left."""
        guardian = GuardianClient()
        try:
            async with anyio.create_task_group() as tasks:
                services = Services(tasks)
                manager = ProcessManager(config, guardian, services)
                services.start(guardian.listen)
                try:
                    yield manager, manager
                finally:
                    with anyio.CancelScope(shield=True):
                        await guardian.close()
                        await manager.cleanup()
                    services.stop()
        finally:
            guardian.dispose()
