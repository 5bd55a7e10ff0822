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
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar, get_args, get_origin, get_type_hints

SHOWN = 60
"""How much of what is refused is shown."""
NUMBERS = 1 << 63
TAKEN = frozenset({"op", "id", "error", "notice", "bytes", "fds"})
"""What a header says itself, so that no field may be called so."""


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
        raise ValueError(f"{verb(form)!r} takes no bytes behind it")
    values: dict[str, Any] = {}
    for name, hint in shape.hints.items():
        if name in fields:
            try:
                values[name] = _fit(hint, fields[name])
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{verb(form)!r} takes no {name}={shown(fields[name])}: {error}") from error
        elif name in shape.needed:
            raise ValueError(f"{verb(form)!r} needs {name!r}")
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


def is_natural(value: object) -> bool:
    """Tell whether a value is a whole number that 63 bits hold."""
    return type(value) is int and 0 <= value < NUMBERS


class _Shape(NamedTuple):
    verb: str
    hints: dict[str, Any]
    needed: frozenset[str]
    behind: str


@cache
def _shape(form: type[Any]) -> _Shape:
    verb = "".join(f"_{each.lower()}" if each.isupper() else each for each in form.__name__).lstrip("_")
    hints = get_type_hints(form, include_extras=True)
    if taken := TAKEN & hints.keys():
        raise TypeError(f"{form.__name__} can't have a field called {', '.join(taken)!r}: a header says that itself")
    behind = next((name for name, hint in hints.items() if bytes in (hint, *get_args(hint)[:1])), "")
    return _Shape(verb, hints, frozenset(hints.keys() - form._field_defaults), behind)


def _fit(hint: Any, value: Any) -> Any:
    """Return a value of JSON as its hint wants it, or raise a ValueError."""
    if type(value) is hint or hint is Any:
        return value
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        value = _fit(inner[0], value)
        for check in hint.__metadata__:
            value = check(value)
        return value
    if origin is types.UnionType:
        return None if value is None else _fit(inner[0], value)
    if type(value) is dict and origin in (dict, None) and hint not in _NAMES:
        return {name: _fit(inner[1], each) for name, each in value.items()} if origin else fill_in(hint, value)
    if type(value) is list and origin in (list, tuple):
        return origin(_fit(inner[0], each) for each in value)
    if type(value) is int and hint is float:
        # A length of time may be for ever, and be written as any number.
        return float(value) if value.bit_length() < 1024 else math.inf if value > 0 else -math.inf
    if type(value) is str and isinstance(hint, enum.EnumMeta):
        return hint(value)
    raise ValueError(f"it is no {_NAMES.get(origin or hint, 'table')}")


_NAMES = {str: "text", int: "whole number", bool: "truth value", float: "number", list: "list", tuple: "list"}


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
