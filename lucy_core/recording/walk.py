"""The one walk over a recording's rows, for whoever reads it: in turns, between which others have theirs.

A turn is measured in the bytes that were read for it. Rows alone are no measure: what is read of the arrivals at a time
holds some 500 rows, and these may stand for 128 MB of lines.
"""

from collections.abc import Iterator
from typing import final

import anyio.lowlevel

from lucy_core.recording.recording import Cursor, Recording
from lucy_core.recording.rows import Row

TURN_BYTES = 1 << 19
"""What is read in one turn of the loop, so that the test's own tasks get theirs: half a millisecond of work."""
ROW_COST = 2048
"""What a row weighs in a turn beside the bytes of its block: itself, a read, some calls."""


@final
class Walk:
    """A reader's way through the rows, from a position on.

    `while await walk.turn(): for row in walk.blocks(): ...`, with `walk.spend(row.bytes)` for each block that is read.
    Its end is one for now: while the run lasts, `turn` may find more later.
    """

    __slots__ = ("_at", "_cursor", "_recording", "_rows", "_spent", "_turn_bytes")

    def __init__(self, recording: Recording, position: int = 0, *, turn_bytes: int = TURN_BYTES) -> None:
        """Begin at the row that holds a position, or behind the last one where it hasn't come yet."""
        self._recording = recording
        self._cursor = recording.cursor_at(position) if position else Cursor()
        self._turn_bytes = turn_bytes
        self._rows: list[Row] = []
        self._at = 0
        self._spent = 0

    async def turn(self) -> bool:
        """Let others have their turn if this one's is over; return whether a row follows now.

        Raises:
            RecordingError: that row can't be read.
        """
        if self._spent > self._turn_bytes:
            self._spent = 0
            await anyio.lowlevel.checkpoint()
        return self._has_more()

    def rows(self) -> Iterator[Row]:
        """Give the rows that follow, of blocks and of facts, until the turn is over or there are none for now.

        Raises:
            RecordingError: a row can't be read.
        """
        while self._spent <= self._turn_bytes and self._has_more():
            row = self._rows[self._at]
            self._at += 1
            self._spent += ROW_COST
            yield row

    def blocks(self) -> Iterator[Row]:
        return (row for row in self.rows() if row.fact is None)

    def spend(self, bytes_read: int) -> None:
        """Say how much was read for a row."""
        self._spent += bytes_read

    @property
    def offset(self) -> int:
        """Where in the arrivals those rows end that were read so far."""
        return self._cursor.offset

    def _has_more(self) -> bool:
        if self._at == len(self._rows):
            self._rows, self._at = self._recording.entries(self._cursor), 0
        return bool(self._rows)
