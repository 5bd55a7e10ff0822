"""Whoever subscribes hears of the end, once, with its true reason; what a callback raises, no other hears of."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import structlog.testing
from reactivex import operators
from reactivex.subject import Subject
from stream_sources import Numbered, Other, numbered, write

import lucy_core as lucy
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.testing import scripted_node
from lucy_core.testing.scripted_node import Numbered as Ticked

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience", "quiet_log")]


@pytest.fixture
def quiet_log():
    """Lucy's log unwritten: a trace of a subscriber's error, with all its variables, takes a tenth of a second."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
async def patience():
    """None of this may hang."""
    with anyio.fail_after(60):
        yield


@pytest.fixture
async def pipeline(tmp_path: Path):
    async with Pipeline.record(tmp_path / "run") as pipeline:
        yield pipeline


def number(event: lucy.Event[Numbered]) -> int:
    return event.data.n


class Refused(BaseException):
    """What a test framework's outcome is like: no Exception."""


# --- what a callback raises ------------------------------------------------------------------------------------------

Chain = Callable[[Pipeline], lucy.Stream[Any]]
CHAINS: dict[str, Chain] = {
    "plain": lambda run: run.events(Numbered),
    "of": lambda run: run.records().of(Numbered),
    "past": lambda run: run.events(Numbered, since=0),
    "filter": lambda run: run.events(Numbered).filter(bool),
    "flat_map": lambda run: run.events(Numbered).flat_map(lambda event: lucy.from_items([event])),
    "buffer": lambda run: run.events(Numbered).buffer(count=1),
    "timed buffer": lambda run: run.events(Numbered).buffer(seconds=0.02).filter(bool),
    "take_until": lambda run: run.events(Numbered).take_until(run.events(Other)),
    "merge": lambda run: run.events(Numbered, nodes=("a",)).merge(run.events(Numbered, nodes=("b",))),
    "share": lambda run: run.events(Numbered).share(),
    "within": lambda run: run.events(Numbered).within(60),
    "start_with": lambda run: run.events(Numbered).start_with(0),
}


class Raiser:
    """A subscriber that raises at every item, and notes what it is told."""

    def __init__(self, raised: BaseException) -> None:
        self.raised = raised
        self.calls = 0
        self.told: list[Exception] = []
        self.done = anyio.Event()

    def take(self, _: object) -> None:
        self.calls += 1
        raise self.raised

    def failed(self, error: Exception) -> None:
        self.told.append(error)
        self.done.set()

    def completed(self) -> None:
        self.failed(AssertionError("completed"))


@pytest.mark.parametrize("raised", (ValueError("bad"), asyncio.CancelledError("bad"), GeneratorExit("bad")), ids=repr)
async def test_a_callback_that_raises_is_cut_off_reported_and_told_once(raised: BaseException, tmp_path: Path) -> None:
    told: list[BaseException] = []
    escaped: list[BaseException] = []
    try:
        async with Pipeline.record(tmp_path / "run") as pipeline:
            pipeline.report_escape(escaped.append)
            await cut_off(raised, pipeline)
    except lucy.CallbackError as error:
        told.append(error)
    if isinstance(raised, Exception):
        assert (told, escaped) == ([], [])
    else:  # the run ends with it: once, though each of them raised it
        assert [error.__cause__ for error in escaped] == [raised] * len(CHAINS)
        assert told == escaped[:1]


async def cut_off(raised: BaseException, pipeline: Pipeline) -> None:
    """Have a subscriber at the end of each chain raise at its first item."""
    reported: list[str] = []
    pipeline.report_cut_off(reported.append)
    neighbour: list[int] = []
    raisers = {name: Raiser(raised) for name in CHAINS}
    for name, chain in CHAINS.items():
        chain(pipeline).subscribe(raisers[name].take, raisers[name].failed, raisers[name].completed)
    pipeline.events(Numbered).subscribe(lambda event: neighbour.append(event.data.n))
    await write(pipeline, "a", numbered(1, 2))
    await write(pipeline, "a", numbered(3))
    for raiser in raisers.values():
        await raiser.done.wait()
    assert {name: raiser.calls for name, raiser in raisers.items()} == dict.fromkeys(CHAINS, 1)
    if isinstance(raised, Exception):
        assert {name: raiser.told for name, raiser in raisers.items()} == {name: [raised] for name in CHAINS}
    else:
        told = {name: [(type(error), error.__cause__) for error in raiser.told] for name, raiser in raisers.items()}
        assert told == {name: [(lucy.CallbackError, raised)] for name in CHAINS}
    assert len(reported) == (len(CHAINS) if isinstance(raised, Exception) else 0)
    assert len(pipeline.ledger.cut_off) == len(CHAINS)
    assert all(f"raised {type(raised).__name__}: bad" in text for text in pipeline.ledger.cut_off)
    assert neighbour == [1, 2, 3]


