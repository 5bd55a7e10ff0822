"""Waits on real networks: where they begin, whose clock judges, what ends them, and what they refuse."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

import lucy_core as lucy
from lucy_core import mina
from lucy_core.judging import waits
from lucy_core.testing import virtual_network
from lucy_core.testing.scripted_node import Numbered, Told, scripted_node

pytestmark = pytest.mark.anyio


def network(*nodes: lucy.NodeSpec, **more: Any) -> lucy.NetworkSpec:
    return lucy.NetworkSpec(name="waits", nodes=nodes, **more)


def shell(name: str, script: str, **more: Any) -> lucy.NodeSpec:
    return lucy.NodeSpec(name=name, role="shell", command=("sh", "-c", script), **more)


def runs(name: str) -> lucy.Condition[lucy.Lives]:
    return lucy.Condition(
        name="runs",
        description=f"{name} to run",
        check=lambda _, now: lucy.Progress(have=now.of(name).running, need=1, missing=(f"{name}: it does not run",)),
        event_types=(),
        soft=lucy.seconds(0.1),
        hard=lucy.seconds(0.2),
        nodes=(name,),
    )


async def test_a_wait_sees_what_had_arrived_at_its_call_delivered_or_not(tmp_path: Path) -> None:
    async with lucy.deploy(network(scripted_node("a", "rest")), run_directory=tmp_path / "run") as net:
        assert (await net.wait_for(runs("a"))).waited == 0
        await net["a"].stop()
        with pytest.raises(lucy.WaitTimeoutError, match="a: it does not run"):
            await net.wait_for(runs("a"), soft=0.1, hard=0.1)
        stopped = net.mark()
        await net["a"].start()
        with pytest.raises(lucy.WaitTimeoutError):
            await net.wait_for(lucy.seen(lucy.NodeStarted), since=net.mark(), hard=0.1)
        assert (await net.wait_for(lucy.seen(lucy.NodeStarted), since=stopped, hard=0)).node == "lucy"


async def test_a_limit_of_nothing_asks_whether_it_is_there(tmp_path: Path) -> None:
    async with lucy.deploy(network(scripted_node("a", "say:3", "rest")), run_directory=tmp_path / "run") as net:
        await net.wait_for(lucy.seen(Numbered, count=3), since=0)
        for _ in range(20):
            outcome = await net.wait_for(lucy.seen(Numbered, count=3), since=0, hard=0)
            assert [event.data.n for event in outcome.events] == [1, 2, 3]
        with pytest.raises(lucy.WaitTimeoutError):
            await net.wait_for(lucy.seen(Numbered, count=4), since=0, hard=0)


LATE = """{"message":"m","event_id":"lucy.scripted.told","metadata":{"start":1,"what":"x","value":""}}"""


@pytest.mark.slow
@pytest.mark.blocking
async def test_lines_are_judged_by_their_arrival_though_the_loop_was_blocked(tmp_path: Path) -> None:
    late = shell("a", f"sleep 1.5; echo '{LATE}'; exec sleep 60")

    async def block() -> None:
        await anyio.sleep(0.1)
        time.sleep(3)

    async with lucy.deploy(network(late), run_directory=tmp_path / "run") as net, anyio.create_task_group() as tasks:
        tasks.start_soon(block)
        with pytest.raises(lucy.WaitTimeoutError):
            await net.wait_for(lucy.seen(Told), since=0, hard=0.7)
        assert (await net.wait_for(lucy.seen(Told), since=0)).node == "a"

    async with lucy.deploy(network(late), run_directory=tmp_path / "other") as net, anyio.create_task_group() as tasks:
        tasks.start_soon(block)
        outcome = await net.wait_for(lucy.seen(Told), since=0, soft=2.5, hard=2.8)
        assert not outcome.late
        assert 0.5 < outcome.waited < 2.5


async def test_a_condition_that_raises_is_its_waits_error_at_once(tmp_path: Path) -> None:
    def check(_before: Any, _now: Any) -> lucy.Progress:
        message = "mine"
        raise LookupError(message)

    limit = lucy.seconds(60)
    broken = lucy.Condition(name="broken", description="x", check=check, event_types=(), soft=limit, hard=limit)
    with anyio.fail_after(20):
        async with lucy.deploy(network(scripted_node("a", "tick")), run_directory=tmp_path / "run") as net:
            with pytest.raises(lucy.ConditionError, match="the condition broken failed .* LookupError: mine") as caught:
                await net.wait_for(broken)
            assert isinstance(caught.value.__cause__, LookupError)
            with pytest.raises(lucy.ConditionError, match="ZeroDivisionError"):
                await net.wait_for(lucy.seen(Numbered, where=lambda _: 1 // 0 == 1), hard=60)


async def test_names_that_the_network_lacks_are_refused_at_once(tmp_path: Path) -> None:
    async with lucy.deploy(network(scripted_node("a", "rest")), run_directory=tmp_path / "run") as net:
        for condition in (
            lucy.seen(Numbered, nodes="z"),
            lucy.never(Numbered, nodes=("a", "z")),
            lucy.quiet(1, nodes="z"),
            lucy.all_of(Numbered, lucy.seen(Numbered, nodes="z")),
            lucy.each_node(Numbered, nodes=("a", "z")),
            lucy.port_open("z", "p"),
            runs("z"),
        ):
            with pytest.raises(lucy.UnknownNodeError, match="no node is called 'z'; this network has a"):
                await net.wait_for(condition, **({"lasting": 1} if condition.must_hold else {}))
        assert net.judgement.waits == ()


async def test_what_must_not_happen_passes_after_its_time_and_leaves_no_error(tmp_path: Path) -> None:
    async with lucy.deploy(network(scripted_node("a", "say:1", "rest")), run_directory=tmp_path / "run") as net:
        await net.wait_for(lucy.seen(Numbered), since=0)
        outcome = await net.wait_for(lucy.never(Numbered), lasting=0.3)
        assert (outcome.waited, outcome.events, outcome.late) == (pytest.approx(0.3), (), False)
        with pytest.raises(lucy.ViolationError, match=r"it came: .* a #\d+ Numbered\(start=1, n=1\)"):
            await net.wait_for(lucy.never(Numbered), since=0, lasting=60)
        assert net.judgement.errors == ()


UNREADABLE = """{"message":"m","event_id":"lucy.scripted.numbered","metadata":{"n":"many"}}"""


async def test_nothing_rests_on_lines_that_cannot_be_read(tmp_path: Path) -> None:
    node = shell("a", f"echo '{UNREADABLE}'; echo plain; exec sleep 60")
    async with lucy.deploy(network(node), run_directory=tmp_path / "run") as net:
        await net.wait_for(lucy.quiet(0.2), hard=20)
        with pytest.raises(lucy.InconclusiveError, match="1 lines say that they are such events and can't be read"):
            await net.wait_for(lucy.never(Numbered), since=0, lasting=0.1)
        assert (await net.wait_for(lucy.never(Told), since=0, lasting=0.1)).events == ()
        with pytest.raises(lucy.InconclusiveError, match="1 lines say that they are such and can't be read"):
            await net.so_far(Numbered)
        assert await net.so_far(Told) == []


TORN = """{"message":"m","event_id":"lucy.scripted.numbered","level":5}"""


async def test_unreadable_lines_count_where_they_may_be_what_is_meant_and_nowhere_else(tmp_path: Path) -> None:
    spec = network(shell("a", f"echo '{TORN}'; exec sleep 60"), scripted_node("b", "say:1", "rest"))
    async with lucy.deploy(spec, run_directory=tmp_path / "run") as net:
        await net.wait_for(Numbered, since=0)
        await net.wait_for(lucy.quiet(0.2), hard=20)
        with pytest.raises(lucy.InconclusiveError, match="1 lines say that they are such events"):
            await net.wait_for(lucy.never(Numbered, where=lambda event: event.data.n > 1), since=0, lasting=0.1)
        for untouched in (
            lucy.never(Told, where=lambda event: event.data.what == "x"),
            lucy.never(Numbered, nodes="b", where=lambda event: event.data.n > 1),
        ):
            assert (await net.wait_for(untouched, since=0, lasting=0.1)).events == ()
        assert (await net.wait_for(lucy.never(Numbered), lasting=0.1)).events == ()
        either = lucy.any_of(lucy.seen(Numbered, nodes="b"), lucy.never(Told))
        assert (await net.wait_for(either, since=0, lasting=10)).node == "b"


async def test_what_lucy_did_to_a_node_is_that_nodes_event_and_no_node_can_forge_it(tmp_path: Path) -> None:
    forged = """{"message":"m","event_id":"lucy.node_started","metadata":{"node":"a"}}"""
    spec = network(scripted_node("a", "rest"), shell("b", f"sleep 0.2; echo '{forged}'; exec sleep 60"))
    async with lucy.deploy(spec, run_directory=tmp_path / "run") as net:
        await net["a"].stop()
        await net["b"].records(since=0).first(lambda event: event.data.id == "lucy.node_started", within=20)
        with pytest.raises(lucy.WaitTimeoutError):
            await net.wait_for(runs("a"), hard=0.1)
        assert (await net.wait_for(lucy.seen(lucy.NodeStopped, nodes="a"), since=0)).data.node == "a"
        with pytest.raises(lucy.ViolationError):
            await net.wait_for(lucy.never(lucy.NodeStopped, nodes="a"), since=0, lasting=1)
        assert (await net.wait_for(lucy.never(lucy.NodeStopped, nodes="b"), since=0, lasting=0.1)).events == ()


async def test_a_mark_in_the_middle_of_a_block_remembers_no_half_picture() -> None:
    marks: list[lucy.Mark] = []
    async with virtual_network("a", vocabulary=Towers()) as virtual:
        net = virtual.network
        net.events(Height).subscribe(lambda event: marks.append(net.mark()) if event.data.height == 3 else None)
        virtual.log("a", Height(3), Height(5))
        await net.settle()

        def tall(_before: Tallest, now: Tallest) -> lucy.Progress:
            return lucy.Progress(have=now.height, need=5)

        limit = lucy.seconds(1)
        five = lucy.Condition(name="five", description="5", check=tall, event_types=(Height,), soft=limit, hard=limit)
        for since in (marks[0], None):
            assert (await net.wait_for(five, since=since)).waited == 0


async def test_quiet_hears_lines_that_are_no_records(tmp_path: Path) -> None:
    node = shell("a", "while :; do echo plain; sleep 0.1; done")
    async with lucy.deploy(network(node), run_directory=tmp_path / "run") as net:
        with pytest.raises(lucy.WaitTimeoutError, match="0.5 s without any line"):
            await net.wait_for(lucy.quiet(0.5), hard=1)
        await net["a"].stop()
        assert (await net.wait_for(lucy.quiet(0.2), hard=20)).waited >= 0.2


async def test_a_node_is_asked_until_it_answers_and_the_journal_has_its_answers(tmp_path: Path) -> None:
    server = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=int('{port:web}'), bind='{bind}')"
    spec = network(
        lucy.NodeSpec(name="web", role="web", command=("python3", "-u", "-c", server), ports=("web",)),
        scripted_node("mute", "rest", ports=("p",)),
    )
    async with lucy.deploy(spec, run_directory=tmp_path / "run") as net:
        outcome = await net.wait_for(lucy.all_of(lucy.port_open("web", "web"), lucy.http_ok("web", "web", "/")))
        assert {event.data.answer for event in outcome.events} == {"it takes connections", "HTTP 200"}
        with pytest.raises(lucy.WaitTimeoutError, match="web.web/nothing: HTTP 404"):
            await net.wait_for(lucy.http_ok("web", "web", "/nothing"), hard=1)
        assert await net.wait_for(lucy.http_ok("web", "web", "/nothing", statuses=(404, 404)), hard=20)
        with anyio.fail_after(5), pytest.raises(lucy.CommandError, match="node 'mute' has no port 'q'; it has p"):
            await net.wait_for(lucy.all_of(lucy.port_open("mute", "q"), Numbered), hard=60)
        with pytest.raises(lucy.WaitTimeoutError, match="mute.p: .*[Cc]onn"):
            await net.wait_for(lucy.port_open("mute", "p"), hard=1)


async def test_whatever_ends_the_run_ends_who_waits_with_the_same_error(tmp_path: Path) -> None:
    dying = shell("a", "sleep 0.3; exit 3")
    with anyio.fail_after(20), pytest.raises(lucy.NodeExitedError, match="a exited with code 3"):
        async with lucy.deploy(network(dying), run_directory=tmp_path / "death") as net:
            await net.wait_for(lucy.seen(Numbered), hard=60)

    with anyio.fail_after(20), pytest.raises(lucy.CaptureDiedError):
        async with lucy.deploy(network(scripted_node("a", "tick")), run_directory=tmp_path / "capture") as net:
            assert net.pipeline.capture_pid is not None
            os.kill(net.pipeline.capture_pid, signal.SIGKILL)
            await net.wait_for(lucy.seen(Told, count=100), hard=60)

    async with lucy.deploy(network(scripted_node("a", "say:1", "rest")), run_directory=tmp_path / "end") as net:
        await net.wait_for(lucy.seen(Numbered), since=0)
    with anyio.fail_after(20), pytest.raises(lucy.RecordingError, match="this run is over"):
        await net.wait_for(lucy.seen(Numbered), since=0)


async def test_a_finished_run_answers_as_it_did_live(tmp_path: Path) -> None:
    place = tmp_path / "run"
    async with lucy.deploy(network(scripted_node("a", "say:3", "rest")), run_directory=place) as net:
        live = await net.wait_for(lucy.seen(Numbered, count=2), since=0)
        mark = net.mark()
        await net["a"].stop()
    with anyio.fail_after(20):
        async with lucy.replay(place) as run:
            assert run.ledger.complete
            again = await run.wait_for(lucy.seen(Numbered, count=2))
            assert [(event.position, event.data) for event in again.events] == [
                (event.position, event.data) for event in live.events
            ]
            assert (await run.wait_for(lucy.seen(lucy.NodeStopped), since=mark)).data.node == "a"
            assert (await run.wait_for(runs("a"), hard=30)).waited < 30
            with pytest.raises(lucy.ImpossibleError, match="the run has ended"):
                await run.wait_for(lucy.seen(Numbered, count=4))
            with pytest.raises(lucy.InconclusiveError, match="the run has ended before its time was over"):
                await run.wait_for(lucy.never(Numbered), since=mark, lasting=1000)
            with pytest.raises(lucy.WaitTimeoutError):
                await run.wait_for(lucy.seen(lucy.NodeStopped), hard=0)
            with pytest.raises(lucy.UnknownNodeError):
                await run.wait_for(lucy.seen(Numbered, nodes="z"))
            assert len(await run.so_far(Numbered)) == 3
            assert (await run.findings()).outcome is lucy.Outcome.PASSED


async def test_a_capture_that_stands_still_makes_a_wait_inconclusive_and_not_endless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "PATIENCE", 0.3)
    async with lucy.deploy(network(scripted_node("a", "tick")), run_directory=tmp_path / "run") as net:
        pid = net.pipeline.capture_pid
        assert pid is not None

        async def freeze() -> None:
            await anyio.sleep(0.1)
            os.kill(pid, signal.SIGSTOP)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(freeze)
                try:
                    with pytest.raises(lucy.InconclusiveError, match="capture did not answer"):
                        await net.wait_for(lucy.seen(Told, count=100), hard=0.3)
                finally:
                    os.kill(pid, signal.SIGCONT)


async def test_nobody_can_say_what_came_in_time_where_capture_stood_still_over_the_limit(tmp_path: Path) -> None:
    writes = shell("a", f"sleep 0.5; echo '{LATE}'; exec sleep 60")
    async with lucy.deploy(network(writes), run_directory=tmp_path / "run") as net:
        pid = net.pipeline.capture_pid
        assert pid is not None

        async def freeze() -> None:
            await anyio.sleep(0.2)
            os.kill(pid, signal.SIGSTOP)
            await anyio.sleep(2)
            os.kill(pid, signal.SIGCONT)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(freeze)
                with pytest.raises(lucy.InconclusiveError, match=r"capture stood still for \d\.\d s when its time was"):
                    await net.wait_for(lucy.never(Told), since=0, lasting=1)
            # What came before and what came after it is as good as ever.
            assert (await net.wait_for(lucy.seen(Told), since=0, hard=20)).data.what == "x"
            assert (await net.wait_for(lucy.never(Numbered), lasting=0.2)).events == ()


async def test_default_limits_in_slots_wait_for_the_first_slot(tmp_path: Path) -> None:
    genesis = time.time() + 1.5
    spec = network(scripted_node("a", "rest"), counted_from=genesis, units={"slots": 0.1})
    condition = runs("a").with_timeouts(soft=mina.slots(2), hard=mina.slots(2))
    async with lucy.deploy(spec, run_directory=tmp_path / "run") as net:
        await net["a"].stop()
        with pytest.raises(lucy.WaitTimeoutError):
            await net.wait_for(condition)
        assert genesis + 0.2 <= time.time()


@lucy.event(ids="w.height")
class Height(msgspec.Struct, frozen=True):
    height: int


class Tallest:
    """A vocabulary's state of somebody's own, which fails at a height of 13."""

    def __init__(self, height: int = 0) -> None:
        self.height = height

    def apply(self, event: lucy.Event[Any]) -> None:
        if isinstance(event.data, Height):
            self.height = max(self.height, event.data.height)
            if self.height == 13:
                message = "unlucky"
                raise ValueError(message)

    def copy(self) -> "Tallest":
        return Tallest(self.height)


class Towers:
    name = "towers"
    event_types = (Height,)

    def new_state(self) -> Tallest:
        return Tallest()

    def summary(self, state: Any, node: str) -> str:
        return f"{node}: {state.height}"


async def test_a_vocabulary_whose_own_code_fails_is_nobodys_truth_any_more() -> None:
    def grown(before: Tallest, now: Tallest) -> lucy.Progress:
        return lucy.Progress(have=now.height - before.height, need=2)

    limit = lucy.seconds(0.2)
    higher = lucy.Condition(
        name="higher", description="2 more", check=grown, event_types=(Height,), soft=limit, hard=limit
    )
    with pytest.raises(lucy.RunFailedError, match="unlucky"):
        async with virtual_network("a", vocabulary=Towers()) as virtual:
            virtual.log("a", Height(3))
            mark = virtual.network.mark()
            virtual.log("a", Height(5))
            assert (await virtual.network.wait_for(higher, since=mark)).data == Height(5)
            assert virtual.network.state.height == 5
            mark = virtual.network.mark()
            virtual.log("a", Height(13), Height(14))
            with pytest.raises(lucy.ConditionError, match="the condition higher failed .* unlucky"):
                await virtual.network.wait_for(higher, since=mark)
            with pytest.raises(lucy.StateError, match="Tallest could not be folded any further: ValueError: unlucky"):
                await virtual.network.wait_for(higher)
            with pytest.raises(lucy.StateError):
                _ = virtual.network.state
