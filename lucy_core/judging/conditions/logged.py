"""A condition about what a line says, whatever format it is in: its bytes are searched. Sans-IO."""

import re
from collections.abc import Iterable
from typing import Any, final

import msgspec

from lucy_core.arguments import readable_text
from lucy_core.errors import ArgumentError
from lucy_core.judging.conditions.condition import Machine, Progress, Start, Timeless
from lucy_core.judging.conditions.sightings import HARD, SOFT, named
from lucy_core.judging.durations import Duration
from lucy_core.records.described import described
from lucy_core.records.journal import JOURNAL
from lucy_core.records.record import Arrived, Event

Sought = str | re.Pattern[str] | re.Pattern[bytes]
"""What is looked for in a line: a text that it contains, or an expression that finds something in it."""


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """A line has come that says something. Made by `logged`."""

    sought: Any
    """A `Sought`."""
    nodes: tuple[str, ...] = ()
    """Of these nodes alone; of all where it names none."""
    soft: Duration = SOFT
    hard: Duration = HARD

    name = "logged"
    must_hold = False
    needs_all_lines = False
    event_types: tuple[type, ...] = (Arrived,)

    @property
    def description(self) -> str:
        is_text = isinstance(self.sought, str)
        what = f"with {self.sought!r}" if is_text else f"in which {self.sought.pattern!r} finds something"
        return f"a line {what}" + (f" of {', '.join(self.nodes)}" if self.nodes else "")

    def begin(self, start: Start) -> Machine:  # noqa: ARG002  # what was before does not count
        return _Search(self)


def logged(sought: Sought, *, nodes: Iterable[str] | None = None) -> Logged:
    """Await a line, of any node or of those named, in which a text stands or an expression finds something.

    The line is searched as it was written, escapes of its format and all; text is UTF-8. It counts once its newline has
    come. The outcome's `data.raw` is the line. Lucy's own journal isn't searched.

    Raises:
        ArgumentError: `sought` is neither, or can't stand in a line.
        ValueError: `nodes` is empty.
    """
    return Logged(sought=sought_of(sought, "sought"), nodes=named(nodes))


def sought_of(value: Any, name: str) -> Sought:
    """Take what can be looked for in a line."""
    if isinstance(value, re.Pattern):
        return value
    if not isinstance(value, str):
        reason = f"is of type {type(value).__name__}; give a text that stands in the line, or a re.Pattern"
        raise ArgumentError(name, value, reason)
    if not readable_text(value, name):
        raise ArgumentError(name, value, "stands in every line; give what the line says")
    if "\n" in value:
        raise ArgumentError(name, value, "has a newline in it, which no line has; give a part of one line")
    return value


def found_in(raw: bytes, sought: Sought) -> tuple[int, bytes] | None:
    """Return the first of whole lines in which something is found, and how many stand before it."""
    if isinstance(sought, str):
        place = raw.find(sought.encode())
        if place < 0:
            return None
        begin, end = raw.rfind(b"\n", 0, place) + 1, raw.find(b"\n", place)
        return raw.count(b"\n", 0, begin), raw[begin : end if end >= 0 else len(raw)]
    pattern: re.Pattern[Any] = sought
    lines = raw.removesuffix(b"\n").split(b"\n")
    texts = lines if isinstance(pattern.pattern, bytes) else [line.decode(errors="replace") for line in lines]
    return next(((index, lines[index]) for index, text in enumerate(texts) if pattern.search(text)), None)


@final
class _Search(Timeless):
    """Judges `Logged`."""

    def __init__(self, condition: Logged) -> None:
        self._condition = condition
        self._last: Event[Any] | None = None
        self._lines = 0
        self.evidence: tuple[Event[Any], ...] = ()

    @property
    def progress(self) -> Progress:
        if self.evidence:
            return Progress(have=1, need=1)
        came = "no line came" if self._last is None else f"{self._lines} other lines came, the last: {self._said()}"
        return Progress(have=0, need=1, missing=(f"{self._condition.description}; {came}",))

    def _said(self) -> str:
        assert self._last is not None  # noqa: S101  # an invariant: asked of one that came
        line = self._last.data.raw.removesuffix(b"\n").rpartition(b"\n")[2]
        return described(line.decode(errors="replace"))

    def step(self, event: Event[Any]) -> None:
        if self.evidence or not isinstance(event.data, Arrived) or event.node == JOURNAL:
            return
        if self._condition.nodes and event.node not in self._condition.nodes:
            return
        found = found_in(event.data.raw, self._condition.sought)
        if found is None:
            self._last, self._lines = event, self._lines + event.data.lines
            return
        index, line = found
        place = msgspec.structs.replace(event, position=event.position + index, data=Arrived(1, line))
        self.evidence = (place,)
