"""The suite for formats, tested: an author's format can run it, and each broken promise fails it by name."""

import os
import re
import sys
import textwrap

import pytest

from lucy_core.testing import format_conformance

pytest_plugins = ["pytester"]
ALONE = ("-p", "no:cacheprovider", "-p", "no:asyncio")

# A format that an author might write, right; below, one with a defect each.
MY_FORMAT = r"""
import re
import msgspec
from lucy_core.formats.contract import Batch, Format, Needles, read_by_line
from lucy_core.records.record import Record, plain_record
from lucy_core.records.severity import Severity

class MyRecord(Record, frozen=True, gc=False, kw_only=True):
    number: int
    told: str = ""

    @property
    def severity(self):
        return Severity.ERROR if self.number < 4 else Severity.INFO

class MyFormat(Format):
    name = "mine"

    def read(self, line):
        found = re.match(rb"<(\d)> ", line)
        if found is None:
            return plain_record(line)
        text = line[found.end():].decode(errors="backslashreplace").rstrip("\r")
        return MyRecord(raw=line, text=text, number=int(found[1]))
"""
BROKEN = r"""
from my_format import *

class Remembers(MyFormat):
    last = ""
    def read(self, line):
        record = super().read(line)
        if type(record) is MyRecord:
            record, self.last = msgspec.structs.replace(record, text=record.text + self.last), record.text[:1]
        return record

class Raises(MyFormat):
    def read(self, line):
        if line.startswith(b"%"):
            raise KeyError("%")
        return super().read(line)

class Refuses(MyFormat):
    def read(self, line):
        if line.startswith(b"<6>"):
            raise ValueError("it is six")
        return super().read(line)

class LosesALine(MyFormat):
    def read_block(self, block):
        batch = read_by_line(block, self)
        return Batch(block, batch.records[:-1], batch.positions[:-1], batch.malformed)

class Misplaces(MyFormat):
    def read_block(self, block):
        batch = read_by_line(block, self)
        return Batch(block, batch.records, [each + 1 for each in batch.positions], batch.malformed)

class CutsRaw(MyFormat):
    def read(self, line):
        return msgspec.structs.replace(super().read(line), raw=line.rstrip())

class KeepsTheReturn(MyFormat):
    def read(self, line):
        record = super().read(line)
        return msgspec.structs.replace(record, text=record.text + "\r" * line.endswith(b"\r"))

class Miscounts(MyFormat):
    def read_block(self, block):
        batch = read_by_line(block, self)
        return Batch(block, batch.records, batch.positions, batch.malformed)

class ReadsTornEnds(MyFormat):
    def read_block(self, block):
        return read_by_line(msgspec.structs.replace(block, data=block.data + b"\n" * block.torn, torn=False), self)

class SearchesTooMuch(MyFormat):
    def needles(self, kinds):
        needles = super().needles(kinds)
        return needles and Needles(tuple(each.upper() for each in needles.literals))

class CannotBeShown(MyFormat):
    def render(self, record):
        return record.fields["told"]

class ForgetsOptions(MyFormat):
    def __init__(self, letter="<"):
        self.letter = letter
    @property
    def options(self):
        return {"letter": self.letter + "<"}
"""
# Which promise each breaks first.
CAUGHT = {
    "Remembers": "a_line_says_the_same_whatever_was_read_before",
    "Raises": "each_line_is_there_once_and_in_its_place",
    "Refuses": "each_of_the_authors_lines_is_a_record",
    "LosesALine": "each_line_is_there_once_and_in_its_place",
    "Misplaces": "each_line_is_there_once_and_in_its_place",
    "CutsRaw": "each_line_is_there_once_and_in_its_place",
    "KeepsTheReturn": "a_carriage_return_or_a_byte_order_mark_changes_nothing_but_the_bytes",
    "Miscounts": "an_unknown_severity_is_unspecified_and_counted",
    "ReadsTornEnds": "a_torn_end_costs_itself_alone",
    "SearchesTooMuch": "a_search_misses_no_wanted_line",
    "CannotBeShown": "every_record_can_be_shown",
    "ForgetsOptions": "its_options_make_it_again",
}


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory of an author's own, with a format in it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(pytester.path), *filter(None, sys.path))))
    pytester.makefile(".ini", pytest="[pytest]\nfilterwarnings = error\n")
    pytester.makepyfile(my_format=MY_FORMAT)
    return pytester


def example() -> str:
    """The example of the package's docstring, as it stands."""
    assert format_conformance.__doc__ is not None
    (found,) = re.findall(r"::\n\n(.*?)\n\n\S", format_conformance.__doc__, re.DOTALL)
    return textwrap.dedent(found)


def test_a_format_of_somebody_elses_passes(session: pytest.Pytester) -> None:
    session.makepyfile(test_my_format=example())

    counted = session.runpytest_subprocess("-q", *ALONE).parseoutcomes()

    assert set(counted) == {"passed"}
    assert counted["passed"] > 10


def test_each_broken_promise_fails_the_suite_by_its_name(session: pytest.Pytester) -> None:
    session.makepyfile(broken=BROKEN)
    suites = [example().replace("from my_format import MyFormat", "import broken")]
    suites += (
        f"class Test{name}(FormatConformance):\n"
        f"    log_format = broken.{name}()\n"
        f'    lines = (b"<3> disk full", b"<6> started in 3 ms", b"<6> listening on :80", b"plain")\n'
        for name in CAUGHT
    )
    text = "\n".join(suites).replace("log_format = MyFormat()", "log_format = broken.MyFormat()")
    session.makepyfile(test_broken=text)

    result = session.runpytest_subprocess("-q", "-rA", *ALONE, "--tb=no")

    failed = {
        tuple(found) for found in re.findall(r"^FAILED [^:]+::Test(\w+)::test_(\w+)", result.stdout.str(), re.MULTILINE)
    }
    assert {name for name, _ in failed} == set(CAUGHT)
    assert set(CAUGHT.items()) <= failed


def test_a_suite_without_lines_says_what_is_missing(session: pytest.Pytester) -> None:
    session.makepyfile(
        "from lucy_core.testing.format_conformance import FormatConformance\n"
        "from my_format import MyFormat\n"
        "class TestNothing(FormatConformance):\n    log_format = MyFormat()\n"
    )

    result = session.runpytest_subprocess("-q", *ALONE, "-k", "each_of_the_authors")

    result.stdout.fnmatch_lines("*TestNothing must set `lines`*")
