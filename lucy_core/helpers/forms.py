"""What the two ends of a channel say to each other, as values. Sans-IO, standard library only.

A form is a `NamedTuple` that both ends know. Its name is the verb (`SharedFifo` says `shared_fifo`), its annotations
are the contract: what comes is filled in only where all of it fits, or refused in words that go back to whoever sent
it. So nobody looks for keys in dictionaries, and a loop gets nothing that it must check once more.

`Annotated[str, check]` adds a check of one's own: a function that returns the value, or raises a ValueError that says
what is wrong. The one field of `bytes` that a form may have goes behind the header as it is, and never through JSON.
msgspec would do all this; but a helper starts without site packages, and in 20 ms.
"""

import enum
import math
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

SHOWN = 60
"""How much of what is refused is shown."""
Reader = Callable[[Any], Any]
"""Returns a value of JSON as its hint wants it.

Raises:
    ValueError: it is something else.
"""


class Form(Protocol):
    """Any `NamedTuple`."""

    def _asdict(self) -> dict[str, Any]: ...


F = TypeVar("F", bound=Form)


class Done(NamedTuple):
    """The answer that says no more than that it was done."""


def verb(form: type[Form]) -> str:
    """Return what a form says."""
    return _shape(form).verb


def fill_in(form: type[F], fields: Mapping[str, Any], data: bytes = b"") -> F:
    """Return the form with what came. Fields that it doesn't have are passed over.

    Raises:
        ValueError: something that it needs is missing, or doesn't fit.
    """
    shape = _shape(form)
    if shape.behind:
        fields = {**fields, shape.behind: data}
    elif data:
        message = f"{verb(form)!r} takes no bytes behind it"
        raise ValueError(message)
    values: dict[str, Any] = {}
    for name, read in shape.readers.items():
        if name in fields:
            try:
                values[name] = read(fields[name])
            except (ValueError, RecursionError) as error:
                message = f"{verb(form)!r} takes no {name}={shown(fields[name])}: {error}"
                raise ValueError(message) from error
        elif name in shape.needed:
            message = f"{verb(form)!r} needs {name!r}"
            raise ValueError(message)
    return form(**values)


def spread(form: Form) -> tuple[dict[str, Any], bytes]:
    """Return the fields as values of JSON, and the bytes that go behind them."""
    behind = _shape(type(form)).behind
    fields = form._asdict()
    data: bytes = fields.pop(behind) if behind else b""
    return {name: _plain(value) for name, value in fields.items()}, data


def shown(value: object) -> str:
    """Return a value as an error may show it, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a number of thousands of digits; what doesn't like to be shown
        text = f"a {type(value).__name__} that can't be shown"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _seconds(value: float) -> float:
    if not value >= 0:
        raise ValueError("it is no length of time")
    return value


Seconds = Annotated[float, _seconds]
"""A length of time, which may be for ever."""


class _Shape(NamedTuple):
    verb: str
    readers: dict[str, Reader]
    needed: frozenset[str]
    behind: str


@cache
def _shape(form: type[Any]) -> _Shape:
    hints = get_type_hints(form, include_extras=True)
    behind = next((name for name, hint in hints.items() if bytes in (hint, *get_args(hint)[:1])), "")
    readers = {name: _reader(hint) for name, hint in hints.items()}
    verb = "".join(f"_{each.lower()}" if each.isupper() else each for each in form.__name__).lstrip("_")
    return _Shape(verb, readers, frozenset(readers.keys() - form._field_defaults), behind)


def _reader(hint: Any) -> Reader:
    origin, inner = get_origin(hint), get_args(hint)
    if hint in _READERS:
        return _READERS[hint]
    if origin is Annotated:
        return _in_turn([_reader(inner[0]), *hint.__metadata__])
    if origin in (Union, types.UnionType):
        return _either([_reader(each) for each in inner])
    if origin is dict:
        return _table(_reader(inner[1]))
    if origin in (list, tuple):
        return _row(origin, _reader(inner[0]))
    if issubclass(hint, enum.Enum):
        return _in_turn([hint])
    return lambda value: fill_in(hint, _table(lambda each: each)(value))


def _in_turn(readers: list[Reader]) -> Reader:
    def read(value: Any) -> Any:
        for each in readers:
            value = each(value)
        return value

    return read


def _either(readers: list[Reader]) -> Reader:
    def read(value: Any) -> Any:
        for each in readers[:-1]:
            try:
                return each(value)
            except ValueError:
                continue
        return readers[-1](value)

    # What is nothing is seldom meant where something doesn't fit.
    readers.sort(key=lambda each: each is not _nothing)
    return read


def _table(reader: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError("it is no table")  # noqa: TRY004  # what came over a wire, not what a caller passed
        return {name: reader(each) for name, each in value.items()}

    return read


def _row(kind: type[Any], reader: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("it is no list")  # noqa: TRY004  # as above
        return kind(reader(each) for each in value)

    return read


def _exactly(kind: type[Any], name: str) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            message = f"it is no {name}"
            raise ValueError(message)
        return value

    return read


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError("it is no number")
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value > 0 or -1)


_nothing = _exactly(types.NoneType, "null")
_READERS: dict[Any, Reader] = {
    Any: lambda value: value,
    str: _exactly(str, "text"),
    bytes: _exactly(bytes, "bytes"),
    int: _exactly(int, "whole number"),
    bool: _exactly(bool, "truth value"),
    float: _number,
    types.NoneType: _nothing,
}


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
