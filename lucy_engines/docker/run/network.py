"""One run's network and containers, made and taken away.

What is made in the Engine is made under a shield, and labelled in the call that makes it: a call that is cut in its
middle may or may not be carried out, and nobody would know. Taking away goes by the label, by what the Engine has and
not by what we remember.
"""

import functools
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, final

import anyio
import msgspec
from aiodocker.containers import DockerContainer
from aiodocker.exceptions import DockerError

from lucy_core.engine import (
    EngineNetwork,
    EngineNotice,
    ExitReport,
    Fault,
    FaultLost,
    Injection,
    LineCapture,
    NetworkSpec,
    NodeMeasured,
    NodeSpec,
    Resources,
    Services,
    one_error,
    run_files,
    start_order,
    write_node_files,
)
from lucy_core.errors import DeployError, EngineError
from lucy_engines.docker.api import archive, hijack, statistics
from lucy_engines.docker.api.client import EngineClient
from lucy_engines.docker.api.endpoint import api_path
from lucy_engines.docker.plan import clock, labels, supervision
from lucy_engines.docker.plan.config import DockerConfig
from lucy_engines.docker.plan.inside import DIRECTORY, STATE, USER
from lucy_engines.docker.run.events import ContainerEvent, ContainerEvents
from lucy_engines.docker.run.node import DockerNode, Reports
from lucy_engines.docker.run.outflow import Outflow
from lucy_engines.supervisor.link import Link

GRACE = 2.0
"""Seconds that a node gets to end by itself when the whole run ends."""
END_SECONDS = 5.0
"""Seconds that its end may take altogether, before its container is removed as it is."""


class Faults(Protocol):
    """What makes faults in the nodes."""

    async def inject(self, fault: Fault, *, lasting: float, on_lost: Callable[[FaultLost], None]) -> Injection: ...

    async def close(self) -> None:
        """End all that is in effect. For a shielded caller."""
        ...


@final
class DockerNetwork(EngineNetwork):
    """The network and the containers of one run. Make it, and take it away."""

    def __init__(
        self,
        config: DockerConfig,
        replan: Callable[[NetworkSpec], DockerConfig],
        client: EngineClient,
        services: Services,
        capture: LineCapture,
        on_exit: ExitReport,
        faults: Callable[[Mapping[str, DockerNode]], Faults],
    ) -> None:
        self.nodes: dict[str, DockerNode] = {}
        self._config = config
        self._replan = replan
        self._client = client
        self._services = services
        self._capture = capture
        self._on_exit = on_exit
        self._labels = labels.run_labels(config.run_id)
        self._faults = faults(self.nodes)
        self._outflow = Outflow(client, services, capture, network=config.run_id, directory=config.directory)
        self._leaving = False

    async def inject(self, fault: Fault, *, lasting: float, on_lost: Callable[[FaultLost], None]) -> Injection:
        return await self._faults.inject(fault, lasting=lasting, on_lost=on_lost)

    async def make(self) -> None:
        """Make the network, open the way that lines take, and make a container for every node.

        Raises:
            DeployError: something of that can't be made.
        """
        config = self._config
        self._services.start(ContainerEvents(self._client, config.run_id, self._heard).watch)
        async with one_error(), anyio.create_task_group() as tasks:
            tasks.start_soon(self._create_network)
            for image in {container.image for container in config.containers.values()}:
                tasks.start_soon(self._find_image, image)
        await self._outflow.open(
            config.spec.nodes,
            wanted=config.capture,
            shared=config.shared_pipe,
            keep=config.capture_filter,
        )
        for spec in config.spec.nodes:
            self._prepare(spec)
        async with one_error(), anyio.create_task_group() as tasks:
            for node in self.nodes.values():
                tasks.start_soon(self._make, node)

    async def _create_network(self) -> None:
        body = {**self._config.network, "Labels": self._labels}
        with anyio.CancelScope(shield=True), self._client.calling(f"create network {self._config.run_id}"):
            await self._client.docker.networks.create(body)

    async def _find_image(self, image: str) -> None:
        with self._client.calling(f"look for image {image}"):
            await self._client.docker.images.inspect(api_path(image))

    async def add(self, spec: NodeSpec) -> DockerNode:
        before = self._config
        # With those that were removed, for ports of this machine are numbered through all nodes.
        config = self._replan(msgspec.structs.replace(before.spec, nodes=(*before.spec.nodes, spec)))
        await self._find_image(config.containers[spec.name].image)
        await self._outflow.add(spec)
        self._config = config
        try:
            self._prepare(spec)
            await self._make(self.nodes[spec.name])
        except BaseException:
            self._config = before
            with anyio.CancelScope(shield=True):
                await self._forget(spec.name)
            raise
        for node in self.nodes.values():
            node.moved(config.layouts[node.name])
        return self.nodes[spec.name]

    async def remove(self, name: str) -> None:
        await self._end(self.nodes[name])  # what root made in its directory is given back to who runs Lucy
        await self._forget(name)

    async def _forget(self, name: str) -> None:
        self._outflow.remove(name)
        node = self.nodes.pop(name, None)
        if node is not None and node.container:
            await _remove_container(self._client, self._client.container(node.container))
        if node is not None:
            await node.aclose()

    def _prepare(self, spec: NodeSpec) -> None:
        config = self._config
        directory = config.directory / run_files.NODES / spec.name if config.is_local else None
        node = DockerNode(
            spec,
            config.layouts[spec.name],
            directory,
            self._client,
            Reports(self._on_exit, self._capture, self._outflow, self._services),
            limited=config.limits.memory_bytes is not None,
            environment=clock.environment() if config.clock_library else None,
        )
        if directory is not None:
            try:
                write_node_files(directory, {clock.FILE: clock.RIGHT, **node.files()})
            except OSError as error:
                raise DeployError(f"{error.filename or directory}: {error.strerror}", spec.name) from error
        self.nodes[spec.name] = node

    async def _make(self, node: DockerNode) -> None:
        """Make a node's container and start it: its supervisor runs, its daemon doesn't yet."""
        config, client = self._config, self._client
        container = config.containers[node.name]
        if node.spec.logs:  # which `docker_config` has refused where they aren't on this machine
            directory = config.directory / run_files.NODES / node.name
            await self._capture.follow_log_files(node.name, directory, node.spec.logs)
        body = self._outflow.body(node.name, container.labelled({**self._labels, **_whose(config)}))
        with anyio.CancelScope(shield=True), client.calling(f"create container {container.name}"):
            node.container = (await client.docker.containers.create(body, name=container.name)).id
        if not config.is_local:
            files = {f"{DIRECTORY}/{name}": content for name, content in node.files().items()}
            own = {target: source.read_bytes() for target, source in supervision.files().items()}
            await archive.write_files(client, node.container, node.name, {**own, f"{STATE}/": b"", **files})
        with client.calling(f"attach to container {container.name}"):
            link = Link(await hijack.attach(client.endpoint, node.container), node.name)
        node.linked(link)
        await self._outflow.follow(node.name, node.container)
        self._services.start(link.listen)
        with anyio.CancelScope(shield=True), client.calling(f"start container {container.name}"):
            await client.container(node.container).start()
        await node.look()
        if config.statistics:
            self._services.start(functools.partial(statistics.follow, client, node.container, self._measured(node)))

    # What the Engine says

    def _heard(self, event: ContainerEvent) -> None:
        node = self.nodes.get(event.node)
        if node is None or self._leaving:
            return
        match event.action:
            case "oom":
                node.ran_out_of_memory()
                self._capture.note(EngineNotice(event.node, "out of memory", "the kernel killed a process in it"))
            case "die":
                how = f"its container ended with status {event.exit_code}"
                self._capture.note(EngineNotice(event.node, "died", how))
                node.container_died(event.exit_code)
            case "health_status":
                self._capture.note(EngineNotice(event.node, "health", event.detail))

    def _measured(self, node: DockerNode) -> Callable[[Resources], None]:
        def hear(used: Resources) -> None:
            if node.running and not self._leaving:
                cpu_seconds = round(used.cpu_seconds, 6)
                self._capture.note(NodeMeasured(node.name, cpu_seconds, used.memory_bytes, used.threads))

        return hear

    # Taking away

    async def take_away(self) -> None:
        """End the nodes, and remove all that was made. For a shielded caller.

        Raises:
            EngineError: something could not be removed, or the Engine was found dead over it.
        """
        self._leaving = True
        known = self._client.dead
        try:
            for wave in reversed(start_order([node.spec for node in self.nodes.values()])):
                async with anyio.create_task_group() as tasks:
                    for spec in wave:
                        tasks.start_soon(self._end, self.nodes[spec.name])
            await remove_all(self._client, self._config.run_id)
        finally:
            await self._faults.close()
            for node in self.nodes.values():
                await node.aclose()
            self._outflow.dispose()
        if self._client.dead is not None and self._client.dead is not known:
            raise self._client.dead

    async def _end(self, node: DockerNode) -> None:
        try:
            await node.end_soon(GRACE, END_SECONDS)
            if user := _whose(self._config).get(USER):
                await node.give(user, DIRECTORY, seconds=END_SECONDS, whole=True)
        except EngineError:
            return  # its container goes with it, or the Engine is dead, which is said below


