"""Streams: every operator, typed and on the loop; nothing lost between past and live."""

import os
import threading
from pathlib import Path

import anyio
import msgspec
import pytest
from reactivex import operators

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline

pytestmark = pytest.mark.anyio


@lucy.event(ids=("s.n", "s.n.old"), message="number $n")
class N(msgspec.Struct, frozen=True):
    n: int


@lucy.event(ids="s.other")
class Other(msgspec.Struct, frozen=True):
    text: str


def broken(record: lucy.Record) -> object:
    raise RuntimeError(record.text)


@lucy.event(ids="s.broken", decode=broken)
class Broken(msgspec.Struct, frozen=True):
    pass


def line(event_id: str | None, metadata: str, message: str = "m", level: str = "Info") -> bytes:
    tail = f',"event_id":"{event_id}"' if event_id else ""
    return f'{{"message":"{message}","level":"{level}","metadata":{metadata}{tail}}}\n'.encode()


def number(n: int) -> bytes:
    return line("s.n", f'{{"n":{n}}}')


class Source:
    def __init__(self, pipeline: Pipeline, path: Path) -> None:
        self.pipeline = pipeline
        self.fd = os.open(path, os.O_WRONLY)

    async def write(self, *lines: bytes) -> None:
        os.write(self.fd, b"".join(lines))
        await self.pipeline.reach(await self.pipeline.drain("a"))


@pytest.fixture
async def source(tmp_path: Path):
    async with Pipeline.record(tmp_path / "run") as pipeline:
        made = Source(pipeline, await pipeline.open_fifo("a"))
        try:
            yield made
        finally:
            os.close(made.fd)


