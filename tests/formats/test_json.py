"""JSON of everybody's loggers: read to the right text, severity, time and fields, by the keys alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_samples import SAMPLES
from sample import Sample, each, remade

from lucy_core.errors import ArgumentError
from lucy_core.formats.auto import AutoFormat
from lucy_core.formats.choice import log_format
from lucy_core.formats.contract import Format
from lucy_core.formats.json import JsonFormat, json_lines
from lucy_core.formats.json_kinds import KINDS, UNKNOWN
from lucy_core.records.severity import Severity
from lucy_core.testing.format_conformance.material import FIRST, block_of, said, seen


@pytest.mark.parametrize("sample", each(SAMPLES))
def test_a_line_is_read_to_what_it_says(sample: Sample) -> None:
    record = JsonFormat(**sample.options).read(sample.line)

    assert record.raw == sample.line
    assert (record.text, record.severity, record.severity_text) == (sample.text, sample.severity, sample.word)
    assert record.time == sample.time
    assert record.fields == sample.fields
    assert record.id == sample.id
    assert record.kind == sample.kind
    if sample.extra is not None:
        assert record.extra == sample.extra


def test_each_kind_has_three_samples():
    count = {kind.name: 0 for kind in KINDS}
    for sample in SAMPLES:
        name = sample.kind.removeprefix("json").strip(" ()")
        if name:
            count[name] += 1
    others = {"hclog", "gelf", "logstash", "mongodb", "monolog"}
    assert {name for name, number in count.items() if number < (1 if name in others else 3)} == set()


def test_a_log_of_plain_lines_among_json_loses_none() -> None:
    lines = [b'{"level":"info","ts":1796119200,"msg":"up"}', b"goroutine 1 [running]:", b"\tmain.go:3", b'{"level":']
    batch = JsonFormat().read_block(block_of(lines))

    assert [(record.kind, record.text) for record in batch.records] == [
        ("json (zap)", "up"),
        ("text", "goroutine 1 [running]:"),
        ("text", "\tmain.go:3"),
    ]
    assert [(bad.position, bad.raw) for bad in batch.malformed] == [(FIRST + 3, b'{"level":')]


@pytest.mark.parametrize(
    ("value", "severity"),
    (
        ('"INFO"', Severity.INFO),
        ('" Warn "', Severity.WARN),
        ('"INFO+1"', Severity.INFO2),
        ('"ERROR+99"', Severity.FATAL4),
        ('"DEBUG-9"', Severity.TRACE),
        ('"30"', Severity.INFO),
        *(('"loud"', Severity.UNSPECIFIED), ('""', Severity.UNSPECIFIED), ("null", Severity.UNSPECIFIED)),
        *(("true", Severity.UNSPECIFIED), ("[]", Severity.UNSPECIFIED), ('{"name":"info"}', Severity.UNSPECIFIED)),
        *(("7", Severity.UNSPECIFIED), ("-1", Severity.UNSPECIFIED), ("1e300", Severity.UNSPECIFIED)),
        *(("30", Severity.INFO), ("30.0", Severity.INFO), ("35", Severity.INFO), ("100", Severity.UNSPECIFIED)),
    ),
)
def test_a_level_that_nobody_knows_is_unspecified_and_never_info(value: str, severity: Severity) -> None:
    line = b'{"level":%b,"msg":"m"}' % value.encode()
    batch = JsonFormat().read_block(block_of([line]))
    assert (batch.records[0].severity, batch.unleveled) == (severity, int(not severity))


@pytest.mark.parametrize(
    "line", (b'{"a":NaN}', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b'{"a":' + b"9" * 5000 + b"}", b'{"a":1}x')
)
def test_what_is_no_json_is_refused_with_a_reason(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        JsonFormat().read(line)


def test_an_object_without_known_keys_is_its_own_text_and_shown_once() -> None:
    log_format = JsonFormat()
    record = log_format.read(b' {"a": 1, "b": [2]} ')
    assert record.text == '{"a": 1, "b": [2]}'
    assert record.fields == {"a": 1, "b": [2]}
    assert log_format.render(record) == '{"a": 1, "b": [2]}'


def test_more_shapes_than_are_remembered_are_read_alike() -> None:
    log_format = JsonFormat()
    for n in range(5000):
        record = log_format.read(b'{"level":"warn","msg":"m","key%d":%d}' % (n, n))
        assert (record.text, record.severity, record.fields) == ("m", Severity.WARN, {f"key{n}": n})


def test_named_keys_are_made_again_by_name_and_options() -> None:
    made = json_lines(message="what", levels={"odd": "WARN"})
    assert made.options == {"message": "what", "levels": {"odd": "WARN"}}
    again = remade(made)
    assert isinstance(again, JsonFormat)
    assert again.options == made.options
    assert log_format("json", message="what").options == {"message": "what"}
    assert remade(JsonFormat()).options == {}


def test_a_word_that_is_to_mean_nothing_is_written_down_so():
    made = json_lines(levels={"info": Severity.UNSPECIFIED})
    again = remade(made)
    for chosen in (made, again):
        assert chosen.read(b'{"level":"info","msg":"m"}').severity is Severity.UNSPECIFIED
    assert again.options == {"levels": {"info": "UNSPECIFIED"}}


@pytest.mark.parametrize(
    ("options", "reason"),
    (
        ({"message": 3}, "message=3 is of type int"),
        ({"level": ""}, "level='' is no key"),
        ({"time": "a..b"}, r"time='a\.\.b' is no key"),
        ({"levels": {"odd": "LOUD"}}, r"levels\['odd'\]='LOUD' is no severity"),
        ({"levels": {"odd": 99}}, r"is no severity; give one"),
        ({"levels": "WARN"}, "levels='WARN' is of type str"),
    ),
)
def test_a_wrong_key_is_refused_by_its_name(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        log_format("json", **options)


@pytest.mark.parametrize("reader", (JsonFormat(), AutoFormat()), ids=("json", "auto"))
def test_colours_are_taken_off_for_reading(reader: Format) -> None:
    lines = [b'\x1b[36m{"level":"warn",\x1b[0m"msg":"m"}\x1b[0m', b"\x1b[31mplain\x1b[0m"]
    records = reader.read_block(block_of(lines)).records
    assert [(record.text, record.severity, record.raw) for record in records] == [
        ("m", Severity.WARN, lines[0]),
        ("plain", Severity.UNSPECIFIED, lines[1]),
    ]


def test_a_record_is_a_value() -> None:
    first, second = (JsonFormat().read(b'{"level":true,"msg":"m","list":[1]}') for _ in range(2))
    assert first == second
    assert len({first, second}) == 1
    assert first.severity_text == ""
    assert len(repr(first)) < 300


KEYS = sorted({path[0] for kind in (*KINDS, UNKNOWN) for path in (*kind.text, *kind.level, *kind.time, *kind.id)})
KEYS += sorted({key for kind in KINDS for key in (*kind.wants, *kind.one_of, *kind.about, kind.inside)})
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Whole characters alone: half a one is no JSON.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(("info", "WARN+1", "1796119200", "2026-12-01T10:00:00Z", "3")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("message", "level", "seconds")), inner)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(KEYS) | st.text("ab.", max_size=3), values, max_size=9))
def test_any_object_is_a_record_that_can_be_asked(document: dict[str, object]) -> None:
    line = json.dumps(document).encode()
    for reader in (JsonFormat(), AutoFormat()):
        (found,) = seen(reader.read_block(block_of([line])))
        record = reader.read(line)
        assert (found.raw, found.reason, found.said) == (line, "", said(record))
        assert set(document) - {"message"} >= set(record.extra) - {"message"}
        assert isinstance(reader.render(record), str)


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b'{"msg":' + tail))
def test_any_bytes_are_one_line_that_is_read_or_malformed(line: bytes) -> None:
    line = line.replace(b"\n", b"")
    for reader in (JsonFormat(), AutoFormat()):
        (found,) = seen(reader.read_block(block_of([line])))
        assert found.raw == line
