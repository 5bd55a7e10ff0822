r"""Foreign text, made fit for a terminal: what would drive it is shown instead.

A node's last words may hold a title change, a cleared screen or a carriage return that hides what stands before it.
Whatever Lucy says to people in text goes through `visible`, and so does every error's message: a traceback that Python
prints is read on a terminal too. Files of bytes, a node's log above all, stay as they are.
"""

import enum
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_DRIVING = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, ESC and the one-byte CSI among them; not tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of reading
    "\u2028\u2029"  # line ends to some, and none to others
    "\ud800-\udfff"  # halves of characters, which no encoding writes
    "]"
)

_UNESCAPED = re.compile("[\x80-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Of these, what an encoder for JSON leaves as it is."""


def visible(text: str) -> str:
    r"""Return a text of which nothing drives a terminal: ESC becomes `\x1b`, a carriage return `\r`.

    Lines and tabs stay. The same again changes nothing.
    """
    return _DRIVING.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return ascii(found.group())[1:-1]


def visible_json(data: bytes) -> bytes:
    """Return JSON of which nothing drives a terminal: the same values, with more of their characters escaped.

    JSON itself asks for that of one block of the control characters alone.
    """
    if data.isascii():
        return data
    return _UNESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", data.decode()).encode()


def visible_throughout(value: T) -> T:
    """Return a value with every text in it made `visible`."""
    return with_texts(value, visible)


def with_texts(value: T, change: Callable[[str], str]) -> T:
    """Return a value with every text in it changed: a struct's fields, a list's items, a mapping's keys and values."""
    changed: Any = value
    match value:
        case enum.Enum():
            pass
        case str():
            changed = change(value)
        case msgspec.Struct():
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            told = {name: with_texts(each, change) for name, each in fields.items()}
            changed = value if told == fields else msgspec.structs.replace(value, **told)
        case dict():
            changed = {with_texts(key, change): with_texts(each, change) for key, each in value.items()}
        case list() | tuple():
            changed = type(value)(with_texts(each, change) for each in value)
        case _:
            pass
    kept: T = changed
    return kept
