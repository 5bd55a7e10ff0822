"""One writer for many FIFOs: gives each the same prepared bytes, 64 KiB at a time in turn, as fast as they take them.

A process a FIFO, as in the flood, would be more faithful; with a hundred of them on two cores the scheduler would be
what is measured.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.pacing import Writer

_PROGRAM = """
import json, os, sys, time
corpus, repeat = sys.argv[1], int(sys.argv[2])
targets = [os.open(path, os.O_WRONLY) for path in sys.argv[3:]]
data = memoryview(open(corpus, "rb").read())
print("ready", flush=True)
sys.stdin.readline()
begin = time.monotonic()
for _ in range(repeat):
    for at in range(0, len(data), 65536):
        for target in targets:
            piece = data[at : at + 65536]
            while piece:
                piece = piece[os.write(target, piece) :]
print(json.dumps({"lines": [], "seconds": time.monotonic() - begin, "longest": 0, "blocked": 0}), flush=True)
"""


@contextmanager
def feeder(corpus: Path, fifos: Sequence[Path], *, repeat: int) -> Iterator[Writer]:
    """Start it, and wait until it holds its bytes."""
    process = subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-I", "-S", "-c", _PROGRAM, str(corpus), str(repeat), *map(str, fifos)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with Writer(process) as writer:
        yield writer
