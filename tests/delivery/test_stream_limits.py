"""A stream's limits are judged by when lines arrived, and one that runs into its limit says why."""

import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
import reactivex
from stream_sources import Numbered, Other, numbered, other, write

import lucy_core as lucy
from lucy_core import testing
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.delivery.streams import Stream

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pipeline(tmp_path: Path):
    with anyio.fail_after(60):
        async with Pipeline.record(tmp_path / "run") as pipeline:
            yield pipeline


async def test_no_time_at_all_is_enough_for_what_is_there(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1, 2))
    for _ in range(20):
        assert (await pipeline.events(Numbered, since=0).first(within=0)).data.n == 1
        with pytest.raises(lucy.StreamTimeoutError):
            await pipeline.events(Numbered, since=0).first(lambda event: event.data.n > 2, within=0)
        with pytest.raises(lucy.StreamTimeoutError):
            await pipeline.events(Numbered).first(within=0)


async def test_what_has_arrived_and_is_not_yet_delivered_is_there_too(pipeline: Pipeline) -> None:
    for n in range(20):
        asked = pipeline.events(Numbered).first(within=0)
        await pipeline.write("a", numbered(n))
        assert (await asked).data.n == n


class Fifo:
    """A node that writes while the loop is blocked: by the test itself, without awaiting anything."""

    def __init__(self, pipeline: Pipeline, path: Path) -> None:
        self.pipeline = pipeline
        self.file = path.open("wb", buffering=0)

    def write(self, lines: bytes) -> None:
        """Write, and block until it has arrived."""
        recording = self.pipeline.recording
        assert recording is not None
        before = recording.end()
        self.file.write(lines)
        while recording.end() == before:
            time.sleep(0.001)

    def block_until(self, moment_ns: int) -> None:
        while self.pipeline.now_ns() <= moment_ns:
            time.sleep(0.001)


@contextmanager
def fifo(pipeline: Pipeline, path: Path) -> Iterator[Fifo]:
    made = Fifo(pipeline, path)
    with made.file:
        yield made


LIMIT = 0.5


@pytest.mark.blocking
@pytest.mark.parametrize("form", ("first", "within", "shared", "past"))
async def test_in_time_is_what_arrived_in_time_however_late_the_loop_hears_of_it(form: str, pipeline: Pipeline) -> None:
    path = await pipeline.open_fifo("a")
    numbers = pipeline.events(Numbered).map(lambda event: event.data.n)
    if form == "past":
        numbers = pipeline.events(Numbered, since=0).map(lambda event: event.data.n)
    if form == "shared":
        numbers = numbers.share()
        numbers.subscribe(lambda _: None)
    got: list[int | type[Exception]] = []
    started = anyio.Event()

    async def wait() -> None:
        started.set()
        try:
            got.append(
                await (numbers.take(1).within(LIMIT).first() if form == "within" else numbers.first(within=LIMIT))
            )
        except lucy.StreamTimeoutError as error:
            got.append(type(error))

    with fifo(pipeline, path) as node:
        for write_late in (False, True):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await started.wait()
                await anyio.lowlevel.checkpoint()
                limit_ns = pipeline.now_ns() + int(LIMIT * 1e9)
                if write_late:
                    node.block_until(limit_ns)
                    node.write(numbered(2))
                else:
                    node.write(numbered(1))
                    node.block_until(limit_ns)
            started = anyio.Event()
            if form == "past":
                numbers = numbers.filter(lambda n: n == 2)
    assert got == [1, lucy.StreamTimeoutError]


async def test_a_time_out_says_what_came_what_was_near_and_what_was_captured(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(7))

    def is_large(event: lucy.Event[Numbered]) -> bool:
        return event.data.n > 100

    with pytest.raises(TimeoutError) as caught:
        await pipeline.events(Numbered, since=0).filter(is_large).map(lambda event: event.data.n).first(within=0)
    error = caught.value
    assert isinstance(error, lucy.StreamTimeoutError)
    assert error.stream == "Numbered.filter(is_large).map(…).first()"
    first, *explanation = str(error).splitlines()
    assert first == "Numbered.filter(is_large).map(…).first() did not give an item within 0 s"
    assert explanation[0].startswith("  came    : 1 items, the last a #")
    assert "Numbered(n=7)" in explanation[0]
    assert explanation[1].startswith("  nearest : dropped by filter(is_large): a #")
    assert any(line.startswith("  log     : a: 1 lines") for line in explanation)


