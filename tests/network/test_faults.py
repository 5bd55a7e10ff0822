"""Faults as leases: what is refused, when they end, what the journal says of it; and the process engine's own."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import anyio
import msgspec
import pytest
from ticking import TICKER, Tick

import lucy_core as lucy
from lucy_core import mina
from lucy_core.engine import FaultLost, State
from lucy_core.faults import FAULT_KINDS
from lucy_core.judging.durations import Clock
from lucy_core.judging.scopes import Scopes
from lucy_core.network.leases import Faults
from lucy_core.testing import virtual_time
from lucy_engines.process import ProcessEngine

# --- a scripted engine in virtual time ------------------------------------------------------------------------------


class Scripted:
    """An engine's network, and the home of the leases in it."""

    def __init__(self) -> None:
        self.engine = SimpleNamespace(name="scripted", faults=FAULT_KINDS)
        self.clock = Clock({"slots": 2.0})
        self.nodes = dict.fromkeys(("a", "b", "c"))
        self.said: list[msgspec.Struct] = []
        self.active: list[lucy.Fault] = []
        self.failure: lucy.LucyError | None = None
        self.lose: Callable[[FaultLost], None] = lambda _: None
        self.slow = 0.0
        self.stuck = ""
        self.reverts = 0
        self.scopes = Scopes()

    async def journaled(self, event: msgspec.Struct) -> None:
        self.said.append(event)

    def fail(self, error: lucy.LucyError) -> None:
        self.failure = error

    async def inject(
        self, fault: lucy.Fault, *, lasting: float, on_lost: Callable[[FaultLost], None]
    ) -> "Scripted.One":
        assert lasting > 0
        await anyio.sleep(self.slow)
        if self.stuck == "inject":
            raise lucy.FaultError(fault.kind, "no such luck")
        self.lose = on_lost
        self.active.append(fault)
        return self.One(self, fault)

    class One:
        def __init__(self, network: "Scripted", fault: lucy.Fault) -> None:
            self.network, self.fault, self.began = network, fault, anyio.current_time()

        async def revert(self) -> float:
            self.network.reverts += 1
            await anyio.sleep(self.network.slow)
            if self.network.stuck == "revert":
                raise lucy.FaultError(self.fault.kind, "it holds on")
            if self.fault in self.network.active:
                self.network.active.remove(self.fault)
            return anyio.current_time() - self.began

    def ends(self) -> list[tuple[int, str, float]]:
        return [(e.lease, e.reason, e.seconds) for e in self.said if isinstance(e, lucy.FaultReverted)]


def scripted(test: Callable) -> Callable[[], None]:
    """Run a test with a scripted network and its faults, in virtual time."""

    async def run() -> None:
        network = Scripted()
        async with anyio.create_task_group() as tasks:
            faults = Faults(network, tasks)
            faults.serve(network)
            await test(network, faults)

    def in_virtual_time() -> None:
        virtual_time.run(run)

    in_virtual_time.__name__ = test.__name__
    return in_virtual_time


CUT = lucy.Drop(nodes=("a",))


@scripted
async def test_a_fault_is_in_effect_for_its_block(network: Scripted, faults: Faults) -> None:
    async with faults.inject(CUT, lasting=30) as lease:
        assert network.active == [lucy.Drop(nodes=("a",), others=("b", "c"))]
        assert faults.in_effect == [lease]
        await anyio.sleep(5)
    assert (network.active, faults.in_effect) == ([], [])
    assert (lease.reason, lease.seconds) == (lucy.LeaseEnd.ENDED, 5.0)
    assert [type(event) for event in network.said] == [lucy.FaultRequested, lucy.FaultEffective, lucy.FaultReverted]
    assert network.ends() == [(1, "ended", 5.0)]


@scripted
async def test_a_fault_ends_by_itself_while_its_block_goes_on(network: Scripted, faults: Faults) -> None:
    async with faults.inject(CUT, lasting=mina.slots(3)) as lease:
        assert await lease.ended() is lucy.LeaseEnd.EXPIRED
        assert network.active == []
        await anyio.sleep(60)
    assert network.ends() == [(1, "expired", 6.0)]
    assert network.reverts == 1


