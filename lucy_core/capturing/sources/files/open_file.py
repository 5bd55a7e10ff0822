"""One file that is read while others write it. Standard library only, since the capture process loads it.

A file that is truncated and written anew may be longer at the next look than it was, and no call tells of it. So what
was read is known again: its first bytes, and those before the place where reading goes on. They are compared after each
read, for a read that was overtaken proves nothing before.

Of a writer that did not notice (it doesn't append, and goes on at its old place) a truncated file begins with zeros,
most of them a hole. Nobody wrote them.
"""

import contextlib
import os
from typing import final

from lucy_core.capturing.framing import Framer
from lucy_core.capturing.sources.source import READ_BYTES

KNOWN_BYTES = 1024
"""How much at its beginning, and before its end, a file is known by."""


@final
class OpenFile:
    """A file that is open, or was and may be again."""

    __slots__ = ("_begin", "_fd", "_head", "_offset", "_tail", "framer", "last_read", "number", "watch")

    def __init__(self, fd: int, number: int, watch: int) -> None:
        self._fd = fd
        self._offset = 0
        self._begin = 0
        self._head = self._tail = b""
        self.number = number
        """Which of the files that the name has led to."""
        self.watch = watch
        self.framer = Framer()
        self.last_read = 0
        """When there was something to read, on the clock of whoever keeps it."""

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    @property
    def is_nameless(self) -> bool:
        """Whether it is open and was deleted: no name leads to it any more."""
        return self._fd >= 0 and os.fstat(self._fd).st_nlink == 0

    def is_same(self, found: os.stat_result) -> bool:
        """Whether this is the file that was found. One that is closed can't say, and isn't."""
        if self._fd < 0:
            return False
        mine = os.fstat(self._fd)
        return (mine.st_dev, mine.st_ino) == (found.st_dev, found.st_ino)

    def read(self) -> bytes | None:
        """Take the next bytes, `b""` at its end; None where it was truncated, and will be read from its start."""
        while True:
            chunk = os.pread(self._fd, READ_BYTES, self._offset)
            if not self._is_known():
                self._offset = self._begin = 0
                self._head = self._tail = b""
                return None
            if not chunk:
                return b""
            if self._offset == self._begin:  # nothing but zeros before
                text = chunk.lstrip(b"\0")
                self._begin = self._offset = self._offset + len(chunk) - len(text)
                if not text:
                    if not self._cross_hole():
                        return b""
                    continue
                chunk = text
            self._offset += len(chunk)
            if len(self._head) < KNOWN_BYTES:
                self._head += chunk[: KNOWN_BYTES - len(self._head)]
            self._tail = (self._tail + chunk[-KNOWN_BYTES:])[-KNOWN_BYTES:]
            return chunk

    def size(self) -> int:
        """Return how long it is now, as far as it can be read."""
        return os.fstat(self._fd).st_size if self.is_open else 0

    def _is_known(self) -> bool:
        head, tail = self._head, self._tail
        if os.fstat(self._fd).st_size < self._offset:
            return False
        return os.pread(self._fd, len(head), self._begin) == head and (
            os.pread(self._fd, len(tail), self._offset - len(tail)) == tail
        )

    def _cross_hole(self) -> bool:
        """Go on where something has been written, if anything has."""
        with contextlib.suppress(OSError):  # ENXIO: there is nothing but a hole up to the end
            self._begin = self._offset = os.lseek(self._fd, self._offset, os.SEEK_DATA)
            return True
        return False

    def reopen(self, fd: int) -> None:
        """Go on reading by another descriptor of the same file."""
        self.close()
        self._fd = fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
