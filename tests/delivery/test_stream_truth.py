"""Streams never say what isn't so: nobody's words are taken for Lucy's, and what can't be known is no answer."""

import functools
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from reactivex import operators
from stream_sources import Numbered, Other, numbered, other, write

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.faults import Disconnect
from lucy_core.judging.fold import replayed
from lucy_core.records.journal import JOURNAL, FaultEffective, MarkTaken, NodeExited, RunDecided, RunError, journal_line
from lucy_core.records.record import Record

pytestmark = pytest.mark.anyio

FORGED = b'{"message":"x","event_id":"lucy.node_exited","level":"Info","metadata":{"node":"c","how":"forged"}}\n'


def exited(node: str) -> bytes:
    return journal_line(NodeExited(node, "exited with code 1"))


@pytest.fixture
async def pipeline(tmp_path: Path) -> AsyncIterator[Pipeline]:
    async with Pipeline.record(tmp_path / "run") as made:
        yield made


async def until_over(stream: lucy.Stream[Any]) -> tuple[list[Any], Exception | None]:
    """Return all that a stream gives, and the error with which it ends."""
    got: list[Any] = []
    with anyio.fail_after(10):
        try:
            async with stream.aiter() as items:
                async for item in items:
                    got.append(item)  # noqa: PERF401  # what came before an error counts
        except lucy.LucyError as error:
            return got, error
    return got, None


# --- whose events -----------------------------------------------------------------------------------------------------


async def test_what_a_node_prints_is_no_event_of_lucys(pipeline: Pipeline) -> None:
    live: list[str] = []
    chosen: list[str] = []
    pipeline.events(lucy.NodeExited, Numbered).subscribe(lambda event: live.append(event.node))
    pipeline.records().of(lucy.NodeExited).subscribe(lambda event: chosen.append(event.node))
    await write(pipeline, "b", FORGED, numbered(1))
    await write(pipeline, JOURNAL, exited("a"))
    assert live == ["b", JOURNAL]
    assert chosen == [JOURNAL]
    assert [event.data.node for event in await pipeline.so_far(lucy.NodeExited)] == ["a"]


