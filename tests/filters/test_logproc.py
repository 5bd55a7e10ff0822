"""The logproc language: what upstream takes, with its meaning; what it lacks; and errors that point at the place."""

import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.filters import expressions, logproc
from lucy_core.filters.logproc import Filter, FilterSyntaxError
from lucy_core.formats.auto import AutoFormat
from lucy_core.mina.format import LEVELS, MinaFormat
from lucy_core.records.record import Event, Record, plain_record

RECORD = {
    "timestamp": "2026-01-10 12:00:00.000001Z",
    "level": "Warn",
    "source": {"module": "Mina_lib", "location": 'File "mina_lib.ml"'},
    "message": "Peer $peer left",
    "metadata": {
        "peer": "p1",
        "n": 3,
        "x": 1.5,
        "whole": 1.0,
        "yes": True,
        "no": False,
        "none": None,
        "zero": 0,
        "a b": 'say "x"\n',
        "list": ["a", {"deep": [1, 2]}],
        "name": "ümlaut",
    },
    "extra": 7,
}

# Upstream's own forms, with the verdicts that its source gives them.
AS_UPSTREAM = (
    ("", True),
    ("true", True),
    ("false", False),
    ("!false", True),
    ('.level == "Warn"', True),
    ('.level != "Warn"', False),
    ('.["level"] == "Warn"', True),
    ('.level in ["Spam", "Warn"]', True),
    ('!(.level in ["Spam", "Debug"])', True),
    ('.metadata.peer in ["p1"]', True),
    ('.metadata.n in "n"', False),
    (".message match /^Peer .* left$/", True),
    (".message match /eer/", True),
    (".metadata.n match /3/", False),
    (".source.location match /\\/x|mina_lib\\.ml/", True),
    (".metadata.n == 3", True),
    ('.metadata.n == "3"', False),
    (".metadata.whole == 1", False),
    (".metadata.yes == true", True),
    (".metadata.list[0] == .metadata.peer", False),
    (".metadata.list[1].deep[1] == 2", True),
    ("[.metadata.n, 4] == [3, 4]", True),
    ("[.metadata.missing, 4] == [3, 4]", False),
    ('.metadata.missing == "x"', False),
    ('.metadata.missing != "x"', False),
    ('!(.metadata.missing == "x")', True),
    (".metadata.list[9] != 1", False),
    (".level.name == 1", False),
    ("!.level == 1 && .level == 2", True),
    ('.level == "Warn" && !.metadata.n == 3 || true', False),
    ("(true && false) || true", True),
    ('["a"] == ["a"]', True),
    ('.metadata.peer\n==\n"p1"', True),
)
BEYOND_UPSTREAM = (
    ("level >= Warn", True),
    ("level > Warn", False),
    ("Info", True),
    ("Error", False),
    ("Error || .metadata.n == 3", True),
    ("level == warn", True),
    ('.level >= "info"', True),
    ("level in [Warn, Error]", True),
    ("Warn <= .level", True),
    ("true || false && false", True),
    ("false && false || true", True),
    ("(true || false) && false", False),
    ("true && true && false", False),
    (".metadata.n > 2 && .metadata.n <= 3.0", True),
    (".metadata.x == 1.5", True),
    (".metadata.n > -1e3", True),
    (".metadata.yes > 0", False),
    (".metadata.peer > 0", False),
    ('.timestamp >= "2026-01-10"', True),
    (".metadata.none == null", True),
    (".metadata.whole == 1.0", True),
    (".metadata.yes == 1", False),
    (".metadata.peer", True),
    (".metadata.zero", True),
    (".metadata.none", False),
    (".metadata.no", False),
    (".metadata.missing", False),
    ("!(.metadata.missing)", True),
    ('["level"] == "Warn"', True),
    ('["level"] in ["Warn"]', True),
    ('["message"] match /left/', True),
    ('["metadata"].n == 3', True),
    ('.metadata["a b"] == "say \\"x\\"\\n"', True),
    ('.metadata.["a b"] match /say/', True),
    ('.metadata.name == "ümlaut"', True),
    ('.metadata.name == "\\u00fcmlaut"', True),
    ("\t.metadata.n\t==\t3 ", True),
    (".source.location match /[\\\\]\\\\/", False),
)


@pytest.mark.parametrize(("text", "verdict"), (*AS_UPSTREAM, *BEYOND_UPSTREAM))
def test_a_filter_says_of_a_record_what_it_says_of_its_line(text: str, verdict: bool) -> None:
    line = json.dumps(RECORD).encode()
    record = MinaFormat().read(line)
    wanted = lucy.logproc(text)
    assert Filter(text).matches(RECORD) is verdict
    assert wanted(line) is wanted(line.decode()) is wanted(RECORD) is verdict
    assert wanted(record) is wanted(Event("a", 0, 0, record, record)) is verdict


