"""The pump: carries what no FIFO can bring out of a container into the node's FIFO on this side.

A process of its own for the same reason that capture is one: a test that blocks for seconds must not slow a node down,
and over a network that would be felt at once. It takes two kinds of source, and has one kind of way out, the FIFO that
capture drains, so that from there on all kinds are alike.

- *attach*: a connection to the Engine, a container's stderr in frames, with the puppeteer's marks in it (a mark follows
  the last byte of an ended daemon; the link, being another stream, can't say when that byte has passed).
- *tcp*: connections of puppeteers, which `lucy_engines/outlets.py` describes. A stream goes on over any number of them.

Memory is bounded: a source whose FIFO is full isn't read, so the Engine, and then the container, waits.

The wire: JSON lines. In: `{"id": n, "op": "attach" | "listen" | "node", …}`. Out: `{"id": n, "error": …}` or with what
was asked, and unasked `{"mark": node, "number": n}`, `{"opened": node}`, `{"closed": node}`, `{"refused": …}`. It ends
when its stdin does.
"""

import contextlib
import errno
import fcntl
import hmac
import json
import os
import select
import signal
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, final

from lucy_engines.docker.frames import STDERR, FrameDecoder, FrameError
from lucy_engines.docker.upgrade import Upgrade, attach_request, tls_context

READ_BYTES = 1 << 18
GREETING_BYTES = 1024
PIPE_BYTES = 1 << 20
CONNECT_SECONDS = 10.0
ATTACH_BUFFER_BYTES = 1 << 20


@final
class MarkFinder:
    """Takes the bytes of a node and its marks, and tells them apart. Sans-IO."""

    __slots__ = ("_held", "_mark")

    def __init__(self, token: str) -> None:
        self._mark = b"\x1eLUCY " + token.encode() + b" "
        self._held = b""

    def feed(self, data: bytes) -> list[bytes | int]:
        """Return bytes, and the numbers of marks between them. What may be the start of a mark is held back."""
        found: list[bytes | int] = []
        if self._held:
            data, self._held = self._held + data, b""
        while (at := data.find(self._mark)) >= 0:
            end = data.find(b"\n", at)
            if at:
                found.append(data[:at])
            if end < 0:
                self._held = data[at:]
                return found
            found.append(int(data[at + len(self._mark) : end]))
            data = data[end + 1 :]
        at = data.rfind(b"\x1e", max(0, len(data) - len(self._mark)))
        if at >= 0 and self._mark.startswith(data[at:]):
            data, self._held = data[:at], data[at:]
        if data:
            found.append(data)
        return found

    def flush(self) -> bytes:
        """Return what is held back: no more will come."""
        held, self._held = self._held, b""
        return held


@final
class Sink:
    """A node's FIFO, and what waits for room in it: bytes, and what to do once the bytes before are in."""

    __slots__ = ("fd", "queue", "source")

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.queue: deque[bytes | memoryview | Callable[[], None]] = deque()
        self.source: Source | None = None
        """Who is not read while the queue is not empty."""

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
                written = os.write(self.fd, item)
            except BlockingIOError:
                return False
            if written == len(item):
                queue.popleft()
            else:
                queue[0] = memoryview(item)[written:]
        return True


