"""What somebody gave, held against what is wanted: each mistake is refused in one sentence, where it comes in. Sans-IO.

A *rule* takes a value and the name that it was given by, and returns what is meant by it: itself, or the tuple that a
list or a generator stands for. Rules are made of rules, so that what a type takes is a table, field by field, and a
test can go through the table; behind it, code may rely on its types.

What a rule refuses says the name, the place in it, what was found, cut to a readable length, and what to give instead.
Nothing is converted that could mean something else: a number isn't its digits, a path isn't its text, a text is never
the sequence of its letters.
"""

import itertools
import math
import os
import posixpath
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePath
from typing import Any, NoReturn, Protocol

import msgspec

from lucy_core.answers import refuse_async, refuse_awaitable
from lucy_core.errors import ArgumentError, shown

PATH_BYTES = 4095
"""The longest path that Linux takes."""
NAME_BYTES = 255
"""The longest name of a file that its file systems take."""
FOR_EVER = 1e10
"""Seconds, three centuries: what is longer has no end that anybody sees, and clocks count no further."""

MOST_ITEMS = 1_000_000
"""More than anybody writes down: what gives more has no end."""


class Rule(Protocol):
    """Says what may be given."""

    def __call__(self, value: Any, name: str) -> Any:
        """Return what is meant by a value. Raises ArgumentError."""
        ...


def _refuse(name: str, value: object, reason: str) -> NoReturn:
    refuse_awaitable(value, f"{name} is")
    raise ArgumentError(name, value, reason)


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"


# Text


def text_of(value: Any, name: str) -> str:
    """Take a text, whatever stands in it."""
    if not isinstance(value, str):
        looks = shown(value) if isinstance(value, (int, float)) else str(value) if isinstance(value, PurePath) else ""
        advice = f": {looks!r}" if looks else ""
        _refuse(name, value, f"is {_kind(value)}; give text{advice}")
    return value


def readable_text(value: Any, name: str) -> str:
    """Take a text that any file and any protocol can carry: without surrogates, which are no characters."""
    text = text_of(value, name)
    if not _is_utf_8(text):
        _refuse(name, value, "holds half a character (a surrogate), as names have that are no UTF-8; replace it")
    return text


def word_of(value: Any, name: str) -> str:
    """Take a word that a program can be given: the kernel ends it at a NUL, and takes bytes."""
    text = text_of(value, name)
    if "\0" in text:
        _refuse(name, value, "has a NUL in it, which no program can be given; leave it out")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        _refuse(name, value, "holds what can't be written as UTF-8, which no program can be given; leave it out")
    return text


def name_of(value: Any, name: str) -> str:
    """Take what names a variable of an environment."""
    text = word_of(value, name)
    if not text or "=" in text:
        _refuse(name, value, "can't name an environment variable; take letters, digits and '_'")
    return text


def title_of(value: Any, name: str) -> str:
    """Take what also names a directory: a word, without what has a meaning in paths and on terminals."""
    text = readable_text(value, name)
    if not text or text[0] in ".-" or "/" in text or not text.isprintable() or len(text.encode()) > 100:
        _refuse(name, value, "can't name a directory; take up to 100 letters, digits, '-', '_' and '.'")
    return text


def relative_path(value: Any, name: str) -> str:
    """Take the path of a file below some directory, as text."""
    text = word_of(value, name)
    parts = text.split("/")
    if not text or text.startswith("/") or not {"", ".", ".."}.isdisjoint(parts):
        _refuse(name, value, "is no path below the node's directory; give one like 'config/node.json'")
    _check_lengths(value, name, os.fsencode(text))
    return text


def path_of(value: Any, name: str) -> str:
    """Take a path, as text or as a `Path`; return it as text."""
    if isinstance(value, bytes) or not isinstance(value, (str, os.PathLike)):
        _refuse(name, value, f"is {_kind(value)}; give a path")
    text = word_of(os.fspath(value), name)
    if not text:
        _refuse(name, value, "is an empty path; give one")
    _check_lengths(value, name, os.fsencode(text))
    return text


def node_path(value: Any, name: str) -> str:
    """Take the path of a file of a node, absolute or below the node's directory; return it as text."""
    text = path_of(value, name)
    if posixpath.normpath(text).split("/")[0] == "..":
        _refuse(name, value, "leaves the node's directory; give a path below it, or an absolute one")
    return text


def place_of(value: Any, name: str) -> Path:
    """Take a path, and return it absolute. Of a relative one the working directory has to be there."""
    path = Path(path_of(value, name))
    try:
        return path.absolute()
    except OSError:
        _refuse(name, value, "is relative, and the working directory is gone; go to one that is there")


def new_place_of(value: Any, name: str) -> Path:
    """Take the path of what is about to be made, and return it absolute. What a run writes of itself is UTF-8."""
    place = place_of(value, name)
    if not _is_utf_8(str(place)):
        _refuse(name, str(place), "isn't UTF-8, as what a run writes about itself has to be; choose another place")
    return place


def _check_lengths(value: object, name: str, path: bytes) -> None:
    if len(path) > PATH_BYTES or any(len(part) > NAME_BYTES for part in path.split(b"/")):
        _refuse(name, value, f"is longer than file systems take ({NAME_BYTES} bytes a name); give a shorter one")


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Numbers