async def test_of_two_who_share_one_that_raises_leaves_the_other_everything(tmp_path: Path) -> None:
    got: list[int] = []
    told: list[Exception] = []

    def raises(_: int) -> bool:
        raise asyncio.CancelledError

    with pytest.raises(lucy.CallbackError):
        async with Pipeline.record(tmp_path / "run") as pipeline:
            pipeline.report_escape(lambda _: None)
            shared = pipeline.events(Numbered).map(number).share()
            shared.filter(raises).subscribe(lambda _: None, told.append)
            shared.subscribe(got.append)
            await write(pipeline, "a", numbered(1, 2, 3))
    assert got == [1, 2, 3]
    assert [type(error) for error in told] == [lucy.CallbackError]


OPERATORS: dict[str, Callable[[lucy.Stream[int], Callable[..., Any]], lucy.Stream[Any]]] = {
    "filter": lambda numbers, raises: numbers.filter(raises),
    "map": lambda numbers, raises: numbers.map(raises),
    "flat_map": lambda numbers, raises: numbers.flat_map(raises),
    "scan": lambda numbers, raises: numbers.scan(raises, 0),
    "distinct": lambda numbers, raises: numbers.distinct_until_changed(raises),
    "first": lambda numbers, raises: numbers.first(raises),
    "take_until": lambda numbers, raises: numbers.take_until(numbers.map(raises)),
    "merge": lambda numbers, raises: numbers.merge(numbers.map(raises)),
    "after a timer": lambda numbers, raises: numbers.buffer(seconds=0.01).filter(bool).map(raises),
}


async def test_what_an_operators_callback_raises_ends_its_own_chain_with_that(pipeline: Pipeline) -> None:
    raised = ValueError("bad")
    neighbour: list[int] = []
    ends = {name: Raiser(raised) for name in OPERATORS}

    def raises(*_: object) -> Any:
        raise raised

    numbers = pipeline.events(Numbered).map(number)
    for name, operator in OPERATORS.items():
        operator(numbers, raises).subscribe(lambda _: None, ends[name].failed, ends[name].completed)
    numbers.subscribe(neighbour.append)
    await write(pipeline, "a", numbered(1, 2))
    for end in ends.values():
        await end.done.wait()
    assert {name: end.told for name, end in ends.items()} == {name: [raised] for name in OPERATORS}
    assert neighbour == [1, 2]
    assert pipeline.ledger.cut_off == []


@pytest.mark.parametrize("since", (None, 0))
async def test_a_bare_subscription_that_raises_is_told_so_and_lets_go_who_waits_for_it(
    since: int | None, pipeline: Pipeline
) -> None:
    await write(pipeline, "a", numbered(1))
    ends: list[Exception | None] = []
    raised = ValueError("bad")

    def raises(_: list[Any]) -> None:
        raise raised

    handle = pipeline.subscribe(Interest(), raises, ends.append, since=since)
    await write(pipeline, "a", numbered(2))
    await handle.reach(await pipeline.fence())
    assert ends == [raised]


async def test_an_end_that_raises_is_reported_and_hurts_nobody(tmp_path: Path) -> None:
    ended: list[str] = []
    async with Pipeline.record(tmp_path / "run") as pipeline:

        def raises() -> None:
            raise ValueError("at the end")

        pipeline.events(Numbered).subscribe(lambda _: None, None, raises)
        pipeline.events(Numbered).subscribe(lambda _: None, None, lambda: ended.append("end"))
    assert ended == ["end"]
    assert pipeline.ledger.cut_off == ["a subscriber to Numbered raised ValueError: at the end"]


