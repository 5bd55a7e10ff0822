"""Events in words, for people who read why something failed. Sans-IO."""

from lucy_core.records.keys import key_of
from lucy_core.records.record import Arrived, Event, Record

SHOWN = 160
"""Characters of an item that are shown."""


def described(item: object) -> str:
    """Show an item in one line, cut to a readable length: an event with its time and place, then what it says."""
    if not isinstance(item, Event):
        return _cut(_shown(item))
    stamp = item.timestamp
    when = f"{stamp.strftime('%H:%M:%S.%f')[:-3]} " if stamp else ""
    data = f"{item.data.lines} lines" if isinstance(item.data, Arrived) else _shown(item.data)
    return f"{when}{key_of(item.node, item.source)} #{item.position} {_cut(data)}"


def _shown(value: object) -> str:
    try:
        return f"{value.severity_text} {value.text}".strip() if isinstance(value, Record) else repr(value)
    except Exception as error:  # noqa: BLE001  # anybody's type; said in its place, for it is to explain something else
        return f"<a {type(value).__name__}, whose repr raises {type(error).__name__}: {error}>"


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
