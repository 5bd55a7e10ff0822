"""Lines of text by a regular expression of the caller's. Sans-IO."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, final

from lucy_core.arguments import optional, readable_text
from lucy_core.errors import ArgumentError
from lucy_core.formats.contract import Format
from lucy_core.formats.levels import LEVELS
from lucy_core.formats.shapes import TextRecord
from lucy_core.formats.stamped import StampedFormat
from lucy_core.records.colours import readable
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity, severity_of

_text_or_none = optional(readable_text)


@final
class TextFormat(Format):
    r"""Reads lines of text by a regular expression with named groups.

    ::

        lucy.log_format("text", pattern=r"(?P<time>\S+) (?P<level>[A-Z]) (?P<member>\w+): (?P<text>.*)")

    The expression has to match from a line's beginning. Of its groups `text` (or `message`) is what the line says,
    `level` its severity and `time` its time; all others are fields, where they matched. Without a group `text` the line
    says all that it has. A line that the expression doesn't match is a plain record.
    """

    name = "text"

    def __init__(
        self,
        pattern: str | re.Pattern[str] | None = None,
        *,
        levels: Mapping[str, Severity | str | int] | None = None,
        time: str | None = None,
    ) -> None:
        r"""Make one.

        Args:
            pattern: the regular expression; None is for lines with a time or a severity in front, as most software
                writes them by itself: `2026-12-01 10:00:00 [error] text`.
            levels: what words in the group `level` mean: severities, or their names. Words that aren't here mean what
                they mean in software at large; one that nobody knows is `UNSPECIFIED`.
            time: how the group `time` is written, as `datetime.strptime` takes it: `"%d.%m.%Y %H:%M:%S"`. None is any
                of the usual spellings. A time without a zone is UTC.

        Raises:
            ArgumentError: the pattern is no regular expression, or something isn't of this kind.
        """
        self._stamped = None if pattern is not None else StampedFormat()
        self._pattern = _compiled(pattern)
        self._levels: dict[str, Severity] = LEVELS(levels, "levels") or {}
        self._spelling = _spelling(time)

    @property
    def options(self) -> Mapping[str, Any]:
        given = {
            "pattern": None if self._pattern is None else _spelt(self._pattern),
            "levels": {word: level.name for word, level in self._levels.items()} or None,
            "time": self._spelling,
        }
        return {name: value for name, value in given.items() if value is not None}

    def read(self, line: bytes) -> Record:
        text = readable(line)
        if self._pattern is None:
            found = self._stamped.recognised(line, text) if self._stamped is not None else None
            return found or Record(raw=line, text=text)
        match = self._pattern.match(text)
        if match is None:
            return Record(raw=line, text=text)
        named = {name: value for name, value in match.groupdict().items() if value is not None}
        word = named.pop("level", "")
        stamp = named.pop("time", "")
        says = named.pop("text", None)
        if says is None:
            says = named.pop("message", text)
        level = self._levels.get(word)
        return TextRecord(
            raw=line,
            text=says,
            shape=self.name,
            level=severity_of(word) if level is None else level,
            word=word,
            stamp=stamp if self._spelling is None else _time(stamp, self._spelling) or "",
            named=named,
        )


def _compiled(pattern: Any) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    if isinstance(pattern, re.Pattern):
        if not isinstance(pattern.pattern, str):
            raise ArgumentError("pattern", pattern, "is an expression for bytes; give one for text")
        return pattern
    try:
        return re.compile(readable_text(pattern, "pattern"))
    except (re.error, RecursionError, OverflowError) as error:
        raise ArgumentError("pattern", pattern, f"is no regular expression: {error}") from error


def _spelt(pattern: re.Pattern[str]) -> str:
    """Return an expression as text alone: its flags inside it."""
    flags = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "a": re.ASCII}
    plain = re.compile(pattern.pattern).flags if not pattern.flags & re.VERBOSE else 0
    missing = "".join(letter for letter, flag in flags.items() if pattern.flags & flag and not plain & flag)
    return f"(?{missing}){pattern.pattern}" if missing else pattern.pattern


def _spelling(value: Any) -> str | None:
    spelling: str | None = _text_or_none(value, "time")
    if spelling is not None:
        try:
            datetime.strptime(datetime.now(UTC).strftime(spelling), spelling).replace(tzinfo=UTC)
        except (ValueError, re.error) as error:
            raise ArgumentError("time", spelling, f"is no format of strptime: {error}") from error
    return spelling


def _time(stamp: str, spelling: str) -> datetime | None:
    try:
        found = datetime.strptime(stamp, spelling)  # noqa: DTZ007  # the zone, where there is none, is said below
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found
