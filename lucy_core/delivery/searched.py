"""What searches found of each source's lines, for the audit to hold against what reading every line finds. Sans-IO."""

from typing import Any, final

import msgspec

from lucy_core.capturing import searching
from lucy_core.delivery.interests.matching import Matcher
from lucy_core.formats.contract import Batch, Format
from lucy_core.recording.rows import Row
from lucy_core.records.event import EventType
from lucy_core.records.record import Block

STRETCH_BYTES = 1 << 26
"""How much of a log is judged at once. An audit whose time is up has judged all that it had read to their ends."""


class Stretch(msgspec.Struct):
    """Part of a log in which lines of the same types were searched for."""

    position: int
    """Of its first line."""
    start: int
    """Where it begins in the log."""
    stop: int
    log_format: Format
    kinds: tuple[EventType[Any], ...]
    events: int = 0
    """How often a line was of one of the types."""


@final
class Searched:
    """The stretches since the last audit, by source. They grow with the log, and where subscriptions come and go."""

    def __init__(self) -> None:
        self._stretches: dict[str, list[Stretch]] = {}

    def add(self, row: Row, matcher: Matcher, events: int) -> None:
        """Take note of what was found in a row's block."""
        stretches = self._stretches.setdefault(row.node, [])
        last = stretches[-1] if stretches else None
        if last is None or not _goes_on(last, row, matcher):
            last = Stretch(row.position, row.offset, row.offset, matcher.log_format, matcher.kinds)
            stretches.append(last)
        last.stop = row.offset + row.bytes
        last.events += events

    def take(self) -> dict[str, list[Stretch]]:
        """Hand over what was found, and begin anew."""
        taken, self._stretches = self._stretches, {}
        return taken


def _goes_on(stretch: Stretch, row: Row, matcher: Matcher) -> bool:
    is_next = stretch.stop == row.offset and stretch.stop - stretch.start < STRETCH_BYTES
    return is_next and matcher.is_of(stretch.kinds, stretch.log_format)


@final
class Check:
    """Counts again what a source's stretches have, by reading every line, and by no search that may be at fault."""

    def __init__(self, stretches: list[Stretch], log_format: Format) -> None:
        self.log_format = log_format
        """In which the lines are to be read, whatever is chosen meanwhile."""
        self._left = stretches[::-1]
        self._matcher: Matcher | None = None
        self._count = 0
        self.missed: list[tuple[int, int, int]] = []
        """Where a search was wrong: the position, how many events it found, and how many there are."""

    @property
    def left(self) -> list[Stretch]:
        """The stretches that aren't judged."""
        return self._left[::-1]

    def take(self, row: Row, block: Block, batch: Batch) -> None:
        """Count what a row's block has, all of which was read. Rows come in their order."""
        while self._left and self._left[-1].stop <= row.offset:
            self.close()
        if self._left and self._left[-1].start <= row.offset:
            stretch = self._left[-1]
            if self._matcher is None:
                self._matcher = Matcher(stretch.kinds, stretch.log_format, by=searching.BYTES)
            if stretch.log_format is not self.log_format:  # it was chosen later
                batch = stretch.log_format.read_block(block)
            self._count += self._matcher.count(batch)

    def close(self) -> None:
        """Judge the stretch that was read last."""
        if self._left:
            stretch = self._left.pop()
            if stretch.events != self._count:
                self.missed.append((stretch.position, stretch.events, self._count))
        self._matcher, self._count = None, 0
