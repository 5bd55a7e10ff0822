"""The bell of a recording that grows, as its reader hears it.

It is an eventfd, and heard by one reader of the loop's for as long as somebody listens. `anyio.wait_readable` registers
one for each wait and takes it away again. At a pace at which each line is a row of its own that is paid for each line:
a ring and a wait took 12.3 us of processor time on asyncio where they take 5.1 so, and 7.3 on uvloop in place of 2.6.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from typing import final


@final
class Bell:
    """Says that there was a ring since the last wait. Rings while nobody waits are one."""

    def __init__(self, fd: int) -> None:
        """Hear an eventfd that doesn't block; it stays its owner's."""
        self._fd = fd
        self._rung = asyncio.Event()

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Listen, on the loop that runs now, for the length of a block."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._fd, self._hear)
        try:
            yield
        finally:
            loop.remove_reader(self._fd)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)
        self._rung.set()

    async def wait(self) -> None:
        """Wait for a ring. What was written before it can be read now. No checkpoint where it has rung meanwhile."""
        await self._rung.wait()
        self._rung.clear()
