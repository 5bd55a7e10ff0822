"""How one run's lines come out of its containers: the way is chosen, opened, followed to each daemon's end."""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import anyio
import anyio.abc

from lucy_core.engine import EngineNotice, LineCapture, NodeSpec, Services, Streams, run_files
from lucy_core.errors import DeployError, RecordingError
from lucy_engines.docker.api.client import EngineClient
from lucy_engines.docker.plan.routes import EngineFacts, Route, choose_route, routed
from lucy_engines.docker.run.pump_client import PumpClient
from lucy_engines.supervisor.link import LinkEvent

EMPTY_SECONDS = 5.0
"""How long the last bytes of a container that died may take: as a rule they are in a socket of this machine already.
Over TCP that is how long its connections may take to close; those of one that was off the network never do."""


@final
class Outflow:
    """The way of lines of one run. `open` comes first, `dispose` last."""

    def __init__(
        self, client: EngineClient, services: Services, capture: LineCapture, *, network: str, directory: Path
    ) -> None:
        """Begin without a way.

        Args:
            client: of the Engine.
            services: what runs as long as the network.
            capture: where lines go in.
            network: the Engine's name of the run's network.
            directory: the run's.
        """
        self._client = client
        self._services = services
        self._network = network
        self._directory = directory
        self._capture = capture
        self._route = Route(kind="fifo", why="")
        self._keep = ""
        self._pump: PumpClient | None = None
        self._ports: dict[str, list[int]] = {}
        """Over TCP: at which capture takes the lines of each of a node's sources."""
        self._shared: Path | None = None
        self._fifos: dict[str, list[Path]] = {}
        self._nodes: dict[str, NodeSpec] = {}

    async def open(self, nodes: Sequence[NodeSpec], *, wanted: str, shared: bool, keep: str) -> None:
        """Choose the way, and open it on this side.

        Args:
            nodes: whose they are.
            wanted: `auto`, or the way that is forced.
            shared: whether nodes are to share a FIFO.
            keep: the capture filter, or nothing.

        Raises:
            DeployError: what is forced can't work with this Engine.
        """
        self._keep = keep
        self._route = route = choose_route(await self._facts(), wanted=wanted, shared=shared)
        if route.kind == "engine":
            pump = self._pump = PumpClient()
            self._services.start(functools.partial(self._hear, pump))
        if route.kind == "shared":
            self._shared = await self._capture.open_shared_fifo(
                [key for node in nodes for key in node.streams.keys(node.name)]
            )
        for node in nodes:
            await self._open(node)

    async def _open(self, spec: NodeSpec) -> None:
        node, capture, route = spec.name, self._capture, self._route
        if route.kind == "tcp":
            try:
                self._ports[node] = [
                    (await capture.listen_resumably(node, route.listen, source=source))[1]
                    for source in spec.streams.sources
                ]
            except RecordingError as error:
                reason = f"can't have nodes' lines come to {route.listen}: {error}; try --capture engine"
                raise DeployError(reason, node) from error
        elif route.kind == "engine" and spec.streams is Streams.APART:
            # The Engine brings one stream, in which their lines are tagged.
            path = self._directory / run_files.FIFOS / run_files.fifo_name(node)
            self._fifos[node] = [await capture.open_shared_fifo(spec.streams.keys(node), path)]
        elif route.kind != "shared":
            self._fifos[node] = [await capture.open_fifo(node, source=source) for source in spec.streams.sources]
        self._nodes[node] = spec
        for source in spec.streams.sources:
            capture.note_way(node, route.kind, source=source)
        capture.note(EngineNotice(node, "capture", f"its lines come by way of {route.kind}: {route.why}"))

    async def add(self, node: NodeSpec) -> None:
        """Open the way for one more node.

        Raises:
            DeployError: it can't be opened.
        """
        if self._shared is not None:
            await self._capture.join_shared_fifo(node.streams.keys(node.name), self._shared)
        await self._open(node)

    def remove(self, node: str) -> None:
        """Take note that a node is gone, and its lines are taken."""
        del self._nodes[node]
        for fifo in self._fifos.pop(node, ()):
            fifo.unlink(missing_ok=True)

    async def _hear(self, pump: PumpClient) -> None:
        await pump.listen()
        if self._pump is not None and pump.died is not None:
            for node in self._nodes:
                self._fail(node, str(pump.died))
            self._capture.abort(pump.died)

    async def _facts(self) -> EngineFacts:
        client = self._client
        gateway = own = ""
        with client.calling("tell about itself"):
            system = str((await client.docker.system.info()).get("OperatingSystem", ""))
            if client.endpoint.path is not None:
                network = await client.network(self._network).show()
                gateway = next((each.get("Gateway", "") for each in network["IPAM"]["Config"] or ()), "")
        if client.endpoint.path is None:
            # Nothing is sent: the kernel says which of our addresses would be used.
            host, port = client.endpoint.host, client.endpoint.port
            async with await anyio.create_connected_udp_socket(host, port) as probe:
                own = str(probe.extra(anyio.abc.SocketAttribute.local_address)[0])  # noqa: S610  # anyio's, not Django's
        return EngineFacts(endpoint=client.endpoint, operating_system=system, gateway=gateway, own_address=own)

    def body(self, node: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a node's container with the way its lines are to take."""
        log = str(self._shared) if self._shared is not None else ""
        ports = self._ports.get(node, ())
        return routed(body, self._route, log=log, ports=ports, token=self._capture.token, keep=self._keep)

    async def follow(self, node: str, container: str) -> None:
        """Carry a container's lines from its start on. Call it once the container is made, before it is started."""
        if self._pump is not None:
            await self._pump.carry(node, self._fifos[node][0], self._client.endpoint, container, self._capture.token)

    async def passed(self, node: str, end: LinkEvent) -> None:
        """Wait until all that came before a daemon's end is where capture reads it, and say so if it never will be."""
        if self._pump is None:
            return  # its supervisor said that it had ended once all was there
        if not await self._pump.passed(node, end.number):
            why = self._pump.broken.get(node, "the Engine ended its attach stream")
            self._fail(node, f"{why}, before its daemon had ended")

    async def emptied(self, node: str) -> None:
        """Wait until all that came out of a container that died under its daemon is where capture reads it.

        Raises:
            CaptureDiedError: the capture process is gone.
        """
        if self._keep or self._route.needs_relay(self._nodes[node].streams):
            self._fail(node, "its container died, and with it what its supervisor had not yet brought out")
        with anyio.move_on_after(EMPTY_SECONDS):
            if self._pump is not None:
                await self._pump.emptied(node)
            elif self._route.kind == "tcp":
                await self._capture.hung_up(node)

    def note(self, node: str, event: LinkEvent) -> None:
        """Take what a supervisor says of lines into the node's account."""
        if event.event == "filtered":
            self._capture.note_filtered(node, lines=event.lines, bytes=event.bytes, events=event.events)
        elif event.lost:
            self._fail(node, f"{event.lost:,} bytes could not be brought to Lucy before its supervisor gave up")

    def _fail(self, node: str, reason: str) -> None:
        self._capture.note_failed(node, reason)

    def dispose(self) -> None:
        """End what was started, and remove the FIFOs. Again is no error. On Lucy's sudden death the reaper does it."""
        # Their reader holds them open; by its name only somebody could come who would wait for ever.
        for fifo in filter(None, (*itertools.chain(*self._fifos.values()), self._shared)):
            fifo.unlink(missing_ok=True)
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.dispose()
