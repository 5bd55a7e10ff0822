"""What the kernel tells of directories and files. Standard library only, since the capture process loads it.

Through ctypes, since Python has no inotify of its own. A watch is on what a path leads to now, not on the path: it goes
along when that is renamed.
"""

import ctypes
import os
import struct
from typing import NamedTuple, final

MODIFIED, MOVED_FROM, MOVED_TO, CREATED, DELETED = 0x2, 0x40, 0x80, 0x100, 0x200
OVERFLOWED, FORGOTTEN = 0x4000, 0x8000
ENTRIES = MOVED_FROM | MOVED_TO | CREATED | DELETED
"""What can happen to a directory's entries."""
_READ_BYTES = 1 << 16
_HEADER = struct.Struct("iIII")
_ADVICE = {
    "inotify_init1": "raise fs.inotify.max_user_instances",
    "inotify_add_watch": "raise fs.inotify.max_user_watches",
}
_libc = ctypes.CDLL(None, use_errno=True)


class Notice(NamedTuple):
    """One thing that happened."""

    watch: int
    """-1 where notices were lost, since too many waited (`OVERFLOWED`)."""
    what: int
    cookie: int
    """The same for both notices of one renaming."""
    name: str


@final
class Inotify:
    """A queue of notices."""

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd = int(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self._fd < 0:
            raise _error("inotify_init1", None)

    def fileno(self) -> int:
        return self._fd

    def watch(self, path: str, what: int) -> int:
        """Ask for notices about what a path leads to, and return their number; again it gives the same.

        Raises:
            OSError: it isn't there, may not be read, or there are too many watches.
        """
        number = int(_libc.inotify_add_watch(self._fd, os.fsencode(path), what))
        if number < 0:
            raise _error("inotify_add_watch", path)
        return number

    def forget(self, watch: int) -> None:
        """Ask for no more of these. One that the kernel has ended by itself is no error."""
        _libc.inotify_rm_watch(self._fd, watch)

    def read(self) -> list[Notice]:
        """Take what has been told; `[]` for nothing now."""
        try:
            text = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return []
        notices: list[Notice] = []
        at = 0
        while at < len(text):
            watch, what, cookie, size = _HEADER.unpack_from(text, at)
            at += _HEADER.size
            notices.append(Notice(watch, what, cookie, os.fsdecode(text[at : at + size].rstrip(b"\0"))))
            at += size
        return notices

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _error(call: str, path: str | None) -> OSError:
    number = ctypes.get_errno()
    reason = os.strerror(number)
    advice = f"{call}: {reason}; {_ADVICE[call]}" if number in {24, 28} else reason  # EMFILE, ENOSPC
    # Not by its own number, which would have it taken for a want of descriptors.
    return OSError(28 if number == 24 else number, advice, path)
