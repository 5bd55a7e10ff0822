"""Taking lines over a socket, unix or TCP. Standard library only, since the capture process loads it.

A listener and its connections are sources of one node; lines of different connections are never mixed, since each is
framed by itself. What listens, listens on loopback unless told otherwise, and a TCP peer has to know the run's token:
its first line is `LUCY <token>`.
"""

import contextlib
import hmac
import os
import socket
from typing import final

from lucy_core.pipeline.sources import READ_BYTES

GREETING_BYTES = 256
"""A first line longer than this is no greeting."""


@final
class Connection:
    """One peer's bytes; ends when the peer closes."""

    __slots__ = ("_greeting", "_socket", "_token")

    def __init__(self, peer: socket.socket, token: str | None) -> None:
        peer.setblocking(False)
        self._socket = peer
        self._token = token
        self._greeting = b""

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> bytes | None:
        """Take what has come; a peer without the token is dropped, with an error.

        Raises:
            PermissionError: the peer's first line was not the greeting.
            OSError: the connection broke.
        """
        try:
            chunk = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        if not chunk:
            return None
        return chunk if self._token is None else self._greet(chunk, self._token)

    def _greet(self, chunk: bytes, token: str) -> bytes:
        self._greeting += chunk
        line, newline, rest = self._greeting.partition(b"\n")
        if not newline and len(self._greeting) <= GREETING_BYTES:
            return b""
        if not newline or not hmac.compare_digest(line.strip(), b"LUCY " + token.encode()):
            message = "a peer did not begin with this run's token and was refused"
            raise PermissionError(message)
        self._token = None
        self._greeting = b""
        return rest

    def accept(self) -> None:
        return None

    def blocked(self) -> bool:
        return False

    def close(self) -> None:
        self._socket.close()


@final
class Listener:
    """Accepts connections; has no bytes of its own."""

    __slots__ = ("_path", "_socket", "_token")

    def __init__(self, address: str | tuple[str, int], token: str | None) -> None:
        if isinstance(address, str):
            self._path: str | None = address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._token = None
        else:
            self._path = None
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._token = token
        try:
            self._socket.bind(address)
            self._socket.listen(128)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)

    @property
    def address(self) -> str | tuple[str, int]:
        """Where it really listens."""
        if self._path is not None:
            return self._path
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> bytes:
        return b""

    def accept(self) -> Connection | None:
        """Return a new peer, or None.

        Raises:
            OSError: no descriptor is left for it; it stays in the kernel's queue.
        """
        try:
            peer, _ = self._socket.accept()
        except BlockingIOError:
            return None
        return Connection(peer, self._token)

    def blocked(self) -> bool:
        return False

    def close(self) -> None:
        if self._socket.fileno() >= 0 and self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        self._socket.close()
