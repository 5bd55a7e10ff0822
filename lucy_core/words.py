"""Functions and names in words, for people who read why something failed. Sans-IO."""

import difflib
from collections.abc import Iterable

from lucy_core.errors import shown


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
