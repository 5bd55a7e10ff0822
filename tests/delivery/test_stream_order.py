"""Several streams of one run give their items in the order of arrival: live, from the past, and on replay."""

from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import reactivex
from reactivex import operators
from stream_sources import Numbered, Other, numbered, other, write

import lucy_core as lucy
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.subscription import Gate
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.recording.ledger import Gap
from lucy_core.records.record import Mark

pytestmark = pytest.mark.anyio

ROUNDS = 40


@lucy.event(pattern="said (?P<what>.*)")
class Said(msgspec.Struct, frozen=True):
    what: str


@pytest.fixture
async def pipeline(tmp_path: Path):
    with anyio.fail_after(60):
        async with Pipeline.record(tmp_path / "run") as pipeline:
            yield pipeline


async def write_in_turn(pipeline: Pipeline, first: int = 0) -> list[int]:
    """Have two nodes write in turn; return their numbers in the order of arrival."""
    for n in range(first, first + ROUNDS, 2):
        await pipeline.write("a", numbered(n))
        await pipeline.write("b", numbered(n + 1))
    await pipeline.reach(await pipeline.fence())
    return list(range(first, first + ROUNDS))


def numbers(pipeline: Pipeline, node: str, **more: Any) -> lucy.Stream[int]:
    return pipeline.events(Numbered, nodes=(node,), **more).map(lambda event: event.data.n)


async def test_merged_streams_keep_the_order_of_arrival_live_from_the_past_and_on_replay(tmp_path: Path) -> None:
    live: list[int] = []
    past: list[int] = []
    mixed: list[int] = []
    async with Pipeline.record(tmp_path / "run") as pipeline:
        lucy.merge(numbers(pipeline, "a"), numbers(pipeline, "b")).subscribe(live.append)
        written = await write_in_turn(pipeline)
        lucy.merge(numbers(pipeline, "a", since=0), numbers(pipeline, "b", since=0)).subscribe(past.append)
        # One part from now, one from the past: what comes now has to wait for what came before.
        numbers(pipeline, "a").merge(numbers(pipeline, "b", since=0)).subscribe(mixed.append)
        written += await write_in_turn(pipeline, ROUNDS)
        await pipeline.reach(await pipeline.fence())
    assert live == past == written
    assert mixed == [n for n in written if n % 2 or n >= ROUNDS]
    async with (
        Pipeline.replay(tmp_path / "run") as replayed,
        lucy.merge(numbers(replayed, "a"), numbers(replayed, "b")).aiter() as items,
    ):
        assert [item async for item in items] == written


