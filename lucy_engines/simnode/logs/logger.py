"""Log lines exactly as a Mina daemon writes them, and the one thread through which they leave.

Order of keys, thresholds, size cap: mina's `logger.ml`. Stdout may be a full pipe; a daemon that waited for it in its
own loop would stop taking part in the network. So lines go to a queue, and a writer thread, the only one that touches
stdout, writes whole lines in order. Flood lines are made in that same thread: none is ever torn, and when nobody reads,
the flood waits.
"""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

import msgspec

LEVELS = ("Internal", "Spam", "Trace", "Debug", "Info", "Warn", "Error", "Faulty_peer", "Fatal")
MAX_LINE = 1 << 20
ELIDED = "<log message elided as it exceeded the max log line length; see oversized logs for full log>"
FILE_BYTES = 10 << 20

_encode = msgspec.json.Encoder(order="sorted").encode


def level_number(text: str) -> int:
    """Read a level in any case.

    Raises:
        ValueError: no level is spelt so.
    """
    for number, level in enumerate(LEVELS):
        if level.lower() == text.lower():
            return number
    raise ValueError(f"{text!r} is no log level; levels are {', '.join(LEVELS)}")


def timestamp(now: float) -> str:
    """Write a time as mina does: `YYYY-MM-DD HH:MM:SS.ffffffZ`."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S.%fZ")


def render(
    now: float,
    level: str,
    source: tuple[str, str] | None,
    message: str,
    metadata: dict[str, Any],
    event_id: str | None = None,
) -> bytes:
    """Write one line; a line over the cap loses its message and metadata, and keeps level and id."""
    parts = [b'{"timestamp":"', timestamp(now).encode(), b'","level":"', level.encode(), b'"']
    if source is not None and level != "Spam":
        parts += [b',"source":{"module":', _encode(source[0]), b',"location":', _encode(source[1]), b"}"]
    head = len(parts)
    parts += [b',"message":', _encode(message), b',"metadata":', _encode(metadata)]
    if event_id is not None:
        parts += [b',"event_id":"', event_id.encode(), b'"']
    line = b"".join((*parts, b"}\n"))
    if len(line) > MAX_LINE:
        parts[head + 1] = _encode(ELIDED)
        parts[head + 3] = b"{}"
        line = b"".join((*parts, b"}\n"))
    return line


@final
class Output:
    """The writer thread and its queue. `idle` makes more bytes to write while the queue is empty (the flood)."""

    def __init__(self, descriptor: int, idle: Callable[[], tuple[bytes, float]] | None = None) -> None:
        self._descriptor = descriptor
        self._idle = idle
        self._queue: deque[bytes] = deque()
        self._something = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Queue a whole line; never waits."""
        with self._something:
            self._queue.append(line)
            self._something.notify()

    def close(self, limit: float = 2.0) -> None:
        """Write what is queued, for `limit` seconds at the most."""
        with self._something:
            self._closing = True
            self._something.notify()
        self._thread.join(limit)

    def _take(self) -> bytes | None:
        """Return what to write next; None at the end."""
        while True:
            more, wait = b"", None
            if self._idle is not None and not self._closing and not self._queue:
                more, wait = self._idle()
            with self._something:
                if self._queue:
                    lines = b"".join(self._queue)
                    self._queue.clear()
                    return lines + more
                if more:
                    return more
                if self._closing:
                    return None
                self._something.wait(wait)

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more
            while (data := self._take()) is not None:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._descriptor, view) :]


@final
class Logger:
    """Decides what is logged where, and keeps the lines that GraphQL asks for."""

    def __init__(self, output: Output, *, json: bool, threshold: int, file: Path | None, file_threshold: int) -> None:
        self._output = output
        self._json = json
        self._threshold = threshold
        self._file_path = file
        self._file_threshold = file_threshold
        self._file = file.open("ab") if file is not None else None
        self.shared: dict[str, Any] = {}
        """Metadata of every line: host, peer_id, pid, port."""
        self.filter: frozenset[str] | None = None
        """Ids of the structured events to keep for `getFilteredLogEntries`; None: nothing is captured."""
        self.kept: list[str] = []

    def log(
        self,
        level: str,
        source: tuple[str, str] | None,
        message: str,
        metadata: dict[str, Any] | None = None,
        event_id: str | None = None,
    ) -> None:
        """Log one line wherever its level lets it."""
        number = LEVELS.index(level)
        captured = event_id is not None and self.filter is not None and event_id in self.filter
        if number < self._threshold and number < self._file_threshold and not captured:
            return
        now = time.time()
        line = render(now, level, source, message, {**self.shared, **(metadata or {})}, event_id)
        if captured:
            self.kept.append(line.decode().rstrip("\n"))
        if number >= self._threshold:
            self._output.put(line if self._json else _pretty(now, level, message, metadata or {}))
        if number >= self._file_threshold:
            self._write_file(line)

    def _write_file(self, line: bytes) -> None:
        if self._file is None or self._file_path is None:
            return
        self._file.write(line)
        self._file.flush()
        if self._file.tell() >= FILE_BYTES:
            self._file.close()
            self._file_path.replace(self._file_path.with_name(f"{self._file_path.name}.0"))
            self._file = self._file_path.open("ab")

    def plain(self, text: str) -> None:
        """Write a line that is no log line, as daemons do."""
        self._output.put(text.encode() + b"\n")

    def close(self) -> None:
        """Write what is left."""
        self._output.close()
        if self._file is not None:
            self._file.close()


def _pretty(now: float, level: str, message: str, metadata: dict[str, Any]) -> bytes:
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    for name in sorted(metadata, key=len, reverse=True):
        message = message.replace(f"${name}", _encode(metadata[name]).decode())
    return f"{stamp} [{level}] {message}\n".encode()
