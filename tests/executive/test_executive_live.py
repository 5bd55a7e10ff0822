"""The live view and the JSON lines, with a network that runs and no terminal."""

import io
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from rich.console import Console

import lucy_core as lucy
from lucy_core.aio import leaves
from lucy_core.engine import NodeSpec
from lucy_core.executive.showing.events_out import EventLines, event_line
from lucy_core.executive.showing.live import LiveView, Rates, doing, picture
from lucy_core.executive.showing.views import Sheltered, Told, follow, own
from lucy_core.executive.showing.voice import Failure, Hand, Way
from lucy_core.judging.result import OpenWait
from lucy_engines.process import ProcessEngine


@lucy.event(ids="live.tick")
class LiveTick(msgspec.Struct, frozen=True):
    n: int


class Ticks:
    """A vocabulary with one event."""

    name = "ticks"
    event_types = (LiveTick,)

    class State:
        def __init__(self, height: int = 0) -> None:
            self.height = height

        def apply(self, event: lucy.Event) -> None:
            if isinstance(event.data, LiveTick):
                self.height = event.data.n

        def copy(self) -> "Ticks.State":
            return Ticks.State(self.height)

    def new_state(self) -> "Ticks.State":
        return Ticks.State()

    def summary(self, state: "Ticks.State", _node: str) -> str:
        return f"height {state.height}"


class TickTopology:
    vocabulary = Ticks()

    def __init__(self, program: str) -> None:
        self._program = program

    def network_spec(self, _options: object) -> lucy.NetworkSpec:
        return lucy.NetworkSpec(
            name="ticks", nodes=(NodeSpec(name="one", role="node", command=("sh", "-c", self._program)),)
        )


TICK = """echo '{"message":"tick","event_id":"live.tick","metadata":{"n":42}}'; exec sleep 600"""


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[lucy.Network]:
    async with lucy.deploy(TickTopology(TICK), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        await network.events(LiveTick, since=0).first(within=20)
        yield network


def told(failure: Failure) -> None:
    raise AssertionError(failure.what) from failure.error


def drawn(what: object, width: int = 100) -> str:
    console = Console(width=width, height=30, file=io.StringIO())
    console.print(what)
    return console.file.getvalue()


async def test_the_picture_shows_where_each_node_stands(network: lucy.Network) -> None:
    text = drawn(picture(network, "small on process", elapsed=3, rates={"one": 1234.0}, last=["what came last"]))

    assert "small on process" in text
    assert any(all(word in line for word in ("one", "running", "height 42", "1,234")) for line in text.splitlines())
    assert "what came last" in text
    assert max(map(len, text.splitlines())) <= 100


async def test_a_vocabulary_that_slips_does_not_end_the_view(network: lucy.Network) -> None:
    def slip(*_: object) -> str:
        raise ValueError("no idea")

    network.vocabulary.summary = slip

    text = drawn(picture(network, "", elapsed=0, rates={}, last=[]))
    del network.vocabulary.summary

    assert "ValueError: no idea" in text


def test_before_there_is_a_network_the_picture_says_so() -> None:
    assert "deploying" in drawn(picture(None, "title", elapsed=0, rates={}, last=[]))


def test_what_is_awaited_is_shown_with_the_time_that_is_left() -> None:
    wait = OpenWait(id=2, description="two blocks", section="begin", inside=1, started=100.0, soft=10.0, hard=30.0)
    endless = msgspec.structs.replace(wait, section="", soft=None, hard=None)

    assert doing(["begin"], [wait], 104.0) == "begin: waiting for two blocks, 4 s (soft in 6 s, hard in 26 s)"
    assert (
        doing(["begin"], [wait], 115.0) == "begin: waiting for two blocks, 15 s (past its soft timeout, hard in 15 s)"
    )
    assert doing([], [endless, wait], 104.0) == "waiting for two blocks and 1 more, 4 s"
    assert doing(["begin", "beside"], [], 0.0) == "begin, beside"


def test_rates_count_over_the_last_second() -> None:
    rates = Rates()

    assert rates.look(10.0, {"one": 100}) == {"one": 0.0}
    assert rates.look(10.5, {"one": 200}) == {"one": 200.0}
    assert rates.look(11.0, {"one": 200}) == {"one": 100.0}
    assert rates.look(12.0, {"one": 200}) == {"one": 0.0}


async def test_the_live_view_takes_a_terminal_and_gives_it_back(network: lucy.Network) -> None:
    console = Console(width=100, height=30, file=io.StringIO(), force_terminal=True)
    view = LiveView("small", console, told)

    async with view.running():
        view.watch(network)
        await network.pipeline.reach(network.mark().position)
        await anyio.wait_all_tasks_blocked()
        shown = drawn(view.now())
        view.test_over()

    assert "one started" in shown
    assert "LiveTick(n=42)" in shown
    assert console.file.getvalue().endswith("\x1b[2K")


class BrokenView:
    """A view that fails wherever it can."""

    def __init__(self, where: str, told: Told) -> None:
        self._where = where
        self._told = told

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._fail("entering")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._draw)
            yield
            tasks.cancel_scope.cancel()
        self._fail("leaving")

    async def _draw(self) -> None:
        self._fail("drawing")
        await anyio.sleep_forever()

    def watch(self, network: lucy.Network) -> None:
        self._fail("watching")
        follow(network, own(), self._take, self._told)

    def _take(self, _: list[lucy.Event]) -> None:
        self._fail("taking")

    def test_over(self) -> None:
        self._fail("the test's end")

    def _fail(self, where: str) -> None:
        if where == self._where:
            raise ValueError(where)


