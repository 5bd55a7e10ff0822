"""Lines of all kinds, each found by itself: alone, among others, and in a block of one kind that has a fast path."""

import random

import pytest
from json_samples import SAMPLES
from sample import Sample, each
from text_samples import TEXT_SAMPLES

from lucy_core.formats.auto import AutoFormat
from lucy_core.formats.contract import read_by_line
from lucy_core.formats.envelope import EnvelopeRecord
from lucy_core.formats.json import JsonFormat, JsonRecord
from lucy_core.testing.format_conformance.material import FIRST, block_of, seen

auto = AutoFormat()
KNOWN = [sample for sample in (*SAMPLES, *TEXT_SAMPLES) if sample.auto]
ENVELOPES = [
    b'{"timestamp":"2026-12-01 10:00:00.%06dZ","level":"Info","message":"tick $n","metadata":{"n":%d}}' % (n, n)
    for n in range(40)
]
OTHERS = (
    b'{"timestamp":"2026-12-01 10:00:00.123456Z","level":"Info","message":"of winston"}',
    b'{"message":"boom","severity":"ERROR","metadata":{"n":1}}',
    b'{"message":"boom","\\u0073everity":"ERROR","metadata":{"n":1}}',
    b'{"@timestamp":"2026-12-01T10:00:00Z","message":"boom","log.level":"error","event_id":"e"}',
    b'{"message":"by number","level":30,"metadata":{}}',
    b'{"message":"an id of null","event_id":null}',
    b'{"msg":"no message","metadata":{"n":1}}',
    b'{"level":"info","ts":1796119200,"msg":"of zap"}',
    b"panic: plain",
    b'{"message":"torn',
    b"",
)


@pytest.mark.parametrize("sample", each(KNOWN))
def test_a_line_shows_what_it_is(sample: Sample) -> None:
    record = auto.read(sample.line)

    assert record.kind == sample.kind
    assert (record.text, record.severity, record.severity_text) == (sample.text, sample.severity, sample.word)
    assert (record.time, record.fields, record.id) == (sample.time, sample.fields, sample.id)


def test_lines_of_all_kinds_in_one_log_are_each_read_as_if_alone() -> None:
    for turn in range(5):
        samples = random.Random(turn).sample(KNOWN * 3, len(KNOWN) * 3)
        batch = auto.read_block(block_of([sample.line for sample in samples]))
        assert list(batch.positions) == list(range(FIRST, FIRST + len(samples)))
        for index, sample in enumerate(samples):
            record = batch.at(index)
            assert record.raw == sample.line
            assert record == auto.read(sample.line)
            assert (record.text, record.severity, record.fields) == (sample.text, sample.severity, sample.fields)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("place", (0, 20, 39))
def test_one_line_of_another_kind_among_envelopes_is_read_as_what_it_is(other: bytes, place: int) -> None:
    lines = [*ENVELOPES[:place], other, *ENVELOPES[place:]]
    block = block_of(lines)

    assert seen(auto.read_block(block)) == seen(read_by_line(block, auto))
    found = [each for each in seen(auto.read_block(block)) if each.position != FIRST + place]
    assert [each.raw for each in found] == ENVELOPES
    assert {each.said[0] for each in found} == {"FoundEnvelope"}


OBJECTS = [b'{"level":"info","ts":%d,"msg":"tick %d"}' % (1796119200 + n, n) for n in range(40)]


@pytest.mark.parametrize("other", (*OTHERS, ENVELOPES[0], b'  {"msg":"indented"}', b'{"level":"loud","msg":"unknown"}'))
@pytest.mark.parametrize("place", (0, 20, 39))
def test_one_line_of_another_kind_among_objects_is_read_as_what_it_is(other: bytes, place: int) -> None:
    block = block_of([*OBJECTS[:place], other, *OBJECTS[place:]])

    for reader in (auto, JsonFormat()):
        batch, expected = reader.read_block(block), read_by_line(block, reader)
        assert seen(batch) == seen(expected)
        assert (batch.found, batch.unleveled) == (expected.found, expected.unleveled)
        assert [batch.at(index) for index in range(len(batch.records))] == expected.records


def test_what_only_looks_like_an_envelope_keeps_its_severity() -> None:
    record = auto.read(b'{"message":"boom","severity":"ERROR","metadata":{"n":1}}')
    assert (type(record), record.kind, record.severity_text) == (JsonRecord, "json (gcp)", "ERROR")


def test_an_envelope_with_metadata_that_python_cannot_hold_is_one_all_the_same() -> None:
    line = b'{"message":"m","metadata":{"n":%b}}' % (b"9" * 5000)
    record = auto.read(line)
    assert isinstance(record, EnvelopeRecord)
    assert (record.text, record.raw) == ("m", line)
    with pytest.raises(ValueError):
        _ = record.fields


@pytest.mark.parametrize(
    "line", (b'{"a":', b'{"a":1}{"b":2}', b"{", b"{peer a7}", b'  {"a":NaN}', b'{"message":"\xff"}')
)
def test_what_begins_as_an_object_and_is_none_is_malformed(line: bytes) -> None:
    batch = auto.read_block(block_of([b"before", line, b"after"]))
    assert [bad.raw for bad in batch.malformed] == [line]
    assert [record.text for record in batch.records] == ["before", "after"]


def test_a_block_says_how_many_lines_were_of_which_kind() -> None:
    lines = [*ENVELOPES[:3], b'{"level":"info","ts":1796119200,"msg":"of zap"}', b"plain", b'{"msg":1}']
    assert auto.read_block(block_of(lines)).found == {"envelope": 3, "json (zap)": 1, "text": 1, "json": 1}
    assert auto.read_block(block_of(ENVELOPES)).found == {"envelope": 40}
