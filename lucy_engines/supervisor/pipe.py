"""The way out of a container through a FIFO, or through stderr. Nothing here waits.

Standard library only, Python 3.7 or newer: the puppeteer loads it inside of a container.
"""

from __future__ import annotations

import os
import select
from collections import deque


class Pipe:
    """What is put here is taken by the kernel, or waits."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._pieces = deque()  # type: deque[bytes]
        self._broken = False
        self.backlog = 0
        self.lost = 0
        """How many bytes were given up, since nobody reads them any more."""

    def put(self, piece: bytes) -> None:
        """Queue bytes; up to 4,096 of them are written whole or not at all."""
        if self._broken:
            self.lost += len(piece)
            return
        self._pieces.append(piece)
        self.backlog += len(piece)

    def turn(self) -> None:
        """Write what can be written now; where nobody reads any more, count what can't be."""
        while self._pieces:
            piece = self._pieces[0]
            try:
                written = os.write(self._descriptor, piece)
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._broken = True
                self.lost, self.backlog = self.lost + self.backlog, 0
                self._pieces.clear()
                return
            self.backlog -= written
            if written == len(piece):
                self._pieces.popleft()
            else:
                self._pieces[0] = piece[written:]

    def interests(self) -> dict[int, int]:
        return {self._descriptor: select.POLLOUT} if self._pieces else {}

    def patience(self) -> float:
        """Return how many seconds `turn` may be put off."""
        return float("inf")

    def end(self) -> None:
        """Take note that nothing more will be put here."""

    @property
    def finished(self) -> bool:
        return not self._pieces

    def close(self) -> None:
        # What is written to this process's stderr next, a mark, waits for room rather than getting lost.
        os.set_blocking(self._descriptor, True)
        os.close(self._descriptor)