async def test_operators_do_what_they_say(source: Source) -> None:
    numbers = source.pipeline.events(N).map(lambda event: event.data.n)
    got: dict[str, list] = {}

    def keep(name: str, stream: lucy.Stream) -> None:
        stream.subscribe(got.setdefault(name, []).append, on_completed=lambda: got[name].append("end"))

    keep("filter", numbers.filter(lambda n: n % 2 == 0))
    keep("scan", numbers.scan(lambda total, n: total + n, 0))
    keep("scan without seed", numbers.scan(lambda total, n: total + n))
    keep("distinct", numbers.map(lambda n: n // 2).distinct_until_changed())
    keep("take", numbers.take(2))
    keep("until", numbers.take_until(source.pipeline.events(Other)))
    keep("first", numbers.first(lambda n: n > 1))
    keep("buffer", numbers.buffer(count=2))
    keep("window", numbers.window_count(2, 1).take(2))
    keep("flat_map", numbers.flat_map(lambda n: lucy.from_items([n] * n)).take(3))
    keep("start_with", numbers.start_with(-1).take(2))
    keep("merge", numbers.merge(source.pipeline.events(Other).map(lambda event: event.data.text)))
    keep("pipe", numbers.pipe(operators.pairwise(), operators.take(1)))
    shared = numbers.share()
    keep("share", shared.take(1))
    keep("share again", shared)
    await source.write(number(0), number(1), number(2), line("s.other", '{"text":"x"}'), number(3))
    assert got == {
        "filter": [0, 2],
        "scan": [0, 1, 3, 6],
        "scan without seed": [0, 1, 3, 6],
        "distinct": [0, 1],
        "take": [0, 1, "end"],
        "until": [0, 1, 2, "end"],
        "first": [2, "end"],
        "buffer": [[0, 1], [2, 3]],
        "window": [[0, 1], [1, 2], "end"],
        "flat_map": [1, 2, 2, "end"],
        "start_with": [-1, 0, "end"],
        "merge": [0, 1, 2, "x", 3],
        "pipe": [(0, 1), "end"],
        "share": [0, "end"],
        "share again": [0, 1, 2, 3],
    }


async def test_time_runs_on_the_loop_and_not_on_threads(source: Source) -> None:
    before = threading.active_count()
    numbers = source.pipeline.events(N).map(lambda event: event.data.n)
    gathered: list[list[int]] = []
    numbers.buffer(seconds=0.02).subscribe(gathered.append)
    with pytest.raises(TimeoutError, match=r"first\(\) did not give an item within 0\.05 s"):
        await numbers.first(within=0.05)
    await source.write(number(1), number(2))
    with anyio.fail_after(20):
        while [1, 2] not in gathered:
            await anyio.sleep(0.005)
    assert threading.active_count() == before
    assert await source.pipeline.events(N, since=0).map(lambda e: e.data.n).first(within=20) == 1


async def test_a_type_has_several_ids_and_a_template(source: Source) -> None:
    found: list[int] = []
    source.pipeline.events(N).subscribe(lambda event: found.append(event.data.n))
    await source.write(
        number(1),
        line("s.n.old", '{"n":2}'),
        line("unknown", '{"n":3}', "number $n"),
        line(None, '{"n":4}', "number $n"),
        line("unknown", '{"n":5}', "another"),
    )
    assert found == [1, 2, 3, 4]


async def test_a_payload_of_another_type_is_counted_and_delivered_and_never_raised(source: Source) -> None:
    found: list[lucy.Undecodable] = []
    good: list[int] = []
    source.pipeline.events(N).subscribe(lambda event: good.append(event.data.n))
    source.pipeline.undecodable(N, Broken).subscribe(found.append)
    await source.write(number(1), line("s.n", '{"n":"x"}'), line("s.n", "3"), line("s.broken", "{}"), number(2))
    assert good == [1, 2]
    assert [(item.event_type, item.position - found[0].position) for item in found] == [
        ("N", 0),
        ("N", 1),
        ("Broken", 2),
    ]
    assert "RuntimeError: m" in found[-1].reason
    assert source.pipeline.ledger.of("a").undecodable == 3


async def test_records_narrow_to_events_and_keep_their_level(source: Source) -> None:
    warnings: list[str] = []
    narrowed: list[int] = []
    everything = source.pipeline.records(nodes=["a"])
    everything.of(N).subscribe(lambda event: narrowed.append(event.data.n))
    source.pipeline.records(level=lucy.Severity.WARN).subscribe(lambda event: warnings.append(event.data.level))
    await source.write(number(7), line(None, "{}", "m", "Fatal"), line(None, "{}", "m", "warn"), line(None, "{}"))
    assert narrowed == [7]
    assert warnings == ["Fatal", "warn"]


async def test_past_and_live_are_one_stream_with_bounded_memory(source: Source) -> None:
    await source.write(*(number(n) for n in range(500)))
    async with source.pipeline.events(N, since=0).aiter(limit=50) as items:
        got = [(await anext(items)).data.n for _ in range(100)]
        await source.write(*(number(n) for n in range(500, 800)))
        got += [(await anext(items)).data.n for _ in range(700)]
    assert got == list(range(800))


async def test_a_stream_ends_with_its_run_and_an_awaited_one_says_so(tmp_path: Path) -> None:
    ended: list[str] = []
    caught: list[BaseException] = []

    async def wait(pipeline: Pipeline) -> None:
        try:
            await pipeline.events(N).first()
        except lucy.StreamEmptyError as error:
            caught.append(error)

    async with anyio.create_task_group() as tasks, Pipeline.record(tmp_path / "run") as pipeline:
        await pipeline.open_fifo("a")
        pipeline.events(N).subscribe(lambda _: None, on_completed=lambda: ended.append("end"))
        tasks.start_soon(wait, pipeline)
        await anyio.lowlevel.checkpoint()
        await pipeline.drain("a")
    assert ended == ["end"]
    assert "N.first() ended before an item came" in str(caught[0])


async def test_an_operator_that_raises_ends_its_own_stream_alone(source: Source) -> None:
    errors: list[Exception] = []
    others: list[int] = []
    numbers = source.pipeline.events(N).map(lambda event: event.data.n)
    numbers.map(lambda n: 1 // n).subscribe(lambda _: None, errors.append)
    numbers.map(lambda n: 1 // n).subscribe(lambda _: None)
    numbers.subscribe(others.append)
    await source.write(number(1), number(0), number(2))
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert others == [1, 0, 2]
    assert source.pipeline.ledger.cut_off == [
        "a subscriber to N.map(…).map(…) raised ZeroDivisionError: integer division or modulo by zero"
    ]


async def test_a_loop_over_a_stream_itself_is_told_what_to_loop_over() -> None:
    with pytest.raises(TypeError, match=r"is no iterator; open one by `async with stream\.aiter\(\)"):
        async for _ in lucy.from_items([1]):
            pass


def test_a_declaration_that_means_no_line_is_refused() -> None:
    with pytest.raises(lucy.EventDefinitionError, match="needs pattern="):
        lucy.event()
    with pytest.raises(lucy.EventDefinitionError, match="int is no event type; declare it"):
        lucy.event_type(int)


async def test_a_tool_without_a_network_has_all_that_it_needs_of_a_pipeline_itself(tmp_path: Path) -> None:
    got: list[int] = []
    async with lucy.Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        pipeline.events(N).subscribe(lambda event: got.append(event.data.n))
        mark = pipeline.mark()
        with fifo.open("wb") as node:
            node.write(number(1) + line(None, "{}", level="Error") + b"plain\n" + b'{"no record\n')
        await pipeline.reach(await pipeline.drain("a"))
        assert got == [1]
        with pytest.raises(lucy.InconclusiveError, match="1 lines can't be read, the first at 3, of a: Input data was"):
            await pipeline.so_far(level=lucy.Severity.ERROR, since=mark)
        assert (await pipeline.malformed(since=mark).first()).raw == b'{"no record'
        assert (
            await pipeline.lines(nodes="a", since=mark).filter(lambda line: line.position == 2).first()
        ).raw == b"plain"
        assert pipeline.live == 1
    assert pipeline.ledger.complete
    async with lucy.Pipeline.replay(tmp_path / "run") as replayed, replayed.records().aiter() as records:
        assert [record.position async for record in records] == [0, 1, 2]
