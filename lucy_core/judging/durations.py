"""Spans of time: in seconds, or in units that a network's vocabulary has. Sans-IO."""

import math
from collections.abc import Mapping

import msgspec

from lucy_core.arguments import FOR_EVER, text_of, whole
from lucy_core.errors import LimitError

NS = 1_000_000_000


SECONDS = "seconds"


class Duration(msgspec.Struct, frozen=True):
    """A span of time in seconds, or in a unit of the network's own."""

    count: float
    """How many of the unit; `math.inf` is no limit."""
    unit: str = SECONDS
    """In the plural, with an s at its end."""

    def __str__(self) -> str:
        return f"{self.count:g} {self.unit if self.count != 1 else self.unit[:-1]}"


def seconds(count: float) -> Duration:
    """A span of wall time. Raises LimitError where `count` is no number."""
    return counted(count, SECONDS)


def counted(count: float, unit: str) -> Duration:
    """A span in a unit that a network has (`NetworkSpec.units`); for vocabularies. Raises as `seconds` does."""
    return Duration(_number(unit, count, count), unit)


def checked(name: str, duration: object) -> Duration:
    """Return a duration that somebody gave, a bare number being seconds.

    Args:
        name: of the argument, for the error.
        duration: what was given.

    Raises:
        LimitError: it is neither a number nor a `Duration`, negative, or not a number at all (NaN).
    """
    given = duration if isinstance(duration, Duration) else Duration(_number(name, duration, duration))
    text_of(given.unit, "unit")
    count = _number(name, given.count, duration)
    if math.isnan(count):
        raise LimitError(name, duration, "is not a number")
    if count < 0:
        raise LimitError(name, duration, "is negative")
    return msgspec.structs.replace(given, count=count)


def _number(name: str, count: object, given: object) -> float:
    if isinstance(count, bool) or not isinstance(count, int | float):
        raise LimitError(name, given, f"is a {type(count).__name__}, no number of seconds")
    try:
        return float(count)
    except OverflowError:
        return math.inf if count > 0 else -math.inf


class Clock(msgspec.Struct, frozen=True):
    """A network's own units of time."""

    units: Mapping[str, float] = {}
    """The length of each in seconds, by its plural."""
    counted_from: float | None = None
    """When the first of each begins, in seconds since 1970."""

    def in_seconds(self, duration: Duration | float, name: str = "duration") -> float:
        """Convert a duration; a bare number is seconds. `name` is the argument's, for the error.

        Raises:
            LimitError: it is no length of time, or the network doesn't count in its unit.
        """
        duration = checked(name, duration)
        if duration.unit == SECONDS:
            return duration.count
        if duration.unit not in self.units:
            advice = f"there are {', '.join((SECONDS, *self.units))}" if self.units else "give seconds"
            raise LimitError(name, duration, f"can't be counted: this network has no {duration.unit}; {advice}")
        return duration.count * self.units[duration.unit]

    def deadline(self, duration: Duration, began_ns: int) -> int | None:
        """Return when a duration from `began_ns` on is over, in nanoseconds since 1970; None for never.

        Before the network's units begin none of them passes, so those are counted from there. Raises as `in_seconds`.
        """
        duration = checked("duration", duration)
        began_ns = whole(began_ns, "began_ns")
        length = self.in_seconds(duration)
        if length > FOR_EVER:
            return None
        from_ns = began_ns
        if duration.unit != SECONDS and self.counted_from is not None:
            from_ns = max(began_ns, round(self.counted_from * NS))
        return from_ns + round(length * NS)
