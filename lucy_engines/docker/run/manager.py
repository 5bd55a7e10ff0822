"""One run's network and containers, made and taken away.

What is made in the Engine is made under a shield, and labelled in the call that makes it: a call that is cut in its
middle may or may not be carried out, and nobody would know. Taking away goes by the label, by what the Engine has and
not by what we remember.
"""

import functools
import os
from collections.abc import Callable
from typing import Any, final

import anyio
from aiodocker.exceptions import DockerError

from lucy_core.aio import Services, one_error
from lucy_core.engine import Injection, LineCapture, NodeExit, run_files
from lucy_core.errors import DeployError, EngineError
from lucy_core.faults import Fault
from lucy_core.records.journal import JOURNAL, EngineNotice, NodeMeasured, journal_line
from lucy_engines.docker.api import archive, hijack, statistics
from lucy_engines.docker.api.client import EngineClient
from lucy_engines.docker.api.endpoint import api_path
from lucy_engines.docker.faults.client import WardenClient
from lucy_engines.docker.faults.injection import DockerFaults
from lucy_engines.docker.plan import clock, labels, supervision
from lucy_engines.docker.plan.config import DockerConfig
from lucy_engines.docker.plan.inside import DIRECTORY, STATE, USER
from lucy_engines.docker.plan.node_files import write_files
from lucy_engines.docker.run.events import ContainerEvent, ContainerEvents
from lucy_engines.docker.run.node import DockerNode, Reports
from lucy_engines.docker.run.outflow import Outflow
from lucy_engines.supervisor.link import Link

GRACE = 2.0
"""Seconds that a node gets to end by itself when the whole run ends."""
END_SECONDS = 5.0
"""Seconds that its end may take altogether, before its container is removed as it is."""


@final
class DockerNetwork:
    """The nodes of a deployed network."""

    def __init__(self, nodes: dict[str, DockerNode], faults: DockerFaults) -> None:
        self._nodes = nodes
        self._faults = faults

    @property
    def nodes(self) -> dict[str, DockerNode]:
        return self._nodes

    async def inject(self, fault: Fault, *, lasting: float, on_lost: Callable[[str], None]) -> Injection:
        return await self._faults.inject(fault, lasting=lasting, on_lost=on_lost)


