"""Reading what has an end: a file as it stands, a pipe up to the end of its writers. Standard library only.

A file is never waited for, so epoll takes none: a bell that rings all the time stands for it, and the drain takes a
chunk whenever it is its turn. Lucy's own stdin is read by a second number of its descriptor: who is another user by now
may not open it again. It is shared with whoever has it too, and so it isn't made non-blocking, but asked before.
"""

import contextlib
import errno
import os
import select
import stat
from typing import final

from lucy_core.capturing.sources.source import READ_BYTES, Source

STDIN = "/dev/stdin"
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@final
class WholeSource(Source):
    """Reads to the end, once."""

    __slots__ = ("_bell", "_fd", "_room")

    tells_its_end = True

    def __init__(self, path: str) -> None:
        """Open it.

        Raises:
            OSError: it isn't there, can't be read, or is a directory.
        """
        super().__init__()
        self._bell = -1
        if path != STDIN and stat.S_ISDIR(os.stat(path).st_mode):
            raise OSError(errno.EISDIR, "it is a directory, and has no lines", path)
        self._fd = os.dup(0) if path == STDIN else os.open(path, _OPEN)
        try:
            if not _is_waited_for(self._fd):
                self._bell = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            self.close()
            raise
        self._room = select.poll()
        self._room.register(self._fd, select.POLLIN)

    def fileno(self) -> int:
        return self._fd if self._bell < 0 else self._bell

    def read(self) -> bytes | None:
        """Take what is there; None at the end. A pipe to which nobody has written yet is at no end.

        Raises:
            OSError: it can't be read on.
        """
        if not self._room.poll(0):
            return b""
        try:
            return os.read(self._fd, READ_BYTES) or None
        except BlockingIOError:
            return b""

    def close(self) -> None:
        for fd in (self._fd, self._bell):
            if fd >= 0:
                os.close(fd)
        self._fd = self._bell = -1


def _is_waited_for(fd: int) -> bool:
    """Tell whether epoll says when there is something to read."""
    with select.epoll() as epoll, contextlib.suppress(PermissionError):
        epoll.register(fd, select.EPOLLIN)
        return True
    return False
