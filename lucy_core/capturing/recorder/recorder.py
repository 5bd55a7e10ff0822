"""The recording as it is written: a block into its node's log, then a row about it, then the bell. Bare.

What it knows of the recording itself (a source that broke, a disk that is full, the end) is a row too, of no lines
(`facts`): capture alone is sure to live when that happens.

A full disk must not keep the recording from saying that it stopped. A few blocks are kept for that, in a file without
a name: gone with the process, and given up by closing it. Not taken: arrivals that are allocated ahead of their end,
which `ftruncate` gives up, and that is what takes half a row back after a failed write. On ext4 blocks that were given
up are free once its journal is committed; a write that finds no room waits for that. Whoever else writes on that disk
may be faster: then there is no such row, none follows it, and a replay says that the last one is missing.

Once the disk has failed, blocks go to Lucy past the recording.
"""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import final

from lucy_core.capturing import run_files
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.framing import LongLine, Pieces
from lucy_core.capturing.recorder.recycling import Recycler
from lucy_core.capturing.recorder.rows import Log, Row, block_row, fact_row, keep_reserve, write_all
from lucy_core.capturing.requests import Block

ROWS_AT_ONCE = 64
"""After how many rows they are made visible within a turn: to read a long file takes its time, even where it is one
line, and whoever asked for it must see that somebody is at it."""


@final
class Recorder:
    """Writes one recording; the `Sink` of the capture process."""

    def __init__(
        self,
        directory: str,
        journal: str,
        bell: int,
        *,
        now_ns: Callable[[], int],
        send: Callable[[Block], None],
    ) -> None:
        """Begin, or go on behind what is there.

        Args:
            directory: the run directory.
            journal: whose log is the journal.
            bell: an eventfd that rings once there is something new to read.
            now_ns: the clock that stamps arrivals.
            send: gives Lucy a row and its bytes past the recording.
        """
        self.position = 0
        self.now_ns = now_ns
        self.recycler = Recycler()
        self._directory = directory
        self._journal = journal
        self._bell = bell
        self._send = send
        self._logs: dict[str, Log] = {}
        self._rows: list[Row] = []
        path = f"{directory}/{run_files.ARRIVALS}"
        self._arrivals = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._arrivals_size = os.fstat(self._arrivals).st_size
        self._reserve = keep_reserve(directory)
        self._recording = True
        self._sealed = False
        """Whether the arrivals take no further row: one could not be written, and what follows would hide that."""
        self._deleted = False

    def begin(self, node: str) -> None:
        self._log(node)

    def _log(self, node: str) -> Log:
        log = self._logs.get(node)
        if log is None:
            path = f"{self._directory}/{run_files.log_of(node, self._journal)}"
            log = self._logs[node] = Log(node, path)
        return log

    def owns(self, path: str) -> bool:
        path, own = os.path.realpath(path), os.path.realpath(self._directory)
        return run_files.is_recording(os.path.relpath(path, own))

    def put(self, node: str, pieces: Pieces, lines: int, *, torn: bool = False, **counted: int) -> None:
        log = self._logs.get(node) or self._log(node)
        size = sum(map(len, pieces))
        row = block_row(log, self.position, size, lines, self.now_ns(), torn=torn, counted=counted)
        self.position += lines
        if self._recording:
            try:
                write_all(log.fd, pieces)
            except OSError as error:
                self._stop_at(log, row.position, error)
            else:
                log.offset += size
                self.recycler.wrote(log.fd, log.offset, self.position)
                self._add_row(row)
                return
        self._send(Block(b"".join((row.text, *pieces))))
        log.offset += size

    def begin_long(self, node: str) -> LongLine:
        return LongLine(self._log(node).offset)

    def put_part(self, node: str, pieces: Pieces, size: int) -> None:
        if not self._recording:
            return
        log = self._log(node)
        try:
            write_all(log.fd, pieces)
        except OSError as error:
            self._stop_at(log, self.position, error)
        else:
            row = self._fact(Fact.PART, node, {"offset": log.offset, "part": size})
            log.offset += size
            self.recycler.wrote(log.fd, log.offset, self.position)
            self._add_row(row)

    def end_long(self, node: str, line: LongLine, end: bytes, *, torn: bool) -> None:
        own = end if self._recording else line.head
        self.put(node, [own], 1, torn=torn, overlong=line.size, begun=line.begun)

    def add_blocked(self, node: str, waited_ns: int) -> None:
        self._log(node).blocked_ns += waited_ns

    def note(self, fact: Fact, node: str = "", **more: str | int) -> None:
        """Have the recording say something of itself at this place."""
        row = self._fact(fact, node, more)
        if self._recording:
            self._add_row(row)
        else:
            self._persist(row)

    def _fact(self, fact: Fact, node: str, more: Mapping[str, object]) -> Row:
        return fact_row(fact, self.position, self.now_ns(), node, more)

    def _add_row(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) >= ROWS_AT_ONCE:
            self.publish()

    def publish(self) -> None:
        """Make what was put visible: rows after bytes, the bell after rows."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        written, error = self._write_rows(rows)
        if error is not None:
            rest = rows[written:]
            self._stop(rest[0].position, f"{run_files.ARRIVALS}: {error.strerror}")
            for row in rest:
                if row.log is None:
                    self._persist(row)
                else:
                    self._send(Block(row.text + row.data()))
        os.eventfd_write(self._bell, 1)

    def check_directory(self) -> None:
        """Say so, once, where somebody has deleted the run directory."""
        if not self._deleted and os.fstat(self._arrivals).st_nlink == 0:
            self._deleted = True
            self.note(Fact.DELETED)
            self.publish()

    def _write_rows(self, rows: Sequence[Row]) -> tuple[int, OSError | None]:
        """Append rows; return how many went in, and why the others didn't."""
        text = b"".join([row.text for row in rows])
        try:
            write_all(self._arrivals, [text])
        except OSError as error:
            # Whole rows that went in stay: somebody may have read them already, and would get their lines twice.
            written = max(0, os.fstat(self._arrivals).st_size - self._arrivals_size)
            kept = text[:written].rfind(b"\n") + 1
            self._arrivals_size += kept
            try:
                os.ftruncate(self._arrivals, self._arrivals_size)
            except OSError:
                self._sealed = True  # behind half a row nothing can be read
            return text.count(b"\n", 0, kept), error
        self._arrivals_size += len(text)
        return len(rows), None

    def _persist(self, row: Row) -> None:
        """Write a fact once lines aren't written any more, or else tell it to Lucy: both, and it would count twice."""
        if not self._sealed:
            written, _ = self._write_rows([row])
            self._sealed |= not written
        if self._sealed:
            self._send(Block(row.text))
        else:
            os.eventfd_write(self._bell, 1)

    def _stop_at(self, log: Log, position: int, error: OSError) -> None:
        """Stop the recording where a log can't be written."""
        with contextlib.suppress(OSError):
            os.ftruncate(log.fd, log.offset)
        self.publish()
        self._stop(position, f"{run_files.log_of(log.node, self._journal)}: {error.strerror}")

    def _stop(self, position: int, reason: str) -> None:
        if self._recording:
            self._recording = False
            if self._reserve >= 0:
                os.close(self._reserve)
                self._reserve = -1
            self._persist(fact_row(Fact.STOPPED, position, self.now_ns(), "", {"reason": reason}))

    def close(self) -> None:
        for fd in (self._arrivals, self._reserve, *(log.fd for log in self._logs.values())):
            if fd >= 0:
                os.close(fd)
