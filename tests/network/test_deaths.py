"""Deaths that nobody asked for, whenever they are told; starts that fail; and where the journal says so."""

import os
import select
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest

import lucy_core as lucy
from lucy_core.engine import Engine, NodeExit, Plan, State
from lucy_core.judging.fold import replayed
from lucy_core.judging.scopes import Scopes
from lucy_core.network.node import COARSENESS, Node
from lucy_core.records.journal import EngineNotice, RunDecided
from lucy_engines.process import ProcessEngine

pytestmark = pytest.mark.anyio

RESTING = "import time; time.sleep(600)"
DYING = "import sys; print('the last words', flush=True); sys.exit(3)"


def node(name: str, program: str = RESTING, **more: Any) -> lucy.NodeSpec:
    return lucy.NodeSpec(name=name, role="scripted", command=(sys.executable, "-c", program), **more)


def spec(*nodes: lucy.NodeSpec) -> lucy.NetworkSpec:
    return lucy.NetworkSpec(name="deaths", nodes=nodes)


async def told(node: lucy.Node) -> None:
    """Wait until the engine has told that the node ended, and not a turn of the loop longer."""
    while node.state is State.RUNNING:  # an event would come later: with its last lines
        await anyio.sleep(0)


def kill(node: lucy.Node) -> None:
    os.kill(node._engine_node.pid, signal.SIGKILL)


class Late(Engine, Plan):
    """The process engine, but that it tells of exits only while the network is taken down."""

    name = "late"
    capabilities = ProcessEngine.capabilities

    def __init__(self, **changed: object) -> None:
        self.heard = anyio.Event()
        self._changed = {"asked": None, **changed}  # an engine that can't tell: the clock has to
        self._ends: list[NodeExit] = []

    def plan(self, spec: lucy.NetworkSpec, place: object) -> Plan:
        self._inner = ProcessEngine().plan(spec, place)
        return self

    def _hear(self, end: NodeExit) -> None:
        self._ends.append(msgspec.structs.replace(end, **self._changed))
        self.heard.set()

    @asynccontextmanager
    async def open(self, capture: Any, on_exit: Callable[[NodeExit], None]) -> AsyncIterator[Any]:
        async with self._inner.open(capture, self._hear) as network:
            yield network
        for end in self._ends:
            on_exit(end)


async def test_a_node_that_was_started_alone_is_armed(tmp_path: Path) -> None:
    with anyio.fail_after(20), pytest.raises(lucy.NodeExitedError, match="the last words"):
        async with lucy.deploy(spec(node("a", DYING)), run_directory=tmp_path / "run", start=False) as network:
            await network["a"].start()
            await anyio.sleep_forever()


async def test_a_death_that_is_still_being_explained_when_the_block_ends_is_not_lost(tmp_path: Path) -> None:
    with pytest.raises(lucy.NodeExitedError, match="a was killed by SIGKILL"):
        async with lucy.deploy(spec(node("a")), run_directory=tmp_path / "run") as network:
            kill(network["a"])
            await told(network["a"])
            assert network.fatal is None
    assert network.judgement.outcome is lucy.Outcome.FAILED
    # It was told before the test was called over, and not by the teardown.
    async with lucy.Pipeline.replay(tmp_path / "run") as pipeline:
        decided: list[lucy.Event[RunDecided]] = []
        interest = lucy.Interest(event_types=[lucy.event_type(RunDecided)])
        await pipeline.read_back(interest, decided.extend, 0, pipeline.mark().position)
    assert [(each.data.outcome, each.data.kind) for each in decided] == [("failed", "NodeExitedError")]


