"""Networks as a test sees them: waits, timeouts, sections; and what only the process engine can show.

That engines keep their promises is the conformance suite's to test.
"""

import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from ticking import TICKER, Tick, ticks

import lucy_core as lucy
from lucy_core.engine import Engine, Plan
from lucy_core.errors import NodeExitedError
from lucy_core.judging.conditions.condition import Condition, Progress
from lucy_engines.process import ProcessEngine

pytestmark = pytest.mark.anyio


def node(name: str, program: str = TICKER, **more: object) -> lucy.NodeSpec:
    return lucy.NodeSpec(name=name, role="scripted", command=(sys.executable, "-c", program), **more)


def spec(*nodes: lucy.NodeSpec) -> lucy.NetworkSpec:
    return lucy.NetworkSpec(name="scripted", nodes=nodes)


def never() -> Condition:
    return Condition(
        name="never",
        description="what never comes",
        check=lambda _before, _now: Progress(have=0, need=1, missing=("a: it never comes",)),
        event_types=(Tick,),
        soft=lucy.seconds(0.05),
        hard=lucy.seconds(0.2),
    )


async def test_a_kill_from_outside_is_told_at_once_whatever_the_test_awaits(tmp_path: Path) -> None:
    with anyio.fail_after(20), pytest.raises(NodeExitedError, match="a was killed by SIGKILL"):
        async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
            await network["a"].events(Tick, since=0).first(within=20)
            pid = network["a"]._engine_node.pid
            os.kill(pid, signal.SIGKILL)
            await anyio.sleep_forever()


async def test_a_wait_since_a_mark_finds_what_came_before_the_call(tmp_path: Path) -> None:
    network_spec, place = spec(node("a")), tmp_path / "run"
    async with lucy.deploy(network_spec, engine=ProcessEngine(), run_directory=place, start=False) as network:
        mark = network.mark()
        await network["a"].start()
        await network["a"].events(Tick, since=0).first(lambda event: event.data.n == 5, within=20)
        await network["a"].stop()
        outcome = await network.wait_for(ticks(5), since=mark)
        assert not outcome.late


async def test_a_timeout_explains_itself_and_the_soft_one_is_held_against_the_run(tmp_path: Path) -> None:
    with pytest.raises(lucy.RunFailedError, match="soft timeout"):
        await wait_in_vain(tmp_path)


async def wait_in_vain(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        await network["a"].events(Tick, since=0).first(within=20)
        with pytest.raises(lucy.WaitTimeoutError) as caught:
            await network.wait_for(never())
        text = str(caught.value)
        for part in ("what never comes", "0 of 1", "a: it never comes", "Tick(n=", "lines", "blocked"):
            assert part in text
        assert [error.kind for error in network.judgement.errors] == ["soft timeout"]


async def test_sections_are_timed_and_hold_their_errors(tmp_path: Path) -> None:
    with pytest.raises(lucy.RunFailedError, match="two is not three"):
        await go_through_sections(tmp_path)


async def go_through_sections(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        with network.section("soft one", soft=True):
            network.check(False, "two is not three")
        with network.section("good one"):
            pass
        assert [(each.name, each.outcome) for each in network.judgement.sections] == [
            ("soft one", "failed"),
            ("good one", "passed"),
        ]
        (error,) = network.judgement.errors
        assert (error.section, error.message) == ("soft one", "two is not three")


@pytest.mark.parametrize(
    ("nodes", "text"),
    (
        ((), "has no nodes"),
        ((node("a"), node("a")), "'a' is used 2 times"),
        ((node("A b"),), "must be lower-case"),
        ((node("a", after=("z",)),), "to start after 'z'"),
        ((node("a", after=("b",)), node("b", after=("a",))), "wait for each other"),
    ),
)
async def test_a_wrong_network_is_refused_by_name_before_anything_runs(nodes: tuple, text: str, tmp_path: Path) -> None:
    with pytest.raises(lucy.TopologyError, match=text):
        async with lucy.deploy(spec(*nodes), engine=ProcessEngine(), run_directory=tmp_path / "run"):
            raise AssertionError


async def test_the_guardians_death_is_told_and_takes_the_nodes_along(tmp_path: Path) -> None:
    with pytest.raises(lucy.EngineError, match=r"guardian.* was killed by SIGKILL"):
        async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
            await network["a"].events(Tick, since=0).first(within=20)
            os.kill(network["a"]._engine_node._guardian._helper.pid, signal.SIGKILL)
            await anyio.sleep_forever()


async def test_cancelling_around_a_deployment_takes_it_down(tmp_path: Path) -> None:
    pids: list[int] = []
    with anyio.fail_after(20), anyio.CancelScope() as scope:
        async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
            pids.append(network["a"]._engine_node.pid)
            pids.append(network.pipeline.capture_pid)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


class Lingering(Engine, Plan):
    """An engine that awaits something on its way out, without a shield."""

    name = "lingering"

    def plan(self, spec, place):
        self._inner = ProcessEngine().plan(spec, place)
        return self

    @asynccontextmanager
    async def open(self, capture, on_exit):
        async with self._inner.open(capture, on_exit) as network:
            try:
                yield network
            finally:
                await anyio.sleep(0)


async def test_what_an_engine_awaits_on_its_way_out_swallows_no_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with lucy.deploy(spec(node("a")), engine=Lingering(), run_directory=tmp_path / "run"):
            message = "mine"
            raise ValueError(message)
    dying = "import sys; sys.exit(3)"
    with pytest.raises(NodeExitedError):
        async with lucy.deploy(spec(node("a", dying)), engine=Lingering(), run_directory=tmp_path / "other"):
            await anyio.sleep_forever()


async def test_the_guardian_says_what_no_program_can_be_given(tmp_path: Path) -> None:
    """`Node.start` refuses it before; an engine is asked by others too."""
    async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run", start=False) as net:
        with pytest.raises(lucy.UnrunnableError, match="node 'a': can't run .*: embedded null byte") as refusal:
            await net["a"]._engine_node.start(fresh_state=False, environment={"X": "1\0002"})
        assert (refusal.value.node, refusal.value.program) == ("a", sys.executable)
        await net["a"].start()


async def test_the_environment_may_hold_bytes_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUCY_TEST_BYTES", "\udcff")
    async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        done = await network["a"].exec(["sh", "-c", 'printf %s "$LUCY_TEST_BYTES"; kill -40 $$'])

    # The signal has no name, and that is no reason to fall over it either.
    assert (done.stdout, done.code) == (b"\xff", -40)


async def test_a_death_by_a_signal_without_a_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(NodeExitedError, match="a was killed by SIG40"):
        async with lucy.deploy(
            spec(lucy.NodeSpec(name="a", role="x", command=("sh", "-c", "kill -40 $$"))),
            engine=ProcessEngine(),
            run_directory=tmp_path / "run",
        ):
            await anyio.sleep_forever()
