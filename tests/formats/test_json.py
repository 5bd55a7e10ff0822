"""JSON of everybody's loggers: read to the right text, severity, time and fields, by the keys alone."""

import pytest
from json_samples import SAMPLES
from sample import Sample, each

import lucy_core as lucy
from lucy_core.formats.json import JsonFormat, json_lines
from lucy_core.formats.json_kinds import KINDS


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
