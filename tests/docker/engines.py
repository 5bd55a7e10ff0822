"""Engines that misbehave: a fake that answers what it is told, and a way to a real one that can be cut or held."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, final

VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "Os": "linux", "Arch": "amd64"}
CHUNK = 1 << 16


@asynccontextmanager
async def fake_engine(path: Path, answers: Mapping[str, tuple[int, Any]] | None) -> AsyncIterator[str]:
    """A fake, no Engine at all: answers each path that ends so with a status and JSON; with None, nothing, ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if answers is None:
                continue
            asked = head.split(b" ")[1].decode().partition("?")[0]
            found = [answer for end, answer in answers.items() if asked.endswith(end)]
            status, value = found[0] if found else (404, {"message": f"no {asked} in this fake"})
            body = json.dumps(value).encode()
            kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
            writer.write(f"HTTP/1.1 {status} X\r\n{kind}\r\n\r\n".encode() + body)

    async with serving(Serving(serve), path):
        yield f"unix://{path}"


@final
class Serving:
    """The connections of a server, each a task."""

    def __init__(self, serve: Any) -> None:
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def end(self) -> None:
        """Hang up on everybody."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def serving(handler: Serving, path: Path | None) -> AsyncIterator[asyncio.Server]:
    """Serve on a unix socket, or on a port of this machine where no path is given."""
    if path is not None:
        server = await asyncio.start_unix_server(handler, path)
    else:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield server
    finally:
        server.close()
        await handler.end()


@final
class Way:
    """A way to a real Engine, that can be cut, as if the Engine had died, or held, as if it hung."""

    def __init__(self, engine: str) -> None:
        self._engine = engine.removeprefix("unix://")
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._serving = Serving(self._carry_both)
        self._server: asyncio.Server | None = None
        self.address = ""

    def hold(self) -> None:
        """Let nothing through any more."""
        self._goes_on.clear()

    def go_on(self) -> None:
        """Let through what was held."""
        self._goes_on.set()

    async def cut(self) -> None:
        """Hang up on everybody, and answer nobody any more."""
        assert self._server is not None
        self._server.close()
        await self._serving.end()

    async def drop(self) -> None:
        """Hang up on everybody, and answer whoever comes again."""
        await self._serving.end()

    async def _carry_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._engine)
        try:
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        finally:
            back.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(CHUNK):
            await self._goes_on.wait()
            sink.write(chunk)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()


@asynccontextmanager
async def way_to(engine: str, path: Path | None = None) -> AsyncIterator[Way]:
    """Open a way to an Engine: a unix socket, or a port of this machine where no path is given."""
    way = Way(engine)
    async with serving(way._serving, path) as server:
        way._server = server
        way.address = f"unix://{path}" if path else f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield way
