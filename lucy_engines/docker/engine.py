"""The Docker engine: each node is a container, all in a network of their own, every line pushed through a FIFO.

`deploy` makes and starts the containers, whose first process, the puppeteer, waits for Lucy's word; starting a node
starts its daemon in there. So a node's daemon comes and goes while its container, address and files stay.

What is made in the Engine is made under a shield and labelled in the call that makes it: a call that is cut in its
middle may or may not have been carried out, and nobody would know.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import final

import anyio

from lucy_core.engine import Capability, LineCapture, NetworkSpec, NodeExit, RunPlace
from lucy_core.errors import DeployError, EngineError
from lucy_core.pipeline.services import Services
from lucy_engines.docker import labels
from lucy_engines.docker.client import EngineClient, connect
from lucy_engines.docker.config import DockerConfig, docker_config
from lucy_engines.docker.node import DockerNode, close_link
from lucy_engines.docker.options import DOCKER_OPTIONS
from lucy_engines.docker.provisional_link import Link
from lucy_engines.docker.reaper_client import guarded

GRACE = 2.0
"""Seconds that a node gets to end by itself when the whole run ends."""


@final
class DockerNetwork:
    """The nodes of a deployed network."""

    def __init__(self, nodes: dict[str, DockerNode]) -> None:
        self._nodes = nodes

    @property
    def nodes(self) -> dict[str, DockerNode]:
        return self._nodes


@final
class DockerManager:
    """Makes the network and the containers of one run, and says where their lines come from."""

    def __init__(self, config: DockerConfig, client: EngineClient, services: Services) -> None:
        self._config = config
        self._client = client
        self._services = services
        self._stamp = labels.run_labels(config.run_id)
        self._nodes: dict[str, DockerNode] = {}

    async def create(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._create_network)
            for image in {container.image for container in self._config.containers.values()}:
                tasks.start_soon(self._find_image, image)

    async def _create_network(self) -> None:
        body = {**self._config.network, "Labels": self._stamp}
        with anyio.CancelScope(shield=True), self._client.call(f"create network {self._config.run_id}"):
            await self._client.post("networks/create", body)

    async def _find_image(self, image: str) -> None:
        with self._client.call(f"look for image {image}"):
            await self._client.get(f"images/{image}/json")

    async def attach(self, capture: LineCapture) -> None:
        """Open a FIFO for every node."""
        for node in self._config.spec.nodes:
            await capture.open_fifo(node.name)

    async def deploy(self, on_exit: Callable[[NodeExit], None]) -> DockerNetwork:
        config = self._config
        for spec in config.spec.nodes:
            directory = config.directory / "nodes" / spec.name
            node = DockerNode(spec, config.layouts[spec.name], directory, self._client, on_exit)
            try:
                node.prepare()
            except OSError as error:
                message = f"node {spec.name!r}: {error.filename}: {error.strerror}"
                raise DeployError(message) from error
            self._nodes[spec.name] = node
        async with anyio.create_task_group() as tasks:
            for node in self._nodes.values():
                tasks.start_soon(self._make, node)
        return DockerNetwork(self._nodes)

    async def _make(self, node: DockerNode) -> None:
        container = self._config.containers[node.name]
        body = {**container.body, "Labels": {**self._stamp, **container.body["Labels"]}}
        with anyio.CancelScope(shield=True), self._client.call(f"create container {container.name}"):
            node.container = (await self._client.post("containers/create", body, name=container.name))["Id"]
        link = await Link.attach(self._client.unix_path or "", node.container, node.name)
        node.attached(link)
        self._services.start(link.listen)
        with anyio.CancelScope(shield=True), self._client.call(f"start container {container.name}"):
            await self._client.post(f"containers/{node.container}/start")
        with self._client.call(f"look at container {container.name}"):
            shown = await self._client.get(f"containers/{node.container}/json")
        node.published = {
            int(port.partition("/")[0]): int(bindings[0]["HostPort"])
            for port, bindings in shown["NetworkSettings"]["Ports"].items()
            if bindings
        }

    async def destroy(self) -> None:
        async with anyio.create_task_group() as tasks:
            for node in self._nodes.values():
                tasks.start_soon(_stop, node)
        await self.remove_all()

    async def remove_all(self) -> None:
        """Remove what carries this run's label, in the Engine's view and not in ours."""
        client, which = self._client, labels.run_filter(self._config.run_id)
        if client.dead is not None:
            return
        with client.call("list containers"):
            containers = await client.docker.containers.list(all=True, filters=which)
        async with anyio.create_task_group() as tasks:
            for container in containers:
                tasks.start_soon(self._remove, container.id)
        with client.call("list networks"):
            networks = await client.docker.networks.list(filters=which)
        for network in networks:
            with client.call(f"remove network {network['Name']}"):
                await client.delete(f"networks/{network['Id']}")

    async def _remove(self, container: str) -> None:
        with self._client.call(f"remove container {container}"):
            await self._client.delete(f"containers/{container}", force=True, v=True)

    async def cleanup(self) -> None:
        for node in self._nodes.values():
            await close_link(node)


async def _stop(node: DockerNode) -> None:
    try:
        await node.stop(grace=GRACE)
    except EngineError:
        return  # its container is gone, and the daemon with it


@final
class DockerEngine:
    """Nodes as containers."""

    name = "docker"
    capabilities = frozenset(
        {Capability.PAUSE, Capability.FRESH_STATE, Capability.ENVIRONMENT, Capability.RESOURCES, Capability.FILES}
    )

    options = DOCKER_OPTIONS

    def expand(self, spec: NetworkSpec, place: RunPlace) -> DockerConfig:
        """Work out the network and every container, touching nothing."""
        return docker_config(spec, place)

    @asynccontextmanager
    async def open(self, config: DockerConfig) -> AsyncIterator[tuple[DockerManager, DockerManager]]:
        """Connect to the Engine; on the way out whatever is left is removed."""
        async with (
            connect(config.host) as client,
            guarded(config.host, config.run_id, run_directory=config.directory) as guard,
            anyio.create_task_group() as tasks,
        ):
            services = Services(tasks)
            manager = DockerManager(config, client, services)
            try:
                yield manager, manager
            finally:
                with anyio.CancelScope(shield=True):
                    await manager.cleanup()
                    await manager.remove_all()
                    if client.dead is None:
                        guard.dismiss()
                services.stop()
