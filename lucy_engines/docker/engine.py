"""The Docker engine: each node is a container, all in a network of their own, every line pushed.

`deploy` makes and starts the containers, whose first process, the puppeteer, waits for Lucy's word; starting a node
starts its daemon in there. So a node's daemon comes and goes while its container, address and files stay.
"""

import functools
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

import anyio
import anyio.to_thread
import msgspec

from lucy_core.engine import Capability, Engine, ExitReport, LineCapture, NetworkSpec, Plan, RunPlace, Services
from lucy_engines.docker.api.caller import Caller
from lucy_engines.docker.api.client import connect
from lucy_engines.docker.api.endpoint import Endpoint, docker_host
from lucy_engines.docker.faults.client import WardenClient
from lucy_engines.docker.faults.injection import DOCKER_FAULTS, DockerFaults
from lucy_engines.docker.garbage.reaper_client import guarded
from lucy_engines.docker.garbage.things import find
from lucy_engines.docker.plan import labels
from lucy_engines.docker.plan.config import DockerConfig, docker_config
from lucy_engines.docker.plan.export import write_export
from lucy_engines.docker.plan.options import DOCKER_OPTIONS
from lucy_engines.docker.run.network import DockerNetwork


@final
class DockerPlan(Plan, msgspec.Struct, frozen=True):
    """The network and every container, as they are about to be asked of the Engine."""

    config: DockerConfig
    place: RunPlace

    @asynccontextmanager
    async def open(self, capture: LineCapture, on_exit: ExitReport) -> AsyncIterator[DockerNetwork]:
        """Connect to the Engine and make all; on the way out it is removed, by the reaper where Lucy can't."""
        config = self.config
        async with (
            connect(config.host) as client,
            guarded(config.host, config.run_id, run_directory=config.directory) as guard,
            Services.running() as services,
        ):
            services.start(guard.watch)
            warden = WardenClient(config.host, services)
            faults = functools.partial(DockerFaults, config, warden)
            replan = functools.partial(docker_config, place=self.place)
            network = DockerNetwork(config, replan, client, services, capture, on_exit, faults)
            try:
                await network.make()
                yield network
            finally:
                with anyio.CancelScope(shield=True):
                    try:
                        await network.take_away()
                        if client.dead is None:
                            guard.dismiss()
                    finally:
                        if client.dead is not None:
                            guard.abandon()

    def running(self, file: Path) -> str:
        return f"docker-compose -f {shlex.quote(str(file))} up"

    def export(self, file: Path, about: Mapping[str, str]) -> None:
        write_export(self.config, file, about)


@final
class DockerEngine(Engine):
    """Nodes as containers."""

    name = "docker"
    capabilities = frozenset(Capability)
    faults = DOCKER_FAULTS
    options = DOCKER_OPTIONS

    def plan(self, spec: NetworkSpec, place: RunPlace) -> DockerPlan:
        """Work out the network and every container, touching nothing."""
        return DockerPlan(docker_config(spec, place), place)

    async def leftovers(self, run_id: str) -> list[str]:
        """Name what the Engine of this machine has of a run."""
        caller = Caller(Endpoint(docker_host()))
        label = labels.run_label(run_id)
        return [f"{thing.kind} {thing.name}" for thing in await anyio.to_thread.run_sync(find, caller, label)]