async def test_a_death_that_is_told_during_the_teardown_is_not_lost(tmp_path: Path) -> None:
    engine = Late()
    with pytest.raises(lucy.NodeExitedError, match="a exited with code 3"):
        async with lucy.deploy(
            spec(node("a", DYING), node("b")), engine=engine, run_directory=tmp_path / "run"
        ) as network:
            await engine.heard.wait()
            # Time passes while a real program runs: a death counts once its moment is surely before the teardown.
            await network["b"].exec(["sleep", str(5 * COARSENESS)])
    async with lucy.Pipeline.replay(tmp_path / "run") as pipeline:
        found = await replayed(pipeline)
    assert (found.outcome, found.exit_code) == (lucy.Outcome.FAILED, 30)


async def test_what_the_teardown_ends_has_not_died(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), engine=Late(), run_directory=tmp_path / "run") as network:
        await network["a"].exec(["sleep", str(2 * COARSENESS)])
    assert network.judgement.outcome is lucy.Outcome.PASSED


async def test_an_end_of_which_nobody_knows_when_it_was_is_the_teardowns(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), engine=Late(after=0.0), run_directory=tmp_path / "run") as network:
        await network["a"].exec(["sleep", str(2 * COARSENESS)])
    assert network.judgement.outcome is lucy.Outcome.PASSED


async def test_whether_an_exit_was_expected_is_judged_when_it_is_told(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), run_directory=tmp_path / "run") as network:
        with network["a"].expecting_exit():
            kill(network["a"])
            await told(network["a"])
        end = await network.events(lucy.NodeExited, since=0).first(within=20)
        assert end.data.expected

    with pytest.raises(lucy.NodeExitedError):
        async with lucy.deploy(spec(node("a")), run_directory=tmp_path / "other") as network:
            kill(network["a"])
            await told(network["a"])
            with network["a"].expecting_exit():
                await network.events(lucy.NodeExited, since=0).first(within=20)
                await anyio.sleep_forever()


async def test_expectations_of_two_tasks_end_each_by_itself(tmp_path: Path) -> None:
    with anyio.fail_after(20), pytest.raises(lucy.NodeExitedError):
        async with lucy.deploy(spec(node("a")), run_directory=tmp_path / "run") as network:
            first, second = network["a"].expecting_exit(), network["a"].expecting_exit()
            first.__enter__()
            second.__enter__()
            first.__exit__(None, None, None)
            second.__exit__(None, None, None)
            kill(network["a"])
            await anyio.sleep_forever()


async def test_a_node_that_should_end_may_and_with_code_zero_alone(tmp_path: Path) -> None:
    ending = node("a", "pass", wait_for_exit=True)
    async with lucy.deploy(spec(ending), run_directory=tmp_path / "run") as network:
        assert (await network.events(lucy.NodeExited, since=0).first(within=20)).data.expected
    failing = node("a", "raise SystemExit(1)", wait_for_exit=True)
    with anyio.fail_after(20), pytest.raises(lucy.NodeExitedError):
        async with lucy.deploy(spec(failing), run_directory=tmp_path / "other"):
            await anyio.sleep_forever()


async def test_a_node_that_ended_is_started_again_behind_its_end(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), run_directory=tmp_path / "run") as network:
        with network["a"].expecting_exit():
            kill(network["a"])
            await told(network["a"])
            await network["a"].start()
        lives = [type(each.data).__name__ for each in await collected(network, lucy.NodeStarted, lucy.NodeExited)]
        assert lives == ["NodeStarted", "NodeExited", "NodeStarted"]


async def collected(network: lucy.Network, *kinds: type) -> list[lucy.Event]:
    """Read back all such events up to now."""
    found: list[lucy.Event] = []
    handle = network.pipeline.subscribe(
        lucy.Interest(event_types=[lucy.event_type(kind) for kind in kinds]), found.extend, lambda _: None, since=0
    )
    await handle.reach(await network.pipeline.fence())
    handle.cancel()
    return found


async def test_a_mark_after_a_command_stands_behind_what_it_did(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), run_directory=tmp_path / "run") as network:
        marks = []
        for _ in range(5):
            await network["a"].stop()
            marks.append(network.mark().position)
            await network["a"].start()
            marks.append(network.mark().position)
        places = [each.position for each in await collected(network, lucy.NodeStopped, lucy.NodeStarted)][1:]
        assert [place < mark for place, mark in zip(places, marks, strict=True)] == [True] * 10


