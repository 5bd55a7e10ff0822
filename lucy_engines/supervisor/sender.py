"""The way to Lucy over TCP, through connections that may break. Nothing here waits.

Nothing is lost and nothing comes twice, whatever becomes of connections: a partition is something that tests do to
nodes. `lucy_core/capturing/sources/resumable.py` is the other end, and says what is spoken. What Lucy hasn't said that
she has is kept; a new connection goes on from there.

Standard library only, Python 3.7 or newer: the puppeteer loads it inside of a container.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time

SEND_BYTES = 1 << 18
CONNECT_SECONDS = 5.0
RETRY_SECONDS = 0.2
FLUSH_SECONDS = 5.0
"""How long an ended daemon's last bytes are offered to a Lucy that doesn't take them."""
UNANSWERED_MS = 10_000
"""When a connection is given up that acknowledges nothing: the container may have got another address meanwhile."""


class Sender:
    """Brings one life of the daemon."""

    def __init__(self, address: str, token: str, node: str) -> None:
        """Connect, waiting until Lucy has answered.

        Raises:
            OSError: nobody is there.
            ValueError: there is no such address, or the token was refused.
        """
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit():
            raise ValueError(f"{address!r} is no host:port")
        self._greeting = " ".join(("LUCY", token, node, os.urandom(8).hex())).encode() + b"\n"
        try:
            peer = socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS)
        except OSError as error:
            raise ValueError(f"can't reach Lucy at {address}: {error.strerror or error}") from error
        self._address = peer.getpeername()
        self._family = peer.family
        self._socket = peer  # type: socket.socket | None
        self._connecting = False
        self._resumed = False
        self._heard = b""
        self._unsent_greeting = b""
        self._kept = bytearray()
        self._taken = 0  # by Lucy
        self._sent = 0  # over this connection, or known to be there
        self._ending = float("inf")
        self._closed_ours = False
        self._retry = float("inf")
        try:
            self._tune(peer)
            peer.sendall(self._greeting)
            chunk = b"?"
            while chunk and not self._resumed:
                chunk = peer.recv(4096)
                self._hear(chunk)
        except OSError as error:
            peer.close()
            raise ValueError(f"Lucy at {address} does not answer: {error.strerror or error}") from error
        if not self._resumed:
            peer.close()
            raise ValueError(f"Lucy at {address} refused this node's token")
        peer.setblocking(False)

    @staticmethod
    def _tune(peer: socket.socket) -> None:
        # Two small writes in a row would else wait for each other's acknowledgement, 40 ms.
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)

    @property
    def backlog(self) -> int:
        """Bytes that Lucy hasn't said she has."""
        return len(self._kept)

    def put(self, piece: bytes) -> None:
        self._kept += piece

    def end(self) -> None:
        """Take note that nothing more will be put here."""
        if self._ending == float("inf"):
            self._ending = time.monotonic() + FLUSH_SECONDS

    def turn(self) -> None:
        """Send and hear what is possible now."""
        if self._socket is None and time.monotonic() >= self._retry:
            self._reconnect()
        try:
            if self._socket is not None:
                self._serve(self._socket)
        except BlockingIOError:
            pass
        except OSError:
            self._hang_up()

    def _serve(self, peer: socket.socket) -> None:
        if self._connecting:
            code = peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            try:
                peer.getpeername()
            except OSError:
                return
            self._connecting = False
        while self._unsent_greeting:
            self._unsent_greeting = self._unsent_greeting[peer.send(self._unsent_greeting) :]
        with contextlib.suppress(BlockingIOError):
            while True:
                chunk = peer.recv(4096)
                if not chunk:
                    raise ConnectionResetError(errno.ECONNRESET, "the peer hung up")
                self._hear(chunk)
        while self._resumed and self._sent < self._taken + len(self._kept):
            at = self._sent - self._taken
            with memoryview(self._kept) as view, view[at : at + SEND_BYTES] as part:
                self._sent += peer.send(part)
        if self._resumed and self._ending != float("inf") and not self._closed_ours:
            self._closed_ours = True
            peer.shutdown(socket.SHUT_WR)

    def _hear(self, chunk: bytes) -> None:
        *lines, self._heard = (self._heard + chunk).split(b"\n")
        for line in lines:
            if not line.isdigit():
                raise OSError(errno.EPROTO, "what answers is no Lucy")
            taken = int(line)
            del self._kept[: taken - self._taken]
            self._taken = taken
            if not self._resumed:
                self._resumed = True
                self._sent = taken

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._retry = time.monotonic() + RETRY_SECONDS

    def _reconnect(self) -> None:
        self._socket = peer = socket.socket(self._family, socket.SOCK_STREAM)
        self._tune(peer)
        peer.setblocking(False)
        self._connecting = True
        self._resumed = False
        self._closed_ours = False
        self._heard = b""
        self._unsent_greeting = self._greeting
        if peer.connect_ex(self._address) not in (0, errno.EINPROGRESS):
            self._hang_up()

    def interests(self) -> dict[int, int]:
        if self._socket is None:
            return {}
        waits = self._connecting or self._unsent_greeting or (self._resumed and self._sent < self._taken + self.backlog)
        return {self._socket.fileno(): select.POLLIN | (select.POLLOUT if waits else 0)}

    def patience(self) -> float:
        """Return how many seconds `turn` may be put off."""
        now = time.monotonic()
        return max(0.0, min(self._ending, self._retry if self._socket is None else float("inf")) - now)

    @property
    def finished(self) -> bool:
        """Whether all is with Lucy, or given up."""
        return self._ending != float("inf") and (not self._kept or time.monotonic() >= self._ending)

    @property
    def lost(self) -> int:
        return len(self._kept) if self.finished else 0

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
