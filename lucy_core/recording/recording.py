"""The run directory as a recording: read back from any position, and followed while it grows.

Rows of `arrivals.ndjson` are in the order of arrival, so a position is found by bisection on the file itself, without
an index in memory: twenty million lines cost what one costs. Every descriptor is opened once and read with `pread`:
readers don't disturb each other, and a directory that somebody deletes stays readable for as long as the run lasts.

While a run lasts, a row whose bytes aren't there is an error: somebody has cut a file. Of a finished run, which a power
cut may have torn, what is sound is read and nothing raises: `survey` says first how far that is (`bound`), and reports
the rest as gaps.
"""

import contextlib
import errno
import itertools
import os
import resource
from pathlib import Path
from typing import final

import msgspec

from lucy_core.arguments import place_of
from lucy_core.capturing import run_files
from lucy_core.capturing.framing import HEAD_BYTES
from lucy_core.capturing.sources.buffer import CHUNK_BYTES, HEAD_ROOM
from lucy_core.errors import RecordingError
from lucy_core.private_files import make_private
from lucy_core.recording.rows import Row, Window, block_of
from lucy_core.records.journal import JOURNAL
from lucy_core.records.keys import SLASH, node_of, source_of
from lucy_core.records.record import Block

ROWS_BYTES = 1 << 16
"""How much of the arrivals is read at a time; some 500 rows."""
WINDOW_BYTES = CHUNK_BYTES + HEAD_ROOM
"""How large a block may be that is read into memory which stays in the processor's cache: as one read of a FIFO is."""


_decode_rows = msgspec.json.Decoder(Row).decode_lines
_decode_row = msgspec.json.Decoder(Row).decode
_encode_row = msgspec.json.Encoder().encode


class Cursor(msgspec.Struct):
    """A reader's place: which row comes next, as a byte offset into the arrivals."""

    offset: int = 0