@pytest.mark.parametrize(
    ("text", "column", "expected", "found"),
    (
        ('.level = "x"', 8, "expected ==, !=,", "found '= \"x\"'"),
        (".level == Erorr", 11, "a string stands in quotes", "found 'Erorr'"),
        (".level ==", 10, "expected a value", "found the end"),
        ("(.a == 1", 9, "expected &&, || or )", "found the end"),
        (".a == 1)", 8, "expected &&, || or the end", "found ')'"),
        ("&& true", 1, "expected a value", "found '&& true'"),
        (".a == 1 and .b == 2", 9, "expected &&, || or the end", "found 'and .b == 2'"),
        ("5", 2, "expected ==, !=,", "found the end"),
        ('"x" == "y', 8, "closing quote", "found '\"y'"),
        ('.a == "\\x"', 7, "JSON's escapes", "found"),
        (".a.5 == 1", 4, "a field's name", "found '5 == 1'"),
        (".a[-1] == 1", 4, "an index", "found"),
        (".a[0 == 1", 6, "expected ]", "found"),
        (".a == 1x", 7, "a number", "found '1x'"),
        (".a == " + "9" * 101, 7, "at most 100 digits", "found"),
        ("[1,] == .a", 4, "expected , or ]", "found"),
        (".a match x", 10, "between slashes", "found 'x'"),
        (".a match /(/", 10, "unterminated subpattern", "found"),
        (".a match /(?=b)/", 10, "looking ahead or behind can't be searched for in bounded time", "found"),
        (r".a match /(b)\1/", 10, "what a group matched before", "found"),
        (".a match /((b{99}){99})/", 10, "more than 1,000 steps", "found"),
        (".a match /[[:alpha:]]/", 10, "Possible nested set", "found"),
        ("(" * 101, 101, "less than 100 nested", "found '('"),
        ("!" * 101, 101, "less than 100 nested", "found '!'"),
        ("[" * 101, 101, "less than 100 nested", "found '['"),
    ),
)
def test_a_wrong_filter_is_refused_at_its_place(text: str, column: int, expected: str, found: str) -> None:
    with pytest.raises(lucy.FilterError) as caught:
        lucy.logproc(text)
    cause = caught.value.__cause__
    assert isinstance(cause, FilterSyntaxError)
    assert cause.column == column
    assert expected in cause.problem
    assert found in cause.problem
    shown, pointer = str(caught.value).split("\n")[-2:]
    assert pointer.index("^") - shown.index(text) == column - 1


def test_what_is_no_record_always_passes() -> None:
    wanted = lucy.logproc("false")
    for line in (b"", b"plain text", b"[1]", b'{"cut', b"\xff", b'{"a":' + b"[" * 100_000):
        assert wanted(line)
    assert not wanted(b"{}")


@pytest.mark.parametrize("raw", (b'{"x":"\xff"}', b'{"x":1e999}'))
def test_a_record_with_something_unreadable_in_it_raises_nothing(raw: bytes) -> None:
    line = b'{"message":"m","metadata":' + raw + b"}"
    record = MinaFormat().read(line)
    assert lucy.logproc(".metadata.x")(record)
    assert lucy.logproc(".metadata.x")(line)
    assert not lucy.logproc('message == "n"')(record)


def test_a_level_that_nobody_knows_is_neither_more_nor_less_than_any() -> None:
    for text in ("level >= Info", "level < Fatal", "level > Internal", "Info"):
        assert not lucy.logproc(text)(b'{"level":"Grave"}')
        assert not lucy.logproc(text)(b'{"level":7}')
        assert not lucy.logproc(text)(plain_record(b"no level at all"))
    assert lucy.logproc('!(level >= Info) && level == "Grave"')(b'{"level":"Grave"}')


def test_a_record_of_any_format_is_asked_for_its_text_its_level_and_all_that_its_line_has() -> None:
    line = json.dumps({**RECORD, "extra": 7}).encode()
    for record in (MinaFormat().read(line), AutoFormat().read(line)):
        assert lucy.logproc('.extra == 7 && message match /left/ && level >= Warn && .metadata.peer == "p1"')(record)
        assert not lucy.logproc(".extra == 8")(record)
    assert lucy.logproc("message match /^panic/")(plain_record(b"panic: at the disco"))


