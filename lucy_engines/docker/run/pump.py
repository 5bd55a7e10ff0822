"""The pump: carries what no FIFO can bring out of a container into the node's FIFO on this side.

A process of its own for the same reason that capture is one: a test that blocks for seconds must not slow a node down,
and over a network that would be felt at once. It attaches to a container through the Engine, and takes its stderr in
frames, with the puppeteer's marks in it (a mark follows the last byte of an ended daemon; the link, being another
stream, can't say when that byte has passed). From the FIFO on, which capture drains, all ways are alike.

Memory is bounded: a container whose FIFO is full isn't read, so the Engine, and then the container, waits.

The wire: JSON lines. In: `{"id": n, "op": "attach", …}`. Out: `{"id": n}` or `{"id": n, "error": …}`, and unasked
`{"mark": node, "number": n}`, `{"opened": node}`, `{"closed": node}`, `{"broken": node, "reason": …}`. Whatever else it
is given is answered by an error, and ends nothing.

It ends when its stdin does, or when Lucy does: a process that a test has forked holds the other end of stdin too.
"""

import contextlib
import errno
import json
import os
import resource
import select
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any, final

from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.api.frames import STDERR, FrameDecoder, FrameError
from lucy_engines.docker.api.upgrade import Upgrade, attach_request
from lucy_engines.docker.run.carrying import MarkFinder, Sink
from lucy_engines.orders import CommandReader, text

READ_BYTES = 1 << 18
CONNECT_SECONDS = 10.0
ATTACH_BUFFER_BYTES = 1 << 20


@final
class Carried:
    """A node: the connection that brings its bytes, what is found in them, and its FIFO."""

    __slots__ = ("finder", "frames", "is_broken", "node", "peer", "sink")

    def __init__(self, node: str, sink: Sink, peer: socket.socket, finder: MarkFinder) -> None:
        self.node = node
        self.sink = sink
        self.peer = peer
        self.finder = finder
        self.frames = FrameDecoder()
        self.is_broken = False
        """Whether it was told that its FIFO takes no more."""


@final
class Pump:
    """The loop: one thread, no locks."""

    def __init__(self, lucy: int) -> None:
        """`lucy` is a pidfd of who it works for."""
        self._lucy = lucy
        self._epoll = select.epoll()
        self._epoll.register(0, select.EPOLLIN)
        self._epoll.register(lucy, select.EPOLLIN)
        self._commands = CommandReader()
        self._attached: dict[int, Carried] = {}
        """By the connection, as long as that is open."""
        self._blocked: dict[int, Carried] = {}
        """By the FIFO, as long as that is full."""
        self._nodes: set[str] = set()

    def run(self) -> None:
        """Serve until stdin or Lucy ends."""
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._lucy:
                    return
                if fd == 0:
                    if not self._hear():
                        return
                elif fd in self._blocked:
                    self._unblock(fd)
                elif fd in self._attached:
                    self._serve(self._attached[fd])

    # Commands

    def _say(self, **message: object) -> None:
        text = json.dumps(message).encode() + b"\n"
        while text:
            text = text[os.write(1, text) :]

    def _hear(self) -> bool:
        chunk = os.read(0, 1 << 16)
        for command in self._commands.feed(chunk):
            number = None
            try:
                if isinstance(command, str):
                    reply: dict[str, Any] = {"error": command}
                else:
                    number = command.get("id")
                    reply = self._obey(command)
            except OSError as error:
                reply = {"error": error.strerror or str(error)}
            except ValueError as error:
                reply = {"error": str(error)}
            except Exception as error:  # noqa: BLE001  # a command that makes no sense costs itself, and no node's lines
                reply = {"error": f"{error} ({type(error).__name__})"}
            self._say(id=number, **reply)
        return bool(chunk)

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        if command["op"] != "attach":
            return {"error": f"no command is called {command['op']!r}"}
        node, finder = text(command, "node"), MarkFinder(text(command, "token"))
        if node in self._nodes:
            return {"error": f"a node is called {node!r} already"}
        request = attach_request(text(command, "container"), "stderr")
        peer = _connect(text(command, "host"))
        try:
            peer.sendall(request)
            rest = _upgraded(peer)
            peer.setblocking(False)
            carried = Carried(node, Sink(text(command, "fifo")), peer, finder)
        except (OSError, ValueError):
            peer.close()
            raise
        self._nodes.add(node)
        self._attached[peer.fileno()] = carried
        self._epoll.register(peer.fileno(), select.EPOLLIN)
        self._say(opened=node)
        self._take(carried, rest)
        return {}

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
            self._say(broken=carried.node, reason=str(error))
            self._close(carried)
            return
        for item in carried.finder.feed(b"".join([part.data for part in parts if part.stream == STDERR])):
            carried.sink.queue.append(item if isinstance(item, bytes) else self._passed(carried.node, item))
        self._flush(carried)

    def _passed(self, node: str, number: int) -> Callable[[], None]:
        return lambda: self._say(mark=node, number=number)

    def _flush(self, carried: Carried) -> None:
        sink = carried.sink
        empty = sink.flush()
        if sink.failure and not carried.is_broken:
            carried.is_broken = True
            self._say(broken=carried.node, reason=f"its FIFO takes no more: {sink.failure}")
        if empty or sink.fd in self._blocked:
            return
        self._blocked[sink.fd] = carried
        self._epoll.register(sink.fd, select.EPOLLOUT)
        if carried.peer.fileno() in self._attached:
            self._epoll.modify(carried.peer.fileno(), 0)

    def _unblock(self, fd: int) -> None:
        carried = self._blocked[fd]
        if not carried.sink.flush():
            return
        del self._blocked[fd]
        self._epoll.unregister(fd)
        if carried.peer.fileno() in self._attached:
            self._epoll.modify(carried.peer.fileno(), select.EPOLLIN)
            # TLS may hold bytes that no poll will tell of.
            self._serve(carried)

    def _close(self, carried: Carried) -> None:
        fd = carried.peer.fileno()
        if self._attached.pop(fd, None) is None:
            return
        self._epoll.unregister(fd)
        carried.peer.close()
        carried.sink.queue.append(carried.finder.flush())
        carried.sink.queue.append(lambda: self._say(closed=carried.node))
        self._flush(carried)


def _connect(host: str) -> socket.socket:
    """Open a connection to the Engine."""
    endpoint = Endpoint(host)
    peer = endpoint.connect(CONNECT_SECONDS)
    if endpoint.is_local:
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ATTACH_BUFFER_BYTES)
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
        message = f"{upgrade.reason} (status {upgrade.status})"
        raise ValueError(message)
    return rest


def main(arguments: list[str]) -> None:
    """Run the pump: commands on stdin, replies on stdout; the only argument is Lucy, as a pidfd's number."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # It ends when its stdin does.
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(BrokenPipeError):
        Pump(int(arguments[0])).run()


if __name__ == "__main__":
    main(sys.argv[1:])
