"""Faults in containers, as the engine contract has them."""

import contextlib
from collections.abc import Callable, Mapping
from typing import final

from lucy_core.engine import FAULT_KINDS, Disconnect, Fault, FaultLost, MemoryLimit, Pause
from lucy_core.errors import EngineError
from lucy_engines.docker.faults.client import WardenClient
from lucy_engines.docker.faults.orders import FaultPlace
from lucy_engines.docker.plan import clock
from lucy_engines.docker.plan.config import DockerConfig
from lucy_engines.docker.plan.inside import STATE
from lucy_engines.docker.run.node import DockerNode

DOCKER_FAULTS = FAULT_KINDS
"""All there are; what a machine lacks for one of them is said when it is asked for."""


@final
class DockerInjection:
    """A fault in effect in some containers."""

    def __init__(self, warden: WardenClient, fault: Fault, number: int, nodes: list[DockerNode]) -> None:
        self._warden = warden
        self._fault = fault
        self._number = number
        self._nodes = nodes
        self._seconds: float | None = None

    async def revert(self) -> float:
        if self._seconds is None:
            self._seconds = await self._warden.revert(self._fault, self._number)
            for node in self._nodes:
                if isinstance(self._fault, Disconnect):
                    # It has other ports now, or is gone: the fault is undone all the same, and others tell of its end.
                    with contextlib.suppress(EngineError):
                        await node.look()
                elif isinstance(self._fault, Pause):
                    node.frozen = False
        return self._seconds


@final
class DockerFaults:
    """Makes faults in the containers of one run."""

    def __init__(self, config: DockerConfig, warden: WardenClient, nodes: Mapping[str, DockerNode]) -> None:
        self._config = config
        self._nodes = nodes
        self._warden = warden

    async def inject(self, fault: Fault, *, lasting: float, on_lost: Callable[[FaultLost], None]) -> DockerInjection:
        places = {name: self._place(name) for name in fault.members}
        lost = lambda reason: on_lost(FaultLost(fault, reason))  # noqa: E731
        number = await self._warden.inject(fault, places, lasting=lasting, on_lost=lost)
        nodes = [self._nodes[name] for name in fault.nodes]
        injection = DockerInjection(self._warden, fault, number, nodes)
        for node in nodes:
            if isinstance(fault, Disconnect):
                try:
                    await node.look()
                except EngineError:
                    # Nobody would know of it, and thus nobody end it before its time.
                    with contextlib.suppress(EngineError):
                        await injection.revert()
                    raise
            elif isinstance(fault, Pause):
                node.frozen = True
            elif isinstance(fault, MemoryLimit):
                node.memory_is_limited = True
        return injection

    def _place(self, name: str) -> FaultPlace:
        directory = self._nodes[name].directory
        return FaultPlace(
            container=self._nodes[name].container,
            clock=str(directory / clock.FILE) if self._config.clock_library and directory is not None else None,
            disk=STATE if self._config.disk_bytes else None,
        )

    async def close(self) -> None:
        """End all that is in effect. For a shielded caller."""
        await self._warden.close()
