"""The pump: carries what no FIFO can bring out of a container into the node's FIFO on this side.

A process of its own for the same reason that capture is one: a test that blocks for seconds must not slow a node down,
and over a network that would be felt at once. It takes two kinds of source, and has one kind of way out, the FIFO that
capture drains, so that from there on all kinds are alike.

- *attach*: a connection to the Engine, a container's stderr in frames, with the puppeteer's marks in it (a mark follows
  the last byte of an ended daemon; the link, being another stream, can't say when that byte has passed).
- *tcp*: connections of puppeteers, which `supervisor/outlets.py` describes. A stream goes on over any number of them.

Memory is bounded: a source whose FIFO is full isn't read, so the Engine, and then the container, waits.

The wire: JSON lines. In: `{"id": n, "op": "attach" | "listen" | "node", …}`. Out: `{"id": n, "error": …}` or with what
was asked, and unasked `{"mark": node, "number": n}`, `{"opened": node}`, `{"closed": node}`, `{"refused": …}`,
`{"broken": node, "reason": …}`. Whatever else it is given is answered by an error, and ends nothing.

It ends when its stdin does, or when Lucy does: a process that a test has forked holds the other end of stdin too.
"""

import contextlib
import errno
import hmac
import json
import os
import resource
import select
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any, final

from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.api.frames import STDERR, FrameDecoder, FrameError
from lucy_engines.docker.api.upgrade import Upgrade, attach_request
from lucy_engines.docker.run.carrying import MarkFinder, Sink, Source, Stream
from lucy_engines.orders import CommandReader, text

READ_BYTES = 1 << 18
GREETING_BYTES = 1024
GREETING_SECONDS = 10.0
"""How long a TCP peer may take to say who it is."""
GREETING_PEERS = 256
"""How many may be about to say it; beyond, the one that has taken longest is sent away."""
CONNECT_SECONDS = 10.0
ATTACH_BUFFER_BYTES = 1 << 20


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
        self._greeting: dict[int, Source] = {}
        """TCP peers that haven't said who they are, the oldest first."""
        self._broken: set[str] = set()
        self._sinks: dict[str, Sink] = {}
        self._sources: dict[int, Source] = {}
        self._blocked: dict[int, Sink] = {}
        self._listeners: dict[int, tuple[socket.socket, bytes]] = {}
        self._streams: dict[bytes, Stream] = {}

    def run(self) -> None:
        """Serve until stdin or Lucy ends."""
        while True:
            for fd, _ in self._epoll.poll(self._patience()):
                if fd == self._lucy:
                    return
                if fd == 0:
                    if not self._hear():
                        return
                elif fd in self._blocked:
                    self._unblock(fd)
                elif fd in self._listeners:
                    self._accept(*self._listeners[fd])
                elif fd in self._sources:
                    self._serve(self._sources[fd])
            self._send_away()

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
            except KeyError as error:
                reply = {"error": f"the command lacks {error}"}
            except ValueError as error:
                reply = {"error": str(error)}
            except Exception as error:  # noqa: BLE001  # a command that makes no sense costs itself, and no node's lines
                reply = {"error": f"{error} ({type(error).__name__})"}
            self._say(id=number, **reply)
        return bool(chunk)

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["op"]:
            case "node":
                name, fifo = text(command, "node"), text(command, "fifo")
                if name in self._sinks:
                    return {"error": f"a node is called {name!r} already"}
                self._sinks[name] = Sink(fifo)
                return {}
            case "attach":
                self._attach(command)
                return {}
            case "listen":
                token = text(command, "token").encode()
                listener = socket.create_server((text(command, "host"), command["port"]), backlog=256)
                listener.setblocking(False)
                self._listeners[listener.fileno()] = (listener, token)
                self._epoll.register(listener.fileno(), select.EPOLLIN)
                return {"port": listener.getsockname()[1]}
            case other:
                return {"error": f"no command is called {other!r}"}

    def _attach(self, command: dict[str, Any]) -> None:
        node, finder = text(command, "node"), MarkFinder(text(command, "token"))
        if node not in self._sinks:
            message = f"no node is called {node!r}"
            raise ValueError(message)
        request = attach_request(text(command, "container"), "stderr")
        peer = _connect(text(command, "host"))
        try:
            peer.sendall(request)
            rest = _upgraded(peer)
        except (OSError, ValueError):
            peer.close()
            raise
        peer.setblocking(False)
        source = Source(peer, node)
        source.frames = FrameDecoder()
        source.finder = finder
        self._add(source)
        self._say(opened=source.node)
        self._take(source, rest)

    # Sources

    def _add(self, source: Source) -> None:
        self._sources[source.peer.fileno()] = source
        self._epoll.register(source.peer.fileno(), select.EPOLLIN)

    def _accept(self, listener: socket.socket, token: bytes) -> None:
        try:
            peer, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # No descriptor is left. The next connection still waits, and would have us called again and again.
            self._make_room()
            return
        with contextlib.suppress(OSError):  # it has hung up already
            peer.setblocking(False)
            # Acknowledgements are small, and somebody waits for them.
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        source = Source(peer, "")
        source.greeting = token + b"\n"  # what it must say comes first, what it has said follows
        self._greeting[peer.fileno()] = source
        self._add(source)
        if len(self._greeting) > GREETING_PEERS:
            self._make_room()

    def _make_room(self) -> None:
        """Send the peer away that has taken longest to say who it is."""
        for source in tuple(self._greeting.values())[:1]:
            self._refuse(source, f"a peer said nothing, and {len(self._greeting)} others did not either")

    def _patience(self) -> float | None:
        """Return for how many seconds nobody has to be sent away."""
        since = next((source.since for source in self._greeting.values()), None)
        return None if since is None else max(0.0, since + GREETING_SECONDS - time.monotonic())

    def _send_away(self) -> None:
        while self._greeting and self._patience() == 0.0:
            source = next(iter(self._greeting.values()))
            self._refuse(source, f"a peer did not say within {GREETING_SECONDS:g} s who it is")

    def _refuse(self, source: Source, why: str) -> None:
        self._say(refused=why)
        self._close(source)

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
            self._refuse(
                source, f"a peer did not begin with this run's token, or as no node of it: {node or said[:20]!r}"
            )
            return
        del self._greeting[source.peer.fileno()]
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
        empty = sink.flush()
        if sink.failure and source.node not in self._broken:
            self._broken.add(source.node)
            self._say(broken=source.node, reason=f"its FIFO takes no more: {sink.failure}")
        if empty or sink.source is not None:
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
        self._greeting.pop(fd, None)
        self._epoll.unregister(fd)
        source.peer.close()
        if source.stream is not None and source.stream.source is source:
            source.stream.source = None
        if source.node:
            node, sink = source.node, self._sinks[source.node]
            sink.queue.append(source.finder.flush() if source.finder is not None else b"")
            sink.queue.append(lambda: self._say(closed=node))
            self._flush(sink, source)


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