@final
class DockerManager:
    """Makes the network and the containers of one run, and says where their lines come from."""

    def __init__(self, config: DockerConfig, client: EngineClient, services: Services) -> None:
        self._config = config
        self._client = client
        self._services = services
        self._labels = labels.run_labels(config.run_id)
        self._nodes: dict[str, DockerNode] = {}
        self._faults = DockerFaults(config, self._nodes, WardenClient(config.host, services))
        self._capture: LineCapture | None = None
        self._outflow = Outflow(client, services, network=config.run_id)
        self._destroying = False

    async def create(self) -> None:
        self._services.start(ContainerEvents(self._client, self._config.run_id, self._heard).watch)
        async with one_error(), anyio.create_task_group() as tasks:
            tasks.start_soon(self._create_network)
            for image in {container.image for container in self._config.containers.values()}:
                tasks.start_soon(self._find_image, image)

    async def _create_network(self) -> None:
        body = {**self._config.network, "Labels": self._labels}
        with anyio.CancelScope(shield=True), self._client.calling(f"create network {self._config.run_id}"):
            await self._client.post("networks/create", body)

    async def _find_image(self, image: str) -> None:
        with self._client.calling(f"look for image {image}"):
            await self._client.get(api_path("images", image, "json"))

    async def attach(self, capture: LineCapture) -> None:
        """Choose the way that lines take, and open it for every node."""
        config = self._config
        self._capture = capture
        await self._outflow.open(
            capture,
            [node.name for node in config.spec.nodes],
            wanted=config.capture,
            shared=config.shared_pipe,
            keep=config.capture_filter,
        )

    async def deploy(self, on_exit: Callable[[NodeExit], None]) -> DockerNetwork:
        config = self._config
        if self._capture is None:
            message = "nodes can't be made before somebody takes their lines: `attach` comes first"
            raise DeployError(message)
        reports = Reports(on_exit, self._capture, self._outflow, self._services)
        for spec in config.spec.nodes:
            directory = config.directory / run_files.NODES / spec.name if config.is_local else None
            node = DockerNode(
                spec,
                config.layouts[spec.name],
                directory,
                self._client,
                reports,
                limited=config.limits.memory_bytes is not None,
                environment=clock.environment() if config.clock_library else None,
            )
            if directory is not None:
                try:
                    write_files(directory, {clock.FILE: clock.RIGHT, **node.files()})
                except OSError as error:
                    message = f"node {spec.name!r}: {error.filename or directory}: {error.strerror}"
                    raise DeployError(message) from error
            self._nodes[spec.name] = node
        async with one_error(), anyio.create_task_group() as tasks:
            for node in self._nodes.values():
                tasks.start_soon(self._make, node)
        return DockerNetwork(self._nodes, self._faults)

    async def _make(self, node: DockerNode) -> None:
        """Make a node's container and start it: its supervisor runs, its daemon doesn't yet."""
        config, client = self._config, self._client
        container = config.containers[node.name]
        body = self._outflow.body(node.name, container.labelled({**self._labels, **_whose(config)}))
        with anyio.CancelScope(shield=True), client.calling(f"create container {container.name}"):
            node.container = (await client.post("containers/create", body, name=container.name))["Id"]
        if not config.is_local:
            files = {f"{DIRECTORY}/{name}": content for name, content in node.files().items()}
            own = {target: source.read_bytes() for target, source in supervision.files().items()}
            await archive.write_files(client, node.container, node.name, {**own, f"{STATE}/": b"", **files})
        with client.calling(f"attach to container {container.name}"):
            link = Link(await hijack.attach(client.endpoint, node.container), node.name)
        node.attached(link)
        await self._outflow.follow(node.name, node.container)
        self._services.start(link.listen)
        with anyio.CancelScope(shield=True), client.calling(f"start container {container.name}"):
            await client.post(api_path("containers", node.container, "start"))
        await node.look()
        if config.statistics:
            self._services.start(functools.partial(statistics.follow, client, node.container, self._measured(node)))

    # What the Engine says

    def _heard(self, event: ContainerEvent) -> None:
        node = self._nodes.get(event.node)
        if node is None or self._destroying:
            return
        match event.action:
            case "oom":
                node.ran_out_of_memory()
                self._journal(EngineNotice(event.node, "out of memory", "the kernel killed a process in it"))
            case "die":
                self._journal(EngineNotice(event.node, "died", f"its container ended with status {event.exit_code}"))
                node.container_died(event.exit_code)
            case "health_status":
                self._journal(EngineNotice(event.node, "health", event.detail))

    def _measured(self, node: DockerNode) -> Callable[[Any], None]:
        def hear(used: Any) -> None:
            if node.running and not self._destroying:
                self._journal(NodeMeasured(node.name, round(used.cpu_seconds, 6), used.memory_bytes, used.threads))

        return hear

    def _journal(self, event: Any) -> None:
        if self._capture is not None:
            self._capture.inject(JOURNAL, journal_line(event))

    # Taking away

    async def destroy(self) -> None:
        self._destroying = True
        known = self._client.dead
        async with anyio.create_task_group() as tasks:
            for node in self._nodes.values():
                tasks.start_soon(self._end, node)
        await self.remove_all()
        if self._client.dead is not None and self._client.dead is not known:
            raise self._client.dead

    async def _end(self, node: DockerNode) -> None:
        try:
            await node.end_soon(GRACE, END_SECONDS)
            if user := _whose(self._config).get(USER):
                command = ["chown", "-R", "-h", user, DIRECTORY]
                await node.exec(command, input=b"", timeout=END_SECONDS, take=lambda *_: None)
        except EngineError:
            return  # its container goes with it, or the Engine is dead and `remove_all` says so

    async def remove_all(self) -> None:
        """Remove what bears this run's label. Again is no error.

        An Engine that is dead is not asked again: whoever found it dead has said so.
        """
        client = self._client
        if client.dead is not None:
            return
        which = labels.json_filter(self._config.run_id)
        with client.calling("list containers"):
            containers = await client.get("containers/json", all="true", filters=which)
        async with one_error(), anyio.create_task_group() as tasks:
            for container in containers:
                tasks.start_soon(self._remove, api_path("containers", container["Id"]))
        with client.calling("list networks and volumes"):
            networks = await client.get("networks", filters=which)
            volumes = (await client.get("volumes", filters=which))["Volumes"] or ()
        async with one_error(), anyio.create_task_group() as tasks:
            for network in networks:
                tasks.start_soon(self._remove, api_path("networks", network["Id"]))
            for volume in volumes:
                tasks.start_soon(self._remove, api_path("volumes", volume["Name"]))

    async def _remove(self, path: str) -> None:
        with self._client.calling(f"remove {path}"):
            try:
                # Containers with their anonymous volumes; the Engine passes over what means nothing to the others.
                await self._client.delete(path, force=True, v=True)
            except DockerError as error:
                if error.status == 404:
                    return  # somebody else was faster: the reaper, or a person
                if error.status != 409 or "in progress" not in error.message:
                    raise
                try:
                    await self._client.post(f"{path}/wait", condition="removed")
                except DockerError as late:
                    if late.status != 404:
                        raise

    async def cleanup(self) -> None:
        await self._faults.close()
        for node in self._nodes.values():
            await node.aclose()
        self._outflow.dispose()


def _whose(config: DockerConfig) -> dict[str, str]:
    """Return the label that says to whom the files belong that root makes in a container; none where that is root.

    In a container one is root, and what root made there its user could not remove here.
    """
    return {USER: f"{os.getuid()}:{os.getgid()}"} if config.is_local and os.getuid() != 0 else {}
