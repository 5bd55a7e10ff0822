"""What helpers, processes of Lucy's own beside her, have in common: whom they watch, and how their own end is told.

A helper that must end when Lucy does is given a pidfd of hers. The end of a pipe or a socket is no sign of it: what a
test has forked, a worker of a `ProcessPoolExecutor` say, has inherited the other end, and lives on after a `kill -9`.
A process id alone may be somebody else's by the time that the helper looks.

A helper's stderr is a file in memory: a pipe would have to be read by somebody, and would block who complains much.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from lucy_core.errors import HelperDiedError

WORDS_BYTES = 1 << 14
"""How much of what a helper wrote last is looked at for its last words."""


@contextmanager
def lucy_herself() -> Iterator[int]:
    """Give a pidfd of this process, for a helper to inherit; it can be read once Lucy is gone, and never before.

    Raises:
        OSError: no descriptor is left.
    """
    descriptor = os.pidfd_open(os.getpid())
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_words(helper: str) -> int:
    """Make the file in memory that a helper's stderr goes to; return its descriptor, for the caller to close."""
    return os.memfd_create(f"{helper}-errors", os.MFD_CLOEXEC)


def last_words(descriptor: int) -> str:
    """Return the last line of what a helper wrote, which of a traceback is what was raised; or nothing."""
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, WORDS_BYTES, max(0, size - WORDS_BYTES)).decode(errors="replace").strip()
    return text.rpartition("\n")[2][-400:]


def how_it_ended(code: int) -> str:
    """Say in words what `Popen.returncode` says in a number."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


async def helper_died(
    helper: str, process: subprocess.Popen[bytes], words: int, kind: type[HelperDiedError] = HelperDiedError
) -> HelperDiedError:
    """Wait for a helper that is ending, and make the error that tells of it.

    Args:
        helper: which, with what it is for: `the pump, which carries nodes' lines`.
        process: it; it has hung up already.
        words: what `open_words` gave.
        kind: of the error.
    """
    if process.poll() is None:
        pidfd = os.pidfd_open(process.pid)
        try:
            await anyio.wait_readable(pidfd)
        finally:
            os.close(pidfd)
    return kind(helper, process.pid, how_it_ended(process.wait()), last_words(words))
