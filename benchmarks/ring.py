"""A disk that a recording of any length fits on: what was compared and delivered is given back to it.

A process of its own reads each log close behind its end, compares it byte by byte with the corpus that its writer wrote
over and over, and punches a hole where Lucy has delivered all. The log keeps its size and its offsets, so that Lucy
notices nothing. Nothing is ever left out: where more than `most` bytes stand on the disk, since Lucy is behind, the
writers are stopped until half of them are gone; and where this process is late, they are until it isn't. Both times are
counted.

`python -m benchmarks.ring JOB` is the far end: each line that it reads says how far Lucy is, each that it writes how
far it is itself.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.measurement import BenchmarkError, own_cpu_seconds

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
"""Of `linux/falloc.h`."""
PIECE_BYTES = 1 << 18
PIECES_AT_ONCE = 4
LATE_BYTES = 24 << 20
"""How much may wait to be compared: less than what Lucy keeps in memory of what she has seen. What has to come from the
disk takes so much longer that one who is late grows later."""
IDLE_SECONDS = 0.005
"""How long it sleeps where nothing is to be done: what is compared this soon is still in memory."""


class RingJob(msgspec.Struct, frozen=True):
    """Which logs, of what, by whom."""

    logs: list[str]
    corpora: list[str]
    """What each log repeats."""
    others: list[str]
    """What grows beside them on the disk, and isn't given back."""
    writers: list[int]
    """The processes to be stopped."""
    most: int
    """Bytes that may stand on the disk, but for what is on its way."""
    stride: int
    """Bytes of a log that are given back at once."""


class Told(msgspec.Struct, frozen=True):
    """How far Lucy is."""

    delivered: list[int]
    """Bytes of each log."""
    last: bool = False
    """Whether nothing comes any more."""


class Held(msgspec.Struct):
    """Seconds for which the writers were stopped."""

    by_lucy: float = 0.0
    """The disk was full of what wasn't delivered."""
    by_check: float = 0.0
    """Much wasn't compared yet."""


class RingState(msgspec.Struct, frozen=True):
    """How far the ring is."""

    captured: list[int]
    compared: list[int]
    """Bytes of each log, from its first on."""
    used: int
    """Bytes on the disk: what isn't given back yet, and the rows."""
    used_peak: int
    held: Held
    cpu_seconds: float


