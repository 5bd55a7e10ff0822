"""Whatever one subscriber does, it gets what it is due, once and in order, and so do the others.

Each event carries its number, and its number is its position. So what a subscriber is due is a range: from where it
began to where it left, raised, or was told to go.
"""

import random
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec
import pytest
import structlog.testing

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quiet_log")]

EVENTS = 4000
ID = "lucy.test.due"


@lucy.event(ids=ID)
class Due(msgspec.Struct, frozen=True):
    n: int


def lines(first: int, after: int) -> bytes:
    return b"".join(
        b'{"message":"m","metadata":{"n":%d},"event_id":"%b"}\n' % (n, ID.encode()) for n in range(first, after)
    )


async def write(fifo: Path, first: int, after: int) -> None:
    def fill() -> None:
        with fifo.open("wb", buffering=0) as writer:
            for n in range(first, after, 50):
                writer.write(lines(n, min(n + 50, after)))

    await anyio.to_thread.run_sync(fill)


@pytest.fixture
def quiet_log():
    """Lucy's log unwritten: a trace of a subscriber's error, with all its variables, takes a tenth of a second."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture(params=(True, False), ids=("recorded", "passed through"))
def opened(request: pytest.FixtureRequest, tmp_path: Path):
    return Pipeline.record(tmp_path / "run") if request.param else Pipeline.pass_through()


@pytest.mark.parametrize("recorded_past", (False, True))
async def test_who_raises_at_every_hundredth_event_is_cut_off_at_the_first_and_reported(
    recorded_past: bool, tmp_path: Path
) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        reported: list[str] = []
        pipeline.report_cut_off(reported.append)
        seen: list[int] = []
        others: list[int] = []

        def raises(event: lucy.Event[Due]) -> None:
            seen.append(event.data.n)
            if event.data.n % 100 == 99:
                message = f"not {event.data.n}"
                raise ValueError(message)

        def subscribe() -> None:
            pipeline.events(Due, since=0).subscribe(raises)
            pipeline.events(Due, since=0).subscribe(lambda event: others.append(event.data.n))

        if not recorded_past:
            subscribe()
        await write(fifo, 0, EVENTS)
        await pipeline.reach(await pipeline.drain("a"))
        if recorded_past:
            subscribe()
        with anyio.fail_after(20):
            while len(others) < EVENTS:
                await anyio.sleep(0.001)
        assert seen == list(range(100))
        assert others == list(range(EVENTS))
        assert reported == pipeline.ledger.cut_off == ["a subscriber to Due raised ValueError: not 99"]
        assert pipeline.live == 1  # nobody decodes for it any more
        assert pipeline.ledger.complete


async def test_an_operator_that_raises_is_told_to_who_asked_and_to_nobody_else(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        got: list[float] = []
        told: list[Exception] = []
        others: list[int] = []
        stream = pipeline.events(Due)
        stream.map(lambda event: 1 / (event.data.n - 100)).subscribe(got.append, told.append)
        stream.subscribe(lambda event: others.append(event.data.n))
        await write(fifo, 0, EVENTS)
        await pipeline.reach(await pipeline.drain("a"))
        assert len(got) == 100
        assert [type(error) for error in told] == [ZeroDivisionError]
        assert others == list(range(EVENTS))
        assert pipeline.ledger.cut_off == []


async def test_who_leaves_in_its_own_callback_gets_nothing_more(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        seen: list[int] = []

        def leaves(event: lucy.Event[Due]) -> None:
            seen.append(event.data.n)
            if event.data.n == 123:
                leave()

        leave = pipeline.events(Due).subscribe(leaves)
        await write(fifo, 0, EVENTS)
        await pipeline.reach(await pipeline.drain("a"))
        assert seen == list(range(124))


async def test_who_subscribes_in_a_callback_may_begin_at_the_very_event(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        begun: dict[int, list[int]] = {}

        def begins(event: lucy.Event[Due]) -> None:
            if event.data.n % 500 == 250:
                numbers = begun[event.data.n] = []
                again = pipeline.events(Due, since=event.position)
                again.subscribe(lambda event: numbers.append(event.data.n))

        pipeline.events(Due).subscribe(begins)
        await write(fifo, 0, EVENTS)
        await pipeline.reach(await pipeline.drain("a"))
        with anyio.fail_after(20):
            while len(begun) < EVENTS // 500 or any(numbers[-1:] != [EVENTS - 1] for numbers in begun.values()):
                await anyio.sleep(0.001)
        assert begun == {first: list(range(first, EVENTS)) for first in range(250, EVENTS, 500)}


class Watcher:
    """Does one thing at its nth event: nothing, raise, leave, send another away, or bring one along."""

    def __init__(self, crowd: "Crowd", since: int | None) -> None:
        self.crowd = crowd
        self.start = crowd.pipeline.delivered if since is None else since
        self.deed = crowd.dice.choice(("stay", "raise", "leave", "dismiss", "bring"))
        self.at = crowd.dice.randrange(1, 400)
        self.seen: list[int] = []
        self.gone_after: int | None = None
        crowd.watchers.append(self)
        self.unsubscribe: Callable[[], None] = crowd.pipeline.events(Due, since=since).subscribe(self.take)

    def take(self, event: lucy.Event[Due]) -> None:
        self.seen.append(event.data.n)
        if len(self.seen) != self.at:
            return
        match self.deed:
            case "raise":
                self.gone_after = self.at
                raise KeyError(self.at)
            case "leave":
                self.leave()
            case "dismiss":
                self.crowd.dice.choice(self.crowd.watchers).leave()
            case "bring" if len(self.crowd.watchers) < 300:
                Watcher(self.crowd, self.crowd.dice.choice((None, 0, event.position, event.position // 2)))
            case _:
                pass

    def leave(self) -> None:
        if self.gone_after is None:
            self.gone_after = len(self.seen)
            self.unsubscribe()

    @property
    def is_done(self) -> bool:
        return self.gone_after is not None or self.seen[-1:] == [EVENTS - 1] or self.start == EVENTS


class Crowd:
    def __init__(self, pipeline: Pipeline, seed: int) -> None:
        self.pipeline = pipeline
        self.dice = random.Random(seed)
        self.watchers: list[Watcher] = []


@pytest.mark.parametrize("seed", range(3))
async def test_a_crowd_of_subscribers_that_come_go_raise_and_send_each_other_away(seed: int, tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        crowd = Crowd(pipeline, seed)
        for _ in range(30):
            Watcher(crowd, None)
        await write(fifo, 0, EVENTS // 2)
        await pipeline.drain("a")  # so that position 77 is one of this run
        for _ in range(10):
            Watcher(crowd, crowd.dice.choice((None, 0, 77)))
        await write(fifo, EVENTS // 2, EVENTS)
        await pipeline.reach(await pipeline.drain("a"))
        with anyio.fail_after(30):
            while not all(watcher.is_done for watcher in crowd.watchers):
                await anyio.sleep(0.001)
        raised = 0
        for watcher in crowd.watchers:
            count = EVENTS - watcher.start if watcher.gone_after is None else watcher.gone_after
            assert watcher.seen == list(range(watcher.start, watcher.start + count)), (watcher.deed, watcher.at)
            raised += watcher.deed == "raise" and watcher.gone_after == watcher.at
        assert len(pipeline.ledger.cut_off) == raised > 0
        assert pipeline.ledger.complete