@scripted
async def test_ending_twice_undoes_once(network: Scripted, faults: Faults) -> None:
    network.slow = 1.0
    async with faults.inject(CUT, lasting=30) as lease, anyio.create_task_group() as tasks:
        tasks.start_soon(lease.end)
        tasks.start_soon(lease.end)
    assert network.reverts == 1


@scripted
async def test_a_fault_that_loses_its_place_is_lost(network: Scripted, faults: Faults) -> None:
    async with faults.inject(CUT, lasting=30) as lease:
        await anyio.sleep(2)
        network.lose(FaultLost(CUT, "the container of a is gone"))
        assert await lease.ended() is lucy.LeaseEnd.LOST
    assert network.ends() == [(1, "lost", 2.0)]
    assert network.said[-1].detail == "the container of a is gone"
    async with faults.inject(CUT, lasting=30) as lease:
        network.lose(FaultLost(CUT, "so is that of b"))  # and the block is left before anybody could act on it
    assert network.ends()[-1] == (2, "lost", 0.0)


@scripted
async def test_an_exception_and_a_cancellation_undo_it_whole(network: Scripted, faults: Faults) -> None:
    network.slow = 1.0
    with pytest.raises(ValueError, match="mine"):
        async with faults.inject(CUT, lasting=30):
            message = "mine"
            raise ValueError(message)
    assert network.active == []
    with anyio.move_on_after(3):
        async with faults.inject(CUT, lasting=30):
            await anyio.sleep_forever()
    assert network.active == []
    with anyio.move_on_after(0.5):
        # It falls into the middle of the injection, which is finished all the same, and then undone.
        async with faults.inject(CUT, lasting=30):
            await anyio.sleep_forever()
    assert network.active == []
    assert [reason for _, reason, _ in network.ends()] == ["ended", "ended", "ended"]


@scripted
async def test_faults_overlap_and_each_ends_by_itself(network: Scripted, faults: Faults) -> None:
    async with (
        faults.inject(CUT, lasting=30),
        faults.inject(lucy.Latency(nodes=("a",), others=("b",), delay=0.2), lasting=4) as slow,
    ):
        assert len(network.active) == 2
        await slow.ended()
        assert network.active == [lucy.Drop(nodes=("a",), others=("b", "c"))]
    assert network.ends() == [(2, "expired", 4.0), (1, "ended", 4.0)]


@scripted
async def test_what_fails_is_said_and_not_swallowed(network: Scripted, faults: Faults) -> None:
    network.stuck = "inject"
    with pytest.raises(lucy.FaultError, match="the fault Drop: no such luck"):
        async with faults.inject(CUT, lasting=30):
            pass
    assert network.ends() == [(1, "failed", 0.0)]
    network.stuck = "revert"
    with pytest.raises(lucy.FaultError, match="it holds on"):
        async with faults.inject(CUT, lasting=30):
            pass
    assert len(network.ends()) == 1
    network.active.clear()
    async with faults.inject(CUT, lasting=1) as lease:
        with pytest.raises(lucy.FaultError, match="it holds on"):
            await lease.ended()
        assert isinstance(network.failure, lucy.FaultError)
        assert network.active == [lease.fault]
        network.stuck = ""
    assert network.ends() == [(1, "failed", 0.0), (3, "expired", 1.0)]
    assert network.active == []


@scripted
async def test_an_engine_that_fails_otherwise_at_the_end_fails_the_run_and_no_more(
    network: Scripted, faults: Faults
) -> None:
    async def fail() -> float:
        raise lucy.DeployError("a is gone")

    async with faults.inject(CUT, lasting=1) as lease:
        revert, lease._injection.revert = lease._injection.revert, fail
        with pytest.raises(lucy.DeployError):
            await lease.ended()
        assert isinstance(network.failure, lucy.DeployError)
        lease._injection.revert = revert
    assert network.active == []


