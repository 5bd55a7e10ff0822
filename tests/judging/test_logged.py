"""A line that says something, whatever its format: found wherever it stands, at its own position."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lucy_core as lucy
from lucy_core.errors import ArgumentError
from lucy_core.judging.conditions.logged import found_in
from lucy_core.testing import virtual_network, virtual_time

LINES = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=6)


@given(LINES, st.text("ab€\udcff".replace("\udcff", "z"), min_size=1, max_size=2))
def test_a_text_an_expression_of_it_and_its_bytes_are_found_in_the_same_line(lines: list[bytes], text: str) -> None:
    for at in range(len(lines)):
        told = [*lines[:at], lines[at] + text.encode() + b"!", *lines[at + 1 :]]
        raw = b"\n".join(told) + b"\n"
        first = next(index for index, line in enumerate(told) if text.encode() in line)
        assert found_in(raw, text) == (first, told[first])
        assert found_in(raw, re.compile(re.escape(text.encode()))) == (first, told[first])
        assert found_in(raw, re.compile(re.escape(text))) == (first, told[first])


@given(LINES)
def test_what_no_line_says_is_found_in_none(lines: list[bytes]) -> None:
    raw = b"\n".join(lines) + b"\n"
    for sought in ("not there at all", re.compile("not there at all"), re.compile(rb"$x")):
        assert found_in(raw, sought) is None


def test_an_expression_is_held_against_each_line_by_itself() -> None:
    assert found_in(b"one\nready\nready too\n", re.compile(r"^ready$")) == (1, b"ready")
    assert found_in(b"one\nready", re.compile(rb"^ready$")) == (1, b"ready")
    assert found_in(b"one\ntwo\n", re.compile(r"one.two", re.DOTALL)) is None


def test_the_outcome_has_the_line_and_its_place() -> None:
    async def run() -> None:
        async with virtual_network("a", "b") as virtual:
            virtual.write("b", b"ready\n")
            at = virtual.write("a", b"one\nnot json: ready\nthree\n")
            outcome = await virtual.network.wait_for(lucy.logged("ready", nodes=("a",)), since=0)
            assert (outcome.node, outcome.event.position) == ("a", at + 1)
            assert outcome.data.raw == b"not json: ready"

    virtual_time.run(run)


def test_a_limit_tells_what_came_instead() -> None:
    async def run() -> None:
        async with virtual_network("a") as virtual:
            virtual.write("a", b"one\nalmost there\n")
            with pytest.raises(lucy.WaitTimeoutError) as caught:
                await virtual.network.wait_for(lucy.logged(re.compile("ready|open")), since=0, hard=3)
            text = str(caught.value)
            assert "waiting for a line in which 'ready|open' finds something" in text
            assert "2 other lines came, the last: 'almost there'" in text

    virtual_time.run(run)


@pytest.mark.parametrize(
    ("sought", "text"),
    (
        (b"ready", "sought=b'ready' is of type bytes; give a text that stands in the line, or a re.Pattern"),
        ("", "stands in every line"),
        ("a\nb", "has a newline in it"),
        ("\ud800", "half a character"),
    ),
)
def test_what_no_line_can_say_is_refused(sought: object, text: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(text)):
        lucy.logged(sought)  # type: ignore[arg-type]