@pytest.mark.parametrize("where", ("entering", "drawing", "watching", "taking", "the test's end", "leaving"))
async def test_a_view_that_fails_anywhere_is_told_and_is_no_matter_of_the_run(tmp_path: Path, where: str) -> None:
    failures: list[str] = []

    def hear(failure: Failure) -> None:
        failures.extend(str(each) for each in leaves(failure.error))

    view = Sheltered(BrokenView(where, hear), hear)

    async with (
        lucy.deploy(TickTopology(TICK), engine=ProcessEngine(), run_directory=tmp_path / "run") as network,
        view.running(),
    ):
        view.watch(network)
        await network.events(LiveTick, since=0).first(within=20)
        await network.settle()
        view.test_over()

    assert failures == [where]
    assert json.loads((tmp_path / "run/result.json").read_bytes())["outcome"] == "passed"


FLOOD = """
import json, sys, time
for n in range(20000):
    print(json.dumps({"message": "tick", "event_id": "live.tick", "metadata": {"n": n}}))
sys.stdout.flush()
time.sleep(600)
"""


async def test_a_slow_reader_gets_every_line_in_order_and_memory_stays_small(tmp_path: Path) -> None:
    (tmp_path / "flood.py").write_text(FLOOD)
    reader, writer = os.pipe()
    hand = Hand()
    lines = EventLines(Way(writer, "stdout", hand), told)
    peak = 0
    got = bytearray()

    def read() -> bytes:
        return os.read(reader, 65536)

    async def drain() -> None:
        nonlocal peak
        while chunk := await anyio.to_thread.run_sync(read):
            got.extend(chunk)
            peak = max(peak, len(lines._buffer))

    async with anyio.create_task_group() as tasks:
        async with (
            lines.running(),
            lucy.deploy(
                TickTopology(f"exec python3 {tmp_path / 'flood.py'}"),
                engine=ProcessEngine(),
                run_directory=tmp_path / "run",
            ) as network,
        ):
            lines.watch(network)
            await network.events(LiveTick, since=0).filter(lambda event: event.data.n == 19999).first(within=60)
            tasks.start_soon(drain)
        os.close(writer)
    os.close(reader)
    hand.close()

    rows = [json.loads(line) for line in got.splitlines()]
    assert [row["data"]["n"] for row in rows if row["event"] == "LiveTick"] == list(range(20000))
    assert peak < 2 * 1024 * 1024


def test_a_large_payload_is_left_out_of_its_line() -> None:
    @lucy.event(ids="live.large")
    class Large(msgspec.Struct):
        text: str

    record = lucy.Record(raw=b"", text="")
    row = json.loads(event_line(lucy.Event("one", 7, 0, record, Large("x" * 10_000))))

    assert (row["event"], row["position"], "data" in row, row["data_bytes"] > 10_000) == ("Large", 7, False, True)