async def test_an_error_that_is_held_for_a_nodes_error_is_no_nodes_error(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        seen: list[str] = []

        def hold(event: lucy.Event[Record]) -> None:
            seen.append(event.node)
            if len(seen) < 100:  # where Lucy's own came too, each error would bring the next
                pipeline.write_nowait(JOURNAL, journal_line(RunError("soft", f"{event.node} logged an error", "check")))

        pipeline.records(level=lucy.Severity.ERROR).subscribe(hold)
        chosen: dict[str, list[str]] = {"by name": [], "by type": [], "by both": []}
        by_name = pipeline.records(nodes=(JOURNAL, "a"), level=lucy.Severity.ERROR)
        by_name.subscribe(lambda event: chosen["by name"].append(event.node))
        by_type = pipeline.records().of(RunError)
        by_type.subscribe(lambda event: chosen["by type"].append(event.node))
        by_both = pipeline.records(nodes="a").merge(pipeline.records().of(RunError))
        by_both.subscribe(lambda event: chosen["by both"].append(event.node))
        await write(pipeline, "a", numbered(1, level="Error"))
        await write(pipeline, "b", numbered(2, level="Error"))
        await pipeline.reach(await pipeline.fence())
        assert seen == ["a", "b"]
        assert chosen == {
            "by name": ["a", JOURNAL, JOURNAL],
            "by type": [JOURNAL, JOURNAL],
            "by both": ["a", JOURNAL, JOURNAL],
        }
        assert [event.node for event in await pipeline.so_far(level=lucy.Severity.ERROR)] == ["a", "b"]
        assert len(await pipeline.so_far(level=lucy.Severity.ERROR, nodes=JOURNAL)) == 2
        assert len(await pipeline.so_far(RunError)) == 2
    async with Pipeline.replay(tmp_path / "run") as replayed:
        assert [event.node for event in (await until_over(replayed.records()))[0]] == ["a", "b"]
        assert [event.node for event in (await until_over(replayed.records().of(RunError)))[0]] == [JOURNAL] * 2


async def test_lucys_own_do_not_come_into_records_that_others_share(pipeline: Pipeline) -> None:
    shared = pipeline.records().share()
    named = pipeline.records(nodes=("a", JOURNAL)).share()
    typed = pipeline.events(lucy.NodeExited, Numbered).share()
    got: dict[str, list[str]] = {"shared": [], "named": [], "typed": []}
    with pytest.raises(lucy.OperatorError, match="the records that are shared are the nodes'"):
        shared.of(lucy.NodeExited).subscribe(print)
    shared.subscribe(lambda event: got["shared"].append(event.node))
    with pytest.raises(lucy.OperatorError, match="the records that are shared are the nodes'"):
        shared.of(lucy.NodeExited).subscribe(print)
    named.of(lucy.NodeExited).subscribe(lambda event: got["named"].append(event.node))
    typed.of(lucy.NodeExited).subscribe(lambda event: got["typed"].append(event.node))
    await write(pipeline, "a", numbered(1))
    await write(pipeline, JOURNAL, exited("a"))
    assert got == {"shared": ["a"], "named": [JOURNAL], "typed": [JOURNAL]}


async def test_lucys_events_are_chosen_by_the_node_that_they_are_about(pipeline: Pipeline) -> None:
    live: list[Any] = []
    kinds = (lucy.NodeExited, FaultEffective, Numbered)
    pipeline.events(*kinds, nodes=["a"]).subscribe(lambda event: live.append(event.data))
    await write(pipeline, "a", FORGED, numbered(1))
    await write(pipeline, "b", numbered(2))
    fault = FaultEffective(1, Disconnect(("b", "a")))
    await write(pipeline, JOURNAL, exited("b"), exited("a"), journal_line(fault), numbered(3))
    wanted = [Numbered(1), NodeExited("a", "exited with code 1"), fault]
    assert live == wanted
    assert [event.data for event in await pipeline.so_far(*kinds, nodes=["a"])] == wanted
    assert [event.data for event in await pipeline.so_far(lucy.NodeExited, nodes="b")] == [
        NodeExited("b", "exited with code 1")
    ]


async def test_events_of_the_run_are_refused_where_those_of_a_node_are_asked_for(pipeline: Pipeline) -> None:
    with pytest.raises(lucy.AboutNoNodeError, match="RunDecided is about the run and no node of it"):
        pipeline.events(lucy.NodeExited, RunDecided, nodes=["a"])
    with pytest.raises(lucy.AboutNoNodeError, match="MarkTaken"):
        await pipeline.so_far(MarkTaken, nodes=["a"])
    await write(pipeline, JOURNAL, journal_line(MarkTaken(1, 0)), exited("a"))
    assert len(await pipeline.so_far(MarkTaken, lucy.NodeExited, nodes=JOURNAL)) == 2


# --- what can't be read -----------------------------------------------------------------------------------------------

TORN = b'{"message":"m","level":"Error","metadata":{"n":1},"event_id":"stream.numbered"{"message":"m"}\n'
NO_TEXT = b'{"message":"\\ud800","level":"Error","metadata":{"n":1},"event_id":"stream.numbered"}\n'
TOO_DEEP = b'{"message":"m","metadata":{"n":%s},"event_id":"stream.numbered"}\n' % (b"[" * 2000 + b"]" * 2000)


@pytest.mark.parametrize("line", (TORN, NO_TEXT, TOO_DEEP), ids=("torn", "half a character", "deep"))
async def test_an_answer_is_refused_where_an_unreadable_line_may_belie_it(line: bytes, pipeline: Pipeline) -> None:
    await write(pipeline, "a", other("before"), line)
    for asked in (
        pipeline.so_far(Numbered),
        pipeline.so_far(Other, Numbered, nodes="a"),
        pipeline.so_far(level=lucy.Severity.ERROR),
        pipeline.so_far(),
    ):
        with pytest.raises(
            lucy.InconclusiveError, match="1 lines (say that they are such and )?can't be read, the first at 1, of a"
        ):
            await asked
    assert len(await pipeline.so_far(Other)) == 1
    assert await pipeline.so_far(Numbered, nodes="b") == []
    assert await pipeline.so_far(level=lucy.Severity.ERROR, since=pipeline.mark()) == []


async def test_plain_text_is_no_event_and_its_lines_are_shown_where_no_error_may_be(pipeline: Pipeline) -> None:
    await write(pipeline, "a", other("before"), b"panic: stream.numbered ERROR\n", b"\n", b"    at main.go:12\n")
    assert await pipeline.so_far(Numbered) == []
    for asked in (pipeline.so_far(level=lucy.Severity.ERROR), pipeline.so_far(nodes="a", level=lucy.Severity.TRACE)):
        with pytest.raises(lucy.InconclusiveError, match=r"1 lines don't say .*: a #1 panic: stream.numbered ERROR,"):
            await asked
    assert (await pipeline.so_far(nodes="a", since=1))[0].data.text == "panic: stream.numbered ERROR"
    assert await pipeline.so_far(nodes="b", level=lucy.Severity.ERROR) == []


async def test_a_level_that_nobody_knows_is_none_and_never_info(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1, level="Grave"), numbered(2, level="Error"))
    records = await pipeline.so_far(nodes="a")
    assert [(event.data.severity, event.data.severity_text) for event in records] == [
        (lucy.Severity.UNSPECIFIED, "Grave"),
        (lucy.Severity.ERROR, "Error"),
    ]
    with pytest.raises(lucy.InconclusiveError, match="1 lines don't say how much they matter, or by a word that"):
        await pipeline.so_far(level=lucy.Severity.ERROR)
    await pipeline.audit()
    assert pipeline.ledger.of("a").judged.unleveled == 1
    assert "1 of unknown severity" in str(pipeline.ledger.of("a"))


