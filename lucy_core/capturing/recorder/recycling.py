"""Keeping a recording from eating the machine's memory. Standard library only, since the capture process loads it.

What is appended to a log goes to fresh pages of the page cache, and on a virtual machine those are dear: memory that
the guest has freed goes back to the host after two seconds, and each page taken anew costs a fault in the host.
Measured (ext4, 24 GiB, free page reporting on): 0.4 GB/s and 2.3 s of processor time a GB into pages that come from the
host, 5 GB/s and 0.2 s a GB into pages that the guest has just freed. A long recording took memory from everybody else
besides.

So what was written is told to the disk soon, in strides, and once Lucy has seen it its pages are given up: the kernel
takes those very pages for what comes next. That made it 1.9 to 3.3 GB/s and 0.45 s a GB, with the disk's work in it.
Whoever reads further back reads from the disk; what the live readers haven't seen stays in memory, or they would be
read back from the disk into pages just as dear (tried: a third slower in all). `posix_fadvise` does both halves: of
dirty pages it starts the writing back, of clean ones it gives up the memory. It may wait for a disk, so a thread calls
it, which holds nothing that capture waits for; where a disk can't follow, pages stay dirty, the advice does nothing,
and all is as without.

Not taken: files extended ahead into pages touched before they are needed (the touching costs the same 2.3 s a GB, only
earlier, and a flood outruns any reserve), and `O_DIRECT` (live readers would have to read from the disk).
"""

import contextlib
import os
import threading
from collections import deque
from queue import SimpleQueue
from typing import final

STRIDE_BYTES = 4 << 20
"""How much of a log is told to the disk at once."""
KEPT_BYTES = 32 << 20
"""How much of the newest stays in memory even when it was seen, over all logs: a wait that starts a moment ago reads it
from there. More would be paid at the host's price at the start of every recording."""

_Stride = tuple[int, int, int]
"""A descriptor, an offset, and the position in the run after the last line that is in it."""


@final
class Recycler:
    """Gives up the pages behind a recording's end. Descriptors that it was told of must stay open."""

    __slots__ = ("_begun", "_kept", "_told", "seen")

    def __init__(self) -> None:
        self.seen = 0
        """The position up to which Lucy has read; what is behind it may be given up."""
        self._begun: dict[int, int] = {}
        self._told: SimpleQueue[_Stride] | None = None
        self._kept: deque[_Stride] = deque()

    def wrote(self, fd: int, end: int, position: int) -> None:
        """Take note that a log now ends at `end`, with the line before `position`. Waits for nothing."""
        begun = self._begun.get(fd, 0)
        if end - begun < STRIDE_BYTES:
            return
        if self._told is None:
            # Not before there is something to do: most runs never write a stride.
            self._told = SimpleQueue()
            threading.Thread(target=self._work, args=(self._told,), daemon=True, name="recycling").start()
        while end - begun >= STRIDE_BYTES:
            self._told.put((fd, begun, position))
            begun += STRIDE_BYTES
        self._begun[fd] = begun

    def _work(self, told: "SimpleQueue[_Stride]") -> None:
        while True:
            self._advise(told.get())

    def _advise(self, stride: _Stride) -> None:
        """Have a stride written back, and give up those that are old enough."""
        _give_up(stride)
        kept = self._kept
        kept.append(stride)
        while len(kept) > KEPT_BYTES // STRIDE_BYTES and kept[0][2] <= self.seen:
            _give_up(kept.popleft())


def _give_up(stride: _Stride) -> None:
    with contextlib.suppress(OSError):  # it is advice; a full or broken disk is reported by the next write
        os.posix_fadvise(stride[0], stride[1], STRIDE_BYTES, os.POSIX_FADV_DONTNEED)
