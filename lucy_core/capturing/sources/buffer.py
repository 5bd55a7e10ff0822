"""The memory that chunks are read into, the same for each: it stays in the processor's cache. Standard library only.

A fresh object for each read of 256 KiB costs more than the reading: the C library gives its memory back to the kernel
at once, and takes each page anew.
"""

import os
from typing import final

from lucy_core.capturing.framing import Pieces

CHUNK_BYTES = 1 << 19
"""The most that one read takes. Half a MiB took 6 to 8 % less processor time than a quarter, since each block has a
price of its own; a whole one took no less again, and keeps the other nodes waiting for longer."""
HEAD_ROOM = 1 << 16
"""What is left free in front of a chunk: the beginning of its first line, which came with the chunk before."""


@final
class Buffer:
    """Holds one chunk, that which was read last. Not thread-safe: each drain has its own."""

    __slots__ = ("_chunk", "_view", "data")

    def __init__(self) -> None:
        self.data = bytearray(HEAD_ROOM + CHUNK_BYTES)
        self._view = memoryview(self.data)
        self._chunk = self._view[HEAD_ROOM:]

    def read(self, fd: int) -> memoryview:
        """Read at most `CHUNK_BYTES`; the last chunk is gone then. Raises OSError."""
        return self._chunk[: os.readv(fd, (self._chunk,))]

    def joined(self, pieces: Pieces) -> tuple[bytes | bytearray, int, int]:
        """Return bytes that hold these pieces in a row, and from where to where; in place where that can be."""
        *before, last = pieces
        if not isinstance(last, memoryview) or last.obj is not self.data:
            whole = bytes(last) if not before else b"".join(pieces)
            return whole, 0, len(whole)
        start = HEAD_ROOM - sum(map(len, before))
        if start < 0:
            whole = b"".join(pieces)
            return whole, 0, len(whole)
        if before:
            self._view[start:HEAD_ROOM] = b"".join(before)
        return self.data, start, HEAD_ROOM + len(last)
