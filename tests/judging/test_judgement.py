"""What is held against a run: sections and waits by task, errors, and which of them decides. Sans-IO."""

import inspect
from datetime import UTC, datetime, timedelta

import anyio
import msgspec
import pytest

import lucy_core as lucy
from lucy_core.judging.fold import Fold
from lucy_core.judging.judgement import Judgement
from lucy_core.judging.result import ExitCode, Outcome
from lucy_core.judging.scopes import Scopes
from lucy_core.records.journal import (
    TEXT_LIMIT,
    CommandEnded,
    FaultRequested,
    NodeExited,
    NodeStarted,
    NodeStartFailed,
    RunBegan,
    RunDecided,
    RunError,
    SectionEnded,
    SectionStarted,
    WaitEnded,
    WaitStarted,
    bounded,
    carriable,
    journal_line,
)
from lucy_core.testing import virtual_network

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def folded(*events: msgspec.Struct) -> Fold:
    """Fold events that come a second apart."""
    fold = Fold()
    for second, event in enumerate(events):
        fold.apply(event, BEGAN + timedelta(seconds=second))
    return fold


def judgement() -> Judgement:
    fold, scopes = Fold(), Scopes()
    return Judgement(fold, scopes, lambda event: fold.apply(event, BEGAN), lambda: BEGAN)


RUN = RunBegan("r", "t", "process", {"a": "node", "b": "node"})


@pytest.mark.anyio
async def test_two_tasks_file_their_errors_each_under_its_own_section() -> None:
    held = judgement()
    inside = anyio.Event()
    left = anyio.Event()

    async def first() -> None:
        with held.section("first"):
            inside.set()
            await left.wait()
            held.soft_error("mine")

    async def second() -> None:
        await inside.wait()
        with held.section("second"):
            pass
        left.set()

    with held.section("both"):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            tasks.start_soon(second)

    assert [(each.name, each.outcome) for each in held.sections] == [
        ("both", "soft errors"),
        ("both / first", "soft errors"),
        ("both / second", "passed"),
    ]
    assert [(error.section, error.message) for error in held.errors] == [("both / first", "mine")]


def test_two_runs_in_one_task_keep_their_sections_apart() -> None:
    one, other = judgement(), judgement()

    with one.section("of one"), other.section("of the other"):
        one.soft_error("mine")

    assert [error.section for error in one.errors] == ["of one"]
    assert one.sections[0].outcome == "soft errors"
    assert other.sections[0].outcome == "passed"


def test_waits_of_one_description_are_told_apart() -> None:
    fold = folded(
        WaitStarted(1, "blocks", 1.0, 2.0),
        WaitStarted(2, "blocks", None, None),
        WaitStarted(3, "blocks", None, 9.0),
        WaitEnded(2, "blocks", 0.5, "passed"),
    )

    (over,) = fold.waits
    assert (over.id, over.started, over.soft, over.hard) == (2, 1.0, None, None)
    assert [wait.id for wait in fold.open_waits] == [1, 3]


def test_an_error_in_a_wait_belongs_to_the_section_around_it() -> None:
    fold = folded(
        SectionStarted(1, "outer"),
        SectionStarted(2, "inner", 1),
        WaitStarted(3, "blocks", 1.0, 2.0, 2),
        RunError("soft", "late", "soft timeout", 3),
        WaitEnded(3, "blocks", 1.0, "late"),
        SectionEnded(2, "outer / inner", 2.0, "soft errors"),
    )

    assert [(error.section, error.inside) for error in fold.errors] == [("outer / inner", 2)]
    assert fold.is_troubled(1)
    assert fold.open_sections == ("outer",)
    assert [(each.name, each.parent) for each in fold.sections] == [("outer / inner", 1)]


def test_a_start_that_failed_leaves_the_node_where_it_was() -> None:
    fold = folded(
        RUN, NodeStarted("a"), NodeStartFailed("a", "no program"), NodeStarted("b"), NodeExited("b", "exited")
    )

    a, b = fold.findings().nodes
    assert (a.state, b.state) == ("deployed", "stopped")
    assert a.life == ("started at 1.0 s", "could not be started (no program) at 2.0 s")
    assert b.life[-1] == "exited BY ITSELF at 4.0 s"


def test_nodes_stand_in_the_result_where_they_stood_when_the_test_was_over() -> None:
    fold = folded(RUN, NodeStarted("a"), RunDecided("passed"), lucy.NodeStopped("a"))

    assert [node.state for node in fold.findings().nodes] == ["running", "deployed"]


