"""Nodes that come while a network is up, and that go."""

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import lucy_core as lucy
from lucy_core.engine import Capability, State
from lucy_core.testing import FakeEngine

pytestmark = pytest.mark.anyio
SECONDS = 20.0


def resting(name: str, **more: Any) -> lucy.NodeSpec:
    return lucy.NodeSpec(name=name, role="x", command=("sleep", "600"), **more)


ONE = lucy.NetworkSpec(name="members", nodes=(resting("a"),))


async def test_the_result_and_the_replay_know_who_came_and_who_went(tmp_path: Path) -> None:
    run = tmp_path / "run"
    async with lucy.deploy(ONE, engine=FakeEngine(), run_directory=run) as network:
        await network.add(resting("b"))
        await network.add(resting("c"))
        await network.remove("a")
        assert network.node_names == ("b", "c")
        await network["b"].stop()
        assert not await network.so_far(nodes=("a",))
        with pytest.raises(lucy.UnknownNodeError):
            await network.so_far(nodes=("d",))
    nodes = {node["name"]: node for node in json.loads((run / "result.json").read_bytes())["nodes"]}
    assert {name: node["state"] for name, node in nodes.items()} == {"a": "removed", "b": "stopped", "c": "running"}
    assert [line.partition(" at ")[0] for line in nodes["a"]["life"]] == ["started", "stopped", "removed"]
    assert [line.partition(" at ")[0] for line in nodes["b"]["life"]] == ["added", "started", "stopped"]
    async with lucy.replay(run) as replay:
        assert set(replay.node_names) >= {"a"}
        added = [event.data.node for event in await replay.so_far(lucy.NodeAdded)]
        removed = [event.data.node for event in await replay.so_far(lucy.NodeRemoved)]
        assert (added, removed) == (["b", "c"], ["a"])


async def test_of_two_that_are_added_by_one_name_at_once_one_is_refused(tmp_path: Path) -> None:
    refused: list[lucy.LucyError] = []
    async with lucy.deploy(ONE, engine=FakeEngine(), run_directory=tmp_path / "run") as network:

        async def add() -> None:
            try:
                await network.add(resting("b"))
            except lucy.TopologyError as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(add)
            tasks.start_soon(add)
        assert [str(error) for error in refused] == ["node name 'b' is used 2 times; give each node its own"]
        assert network["b"].state is State.RUNNING


async def test_an_adding_that_is_cancelled_in_its_middle_leaves_a_whole_node(tmp_path: Path) -> None:
    for turns in range(8):
        async with lucy.deploy(ONE, engine=FakeEngine(), run_directory=tmp_path / f"run-{turns}") as network:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(network.add, resting("b"))
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            assert [node.name for node in network] in (["a"], ["a", "b"])
            if "b" in network.nodes:
                await network.remove("b")
            else:
                await network.add(resting("b"))


@pytest.mark.parametrize("call", ("remove", "restart"))
async def test_a_node_that_ends_by_itself_while_it_is_about_to_be_stopped_is_no_error(
    call: str, tmp_path: Path
) -> None:
    engine = FakeEngine()
    for turns in range(12):
        async with lucy.deploy(ONE, engine=engine, run_directory=tmp_path / f"run-{turns}") as network:
            a, node = network["a"], engine.nodes["a"]
            with a.expecting_exit():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(*((network.remove, "a") if call == "remove" else (a.restart,)))
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                    if node.starts == 1:
                        node.end(code=0)
            assert a.state is (State.DESTROYED if call == "remove" else State.RUNNING)


async def test_what_an_engine_lacks_is_refused_by_name(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with lucy.deploy(ONE, engine=engine, run_directory=tmp_path / "run") as network:
        with pytest.raises(
            lucy.UnsupportedError, match="the fake engine has no capability 'logs': node 'b' asks for it"
        ):
            await network.add(resting("b", logs=("*.log",)))
        type(engine).capabilities, all_of_it = frozenset(), engine.capabilities
        try:
            for call, capability in (
                (lambda: network.add(resting("b")), Capability.MEMBERS),
                (lambda: network.remove("a"), Capability.MEMBERS),
                (lambda: network["a"].signal("SIGHUP"), Capability.SIGNAL),
                (lambda: network["a"].restart(arguments=()), Capability.ARGUMENTS),
            ):
                with pytest.raises(lucy.UnsupportedError, match=f"has no capability '{capability}'"):
                    await call()
        finally:
            type(engine).capabilities = all_of_it


async def test_an_added_node_that_dies_ends_the_run_like_any_other(tmp_path: Path) -> None:
    dying = lucy.NodeSpec(name="b", role="x", command=("sh", "-c", "echo last words; exit 3"))
    with pytest.raises(lucy.NodeExitedError, match="b exited with code 3"):
        async with lucy.deploy(ONE, run_directory=tmp_path / "run") as network:
            await network.add(dying)
            await anyio.sleep_forever()


async def test_a_node_that_could_not_be_made_may_be_added_once_more(tmp_path: Path) -> None:
    run = tmp_path / "run"
    async with lucy.deploy(ONE, run_directory=run) as network:
        (run / "nodes/b").touch()
        with pytest.raises(lucy.DeployError, match="node 'b'.*nodes/b: File exists"):
            await network.add(resting("b", ports=("p",)))
        assert [node.name for node in network] == ["a"]
        (run / "nodes/b").unlink()
        b = await network.add(resting("b", ports=("p",)))
        assert b.address("p")[0] == "127.0.0.1"


async def test_a_node_may_leave_before_any_was_started(tmp_path: Path) -> None:
    spec = lucy.NetworkSpec(name="members", nodes=(resting("a"), resting("b", after=("a",))))
    async with lucy.deploy(spec, run_directory=tmp_path / "run", start=False) as network:
        await network.remove("a")
        await network.start_all()
        assert network["b"].state is State.RUNNING
