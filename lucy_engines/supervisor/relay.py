"""What stands between a daemon and its log where the daemon can't write to it itself.

The daemon writes into a pipe, or into one for each of its streams where these are told apart. Whole lines come out of
it, less what a capture filter leaves out, tagged where others take the same way, and go out through a `Pipe` or a
`Sender`. Nothing here waits: the puppeteer calls `turn` when something may have become possible. Memory is bounded,
since a full way out stops the reading, then the pipe fills, and then the daemon waits, which is what it would do at a
FIFO.

Standard library only, Python 3.7 or newer: the puppeteer loads it inside of a container.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat
import time
from typing import Any

from lucy_engines.supervisor.pipe import Pipe
from lucy_engines.supervisor.sender import Sender

READ_BYTES = 1 << 18
BACKLOG_BYTES = 4 << 20
"""What may wait to be carried out, or to be acknowledged; more stays in the pipe, then with the daemon."""
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031
PREFIXES = ("LUCY_", "LUCY_STDERR_")
"""How the variables begin that say where lines go: of stdout or both streams, and of stderr where that is apart."""


def _is_event(line: bytes) -> bool:
    """Tell whether a line says by a mark that it is of some type of event, so that a test may be waiting for it.

    What is known by its text alone nobody can tell here: whoever asks for that counts all lines that were left out.
    """
    return b'"event_id"' in line or b'_event_type"' in line


class Input:
    """What the daemon writes to, as one or both of its streams: a pipe, and the way out of what comes through that."""

    __slots__ = ("ended", "name", "numbered", "read", "tail", "way", "write")

    def __init__(self, name: str, way: Pipe | Sender, numbered: int) -> None:
        self.name = name
        """As its lines are tagged: the node's, with the stream's behind it where that is told apart."""
        self.way = way
        self.numbered = numbered
        """How many lines have been tagged so."""
        self.tail = []  # type: list[bytes]
        self.ended = False
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.read, F_SETPIPE_SZ, PIPE_BYTES)

    @property
    def reads(self) -> bool:
        return not self.ended and self.way.backlog < BACKLOG_BYTES


class Relay:
    """Takes the lines of one life of the daemon and carries them out."""

    def __init__(self, environment: dict[str, str], *, unattended: bool, numbered: dict[str, int]) -> None:
        """Open the ways out.

        Args:
            environment: the puppeteer's.
            unattended: whether a FIFO may be without a reader.
            numbered: how many lines have been tagged before, by the name in the tag.

        Raises:
            OSError, ValueError: there is none; says why.
        """
        text = environment.get("LUCY_CAPTURE_FILTER", "")
        self._keeps = None  # type: Any
        if text:
            from lucy_core.filters.logproc import Filter

            self._keeps = Filter(text).keeps
        kind = environment.get("LUCY_CAPTURE", "fifo")
        node = environment.get("LUCY_NODE", "")
        names = [node]
        if environment.get("LUCY_STREAMS") == "apart":
            names = [f"{node}/stdout", f"{node}/stderr"]
        self._tag = None  # type: Any
        if kind == "shared" or (kind == "engine" and len(names) > 1):
            from lucy_core.capturing.tagged import tag_line

            self._tag = tag_line
        # What is tagged has one way out, and all else one for each.
        self._ways = []  # type: list[Pipe | Sender]
        with contextlib.ExitStack() as undoing:
            for name, prefix in zip(names[:1] if self._tag else names, PREFIXES):  # noqa: B905  # old interpreters
                self._ways.append(_open_way(kind, environment, name, prefix, unattended=unattended))
                undoing.callback(self._ways[-1].close)
            undoing.pop_all()
        ways = self._ways * len(names) if self._tag else self._ways
        self._inputs = [
            Input(name, way, numbered.get(name, 0))
            for name, way in zip(names, ways)  # noqa: B905  # as above
        ]
        self._left_out = [0, 0, 0]
        self._said_at = 0.0

    def take_inputs(self) -> list[int]:
        """Return the descriptors that the daemon writes to, for the caller to close: one for both streams, or two."""
        return [each.write for each in self._inputs]

    @property
    def numbered(self) -> dict[str, int]:
        """How many lines have been tagged by now, by the name in the tag."""
        return {each.name: each.numbered for each in self._inputs}

    def interests(self) -> dict[int, int]:
        found = {}  # type: dict[int, int]
        for way in self._ways:
            found.update(way.interests())
        found.update({each.read: select.POLLIN for each in self._inputs if each.reads})
        return found

    def patience(self) -> float:
        """Return how many seconds `turn` may be put off."""
        news = max(0.0, self._said_at + 1.0 - time.monotonic()) if self._left_out[0] else float("inf")
        return min(news, *(way.patience() for way in self._ways))

    def turn(self) -> None:
        """Carry what can be carried without waiting."""
        for each in self._inputs:
            if each.reads:
                with contextlib.suppress(BlockingIOError):
                    chunk = os.read(each.read, READ_BYTES)
                    if chunk:
                        self._take(each, chunk)
                    else:
                        self._finish(each)
        for way in self._ways:
            way.turn()

    def _take(self, source: Input, chunk: bytes) -> None:
        if self._keeps is None and self._tag is None:
            source.way.put(chunk)
            return
        whole, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            source.tail.append(chunk)
            return
        text = b"".join(source.tail) + whole
        source.tail = [rest] if rest else []
        self._carry(source, [line + b"\n" for line in text.split(b"\n")])

    def _carry(self, source: Input, lines: list[bytes]) -> None:
        keeps, tag, put = self._keeps, self._tag, source.way.put
        if keeps is not None:
            kept = [line for line in lines if keeps(line)]
            self._left_out[0] += len(lines) - len(kept)
            self._left_out[1] += sum(map(len, lines)) - sum(map(len, kept))
            self._left_out[2] += sum(map(_is_event, lines)) - sum(map(_is_event, kept))
            lines = kept
        if tag is None:
            put(b"".join(lines))
            return
        group = []  # type: list[bytes]
        size = 0
        for line in lines:
            source.numbered += 1
            tagged = tag(source.name, source.numbered, line)
            if size + len(tagged) > select.PIPE_BUF and group:
                put(b"".join(group))
                group, size = [], 0
            group.append(tagged)
            size += len(tagged)
        if group:
            put(b"".join(group))

    def _finish(self, source: Input) -> None:
        source.ended = True
        tail, source.tail = b"".join(source.tail), []
        if tail:
            self._carry(source, [tail])
        if all(each.ended for each in self._inputs if each.way is source.way):
            source.way.end()

    def messages(self) -> list[dict[str, Any]]:
        """Return what there is to say to Lucy: once a second at most, and at the end."""
        now = time.monotonic()
        if not self._left_out[0] or (now < self._said_at + 1.0 and not self.finished):
            return []
        (lines, size, events), self._left_out, self._said_at = self._left_out, [0, 0, 0], now
        return [{"event": "filtered", "lines": lines, "bytes": size, "events": events}]

    @property
    def finished(self) -> bool:
        """Whether the writers are gone and all their bytes are out."""
        return all(each.ended for each in self._inputs) and all(way.finished for way in self._ways)

    def account(self) -> dict[str, Any]:
        """Return what goes into the daemon's `exited` event."""
        lost = sum(way.lost for way in self._ways)
        return {"lost": lost} if lost else {}

    def close(self) -> None:
        for each in self._inputs:
            os.close(each.read)
        for way in self._ways:
            way.close()


def _open_way(kind: str, environment: dict[str, str], name: str, prefix: str, *, unattended: bool) -> Pipe | Sender:
    """Open the way out that was asked for.

    Args:
        kind: which.
        environment: the puppeteer's.
        name: whose lines go there.
        prefix: how the variables begin that say where that is.
        unattended: whether a FIFO may be without a reader.

    Raises:
        OSError: the FIFO can't be opened, or nobody reads it.
        ValueError: Lucy can't be reached, or there is no such way.
    """
    if kind == "tcp":
        return Sender(environment.get(f"{prefix}ADDRESS", ""), environment.get("LUCY_TOKEN", ""), name)
    if kind == "engine":
        return Pipe(os.dup(2))
    if kind not in {"fifo", "shared"}:
        raise ValueError(f"no capture kind is called {kind!r}")
    path = environment.get(f"{prefix}LOG", "/lucy/log")
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        return Pipe(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
    how = os.O_RDWR if unattended else os.O_WRONLY
    return Pipe(os.open(path, how | os.O_NONBLOCK | os.O_CLOEXEC))