async def test_an_iterator_that_is_set_aside_again_and_again_keeps_the_order_of_its_parts(pipeline: Pipeline) -> None:
    written = await write_in_turn(pipeline)
    got: list[int] = []
    stream = lucy.merge(numbers(pipeline, "a", since=0), numbers(pipeline, "b"), numbers(pipeline, "b", since=0))
    async with stream.aiter(limit=3) as items:
        got += [await anext(items) for _ in range(ROUNDS // 2)]
        written += await write_in_turn(pipeline, ROUNDS)
        got += [await anext(items) for _ in range(ROUNDS // 2)]
        twice = [await anext(items) for _ in range(ROUNDS // 2 * 3)]
    assert got == written[:ROUNDS]
    assert twice == [n for n in written[ROUNDS:] for _ in range(1 + n % 2)]


async def test_every_operator_of_several_streams_sees_the_past_in_the_order_of_arrival(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1, 2))
    await write(pipeline, "b", other("stop"))
    await write(pipeline, "a", numbered(3))
    stop = pipeline.events(Other, since=0)
    past = numbers(pipeline, "a", since=0)
    got: dict[str, list[Any]] = {}
    for name, stream in {
        "take_until": past.take_until(stop),
        "with_latest_from": past.pipe(operators.with_latest_from(stop.observable), operators.map(lambda pair: pair[0])),
        "skip_until": past.pipe(operators.skip_until(stop.observable)),
        "combine_latest": past.pipe(operators.combine_latest(stop.observable), operators.map(lambda pair: pair[0])),
        "merge of RxPY": past.pipe(operators.merge(stop.map(lambda event: event.data.text).observable)),
        "concat of RxPY": past.take(2).pipe(operators.concat(past.observable), operators.take(5)),
        "start_with of RxPY": past.pipe(operators.start_with(0)),
        "start_with": past.start_with(0),
        "flat_map": past.take(1).flat_map(lambda _: past),
    }.items():
        stream.subscribe(got.setdefault(name, []).append)
    await pipeline.reach(await pipeline.fence())
    await pipeline.reach(await pipeline.fence())  # those that were subscribed while the others read
    assert got == {
        "take_until": [1, 2],
        "with_latest_from": [3],
        "skip_until": [3],
        "combine_latest": [2, 3],
        "merge of RxPY": [1, 2, "stop", 3],
        "concat of RxPY": [1, 2, 1, 2, 3],
        "start_with of RxPY": [0, 1, 2, 3],
        "start_with": [0, 1, 2, 3],
        "flat_map": [1, 2, 3],
    }


async def test_a_merged_stream_completes_with_its_last_part_and_fails_with_its_first_error() -> None:
    got: list[Any] = []
    lucy.merge(lucy.from_items([1]), lucy.from_items([2, 3])).subscribe(got.append, None, lambda: got.append("end"))
    failing = lucy.Stream(reactivex.throw(ValueError("bad")))
    lucy.merge(lucy.from_items([4]), failing, lucy.from_items([5])).subscribe(got.append, lambda e: got.append(str(e)))
    lucy.merge().subscribe(got.append, None, lambda: got.append("nothing"))
    assert got == [1, 2, 3, "end", 4, "bad", "nothing"]


async def test_a_shared_stream_is_subscribed_while_somebody_listens(pipeline: Pipeline) -> None:
    shared = numbers(pipeline, "a").share()
    got: dict[str, list[int]] = {"x": [], "y": []}
    leave_x = shared.subscribe(got["x"].append)
    leave_y = shared.subscribe(got["y"].append)
    await write(pipeline, "a", numbered(1))
    leave_x()
    await write(pipeline, "a", numbered(2))
    leave_y()
    assert pipeline.live == 0
    shared.subscribe(got["x"].append)
    await write(pipeline, "a", numbered(3))
    assert got == {"x": [1, 3], "y": [1, 2]}


# --- looking back -----------------------------------------------------------------------------------------------------


async def test_reaching_a_position_waits_for_those_who_read_back(pipeline: Pipeline) -> None:
    await pipeline.write("a", numbered(*range(2000), level="Error"))
    position = await pipeline.fence()
    await pipeline.reach(position)
    errors: list[object] = []
    pipeline.records(level=lucy.Severity.ERROR, since=0).subscribe(errors.append)
    await pipeline.reach(position)
    assert len(errors) == 2000


async def test_reaching_a_position_does_not_wait_for_one_who_takes_nothing(pipeline: Pipeline) -> None:
    gate = Gate()
    got: list[object] = []
    await write(pipeline, "a", numbered(1))
    gate.close()
    pipeline.subscribe(Interest(), got.extend, lambda _: None, since=0, gate=gate)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pipeline.reach, await pipeline.fence())
    assert got == []
    gate.open()
    while len(got) < 1:
        await anyio.sleep(0.001)


async def test_so_far_is_the_exact_list_up_to_the_call(pipeline: Pipeline) -> None:
    async def found(*kinds: type, **more: Any) -> list[str]:
        return [str(event.data) for event in await pipeline.so_far(*kinds, **more) if event.node != "lucy"]

    await pipeline.write("a", numbered(1) + other("x"))
    await pipeline.write("b", numbered(2, level="Error"))
    assert await found(Numbered) == ["Numbered(n=1)", "Numbered(n=2)"]
    mark = pipeline.mark()
    await pipeline.write("a", numbered(3))
    assert await found(Numbered, since=mark) == ["Numbered(n=3)"]
    assert await found(Numbered, Other, nodes=("a",)) == ["Numbered(n=1)", "Other(text='x')", "Numbered(n=3)"]
    assert await found(Numbered, nodes="b") == ["Numbered(n=2)"]
    assert len(await found(level=lucy.Severity.ERROR)) == 1
    assert len(await found()) == 4
    assert await found(since=await pipeline.fence()) == []


async def test_so_far_is_inconclusive_where_the_log_has_a_gap(pipeline: Pipeline) -> None:
    await pipeline.write("a", numbered(1))
    pipeline.ledger.of("a").filtered_lines += 1
    assert len(await pipeline.so_far(Numbered)) == 1
    with pytest.raises(lucy.InconclusiveError, match="the capture filter left out 1 lines"):
        await pipeline.so_far()
    # What is known by its text may be among lines that nobody has looked at.
    with pytest.raises(lucy.InconclusiveError, match="Said so far: the capture filter left out 1 lines"):
        await pipeline.so_far(Said)
    pipeline.ledger.of("a").filtered_events += 2
    with pytest.raises(lucy.InconclusiveError, match="Numbered so far: the capture filter left out 2 events"):
        await pipeline.so_far(Numbered)
    assert await pipeline.so_far(Numbered, nodes=("b",)) == []
    pipeline.ledger.miss(Gap(1, "b", "its source failed"))
    assert await pipeline.so_far(Other, nodes=("c",)) == []
    for nodes in (("b", "c"), None):
        with pytest.raises(lucy.InconclusiveError, match="the log is incomplete at position 1, b: its source failed"):
            await pipeline.so_far(Other, nodes=nodes)


async def test_so_far_serves_replays_and_needs_a_recording(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        await pipeline.write("a", numbered(1))
    async with Pipeline.replay(tmp_path / "run") as replayed:
        assert [event.data for event in await replayed.so_far(Numbered)] == [Numbered(1)]
        with pytest.raises(lucy.UnknownNodeError, match="no node is called 'z'; this network has"):
            await replayed.so_far(nodes=("z",))
        with pytest.raises(lucy.UnknownNodeError):
            replayed.events(Numbered, nodes=("a", "z"))
    async with Pipeline.pass_through() as passing:
        passing.write_nowait("a", numbered(1))
        with pytest.raises(lucy.RecordingError, match="keeps no recording"):
            await passing.so_far(Numbered)


async def test_what_a_reader_of_the_past_raises_is_raised_to_who_reads(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1))

    def raises(_: list[Any]) -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await pipeline.read_back(Interest(), raises, 0, pipeline.mark().position)
    assert pipeline.ledger.cut_off == []


BAD_PLACES = (1.0, True, -1, 10**9, "0", Mark(0, run=1))


@pytest.mark.parametrize("since", BAD_PLACES, ids=repr)
async def test_what_is_no_place_in_this_run_is_refused_at_the_call(since: Any, tmp_path: Path) -> None:
    async with Pipeline.pass_through() as pipeline:
        for call in (
            lambda: pipeline.events(Numbered, since=since),
            lambda: pipeline.records(since=since),
            lambda: pipeline.malformed(since=since),
            lambda: pipeline.undecodable(Numbered, since=since),
        ):
            with pytest.raises(lucy.PlaceError):
                call()
        with pytest.raises(lucy.PlaceError):
            await pipeline.so_far(Numbered, since=since)


async def test_a_network_refuses_nodes_that_it_does_not_have(tmp_path: Path) -> None:
    spec = lucy.NetworkSpec(name="t", nodes=(lucy.NodeSpec(name="a", role="x", command=("sleep", "100")),))
    async with lucy.deploy(spec, run_directory=tmp_path / "run") as network:
        for nodes, error in ((("b",), lucy.UnknownNodeError), ("b", lucy.UnknownNodeError), ((), lucy.NoNodesError)):
            with pytest.raises(error):
                network.events(Numbered, nodes=nodes)
            with pytest.raises(error):
                network.records(nodes=nodes)
            with pytest.raises(error):
                await network.so_far(nodes=nodes)
        started = await network.so_far(lucy.NodeStarted)
        assert [event.data.node for event in started] == ["a"]
        assert await network.so_far(Numbered, nodes=("a",)) == []
        assert await network.so_far(level=lucy.Severity.ERROR) == []
