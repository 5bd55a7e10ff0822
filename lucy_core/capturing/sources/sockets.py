"""Taking lines over a socket, unix or TCP. Standard library only, since the capture process loads it.

A listener and its connections are sources of one node; lines of different connections are never mixed, since each is
framed by itself. What listens, listens on loopback unless told otherwise, and a TCP peer has to know the run's token:
its first line is `LUCY <token>`.

Anybody may find an open port. Who doesn't say the token within `GREETING_SECONDS`, or says something else, is a
stranger: turned away and counted, and nobody's lines are missing for it. Of those who have said nothing yet only
`WAITING_PEERS` are kept, the newest, so that a thousand silent ones leave descriptors for the nodes.
"""

import contextlib
import errno
import fcntl
import hmac
import os
import socket
import struct
import termios
import time
from typing import Any

from lucy_core.capturing.sources.source import READ_BYTES, Source

GREETING_BYTES = 512
"""A first line longer than this is no greeting."""
GREETING_SECONDS = 10.0
WAITING_PEERS = 64
BACKLOG = 1024
"""How many may wait to be accepted while capture is busy: one more tries again only after a second."""
ANY = "0.0.0.0"  # noqa: S104  # what an empty host means to `bind`
_TRANSIENT = frozenset({errno.ECONNABORTED, errno.EINTR, errno.EPERM, errno.EPROTO})
"""What `accept` says where one peer is gone again, and the next may be there."""


class Connection(Source):
    """One peer's bytes; ends when the peer closes."""

    __slots__ = ("_greeting", "_since", "_socket", "_token")

    tells_its_end = True

    def __init__(self, peer: socket.socket, token: str | None) -> None:
        super().__init__()
        peer.setblocking(False)
        self._socket = peer
        self._token = token
        self._greeting = b""
        self._since = time.monotonic()

    @property
    def silent_since(self) -> float | None:
        return None if self._token is None else self._since

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
        if not newline or not self._knows(line.strip(), token):
            raise PermissionError(errno.EACCES, "did not begin with this run's token")
        self._token = None
        self._greeting = b""
        return rest

    def _knows(self, greeting: bytes, token: str) -> bool:
        """Tell whether a first line is the right one."""
        return hmac.compare_digest(greeting, b"LUCY " + token.encode())

    def left(self) -> int:
        (size,) = struct.unpack("i", fcntl.ioctl(self._socket, termios.FIONREAD, bytes(4)))
        return int(size)

    def close(self) -> None:
        self._socket.close()


class Listener(Source):
    """Accepts connections; has no bytes of its own."""

    __slots__ = ("_path", "_socket", "_token")

    def __init__(self, address: str | tuple[str, int], token: str) -> None:
        """Listen on a path, or on a host (an address, v4 or v6; no name) and a port.

        Raises:
            OSError: that can't be listened on.
        """
        super().__init__()
        place: Any = address
        if isinstance(address, str):
            self._path: str | None = address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._token: str | None = None
        else:
            self._path = None
            host, port = address
            flags = socket.AI_NUMERICHOST | socket.AI_PASSIVE
            (family, _, _, _, place), *_ = socket.getaddrinfo(host or ANY, port, type=socket.SOCK_STREAM, flags=flags)
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._token = token
        try:
            self._socket.bind(place)
            self._socket.listen(BACKLOG)
        except OSError as error:
            self._socket.close()
            raise OSError(error.errno, error.strerror, str(address)) from error
        self._socket.setblocking(False)

    @property
    def address(self) -> str | tuple[str, int]:
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
        except OSError as error:
            if error.errno in _TRANSIENT:
                return None
            raise
        return self._welcome(peer)

    def _welcome(self, peer: socket.socket) -> Connection:
        return Connection(peer, self._token)

    def close(self) -> None:
        if self._socket.fileno() >= 0 and self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        self._socket.close()
