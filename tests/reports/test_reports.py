"""The reports of a run: for the terminal, for the browser, for CI."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.judging.result import (
    HeldError,
    LedgerRow,
    NodeResult,
    Outcome,
    RunResult,
    SectionResult,
    Severity,
    WaitResult,
)
from lucy_core.reports.junit import junit
from lucy_core.reports.page import html_report
from lucy_core.reports.text import report

RESULT = RunResult(
    run_id="small-1",
    scenario="small",
    engine="process",
    options={"seed": "1"},
    outcome=Outcome.FAILED,
    exit_code=1,
    started="2026-01-01T00:00:00+00:00",
    seconds=12.5,
    directory="/runs/small-1",
    again="lucy process small --seed 1",
    sections=(
        SectionResult("begin", 0.0, 2.0, "passed", 1),
        SectionResult("middle", 2.0, 3.0, "soft errors", 2),
        SectionResult("end", 5.0, 7.0, "failed", 5),
    ),
    waits=(
        WaitResult(
            description="two blocks",
            section="begin",
            started=0.5,
            seconds=1.5,
            soft=3,
            hard=6,
            outcome="passed",
            id=4,
            inside=1,
        ),
    ),
    errors=(
        HeldError(Severity.SOFT, "middle", "check", "a little late", 4.0, 2),
        HeldError(Severity.HARD, "end", "CheckFailedError", "<b>chains</b> differ & more", 11.0, 5),
    ),
    nodes=(NodeResult("one", "producer", "running", ("started at 0.1 s",)),),
    ledger=(
        LedgerRow(
            node="one",
            lines=1234,
            bytes=5_000_000,
            malformed=2,
            torn=1,
            undecodable=0,
            lag_max=0.25,
            blocked=0.0,
            failures=(),
            capture="engine",
            filtered_lines=7654,
            filtered_bytes=3_000_000,
        ),
    ),
)


def test_the_ledger_says_which_way_lines_took_and_what_a_filter_left_out() -> None:
    text = report(RESULT, coloured=False, kept=True)

    assert re.search(r"^  one +1,234 .* engine$", text, re.MULTILINE)
    assert "    left out by the capture filter: 7,654 lines, 3.0 MB" in text
    assert '<td class="">engine</td><td class="n">7,654</td>' in html_report(RESULT)


def test_the_text_tells_each_section_with_its_mark_its_waits_and_its_errors() -> None:
    text = report(RESULT, coloured=False, kept=True)

    lines = text.splitlines()
    marks = {line.split()[1]: line.split()[0] for line in lines if line.endswith(" s") and line[2:3] in "✓!\u00d7"}
    assert marks == {"begin": "✓", "middle": "!", "end": "\u00d7"}
    assert any("two blocks" in line and "25 % of 6 s, soft 3 s" in line for line in lines)
    assert any("a little late" in line for line in lines)
    assert any("one" in line and "1,234" in line and "5.0" in line and "250 ms" in line for line in lines)
    assert "/runs/small-1/report.html" in text
    assert "lucy process small --seed 1" in text


def test_only_a_terminal_gets_colours() -> None:
    assert "\x1b" not in report(RESULT, coloured=False, kept=True)
    assert "\x1b[31m" in report(RESULT, coloured=True, kept=True)


def test_a_removed_run_directory_is_not_pointed_at() -> None:
    assert "/runs/small-1" not in report(RESULT, coloured=False, kept=False)


def test_a_section_that_was_cut_short_is_not_called_failed() -> None:
    cut = msgspec.structs.replace(RESULT, outcome=Outcome.INTERRUPTED, exit_code=130, errors=())

    assert "\N{EN DASH} end" in report(cut, coloured=False, kept=True)


def test_junit_has_a_case_a_section_and_one_for_the_run() -> None:
    suite = ET.fromstring(junit(RESULT)).find("testsuite")

    failed = {case.get("name"): case.find("failure") is not None for case in suite.findall("testcase")}
    assert failed == {"begin": False, "middle": True, "end": True, "small": True}
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "3", "0")
    assert suite.find("testcase[@name='end']/failure").get("type") == "CheckFailedError"


@pytest.mark.parametrize("outcome", (Outcome.INCONCLUSIVE, Outcome.INFRASTRUCTURE, Outcome.INTERRUPTED))
def test_junit_calls_an_error_what_is_no_failure(outcome: Outcome) -> None:
    result = msgspec.structs.replace(RESULT, outcome=outcome, sections=(), errors=())

    suite = ET.fromstring(junit(result)).find("testsuite")

    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")


@given(st.text())
def test_whatever_a_node_wrote_junit_parses(text: str) -> None:
    error = HeldError(Severity.HARD, "end", "CheckFailedError", text, 1.0)

    ET.fromstring(junit(msgspec.structs.replace(RESULT, errors=(error,), traceback=text)))


def test_the_page_shows_messages_as_text_and_needs_nothing_else() -> None:
    page = html_report(RESULT)

    seen: list[tuple[str, dict]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: seen.append((tag, dict(attributes)))
    parser.feed(page)
    assert "&lt;b&gt;chains&lt;/b&gt; differ &amp; more" in page
    assert {tag for tag, _ in seen} & {"script", "link", "img", "b"} == set()
    assert all(not attributes.get("href", "").startswith("http") for _, attributes in seen)
