"""The Docker engine: each node is a container, all in a network of their own, every line pushed.

`deploy` makes and starts the containers, whose first process, the puppeteer, waits for Lucy's word; starting a node
starts its daemon in there. So a node's daemon comes and goes while its container, address and files stay.
"""

import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

import anyio
import anyio.to_thread

from lucy_core.aio import Services
from lucy_core.engine import Capability, NetworkSpec, RunPlace
from lucy_core.faults import Fault
from lucy_engines.docker.api.caller import Caller
from lucy_engines.docker.api.client import connect
from lucy_engines.docker.api.endpoint import Endpoint, docker_host
from lucy_engines.docker.faults.injection import DOCKER_FAULTS
from lucy_engines.docker.garbage.reaper_client import guarded
from lucy_engines.docker.garbage.things import find
from lucy_engines.docker.options import DOCKER_OPTIONS
from lucy_engines.docker.plan import labels
from lucy_engines.docker.plan.config import DockerConfig, docker_config
from lucy_engines.docker.plan.export import write_export
from lucy_engines.docker.run.manager import DockerManager


@final
class DockerEngine:
    """Nodes as containers."""

    name = "docker"
    options = DOCKER_OPTIONS
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

    faults: frozenset[type[Fault]] = DOCKER_FAULTS

    def expand(self, spec: NetworkSpec, place: RunPlace) -> DockerConfig:
        """Work out the network and every container, touching nothing."""
        return docker_config(spec, place)

    async def leftovers(self, run_id: str) -> list[str]:
        """Name what the Engine of this machine has of a run."""
        caller = Caller(Endpoint(docker_host()))
        (label,) = labels.run_filter(run_id)["label"]
        return [f"{thing.kind} {thing.name}" for thing in await anyio.to_thread.run_sync(find, caller, label)]

    def running(self, file: Path) -> str:
        return f"docker-compose -f {shlex.quote(str(file))} up"

    def export(self, config: DockerConfig, file: Path, about: Mapping[str, str]) -> None:
        """Write a Compose file."""
        write_export(config, file, about)

    @asynccontextmanager
    async def open(self, config: DockerConfig) -> AsyncIterator[tuple[DockerManager, DockerManager]]:
        """Connect to the Engine; on the way out whatever is left is removed, by the reaper where Lucy can't."""
        async with (
            connect(config.host) as client,
            guarded(config.host, config.run_id, run_directory=config.directory) as guard,
            anyio.create_task_group() as tasks,
        ):
            services = Services(tasks)
            services.start(guard.watch)
            manager = DockerManager(config, client, services)
            try:
                yield manager, manager
            finally:
                with anyio.CancelScope(shield=True):
                    try:
                        await manager.remove_all()
                        if client.dead is None:
                            guard.dismiss()
                        else:
                            guard.abandon()
                    finally:
                        await manager.cleanup()
                        services.stop()
