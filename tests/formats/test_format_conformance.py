"""Every format that Lucy ships holds the contract, and so does a small one of somebody else's."""

import re

import json_samples
from text_samples import TEXT_SAMPLES

from lucy_core.formats.auto import AutoFormat
from lucy_core.formats.contract import Format
from lucy_core.formats.envelope import EnvelopeFormat
from lucy_core.formats.json import JsonFormat, json_lines
from lucy_core.records.record import Record, plain_record
from lucy_core.records.severity import Severity
from lucy_core.testing.format_conformance import FormatConformance

JSON = tuple(sample.line for sample in json_samples.SAMPLES)


class TestJson(FormatConformance):
    log_format = JsonFormat()
    lines = JSON


class TestNamedKeys(FormatConformance):
    log_format = json_lines(message="what", level="log.how", time="when", fields="data", levels={"odd": "WARN"})
    lines = (
        b'{"what":"started well","log":{"how":"odd"},"when":1796119200,"data":{"peer":"a7f3","n":3}}',
        b'{"what":"stopped","log.how":"error","when":"2026-12-01T10:00:00Z"}',
        b'{"level":"info","ts":1796119200,"msg":"the usual keys","peer":"a7f3"}',
        b"plain text",
    )


class TestEnvelope(FormatConformance):
    log_format = EnvelopeFormat()
    lines = tuple(sample.line for sample in json_samples.ENVELOPE)


class TestAuto(FormatConformance):
    log_format = AutoFormat()
    lines = (*JSON, *(sample.line for sample in TEXT_SAMPLES), b"plain text", b"another: line of it")


class NumberedRecord(Record, frozen=True, gc=False, kw_only=True):
    number: int

    @property
    def severity(self) -> Severity:
        return Severity.ERROR if self.number < 4 else Severity.INFO

    @property
    def severity_text(self) -> str:
        return str(self.number)


class NumberedFormat(Format):
    """A third party's: `<3> text`."""

    name = "numbered"

    def read(self, line: bytes) -> Record:
        found = re.match(rb"<(\d)> ", line)
        if found is None:
            return plain_record(line)
        text = line[found.end() :].decode().rstrip("\r")
        return NumberedRecord(raw=line, text=text, number=int(found[1]))


class TestThirdParty(FormatConformance):
    log_format = NumberedFormat()
    lines = (b"<3> disk full", b"<6> started in 3 ms", b"<6> listening on :80", b"plain")