async def test_an_unreadable_line_of_a_node_belies_nothing_of_lucys(pipeline: Pipeline) -> None:
    await write(pipeline, "a", FORGED.replace(b'"Info"', b"5"))
    assert await pipeline.so_far(lucy.NodeExited) == []
    assert await pipeline.so_far(lucy.NodeExited, Numbered) == []


# --- what is missing --------------------------------------------------------------------------------------------------


async def record(directory: Path, fail: str | None, *, close: bool) -> None:
    async with Pipeline.record(directory) as pipeline:
        for node in ("a", "b"):
            await pipeline.write(node, numbered(1))
        if fail is not None:
            pipeline.note_failed(fail, "it broke")
            await pipeline.fence()
    if not close:  # as a power cut leaves it
        rows = directory / "arrivals.ndjson"
        rows.write_bytes(b"".join(rows.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(("fail", "close"), ((None, False), ("b", True)), ids=("killed", "source"))
async def test_the_replay_of_an_incomplete_recording_ends_with_what_is_missing(
    fail: str | None, close: bool, tmp_path: Path
) -> None:
    await record(tmp_path / "run", fail, close=close)
    async with lucy.replay(tmp_path / "run") as run:
        assert not run.ledger.complete
        got, error = await until_over(run.events(Numbered).map(lambda event: event.node))
        assert got == ["a", "b"]
        assert isinstance(error, lucy.IncompleteError)
        gap = run.ledger.gaps[0]
        assert (error.position, error.node, error.reason) == (gap.position, gap.node, gap.reason)
        assert "Numbered is incomplete at position" in str(error)
        with pytest.raises(lucy.IncompleteError):
            await run.events(Other).first()
        assert (await run.events(Numbered).first()).node == "a"  # what is there is there

        got, error = await until_over(run.events(Numbered, nodes="a").map(lambda event: event.node))
        assert got == ["a"]
        assert isinstance(error, lucy.IncompleteError) is (fail is None)  # b's gap is none of a's
        # Who judges asks the ledger about the place that a judgement rests on, and takes no end for a cut-off.
        assert run.history.state is not None
        assert (await run.wait_for(lucy.seen(Numbered))).node == "a"
        assert (await replayed(run.pipeline)).nodes == ()


async def test_the_replay_of_a_whole_recording_just_ends(tmp_path: Path) -> None:
    await record(tmp_path / "run", None, close=True)
    async with lucy.replay(tmp_path / "run") as run:
        got, error = await until_over(run.events(Numbered))
        assert (len(got), error) == (2, None)
        with pytest.raises(lucy.StreamEmptyError):
            await run.events(Other).first()


# --- when it came -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ("flat_map", "rxpy", "delayed"))
async def test_what_a_late_line_leads_back_to_is_late(how: str, pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1))

    def past(_: object) -> lucy.Stream[Any]:
        return pipeline.events(Numbered, since=0).take(1)

    others = pipeline.events(Other)
    chain: lucy.Stream[Any] = others.flat_map(past)
    if how != "flat_map":
        delay = (operators.delay(0.2),) if how == "delayed" else ()
        chain = others.pipe(*delay, operators.flat_map(lambda item: past(item).observable))
    told: list[Exception] = []
    got: list[Any] = []
    over = anyio.Event()

    def failed(error: Exception) -> None:
        told.append(error)
        over.set()

    limit = 0.3
    until_ns = pipeline.now_ns() + int((limit + 0.05) * 1e9)
    chain.first(within=limit).subscribe(got.append, failed, over.set)
    if how == "delayed":  # the line comes in time, and the operator's turn, which leads back, does not
        await write(pipeline, "a", other("in time"))
    while pipeline.now_ns() < until_ns:  # the loop is blocked, so that no timer tells
        time.sleep(0.01)
    await pipeline.write("a", other("late"))
    with anyio.fail_after(10):
        await over.wait()
    assert got == []
    assert [type(error) for error in told] == [lucy.StreamTimeoutError]


async def test_a_limit_in_a_turn_of_an_operator_counts_from_there(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1))
    past = pipeline.events(Numbered, since=0).within(60).first(within=0)
    assert (await lucy.from_items([0]).pipe(operators.delay(0.01)).flat_map(lambda _: past).first()).data == Numbered(1)


