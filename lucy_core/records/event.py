r"""Declaring event types: which lines are an event, and how their payload becomes a value.

A type is a msgspec Struct and a decorator::

    @lucy.event(pattern=r"(?P<member>\w+) became leader at term (?P<term>\d+)")
    class BecameLeader(msgspec.Struct, frozen=True):
        member: str
        term: int

A line of whatever format is of the type when its id is one of `ids`, its text fits a template or a pattern, or its
fields have the values that were named. Several ids are the rule, not the exception: software derives them from what
changes. Without `decode` the Struct is made of the record's fields, and of what a template's variables, or a pattern's
named groups, stand for.

**A line counts as it is spelt.** What makes a line an event has to stand in its bytes: JSON may spell `peer` as
`\u0070eer`, which no writer does, and finding it would mean to decode every line. Colours may stand
anywhere, and of journald's texts in numbers each is read.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Generic, TypeVar, cast, overload

import msgspec

from lucy_core.arguments import (
    anything,
    each_of,
    function_of,
    mapping_of,
    names_of,
    optional,
    readable_text,
    switch_of,
    text_of,
)
from lucy_core.errors import EventDefinitionError, shown
from lucy_core.records.colours import ESCAPE, uncoloured
from lucy_core.records.record import Record
from lucy_core.records.wording import Pattern, Template, safe_run

T = TypeVar("T")
MARK = "_event_type"
"""How a key ends under which lines without an id may say what they are: a capture filter counts these two kinds."""
TEXT_IN_NUMBERS = b'"MESSAGE":['
"""What journald writes of a text with colours or other bytes in it, which are then numbers: it may say anything."""
ID_BYTES = 16
"""How much of an id is searched for: longer texts of letters and digits are found no faster, or slower."""
_FIELDS = mapping_of(readable_text, anything, '{"event": "peer_banned"}')


class EventType(Generic[T]):
    """What makes a line an event of type `T`. Built by `event`; equality is identity."""

    __slots__ = (
        "_needles",
        "_wordings",
        "data_type",
        "decode",
        "fields",
        "ids",
        "message_needs_id",
        "messages",
        "name",
        "patterns",
        "templates",
        "writer",
    )

    def __init__(
        self,
        data_type: type[T],
        *,
        ids: frozenset[str],
        messages: Iterable[str],
        patterns: Iterable[Pattern],
        fields: Mapping[str, Any],
        decode: Callable[[Record], T] | None,
        writer: str | None = None,
        message_needs_id: bool = False,
    ) -> None:
        self.name = data_type.__name__
        """The class's name."""
        self.data_type = data_type
        """The class that was decorated."""
        self.ids = ids
        """The ids that mean it."""
        self.messages = frozenset(messages)
        """Texts that are of the type as they stand: templates among them, unfilled."""
        self.templates = tuple(template for template in map(Template, sorted(self.messages)) if template.has_variables)
        """Those of the messages that have variables."""
        self.patterns = tuple(patterns)
        """The regular expressions that mean it where they are found in a text."""
        self._wordings: tuple[Template | Pattern, ...] = (*self.templates, *self.patterns)
        self.fields = fields
        """The values that fields have to have, by name or by dotted path; all of them."""
        self.message_needs_id = message_needs_id
        """Whether a message means it only in a line that has an id."""
        self.decode: Callable[[Record], T] = decode or self._reader()
        """Makes the payload of a record of this type."""
        self.writer = writer
        """The one node whose lines can be of this type; None for any."""
        self._needles = self._worked_out_needles()

    def __repr__(self) -> str:
        return f"EventType({self.name})"

    @property
    def is_of_text(self) -> bool:
        """Whether a line may be of the type by its text."""
        return bool(self.messages or self.patterns)

    @property
    def is_known_by_id(self) -> bool:
        """Whether a line of the type surely has an id, where its format has them."""
        by_text = self.patterns or (self.messages and not self.message_needs_id)
        return bool(self.ids) and not (by_text or self.fields)

    @property
    def is_counted(self) -> bool:
        """Whether its lines are counted where a capture filter leaves them out: they say by a mark what they are."""
        return bool(self.ids) or any(name.endswith(MARK) for name in self.fields)

    @property
    def needles(self) -> tuple[bytes, ...] | None:
        """Of which bytes one stands in each line of this type, whatever its format; None where nothing has to.

        A line without any of them is not of the type.
        """
        return self._needles

    def _worked_out_needles(self) -> tuple[bytes, ...] | None:
        literals = [safe_run(each)[:ID_BYTES] for each in sorted(self.ids)]
        literals += (Template(message).literal for message in sorted(self.messages))
        for pattern in self.patterns:
            literals += pattern.literals or ("",)
        if self.fields:
            texts = [safe_run(value) for value in self.fields.values() if isinstance(value, str)]
            literals.append(max(texts, key=len, default=""))
        return tuple(dict.fromkeys(each.encode() for each in literals)) if all(literals) else None

    def is_spelt(self, raw: bytes) -> bool:
        """Tell whether a line's bytes, without colours, have what makes it one of this type, or hide what they say."""
        needles = self._needles
        if needles is None:
            return True
        for needle in needles:  # asked of each hit: `any` would cost more than the look
            if needle in raw:
                return True
        if ESCAPE in raw:
            bare = uncoloured(raw)
            if any(needle in bare for needle in needles):
                return True
        return self.is_of_text and TEXT_IN_NUMBERS in raw

    def may_be(self, raw: bytes, node: str) -> bool:
        """Tell whether a node's line that can't be read may be of this type: what marks the type stands in its bytes.

        A line that was torn before its mark, or hides it in escapes, names nothing, and is nobody's. Of a type that
        needs no bytes in particular, any may be.
        """
        return self.can_come_from(node) and self.is_spelt(raw)

    def can_come_from(self, node: str) -> bool:
        """Tell whether lines of this node can be of this type at all, whatever they say."""
        return self.writer is None or self.writer == node

    def matches(self, record: Record, node: str) -> bool:
        """Tell whether the line of this node is of this type, without decoding its payload."""
        return self.can_come_from(node) and self.means(record)

    def means(self, record: Record) -> bool:
        """Tell whether a line is of this type, whoever wrote it."""
        if record.id in self.ids:
            return True
        by_text = (record.id is not None or not self.message_needs_id) and self.fits(record.text)
        return by_text or bool(self.fields and _has(record, self.fields))

    def fits(self, text: str) -> bool:
        """Tell whether a text is one that means this type, whatever else its line has."""
        if text in self.messages:
            return True
        for each in self._wordings:  # noqa: SIM110  # asked of each text: `any` would cost more than the look
            if each.variables(text) is not None:
                return True
        return False

    def variables(self, record: Record) -> dict[str, str]:
        """Return what the text has in the places of a template's variables, or for a pattern's named groups."""
        fitting = [each.variables(record.text) for each in self.patterns]
        fitting += (each.variables(record.text) for each in self.templates)
        return next(filter(None, fitting), {})

    def _reader(self) -> Callable[[Record], T]:
        data_type = self.data_type
        decode: Callable[[msgspec.Raw | bytes], T] | None = None

        def read(record: Record) -> T:
            nonlocal decode
            payload = record.payload
            if payload is None:
                return msgspec.convert(record.fields, data_type, strict=False)
            if decode is None:
                decode = msgspec.json.Decoder(data_type).decode
            return decode(payload)

        def read_with_variables(record: Record) -> T:
            variables = self.variables(record)
            return (
                msgspec.convert({**record.fields, **variables}, data_type, strict=False) if variables else read(record)
            )

        return read_with_variables if self.templates or self.patterns else read


