"""What the processes have in common that Lucy starts for herself: the capture, a guardian, a reaper and the like.

**They watch Lucy, and not the end of a socket.** A test that forks (`multiprocessing`, `ProcessPoolExecutor`) hands
every descriptor on to its children, so that a socket of a Lucy who was killed stays open for as long as one of them
lives. A pidfd says of one process alone whether it has ended, whoever else holds it, and without a race: Lucy opens it
of herself, and no other process can ever be meant by it. The end of the socket counts besides; it is how Lucy says so
herself.

**They have last words.** What one says on its standard error goes into a file without a name, and is told with its
death.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import anyio

SAID_BYTES = 1 << 16


@contextmanager
def own_pidfd() -> Iterator[int]:
    """Hold a descriptor that becomes readable once this process has ended: pass it on to a helper, which polls it."""
    pidfd = os.pidfd_open(os.getpid())
    try:
        yield pidfd
    finally:
        os.close(pidfd)


@final
class LastWords:
    """A place for a helper's standard error."""

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd = os.memfd_create("last-words", os.MFD_CLOEXEC)

    def fileno(self) -> int:
        """Return what to give to `Popen` as `stderr`."""
        return self._fd

    def last_line(self) -> str:
        """Return the last line that was said, which of a traceback is the error, or nothing."""
        end = os.fstat(self._fd).st_size
        said = os.pread(self._fd, SAID_BYTES, max(0, end - SAID_BYTES)).decode(errors="replace")
        return said.strip().rpartition("\n")[2].strip()

    def close(self) -> None:
        """Give the memory back. Again is no error."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


async def until_ended(process: subprocess.Popen[bytes]) -> None:
    """Wait until a child of this process has ended; its `poll` says how. Cancelled, it leaves all as it is."""
    if process.poll() is None:
        pidfd = os.pidfd_open(process.pid)
        try:
            await anyio.wait_readable(pidfd)
        finally:
            os.close(pidfd)


def how_it_ended(code: int, last_line: str = "") -> str:
    """Say how a process ended, of whose `Popen` this is the return code: `was killed by SIGKILL`, `exited with 1`."""
    if code < 0:
        try:
            how = f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            how = f"was killed by signal {-code}"
    else:
        how = f"exited with code {code}"
    return f"{how}, saying: {last_line}" if last_line else how
