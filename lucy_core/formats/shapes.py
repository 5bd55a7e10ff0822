"""Lines of text that have a shape: a regular expression whose named groups say what is what. Sans-IO.

A line that has none of its format's shapes is a plain record, never an error: it is text. In what follows a line's
*head* is what stands before its message (who wrote it, where), and goes to `extra`; what the message itself names goes
to `fields`. All of it stays text, as it is spelt: an event's Struct converts what it takes.
"""

import abc
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from lucy_core.formats.contract import Format
from lucy_core.records.colours import readable
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity, severity_of
from lucy_core.records.times import read_time_value

WORDS = "TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|SEVERE|CRIT(?:ICAL)?|ALERT|EMERG(?:ENCY)?|FATAL|PANIC"
"""Words of severity that a shape can go by, as part of a regular expression."""
MOMENT = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z\b|UTC\b|GMT\b|[+-]\d\d:?\d\d\b))?"
"""A date with a time of day, as part of a regular expression."""


class TextRecord(Record, frozen=True, gc=False, kw_only=True):
    """A line of text that has a shape."""

    shape: str
    """The name of the format whose shape it has."""
    level: Severity = Severity.UNSPECIFIED
    word: str = ""
    stamp: str | datetime = ""
    """Its time: as it is spelt, or read already."""
    head: Mapping[str, Any] = {}
    named: Mapping[str, Any] = {}

    @property
    def kind(self) -> str:
        return self.shape

    @property
    def severity(self) -> Severity:
        return self.level

    @property
    def severity_text(self) -> str:
        return self.word

    @property
    def time(self) -> datetime | None:
        return self.stamp if isinstance(self.stamp, datetime) else read_time_value(self.stamp)

    @property
    def fields(self) -> Mapping[str, Any]:
        return self.named

    @property
    def extra(self) -> Mapping[str, Any]:
        return self.head


class TextualFormat(Format):
    """Reads lines that have the format's shape; any other is a plain record."""

    begins: ClassVar[str] = ""
    """With which characters a line of the format can begin, so that others aren't even looked at; empty for any."""
    has: ClassVar[str] = ""
    """What stands in each of its lines, for the same: to look for it costs a twentieth of trying a shape."""

    @abc.abstractmethod
    def recognised(self, line: bytes, text: str) -> Record | None:
        """Read a line, given as its bytes and as readable text, or return None: it hasn't the shape. Never raises."""

    def read(self, line: bytes) -> Record:
        text = readable(line)
        return self.recognised(line, text) or Record(raw=line, text=text)


class ShapedFormat(TextualFormat):
    """Reads lines by regular expressions with the groups `text`, `level` and `time`; others are of the line's head.

    What has several places in a shape has its name with underscores behind it in the others: `level_`.
    """

    shapes: ClassVar[tuple[re.Pattern[str], ...]]
    """Tried in order; each has to match the whole line."""
    loose: ClassVar[tuple[re.Pattern[str], ...]] = ()
    """Shapes that lines of others have too, so that they count only where somebody says that it is this format."""
    levels: ClassVar[Mapping[str, Severity]] = {}
    """What its words mean where it isn't what they mean in software at large, or where nobody else has them."""

    def recognised(self, line: bytes, text: str) -> Record | None:
        return self._fitting(line, text, self.shapes)

    def recognised_as_named(self, line: bytes, text: str) -> Record | None:
        """Read a line of which somebody says that it is of this format: by the loose shapes too."""
        return self._fitting(line, text, (*self.shapes, *self.loose))

    def read(self, line: bytes) -> Record:
        text = readable(line)
        return self.recognised_as_named(line, text) or Record(raw=line, text=text)

    def _fitting(self, line: bytes, text: str, shapes: tuple[re.Pattern[str], ...]) -> Record | None:
        for each in shapes:
            found = each.fullmatch(text)
            if found is not None:
                return self.record(line, found)
        return None

    def record(self, line: bytes, found: re.Match[str]) -> Record:
        """Make a record of a line that has the shape."""
        head = {name.rstrip("_"): value for name, value in found.groupdict().items() if value}
        word = head.pop("level", "")
        return self.made(line, head.pop("text", ""), word, head.pop("time", ""), head)

    def made(
        self,
        line: bytes,
        text: str,
        word: str,
        stamp: str,
        head: Mapping[str, Any],
        named: Mapping[str, Any] | None = None,
    ) -> TextRecord:
        """Make a record of what was found in a line."""
        return TextRecord(
            raw=line,
            text=text,
            shape=self.name,
            level=self.severity(word),
            word=word,
            stamp=stamp,
            head=head,
            named={} if named is None else named,
        )

    def severity(self, word: str) -> Severity:
        """Return what one of its words means; `UNSPECIFIED` for one that nobody knows."""
        found = self.levels.get(word)
        return severity_of(word) if found is None else found


def shape(*parts: str) -> re.Pattern[str]:
    """Compile a line's shape, from parts that follow each other."""
    return re.compile("".join(parts), re.DOTALL)