_PLACES = (attrgetter("fields"), attrgetter("extra"), attrgetter("document"))


def _has(record: Record, wanted: Mapping[str, Any]) -> bool:
    """Tell whether a record's fields, or what else its line has, have these values.

    Of the line itself too: structlog's `event` is the record's text, and no field of it.
    """
    try:
        return all(
            value is not None and any(_at(place(record), name) == value for place in _PLACES)
            for name, value in wanted.items()
        )
    except (ValueError, RecursionError):
        return False


def _at(fields: Mapping[str, Any], path: str) -> Any:
    if path in fields:
        return fields[path]
    value: Any = fields
    for step in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


_REGISTERED: dict[type, EventType[object]] = {}


def _strings(value: str | Iterable[str], name: str) -> frozenset[str]:
    return frozenset(readable_text(each, name) for each in names_of(value, name))


def _patterns(value: Any) -> tuple[Pattern, ...]:
    given = (value,) if isinstance(value, str | re.Pattern) else value
    texts = each_of(given, "pattern", r'("became leader", r"term (?P<term>\d+)")')
    patterns: list[Pattern] = []
    for each in texts:
        text = each.pattern if isinstance(each, re.Pattern) else each
        try:
            readable_text(text, "pattern")
            patterns.append(Pattern(each))
        except (re.error, RecursionError, OverflowError) as error:
            raise EventDefinitionError(shown(text), f"is no regular expression: {error}") from error
    return tuple(patterns)