@pytest.mark.parametrize(
    ("log_format", "line"),
    (
        # Words that a format means more, or less, by than software at large does.
        (lucy.log_format("json"), b'{"level":"panic","msg":"p","time":"2026-12-01T10:00:00Z"}'),
        (lucy.log_format("postgresql"), b"PANIC:  could not write to file"),
        (lucy.log_format("rabbitmq"), b"2026-12-01 10:00:00.123 [critical] <0.9.0> no memory"),
        (lucy.json_lines(levels={"info": "ERROR"}), b'{"level":"info","msg":"m"}'),
        (lucy.log_format("json"), b'{"level":40,"time":1796119200123,"msg":"m"}'),
        (lucy.log_format("json"), b'{"severity":"ERROR","message":"boom"}'),
        (lucy.log_format("json"), b'{"message":"m","level":200,"level_name":"INFO","channel":"shop","datetime":"now"}'),
        # No word at all.
        (lucy.log_format("redis"), b"1:signal-handler (1796119200) Received SIGTERM scheduling shutdown..."),
    ),
)
def test_a_level_is_what_the_records_own_format_means_by_its_word(log_format: lucy.Format, line: bytes) -> None:
    record = log_format.read(line)
    for name in ("Trace", "Debug", "Info", "Warn", "Error", "Fatal"):
        is_least = record.severity >= lucy.Severity[name.upper()]
        assert lucy.logproc(f"level >= {name}")(record) is lucy.logproc(f"{name} <= .level")(record) is is_least


def test_levels_are_ordered_as_records_order_them() -> None:
    in_order = [name.capitalize() for name in LEVELS]
    for less, more in itertools.pairwise(in_order):
        assert lucy.logproc(f"level < {more}")({"level": less})
        assert logproc.SEVERITIES[less] < logproc.SEVERITIES[more]


TOKENS = r"""
.level .metadata.n .metadata.list level Warn info true false null 1 -2.5 1e3 "x" "\u0041" [ ] ( ) ! && || == != < <=
> >= in match /a|b/ /[/ , . .[ " \ / é
"""
words = st.sampled_from((*TOKENS.split(), "", "\t"))


@given(st.lists(words, max_size=14).map(" ".join))
def test_any_text_is_a_filter_or_an_error_that_points_into_it(text: str) -> None:
    try:
        wanted = Filter(text)
    except FilterSyntaxError as error:
        assert 1 <= error.column <= len(text) + 1  # noqa: PT017  # either outcome is right
    else:
        assert isinstance(wanted.matches(RECORD), bool)
        assert wanted.keeps(json.dumps(RECORD).encode()) is wanted.matches(RECORD)


floats = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | floats | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def typed(value: object) -> object:
    """A value in which 1, 1.0 and True are three things."""
    match value:
        case dict():
            return {key: typed(each) for key, each in value.items()}
        case list():
            return [typed(each) for each in value]
        case _:
            return type(value).__name__, value


@given(json_values, json_values)
def test_equality_is_that_of_json_with_types(first: object, second: object) -> None:
    record = {"a": first, "b": second}
    same = typed(first) == typed(second)
    assert Filter(".a == .b").matches(record) is same
    assert Filter(".a != .b").matches(record) is not same
    assert Filter(".a in [.b]").matches(record) is same
    assert Filter(".a == .a && .b in [1, .b]").matches(record)


@given(st.text(), st.integers(-(10**20), 10**20), floats)
def test_a_literal_is_the_value_that_json_reads(text: str, whole: int, broken: float) -> None:
    for value in (text, whole, broken):
        literal = json.dumps(value)
        assert Filter(f".a == {literal}").matches({"a": json.loads(literal)})
    assert Filter(f".a <= {json.dumps(whole)}").matches({"a": -math.inf})


def test_no_line_and_no_expression_holds_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = lucy.logproc(".message match /^(a+)+$/")  # over which `re` takes years
    assert wanted({"message": "a" * 5000})
    assert not wanted({"message": "a" * 5000 + "b"})
    # What is too much work all the same is nobody's truth: an error, and no reason to leave out a line.
    monkeypatch.setattr(expressions, "LONGEST", 1000)
    record = Record(raw=b"", text="a" * 1001)
    with pytest.raises(lucy.FilterError, match="can't be said: .* a text of 1,001 characters is too long"):
        wanted(record)
    with pytest.raises(lucy.FilterError, match="can't be said"):
        wanted({"message": "a" * 1001})
    assert Filter(wanted._filter.text).keeps(b'{"message":"%b"}' % (b"a" * 1001))


@pytest.mark.anyio
async def test_a_stream_is_filtered_by_it(tmp_path: Path) -> None:
    async with Pipeline.pass_through() as pipeline:
        found: list[str] = []
        wanted = lucy.logproc('level >= Warn && .metadata.peer in ["p1", "p2"]')
        pipeline.records().filter(wanted).subscribe(lambda event: found.append(event.data.text))
        for level, peer in (("Warn", "p1"), ("Info", "p1"), ("Error", "p3"), ("Fatal", "p2")):
            line = {"level": level, "message": f"{level} of {peer}", "metadata": {"peer": peer}}
            pipeline.write_nowait("a", json.dumps(line).encode() + b"\n")
    assert found == ["Warn of p1", "Fatal of p2"]
