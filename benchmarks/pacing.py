"""A writer that keeps a pace and times itself: lines of 500 bytes into one or more FIFOs, so many a second.

Every 20th line is a structured event that carries its number and, as `at`, the monotonic clock just before the write
that took it along. Whoever reads `at` on the same machine knows how old the line is.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec

import lucy_core as lucy
from benchmarks.corpus import EVENT_ID
from benchmarks.measurement import BenchmarkError

EVENT_EVERY = 20
LINE_BYTES = 500

PROGRAM = """
import json, os, sys, time
job = json.loads(sys.argv[1])
rate, total, every, burst, most = (job[key] for key in ("rate", "lines", "every", "burst", "most"))
targets = [os.open(path, os.O_WRONLY) for path in job["fifos"]]
numbers = [0] * len(targets)
head = b'{"timestamp":"2026-01-10 12:00:00.000000Z","level":"Debug","source":{"module":"Network_pool",'
head += b'"location":"File \\\\"src/lib/x/y.ml\\\\", line 7, characters 2-17"},"message":"Asked for $rpc","metadata":{'
tail = b',"event_id":"' + job["event_id"].encode() + b'"'
def padded(start, end):
    return start + b'"text":"' + b"x" * (job["line_bytes"] - len(start) - len(end) - 24) + b'"}' + end + b"}\\n"
plain = padded(head + b'"n":%d,', b"")
event = padded(head + b'"n":%d,"at":%d,', tail)
print("ready", flush=True)
sys.stdin.readline()
clock = time.monotonic_ns
longest = blocked = written = turn = 0
begin = clock()
while written < total:
    due = min(total, (clock() - begin) * rate // 10**9)
    if due - written < min(burst, total - written):
        time.sleep(max(0, begin + (written + burst) * 10**9 / rate - clock()) / 1e9)
        continue
    count = min(most, due - written)
    node = turn % len(targets)
    first = numbers[node]
    numbers[node] += count
    turn += 1
    written += count
    at = clock()
    block = b"".join([plain % n if n % every else event % (n, at) for n in range(first, first + count)])
    started = clock()
    at = os.write(targets[node], block)
    while at < len(block):
        at += os.write(targets[node], block[at:])
    took = clock() - started
    blocked += took
    longest = max(longest, took)
print(json.dumps({"lines": numbers, "seconds": (clock() - begin) / 1e9, "longest": longest / 1e9,
    "blocked": blocked / 1e9}), flush=True)
"""


@lucy.event(ids=EVENT_ID)
class Stamped(msgspec.Struct, frozen=True):
    """The structured lines of a paced writer."""

    n: int
    at: int
    """Nanoseconds of the monotonic clock, just before the line was written."""


class Pace(msgspec.Struct, frozen=True):
    """What a paced writer is to do."""

    fifos: list[str]
    rate: int
    """Lines a second, of all FIFOs together."""
    lines: int
    """In all; FIFOs get their turn one write after the other."""
    every: int = EVENT_EVERY
    """Every so many-th line is a structured event."""
    burst: int = 1
    """So many lines must be due for a write; 1 writes as early as it can."""
    most: int = 64
    """More lines than these are never in a write."""
    line_bytes: int = LINE_BYTES
    event_id: str = EVENT_ID


class Paced(msgspec.Struct, frozen=True):
    """What a paced writer says of itself."""

    lines: list[int]
    """Of each FIFO."""
    seconds: float
    longest: float
    """The longest write."""
    blocked: float
    """All writes together: what the writer waited for its readers, and what copying took."""


class Writer:
    """A writer's process. Entering waits until it is ready; leaving ends it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for end in (self._process.stdin, self._process.stdout):
            assert end is not None
            end.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def go(self) -> None:
        """Let it write."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def result(self) -> Paced:
        """Wait until it is done; ask in a thread where a loop has to turn meanwhile.

        Raises:
            BenchmarkError: it broke.
        """
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if self._process.wait() or not said:
            message = f"a writer ended with {self._process.returncode}"
            raise BenchmarkError(message)
        return msgspec.json.decode(said, type=Paced)


@contextmanager
def paced_writers(paces: Sequence[Pace]) -> Iterator[list[Writer]]:
    """Start a process a pace, and wait until each has its FIFOs open."""
    processes = [
        subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-I", "-S", "-c", PROGRAM, msgspec.json.encode(pace).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for pace in paces
    ]
    with ExitStack() as stack:
        yield [stack.enter_context(Writer(process)) for process in processes]


def make_fifo(path: Path) -> int:
    """Make a FIFO of a mebibyte, where that is allowed, and open it; reading it waits."""
    os.mkfifo(path)
    # Read-write, so that opening waits for nobody and the last writer's exit is no end.
    descriptor = os.open(path, os.O_RDWR)
    with suppress(PermissionError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 1 << 20)
    return descriptor
