"""Reading a named pipe. Standard library only, since the capture process loads it.

A FIFO is opened for reading *and* writing, non-blocking. Opened for reading alone it would be at its end, and readable
for ever, as soon as its last writer leaves: the reader would spin. Holding a writing end too means that the end of a
node has to be told by whoever started it, and that a writer never gets EPIPE from a reader that comes and goes. (Linux
defines `O_RDWR` on a FIFO; POSIX leaves it open.)

Closing sets the descriptor to -1: the number may be somebody else's file a moment later.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
import termios
from typing import final

from lucy_core.capturing.framing import Chunk
from lucy_core.capturing.sources.buffer import CHUNK_BYTES, Buffer
from lucy_core.capturing.sources.source import Source

PIPE_BYTES = 1 << 20
"""What the kernel is asked to buffer, the most that pipe(7) gives an unprivileged user. It is what a node may write
while capture is busy with the others, so a refusal (a quota of 64 MiB a user) costs time, never lines."""


SLACK_BYTES = 2 * 4096
"""By how much less than its capacity a pipe may hold and be full: in pages, to each of which one write may add. At most
half of it: beyond the user's quota a pipe has two pages, and one line in it isn't full."""


def make_fifo(path: str) -> None:
    """Make a FIFO that only its owner may open; one that is there already is kept.

    In a directory that nobody else may enter, all may write to it who have it: a node that was given it as its stdout
    and dropped its privileges since opens it again as `/dev/stdout`, which asks for the mode of the FIFO alone.

    Raises:
        OSError: it can't be made, or something else is there: to open that may block, or do something.
    """
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)
        if not os.stat(os.path.dirname(path) or ".").st_mode & 0o011:
            os.chmod(path, 0o622)  # noqa: S103  # see above
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        raise OSError(errno.EEXIST, "something is there that is no FIFO", path)


@final
class FifoSource(Source):
    """The reading end of a FIFO."""

    __slots__ = ("_buffer", "_capacity", "_fd", "_slack", "blocked")

    def __init__(self, path: str, buffer: Buffer) -> None:
        """Make it, unless it is there, and open it.

        Args:
            path: where.
            buffer: what its chunks are read into; each is gone with the next.

        Raises:
            OSError: it can't be made or opened, or something else is there.
        """
        super().__init__()
        self._buffer = buffer
        make_fifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._capacity = fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ)
        """Bytes that the kernel really buffers."""
        self._slack = min(SLACK_BYTES, self._capacity // 2)
        self.blocked = False

    def fileno(self) -> int:
        return self._fd

    def read(self) -> Chunk:
        """Take 1 byte to `CHUNK_BYTES`, or nothing. Never None: the last writer's exit is not an end."""
        try:
            chunk = self._buffer.read(self._fd)
        except BlockingIOError:
            self.blocked = False
            return b""
        self.blocked = len(chunk) > min(CHUNK_BYTES, self._capacity) - self._slack and self._nearly_full(len(chunk))
        return chunk

    def _nearly_full(self, taken: int) -> bool:
        (left,) = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0"))
        return taken + int(left) > self._capacity - self._slack

    def left(self) -> int:
        return self._capacity * 2

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