@pytest.mark.parametrize("start", (True, False))
async def test_a_program_that_is_not_there_is_one_error_that_names_it_and_its_node(
    tmp_path: Path, *, start: bool
) -> None:
    missing = [lucy.NodeSpec(name=name, role="x", command=("no-such-program",)) for name in ("a", "b")]
    with pytest.raises(lucy.DeployError, match=r"node '[ab]'.*no-such-program"):
        async with lucy.deploy(spec(*missing), run_directory=tmp_path / "run", start=start) as network:
            await network["a"].start()
    async with lucy.Pipeline.replay(tmp_path / "run") as pipeline:
        found = await replayed(pipeline)
    assert (found.outcome, found.exit_code) == (lucy.Outcome.INFRASTRUCTURE, 4)
    (a,) = [each for each in found.nodes if each.name == "a"]
    assert a.state == "deployed"
    assert "could not be started (node 'a'" in a.life[-1]


async def test_a_start_that_failed_is_taken_back_and_may_be_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "program"
    specification = spec(lucy.NodeSpec(name="a", role="x", command=(str(program),)))
    async with lucy.deploy(specification, run_directory=tmp_path / "run", start=False) as network:
        with pytest.raises(lucy.DeployError):
            await network["a"].start()
        assert network["a"].state is State.DEPLOYED
        program.write_text("#!/bin/sh\nexec sleep 600\n")
        program.chmod(0o700)
        await network["a"].start()
        lives = await collected(network, lucy.NodeStarted, lucy.NodeStartFailed)
        assert [type(each.data) for each in lives] == [lucy.NodeStarted, lucy.NodeStartFailed, lucy.NodeStarted]


def end_unheard(one: lucy.Node) -> None:
    """Kill its process, and return when it is dead, before this loop can have heard of it."""
    pid = one._engine_node.pid
    watched = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([watched], [], [], 20)[0]
    finally:
        os.close(watched)


@pytest.mark.blocking
@pytest.mark.parametrize("stopped", (True, False))
async def test_a_node_that_died_a_moment_before_its_end_was_asked_for_has_died(
    tmp_path: Path, *, stopped: bool
) -> None:
    with pytest.raises(lucy.NodeExitedError, match="a was killed by SIGKILL"):
        async with lucy.deploy(spec(node("a"), node("b")), run_directory=tmp_path / "run") as network:
            end_unheard(network["a"])
            if stopped:
                await network["a"].stop()
    found = network.judgement.findings()
    assert "BY ITSELF" in found.nodes[0].life[1]
    assert found.exit_code == 30


class Stopping:
    """An engine's node that had died a while before it was stopped, of which the engine tells only now."""

    def __init__(self, after: float, *, asked: bool | None) -> None:
        self.end = NodeExit(node="a", code=1, after=after, asked=asked)
        self.told: list[lucy.NodeExited | None] = []
        self.node: Node

    async def start(self, **_: object) -> None:
        """Run."""

    async def stop(self, **_: object) -> None:
        event = self.node.exited(self.end)
        self.told.append(event)
        if event is not None:
            await self.node.settle(event)


@pytest.mark.parametrize(
    ("after", "asked", "died"),
    ((1.0, None, True), (10.0, None, False), (0.0, None, False), (10.0, False, True), (1.0, True, False)),
)
async def test_a_node_that_had_died_before_it_was_stopped_has_died(
    after: float, *, asked: bool | None, died: bool
) -> None:
    journal: list[msgspec.Struct] = []

    async def drain(_: str) -> int:
        return 0

    async def journaled(event: msgspec.Struct) -> None:
        journal.append(event)

    home = SimpleNamespace(
        engine=ProcessEngine(),
        pipeline=SimpleNamespace(drain=drain),
        scopes=Scopes(),
        journal=lambda _: None,
        journaled=journaled,
    )
    engine_node = Stopping(after, asked=asked)
    one = engine_node.node = Node(home, node("a"), engine_node)
    await one.start()
    one.started_at -= 5.0

    await one.stop()

    assert one.state is State.STOPPED
    assert [type(event) for event in journal[1:]] == [lucy.NodeExited if died else lucy.NodeStopped]


