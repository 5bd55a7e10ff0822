"""Events and functions in words, for people who read why something failed. Sans-IO."""

import difflib
from collections.abc import Iterable

from lucy_core.errors import shown
from lucy_core.records import Arrived, Event

SHOWN = 160
"""Characters of an item that are shown."""


def described(item: object) -> str:
    """Show an item in one line, cut to a readable length: an event with its time and place, then what it says."""
    if not isinstance(item, Event):
        return _cut(_shown(item))
    stamp = item.timestamp
    when = f"{stamp.strftime('%H:%M:%S.%f')[:-3]} " if stamp else ""
    data = f"{item.data.lines} lines" if isinstance(item.data, Arrived) else _shown(item.data)
    return f"{when}{item.node} #{item.position} {_cut(data)}"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  # anybody's type; said in its place, for it is to explain something else
        return f"<a {type(value).__name__}, whose repr raises {type(error).__name__}: {error}>"


def called(function: object, otherwise: str = "…") -> str:
    """Name a function that somebody gave, if it has a name."""
    name = getattr(function, "__name__", otherwise)
    return otherwise if name == "<lambda>" else str(name)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that there is no such thing, what was perhaps meant, and what there is."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3)
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"no {kind} is called {shown(name)}{meant} (there is: {', '.join(known) or 'none'})"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