AT_ONCE: dict[str, Callable[[lucy.Stream[int], Callable[..., Any]], lucy.Stream[Any]]] = {
    "merge": lambda numbers, raises: numbers.merge(lucy.from_items([0]).map(raises)),
    "merge, the other way": lambda numbers, raises: lucy.from_items([0]).map(raises).merge(numbers),
    "start_with": lambda numbers, raises: numbers.start_with(0).map(raises),
    "filter": lambda numbers, raises: numbers.start_with(0).filter(raises),
    "of RxPY": lambda numbers, raises: numbers.pipe(operators.start_with(0), operators.map(raises)),
    "flat_map": lambda numbers, raises: numbers.start_with(0).flat_map(lambda n: lucy.from_items([n]).map(raises)),
}


async def test_what_is_raised_while_a_chain_is_subscribed_to_is_raised_there_and_nothing_comes_later(
    pipeline: Pipeline,
) -> None:
    raised = ValueError("bad")
    told: list[Exception] = []
    got: list[object] = []

    def raises(_: object) -> Any:
        raise raised

    numbers = pipeline.events(Numbered).map(number)
    for chain in AT_ONCE.values():
        with pytest.raises(ValueError, match="bad"):
            chain(numbers, raises).subscribe(got.append)
        chain(numbers, raises).subscribe(got.append, told.append)
    for start in (numbers.start_with(0), numbers.pipe(operators.start_with(0)), numbers.merge(lucy.from_items([0]))):
        with pytest.raises(ValueError, match="bad"):
            start.subscribe(raises)
    with pytest.raises(ValueError, match="bad"):
        lucy.from_items([0]).map(raises).subscribe(got.append, raises)
    await write(pipeline, "a", numbered(1))
    assert got == []
    assert told == [raised] * len(AT_ONCE)
    assert pipeline.ledger.cut_off == []


async def test_what_ends_the_test_while_a_chain_is_subscribed_to_comes_out_of_it(pipeline: Pipeline) -> None:
    got: list[object] = []

    def raises(_: int) -> int:
        raise Refused("no")

    with pytest.raises(Refused):
        pipeline.events(Numbered).merge(lucy.from_items([0]).map(raises)).subscribe(got.append)
    await write(pipeline, "a", numbered(1))
    assert got == []


async def test_a_wait_on_a_callback_that_raises_a_cancellation_is_not_cancelled(tmp_path: Path) -> None:
    waits: list[BaseException] = []

    def raises(_: object) -> bool:
        raise asyncio.CancelledError("nobody's")

    with pytest.raises(lucy.CallbackError, match="raised CancelledError: nobody's") as caught:
        async with Pipeline.record(tmp_path / "run") as pipeline, anyio.create_task_group() as tasks:
            pipeline.report_escape(lambda _: None)
            tasks.start_soon(write, pipeline, "a", numbered(1))
            with pytest.raises(lucy.CallbackError, match="raised CancelledError: nobody's") as first:
                await pipeline.events(Numbered).filter(raises).first()
            waits.append(first.value)
    assert waits == [caught.value]


# --- what ends the run -----------------------------------------------------------------------------------------------


def escape_from_subscriber(pipeline: Pipeline, escape: Callable[..., Any]) -> None:
    pipeline.events(Numbered).subscribe(escape)


def escape_from_filter(pipeline: Pipeline, escape: Callable[..., Any]) -> None:
    pipeline.events(Numbered).filter(escape).subscribe(lambda _: None)


def escape_from_timer(pipeline: Pipeline, escape: Callable[..., Any]) -> None:
    pipeline.events(Numbered).buffer(seconds=0.01).filter(bool).map(escape).subscribe(lambda _: None)


def escape_from_past(pipeline: Pipeline, escape: Callable[..., Any]) -> None:
    pipeline.events(Numbered, since=0).subscribe(escape)


def escape_from_decoder(pipeline: Pipeline, escape: Callable[..., Any]) -> None:
    @lucy.event(ids="stream.numbered", decode=escape)
    class Fatal(msgspec.Struct, frozen=True):
        pass

    pipeline.events(Fatal).subscribe(lambda _: None)


