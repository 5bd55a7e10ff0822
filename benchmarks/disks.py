"""Disks that are slow in ways a test can order: busy with somebody else's flushes, or hanging for a while.

A hanging disk is a small ext4 file system in a file, which the kernel is told to freeze: whoever writes to it waits in
`write`, as with a disk that doesn't answer. It needs root, `mkfs.ext4`, `mount` and `fsfreeze`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measurement import BenchmarkError

TOOLS = ("mkfs.ext4", "mount", "umount", "fsfreeze")
_NEIGHBOUR = """
import os, sys
target = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
print("ready", flush=True)
block = os.urandom(1 << 23)
while True:
    os.pwrite(target, block, 0)
    os.fsync(target)
"""


def why_no_small_disk() -> str | None:
    """Say why no file system of our own can be mounted here, or None where one can."""
    if os.geteuid() != 0:
        return "mounting a small file system needs root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if not Path("/dev/loop-control").exists():
        return "the kernel has no loop devices"
    return None


@contextmanager
def small_disk(place: Path, *, mebibytes: int) -> Iterator[Path]:
    """Make an ext4 file system in a file in `place`, and mount it there.

    Raises:
        BenchmarkError: it can't be made or mounted.
    """
    image, mounted = place / "disk.img", place / "disk"
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    mounted.mkdir()
    _call("mkfs.ext4", "-q", "-F", str(image))
    _call("mount", "-o", "loop,noatime", str(image), str(mounted))
    try:
        yield mounted
    finally:
        _call("umount", "--lazy", str(mounted))


@contextmanager
def hanging(mounted: Path, *, after: float, seconds: float) -> Iterator[None]:
    """Have the file system stop for `seconds`, once, `after` so many. Leaving waits until it goes on again.

    A process of its own does it, and goes on with it whatever becomes of us: what is frozen must be thawed.
    """
    script = f'sleep {after}; fsfreeze -f "$0" && {{ sleep {seconds}; fsfreeze -u "$0"; }}'
    process = subprocess.Popen(["sh", "-c", script, str(mounted)], start_new_session=True)  # noqa: S603, S607
    try:
        yield
    finally:
        if process.wait():
            message = f"freezing {mounted} failed with {process.returncode}"
            raise BenchmarkError(message)


@contextmanager
def busy_neighbour(place: Path) -> Iterator[None]:
    """Have a process write 8 MiB and flush them to the disk, over and over, beside what is in `place`."""
    process = subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-I", "-S", "-c", _NEIGHBOUR, str(place / "neighbour")], stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)  # noqa: S603  # fixed words
    if done.returncode:
        message = f"{' '.join(command)} failed: {done.stderr.decode(errors='replace').strip()}"
        raise BenchmarkError(message)
