"""Chunks to blocks of whole lines. Sans-IO; standard library only, since the capture process loads it."""

from collections.abc import Sequence
from typing import final

Pieces = Sequence[bytes | bytearray | memoryview]
"""What is to be written one after the other, without a copy that joins it."""
LINE_BYTES = 72 << 20
"""How long a line may be that is kept in memory and given as a record: more than any logger writes on purpose, and what
a node can cost each of two processes. A longer one goes into the recording as it comes, and is given by reference."""
HEAD_BYTES = 1 << 16
"""How much of a longer one is given beside, for people to see what it is."""
_SMALL_BYTES = 1 << 12
_JOINED_BYTES = 1 << 18


Chunk = bytes | memoryview
"""Bytes as a source gave them; a view of memory that the next chunk is read into, so what is to stay is copied."""


@final
class LongLine:
    """A line longer than may wait in memory, which has no end yet: its bytes stand where they were put as they came."""

    __slots__ = ("begun", "head", "size")

    def __init__(self, begun: int) -> None:
        self.begun = begun
        """Where its first byte was put."""
        self.head = b""
        self.size = 0

    def take(self, part: bytes | bytearray) -> None:
        """Take note of its next bytes."""
        self.size += len(part)
        if len(self.head) < HEAD_BYTES:
            self.head += part[: HEAD_BYTES - len(self.head)]


@final
class Framer:
    """Cuts a node's bytes into blocks of whole lines.

    Any chunking of the same bytes gives the same lines. An unfinished line waits as the chunks it came in: joining at
    every read would make one slow 1 MB line quadratic. Small ones are put together as they come, since of a line that
    dribbles in by single bytes the objects would weigh forty times the bytes. What is complete comes back in pieces
    that share memory with the chunks, for `writev` or one `join`: a copy of every byte costs as much as reading it.

    A line longer than `LINE_BYTES` is no longer its business: whoever feeds it asks `exceeds` first, and takes it.
    """

    __slots__ = ("_tail", "long", "name", "pending")

    def __init__(self, name: str = "") -> None:
        """Begin without a byte. `name` is what the lines' own source is called, where a source reads several."""
        self.name = name
        self._tail: list[bytes | bytearray] = []
        self.pending = 0
        """Bytes of the unfinished line."""
        self.long: LongLine | None = None
        """What the next bytes belong to, up to a newline: for whoever feeds it."""

    def exceeds(self, chunk: Chunk, limit: int) -> bool:
        """Whether the unfinished line is longer than `limit` with what the chunk adds to it."""
        if self.pending + len(chunk) <= limit:
            return False
        end = bytes(chunk).find(b"\n")
        return self.pending + (len(chunk) if end < 0 else end) > limit

    def feed(self, chunk: Chunk) -> list[bytes | bytearray | memoryview]:
        """Return the lines that `chunk` completes, in pieces that form one block, or `[]`."""
        cut = _last_end(chunk)
        if not cut:
            if chunk:
                self._keep(bytes(chunk))
            return []
        pieces: list[bytes | bytearray | memoryview] = [*self._tail]
        self._tail = []
        self.pending = 0
        if cut == len(chunk):
            pieces.append(chunk)
        else:
            pieces.append(memoryview(chunk)[:cut])
            self._keep(bytes(chunk[cut:]))
        return pieces

    def _keep(self, chunk: bytes) -> None:
        self.pending += len(chunk)
        tail = self._tail
        if len(chunk) >= _SMALL_BYTES:
            tail.append(chunk)
        elif tail and isinstance(tail[-1], bytearray) and len(tail[-1]) < _JOINED_BYTES:
            tail[-1] += chunk
        else:
            tail.append(bytearray(chunk))

    def flush(self) -> bytes:
        """Return the unfinished line, which has no newline, and forget it: its writer is gone, or it is too long."""
        return b"".join(self.take())

    def take(self) -> list[bytes | bytearray]:
        """Return the unfinished line in the pieces in which it came, and forget it."""
        tail, self._tail = self._tail, []
        self.pending = 0
        return tail


def _last_end(chunk: Chunk) -> int:
    """Return where the last line of a chunk ends, behind its newline; 0 where none does."""
    if isinstance(chunk, bytes):
        return chunk.rfind(b"\n") + 1
    end = len(chunk)
    while end:
        begin = max(0, end - _SMALL_BYTES)
        found = bytes(chunk[begin:end]).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
