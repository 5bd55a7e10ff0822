"""The guardian's end of the socket to Lucy: lines of JSON both ways, and no waiting. Standard library only."""

import json
import select
import socket
from typing import Any, final

CHUNK_BYTES = 1 << 18


@final
class Wire:
    """A socket, what came of a line so far, and what Lucy hasn't taken yet: she may be blocked, and nodes go on."""

    __slots__ = ("_control", "_incoming", "_outgoing")

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._control = control
        self._incoming = b""
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
            chunk = self._control.recv(CHUNK_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not chunk:
            return None
        *lines, self._incoming = (self._incoming + chunk).split(b"\n")
        return lines

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