@pytest.mark.parametrize(
    ("place", "raised"),
    (
        (escape_from_subscriber, SystemExit(3)),
        (escape_from_subscriber, KeyboardInterrupt("now")),
        (escape_from_subscriber, Refused("no")),
        (escape_from_past, Refused("no")),
        (escape_from_subscriber, asyncio.CancelledError("nobody's")),
        (escape_from_filter, GeneratorExit("nobody's")),
        (escape_from_decoder, asyncio.CancelledError("nobody's")),
        (escape_from_filter, Refused("no")),
        (escape_from_timer, Refused("no")),
        (escape_from_decoder, Refused("no")),
    ),
)
async def test_an_exit_in_a_callback_ends_the_run_with_that_and_the_others_miss_nothing(
    place: Callable[..., None], raised: BaseException, tmp_path: Path
) -> None:
    neighbour: list[int] = []
    waiting: list[BaseException] = []

    def escape(*_: object) -> Any:
        raise raised

    async def wait(pipeline: Pipeline) -> None:
        try:
            await pipeline.events(Other).first()
        except BaseException as error:  # noqa: BLE001  # whatever it is
            waiting.append(error)

    caught: BaseException | None = None
    try:
        async with Pipeline.record(tmp_path / "run") as pipeline, anyio.create_task_group() as tasks:
            place(pipeline, escape)
            pipeline.events(Numbered, since=0).subscribe(lambda event: neighbour.append(event.data.n))
            tasks.start_soon(wait, pipeline)
            await anyio.lowlevel.checkpoint()
            try:
                await pipeline.write("a", numbered(*range(50)))
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await pipeline.write("a", numbered(*range(50, 100)))
    except BaseException as error:  # noqa: BLE001  # what the run ends with
        caught = error
    assert caught is raised or (isinstance(caught, lucy.CallbackError) and caught.raised is raised)
    assert neighbour == list(range(100))
    assert waiting == [caught] or isinstance(waiting[0], asyncio.CancelledError)


async def test_what_a_callback_raises_after_the_run_comes_to_whoever_called_it(tmp_path: Path) -> None:
    late: Subject[int] = Subject()

    def raises(_: object) -> None:
        raise Refused("too late")

    async with Pipeline.record(tmp_path / "run") as pipeline:
        pipeline.events(Numbered).flat_map(lambda _: lucy.Stream(late)).subscribe(raises)
        await write(pipeline, "a", numbered(1))
    with pytest.raises(Refused, match="too late"):
        late.on_next(1)


