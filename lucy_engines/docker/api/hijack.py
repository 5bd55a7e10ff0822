"""Attaching to a container's streams: an HTTP/1.1 connection that the Engine turns into a raw one. Our own.

Not aiodocker's: its websocket attach loses stream ids, and its log follower reads the log file, which loses and doubles
lines around rotation. An attach from before the container's start sees every byte, each once, and a reader that is slow
makes the container wait.

The request and the reading of its answer are in `upgrade`, sans-IO, since `pump` attaches without a loop.
"""

from typing import final

import anyio
import anyio.abc
from anyio.streams.tls import TLSStream

from lucy_core.errors import EngineUnavailableError, RefusedError
from lucy_engines.docker.api.client import refusal
from lucy_engines.docker.api.endpoint import Endpoint, api_path, send_at_once
from lucy_engines.docker.api.frames import STDOUT, FrameDecoder, FrameError, Part
from lucy_engines.docker.api.unix_stream import connect_unix
from lucy_engines.docker.api.upgrade import Upgrade, attach_request, upgrade_request

READ_BYTES = 1 << 18


@final
class Attachment:
    """An attached connection. Not for two readers; close it. Made by `run_attached`."""

    def __init__(self, stream: anyio.abc.ByteStream, rest: bytes) -> None:
        self._stream = stream
        self._frames = FrameDecoder()
        self._rest = rest

    async def receive(self) -> list[Part]:
        """Take what has come; an empty list is no end.

        Raises:
            anyio.EndOfStream: the container, or the Engine, is gone.
            FrameError: what came is no framed stream.
        """
        chunk, self._rest = self._rest, b""
        if not chunk:
            try:
                chunk = await self._stream.receive(READ_BYTES)
            except anyio.BrokenResourceError as error:
                raise anyio.EndOfStream from error
        return self._frames.feed(chunk)

    async def send(self, data: bytes) -> None:
        """Write to the container's stdin.

        Raises:
            anyio.BrokenResourceError: the container, or the Engine, is gone.
        """
        await self._stream.send(data)

    async def send_eof(self) -> None:
        """End the container's stdin, where the connection can be closed by half: TLS can't.

        Raises:
            anyio.BrokenResourceError: the container, or the Engine, is gone.
        """
        if not isinstance(self._stream, TLSStream):
            try:
                await self._stream.send_eof()
            except OSError as error:
                raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        # A TLS stream would first wait for the peer's goodbye.
        await anyio.aclose_forcefully(self._stream)


async def connect(endpoint: Endpoint) -> anyio.abc.ByteStream:
    """Open a connection to an Engine.

    Raises:
        EngineUnavailableError: nobody can be reached there.
    """
    try:
        if endpoint.path is not None:
            return await connect_unix(endpoint.path)
        stream = await anyio.connect_tcp(endpoint.host, endpoint.port)
        send_at_once(stream.extra(anyio.abc.SocketAttribute.raw_socket))  # noqa: S610  # anyio's, not Django's
        if not endpoint.tls:
            return stream
        try:
            return await TLSStream.wrap(
                stream, hostname=endpoint.host, ssl_context=endpoint.tls_context(), standard_compatible=False
            )
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise
    except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
        raise EngineUnavailableError(endpoint.text, "it hung up on TLS", "look at `docker info`") from error
    except OSError as error:
        found = f"it can't be reached ({error.strerror or error})"
        raise EngineUnavailableError(endpoint.text, found, "look at `docker info`") from error


@final
class Stdio:
    """Stdin and stdout of an attached container's first process. Made by `attach`; close it."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self.send = attachment.send
        self.aclose = attachment.aclose

    async def receive(self) -> bytes:
        """Take what has come from stdout; nothing is no end.

        Raises:
            anyio.EndOfStream: the container, or the Engine, is gone, or what came is no framed stream.
        """
        try:
            parts = await self._attachment.receive()
        except FrameError as error:
            raise anyio.EndOfStream from error
        return b"".join([part.data for part in parts if part.stream == STDOUT])


async def attach(endpoint: Endpoint, container: str) -> Stdio:
    """Attach to a container, best before its start: what was written earlier is not seen.

    Raises:
        EngineUnavailableError: the Engine can't be reached, or hung up.
        DeployError: it refused.
    """
    request = attach_request(container, "stdin", "stdout")
    return Stdio(await _upgrade(endpoint, request, f"attach to container {container[:12]}"))


async def run_attached(endpoint: Endpoint, command: str) -> Attachment:
    """Start a prepared command (an exec, by its id) and attach to its streams. Raises as `attach` does."""
    request = upgrade_request(f"/{api_path('exec', command, 'start')}", b'{"Detach": false, "Tty": false}')
    return await _upgrade(endpoint, request, "run a command in a container")


async def _upgrade(endpoint: Endpoint, request: bytes, what: str) -> Attachment:
    stream = await connect(endpoint)
    upgrade = Upgrade()
    try:
        await stream.send(request)
        rest: bytes | None = None
        while rest is None:
            rest = upgrade.feed(await stream.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError, ValueError) as error:
        await anyio.aclose_forcefully(stream)
        found = f"it did not {what} ({str(error) or 'it hung up'})"
        raise EngineUnavailableError(endpoint.text, found, "look at `docker info`") from error
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
    if not upgrade.accepted:
        await anyio.aclose_forcefully(stream)
        raise RefusedError(what, upgrade.status, refusal(upgrade.status, upgrade.reason))
    return Attachment(stream, rest)