async def test_a_command_that_fails_while_the_network_is_taken_down_takes_nothing_back() -> None:
    class Stubborn:
        async def start(self, **_: object) -> None:
            """Run."""

        async def stop(self, **_: object) -> None:
            one.leaving()
            raise lucy.CommandError("no")

    async def journaled(_: msgspec.Struct) -> None: ...

    home = SimpleNamespace(engine=ProcessEngine(), scopes=Scopes(), journal=lambda _: None, journaled=journaled)
    one = Node(home, node("a"), Stubborn())
    await one.start()
    with pytest.raises(lucy.CommandError):
        await one.stop()

    assert one.exited(NodeExit(node="a", code=1, after=0.001)) is None


async def test_a_start_that_fails_once_its_end_was_told_leaves_it_ended() -> None:
    class Short:
        async def start(self, **_: object) -> None:
            assert one.exited(NodeExit(node="a", code=1, after=0.001)) is not None
            raise lucy.DeployError("too late")

    async def journaled(_: msgspec.Struct) -> None: ...

    home = SimpleNamespace(engine=ProcessEngine(), scopes=Scopes(), journal=lambda _: None, journaled=journaled)
    one = Node(home, node("a"), Short())
    with pytest.raises(lucy.DeployError):
        await one.start()

    assert one.state is State.STOPPED


@pytest.mark.parametrize("asked", (True, False))
async def test_what_a_node_left_that_may_not_be_ended_is_told_and_no_failure(
    *, asked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    class Silent:
        async def start(self, **_: object) -> None:
            """Run."""

    said: list[msgspec.Struct] = []

    async def journaled(_: msgspec.Struct) -> None: ...

    home = SimpleNamespace(engine=ProcessEngine(), scopes=Scopes(), journal=said.append, journaled=journaled)
    one = Node(home, node("a", wait_for_exit=True), Silent())
    await one.start()
    if asked:
        one.leaving()
    event = one.exited(NodeExit(node="a", code=0, asked=asked, after=0.1, left=("process 47 (sleep 9) of root",)))

    assert (event is None) is asked
    assert EngineNotice("a", "left running", "process 47 (sleep 9) of root may not be ended; end it by hand") in said
    assert "node 'a' left process 47 (sleep 9) of root, which may not be ended" in capsys.readouterr().err


async def test_a_death_ends_a_wait_as_a_death_though_the_wait_sees_first_that_it_is_impossible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = anyio.Event()
    settle = Node.settle

    async def late(self: Node, event: lucy.NodeExited) -> None:
        await settle(self, event)
        await seen.wait()
        for _ in range(10):  # turns of the loop, in which the wait is over long since
            await anyio.sleep(0)

    monkeypatch.setattr(Node, "settle", late)
    with anyio.fail_after(20), pytest.raises(lucy.NodeExitedError, match="a was killed by SIGKILL"):
        async with lucy.deploy(spec(node("a")), run_directory=tmp_path / "run", interrupt=False) as network:

            def check(_: Any, __: Any) -> lucy.Progress:
                if network["a"].state is State.STOPPED:
                    seen.set()
                    return lucy.Progress(have=0, need=1, impossible="a is gone")
                return lucy.Progress(have=0, need=1)

            limit = lucy.seconds(600)
            kinds = (lucy.NodeExited,)
            more = lucy.Condition(name="more", description="x", check=check, event_types=kinds, soft=limit, hard=limit)
            kill(network["a"])
            await network.wait_for(more)
    assert network.judgement.findings().exit_code == 30
