"""What stands between a daemon and its log where the daemon can't write to it itself.

The daemon writes into a pipe; whole lines come out of it, less what a capture filter leaves out, tagged where nodes
share a FIFO, and go out through a `Pipe` or a `Sender`. Nothing here waits: the puppeteer calls `turn` when something
may have become possible. Memory is bounded, since a full way out stops the reading, then the pipe fills, and then the
daemon waits, which is what it would do at a FIFO.

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


def _is_event(line: bytes) -> bool:
    """Tell whether a line says that it is of some type of event, so that a test may be waiting for it."""
    return b'"event_id"' in line or b'"puppeteer_event_type"' in line


class Relay:
    """Takes the lines of one life of the daemon and carries them out."""

    def __init__(self, environment: dict[str, str], *, unattended: bool, numbered: int = 0) -> None:
        """Open the way out.

        Args:
            environment: the puppeteer's.
            unattended: whether a FIFO may be without a reader.
            numbered: how many lines of this node have been tagged before.

        Raises:
            OSError, ValueError: there is none; says why.
        """
        text = environment.get("LUCY_CAPTURE_FILTER", "")
        self._keeps = None  # type: Any
        if text:
            from lucy_core.filters.logproc import Filter

            self._keeps = Filter(text).keeps
        self._tag = None  # type: Any
        if environment.get("LUCY_CAPTURE") == "shared":
            from lucy_core.capturing.tagged import tag_line

            self._tag = tag_line
        self._node = environment.get("LUCY_NODE", "")
        self.numbered = numbered
        self._way = _open_way(environment, unattended=unattended)
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._read, F_SETPIPE_SZ, PIPE_BYTES)
        self._tail = []  # type: list[bytes]
        self._ended = False
        self._left_out = [0, 0, 0]
        self._said_at = 0.0

    def take_input(self) -> int:
        """Return the descriptor that the daemon writes to, for the caller to close."""
        return self._write

    def interests(self) -> dict[int, int]:
        found = self._way.interests()
        if self._reads:
            found[self._read] = select.POLLIN
        return found

    @property
    def _reads(self) -> bool:
        return not self._ended and self._way.backlog < BACKLOG_BYTES

    def patience(self) -> float:
        """Return how many seconds `turn` may be put off."""
        news = max(0.0, self._said_at + 1.0 - time.monotonic()) if self._left_out[0] else float("inf")
        return min(self._way.patience(), news)

    def turn(self) -> None:
        """Carry what can be carried without waiting."""
        if self._reads:
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(self._read, READ_BYTES)
                if chunk:
                    self._take(chunk)
                else:
                    self._finish()
        self._way.turn()

    def _take(self, chunk: bytes) -> None:
        if self._keeps is None and self._tag is None:
            self._way.put(chunk)
            return
        whole, newline, rest = chunk.rpartition(b"\n")
        if not newline:
            self._tail.append(chunk)
            return
        text = b"".join(self._tail) + whole
        self._tail = [rest] if rest else []
        self._carry([line + b"\n" for line in text.split(b"\n")])

    def _carry(self, lines: list[bytes]) -> None:
        keeps, tag, put = self._keeps, self._tag, self._way.put
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
            self.numbered += 1
            tagged = tag(self._node, self.numbered, line)
            if size + len(tagged) > select.PIPE_BUF and group:
                put(b"".join(group))
                group, size = [], 0
            group.append(tagged)
            size += len(tagged)
        if group:
            put(b"".join(group))

    def _finish(self) -> None:
        if not self._ended:
            self._ended = True
            tail, self._tail = b"".join(self._tail), []
            if tail:
                self._carry([tail])
            self._way.end()

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
        return self._ended and self._way.finished

    def account(self) -> dict[str, Any]:
        """Return what goes into the daemon's `exited` event."""
        return {"lost": self._way.lost} if self._way.lost else {}

    def close(self) -> None:
        os.close(self._read)
        self._way.close()


def _open_way(environment: dict[str, str], *, unattended: bool) -> Pipe | Sender:
    """Open the way out that was asked for.

    Raises:
        OSError: the FIFO can't be opened, or nobody reads it.
        ValueError: Lucy can't be reached, or there is no such way.
    """
    kind = environment.get("LUCY_CAPTURE", "fifo")
    if kind == "tcp":
        token, node = environment.get("LUCY_TOKEN", ""), environment.get("LUCY_NODE", "")
        return Sender(environment.get("LUCY_ADDRESS", ""), token, node)
    if kind == "engine":
        return Pipe(os.dup(2))
    if kind not in {"fifo", "shared"}:
        raise ValueError(f"no capture kind is called {kind!r}")
    path = environment.get("LUCY_LOG", "/lucy/log")
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        return Pipe(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
    how = os.O_RDWR if unattended else os.O_WRONLY
    return Pipe(os.open(path, how | os.O_NONBLOCK | os.O_CLOEXEC))
