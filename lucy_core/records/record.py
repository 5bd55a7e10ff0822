"""The values that walk down the pipeline: blocks, records, events, and places among them.

Bytes first, objects late: a `Block` is whole lines as a node wrote them, a `Record` is one of them, read as far as
somebody asked, and an `Event` is made only for somebody who asked for that type.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from lucy_core.records.keys import key_of
from lucy_core.records.severity import Severity

T_co = TypeVar("T_co", covariant=True)

_SUFFIX = "(?:c|css|git|go|gz|html?|js|json|log|md|png|py|rs|sh|toml|ts|txt|xml|ya?ml|zip)"
_goes_on = re.compile(
    r"\s|$|[\])}]+[,;]?$"
    # Java and .NET
    r"|(?:Caused|Wrapped) by: |Suppressed: |\.\.\. \d+ (?:more|common frames)|--- End of "
    # Go
    r"|goroutine \d+ [^\[]{0,80}\[|created by [\w.~-]+[./]|exit status \d+$|\[signal \w+|r[a-z0-9]{1,5} +0x[0-9a-f]+$"
    r"|(?=panic\(|[^\s(]*\.)(?:[\w~%/·-]++|\.\(\*\w++\)|\[\.\.\.\]|\.)++\((?=[)_{]|0x|\.\.\.)[^()]*+\)$"
    # ... as zap's console has them: functions' names alone, which are no files'
    rf"|(?!.*\.{_SUFFIX}$)(?:(?:main|runtime|testing)\.\w[\w.]*|(?:[\w-]+\.)+\w+/[\w./~%-]+\.\w+)$"
    r"|[\w./~%-]+\.\(\*\w+\)\.\w[\w.]*$|[a-z]\w*/[\w/]+\.[A-Z][\w.]*$"
    # Rust and Node.js
    r"|stack backtrace:$|note: (?:run with|Some details|.*RUST_BACKTRACE)|Node\.js v\d"
).match
"""What nothing begins with: blank, indented, closing, or as only stack traces go on."""
_names_error = re.compile(
    # Python, with its chains; then what is thrown, as Python, Java, .NET and JavaScript say it.
    r"Traceback \(most recent call last\):$|During handling of the above exception, another exception occurred:$"
    r"|The above exception was the direct cause of the following exception:$"
    r"|(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit|Failure|Iteration)|Exception)(?:Group)?"
    r"(?:\$\w+)?(?: \[\w+\])?(?::|$)"
    r"|(?:[A-Za-z_]\w*\.)+[A-Z][\w$]*: "
).match
"""What a stack trace has that says which error it is of."""


class Record(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One line, read: what every format gives. A record of this very type is a plain line, which says no more.

    What a format's own records have besides is read when it is asked for.
    """

    raw: bytes
    """The line's bytes, without its newline."""
    text: str
    """What the line says to people: its message. A template where the format logs templates and their `fields`."""
    id: str | None = None
    """What identifies lines of its kind, where the format has that."""

    @property
    def kind(self) -> str:
        """What kind of line it is: `text`, `json (zap)`."""
        return "text"

    @property
    def severity(self) -> Severity:
        """How much it matters; `UNSPECIFIED` where it doesn't say so, or by a word that nobody knows."""
        return Severity.UNSPECIFIED

    @property
    def severity_text(self) -> str:
        """The format's own word for that, as it is spelt; empty where there is none."""
        return ""

    @property
    def time(self) -> datetime | None:
        """The node's own clock, or None where the line has no readable time."""
        return None

    @property
    def fields(self) -> Mapping[str, Any]:
        """What it says as names and values.

        Raises:
            ValueError, RecursionError: they can't be read, which shows only when somebody asks.
        """
        return {}

    @property
    def extra(self) -> Mapping[str, Any]:
        """What else the line has: where it was logged, by whom, what a wrapper around it said. Raises as `fields`."""
        return {}

    @property
    def payload(self) -> msgspec.Raw | bytes | None:
        """The `fields` as JSON, where the line has them so: an event's data is decoded of it without a detour."""
        return None

    @property
    def document(self) -> Mapping[str, Any]:
        """The line as names and values, for filters: its own where it has any. Raises as `fields`."""
        known = {"message": self.text, "level": self.severity_text or None, "event_id": self.id}
        return {**{name: value for name, value in known.items() if value is not None}, **self.extra, **self.fields}

    @property
    def continues(self) -> bool:
        """Whether it goes on with the record before: blank, indented, or as stack traces and panics go on."""
        if type(self) is not Record:
            return False
        return _goes_on(self.text) is not None or _names_error(self.text) is not None

    @property
    def is_unleveled(self) -> bool:
        """Whether nobody can say how much it matters, so that it may be an error.

        What goes on with the record before matters as that does; but a line that names an error, as stack traces do,
        may come of itself, with no record before it.
        """
        return not self.severity and (not self.continues or _names_error(self.text) is not None)