async def remove_all(client: EngineClient, run_id: str) -> None:
    """Remove what bears a run's label. Again is no error.

    An Engine that is dead is not asked again: whoever found it dead has said so.
    """
    if client.dead is not None:
        return
    which = {"label": [labels.run_label(run_id)]}
    volumes: Any = client.docker.volumes  # aiodocker says nothing of its types
    with client.calling("list containers"):
        containers = await client.docker.containers.list(all=True, filters=json.dumps(which))
    async with one_error(), anyio.create_task_group() as tasks:
        for container in containers:
            tasks.start_soon(_remove_container, client, container)
    with client.calling("list networks and volumes"):
        networks = [client.network(each["Id"]) for each in await client.docker.networks.list(filters=which)]
        names = [each["Name"] for each in (await volumes.list(filters=which))["Volumes"] or ()]
    async with one_error(), anyio.create_task_group() as tasks:
        for network in networks:
            tasks.start_soon(_remove, client, f"network {network.id}", network.delete)
        for name in names:
            tasks.start_soon(_remove, client, f"volume {name}", client.volume(name).delete)


async def _remove_container(client: EngineClient, container: DockerContainer) -> None:
    async def remove() -> None:
        try:
            await container.delete(force=True, v=True)
        except DockerError as error:
            if error.status != 409 or "in progress" not in error.message:
                raise
            await container.wait(condition="removed")

    await _remove(client, f"container {container.id}", remove)


async def _remove(client: EngineClient, what: str, remove: Callable[[], Awaitable[object]]) -> None:
    with client.calling(f"remove {what}"):
        try:
            await remove()
        except DockerError as error:
            if error.status != 404:  # somebody else was faster: the reaper, or a person
                raise


def _whose(config: DockerConfig) -> dict[str, str]:
    """Return the label that says to whom the files belong that root makes in a container; none where that is root.

    In a container one is root, and what root made there its user could not remove here.
    """
    return {USER: f"{os.getuid()}:{os.getgid()}"} if config.is_local and os.getuid() != 0 else {}