@pytest.mark.parametrize(
    ("events", "outcome", "code", "decided_by"),
    (
        ((), Outcome.PASSED, 0, None),
        ((RunError("soft", "s"),), Outcome.FAILED, 1, "s"),
        # A soft section has swallowed the first, and nothing else came.
        ((RunError("hard", "h", "X", 0, "inconclusive", 3), RunDecided("passed")), Outcome.INCONCLUSIVE, 3, "h"),
        # The test went on and ended otherwise.
        (
            (
                RunError("hard", "h", "X", 0, "inconclusive", 3),
                RunError("hard", "e", "Y"),
                RunDecided("failed", 1, "Y", "e"),
            ),
            Outcome.FAILED,
            1,
            "e",
        ),
        # What comes with the teardown decides what had passed, and nothing else.
        (
            (RunDecided("passed"), RunError("hard", "t", "X", 0, "infrastructure error", 4)),
            Outcome.INFRASTRUCTURE,
            4,
            "t",
        ),
        (
            (
                RunError("hard", "e", "Y"),
                RunDecided("failed", 1, "Y", "e"),
                RunError("hard", "t", "X", 0, "infrastructure error", 4),
            ),
            Outcome.FAILED,
            1,
            "e",
        ),
        ((RunError("soft", "s"), RunDecided("interrupted", 130, "", "SIGINT")), Outcome.INTERRUPTED, 130, None),
    ),
)
def test_of_several_errors_one_decides(
    events: tuple[msgspec.Struct, ...], outcome: Outcome, code: int, decided_by: str | None
) -> None:
    found = folded(RUN, *events).findings()

    assert (found.outcome, found.exit_code) == (outcome, code)
    assert (found.decided_by and found.decided_by.message) == decided_by


def test_what_a_group_holds_is_held_one_by_one_and_once() -> None:
    held = judgement()
    first, second = ValueError("one"), lucy.InconclusiveError("two")

    held.record(ExceptionGroup("both", [first, second]))
    held.decide(second)

    assert [error.kind for error in held.errors] == ["ValueError", "InconclusiveError"]
    assert held.ended_by is second
    assert held.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("error", (KeyboardInterrupt(), SystemExit(3), pytest.fail.Exception("no")))
def test_a_soft_section_swallows_no_wish_to_end(error: BaseException) -> None:
    held = judgement()

    with pytest.raises(type(error)) as caught, held.section("s", soft=True):
        raise error

    assert caught.value is error
    assert [each.outcome for each in held.sections] == ["failed"]
    assert len(held.errors) == 1


@pytest.mark.parametrize(
    "event",
    (
        RunError("soft", "a file named \udcff"),
        WaitStarted(1, "a file named \udcff", None, None),
        FaultRequested(1, lucy.Pause(nodes=("a file named \udcff",)), 1.0),
        RunBegan("r", "t", "e", {"a file named \udcff": "x"}),
    ),
)
def test_a_text_that_no_json_can_carry_is_written_all_the_same(event: msgspec.Struct) -> None:
    line = journal_line(event)
    assert rb"a file named \\udcff" in line
    assert journal_line(carriable(event)).split(b'"level"')[1] == line.split(b'"level"')[1]


def test_limits_that_are_none_stand_in_the_journal_as_such() -> None:
    line = journal_line(WaitStarted(1, "ever", None, None))

    assert msgspec.json.decode(line)["metadata"]["hard"] is None


@pytest.mark.parametrize(
    ("value", "text"),
    (
        (None, ""),
        ("as it is", "as it is"),
        (b"\xff\n", "\\xff\n"),
        ({"a": [1, 2]}, '{"a":[1,2]}'),
        ({"a": "\udcff"}, "{'a': '\\udcff'}"),
        (ExitCode.FAILED, "1"),
    ),
)
def test_an_answer_becomes_a_text(value: object, text: str) -> None:
    assert bounded(value) == (text, 0)


def test_a_long_answer_is_cut_and_says_so() -> None:
    text, left_out = bounded("x" * (TEXT_LIMIT + 7))

    assert (len(text), left_out) == (TEXT_LIMIT, 7)
    event = CommandEnded(1, "a", "exec", 0.1, "done", text, left_out)
    assert msgspec.json.decode(journal_line(event))["metadata"]["left_out"] == 7


async def asked() -> bool:
    return False


@pytest.mark.anyio
async def test_a_check_of_an_awaitable_is_refused() -> None:
    async with virtual_network("a") as virtual:
        question = asked()
        with pytest.raises(TypeError, match="was given a coroutine, which nobody awaits and which is always true"):
            virtual.network.check(question, "never asked")
        assert inspect.getcoroutinestate(question) == inspect.CORO_CLOSED  # or the interpreter would complain too