def plain_record(line: bytes) -> Record:
    """Make a record of a line that is text and nothing more; bytes that are no UTF-8 are shown as escapes."""
    return Record(raw=line, text=line.decode(errors="backslashreplace").rstrip("\r"))


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
    source: str = ""
    """Which of several sources of its node it came from."""

    @property
    def key(self) -> str:
        """What the recording calls that source."""
        return key_of(self.node, self.source)


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line, unread: who wrote it, where it stands in the run, and its bytes without the newline."""

    node: str
    """Who wrote it."""
    position: int
    """Its place in the run's single order of arrival."""
    arrived_ns: int
    """When Lucy read it, in nanoseconds since the epoch."""
    raw: bytes
    """Its bytes, without the newline."""
    source: str = ""
    """Which of several sources of its node it came from: `stdout`, `stderr`, or a file of `NodeSpec.logs`."""


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """A line that its format can't read: `raw` is kept whole, and so are its neighbours.

    Only of a line of more than 72 MiB `raw` is the beginning alone, and `reason` says where the rest is.
    """

    node: str
    """Who wrote it."""
    position: int
    """Its place in the run's single order of arrival."""
    arrived_ns: int
    """When Lucy read it, in nanoseconds since the epoch."""
    raw: bytes
    """Its bytes, without the newline."""
    reason: str
    """Why its format can't read it."""
    torn: bool = False
    """Whether its writer ended in its middle: then it says nothing of the writer's format."""
    source: str = ""
    """Which of several sources of its node it came from: `stdout`, `stderr`, or a file of `NodeSpec.logs`."""


class Event(msgspec.Struct, Generic[T_co], frozen=True):
    """A record given its type: who wrote it, where it stands in the run, and its typed `data`.

    A stream of records is a stream of `Event[Record]`: `data` is then the record itself.
    """

    node: str
    """Who wrote it; `lucy` for Lucy's own."""
    position: int
    """Its place in the run's single order of arrival."""
    arrived_ns: int
    """When Lucy read it, in nanoseconds since the epoch."""
    record: Record
    """The line itself, read."""
    data: T_co
    """What its type makes of the record."""
    source: str = ""
    """Which of several sources of its node it came from: `stdout`, `stderr`, or a file of `NodeSpec.logs`. Empty where
    its node has but one, and for what such a node writes to both."""

    @property
    def timestamp(self) -> datetime | None:
        """The node's own clock, as written in the line."""
        return self.record.time


class Arrived(msgspec.Struct, frozen=True):
    """That lines of a node arrived, whatever they say: the `data` of an event that stands for a whole block."""

    lines: int
    """How many."""
    raw: bytes = b""
    """The lines as the node wrote them, with their newlines."""


class Undecodable(msgspec.Struct, frozen=True):
    """A record that says it is of a type, with a payload that isn't: counted and delivered, never raised."""

    node: str
    """Who wrote it."""
    position: int
    """Its place in the run's single order of arrival."""
    arrived_ns: int
    """When Lucy read it, in nanoseconds since the epoch."""
    record: Record
    """The line itself, read."""
    event_type: str
    """The name of the type that it says it is of."""
    reason: str
    """Why its payload isn't of that type."""
    source: str = ""
    """Which of several sources of its node it came from: `stdout`, `stderr`, or a file of `NodeSpec.logs`."""


class Mark(msgspec.Struct, frozen=True, order=True):
    """A place in the run's single order of arrival: everything before `position` had arrived."""

    position: int
    """That of the next line to arrive, when it was taken."""
    run: int = 0
    """Which run: when its recording began, in nanoseconds since the epoch. Live and replayed, a run has the same."""
