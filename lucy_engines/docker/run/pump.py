"""The pump: carries what no FIFO can bring out of a container into the node's FIFO on this side.

A process of its own for the same reason that capture is one: a test that blocks for seconds must not slow a node down,
and over a network that would be felt at once. It attaches to a container through the Engine, and takes its stderr in
frames, and the puppeteer's marks out of it. From the FIFO on, which capture drains, all ways are alike.

Memory is bounded: a container whose FIFO is full isn't read, so the Engine, and then the container, waits.

It ends when Lucy does, or hangs up.
"""

import contextlib
import errno
import fcntl
import os
import resource
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, final

from lucy_core.helpers.server import Server
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.api.frames import STDERR, FrameDecoder, FrameError
from lucy_engines.docker.api.upgrade import Upgrade, attach_request
from lucy_engines.docker.run.marks import MarkFinder

READ_BYTES = 1 << 18
PIPE_BYTES = 1 << 20
CONNECT_SECONDS = 10.0
PEER_BUFFER_BYTES = 1 << 20


class Carry(NamedTuple):
    """Carry what a container writes to its stderr into the FIFO of its node."""

    node: str
    fifo: str
    host: str
    """The Engine, as `DOCKER_HOST` has it."""
    container: str
    token: str
    """Of the marks."""


class Passed(NamedTuple):
    """All that stood before a node's mark of this number is in its FIFO."""

    node: str
    number: int


class Closed(NamedTuple):
    """A container brings nothing more, and all that it brought is in the FIFO."""

    node: str


class Broken(NamedTuple):
    """What a container brings can't be carried any more."""

    node: str
    reason: str


@final
class Fifo:
    """A node's FIFO, and what waits for room in it: bytes, and what to do once the bytes before are in."""

    __slots__ = ("failure", "fd", "queue")

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.queue: deque[bytes | memoryview | Callable[[], None]] = deque()
        self.failure = ""
        """Why it takes nothing any more: nobody reads it, as a rule."""

    def flush(self) -> bool:
        """Write what there is room for; return whether that was all."""
        queue = self.queue
        while queue:
            item = queue[0]
            if callable(item):
                queue.popleft()
                item()
                continue
            try:
                written = len(item) if self.failure else os.write(self.fd, item)
            except BlockingIOError:
                return False
            except OSError as error:
                self.failure = error.strerror or str(error)
                continue
            if written == len(item):
                queue.popleft()
            else:
                queue[0] = memoryview(item)[written:]
        return True


@final
class Carried:
    """A node: the connection that brings its bytes, what is found in them, and its FIFO."""

    __slots__ = ("fifo", "finder", "frames", "is_broken", "node", "peer")

    def __init__(self, node: str, fifo: Fifo, peer: socket.socket, finder: MarkFinder) -> None:
        self.node = node
        self.fifo = fifo
        self.peer = peer
        self.finder = finder
        self.frames = FrameDecoder()
        self.is_broken = False
        """Whether it was told that its FIFO takes no more."""


