"""Numbers that may be given to an operator."""

import math


def seconds_of(value: object, name: str) -> float:
    """Check a limit in seconds; `math.inf` is no limit.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative, or no number of seconds (NaN).
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        message = f"{name}={value!r} is a {type(value).__name__}; give seconds, as a number"
        raise TypeError(message)
    if not value >= 0:  # which NaN is not either, and any int may be asked
        message = f"{name}={value!r} is no number of seconds; give 0 or more, or math.inf for no limit"
        raise ValueError(message)
    return math.inf if value > 1e300 else float(value)  # an int may be beyond every float


def count_of(value: object, name: str, least: int) -> int:
    """Check a number of items.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{name}={value!r} is a {type(value).__name__}; give a whole number"
        raise TypeError(message)
    if value < least:
        message = f"{name}={value} is too small; the least is {least}"
        raise ValueError(message)
    return value
