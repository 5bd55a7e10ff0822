"""The fake engine is held to what the real ones are held to, as far as nothing but a process could tell them apart."""

import json
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import pytest

import lucy_core as lucy
from lucy_core.testing import FakeEngine, FakeNode
from lucy_core.testing.engine_conformance import (
    CleanupConformance,
    CompletenessConformance,
    ControlConformance,
    DaemonConformance,
    DeathConformance,
    FaultConformance,
    LifeCycleConformance,
    MemberConformance,
    SourceConformance,
)
from lucy_core.testing.scripted_node import Told


def line(node: FakeNode, event: str, **metadata: object) -> bytes:
    data = {"start": node.starts, **metadata}
    return json.dumps({"message": event, "event_id": f"lucy.scripted.{event}", "metadata": data}).encode() + b"\n"


async def scripted(node: FakeNode) -> int:
    """Do the steps of a scripted node, as far as they are lines and an end."""
    node.write(line(node, "told", what="started", value=""))
    count = 0
    for step in node.spec.command[node.spec.command.index("{state}") + 1 :]:
        word, *arguments = step.split(":")
        match word:
            case "say":
                numbers = range(count + 1, count := count + 1 + int(arguments[0]))
                node.write(b"".join(line(node, "numbered", n=n) for n in numbers))
            case "tick":
                while True:
                    count += 1
                    node.write(line(node, "numbered", n=count))
                    await anyio.sleep(0.01)
            case "complain" | "mutter" | "print":
                node.write(f"{arguments[0]}\n".encode())
            case "exit":
                return int(arguments[0])
            case "die":
                node.end(signal=arguments[0])
            case "spawn":
                node.write(line(node, "told", what="orphan", value=""))
            case "rest":
                await anyio.sleep_forever()
            case _:
                raise NotImplementedError(step)
    return 0


class TestFakeEngine(
    LifeCycleConformance,
    ControlConformance,
    DaemonConformance,
    DeathConformance,
    MemberConformance,
    CompletenessConformance,
    SourceConformance,
    FaultConformance,
    CleanupConformance,
):
    checkpoints = (0, 3, 10, 20)
    captures: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def engine(self) -> FakeEngine:
        return FakeEngine(scripted)

    # A program is no process: it acts on no signal, has no files, ports, environment, half lines, and dies with Lucy.
    test_a_node_that_is_removed_is_gone_with_its_last_lines_taken = None
    test_nodes_reach_one_that_is_added_and_it_reaches_them = None
    test_a_stop_lets_a_node_say_goodbye_and_takes_its_last_line = None
    test_a_node_that_ignores_the_stop_is_killed_after_its_grace = None
    test_a_program_that_is_not_there_is_told_and_nothing_is_left = None
    test_two_runs_of_one_network_at_once_do_not_meet = None
    test_a_signal_reaches_the_daemon_or_all_that_came_from_it = None
    test_a_signal_to_a_frozen_node_waits_for_it_and_not_its_sender = None
    test_a_signal_that_ends_a_node_is_the_nodes_own_end = None
    test_a_node_is_asked_to_end_by_its_own_signal = None
    test_a_daemon_that_is_asked_to_end_alone_ends_its_own = None
    test_a_start_may_have_other_arguments_for_itself_alone = None
    test_a_node_is_started_once_those_before_it_are_ready_and_stopped_before_them = None
    test_a_node_has_the_environment_of_its_spec_and_of_its_start = None
    test_nodes_reach_each_other_and_lucy_reaches_them = None
    test_a_port_is_open_while_the_node_listens_at_it = None
    test_a_nodes_use_of_the_machine_is_measured_while_it_runs = None
    test_every_line_of_a_flood_arrives_once_and_in_order = None
    test_large_lines_arrive_whole = None
    test_restarts_under_flood_lose_no_line = None
    test_faults_are_felt_while_they_last_or_refused_by_name = None
    test_a_fault_ends_by_itself_when_its_time_is_over = None
    test_who_wants_more_memory_than_its_limit_is_killed_and_that_is_told = None
    test_nothing_is_left_after_a_signal_to_lucy = None