async def test_a_replays_callback_that_raises_fails_its_block(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        await write(pipeline, "a", numbered(1, 2, 3))
    raised = ValueError("bad")

    def raises(event: lucy.Event[Numbered]) -> None:
        assert event.data.n < 2
        raise raised

    with pytest.raises(ValueError, match="bad") as caught:
        async with lucy.replay(tmp_path / "run") as run:
            run.events(Numbered).subscribe(raises)
            assert (await run.wait_for(lucy.seen(Numbered, count=3))).data == Numbered(3)
    assert caught.value is raised


async def test_a_callback_that_only_makes_a_coroutine_is_refused(tmp_path: Path) -> None:
    done: list[str] = []

    async def work(name: str) -> None:
        await anyio.lowlevel.checkpoint()
        done.append(name)

    told: list[Exception] = []
    async with Pipeline.record(tmp_path / "run") as pipeline, anyio.create_task_group() as tasks:
        numbers = pipeline.events(Numbered)
        numbers.subscribe(lambda _: work("never"), told.append)  # type: ignore[arg-type, return-value]
        numbers.subscribe(lambda _: tasks.start_soon(work, "started"))  # type: ignore[arg-type, return-value]
        numbers.subscribe(lambda _: asyncio.ensure_future(work("ensured")))  # type: ignore[arg-type, return-value]
        await write(pipeline, "a", numbered(1))
        await anyio.wait_all_tasks_blocked()
    assert [type(error) for error in told] == [TypeError]
    assert "the callback of Numbered returned a coroutine, which nobody awaits" in str(told[0])
    assert sorted(done) == ["ensured", "started"]


async def test_a_networks_callback_that_fails_the_test_ends_the_block_with_that(tmp_path: Path) -> None:
    spec = lucy.NetworkSpec(name="t", nodes=(scripted_node("a", "tick:0.01"),))

    def look(event: lucy.Event[Ticked]) -> None:
        if event.data.n >= 3:
            pytest.fail(f"saw number {event.data.n}")

    with pytest.raises(pytest.fail.Exception, match="saw number 3"):
        async with lucy.deploy(spec, run_directory=tmp_path / "run") as network:
            network.events(Ticked, since=0).subscribe(look)
            await anyio.sleep_forever()
    with pytest.raises(pytest.fail.Exception, match="saw number 3"):
        async with lucy.deploy(spec, run_directory=tmp_path / "again", interrupt=False) as network:
            network.events(Ticked, since=0).subscribe(look)
            await network.events(Ticked).filter(lambda event: event.data.n > 10**6).first()


# --- whoever waits ---------------------------------------------------------------------------------------------------


async def test_whoever_waits_hears_of_the_runs_end_and_lines_come_on(pipeline: Pipeline) -> None:
    error = lucy.LucyError("over")
    got: list[int] = []
    raised: list[BaseException] = []
    pipeline.events(Numbered).map(number).subscribe(got.append)

    async def first() -> None:
        with pytest.raises(lucy.LucyError) as caught:
            await pipeline.events(Other).first(within=1000)
        raised.append(caught.value)

    async with pipeline.events(Numbered).map(number).aiter() as items, anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await anyio.lowlevel.checkpoint()
        await write(pipeline, "a", numbered(1, 2))
        pipeline.abort(error)
        assert [await anext(items), await anext(items)] == [1, 2]
        with pytest.raises(lucy.LucyError) as caught:
            await anext(items)
        raised.append(caught.value)
    with pytest.raises(lucy.LucyError) as caught:
        await pipeline.events(Numbered, since=0).first()
    await write(pipeline, "a", numbered(3))
    assert [*raised, caught.value] == [error, error, error]
    assert got == [1, 2, 3]
    calls: list[str] = []
    pipeline.when_aborted(lambda: calls.append("now"))
    assert calls == ["now"]


async def test_the_first_error_stands_and_whoever_takes_it_back_is_not_called(pipeline: Pipeline) -> None:
    calls: list[str] = []
    pipeline.when_aborted(lambda: calls.append("kept"))
    pipeline.when_aborted(lambda: calls.append("taken back"))()
    pipeline.abort(lucy.LucyError("first"))
    pipeline.abort(lucy.LucyError("second"))
    assert calls == ["kept"]
    assert str(pipeline.aborted) == "first"


async def test_a_nodes_death_ends_who_awaits_an_item(tmp_path: Path) -> None:
    spec = lucy.NetworkSpec(name="t", nodes=(scripted_node("a", "tick:0.01"), scripted_node("b", "tick:0.01")))
    ended: list[str] = []
    with pytest.raises(lucy.NodeExitedError, match="a was killed by SIGKILL"):
        async with lucy.deploy(spec, run_directory=tmp_path / "run", interrupt=False) as network:

            async def first() -> None:
                with pytest.raises(lucy.NodeExitedError):
                    await network.events(Ticked, nodes=("b",)).filter(lambda event: event.data.n < 0).first(within=1000)
                ended.append("first")

            async def iterate() -> None:
                with pytest.raises(lucy.NodeExitedError):
                    async with network.events(lucy.NodeStopped).aiter() as items:
                        async for _ in items:
                            pass
                ended.append("aiter")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(first)
                tasks.start_soon(iterate)
                await network.events(Ticked, since=0).first()
                os.kill(await pid_of(network, "a"), signal.SIGKILL)
    assert sorted(ended) == ["aiter", "first"]


async def pid_of(network: lucy.Network, name: str) -> int:
    """Find the process of a scripted node by its run directory."""
    directory = str(network[name].directory)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "cwd").startswith(directory) and int(entry.name) != os.getpid():
                    return int(entry.name)
            except OSError:
                continue
    message = f"no process of {name} in {directory}"
    raise AssertionError(message)


async def test_the_captures_death_ends_who_awaits_an_item(tmp_path: Path) -> None:
    caught: list[BaseException] = []
    async with Pipeline.record(tmp_path / "run") as pipeline, anyio.create_task_group() as tasks:

        async def first() -> None:
            try:
                await pipeline.events(Numbered).first(within=1000)
            except lucy.CaptureDiedError as error:
                caught.append(error)

        tasks.start_soon(first)
        await anyio.lowlevel.checkpoint()
        assert pipeline.capture_pid is not None
        os.kill(pipeline.capture_pid, signal.SIGKILL)
        while not caught:
            await anyio.sleep(0.001)
        with pytest.raises(lucy.CaptureDiedError):
            await pipeline.events(Numbered).first()


