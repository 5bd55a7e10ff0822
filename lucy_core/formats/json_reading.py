"""What a JSON line says, by the kind of lines that it is of. Sans-IO.

Where a value stands is worked out once for each shape of lines (its keys, in their order); a line is then a few
look-ups.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from lucy_core.formats.envelope import spellings
from lucy_core.formats.json_kinds import ENVELOPE, Kind, Path
from lucy_core.records.colours import readable
from lucy_core.records.record import Record
from lucy_core.records.severity import WORDS, Severity, severity_of
from lucy_core.records.times import read_time_value

_WORDS: Final = spellings(WORDS)
_NOWHERE: Final = "\ud800"
"""A key that no line has: half a character."""
_offset_match = re.compile(r"(DEBUG|INFO|WARN|ERROR)([+-]\d{1,3})", re.ASCII).fullmatch
"""How Go's slog spells levels between its own."""


class Reading(msgspec.Struct, frozen=True):
    """Where in lines of one shape what stands."""

    kind: str
    key: str
    """Under which the text stands, if it has the likeliest of its places."""
    level_key: str
    """The same of the severity."""
    text: tuple[Path, ...]
    level: tuple[Path, ...]
    time: tuple[Path, ...]
    id: tuple[Path, ...]
    inside: Path
    about: frozenset[str]
    """The keys that go to `extra`."""
    fields: tuple[str, ...]
    """The keys of fields that stand beside the rest."""
    words: Mapping[str, Severity]
    own_words: Mapping[str, Severity]
    numbers: Mapping[int, Severity]
    is_bytes: bool
    is_envelope: bool

    def __repr__(self) -> str:
        return f"Reading({self.kind})"  # whole, it would stand in what every failed assertion shows of a record

    @property
    def says_nothing(self) -> bool:
        """Whether lines of this shape have none of the keys that are known."""
        return not (self.text or self.level or self.time)

    def text_of(self, document: Mapping[str, Any]) -> str:
        """Return what a line says; empty where it has nothing in that place."""
        value = first_of(document, self.text)
        if isinstance(value, str):
            return value
        if value is None:
            return ""
        if self.is_bytes and isinstance(value, list):
            try:
                return readable(bytes(value))
            except (ValueError, TypeError):
                pass
        return msgspec.json.encode(value).decode()

    def id_of(self, document: Mapping[str, Any]) -> str | None:
        value = first_of(document, self.id)
        if isinstance(value, str):
            return value
        return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else None

    def severity_of(self, value: Any) -> Severity:
        """Say what a level means: a word, or a number by the kind's own scale."""
        if isinstance(value, str):
            found = self.words.get(value)
            return _severity_of_word(value, self) if found is None else found
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return Severity.UNSPECIFIED
        return _severity_of_number(value, self.numbers)

    def time_of(self, document: Mapping[str, Any]) -> datetime | None:
        for path in self.time:
            value = at_path(document, path)
            if value is None:
                continue
            if path == ("timestampSeconds",):
                value = {"seconds": value, "nanos": document.get("timestampNanos", 0)}
            time = read_time_value(value)
            if time is not None:
                return time
        return None

    def fields_of(self, document: Mapping[str, Any]) -> dict[str, Any]:
        fields = {name: document[name] for name in self.fields}
        found = at_path(document, self.inside) if self.inside else None
        if isinstance(found, dict):
            taken = {path[-1] for path in self.text if path[:-1] == self.inside}
            fields.update((name, value) for name, value in found.items() if name not in taken)
        return fields

    def extra_of(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in document.items() if name in self.about}


