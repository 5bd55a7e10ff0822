"""What may be given to an operator: numbers that are some, and functions that answer."""

import inspect
import math
from collections.abc import Awaitable, Coroutine

from lucy_core.words import called


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


def refuse_async(function: object, what: str) -> None:
    """Check that a function answers when it is called: what an async one returns is true, whatever it would say.

    Raises:
        TypeError: it is async.
    """
    call = getattr(function, "__call__", None)  # noqa: B004  # of an object: is that one async?
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call):
        message = f"{what} takes a plain function, and {called(function, 'this one')} is async: nobody would await it"
        raise TypeError(message)


def refuse_awaitable(answer: object, what: str) -> None:
    """Check that an answer is one: a plain function may return what an async one has made.

    Raises:
        TypeError: it has to be awaited.
    """
    if isinstance(answer, Awaitable):
        if isinstance(answer, Coroutine):
            answer.close()  # or the interpreter would warn that nobody has awaited it
        message = f"the predicate of {what} returned a {type(answer).__name__}, which nobody awaits; return a bool"
        raise TypeError(message)
