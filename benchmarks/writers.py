"""The writers: processes that hold their bytes ready and push them into FIFOs as fast as these take them.

They write prepared blocks of 256 KiB, so that the writer is never the limit; the bare pipe's row in the table shows
what limit remains.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PROGRAM = """
import os, sys
data = open(sys.argv[1], "rb").read()
repeat = int(sys.argv[3])
target = os.open(sys.argv[2], os.O_WRONLY)
print("ready", flush=True)
sys.stdin.readline()
view = memoryview(data)
for _ in range(repeat):
    at = 0
    while at < len(view):
        at += os.write(target, view[at : at + 262144])
"""


@contextlib.contextmanager
def writers(corpora: list[Path], fifos: list[Path], *, repeat: int = 1) -> Iterator["Writers"]:
    """Start a writer for each FIFO and wait until all hold their bytes; `go` lets them write."""
    processes = [
        subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(corpus), str(fifo), str(repeat)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for corpus, fifo in zip(corpora, fifos, strict=True)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield Writers(processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


class Writers:
    """Writers that are ready."""

    def __init__(self, processes: list[subprocess.Popen[bytes]]) -> None:
        self._processes = processes

    def go(self) -> None:
        """Let all of them write."""
        for process in self._processes:
            assert process.stdin is not None
            os.write(process.stdin.fileno(), b"\n")

    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._processes]
