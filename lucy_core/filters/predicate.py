"""A logproc filter as a predicate over what streams carry."""

from collections.abc import Callable, Mapping
from typing import Any, final

import msgspec

from lucy_core.arguments import text_of
from lucy_core.errors import FilterError
from lucy_core.filters.expressions import SearchLimitError
from lucy_core.filters.logproc import Filter, FilterSyntaxError
from lucy_core.records.record import Event, LogRecord

_FIELDS: dict[str, Callable[[LogRecord], Any]] = {
    "message": lambda record: record.message,
    "timestamp": lambda record: record.timestamp or None,
    "level": lambda record: record.level,
    "source": lambda record: msgspec.json.decode(record.source),
    "metadata": lambda record: msgspec.json.decode(record.metadata),
    "event_id": lambda record: record.event_id,
    "puppeteer_event_type": lambda record: record.puppeteer_event_type,
}
"""What an envelope keeps of its line, decoded only for a filter that asks for it."""


@final
class LogFilter:
    """A logproc filter: call it with an event, a record, a decoded line or a raw one."""

    __slots__ = ("_filter", "_getters", "_unknown")

    def __init__(self, text: str) -> None:
        text_of(text, "text")
        try:
            self._filter = Filter(text)
        except FilterSyntaxError as error:
            raise FilterError(text, str(error)) from error
        self._getters = tuple((name, _FIELDS[name]) for name in sorted(self._filter.fields & _FIELDS.keys()))
        self._unknown = ", ".join(sorted(self._filter.fields - _FIELDS.keys()))

    def __repr__(self) -> str:
        return f"logproc({self._filter.text!r})"

    def __call__(self, line: Event[Any] | LogRecord | Mapping[str, Any] | bytes | str) -> bool:
        """Tell whether it passes. What can't be read (a raw line that is no JSON object) does: no filter can judge it.

        Raises:
            FilterError: it asks a record for a field that only the raw line has, or a search for a regular expression
                took too much work.
        """
        try:
            return self._passes(line)
        except SearchLimitError as error:
            raise FilterError(self._filter.text, f"whether it holds can't be said: {error}") from error

    def _passes(self, line: Event[Any] | LogRecord | Mapping[str, Any] | bytes | str) -> bool:
        if isinstance(line, Event):
            line = line.record
        if isinstance(line, LogRecord):
            return self._keeps(line)
        if isinstance(line, bytes | str):
            return self._filter.keeps(line)
        return self._filter.matches(line)

    def _keeps(self, record: LogRecord) -> bool:
        if self._unknown:
            raise FilterError(
                self._filter.text,
                f"a record keeps {', '.join(_FIELDS)}; {self._unknown} can be asked for in raw lines alone",
            )
        try:
            values = {name: get(record) for name, get in self._getters}
        except (ValueError, RecursionError):
            return True  # what stays raw was only searched for its end: it may hold what can't be read
        return self._filter.matches({name: value for name, value in values.items() if value is not None})


def logproc(text: str) -> LogFilter:
    """Make a predicate of a filter in Mina's logproc language, for `filter` of a stream and for raw lines.

    ::

        network.records().filter(lucy.logproc('level >= Warn && !(.source.module match /^Gossip/)'))

    The language is described in `lucy_core.filters.logproc`; an empty filter keeps everything.

    Raises:
        FilterError: the text is not of the language; says where, and what was expected.
    """
    return LogFilter(text)
