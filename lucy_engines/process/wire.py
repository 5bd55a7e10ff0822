"""The guardian's end of the socket to Lucy: lines of JSON both ways, and no waiting. Standard library only."""

import json
import os
import select
import socket
from collections import deque
from typing import Any, final

CHUNK_BYTES = 1 << 18
MOST_DESCRIPTORS = 16
"""How many may come with one message; more would be closed by the kernel."""


@final
class Wire:
    """A socket, what came of a line so far, and what Lucy hasn't taken yet: she may be blocked, and nodes go on."""

    __slots__ = ("_control", "_descriptors", "_incoming", "_outgoing")

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._control = control
        self._incoming = b""
        self._descriptors: deque[int] = deque()
        self._outgoing = bytearray()

    def fileno(self) -> int:
        """Return what to poll."""
        return self._control.fileno()

    @property
    def awaited(self) -> int:
        """For what to poll it."""
        return select.POLLIN | (select.POLLOUT if self._outgoing else 0)

    def receive(self) -> list[bytes] | None:
        """Return the lines that are whole by now, or None once the other end is closed."""
        try:
            chunk, descriptors, _, _ = socket.recv_fds(
                self._control, CHUNK_BYTES, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return []
        except OSError:
            return None
        self._descriptors += descriptors
        if not chunk:
            return None
        *lines, self._incoming = (self._incoming + chunk).split(b"\n")
        return lines

    def take_descriptors(self, count: int) -> list[int]:
        """Return the descriptors that came with an order, for the caller to close.

        Raises:
            ValueError: fewer came.
        """
        if len(self._descriptors) < count:
            message = f"{count} descriptors have to come with it"
            raise ValueError(message)
        return [self._descriptors.popleft() for _ in range(count)]

    def drop_descriptors(self, count: int) -> None:
        """Close what came with an order that is refused, so that the next one gets its own."""
        for _ in range(min(count, len(self._descriptors))):
            os.close(self._descriptors.popleft())

    def say(self, message: dict[str, Any]) -> None:
        """Send a message, now or when there is room for it."""
        self._outgoing += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send as much as there is room for."""
        try:
            while self._outgoing:
                sent = self._control.send(memoryview(self._outgoing)[:CHUNK_BYTES])
                del self._outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()  # Lucy is gone: the next turn sees it
