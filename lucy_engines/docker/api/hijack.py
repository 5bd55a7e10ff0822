"""Attaching to a container's streams: an HTTP/1.1 connection that the Engine turns into a raw one. Our own.

Not aiodocker's: its websocket attach loses stream ids, and its log follower reads the log file, which loses and doubles
lines around rotation. An attach from before the container's start sees every byte, each once, and a reader that is slow
makes the container wait.

The request and the reading of its answer are in `upgrade`, sans-IO, since `pump` attaches without a loop.
"""

import os
import socket
import ssl
from typing import final
from urllib.parse import urlsplit

import anyio
import anyio.abc
from anyio.streams.tls import TLSStream

from lucy_core.errors import DeployError, EngineUnavailableError, shown
from lucy_engines.docker.api.frames import FrameDecoder, Part
from lucy_engines.docker.api.unix_stream import connect_unix
from lucy_engines.docker.api.upgrade import Upgrade, attach_request, place, tls_context, upgrade_request

READ_BYTES = 1 << 18
PORT, TLS_PORT = 2375, 2376
_ADDRESSES = "give unix:///path, tcp://host:port or https://host:port"


@final
class Endpoint:
    """Where an Engine listens: a unix socket, or a host and port with or without TLS."""

    __slots__ = ("host", "path", "port", "text", "tls")

    def __init__(self, text: str) -> None:
        """Understand an address as `DOCKER_HOST` has it.

        Raises:
            EngineUnavailableError: it is of no kind that we speak.
        """
        self.text = text
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise EngineUnavailableError(text, f"this is no address ({error})", _ADDRESSES) from error
        self.path: str | None = None
        self.tls = parts.scheme == "https" or (parts.scheme == "tcp" and bool(os.environ.get("DOCKER_TLS_VERIFY")))
        self.host = parts.hostname or "127.0.0.1"
        self.port = 0
        if parts.scheme == "unix":
            self.path = text.removeprefix("unix://")
        elif parts.scheme in {"tcp", "http", "https"}:
            self.port = port or (TLS_PORT if self.tls else PORT)
        else:
            found = f"{shown(parts.scheme or text)} is no way to an Engine that Lucy knows"
            raise EngineUnavailableError(text, found, _ADDRESSES)

    @property
    def url(self) -> str:
        """Where its HTTP is, as a client of HTTP has it."""
        if self.path is not None:
            return "unix://localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext:
        """Make the context that `DOCKER_CERT_PATH` asks for, else the system's."""
        return tls_context()


@final
class Attachment:
    """An attached connection. Not for two readers; close it. Made by `attach`."""

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
        """Hang up. The container runs on."""
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
        # Two small writes in a row would wait for each other's acknowledgement: 27 ms at the 99th percentile.
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610  # anyio's, not Django's
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


async def attach(endpoint: Endpoint, container: str, *streams: str) -> Attachment:
    """Attach to streams of a container, best before its start: what was written earlier is not seen.

    Args:
        endpoint: the Engine.
        container: its id.
        streams: of `stdin`, `stdout`, `stderr`.

    Raises:
        EngineUnavailableError: the Engine can't be reached, or hung up.
        DeployError: it refused.
    """
    return await _upgrade(endpoint, attach_request(container, *streams), f"attach to container {container[:12]}")


async def run_attached(endpoint: Endpoint, command: str) -> Attachment:
    """Start a prepared command (an exec, by its id) and attach to its streams. Raises as `attach` does."""
    request = upgrade_request(f"/{place('exec', command, 'start')}", b'{"Detach": false, "Tty": false}')
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
        message = f"the Docker Engine refused to {what}: {upgrade.reason} (status {upgrade.status})"
        raise DeployError(message)
    return Attachment(stream, rest)
