"""Stack traces, joined to the records that they belong to."""

from pathlib import Path

import msgspec
import pytest
from stream_sources import write

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.records.joined import MOST_BYTES, Joiner
from lucy_core.records.record import Event, Record, plain_record

pytestmark = pytest.mark.anyio

LOST = b'{"message":"lost","level":"Error","metadata":{"peer":"a7"}}\n'
TRACE = b'Traceback (most recent call last):\n  File "app.py", line 1\nValueError: bad\n'
LOST_TEXT = "lost\n" + TRACE.decode().rstrip("\n")
HELLO = b'{"message":"hello","level":"Info"}\n'


@pytest.fixture
async def pipeline(tmp_path: Path):
    async with Pipeline.record(tmp_path / "run") as pipeline:
        yield pipeline


def shown(events):
    return [(event.node, event.position, event.data.text) for event in events]


async def test_what_goes_on_with_a_record_is_part_of_it(pipeline: Pipeline) -> None:
    live: list[Event[Record]] = []
    pipeline.records(joined=True).subscribe(live.append)
    await write(pipeline, "a", HELLO, LOST, TRACE, HELLO)
    assert shown(live) == [("a", 0, "hello"), ("a", 1, LOST_TEXT)]
    whole = live[1].data
    assert whole.raw == (LOST + TRACE).rstrip(b"\n")
    assert live[1].record is whole
    assert whole.severity is lucy.Severity.ERROR
    assert (whole.severity_text, whole.fields, whole.kind) == ("Error", {"peer": "a7"}, whole.head.kind)
    assert shown(await pipeline.so_far(joined=True)) == [*shown(live), ("a", 5, "hello")]


async def test_without_joining_each_line_is_a_record(pipeline: Pipeline) -> None:
    await write(pipeline, "a", LOST, TRACE)
    assert [position for _, position, _ in shown(await pipeline.so_far())] == [0, 1, 2, 3]


async def test_a_record_is_joined_over_the_borders_of_blocks_and_between_the_lines_of_other_nodes(
    pipeline: Pipeline,
) -> None:
    live: list[Event[Record]] = []
    pipeline.records(joined=True).subscribe(live.append)
    await write(pipeline, "a", LOST)
    for line in TRACE.splitlines(keepends=True):
        await write(pipeline, "b", HELLO)
        await write(pipeline, "a", line)
    await write(pipeline, "a", HELLO)
    assert ("a", 0, LOST_TEXT) in shown(live)
    expected = [("a", 0, LOST_TEXT), ("b", 1, "hello"), ("b", 3, "hello"), ("b", 5, "hello"), ("a", 7, "hello")]
    assert shown(await pipeline.so_far(joined=True)) == expected


async def test_the_last_record_comes_with_the_nodes_end(pipeline: Pipeline) -> None:
    live: list[Event[Record]] = []
    pipeline.records(nodes="a", joined=True).subscribe(live.append)
    await write(pipeline, "a", LOST, TRACE)
    assert live == []
    pipeline.end_node("a", pipeline.mark().position)
    assert shown(live) == [("a", 0, LOST_TEXT)]


async def test_the_last_records_come_with_the_end_of_the_stream_in_order(tmp_path: Path) -> None:
    live: list[Event[Record]] = []
    done: list[bool] = []
    async with Pipeline.record(tmp_path / "run") as pipeline:
        pipeline.records(joined=True).subscribe(live.append, on_completed=lambda: done.append(True))
        await write(pipeline, "b", LOST, TRACE)
        await write(pipeline, "a", HELLO)
        await write(pipeline, "b", b"\tmore\n")
    assert shown(live) == [("b", 0, LOST_TEXT + "\n\tmore"), ("a", 4, "hello")]
    assert done == [True]
    async with Pipeline.replay(tmp_path / "run") as replayed:
        again: list[Event[Record]] = []
        replayed.records(joined=True).subscribe(again.append)
        await replayed.reach(pipeline.mark().position)
        assert shown(await replayed.so_far(joined=True)) == shown(live)
    assert shown(again) == shown(live)


async def test_a_level_is_that_of_a_records_first_line(pipeline: Pipeline) -> None:
    live: list[Event[Record]] = []
    pipeline.records(level=lucy.Severity.ERROR, joined=True).subscribe(live.append)
    await write(pipeline, "a", HELLO, b"  more\n", LOST, TRACE, HELLO)
    assert shown(live) == [("a", 2, LOST_TEXT)]
    assert shown(await pipeline.so_far(level=lucy.Severity.ERROR, joined=True)) == shown(live)


async def test_a_traceback_of_itself_leaves_it_open_whether_there_was_an_error(pipeline: Pipeline) -> None:
    await write(pipeline, "a", TRACE)
    with pytest.raises(lucy.InconclusiveError, match="Traceback"):
        await pipeline.so_far(level=lucy.Severity.ERROR)
    with pytest.raises(lucy.InconclusiveError, match="Traceback"):
        await pipeline.so_far(level=lucy.Severity.ERROR, joined=True)


async def test_a_traceback_that_only_a_blank_line_comes_before_is_of_itself(pipeline: Pipeline) -> None:
    await write(pipeline, "a", b"\n", TRACE)
    with pytest.raises(lucy.InconclusiveError, match="Traceback"):
        await pipeline.so_far(level=lucy.Severity.ERROR, joined=True)


async def test_a_traceback_of_a_record_matters_as_it_does(pipeline: Pipeline) -> None:
    await write(pipeline, "a", HELLO, TRACE)
    with pytest.raises(lucy.InconclusiveError, match="Traceback"):
        await pipeline.so_far(level=lucy.Severity.ERROR)
    assert await pipeline.so_far(level=lucy.Severity.ERROR, joined=True) == []


async def test_joining_is_asked_of_records(pipeline: Pipeline) -> None:
    with pytest.raises(lucy.ArgumentError, match="goes with records"):
        await pipeline.so_far(lucy.NodeExited, joined=True)  # type: ignore[call-overload]
    with pytest.raises(lucy.ArgumentError, match="joined=1"):
        pipeline.records(joined=1)  # type: ignore[arg-type]


async def test_a_pattern_is_found_in_a_stack_trace(pipeline: Pipeline) -> None:
    @lucy.event(pattern=r"ValueError: (?P<reason>\w+)")
    class Raised(msgspec.Struct):
        reason: str

    live: list[object] = []
    pipeline.records(joined=True).of(Raised).subscribe(lambda event: live.append(event.data))
    await write(pipeline, "a", LOST, TRACE, HELLO)
    assert live == [Raised("bad")]


async def test_a_panic_of_rusts_has_its_message_and_what_comes_then_is_no_part_of_it(pipeline: Pipeline) -> None:
    head, said, note = (
        b"thread 'main' (7) panicked at src/main.rs:4:5:\n",
        b"no leader\n",
        b"note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
    )
    await write(pipeline, "a", b"\n", head, said, note, b"plain\n", head, HELLO)
    assert [(event.position, event.data.text.count("\n") + 1) for event in await pipeline.so_far(joined=True)] == [
        *((0, 1), (1, 3), (4, 1), (5, 1), (6, 1))
    ]


def test_a_record_does_not_grow_for_ever() -> None:
    joiner = Joiner()
    line = b" " * 1023 + b"x"
    given = [
        whole
        for position in range(3000)
        if (whole := joiner.take(Event("a", position, 0, (record := plain_record(line)), record))) is not None
    ]
    assert [len(whole.data.raw) - len(whole.data.more) for whole in given] == [MOST_BYTES, MOST_BYTES]
    assert [whole.position for whole in given] == [0, 1024]
