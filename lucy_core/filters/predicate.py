"""A logproc filter as a predicate over what streams carry."""

from collections.abc import Mapping
from typing import Any, final

from lucy_core.arguments import text_of
from lucy_core.errors import FilterError
from lucy_core.filters.expressions import SearchLimitError
from lucy_core.filters.logproc import SEVERITY, WORD, Filter, FilterSyntaxError
from lucy_core.records.record import Event, Record


@final
class LogFilter:
    """A logproc filter: call it with an event, a record, a decoded line or a raw one."""

    __slots__ = ("_filter",)

    def __init__(self, text: str) -> None:
        text_of(text, "text")
        try:
            self._filter = Filter(text)
        except FilterSyntaxError as error:
            raise FilterError(text, str(error)) from error

    def __repr__(self) -> str:
        return f"logproc({self._filter.text!r})"

    def __call__(self, line: Event[Any] | Record | Mapping[str, Any] | bytes | str) -> bool:
        """Tell whether it passes. What can't be read (a raw line that is no JSON object) does: no filter can judge it.

        Raises:
            FilterError: a search for a regular expression took too much work.
        """
        try:
            return self._passes(line)
        except SearchLimitError as error:
            raise FilterError(self._filter.text, f"whether it holds can't be said: {error}") from error

    def _passes(self, line: Event[Any] | Record | Mapping[str, Any] | bytes | str) -> bool:
        if isinstance(line, Event):
            line = line.record
        if isinstance(line, bytes | str):
            return self._filter.keeps(line)
        return self._keeps(line) if isinstance(line, Record) else self._filter.matches(line)

    def _keeps(self, record: Record) -> bool:
        severity = record.severity
        # Without a word of its own a record may be asked for its level all the same.
        word = record.severity_text or (severity.name.capitalize() if severity else "")
        known: dict[str, Any] = {"message": record.text, **({"level": word} if word else {})}
        own: dict[Any, Any] = {SEVERITY: severity, WORD: word} if severity else {}
        try:
            known.update(record.document)
        except (ValueError, RecursionError):
            # What stays raw was only searched for its end: it may hold what can't be read.
            return not self._filter.fields <= known.keys() or self._filter.matches({**known, **own})
        return self._filter.matches({**known, **own})


def logproc(text: str) -> LogFilter:
    """Make a predicate of a filter in Mina's logproc language, for `filter` of a stream and for raw lines.

    ::

        network.records().filter(lucy.logproc('level >= Warn && !(.source.module match /^Gossip/)'))

    The language is described in `lucy_core.filters.logproc`; an empty filter keeps everything. It asks a line of any
    format for what that has: `message`, `level` and every field, by its path.

    Raises:
        FilterError: the text is not of the language; says where, and what was expected.
    """
    return LogFilter(text)
