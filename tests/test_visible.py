"""Foreign text on a terminal, in a report, in an error's message."""

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lucy_core as lucy
from lucy_core.judging.result import HeldError, NodeResult, Outcome, RunResult, Severity
from lucy_core.reports.junit import junit
from lucy_core.reports.page import html_report
from lucy_core.reports.text import report
from lucy_core.visible import visible, visible_json, visible_throughout

HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x9b31m red\rHIDDEN\u202e reversed\x00\x7f\u2028 end"


def drives(text: str) -> set[str]:
    return {
        character
        for character in text
        if (unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in "\n\t")
        or unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    }


@given(st.text())
def test_whatever_was_written_nothing_of_it_drives_a_terminal(text: str) -> None:
    shown = visible(text)

    assert drives(shown) == set()
    assert visible(shown) == shown
    if not drives(text) and not set(text) & {"\u061c", "\u200e", "\u200f"}:
        assert shown == text


def test_what_would_drive_a_terminal_is_shown_as_what_it_is() -> None:
    assert visible("a\x1b[31mb\r\n\tc\u202e") == "a\\x1b[31mb\\r\n\tc\\u202e"


def test_an_error_shows_a_nodes_last_words_and_does_not_perform_them() -> None:
    error = lucy.NodeExitedError("one", "exited with code 3", 0.1, (HOSTILE,))

    assert drives(str(error)) == set()
    assert "pwned" in str(error)
    assert drives(str(lucy.UnknownNodeError("one", (HOSTILE,)))) == set()


@pytest.fixture
def result() -> RunResult:
    return RunResult(
        run_id="1",
        scenario=HOSTILE,
        engine="process",
        options={HOSTILE: HOSTILE},
        outcome=Outcome.FAILED,
        exit_code=1,
        started="",
        seconds=1.0,
        directory="/runs/1",
        again=HOSTILE,
        errors=(HeldError(Severity.HARD, HOSTILE, HOSTILE, HOSTILE, 1.0),),
        traceback=HOSTILE,
        nodes=(NodeResult("one", "role", "running", (HOSTILE,)),),
        ledger_notes=(HOSTILE,),
    )


def test_a_report_shows_foreign_text_and_only_its_own_colours(result: RunResult) -> None:
    text = report(result, coloured=False, kept=True)
    coloured = report(result, coloured=True, kept=True)

    assert drives(text) == set()
    assert drives(coloured) == {"\x1b"}
    assert coloured.count("\x1b") == coloured.count("\x1b[0m") + sum(
        coloured.count(f"\x1b[{colour}m") for colour in (1, 31, 32, 33, 36)
    )
    assert drives(html_report(result)) == set()
    assert drives(junit(result).decode()) == set()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_drives_no_terminal_and_says_the_same(text: str) -> None:
    data = visible_json(msgspec.json.encode(text))

    assert drives(data.decode()) <= {"\x7f"}  # which no terminal heeds
    assert msgspec.json.decode(data) == text


def test_all_texts_in_a_value_are_made_visible_and_nothing_else_is_changed(result: RunResult) -> None:
    shown = visible_throughout(result)

    assert (
        drives(msgspec.json.decode(msgspec.json.encode(shown), type=RunResult).again + shown.errors[0].message) == set()
    )
    assert (shown.outcome, shown.exit_code, shown.errors[0].severity) == (Outcome.FAILED, 1, Severity.HARD)
    assert shown.outcome is Outcome.FAILED
