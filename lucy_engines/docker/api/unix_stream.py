"""A connection to a unix socket, as a stream of bytes.

anyio has one. Under uvloop, its receive that is cancelled while data arrives sets its future twice, and the loop
complains of an `InvalidStateError` in a callback: harmless, and at every end of a run. This one waits by
`anyio.wait_readable`, which doesn't.
"""

import socket
from typing import final

import anyio
import anyio.abc
import anyio.lowlevel

RETRY_SECONDS = 0.01


async def connect_unix(path: str) -> "UnixStream":
    """Connect to a unix socket.

    Raises:
        OSError: nobody can be reached there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        while True:
            try:
                connection.connect(path)
            except BlockingIOError:
                # Too many wait to be accepted already, and a unix socket has no way to say when that changes.
                await anyio.sleep(RETRY_SECONDS)
            else:
                return UnixStream(connection)
    except BaseException:
        connection.close()
        raise


@final
class UnixStream(anyio.abc.ByteStream):
    """An open connection. One task may receive while another sends."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Take what has come. Raises EndOfStream, ClosedResourceError or BrokenResourceError as anyio's streams do."""
        await anyio.lowlevel.checkpoint()
        while True:
            try:
                chunk = self._open().recv(max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._open())
            except OSError as error:
                raise anyio.BrokenResourceError from error
            else:
                break
        if not chunk:
            raise anyio.EndOfStream
        return chunk

    async def send(self, item: bytes) -> None:
        """Send all. Raises ClosedResourceError or BrokenResourceError as anyio's streams do."""
        await anyio.lowlevel.checkpoint()
        left = memoryview(item)
        while left:
            try:
                left = left[self._open().send(left) :]
            except BlockingIOError:
                await anyio.wait_writable(self._open())
            except OSError as error:
                raise anyio.BrokenResourceError from error

    def _open(self) -> socket.socket:
        if self._closed:
            raise anyio.ClosedResourceError
        return self._socket

    async def send_eof(self) -> None:
        """End what is sent; what comes can still be received."""
        self._socket.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Hang up. Whoever waits in `receive` is told so."""
        if not self._closed:
            self._closed = True
            anyio.notify_closing(self._socket)
            self._socket.close()