@final
class Pump:
    """The loop: one thread, no locks."""

    def __init__(self, control: socket.socket, lucy: int) -> None:
        """`lucy` is a pidfd of who it works for."""
        self._server = Server(control, {Carry: self._carry})
        self._lucy = lucy
        self._epoll = select.epoll()
        for fd in (self._server.fileno(), lucy):
            self._epoll.register(fd, select.EPOLLIN)
        self._carried: dict[int, Carried] = {}
        """By the connection, as long as that is open."""
        self._blocked: dict[int, Carried] = {}
        """By the FIFO, as long as that is full."""
        self._nodes: set[str] = set()

    def run(self) -> None:
        """Serve until Lucy ends or hangs up."""
        while True:
            self._epoll.modify(self._server.fileno(), self._server.awaited)
            for fd, _ in self._epoll.poll():
                if fd == self._lucy:
                    return
                if fd == self._server.fileno():
                    if not self._server.serve():
                        return
                elif fd in self._blocked:
                    self._unblock(fd)
                elif fd in self._carried:
                    self._serve(self._carried[fd])

    def _carry(self, wanted: Carry) -> None:
        if wanted.node in self._nodes:
            raise ValueError(f"a node is called {wanted.node!r} already")
        peer = _connect(wanted.host)
        try:
            peer.sendall(attach_request(wanted.container, "stderr"))
            rest = _upgraded(peer)
            peer.setblocking(False)
            carried = Carried(wanted.node, Fifo(wanted.fifo), peer, MarkFinder(wanted.token))
        except BaseException:
            peer.close()
            raise
        self._nodes.add(wanted.node)
        self._carried[peer.fileno()] = carried
        self._epoll.register(peer.fileno(), select.EPOLLIN)
        self._take(carried, rest)

    # Bytes

    def _serve(self, carried: Carried) -> None:
        try:
            chunk = carried.peer.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            chunk = b""
        if chunk:
            self._take(carried, chunk)
        else:
            self._close(carried)

    def _take(self, carried: Carried, chunk: bytes) -> None:
        try:
            parts = carried.frames.feed(chunk)
        except FrameError as error:
            self._server.notify(Broken(carried.node, str(error)))
            self._close(carried)
            return
        for item in carried.finder.feed(b"".join([part.data for part in parts if part.stream == STDERR])):
            carried.fifo.queue.append(item if isinstance(item, bytes) else self._passed(carried.node, item))
        self._flush(carried)

    def _passed(self, node: str, number: int) -> Callable[[], None]:
        return lambda: self._server.notify(Passed(node, number))

    def _flush(self, carried: Carried) -> None:
        fifo = carried.fifo
        empty = fifo.flush()
        if fifo.failure and not carried.is_broken:
            carried.is_broken = True
            self._server.notify(Broken(carried.node, f"its FIFO takes no more: {fifo.failure}"))
        if empty or fifo.fd in self._blocked:
            return
        self._blocked[fifo.fd] = carried
        self._epoll.register(fifo.fd, select.EPOLLOUT)
        if carried.peer.fileno() in self._carried:
            self._epoll.modify(carried.peer.fileno(), 0)

    def _unblock(self, fd: int) -> None:
        carried = self._blocked[fd]
        if not carried.fifo.flush():
            return
        del self._blocked[fd]
        self._epoll.unregister(fd)
        if carried.peer.fileno() in self._carried:
            self._epoll.modify(carried.peer.fileno(), select.EPOLLIN)
            # TLS may hold bytes that no poll will tell of.
            self._serve(carried)

    def _close(self, carried: Carried) -> None:
        fd = carried.peer.fileno()
        if self._carried.pop(fd, None) is None:
            return
        self._epoll.unregister(fd)
        carried.peer.close()
        carried.fifo.queue.append(carried.finder.flush())
        carried.fifo.queue.append(lambda: self._server.notify(Closed(carried.node)))
        self._flush(carried)


def _connect(host: str) -> socket.socket:
    """Open a connection to the Engine."""
    endpoint = Endpoint(host)
    peer = endpoint.connect(CONNECT_SECONDS)
    if endpoint.path is not None:
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PEER_BUFFER_BYTES)
    return peer


def _upgraded(peer: socket.socket) -> bytes:
    """Read the Engine's answer; return what follows it, which is the raw stream's."""
    upgrade, rest = Upgrade(), None
    while rest is None:
        chunk = peer.recv(READ_BYTES)
        if not chunk:
            raise ConnectionResetError(errno.ECONNRESET, "the Engine hung up")
        rest = upgrade.feed(chunk)
    if not upgrade.accepted:
        raise ValueError(f"{upgrade.reason} (status {upgrade.status})")
    return rest


def main(control: socket.socket, lucy: int) -> None:
    """Run the pump."""
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Pump(control, lucy).run()