def punch(fd: int, offset: int, size: int) -> None:
    """Give a part of a file back to the disk; it reads as zeros from then on.

    Raises:
        OSError: the file system can't.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if libc.fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, size):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def why_no_ring(place: Path) -> str | None:
    """Say why nothing can be given back of files in `place`, or None where it can."""
    path = place / "hole"
    with path.open("w+b") as file:
        file.write(bytes(PIECE_BYTES))
        file.flush()
        try:
            punch(file.fileno(), 0, PIECE_BYTES)
        except OSError as error:
            reason = f"the file system of {place.parent} can't give back parts of a file: {error.strerror}"
            return f"{reason}; point TMPDIR to one that can (ext4, XFS, Btrfs, tmpfs)"
        finally:
            path.unlink()
    return None


class _Log:
    """One log that repeats a corpus."""

    def __init__(self, path: str, corpus: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR)
        data = Path(corpus).read_bytes()
        self._pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
        self._buffers = {len(piece): bytearray(len(piece)) for piece in self._pieces}
        """Warm memory, of each length that a piece has."""
        self._next = 0
        self.compared = 0
        self.given_back = 0

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def compare(self, size: int) -> bool:
        """Compare some of what stands before `size`; return whether there was anything.

        Raises:
            BenchmarkError: it isn't what was written.
        """
        begun = self.compared
        for _ in range(PIECES_AT_ONCE):
            piece = self._pieces[self._next]
            if self.compared + len(piece) > size:
                break
            buffer = self._buffers[len(piece)]
            if os.preadv(self._fd, [buffer], self.compared) != len(piece) or buffer != piece:
                message = f"{self.path} differs from what was written within {len(piece)} bytes from {self.compared}"
                raise BenchmarkError(message)
            self.compared += len(piece)
            self._next = (self._next + 1) % len(self._pieces)
        return self.compared > begun

    def give_back(self, delivered: int, stride: int) -> bool:
        """Give back a stride that is compared and delivered; return whether there was one."""
        if min(self.compared, delivered) - self.given_back < stride:
            return False
        punch(self._fd, self.given_back, stride)
        self.given_back += stride
        return True


class _Gate:
    """Stops the writers, and lets them go on."""

    def __init__(self, writers: Sequence[int], most: int) -> None:
        self.held = Held()
        self._writers = [os.pidfd_open(pid) for pid in writers]
        self._most = most
        self._is_full = self._is_late = False
        self._looked = 0.0

    def end_writers(self) -> None:
        self._send(signal.SIGKILL)

    def look(self, used: int, uncompared: int) -> None:
        now = time.monotonic()
        stopped = self._is_full or self._is_late
        if self._is_full:
            self.held.by_lucy += now - self._looked
        elif self._is_late:
            self.held.by_check += now - self._looked
        self._looked = now
        self._is_full = used > (self._most // 2 if self._is_full else self._most)
        self._is_late = uncompared > (LATE_BYTES // 4 if self._is_late else LATE_BYTES)
        if stopped != (self._is_full or self._is_late):
            self._send(signal.SIGCONT if stopped else signal.SIGSTOP)

    def _send(self, what: signal.Signals) -> None:
        for writer in self._writers:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(writer, what)


class _Ring:
    def __init__(self, job: RingJob) -> None:
        self.gate = _Gate(job.writers, job.most)
        self._job = job
        self._logs = [_Log(*each) for each in zip(job.logs, job.corpora, strict=True)]
        self._delivered = [0] * len(self._logs)
        self._peak = 0

    def turn(self) -> bool:
        """Do a little of all that is to be done; return whether there was anything."""
        sizes = [log.size() for log in self._logs]
        worked = False
        for log, size, delivered in zip(self._logs, sizes, self._delivered, strict=True):
            worked |= log.compare(size)
            worked |= log.give_back(delivered, self._job.stride)
        used = self._used(sizes)
        self._peak = max(self._peak, used)
        self.gate.look(used, sum(sizes) - sum(log.compared for log in self._logs))
        return worked

    def _used(self, sizes: Sequence[int]) -> int:
        kept = sum(size - log.given_back for log, size in zip(self._logs, sizes, strict=True))
        return kept + sum(Path(path).stat().st_size for path in self._job.others)

    def hear(self, told: Told) -> RingState:
        self._delivered = told.delivered
        while told.last and self.turn():
            pass
        sizes = [log.size() for log in self._logs]
        return RingState(
            sizes,
            [log.compared for log in self._logs],
            self._used(sizes),
            self._peak,
            self.gate.held,
            own_cpu_seconds(),
        )


class Ring:
    """The near end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, told: Told) -> RingState:
        """Tell it how far Lucy is, and ask how far it is; in a thread where a loop has to turn meanwhile.

        Raises:
            BenchmarkError: something differs from what was written.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(told) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it says why below
        if said := self._process.stdout.readline():
            return msgspec.json.decode(said, type=RingState)
        _, why = self._process.communicate()
        raise BenchmarkError(f"the recording couldn't be compared: {why.decode(errors='replace').strip()[-2000:]}")

    def end(self) -> None:
        """End it, and the writers with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()


@contextmanager
def ring(job: RingJob) -> Iterator[Ring]:
    """Start it, and wait until it holds the corpora."""
    with subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", "benchmarks.ring", msgspec.json.encode(job).decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            near = Ring(process)
            near.tell(Told([0] * len(job.logs)))
            yield near
        finally:
            process.kill()


def main() -> None:
    far = _Ring(msgspec.json.decode(sys.argv[1], type=RingJob))
    poller = select.poll()
    poller.register(0, select.POLLIN)
    worked = False
    try:
        while True:
            if poller.poll(0 if worked else IDLE_SECONDS * 1e3):
                line = sys.stdin.buffer.readline()
                if not line:
                    return
                print(msgspec.json.encode(far.hear(msgspec.json.decode(line, type=Told))).decode(), flush=True)
            worked = far.turn()
    except BenchmarkError as error:
        sys.exit(str(error))
    finally:
        far.gate.end_writers()  # nobody gives back any more what they would write


if __name__ == "__main__":
    main()