def number_of(value: Any, name: str) -> float:
    """Take a number, whole or not; not NaN, and not beyond what a float holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _refuse(name, value, f"is {_kind(value)}; give a number")
    if (isinstance(value, int) and abs(value) > 1e300) or math.isnan(value):
        _refuse(name, value, "is no number that can be counted with; give another")
    return value


def seconds_of(value: Any, name: str) -> float:
    """Take a limit in seconds; `math.inf` is no limit."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _refuse(name, value, f"is {_kind(value)}; give seconds, as a number")
    if not value >= 0:  # which NaN is not either, and any int may be asked
        _refuse(name, value, "is no number of seconds; give 0 or more, or math.inf for no limit")
    return math.inf if value > 1e300 else float(value)  # an int may be beyond every float


def some_seconds(value: Any, name: str) -> float:
    """Take a length of time that passes: more than nothing, and not for ever."""
    seconds = seconds_of(value, name)
    if not 0 < seconds < math.inf:
        _refuse(name, value, "is no length of time that passes; give seconds, more than 0")
    return seconds


def moment_of(value: Any, name: str) -> float:
    """Take a moment, in seconds since the epoch, that calendars know."""
    moment = number_of(value, name)
    if not 0 <= moment < 253402300800:  # the year 10000
        _refuse(name, value, "is no moment of this age; give seconds since the epoch, as time.time() does")
    return moment


def whole(value: Any, name: str) -> int:
    """Take a whole number, of any size that is written down in decimal digits."""
    return count_of(value, name, -(1 << 63))


def count_of(value: Any, name: str, least: int = 0) -> int:
    """Take a whole number that isn't too small, nor beyond what anybody counts to."""
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(name, value, f"is {_kind(value)}; give a whole number")
    if value < least:
        _refuse(name, value, f"is too small; the least is {least}")
    if value >= 1 << 63:
        _refuse(name, value, "is more than anybody counts to; give less")
    return value


def switch_of(value: Any, name: str) -> bool:
    """Take True or False, and nothing that only looks like it."""
    if not isinstance(value, bool):
        _refuse(name, value, f"is {_kind(value)}; give True or False")
    return value


# Other single things


def bytes_of(value: Any, name: str) -> bytes:
    """Take bytes."""
    if not isinstance(value, bytes):
        advice = ": encode the text" if isinstance(value, str) else ""
        _refuse(name, value, f"is {_kind(value)}; give bytes{advice}")
    return value


def function_of(value: Any, name: str) -> Callable[..., Any]:
    """Take a function that answers when it is called."""
    refuse_async(value, name)
    if not callable(value):
        _refuse(name, value, f"is {_kind(value)}; give a function")
    function: Callable[..., Any] = value
    return function


def instance_of(kind: type | tuple[type, ...], example: str) -> Rule:
    """Take what is of a type, written like `example`."""

    def take(value: Any, name: str) -> Any:
        if not isinstance(value, kind):
            _refuse(name, value, f"is {_kind(value)}; give {example}")
        return value

    return take


anything = instance_of(object, "anything")
"""Takes whatever it is, for what is judged elsewhere."""


def optional(rule: Rule) -> Rule:
    """Take None as well."""
    return lambda value, name: None if value is None else rule(value, name)


# Several things


def items_of(value: Any, name: str, example: str) -> tuple[Any, ...]:
    """Take things in an order: a tuple, a list or a generator. A text and a mapping are one thing each."""
    if isinstance(value, str):
        _refuse(name, value, f"is one text; give a tuple, like {example}")
    if isinstance(value, AbstractSet):
        _refuse(name, value, f"is a set, which has no order; give a tuple, like {example}")
    if isinstance(value, (bytes, bytearray, memoryview, Mapping, type)) or not isinstance(value, Iterable):
        _refuse(name, value, f"is {_kind(value)}; give a tuple, like {example}")
    items = tuple(itertools.islice(value, MOST_ITEMS + 1))
    if len(items) > MOST_ITEMS:
        _refuse(name, value, f"gives more than {MOST_ITEMS:,} things; give fewer")
    return items


def each_of(value: Any, name: str, example: str) -> tuple[Any, ...]:
    """Take things in whatever order: a set as well, but no text, which would be its letters."""
    return items_of(tuple(value) if isinstance(value, AbstractSet) else value, name, example)


def names_of(value: Any, name: str) -> tuple[str, ...]:
    """Take names: one text, or several in whatever order."""
    if isinstance(value, str):
        return (value,)
    return tuple(text_of(each, f"{name}[{place}]") for place, each in enumerate(each_of(value, name, "('a', 'b')")))


def tuple_of(rule: Rule, example: str) -> Rule:
    """Take things in an order, each as `rule` says."""

    def take(value: Any, name: str) -> tuple[Any, ...]:
        return tuple(rule(item, f"{name}[{place}]") for place, item in enumerate(items_of(value, name, example)))

    return take


def mapping_of(key: Rule, content: Rule, example: str) -> Rule:
    """Take a mapping, its keys and what they lead to as the rules say."""

    def take(value: Any, name: str) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            _refuse(name, value, f"is {_kind(value)}; give a mapping, like {example}")
        return {
            key(each, f"a key of {name}"): content(found, f"{name}[{shown(each)}]") for each, found in value.items()
        }

    return take


def fit(struct: msgspec.Struct, rules: Mapping[str, Rule], refuse: Callable[[str], Exception] | None = None) -> None:
    """Hold a new value's fields against a table, and put what is meant in the place of what was given.

    Args:
        struct: the value, of which nobody else knows yet.
        rules: by field.
        refuse: makes the error of a sentence that names the field; without it the rule's own is raised.
    """
    for name, rule in rules.items():
        given = getattr(struct, name)
        try:
            meant = rule(given, name)
        except (ArgumentError, TypeError) as error:
            if refuse is None:
                raise
            raise refuse(str(error)) from None
        if meant is not given:
            msgspec.structs.force_setattr(struct, name, meant)
