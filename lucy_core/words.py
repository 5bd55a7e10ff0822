"""Events and functions in words, for people who read why something failed. Sans-IO."""

from lucy_core.records import Arrived, Event

SHOWN = 160
"""Characters of an item that are shown."""


def described(item: object) -> str:
    """Show an item in one line, cut to a readable length: an event with its time and place, then what it says."""
    if not isinstance(item, Event):
        return _cut(repr(item))
    stamp = item.timestamp
    when = f"{stamp.strftime('%H:%M:%S.%f')[:-3]} " if stamp else ""
    data = f"{item.data.lines} lines" if isinstance(item.data, Arrived) else repr(item.data)
    return f"{when}{item.node} #{item.position} {_cut(data)}"


def called(function: object, otherwise: str = "…") -> str:
    """Name a function that somebody gave, if it has a name."""
    name = getattr(function, "__name__", otherwise)
    return otherwise if name == "<lambda>" else str(name)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
