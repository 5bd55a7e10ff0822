"""What is said on a channel, as values: what fits is filled in, all else is refused in words."""

import enum
import json
import math
from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.helpers.forms import Done, Seconds, fill_in, shown, spread, verb


class Colour(enum.StrEnum):
    RED = "red"


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("it is odd")
    return value


class Place(NamedTuple):
    path: str
    size: int | None = None


class PaintAll(NamedTuple):
    name: str
    count: Annotated[int, _even]
    lasting: Seconds
    data: bytes
    colour: Colour = Colour.RED
    words: tuple[str, ...] = ()
    places: dict[str, Place] = {}  # noqa: RUF012
    rest: Any = None
    quick: bool = False


FITTING = {"name": "a", "count": 2, "lasting": 1}


def test_a_form_says_its_name() -> None:
    assert (verb(PaintAll), verb(Done)) == ("paint_all", "done")


def test_what_fits_is_filled_in_and_what_is_left_out_is_the_default() -> None:
    assert fill_in(PaintAll, {**FITTING, "more": "passed over"}, b"xyz") == PaintAll("a", 2, 1.0, b"xyz")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    (
        ("name", None, "'paint_all' takes no name=None: it is no text"),
        ("count", True, "it is no whole number"),
        ("count", 3, "it is odd"),
        ("lasting", "1", "it is no number"),
        ("lasting", math.nan, "it is no length of time"),
        ("lasting", -(10**400), "it is no length of time"),
        ("colour", "blue", "'blue' is not a valid Colour"),
        ("words", "ab", "it is no list"),
        ("words", ["a", 1], "it is no text"),
        ("places", ["a"], "it is no table"),
        ("places", {"a": {"size": 1}}, "'place' needs 'path'"),
        ("places", {"a": {"path": "p", "size": "1"}}, "it is no whole number"),
        ("quick", 1, "it is no truth value"),
    ),
)
def test_what_does_not_fit_is_refused_by_name(name: str, value: object, reason: str) -> None:
    with pytest.raises(ValueError, match="takes no") as refused:
        fill_in(PaintAll, {**FITTING, name: value})
    assert reason in str(refused.value)


def test_what_is_missing_is_named_and_bytes_go_only_where_there_is_a_field_for_them() -> None:
    with pytest.raises(ValueError, match="'paint_all' needs 'count'"):
        fill_in(PaintAll, {"name": "a", "lasting": 1})
    with pytest.raises(ValueError, match="'place' takes no bytes behind it"):
        fill_in(Place, {"path": "p"}, b"x")


def test_a_field_may_not_be_called_what_a_header_says_itself() -> None:
    class Odd(NamedTuple):
        error: str

    with pytest.raises(TypeError, match="Odd can't have a field called 'error'"):
        verb(Odd)


def test_a_length_of_time_may_be_for_ever() -> None:
    assert fill_in(PaintAll, {**FITTING, "lasting": 10**400}).lasting == math.inf


places = st.builds(Place, st.text(), st.none() | st.integers())
paints = st.builds(
    PaintAll,
    name=st.text(),
    count=st.integers().map(lambda each: 2 * each),
    lasting=st.floats(min_value=0),
    data=st.binary(),
    colour=st.just(Colour.RED),
    rest=st.none(),
    words=st.lists(st.text()).map(tuple),
    places=st.dictionaries(st.text(), places),
    quick=st.booleans(),
)


@given(paints)
def test_what_was_spread_is_filled_in_the_same(paint: PaintAll) -> None:
    fields, data = spread(paint)

    assert fill_in(PaintAll, json.loads(json.dumps(fields)), data) == paint


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(PaintAll._fields, odd)))
def test_whatever_comes_is_filled_in_or_refused(fields: dict[str, Any]) -> None:
    try:
        fill_in(PaintAll, fields)
    except ValueError as refused:
        assert 0 < len(str(refused)) < 500  # noqa: PT017


def test_whatever_is_shown_is_short() -> None:
    assert shown("x" * 1000) == "'" + "x" * 59 + "…"
    assert shown(10**5000) == "a int that can't be shown"
