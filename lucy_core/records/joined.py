"""Records of several lines: a message, and the stack trace that goes on with it. Sans-IO."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, final

import msgspec

from lucy_core.records.keys import key_of
from lucy_core.records.record import Event, Record
from lucy_core.records.severity import Severity

_announces = re.compile(r"thread '.*' (?:\(\d+\) )?panicked at [^\n]+:\d+:\d+:$").match
"""What Rust says of a panic before its message, which is the next line, whatever that is."""
MOST_BYTES = 1 << 20
"""How long a record may become: where lines go on for ever, what comes then is a record of its own."""


class JoinedRecord(Record, frozen=True, gc=False, kw_only=True):
    """A record with the lines that go on with it: `text` and `raw` are all of theirs, the rest is the first line's."""

    head: Record
    """The first line, as it was read."""
    more: tuple[Record, ...]
    """The lines that go on with it, as they were read."""

    @property
    def kind(self) -> str:
        return self.head.kind

    @property
    def severity(self) -> Severity:
        return self.head.severity

    @property
    def severity_text(self) -> str:
        return self.head.severity_text

    @property
    def time(self) -> datetime | None:
        return self.head.time

    @property
    def fields(self) -> Mapping[str, Any]:
        return self.head.fields

    @property
    def extra(self) -> Mapping[str, Any]:
        return self.head.extra

    @property
    def payload(self) -> msgspec.Raw | bytes | None:
        return self.head.payload

    @property
    def document(self) -> Mapping[str, Any]:
        return self.head.document

    @property
    def continues(self) -> bool:
        return self.head.continues

    @property
    def is_unleveled(self) -> bool:
        # What goes on with a line that only goes on itself has no record before it, whose severity would count.
        return not self.severity and any(each.is_unleveled for each in (self.head, *self.more))


@final
class Joiner:
    """Joins records that go on with one before them to that one, each source's by themselves.

    A record is whole when its source's next begins. Of each source the order stays, and a whole record has the position
    of its first line; of several sources one that begins earlier may be whole later.
    """

    __slots__ = ("_begun", "_bytes")

    def __init__(self) -> None:
        self._begun: dict[str, list[Event[Record]]] = {}
        """By source: the lines of the record that may go on."""
        self._bytes: dict[str, int] = {}
        """How long each of these is."""

    def take(self, event: Event[Record]) -> Event[Record] | None:
        """Take a source's next record, and return the one before it if that is whole now."""
        key = key_of(event.node, event.source)
        begun = self._begun.get(key)
        size = len(event.record.raw)
        if begun is not None and _goes_on(begun, event.record) and self._bytes[key] + size <= MOST_BYTES:
            begun.append(event)
            self._bytes[key] += size
            return None
        self._begun[key] = [event]
        self._bytes[key] = size
        return None if begun is None else _whole(begun)

    def rest(self) -> list[Event[Record]]:
        """Return what has begun, in the order of arrival: nothing more comes."""
        begun, self._begun = self._begun, {}
        return sorted(map(_whole, begun.values()), key=lambda event: event.position)


def _goes_on(begun: list[Event[Record]], record: Record) -> bool:
    return record.continues or (type(record) is Record and _announces(begun[-1].record.text) is not None)


def _whole(lines: list[Event[Record]]) -> Event[Record]:
    first = lines[0]
    if len(lines) == 1:
        return first
    records = [line.record for line in lines]
    joined = JoinedRecord(
        raw=b"\n".join(record.raw for record in records),
        text="\n".join(record.text for record in records),
        id=first.record.id,
        head=first.record,
        more=tuple(records[1:]),
    )
    return Event(first.node, first.position, first.arrived_ns, joined, joined, first.source)
