"""Spans of time: in seconds, or in the network's own slots and epochs. Sans-IO."""

import enum
import math

import msgspec

from lucy_core.arguments import whole
from lucy_core.errors import LimitError

NS = 1_000_000_000
FOR_EVER = 1e10
"""Seconds, three centuries: what is longer has no end that anybody sees, and clocks count no further."""


class Unit(enum.StrEnum):
    """What a duration counts."""

    SECONDS = "seconds"
    SLOTS = "slots"
    EPOCHS = "epochs"


class Duration(msgspec.Struct, frozen=True):
    """A span of time in seconds, or in the network's own slots or epochs."""

    count: float
    unit: Unit = Unit.SECONDS

    def __str__(self) -> str:
        unit = self.unit.value if self.count != 1 else self.unit.value[:-1]
        return f"{self.count:g} {unit}"


def seconds(count: float) -> Duration:
    """A span of wall time. Raises LimitError where `count` is no number."""
    return Duration(_number("seconds", count, count))


def slots(count: float) -> Duration:
    """A span of the network's slots; raises as `seconds` does."""
    return Duration(_number("slots", count, count), Unit.SLOTS)


def epochs(count: float) -> Duration:
    """A span of the network's epochs; raises as `seconds` does."""
    return Duration(_number("epochs", count, count), Unit.EPOCHS)


def checked(name: str, duration: object) -> Duration:
    """Return a duration that somebody gave, a bare number being seconds.

    Args:
        name: of the argument, for the error.
        duration: what was given.

    Raises:
        LimitError: it is neither a number nor a `Duration`, negative, or not a number at all (NaN).
    """
    given = duration if isinstance(duration, Duration) else Duration(_number(name, duration, duration))
    if given.unit not in tuple(Unit):
        raise LimitError(name, duration, f"counts {given.unit!r}; there are {', '.join(Unit)}")
    count = _number(name, given.count, duration)
    if math.isnan(count):
        raise LimitError(name, duration, "is not a number")
    if count < 0:
        raise LimitError(name, duration, "is negative")
    return msgspec.structs.replace(given, count=count, unit=Unit(given.unit))


def _number(name: str, count: object, given: object) -> float:
    if isinstance(count, bool) or not isinstance(count, int | float):
        raise LimitError(name, given, f"is a {type(count).__name__}, no number of seconds")
    try:
        return float(count)
    except OverflowError:
        return math.inf if count > 0 else -math.inf


class Clock(msgspec.Struct, frozen=True):
    """How long the network's slots and epochs are, and when the first of them begins."""

    slot_seconds: float | None = None
    slots_per_epoch: int | None = None
    genesis_time: float | None = None
    """Seconds since the epoch at which slot 0 begins."""

    def in_seconds(self, duration: Duration | float, name: str = "duration") -> float:
        """Convert a duration; a bare number is seconds. `name` is the argument's, for the error.

        Raises:
            ValueError: the network doesn't count in that unit.
        """
        duration = checked(name, duration)
        if duration.unit is Unit.SECONDS:
            return duration.count
        if self.slot_seconds is None:
            message = f"{duration}: this network has no slots; give seconds"
            raise ValueError(message)
        if duration.unit is Unit.SLOTS:
            return duration.count * self.slot_seconds
        if self.slots_per_epoch is None:
            message = f"{duration}: this network has no epochs; give slots or seconds"
            raise ValueError(message)
        return duration.count * self.slot_seconds * self.slots_per_epoch

    def deadline(self, duration: Duration, began_ns: int) -> int | None:
        """Return when a duration from `began_ns` on is over, in nanoseconds since the epoch; None for never.

        Slots and epochs are the network's: before its genesis none has begun, so they are counted from there.

        Raises:
            ValueError: the network doesn't count in that unit.
        """
        duration = checked("duration", duration)
        began_ns = whole(began_ns, "began_ns")
        length = self.in_seconds(duration)
        if length > FOR_EVER:
            return None
        from_ns = began_ns
        if duration.unit is not Unit.SECONDS and self.genesis_time is not None:
            from_ns = max(began_ns, round(self.genesis_time * NS))
        return from_ns + round(length * NS)
