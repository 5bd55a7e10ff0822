"""Events in words, for people who read why a wait failed. Sans-IO."""

from typing import Any

from lucy_core.records import Arrived, Event

SHOWN = 160
"""Characters of an event's data that are shown."""


def described(event: Event[Any]) -> str:
    """Show an event in one line: when and where, then its data, cut to a readable length."""
    stamp = event.timestamp
    when = stamp.strftime("%H:%M:%S.%f")[:-3] if stamp else "--:--:--.---"
    text = f"{event.data.lines} lines" if isinstance(event.data, Arrived) else repr(event.data)
    return f"{when} {event.node} #{event.position} {text if len(text) <= SHOWN else text[: SHOWN - 3] + '…'}"
