"""Declaring event types: which lines are an event, and how their payload becomes a value.

A type is a msgspec Struct and a decorator::

    @lucy.event(ids=("64e2d3e8…",), message="Successfully produced a new block")
    class BlockProduced(msgspec.Struct, frozen=True):
        block_height: int

A line is of the type when its `event_id` is one of `ids`, or its `message` is the template, or its puppeteer type is
`puppeteer`. Several ids are the rule, not the exception: Mina derives an id from the path of a source file, so moving
the file changes it. Without `decode` the line's `metadata` is decoded into the Struct as it stands.
"""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, overload

import msgspec

from lucy_core.arguments import function_of, names_of, optional, readable_text, text_of
from lucy_core.errors import EventDefinitionError, shown
from lucy_core.records.record import LogRecord

T = TypeVar("T")


class EventType(Generic[T]):
    """What makes a line an event of type `T`. Built by `event`; equality is identity."""

    __slots__ = ("_marks", "data_type", "decode", "ids", "messages", "name", "puppeteer", "writer")

    def __init__(
        self,
        data_type: type[T],
        *,
        ids: frozenset[str],
        messages: frozenset[str],
        puppeteer: frozenset[str],
        decode: Callable[[LogRecord], T],
        writer: str | None = None,
    ) -> None:
        self.name = data_type.__name__
        self.data_type = data_type
        self.ids = ids
        self.messages = messages
        self.puppeteer = puppeteer
        self.decode = decode
        self.writer = writer
        """The one node whose lines can be of this type; None for any."""
        self._marks: tuple[bytes, ...] | None = None

    def __repr__(self) -> str:
        return f"EventType({self.name})"

    def may_be(self, raw: bytes, node: str) -> bool:
        """Tell whether a node's line that can't be read may be of this type: what marks the type stands in its bytes.

        A line that was torn before its mark, or hides it in escapes, names nothing, and is nobody's.
        """
        if self._marks is None:
            names = (msgspec.json.encode(name) for name in sorted(self.ids | self.puppeteer))
            texts = (msgspec.json.encode(message)[1:-1] for message in sorted(self.messages))
            self._marks = (*names, *texts)
        return self.can_come_from(node) and any(mark in raw for mark in self._marks)

    def can_come_from(self, node: str) -> bool:
        """Tell whether lines of this node can be of this type at all, whatever they say."""
        return self.writer is None or self.writer == node

    def matches(self, record: LogRecord, node: str) -> bool:
        """Tell whether the line of this node is of this type, without decoding its payload."""
        return self.can_come_from(node) and (
            record.event_id in self.ids
            or record.message in self.messages
            or (record.puppeteer_event_type is not None and record.puppeteer_event_type in self.puppeteer)
        )


_REGISTERED: dict[type, EventType[object]] = {}


def _strings(value: str | Iterable[str], name: str) -> frozenset[str]:
    return frozenset(readable_text(each, name) for each in names_of(value, name))


def event(
    *,
    ids: str | Iterable[str] = (),
    message: str | Iterable[str] = (),
    puppeteer: str | Iterable[str] = (),
    decode: Callable[[LogRecord], object] | None = None,
    writer: str | None = None,
) -> Callable[[type[T]], type[T]]:
    """Declare the decorated class an event type.

    Args:
        ids: the values of `event_id` that mean this type.
        message: message templates that mean this type, for lines without a known id.
        puppeteer: values of `puppeteer_event_type` that mean this type.
        decode: makes the payload of a record; what it raises makes the line an `Undecodable`. By default the record's
            `metadata` is decoded into the class.
        writer: the one node whose lines can mean this type. What any other node prints is then never such an event,
            though it says so.

    Raises:
        EventDefinitionError: nothing says which lines are meant, or what is decorated is no class.
        ArgumentError: what should say so is no text.
    """
    wanted, templates, supervised = _strings(ids, "ids"), _strings(message, "message"), _strings(puppeteer, "puppeteer")
    optional(function_of)(decode, "decode")
    optional(text_of)(writer, "writer")
    if not (wanted or templates or supervised):
        raise EventDefinitionError("an event type", "needs ids=, message= or puppeteer= to say which lines it means")

    def declare(data_type: type[T]) -> type[T]:
        decorated: object = data_type
        if not isinstance(decorated, type):
            raise EventDefinitionError(shown(data_type), "is no class; decorate a msgspec.Struct")
        _REGISTERED[data_type] = EventType(
            data_type,
            ids=wanted,
            messages=templates,
            puppeteer=supervised,
            decode=decode or _metadata_as(data_type),
            writer=writer,
        )
        return data_type

    return declare


def _metadata_as(data_type: type[T]) -> Callable[[LogRecord], T]:
    decoder: msgspec.json.Decoder[T] | None = None

    def decode(record: LogRecord) -> T:
        nonlocal decoder
        if decoder is None:
            decoder = msgspec.json.Decoder(data_type)
        return decoder.decode(record.metadata)

    return decode


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
        raise EventDefinitionError(name, "is no event type; declare it with @lucy.event(ids=…, message=…)") from None