@final
class Stream:
    """One life of a daemon, over TCP: how much of it we have."""

    __slots__ = ("source", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.source: Source | None = None


@final
class Source:
    """An open connection that brings a node's bytes."""

    __slots__ = ("finder", "frames", "greeting", "node", "peer", "stream")

    def __init__(self, peer: socket.socket, node: str) -> None:
        self.peer = peer
        self.node = node
        """Empty until a TCP peer has said it."""
        self.frames: FrameDecoder | None = None
        self.finder: MarkFinder | None = None
        self.greeting = b""
        self.stream: Stream | None = None


@final
class Pump:
    """The loop: one thread, no locks."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._epoll.register(0, select.EPOLLIN)
        self._commands = b""
        self._sinks: dict[str, Sink] = {}
        self._sources: dict[int, Source] = {}
        self._blocked: dict[int, Sink] = {}
        self._listeners: dict[int, tuple[socket.socket, bytes]] = {}
        self._streams: dict[bytes, Stream] = {}

    def run(self) -> None:
        """Serve until stdin ends."""
        while True:
            for fd, _ in self._epoll.poll():
                if fd == 0:
                    if not self._hear():
                        return
                elif fd in self._blocked:
                    self._unblock(fd)
                elif fd in self._listeners:
                    self._accept(*self._listeners[fd])
                elif fd in self._sources:
                    self._serve(self._sources[fd])

    # Commands

    def _say(self, **message: object) -> None:
        text = json.dumps(message).encode() + b"\n"
        while text:
            text = text[os.write(1, text) :]

    def _hear(self) -> bool:
        chunk = os.read(0, 1 << 16)
        *lines, self._commands = (self._commands + chunk).split(b"\n")
        for line in lines:
            command = json.loads(line)
            try:
                reply = self._obey(command)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                reply = {"error": reason}
            self._say(id=command["id"], **reply)
        return bool(chunk)

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["op"]:
            case "node":
                self._sinks[command["node"]] = Sink(command["fifo"])
                return {}
            case "attach":
                self._attach(command)
                return {}
            case "listen":
                listener = socket.create_server((command["host"], command["port"]), backlog=256)
                listener.setblocking(False)
                self._listeners[listener.fileno()] = (listener, command["token"].encode())
                self._epoll.register(listener.fileno(), select.EPOLLIN)
                return {"port": listener.getsockname()[1]}
            case other:
                return {"error": f"no command is called {other!r}"}

    def _attach(self, command: dict[str, Any]) -> None:
        if command["path"]:
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with contextlib.suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ATTACH_BUFFER_BYTES)
            peer.settimeout(CONNECT_SECONDS)
            peer.connect(command["path"])
        else:
            peer = socket.create_connection((command["host"], command["port"]), CONNECT_SECONDS)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if command["tls"]:
                peer = tls_context().wrap_socket(peer, server_hostname=command["host"])
        try:
            peer.sendall(attach_request(command["container"], "stderr"))
            rest = _upgraded(peer)
        except (OSError, ValueError):
            peer.close()
            raise
        peer.setblocking(False)
        source = Source(peer, command["node"])
        source.frames = FrameDecoder()
        source.finder = MarkFinder(command["token"])
        self._add(source)
        self._say(opened=source.node)
        self._take(source, rest)

    # Sources

    def _add(self, source: Source) -> None:
        self._sources[source.peer.fileno()] = source
        self._epoll.register(source.peer.fileno(), select.EPOLLIN)

    def _accept(self, listener: socket.socket, token: bytes) -> None:
        with contextlib.suppress(OSError):
            peer, _ = listener.accept()
            peer.setblocking(False)
            # Acknowledgements are small, and somebody waits for them.
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source = Source(peer, "")
            source.greeting = token + b"\n"  # what it must say comes first, what it has said follows
            self._add(source)

    def _serve(self, source: Source) -> None:
        try:
            chunk = source.peer.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._close(source)
        elif not source.node:
            self._greet(source, chunk)
        else:
            self._take(source, chunk)

    def _greet(self, source: Source, chunk: bytes) -> None:
        source.greeting += chunk
        token, said, rest = [*source.greeting.split(b"\n", 2), None][:3]
        assert said is not None  # noqa: S101  # there is a newline behind the token
        if rest is None and len(said) <= GREETING_BYTES:
            return
        words = said.split(b" ")
        right = len(words) == 4 and words[0] == b"LUCY" and hmac.compare_digest(words[1], token or b"")
        node = words[2].decode(errors="replace") if right else ""
        if node not in self._sinks:
            self._say(refused=f"a peer did not begin with this run's token, or as no node of it: {node or said[:20]!r}")
            self._close(source)
            return
        source.node = node
        source.greeting = b""
        stream = source.stream = self._streams.setdefault(words[3], Stream())
        if stream.source is not None:
            # Its connection broke where only the other end could see it. What it brought and we haven't read, comes
            # again over the new one.
            self._close(stream.source)
        stream.source = source
        self._say(opened=node)
        self._acknowledge(source, stream.taken)
        if rest:
            self._take(source, rest)

    def _acknowledge(self, source: Source, taken: int) -> None:
        text = b"%d\n" % taken
        try:
            whole = source.peer.send(text) == len(text)
        except BlockingIOError:
            return  # the next one says it too
        except OSError:
            return  # whoever reads from it will see
        if not whole:
            self._close(source)

    def _take(self, source: Source, chunk: bytes) -> None:
        sink = self._sinks[source.node]
        if source.frames is None or source.finder is None:
            stream = source.stream
            assert stream is not None  # noqa: S101  # a TCP source that has a node has a stream
            stream.taken += len(chunk)
            taken = stream.taken
            sink.queue.append(chunk)
            sink.queue.append(lambda: self._acknowledge(source, taken))
        else:
            try:
                parts = source.frames.feed(chunk)
            except FrameError as error:
                self._say(broken=source.node, reason=str(error))
                self._close(source)
                return
            for item in source.finder.feed(b"".join([part.data for part in parts if part.stream == STDERR])):
                sink.queue.append(item if isinstance(item, bytes) else self._passed(source.node, item))
        self._flush(sink, source)

    def _passed(self, node: str, number: int) -> Callable[[], None]:
        return lambda: self._say(mark=node, number=number)

    def _flush(self, sink: Sink, source: Source) -> None:
        if sink.flush() or sink.source is not None:
            return
        sink.source = source
        self._blocked[sink.fd] = sink
        self._epoll.register(sink.fd, select.EPOLLOUT)
        if source.peer.fileno() in self._sources:
            self._epoll.modify(source.peer.fileno(), 0)

    def _unblock(self, fd: int) -> None:
        sink = self._blocked[fd]
        if not sink.flush():
            return
        del self._blocked[fd]
        self._epoll.unregister(fd)
        source, sink.source = sink.source, None
        if source is not None and self._sources.get(source.peer.fileno()) is source:
            self._epoll.modify(source.peer.fileno(), select.EPOLLIN)
            # TLS may hold bytes that no poll will tell of.
            self._serve(source)

    def _close(self, source: Source) -> None:
        fd = source.peer.fileno()
        if self._sources.pop(fd, None) is None:
            return
        self._epoll.unregister(fd)
        source.peer.close()
        if source.stream is not None and source.stream.source is source:
            source.stream.source = None
        if source.node:
            node, sink = source.node, self._sinks[source.node]
            sink.queue.append(source.finder.flush() if source.finder is not None else b"")
            sink.queue.append(lambda: self._say(closed=node))
            self._flush(sink, source)


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


def main() -> None:
    """Run the pump: commands on stdin, replies on stdout."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # It ends when its stdin does.
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        Pump().run()


if __name__ == "__main__":
    main()
