"""What was given, held against what is wanted."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lucy_core import arguments
from lucy_core.arguments import (
    count_of,
    function_of,
    items_of,
    mapping_of,
    moment_of,
    number_of,
    optional,
    path_of,
    seconds_of,
    some_seconds,
    text_of,
    tuple_of,
)
from lucy_core.errors import ArgumentError, LucyError, shown


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "value",
    (Unshowable(), 10**6000, "x" * 10**6, [[[[[[[[1]]]]]]]], {"a\nb": "\udcff"}, object(), int, len),
    ids=lambda value: type(value).__name__,
)
def test_whatever_was_given_is_shown_in_one_short_line(value: Any) -> None:
    text = shown(value)

    assert 0 < len(text) < 300
    assert text.isprintable()


def test_a_wrong_argument_is_a_type_error_and_a_value_error_of_lucys() -> None:
    with pytest.raises(ArgumentError, match="count=-1 is too small; the least is 1") as refused:
        count_of(-1, "count", 1)

    assert isinstance(refused.value, LucyError)
    assert isinstance(refused.value, TypeError)
    assert isinstance(refused.value, ValueError)
    assert (refused.value.name, refused.value.value) == ("count", -1)


async def some_async_function() -> None:
    """Never runs."""


@pytest.mark.parametrize(
    ("rule", "value"),
    (
        (text_of, 5),
        (text_of, None),
        (seconds_of, True),
        (seconds_of, math.nan),
        (seconds_of, -1),
        (some_seconds, 0),
        (some_seconds, math.inf),
        (number_of, 10**400),
        (number_of, math.nan),
        (moment_of, 1e300),
        (count_of, 1.0),
        (count_of, 1 << 63),
        (count_of, -1),
        (path_of, b"run"),
        (path_of, 5),
        (path_of, ""),
        (path_of, "a\0b"),
        (path_of, "x" * 5000),
        (function_of, 5),
        (function_of, some_async_function),
        (optional(text_of), 5),
        (tuple_of(text_of, "('a',)"), "abc"),
        (tuple_of(text_of, "('a',)"), {"a": "b"}),
        (tuple_of(text_of, "('a',)"), itertools.repeat("a")),
        (mapping_of(text_of, text_of, "{'a': 'b'}"), [("a", "b")]),
    ),
    ids=itertools.count(),
)
def test_what_is_of_no_use_is_refused_by_name(rule: Any, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "MOST_ITEMS", 1000)

    with pytest.raises(TypeError, match="^given"):
        rule(value, "given")


def test_what_is_of_use_is_what_is_meant() -> None:
    def letters() -> Iterator[str]:
        yield from "ab"

    assert seconds_of(10**400, "given") == math.inf
    assert path_of(Path("/run"), "given") == "/run"
    assert items_of(letters(), "given", "()") == ("a", "b")
    assert optional(text_of)(None, "given") is None
    assert mapping_of(text_of, tuple_of(text_of, "()"), "")({"a": ["b"]}, "given") == {"a": ("b",)}


def test_a_coroutine_that_was_given_is_closed_and_named() -> None:
    with pytest.raises(TypeError, match="given is a coroutine, which nobody awaits"):
        text_of(some_async_function(), "given")
