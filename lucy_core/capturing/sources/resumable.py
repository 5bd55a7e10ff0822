"""Taking a node's lines over TCP through connections that may break. Standard library only, as capture is.

A partition is something that tests do to nodes, so no connection may be trusted to bring all. What is numbered are the
bytes of a *life*, of one start of a daemon: a connection begins `LUCY <token> <node> <life>`, and is answered with a
line that says how many bytes of this life are here, and with another one whenever more are. The other end
(`lucy_engines/supervisor/sender.py`) keeps what it was not told of, and goes on from there over its next connection.

It is told of what the log has, and of the unfinished line, which waits here for its end as it would have waited in a
FIFO: a line longer than what the other end may keep would have no end otherwise.

The end of a life is not spoken of here: its last connection may close late or, behind a partition, never. Whoever hears
of it otherwise says so to `Drain.drain`.
"""

import contextlib
import hmac
import socket
from collections.abc import Sequence
from typing import final

from lucy_core.capturing.framing import Framer
from lucy_core.capturing.sources.sockets import Connection, Listener


@final
class Life:
    """What is here of one start of a daemon."""

    __slots__ = ("connection", "framer", "taken")

    def __init__(self) -> None:
        self.taken = 0
        """In bytes."""
        self.framer = Framer()
        self.connection: ResumableConnection | None = None
        """Which brings it, if any does now."""


@final
class ResumableConnection(Connection):
    """One connection. Its end says nothing of the end of what it brings."""

    __slots__ = ("_life", "_lives", "_node")

    is_plain = False

    def __init__(self, peer: socket.socket, token: str | None, node: str, lives: dict[bytes, Life]) -> None:
        super().__init__(peer, token)
        self._node = node
        self._lives = lives
        self._life: Life | None = None
        with contextlib.suppress(OSError):  # it has hung up already
            # What it is told is short, and somebody waits for it.
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _knows(self, greeting: bytes, token: str) -> bool:
        word, _, life = greeting.rpartition(b" ")
        if not hmac.compare_digest(word, f"LUCY {token} {self._node}".encode()):
            return False
        self._life = self._lives.setdefault(life, Life())
        if self._life.connection is not None:
            # It broke where only the other end could see it. What of it wasn't read comes again over this one.
            self._life.connection.hang_up()
        self._life.connection = self
        self.framer = self._life.framer
        self.kept()
        return True

    def read(self) -> bytes | None:
        life = self._life
        if life is not None and life.connection is not self:
            return None
        try:
            chunk = super().read()
        except OSError:
            if life is None:
                raise
            chunk = None
        if self._life is not None:
            if chunk is None:
                self._life.connection = None
            else:
                self._life.taken += len(chunk)
        return chunk

    def unfinished(self) -> Sequence[Framer]:
        """Return the framer as long as this connection brings what it is for; then it waits for the next one."""
        return (self.framer,) if self._life is not None and self._life.connection is self else ()

    def kept(self) -> None:
        """Tell the other end what is here."""
        if self._life is None:
            return
        said = b"%d\n" % self._life.taken
        try:
            whole = self._socket.send(said) == len(said)
        except BlockingIOError:
            return  # it hears the next one
        except OSError:
            return  # `read` will see
        if not whole:
            self.hang_up()

    def hang_up(self) -> None:
        """Have the next read find that this connection has ended."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


@final
class ResumableListener(Listener):
    """The port of one node, and the lives of its daemon that were heard of there."""

    __slots__ = ("_lives", "_node")

    def __init__(self, address: tuple[str, int], token: str, node: str) -> None:
        """Listen; see `Listener`.

        Raises:
            OSError: that can't be listened on.
        """
        super().__init__(address, token)
        self._node = node
        self._lives: dict[bytes, Life] = {}

    def _welcome(self, peer: socket.socket) -> ResumableConnection:
        return ResumableConnection(peer, self._token, self._node, self._lives)

    def unfinished(self) -> Sequence[Framer]:
        """Return the framers of lives that no connection brings now."""
        return [life.framer for life in self._lives.values() if life.connection is None]