@scripted
async def test_a_node_is_paused_by_one_of_two_who_ask_at_once(network: Scripted, faults: Faults) -> None:
    node = SimpleNamespace(check_pausable=lambda: None, was_paused=lambda: None, was_resumed=lambda: None)
    network.nodes = {"a": node, "b": node}
    network.slow = 1.0
    refused: list[str] = []

    async def pause(*nodes: str) -> None:
        try:
            async with faults.inject(lucy.Pause(nodes=nodes), lasting=30):
                pass
        except lucy.LifeCycleError as error:
            refused.append(str(error))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pause, "a")
        tasks.start_soon(pause, "b", "a")
        tasks.start_soon(pause, "b")
    assert refused == ["can't pause node a: it is about to be paused; now possible: nothing"]
    assert [(reason, seconds) for _, reason, seconds in network.ends()] == [("ended", 1.0)] * 2
    await pause("a")
    assert len(refused) == 1


@scripted
async def test_one_that_holds_on_keeps_no_other_from_being_ended(network: Scripted, faults: Faults) -> None:
    async def holds_on() -> float:
        raise lucy.FaultError("Latency", "it holds on")

    async with (
        faults.inject(CUT, lasting=30) as first,
        faults.inject(lucy.Latency(nodes=("a",), others=("b",), delay=0.2), lasting=30) as last,
    ):
        revert, last._injection.revert = last._injection.revert, holds_on
        with pytest.raises(lucy.FaultError, match="it holds on"):
            await faults.end_all()
        assert (first.reason, last.reason) == (lucy.LeaseEnd.ENDED, None)
        assert network.active == [last.fault]
        last._injection.revert = revert
        await faults.end_all()
    assert network.active == []


@scripted
async def test_whoever_comes_late_on_a_blocked_loop_finds_it_expired(network: Scripted, faults: Faults) -> None:
    async with faults.inject(CUT, lasting=3) as lease:
        asyncio.get_running_loop()._jump.now += 60
    assert lease.reason is lucy.LeaseEnd.EXPIRED


@scripted
async def test_what_makes_no_sense_is_refused_before_anything_is_done(network: Scripted, faults: Faults) -> None:
    network.engine.faults = frozenset({lucy.Drop, lucy.Pause})
    for fault, lasting, error, text in (
        (lucy.Reset(nodes=("a",)), 1, lucy.UnsupportedError, "scripted engine has no capability 'Reset'.*Drop, Pause"),
        (lucy.Drop(nodes=("x",)), 1, lucy.UnknownNodeError, "no node is called 'x'; this network has a, b, c"),
        (lucy.Drop(nodes=("a",), others=("x",)), 1, lucy.UnknownNodeError, "no node is called 'x'"),
        (lucy.Drop(nodes=("a", "b", "c")), 1, lucy.FaultError, "names every node"),
        (CUT, 0, lucy.FaultError, "lasting=0"),
        (CUT, float("inf"), lucy.FaultError, "lasting=inf"),
    ):
        with pytest.raises(error, match=text):
            async with faults.inject(fault, lasting=lasting):
                pass
    network.engine.faults = frozenset()
    with pytest.raises(lucy.UnsupportedError, match="the scripted engine has no capability 'faults'"):
        async with faults.inject(CUT, lasting=1):
            pass
    assert network.said == []


# --- the values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    (
        (lambda: lucy.Pause(nodes="bp-1"), r"Pause: nodes='bp-1' is one text; give a tuple of names: \('bp-1',\)"),
        (lambda: lucy.Pause(nodes=()), "it names no node"),
        (lambda: lucy.Pause(nodes=("a", "a")), "nodes names a more than once"),
        (lambda: lucy.Drop(nodes=("a", "b"), others=("b", "c")), "b is in both groups"),
        (lambda: lucy.Loss(nodes=("a",), probability=1.5), "probability=1.5; give more than 0 and at most 1"),
        (lambda: lucy.Loss(nodes=("a",), probability=float("nan")), "probability=nan"),
        (lambda: lucy.Bandwidth(nodes=("a",), bytes_per_second=0), "bytes_per_second=0; give 1000 or more"),
        (lambda: lucy.Latency(nodes=("a",), delay=0), "delay=0"),
        (lambda: lucy.Latency(nodes=("a",), delay=1, jitter=-1), "jitter=-1"),
        (lambda: lucy.ClockOffset(nodes=("a",), seconds=0.0), "seconds=0.0"),
        (lambda: lucy.MemoryLimit(nodes=("a",), bytes=64), "bytes=64; give 1048576"),
        (lambda: lucy.CpuLimit(nodes=("a",), cpus=0), "cpus=0; give 0.01"),
    ),
)
def test_a_fault_that_makes_no_sense_says_what_would(make: Callable, text: str) -> None:
    with pytest.raises(lucy.FaultError, match=text):
        make()


