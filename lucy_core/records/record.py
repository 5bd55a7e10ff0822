"""The values that walk down the pipeline: blocks, records, events, and places among them.

Bytes first, objects late: a `Block` is whole lines as a node wrote them, a `LogRecord` is the envelope of one line
with its `metadata` still raw, and an `Event` is made only for somebody who asked for that type.
"""

import enum
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Generic, TypeVar

import msgspec

T_co = TypeVar("T_co", covariant=True)


class Level(enum.IntEnum):
    """How much a log line matters, least first, as Mina spells and orders it (its `logger.ml`)."""

    INTERNAL = 0
    SPAM = 1
    TRACE = 2
    DEBUG = 3
    INFO = 4
    WARN = 5
    ERROR = 6
    FAULTY_PEER = 7
    FATAL = 8

    @classmethod
    def parse(cls, text: str) -> "Level":
        """Read a level in any case.

        Raises:
            ValueError: no level is spelt so.
        """
        try:
            return cls[text.upper()]
        except KeyError:
            known = ", ".join(level.name.capitalize() for level in cls)
            raise ValueError(f"{text!r} is no level; levels are {known}") from None


LEVELS = {spelling: level for level in Level for spelling in (level.name.capitalize(), level.name.lower(), level.name)}
"""Every spelling a line may use, so that the hot path needs one look-up."""


_match_time = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[Tt ](\d\d):?(\d\d):?(\d\d)(?:[.,](\d+))?"
    r"(?: ?(?:(?P<utc>[Zz]|UTC)|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)(?: UTC)?))?",
    re.ASCII,
).fullmatch


def read_time(text: str) -> datetime | None:
    """Read a date with a time of day, as ISO 8601, RFC 3339, Mina or Go write it; None for anything else.

    Without a zone it is taken for UTC. A number alone is none: `1712123112345` may be milliseconds, and ISO 8601 would
    have it in the year 1712. Nor is a second 60, or a time that UTC has no year for: a time is right or it isn't there.
    """
    found = _match_time(text)
    if found is None:
        return None
    offset = timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))
    micros = int(((found[7] or "") + "000000")[:6])
    try:
        zone = UTC if not offset else timezone(-offset if found["sign"] == "-" else offset)
        year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
        time = datetime(year, month, day, hour, minute, second, micros, tzinfo=zone)
        time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """The envelope of one log line.

    Only `message` must be there: extra keys are ignored and the others have defaults, since a log is never quite what
    its format promises. One of another type than here is as if it weren't there. `metadata` and `source` stay raw JSON
    that points into the block; decode them on demand.
    """

    message: str
    timestamp: str = ""
    level: str = "Info"
    source: msgspec.Raw = msgspec.Raw(b"null")
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    event_id: str | None = None
    puppeteer_event_type: str | None = None

    @property
    def severity(self) -> Level:
        """The level as a number; a spelling that nobody knows counts as `INFO`."""
        return LEVELS.get(self.level, Level.INFO)

    @property
    def time(self) -> datetime | None:
        """The node's own clock, or None where the line has no readable time."""
        return read_time(self.timestamp)


class Block(msgspec.Struct, frozen=True, gc=False):
    """Whole lines of one node, in the order and with the bytes that it wrote.

    `data` ends in a newline, except where the writer ended in mid-line: then `torn` is true and the last line has none.
    """

    node: str
    position: int
    """The place of the first line in the run's single order of arrival; the others follow without gaps."""
    offset: int
    """Where `data` starts in the node's own log."""
    lines: int
    arrived_ns: int
    """When Lucy read it, in nanoseconds since the epoch."""
    data: bytes
    torn: bool = False
    overlong: int = 0
    """The length of the one line that it stands for, where that is too long to be given: `data` is its beginning."""


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """A line that is no record: `raw` is kept whole, and so are its neighbours.

    Only of a line of more than 72 MiB `raw` is the beginning alone, and `reason` says where the rest is.
    """

    node: str
    position: int
    arrived_ns: int
    raw: bytes
    reason: str


class Event(msgspec.Struct, Generic[T_co], frozen=True):
    """A record given its type: who wrote it, where it stands in the run, and its typed `data`.

    A stream of records is a stream of `Event[LogRecord]`: `data` is then the envelope itself.
    """

    node: str
    position: int
    arrived_ns: int
    record: LogRecord
    data: T_co

    @property
    def timestamp(self) -> datetime | None:
        """The node's own clock, as written in the line."""
        return self.record.time


class Arrived(msgspec.Struct, frozen=True):
    """That lines of a node arrived, whatever they say: the `data` of an event that stands for a whole block."""

    lines: int
    raw: bytes = b""
    """The lines as the node wrote them, with their newlines."""


class Undecodable(msgspec.Struct, frozen=True):
    """A record that says it is of a type, with a payload that isn't: counted and delivered, never raised."""

    node: str
    position: int
    arrived_ns: int
    record: LogRecord
    event_type: str
    reason: str


class Mark(msgspec.Struct, frozen=True, order=True):
    """A place in the run's single order of arrival: everything before `position` had arrived."""

    position: int
    run: int = 0
    """Which run: when its recording began, in nanoseconds since the epoch. Live and replayed, a run has the same."""