def event(
    *,
    ids: str | Iterable[str] = (),
    message: str | Iterable[str] = (),
    pattern: str | re.Pattern[str] | Iterable[str | re.Pattern[str]] = (),
    fields: Mapping[str, Any] | None = None,
    decode: Callable[[Record], object] | None = None,
    writer: str | None = None,
    message_needs_id: bool = False,
) -> Callable[[type[T]], type[T]]:
    """Declare the decorated class an event type.

    Args:
        ids: the ids of lines that mean this type, in formats that have ids.
        message: texts that mean this type. `$name` or `${name}` is a variable, so `peer $peer banned` means
            `peer a7 banned`, and the template itself where the software keeps `peer` apart. What begins otherwise than
            with a letter or `_` is no name: `$5` is itself.
        pattern: regular expressions that mean this type where they are found in a line's text; their named groups are
            fields.
        fields: values that the line must have, all of them, by the names of its fields, or by how the line itself calls
            them: `{"event": "peer_banned", "peer.kind": "seed"}`.
        decode: makes the payload of a record; what it raises makes the line an `Undecodable`. By default the record's
            fields, with a template's variables and a pattern's groups, are converted into the class.
        writer: the one node whose lines can mean this type. What any other node prints is then never such an event,
            though it says so.
        message_needs_id: whether a message means this type only in a line that has an id, though it be none of `ids`:
            for software that changes its ids and not its texts, and gives each line of a kind an id. Such lines are
            found by their ids' key, however many messages there are.

    Raises:
        EventDefinitionError: nothing says which lines are meant, a pattern is none, or what is decorated is no class.
        ArgumentError: what should say so is no text.
    """
    wanted, templates = _strings(ids, "ids"), _strings(message, "message")
    patterns = _patterns(pattern)
    values = {} if fields is None else _FIELDS(fields, "fields")
    optional(function_of)(decode, "decode")
    optional(text_of)(writer, "writer")
    switch_of(message_needs_id, "message_needs_id")
    if message_needs_id and not (wanted and templates):
        reason = "goes with ids= and message=: it says of lines with an id that isn't among ids what they mean"
        raise EventDefinitionError("message_needs_id", reason)
    if not (wanted or templates or patterns or values):
        reason = "needs pattern=, message=, fields= or ids= to say which lines it means"
        raise EventDefinitionError("an event type", reason)

    def declare(data_type: type[T]) -> type[T]:
        decorated: object = data_type
        if not isinstance(decorated, type):
            raise EventDefinitionError(shown(data_type), "is no class; decorate a msgspec.Struct")
        _REGISTERED[data_type] = EventType(
            data_type,
            ids=wanted,
            messages=templates,
            patterns=patterns,
            fields=values,
            decode=cast("Callable[[Record], T] | None", decode),
            writer=writer,
            message_needs_id=message_needs_id,
        )
        return data_type

    return declare


@overload
def event_type(data_type: EventType[T]) -> EventType[T]: ...
@overload
def event_type(data_type: type[T]) -> EventType[T]: ...
def event_type(data_type: type[T] | EventType[T]) -> EventType[T]:
    """Return what was declared of a class.

    Raises:
        EventDefinitionError: the class was never declared.
    """
    if isinstance(data_type, EventType):
        return data_type
    try:
        return _REGISTERED[data_type]  # type: ignore[return-value]  # the dict is keyed by the very type
    except (KeyError, TypeError):
        name = getattr(data_type, "__name__", None) or shown(data_type)
        raise EventDefinitionError(name, "is no event type; declare it with @lucy.event(pattern=…)") from None