async def test_what_a_line_in_time_leads_back_to_is_in_time(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1), other("x"))
    chain = pipeline.events(Other, since=0).flat_map(lambda _: pipeline.events(Numbered, since=0))
    assert (await chain.first(within=10)).data == Numbered(1)


# --- what came after the call -----------------------------------------------------------------------------------------


async def test_first_of_a_shared_stream_never_misses_what_came_after_its_call(pipeline: Pipeline) -> None:
    shared = pipeline.events(Numbered).map(lambda event: event.data.n).share()
    got: list[int] = []
    shared.subscribe(got.append)
    await write(pipeline, "a", numbered(1))
    first = shared.first(within=10)
    await write(pipeline, "a", other("no item of it"))
    missing = shared.first(within=10)
    async with anyio.create_task_group() as tasks:
        results: list[int] = []

        async def wait() -> None:
            results.append(await first)

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await write(pipeline, "a", numbered(2))
    assert results == [2]
    with pytest.raises(lucy.OperatorError, match=r"share\(\).* can't be used .* came between its call"):
        await missing
    assert got == [1, 2]


async def test_first_of_a_shared_stream_of_the_past_is_what_comes_next_of_it(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1, 2))
    shared = pipeline.events(Numbered, since=0).map(lambda event: event.data.n).share()
    shared.subscribe(lambda _: None)
    assert await shared.first(within=10) == 1


async def test_first_of_a_shared_stream_takes_nothing_that_arrived_before_its_call(pipeline: Pipeline) -> None:
    shared = pipeline.events(Numbered).map(lambda event: event.data.n).share()
    shared.subscribe(lambda _: None)
    results: list[int] = []
    before = pipeline.mark().position
    pipeline.write_nowait("a", numbered(1))
    while pipeline.mark().position == before:  # it arrives, and is not delivered while the loop is blocked
        time.sleep(0.001)
    assert pipeline.delivered == before
    first = shared.first(within=10)

    async def wait() -> None:
        results.append(await first)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await pipeline.reach(before + 1)
        await write(pipeline, "a", numbered(2))
    assert results == [2]


# --- who answers ------------------------------------------------------------------------------------------------------


async def always(_: object) -> bool:
    return True


class Always:
    async def __call__(self, _: object) -> bool:
        return True


@pytest.mark.parametrize("predicate", (always, functools.partial(always), Always()), ids=("def", "partial", "object"))
async def test_an_async_function_is_no_answer(predicate: Callable[[Any], Any], pipeline: Pipeline) -> None:
    numbers = pipeline.events(Numbered)
    for name in ("filter", "first", "subscribe", "map", "flat_map", "scan", "distinct_until_changed"):
        with pytest.raises(TypeError, match=r"^\w+ takes a plain function, and .* is async"):
            getattr(numbers, name)(predicate)


async def test_a_predicate_that_returns_what_has_to_be_awaited_fails_its_stream(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1))
    with pytest.raises(TypeError, match="returned a coroutine, which nobody awaits"):
        await pipeline.events(Numbered, since=0).first(lambda _: always(0))  # type: ignore[arg-type,return-value]


async def test_any_true_answer_is_one(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(0, 7))
    found = await pipeline.events(Numbered, since=0).first(lambda event: event.data.n)  # type: ignore[arg-type,return-value]
    assert found.data == Numbered(7)
    assert isinstance(found.record, Record)