def reading_of(keys: Sequence[str], kind: Kind, named: Mapping[str, str], levels: Mapping[str, Severity]) -> Reading:
    """Work out how lines of a shape are read.

    Args:
        keys: the shape's.
        kind: the kind of lines that it is of.
        named: what the caller says about where `text`, `level`, `time`, `id` or the fields (`inside`) stand, as dotted
            paths. What a line lacks of it is found by the kind.
        levels: what the caller says about words, in small letters.
    """
    there = set(keys)

    def places(what: str, known: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path for path in (*_spelt(named.get(what)), *known) if path[0] in there)

    text, level, time = places("text", kind.text), places("level", kind.level), places("time", kind.time)
    inside = next(iter(places("inside", ((kind.inside,),) if kind.inside else ())), ())
    # Of several places for the same, those that aren't needed are fields, as `time` beside `@timestamp`.
    taken = {path[0] for paths in (text[:1], level[:1], time[:1]) for path in paths if len(path) == 1}
    ids = places("id", kind.id)
    about = {key for key in keys if key in kind.about or (kind.prefixes and key.startswith(kind.prefixes))} - taken
    about.update(path[0] for path in ids if len(path) == 1)
    taken.update(inside[:1])
    if (inside or kind.inside) and not kind.is_mixed:
        about = there - taken
    own_words = {**kind.levels, **levels}
    return Reading(
        kind=f"json ({kind.name})" if kind.name and not named else "json",
        key=_key(text),
        level_key=_key(level),
        text=text,
        level=level,
        time=time,
        id=ids,
        inside=inside,
        about=frozenset(about - taken),
        fields=tuple(key for key in keys if key not in taken and key not in about),
        words={**_WORDS, **spellings(own_words)} if own_words else _WORDS,
        own_words=own_words,
        numbers=kind.numbers,
        is_bytes=kind.is_bytes,
        is_envelope=kind.name == ENVELOPE,
    )


def _key(paths: tuple[Path, ...]) -> str:
    return paths[0][0] if paths and len(paths[0]) == 1 else _NOWHERE


def _spelt(path: str | None) -> tuple[Path, ...]:
    """Return where a dotted path may lead: to a key with dots in it, or from key to key."""
    if path is None:
        return ()
    return ((path,), tuple(path.split("."))) if "." in path else ((path,),)


def at_path(document: Mapping[str, Any], path: Path) -> Any:
    """Return what stands at a path; None where nothing does."""
    value: Any = document
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def first_of(document: Mapping[str, Any], paths: tuple[Path, ...]) -> Any:
    """Return what stands at the first path that leads to something."""
    return next((value for path in paths if (value := at_path(document, path)) is not None), None)


def _severity_of_word(word: str, reading: Reading) -> Severity:
    text = word.strip()
    own = reading.own_words.get(text.lower())
    if own is not None:
        return own
    found = severity_of(text)
    if found:
        return found
    if reading.numbers and text.isascii() and text.isdigit() and len(text) < 4:
        return _severity_of_number(int(text), reading.numbers)
    between = _offset_match(text)
    if between is None:
        return Severity.UNSPECIFIED
    least, most = Severity.TRACE, Severity.FATAL4
    return Severity(min(max(severity_of(between[1]) + int(between[2]), least), most))


def _severity_of_number(number: float, numbers: Mapping[int, Severity]) -> Severity:
    found = numbers.get(number)  # type: ignore[call-overload]  # 30.0 is 30
    if found is not None or 10 not in numbers:
        return Severity.UNSPECIFIED if found is None else found
    return numbers[max(each for each in numbers if each <= number)] if 10 <= number < 100 else Severity.UNSPECIFIED


class JsonRecord(Record, frozen=True, gc=False, kw_only=True):
    """A line of JSON."""

    reading: Reading
    decoded: Mapping[str, Any]

    def __hash__(self) -> int:
        return hash(self.raw)  # what was decoded of it has none

    @property
    def document(self) -> Mapping[str, Any]:
        return self.decoded

    @property
    def kind(self) -> str:
        return self.reading.kind

    @property
    def severity(self) -> Severity:
        reading = self.reading
        value = self._level
        found = reading.words.get(value) if type(value) is str else None
        return reading.severity_of(value) if found is None else found

    @property
    def _level(self) -> Any:
        reading = self.reading
        value = self.decoded.get(reading.level_key)
        return first_of(self.decoded, reading.level) if value is None else value

    @property
    def severity_text(self) -> str:
        value = self._level
        if isinstance(value, str):
            return value
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1 << 63
        return str(value) if is_number else ""

    @property
    def time(self) -> datetime | None:
        return self.reading.time_of(self.decoded)

    @property
    def fields(self) -> Mapping[str, Any]:
        return self.reading.fields_of(self.decoded)

    @property
    def extra(self) -> Mapping[str, Any]:
        return self.reading.extra_of(self.decoded)

    @property
    def is_unleveled(self) -> bool:
        reading = self.reading
        level = self.decoded.get(reading.level_key)
        # Asked of every line that is read.
        return not (reading.words.get(level) if type(level) is str else None) and not self.severity