async def test_a_run_that_has_ended_keeps_nobody_waiting(tmp_path: Path) -> None:
    ends: list[Exception | None] = []
    async with Pipeline.record(tmp_path / "run") as pipeline:
        await write(pipeline, "a", numbered(1))
        early = pipeline.events(Numbered)
    assert pipeline.is_closed
    with pytest.raises(lucy.StreamEmptyError):
        await early.first(within=1000)
    async with early.aiter() as items:
        assert [item async for item in items] == []
    pipeline.subscribe(Interest(), lambda _: None, ends.append)
    assert ends == [None]
    with pytest.raises(lucy.RecordingError, match="its recording is closed: replay it"):
        await pipeline.events(Numbered, since=0).first()
    with pytest.raises(lucy.RecordingError, match="its recording is closed: replay it"):
        await pipeline.so_far(Numbered)


async def test_tasks_that_share_an_iterator_all_end(pipeline: Pipeline) -> None:
    got: list[int] = []
    ended: list[str] = []
    async with pipeline.events(Numbered).map(number).take(8).aiter() as items:

        async def work(name: str) -> None:
            async for item in items:
                got.append(item)
                await anyio.lowlevel.checkpoint()
            ended.append(name)

        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(work, name)
            for n in range(8):
                await write(pipeline, "a", numbered(n))
    assert got == list(range(8))
    assert sorted(ended) == ["a", "b", "c"]


async def test_tasks_that_share_an_iterator_are_served_in_turn_and_a_cancelled_one_leaves_its_item() -> None:
    source: Subject[int] = Subject()
    got: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    async with lucy.Stream(source).aiter() as items:

        async def work(name: str) -> None:
            async for item in items:
                got[name].append(item)  # and asks again at once, awaiting nothing in between

        async def give(*numbers: int) -> None:
            for n in numbers:
                source.on_next(n)
            await anyio.wait_all_tasks_blocked()

        tasks = {name: asyncio.create_task(work(name)) for name in got}
        await give()
        await give(0, 1, 2)
        for n in range(3, 6):
            await give(n)
        assert got == {"a": [0, 3], "b": [1, 4], "c": [2, 5]}
        source.on_next(6)  # given to a, which hasn't run since
        tasks["a"].cancel()
        await give(7)
        tasks["b"].cancel()
        await give()
        source.on_next(8)
        tasks["c"].cancel()
        await give()
        assert got == {"a": [0, 3], "b": [1, 4, 7], "c": [2, 5, 6]}
        assert await anext(items) == 8


async def test_leaving_the_block_ends_whoever_still_iterates(pipeline: Pipeline) -> None:
    ended = anyio.Event()
    async with anyio.create_task_group() as tasks:
        async with pipeline.events(Numbered).aiter() as items:

            async def iterate() -> None:
                async for _ in items:
                    pass
                ended.set()

            tasks.start_soon(iterate)
            await anyio.lowlevel.checkpoint()
        await ended.wait()


async def test_an_item_is_not_missed_that_comes_between_asking_and_awaiting(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(0))
    asked = pipeline.events(Numbered).map(number).first()
    by_mark = pipeline.events(Numbered, since=pipeline.mark()).map(number).first(within=60)
    chosen = pipeline.events(Numbered).map(number).first(lambda n: n > 1, within=60)
    merged = lucy.merge(pipeline.events(Other), pipeline.events(Numbered)).first()
    await write(pipeline, "a", numbered(1, 2))
    assert [await asked, await by_mark, await chosen, await asked] == [1, 1, 2, 1]
    assert (await merged).data == Numbered(1)


async def test_without_a_recording_awaiting_starts_where_it_is(tmp_path: Path) -> None:
    async with Pipeline.pass_through() as pipeline, anyio.create_task_group() as tasks:
        asked = pipeline.events(Numbered).first(within=60)
        pipeline.write_nowait("a", numbered(1))

        async def first() -> None:
            assert (await asked).data.n == 2

        tasks.start_soon(first)
        await anyio.lowlevel.checkpoint()
        pipeline.write_nowait("a", numbered(2))


async def test_a_stream_of_one_ended_node_completes(pipeline: Pipeline) -> None:
    stream = pipeline.events(Other, nodes=("a",))
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(lucy.StreamEmptyError):
                await stream.first()

        tasks.start_soon(wait)
        await write(pipeline, "a", numbered(1))
        pipeline.end_node("a", pipeline.mark().position)