@final
class Recording:
    """A run directory, opened for reading. Close it, or use it as a context manager."""

    def __init__(self, directory: str | Path) -> None:
        """Open a run directory.

        Raises:
            RecordingError: it isn't one.
        """
        self.directory = place_of(directory, "directory")
        try:
            self._arrivals = os.open(self.directory / run_files.ARRIVALS, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            reason = f"is no run directory: {run_files.ARRIVALS}: {error.strerror}"
            raise RecordingError(str(directory), reason) from error
        self._logs: dict[str, int] = {}
        self._buffer = bytearray(WINDOW_BYTES)
        self._view = memoryview(self._buffer)
        self._bound: int | None = None
        """Up to where the arrivals of a finished run are sound."""
        self._sound: dict[str, int] = {}

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        arrivals, self._arrivals = self._arrivals, -1
        for fd in (arrivals, *self._logs.values()):
            if fd >= 0:
                os.close(fd)
        self._logs.clear()

    def rows(self, cursor: Cursor) -> list[Row]:
        """Return rows of blocks that follow, and move the cursor past them; `[]` at the end, for now."""
        while entries := self.entries(cursor):
            if rows := [row for row in entries if row.fact is None]:
                return rows
        return []

    def entries(self, cursor: Cursor) -> list[Row]:
        """Return rows that follow, of blocks and of facts, and move the cursor past them; `[]` at the end, for now.

        Raises:
            RecordingError: the cursor stands at a row that can't be read.
        """
        size = ROWS_BYTES
        while True:
            text = self._read_arrivals(size, cursor.offset)
            cut = text.rfind(b"\n") + 1
            if cut:
                break
            if len(text) < size:
                return []
            size *= 2
        try:
            rows = _decode_rows(text[:cut])
        except ValueError:
            rows, cut = self._parse_singly(text[:cut])
        cursor.offset += cut
        return rows

    def _parse_singly(self, text: bytes) -> tuple[list[Row], int]:
        """Read the rows before the one that is damaged; return them and their size."""
        rows: list[Row] = []
        size = 0
        for line in text.splitlines(keepends=True):
            try:
                rows.append(_decode_row(line))
            except ValueError as error:
                if not rows:
                    raise RecordingError(f"{self.directory}/{run_files.ARRIVALS}", f"is damaged: {error}") from error
                break
            size += len(line)
        return rows, size

    def _parse(self, text: bytes) -> Row:
        (row,), _ = self._parse_singly(text)
        return row

    def _read_arrivals(self, size: int, offset: int) -> bytes:
        if self._bound is not None:
            size = max(0, min(size, self._bound - offset))
        return os.pread(self._arrivals, size, offset)

    def bound(self, offset: int, sound: dict[str, int]) -> None:
        """Take the run for finished, with arrivals that are sound up to `offset`, and logs that are up to theirs.

        From now on lines that a log lacks are left out of its blocks.
        """
        self._bound = offset
        self._sound = sound

    def arrivals_size(self) -> int:
        """Return how many bytes of rows there are now; of a finished run, how many are sound."""
        return os.fstat(self._arrivals).st_size if self._bound is None else self._bound

    def log_size(self, node: str, *, torn: bool) -> int:
        """Return how much of a node's log can be lines; 0 where there is none.

        A power cut may leave a file with zeros in place of its last bytes. No line ends so, unless it is `torn`.
        """
        try:
            fd = self.log_fd(node)
        except RecordingError:
            return 0
        size = os.fstat(fd).st_size
        while size and not torn:
            begin = max(0, size - ROWS_BYTES)
            size = begin + len(os.pread(fd, size - begin, begin).rstrip(b"\0"))
            if size > begin:
                break
        return size

    def append(self, row: Row) -> None:
        """Write a row behind the last whole one. Only once capture is dead: nobody else may write.

        Raises:
            RecordingError: it can't be written.
        """
        try:
            # By its descriptor: the directory may have been moved, or deleted.
            fd = os.open(f"/proc/self/fd/{self._arrivals}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                size = self.arrivals_size()
                os.ftruncate(fd, self._row_start(size, 0))
                os.write(fd, _encode_row(row) + b"\n")
            finally:
                os.close(fd)
        except OSError as error:
            reason = f"takes no more: {error.strerror}"
            raise RecordingError(f"{self.directory}/{run_files.ARRIVALS}", reason) from error

    def cursor_at(self, position: int) -> Cursor:
        """Return a cursor whose first row holds `position`, or the end's where it hasn't come yet."""
        low, high = 0, self.arrivals_size()
        # Invariant: the row wanted starts in [low, high]; both are starts of rows, or the end.
        while low < high:
            middle = self._row_start((low + high) // 2, low)
            text = self._read_arrivals(4096, middle)
            cut = text.find(b"\n") + 1
            if not cut:
                high = middle  # a row still being written is not there yet
                continue
            row = self._parse(text[:cut])
            if row.position + row.lines <= position:
                low = middle + cut
            elif row.position > position:
                high = middle
            else:
                return Cursor(middle)
        return Cursor(low)

    def _row_start(self, offset: int, low: int) -> int:
        """Return the start of the row around `offset`, not before `low`."""
        start = offset
        while start > low:
            begin = max(low, start - 4096)
            text = os.pread(self._arrivals, start - begin, begin)
            newline = text.rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            start = begin
        return low

    def began_ns(self) -> int:
        """Return when it began, in nanoseconds since the epoch: its first row's time."""
        rows = self.rows(Cursor())
        return rows[0].arrived_ns if rows else 0

    def arrival_ns(self, position: int) -> int | None:
        """Return when a position arrived, in nanoseconds since the epoch; None where nothing stands there yet."""
        rows = self.rows(self.cursor_at(position))
        return rows[0].arrived_ns if rows else None

    def end(self) -> int:
        """Return the position after the last line that is recorded now."""
        size = self.arrivals_size()
        while size:
            start = self._row_start(size - 1, 0)
            text = os.pread(self._arrivals, size - start, start)
            if text.endswith(b"\n"):
                row = self._parse(text)
                return row.position + row.lines
            size = start
        return 0

    def log_fd(self, node: str) -> int:
        """Return the descriptor of a node's log, opening it at its first mention."""
        fd = self._logs.get(node)
        if fd is None:
            path = self.directory / run_files.log_of(node, JOURNAL)
            try:
                fd = self._logs[node] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                reason = f"lacks the log of {node}: {path}: {error.strerror}"
                raise RecordingError("the recording", reason) from error
        return fd

    def make_log(self, node: str) -> None:
        """Open the log of a node that is about to write, making it where it isn't there yet.

        Raises:
            RecordingError: no descriptor is left for it, or the directory is gone.
        """
        if node not in self._logs:
            path = self.directory / run_files.log_of(node, JOURNAL)
            try:
                if SLASH in node:
                    path.parent.mkdir(0o700, parents=True, exist_ok=True)
                self._logs[node] = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                advice = {
                    errno.EMFILE: f"; this process may have {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}: raise its "
                    "limit (ulimit -n, or LimitNOFILE=)",
                    errno.ENOENT: "; somebody has deleted the run directory",
                }.get(error.errno or 0, "")
                reason = f"can't be made: {path}: {error.strerror}{advice}"
                raise RecordingError(f"the log of {node}", reason) from error

    def block(self, row: Row) -> Block:
        """Read a row's block; of a finished run the whole lines that its log has, of an overlong one the head.

        Raises:
            RecordingError: the log is shorter than its row says, and was not when the recording was opened.
        """
        if row.overlong:
            return block_of(row, self._read_log(row, row.begun, min(row.overlong, HEAD_BYTES)))
        data = self._read_log(row, row.offset, row.bytes)
        if len(data) == row.bytes:
            return block_of(row, data)
        return msgspec.structs.replace(block_of(row, data[: data.rfind(b"\n") + 1]), torn=False)

    def window(self, row: Row) -> Window:
        """Read a row's block as `block` does, to be gone with the next one that is read so. Raises as that."""
        size = row.bytes
        is_sound = self._bound is None or row.offset + size <= self._sound.get(row.node, 0)
        fits = is_sound and size <= WINDOW_BYTES and not row.overlong
        if fits and os.preadv(self.log_fd(row.node), (self._view[:size],), row.offset) == size:
            return Window(row, self._buffer, 0, size)
        block = self.block(row)
        return Window.of(msgspec.structs.replace(row, torn=block.torn), block.data)

    def _read_log(self, row: Row, offset: int, size: int) -> bytes:
        if self._bound is not None:
            size = min(size, max(0, self._sound.get(row.node, 0) - offset))
        data = b""
        while len(data) < size:  # the kernel gives at most 2 GiB at a time
            more = os.pread(self.log_fd(row.node), size - len(data), offset + len(data))
            if not more:
                reason = f"ends at {offset + len(data)}, its arrivals go on: it was cut"
                raise RecordingError(f"the log of {row.node}", reason)
            data += more
        return data

    def last_lines(self, node: str, count: int) -> list[str]:
        """Return the last lines of a node's log, for people to read: at most `count`, long ones cut.

        An unfinished line ends where its block does, whatever was written behind it later. Where a node has several
        sources, those of each follow each other, with its name before them.
        """
        keys = [key for key in run_files.logged(self.directory) if node_of(key) == node]
        if keys in ([], [node]):
            return self._last_lines(node, count)
        found: list[str] = []
        for key in keys:
            called = f"{source_of(key)}: " if key != node else ""
            found += [called + line for line in self._last_lines(key, count)]
        return found

    def _last_lines(self, key: str, count: int) -> list[str]:
        with contextlib.suppress(RecordingError):
            fd = self.log_fd(key)
            size = os.fstat(fd).st_size
            start = max(0, size - ROWS_BYTES)
            cuts = sorted({start, *(end for end in self._torn_ends(key) if start < end < size), size})
            parts = [os.pread(fd, end - begin, begin) for begin, end in itertools.pairwise(cuts)]
            text = "\n".join(part.decode(errors="replace") for part in parts)
            lines = [line for line in text.split("\n") if line.strip()][-count:]
            return [line if len(line) <= 300 else line[:297] + "…" for line in lines]
        return []

    def _torn_ends(self, key: str) -> list[int]:
        """Return where in a source's log its last unfinished lines end, as far as the last rows tell."""
        size = self.arrivals_size()
        first = self._row_start(max(0, size - ROWS_BYTES), 0)
        rows = self.rows(Cursor(first))
        return [row.offset + row.bytes for row in rows if row.node == key and row.torn]


def make_run_directory(directory: Path) -> None:
    """Make a run directory, private to its user.

    Raises:
        RecordingError: it can't be made, there is a recording in it already, or somebody else has a hand in it.
    """
    try:
        make_private(directory, (run_files.LOGS, run_files.FIFOS, run_files.NODES))
        if (directory / run_files.ARRIVALS).exists():
            raise FileExistsError(errno.EEXIST, "there is a recording in it already; choose another")
    except OSError as error:
        raise RecordingError(f"the run directory {directory}", f"can't be made: {error.strerror}") from error
