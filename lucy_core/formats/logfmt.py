"""Lines of pairs: `level=info msg="peer banned" peer=a7`, as logrus, go-kit, slog and Heroku write them. Sans-IO."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, final

from lucy_core.arguments import optional, readable_text
from lucy_core.formats.pairs import read_pairs
from lucy_core.formats.shapes import TextRecord, TextualFormat
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity, severity_of
from lucy_core.records.times import read_time_value

MESSAGES = ("msg", "message")
LEVELS = ("level", "lvl", "severity", "at")
TIMES = ("time", "ts", "timestamp", "t")
_HEROKUS = "at"
"""A key that means the severity only where its value is one."""
_name = optional(readable_text)


@final
class LogfmtFormat(TextualFormat):
    """Reads lines of pairs; one that doesn't begin with a pair, or has anything else in it, is a plain record.

    Where nothing is the message the whole line is the text. Values stay text, as they are spelt; a key that stands
    alone is True. Of several values of a key the last counts.
    """

    name = "logfmt"

    def __init__(self, *, message: str | None = None, level: str | None = None, time: str | None = None) -> None:
        """Make one.

        Args:
            message: the key of the message; None for `msg` or `message`.
            level: the key of the severity; None for `level`, `lvl`, `severity` or Heroku's `at`.
            time: the key of the time; None for `time`, `ts`, `timestamp` or `t`.

        Raises:
            ArgumentError: one of them is no text.
        """
        given = {"message": message, "level": level, "time": time}
        self._given = {name: key for name, key in given.items() if _name(key, name) is not None}
        self._messages = MESSAGES if message is None else (message,)
        self._levels = LEVELS if level is None else (level,)
        self._times = TIMES if time is None else (time,)

    @property
    def options(self) -> Mapping[str, Any]:
        return self._given

    def recognised(self, line: bytes, text: str) -> Record | None:
        equals = text.find("=")
        if equals <= 0 or any(map(str.isspace, text[:equals].lstrip())):
            return None
        pairs = read_pairs(text, bare_keys=True)
        if not pairs:
            return None
        message, word = _taken(pairs, self._messages), _taken(pairs, self._levels)
        return TextRecord(
            raw=line,
            text=text if message is None else message,
            shape=self.name,
            level=Severity.UNSPECIFIED if word is None else severity_of(word),
            word=word or "",
            stamp=_time(pairs, self._times) or "",
            named=pairs,
        )


def _taken(pairs: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = pairs.get(key)
        if isinstance(value, str) and (key != _HEROKUS or severity_of(value)):
            del pairs[key]
            return value
    return None


def _time(pairs: dict[str, Any], keys: tuple[str, ...]) -> datetime | None:
    """Take the time out. What can't be read as one is something else, such as how long it took: a field."""
    for key in keys:
        time = read_time_value(pairs.get(key))
        if time is not None:
            del pairs[key]
            return time
    return None