def test_a_fault_reads_as_a_sentence() -> None:
    assert str(lucy.Drop(nodes=("a",), others=("b", "c"))) == "Drop between a and b, c"
    assert str(lucy.Latency(nodes=("a",), delay=0.2, jitter=0.1)) == "Latency (0.2 s + 0.1 s) between a and all others"
    assert str(lucy.MemoryLimit(nodes=("a", "b"), bytes=1 << 26)) == "MemoryLimit (67108864 bytes) of a, b"


# --- the process engine ---------------------------------------------------------------------------------------------


def spec(*names: str) -> lucy.NetworkSpec:
    return lucy.NetworkSpec(
        name="scripted",
        nodes=tuple(lucy.NodeSpec(name=name, role="ticker", command=(sys.executable, "-c", TICKER)) for name in names),
    )


@pytest.mark.anyio
async def test_a_frozen_process_is_silent_and_goes_on(tmp_path: Path) -> None:
    async with lucy.deploy(spec("a", "b"), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        a = network["a"]
        await a.events(Tick, since=0).first(within=20)
        async with network.faults.inject(lucy.Pause(nodes=("a",)), lasting=60):
            assert a.state is State.PAUSED
            await network.pipeline.drain("a")
            mark = network.mark()
            # The other's lines show that time passes.
            await network["b"].events(Tick, since=mark).filter(lambda event: event.data.n % 20 == 0).first(within=20)
            assert network.mark().position > mark.position
            assert not any(lines.node == "a" for lines in await since(network, mark))
            with pytest.raises(lucy.LifeCycleError, match="can't pause node a: it is paused"):
                async with network.faults.inject(lucy.Pause(nodes=("b", "a")), lasting=60):
                    pass
        assert a.state is State.RUNNING
        await a.events(Tick, since=network.mark()).first(within=20)
        reverted = await network.events(lucy.FaultReverted, since=0).first(within=20)
        assert (reverted.data.fault, reverted.data.reason) == (lucy.Pause(nodes=("a",)), "ended")
        with pytest.raises(lucy.UnsupportedError, match="the process engine has no capability 'Drop'"):
            async with network.faults.inject(lucy.Drop(nodes=("a",)), lasting=60):
                pass


async def since(network: lucy.Network, mark: lucy.Mark) -> list[lucy.Event]:
    end = network.mark().position
    found: list[lucy.Event] = []
    stop = network.events(Tick, since=mark).subscribe(found.append)
    await network.pipeline.reach(end)
    stop()
    return found


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_frozen_process_thaws_while_the_loop_is_blocked(tmp_path: Path) -> None:
    async with lucy.deploy(spec("a"), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        await network["a"].events(Tick, since=0).first(within=20)
        async with network.faults.inject(lucy.Pause(nodes=("a",)), lasting=0.2) as lease:
            stat = Path(f"/proc/{network['a']._engine_node.pid}/stat")
            deadline = time.monotonic() + 20
            while stat.read_text().rpartition(")")[2].split()[0] == "T":
                assert time.monotonic() < deadline, "still stopped after 20 s"
        assert lease.reason is lucy.LeaseEnd.EXPIRED
        assert network["a"].state is State.RUNNING


@pytest.mark.anyio
async def test_a_frozen_process_that_is_killed_ends_the_lease(tmp_path: Path) -> None:
    async with lucy.deploy(spec("a"), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        async with network.faults.inject(lucy.Pause(nodes=("a",)), lasting=60) as lease:
            await network["a"].kill()
            assert await lease.ended() is lucy.LeaseEnd.LOST
        assert lease.detail == "a was killed by SIGKILL"
        assert network["a"].state is State.STOPPED