async def test_a_node_runs_as_whom_its_spec_says_and_each_start_has_a_number_of_its_own(tmp_path: Any) -> None:
    engine = FakeEngine()
    nodes = (
        lucy.NodeSpec(name="a", role="x", command=("anything",), user="postgres"),
        lucy.NodeSpec(name="b", role="x", command=("anything",)),
    )
    with anyio.fail_after(20):
        spec = lucy.NetworkSpec(name="n", nodes=nodes)
        async with lucy.deploy(spec, engine=engine, run_directory=tmp_path / "run") as network:
            assert engine.nodes["a"].spec.user == "postgres"
            first = network["a"].pid
            assert first not in (None, network["b"].pid)
            await network["a"].restart()
            assert network["a"].pid not in (None, first, network["b"].pid)
            await network["a"].stop()
            assert network["a"].pid is None


SPEC = lucy.NetworkSpec(name="n", nodes=(lucy.NodeSpec(name="a", role="x", command=("anything",)),))


async def test_a_program_that_fails_fails_the_test(tmp_path: Any) -> None:
    async def broken(_: FakeNode) -> int:
        raise ArithmeticError("the program's own")

    with anyio.fail_after(20), pytest.raises(ArithmeticError, match="the program's own"):
        async with lucy.deploy(SPEC, engine=FakeEngine(broken), run_directory=tmp_path / "run"):
            await anyio.sleep_forever()


async def test_a_test_speaks_for_a_node_and_ends_it(tmp_path: Any) -> None:
    engine = FakeEngine()
    with anyio.fail_after(20), pytest.raises(lucy.NodeExitedError, match="(?s)a exited with code 3.*last words"):
        async with lucy.deploy(SPEC, engine=engine, run_directory=tmp_path / "run") as network:
            engine.nodes["a"].write(line(engine.nodes["a"], "told", what="hello", value=""))
            await network.events(Told, since=0).first(within=20)
            engine.nodes["a"].write(b"last words\n")
            engine.nodes["a"].end(code=3)
            await anyio.sleep_forever()


async def test_an_engine_without_addresses_refuses_them_by_name_and_probes_too(tmp_path: Any) -> None:
    spec = lucy.NetworkSpec(name="n", nodes=(lucy.NodeSpec(name="a", role="x", command=("anything",), ports=("p",)),))
    refused = pytest.raises(lucy.UnsupportedError, match="the fake engine has no capability 'address'")
    with anyio.fail_after(20):
        async with lucy.deploy(spec, engine=FakeEngine(), run_directory=tmp_path / "run") as network:
            with refused:
                network["a"].address("p")
            with refused:
                await network.wait_for(lucy.port_open("a", "p"))


async def test_two_networks_of_one_engine_at_once_do_not_meet(tmp_path: Any) -> None:
    engine = FakeEngine()
    with anyio.fail_after(20):
        async with lucy.deploy(SPEC, engine=engine, run_directory=tmp_path / "first") as first:
            node = engine.nodes["a"]
            async with lucy.deploy(SPEC, engine=engine, run_directory=tmp_path / "second") as second:
                assert engine.nodes["a"] is not node
                await first["a"].restart()
            assert (first["a"].state, second["a"].state) == ("running", "destroyed")
            assert node.running
            await first["a"].restart()
            node.write(line(node, "told", what="hello", value=""))
            await first.events(Told, since=0).first(within=20)


async def test_a_program_that_outlives_its_end_ends_no_later_start(tmp_path: Any) -> None:
    returned = anyio.Event()

    async def stubborn(node: FakeNode) -> int:
        if node.starts > 1:
            await anyio.sleep_forever()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await again.wait()
            returned.set()
        return 3

    again = anyio.Event()
    with anyio.fail_after(20):
        async with lucy.deploy(SPEC, engine=FakeEngine(stubborn), run_directory=tmp_path / "run") as network:
            await anyio.lowlevel.checkpoint()
            await network["a"].restart()
            again.set()
            await returned.wait()
            await anyio.lowlevel.checkpoint()
            assert network["a"].state == "running"
