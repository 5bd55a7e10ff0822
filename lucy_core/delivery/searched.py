"""What searches found of each source's lines, for the audit to hold against what reading every line finds. Sans-IO.

All searches are noted, of lines that came and of lines that were read back. What is searched again for the same types
is noted once: the same bytes give the same.
"""

import bisect
from operator import attrgetter
from typing import Any, final

import msgspec

from lucy_core.capturing import searching
from lucy_core.delivery.interests.matching import Matcher
from lucy_core.formats.contract import Batch, Format
from lucy_core.recording.rows import Row
from lucy_core.records.event import EventType

STRETCH_BYTES = 1 << 26
"""How much of a log is judged at once. An audit whose time is up has judged all that it had read to their ends."""
_start_of = attrgetter("start")


class Stretch(msgspec.Struct):
    """Part of a log that was searched."""

    position: int
    """Of its first line."""
    start: int
    """Where it begins in the log."""
    stop: int
    events: int
    """How often a line was of one of the types."""


@final
class Ground:
    """What was searched of a source's log for the same types."""

    __slots__ = ("key", "kinds", "log_format", "stretches")

    def __init__(self, key: str, matcher: Matcher) -> None:
        self.key = key
        """The source's."""
        self.kinds: tuple[EventType[Any], ...] = matcher.kinds
        self.log_format: Format = matcher.log_format
        self.stretches: list[Stretch] = []
        """In the log's order, none over another."""

    def add(self, row: Row, events: int, *, is_whole: bool) -> None:
        """Take note of what was found in a row's block, unless it is known, or all of it was read and nobody asks."""
        start, stop = row.offset, row.offset + row.bytes
        at = bisect.bisect_right(self.stretches, start, key=_start_of)
        if at:
            before = self.stretches[at - 1]
            if stop <= before.stop:
                return
            if before.stop == start and start - before.start < STRETCH_BYTES:
                before.stop = stop
                before.events += events
                return
        if not is_whole:
            self.stretches.insert(at, Stretch(row.position, start, stop, events))


@final
class Searched:
    """What was searched since the last audit. It grows with the logs, and where subscriptions come and go."""

    def __init__(self) -> None:
        self._grounds: dict[tuple[str, tuple[EventType[Any], ...], int], Ground] = {}

    def add(self, row: Row, matcher: Matcher, events: int, *, is_whole: bool) -> None:
        """Take note of what was found in a row's block, and whether all of its lines were read."""
        place = row.node, matcher.kinds, id(matcher.log_format)
        ground = self._grounds.get(place)
        if ground is None:
            ground = self._grounds[place] = Ground(row.node, matcher)
        ground.add(row, events, is_whole=is_whole)

    def take(self) -> list[Ground]:
        """Hand over what was found, and begin anew."""
        taken, self._grounds = [ground for ground in self._grounds.values() if ground.stretches], {}
        return taken


@final
class Check:
    """Counts again what was searched, by reading every line, and by no search that may be at fault."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        """What isn't judged yet of it."""
        self._matcher = Matcher(ground.kinds, ground.log_format, by=searching.BYTES)
        self._count = 0
        self.missed: list[tuple[int, int, int]] = []
        """Where a search was wrong: the position, how many events it found, and how many there are."""

    def asks_for(self, row: Row) -> bool:
        """Tell whether a row's block was searched. Rows come in their order."""
        stretches = self.ground.stretches
        while stretches and stretches[0].stop <= row.offset:
            self._judge()
        return bool(stretches) and stretches[0].start <= row.offset

    def take(self, batch: Batch) -> None:
        """Count what a block has that it asked for, all of which was read."""
        self._count += self._matcher.count(batch)

    def close(self) -> None:
        """Judge what was read last: there are no more rows."""
        if self.ground.stretches:
            self._judge()

    def _judge(self) -> None:
        stretch = self.ground.stretches.pop(0)
        if stretch.events != self._count:
            self.missed.append((stretch.position, stretch.events, self._count))
        self._count = 0
