"""Following a file through rotation and truncation. Standard library only, since the capture process loads it.

Told by inotify, not by a clock: the directory is watched, so that a file that doesn't exist yet, is replaced or renamed
is noticed as soon as one that grows. What can be lost is what nobody could still read: a file that is truncated, or
rotated away twice, before its end was read; `truncations` and `rotations` count these for the ledger.
"""

import contextlib
import ctypes
import os
from typing import final

from lucy_core.pipeline.sources import READ_BYTES

_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x40, 0x80, 0x100, 0x200
_libc = ctypes.CDLL(None, use_errno=True)


def _watch(directory: str) -> int:
    fd = int(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"inotify: {os.strerror(number)}; raise fs.inotify.max_user_instances", directory)
    mask = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
    if _libc.inotify_add_watch(fd, os.fsencode(directory), mask) < 0:
        number = ctypes.get_errno()
        os.close(fd)
        raise OSError(number, os.strerror(number), directory)
    return fd


@final
class FileSource:
    """Reads a file from its start and follows it by name."""

    __slots__ = ("_fd", "_more", "_offset", "_path", "_pending_torn", "_watch_fd", "rotations", "truncations")

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._watch_fd = _watch(os.path.dirname(self._path))
        self._fd = -1
        self._offset = 0
        self._more = True
        self._pending_torn = False
        self.rotations = 0
        self.truncations = 0
        self._open()

    def _open(self) -> bool:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        self._offset = 0
        return True

    def fileno(self) -> int:
        return self._watch_fd

    @property
    def unread(self) -> bool:
        """Whether the last read stopped at its cap, so that there may be more without a further notice."""
        return self._more

    @property
    def writer_changed(self) -> bool:
        """Whether a new file has begun: an unfinished line of the old one will never be finished. Read once."""
        changed, self._pending_torn = self._pending_torn, False
        return changed

    def read(self) -> bytes:
        """Take the next bytes, crossing over to the new file once the old one is read to its end."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._watch_fd, 65536):
                pass
        while self._fd >= 0 or self._open():
            chunk = os.pread(self._fd, READ_BYTES, self._offset)
            if chunk:
                self._offset += len(chunk)
                self._more = True
                return chunk
            if not self._next_file():
                break
        self._more = False
        return b""

    def _next_file(self) -> bool:
        """At the end of the open file: go on with a replacement, or from the start of a truncated one, if any."""
        mine = os.fstat(self._fd)
        if mine.st_size < self._offset:
            self.truncations += 1
            self._offset = 0
            self._pending_torn = True
            return mine.st_size > 0
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return False
        if (named.st_ino, named.st_dev) == (mine.st_ino, mine.st_dev):
            return False
        # The rename and its notice come after the last write to the old file, which has just been read to its end.
        if os.fstat(self._fd).st_size > self._offset:
            return True
        os.close(self._fd)
        self._fd = -1
        self.rotations += 1
        self._pending_torn = True
        return self._open()

    def accept(self) -> None:
        return None

    def blocked(self) -> bool:
        return False

    def close(self) -> None:
        for fd in (self._fd, self._watch_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._watch_fd = -1