async def test_a_time_out_looks_at_the_nodes_that_were_not_asked_about(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1, 2), other("x"))
    with pytest.raises(lucy.StreamTimeoutError, match="nearest : from a node that wasn't asked about: a #.*n=2"):
        await pipeline.events(Numbered, nodes=("b",), since=0).first(within=0)
    with pytest.raises(lucy.StreamTimeoutError) as caught:
        await pipeline.events(Other, nodes=("a",)).first(within=0)
    assert "nearest" not in str(caught.value)


async def test_a_time_out_explains_itself_with_items_that_can_not_be_shown(pipeline: Pipeline) -> None:
    @lucy.event(ids="stream.numbered")
    class Shy(msgspec.Struct, frozen=True):
        n: int

        def __repr__(self) -> str:
            raise LookupError("not for you")

    await write(pipeline, "a", numbered(1))
    with pytest.raises(lucy.StreamTimeoutError, match="a Shy, whose repr raises LookupError: not for you"):
        await pipeline.events(Shy, since=0).filter(lambda _: False).first(within=0)
    assert (await pipeline.events(Numbered, since=0).first(within=60)).data == Numbered(1)  # others read on


async def test_a_stream_that_goes_on_past_its_limit_fails_with_all_that_came_in_time(pipeline: Pipeline) -> None:
    got: list[int] = []
    errors: list[Exception] = []
    failed = anyio.Event()

    def fail(error: Exception) -> None:
        errors.append(error)
        failed.set()

    pipeline.events(Numbered).map(lambda event: event.data.n).within(0.3).subscribe(got.append, fail)
    await write(pipeline, "a", numbered(1, 2))
    await failed.wait()
    await write(pipeline, "a", numbered(3))
    assert got == [1, 2]
    assert "did not complete within 0.3 s\n  came    : 2 items" in str(errors[0])


NO_TIMES = (
    (-1, ValueError),
    (-math.inf, ValueError),
    (math.nan, ValueError),
    (True, TypeError),
    ("3", TypeError),
)


@pytest.mark.parametrize(("limit", "error"), NO_TIMES)
async def test_what_is_no_time_is_refused_by_name(limit: object, error: type[Exception]) -> None:
    stream = lucy.from_items([1])
    with pytest.raises(error, match="seconds="):
        stream.within(limit)  # type: ignore[arg-type]
    with pytest.raises(error, match="within="):
        stream.first(within=limit)  # type: ignore[arg-type]


async def test_what_could_never_work_is_refused_at_the_call() -> None:
    stream = lucy.from_items([1])
    calls = (
        lambda: stream.buffer(seconds=0),
        lambda: stream.buffer(seconds=-1),
        lambda: stream.buffer(seconds=math.inf),
        lambda: stream.buffer(seconds=math.nan),
        lambda: stream.buffer(count=0),
        stream.buffer,
        lambda: stream.window_count(0),
        lambda: stream.window_count(2, 0),
        lambda: stream.take(-1),
        lambda: stream.aiter(limit=0),
    )
    for call in calls:
        with pytest.raises(ValueError, match="seconds|count|skip|limit"):
            call()


TIMES = (2_147_484, 30 * 86400, 10**9, threading.TIMEOUT_MAX, 1e12, sys.maxsize, 1e300, 10**400, math.inf)


async def test_any_time_there_is_can_be_waited_for() -> None:
    got: list[int] = []
    async with Pipeline.pass_through() as pipeline, anyio.create_task_group() as tasks:

        async def wait(limit: float) -> None:
            got.append((await pipeline.events(Numbered).first(within=limit)).data.n)

        for limit in TIMES:
            tasks.start_soon(wait, limit)
        await anyio.lowlevel.checkpoint()
        pipeline.write_nowait("a", numbered(1))
    assert got == [1] * len(TIMES)


def test_limits_count_virtual_seconds() -> None:
    async def wait() -> tuple[float, str]:
        with pytest.raises(lucy.StreamTimeoutError) as caught:
            await Stream(reactivex.never(), "silence").first(within=600)
        return anyio.current_time(), str(caught.value)

    assert testing.run(wait) == (pytest.approx(600), "silence.first() did not give an item within 600 s")
