"""A node as a container."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import anyio

from lucy_core.engine import ExecResult, Layout, NodeExit, NodeSpec, Resources, fill_in
from lucy_core.errors import CommandError, DeployError, EngineError
from lucy_engines.docker.client import EngineClient
from lucy_engines.docker.provisional_link import Link


@final
class DockerNode:
    """One node: a container whose PID 1 starts and ends the daemon at Lucy's word."""

    def __init__(
        self,
        spec: NodeSpec,
        layout: Layout,
        directory: Path | None,
        client: EngineClient,
        on_exit: Callable[[NodeExit], None],
    ) -> None:
        self._spec = spec
        self._layout = layout
        self._directory = directory
        self._client = client
        self._on_exit = on_exit
        self._running = False
        self.container = ""
        self.link: Link | None = None
        self.published: dict[int, int] = {}

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def directory(self) -> Path | None:
        return self._directory

    def prepare(self) -> None:
        """Make the directory and the files, readable by their owner alone."""
        if self._directory is None:
            return
        for place in (self._directory, self._directory / "state"):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in self._spec.files.items():
            path = self._directory / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(self._filled_in(content))

    def _filled_in(self, content: bytes) -> bytes:
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return content
        return fill_in(text, self.name, self._layout).encode()

    def attached(self, link: Link) -> None:
        """Take the link to PID 1."""
        self.link = link
        link.on_event = self._heard
        link.on_gone = self._container_gone

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("event") == "exited" and self._running:
            self._running = False
            self._on_exit(
                NodeExit(node=self.name, code=message["code"], signal=message["signal"], after=message["after"])
            )

    def _container_gone(self) -> None:
        if self._running:
            self._running = False
            self._on_exit(NodeExit(node=self.name, signal="SIGKILL"))

    async def _ask(self, verb: str, *words: str) -> None:
        if self.link is None:
            message = f"node {self.name!r} has no container"
            raise EngineError(message)
        await self.link.ask(verb, *words)

    async def start(self, *, fresh_state: bool, environment: Mapping[str, str]) -> None:
        self._running = True
        try:
            await self._ask("start", *(["fresh"] if fresh_state else []), *(f"{k}={v}" for k, v in environment.items()))
        except EngineError as error:
            self._running = False
            raise DeployError(str(error)) from error

    async def stop(self, *, grace: float) -> None:
        if self._running:
            await self._ask("stop", f"{grace:g}")

    async def kill(self) -> None:
        if self._running:
            await self._ask("kill")

    async def pause(self) -> None:
        with self._client.call(f"pause {self.name}"):
            await self._client.post(f"containers/{self.container}/pause")

    async def resume(self) -> None:
        with self._client.call(f"resume {self.name}"):
            await self._client.post(f"containers/{self.container}/unpause")

    async def exec(self, command: Sequence[str], *, input: bytes, timeout: float) -> ExecResult:  # noqa: A002, ASYNC109
        raise NotImplementedError

    async def read_file(self, path: str) -> bytes:
        raise NotImplementedError

    async def write_file(self, path: str, content: bytes) -> None:
        raise NotImplementedError

    def address(self, port: str) -> tuple[str, int]:
        try:
            return "127.0.0.1", self.published[self._layout.ports[self.name][port]]
        except KeyError:
            known = ", ".join(self._layout.ports[self.name]) or "none"
            message = f"node {self.name!r} has no port {port!r}; it has {known}"
            raise CommandError(message) from None

    async def resources(self) -> Resources | None:
        if not self._running:
            return None
        with self._client.call(f"measure {self.name}"):
            sample = await self._client.get(f"containers/{self.container}/stats", stream=False, **{"one-shot": True})
        memory = sample["memory_stats"]
        return Resources(
            cpu_seconds=sample["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
            memory_bytes=memory.get("usage", 0) - memory.get("stats", {}).get("total_inactive_file", 0),
            threads=sample["pids_stats"].get("current", 0),
        )


async def close_link(node: DockerNode) -> None:
    """Hang up, if there is a link."""
    if node.link is not None:
        with anyio.CancelScope(shield=True):
            await node.link.aclose()
