"""Life: nodes are deployed, start, stop, start again, and go, with all that they started."""

import re
from pathlib import Path

import pytest

from lucy_core.engine import Capability, Engine, NetworkSpec, NodeSpec, RunPlace, State
from lucy_core.errors import (
    DeployError,
    LifeCycleError,
    NodeExitedError,
    NotReadyError,
    TopologyError,
    UnknownNodeError,
)
from lucy_core.records.journal import NodeStarted
from lucy_core.run.replaying import replay
from lucy_core.testing.engine_conformance.suite import (
    WITHIN,
    Deploy,
    Script,
    Suite,
    can,
    caught_up,
    nothing_left,
    said,
    told,
)
from lucy_core.testing.scripted_node import Dialled, Numbered, Told


class LifeCycleConformance(Suite):
    """Start, stop, kill, restart, and the moments at which they are refused."""

    def test_the_engine_keeps_the_contract(self, engine: Engine) -> None:
        """It names itself in a word, says what it can do in the contract's words, and can be made without arguments."""
        assert isinstance(engine, Engine)
        assert re.fullmatch(r"[a-z][a-z0-9-]*", engine.name)
        assert engine.capabilities == frozenset(map(Capability, engine.capabilities))
        assert type(engine)().name == engine.name

    def test_a_plan_touches_nothing(self, engine: Engine, script: Script, tmp_path: Path, run_id: str) -> None:
        """So that everything about it may be refused, and looked at, before anything is made."""
        spec = NetworkSpec(name="conformance", nodes=(script("a", "tick", ports=("p",)),))
        engine.plan(spec, RunPlace(run_id=run_id, directory=tmp_path / "run", options=self.options))
        assert list(tmp_path.iterdir()) == []

    async def test_a_stopped_node_keeps_its_state_and_a_fresh_start_has_none(
        self, deploy: Deploy, script: Script
    ) -> None:
        """The program counts its starts in its state directory."""
        async with deploy(script("a", "tick")) as network:
            a = network["a"]
            assert (await said(a, 2)).data.start == 1
            await a.stop()
            mark = network.mark()
            await a.start()
            assert (await said(a, since=mark)).data.start == 2
            await a.stop()
            mark = network.mark()
            if await can(network, Capability.FRESH_STATE, lambda: a.start(fresh_state=True)):
                assert a.state is State.STOPPED
                await a.start(fresh_state=True)
                assert (await said(a, since=mark)).data.start == 1
            assert network.ledger.complete

    async def test_wrong_moves_are_refused_by_name_and_do_nothing(self, deploy: Deploy, script: Script) -> None:
        """The right calls go on after each refusal."""
        async with deploy(script("a", "tick"), start=False) as network:
            a = network["a"]
            assert a.state is State.DEPLOYED
            with pytest.raises(LifeCycleError, match="can't stop node a: it is deployed; now possible: start"):
                await a.stop()
            await a.start()
            with pytest.raises(LifeCycleError, match="can't start node a: it is running"):
                await a.start()
            await said(a, 2)
            await a.stop()
            for action in (a.stop, a.kill, a.resume):
                with pytest.raises(LifeCycleError, match="it is stopped; now possible: start"):
                    await action()
            with pytest.raises(UnknownNodeError, match="no node is called 'b'; this network has a"):
                network["b"]
            mark = network.mark()
            await a.restart()
            assert (await said(a, since=mark)).data.start == 2

    async def test_nodes_start_in_the_order_of_their_dependencies(self, deploy: Deploy, script: Script) -> None:
        """Whatever their order in the spec."""
        nodes = (script("c", "tick", after=("b",)), script("b", "tick", after=("a",)), script("a", "tick"))
        async with deploy(*nodes) as network:
            started = {
                name: await network.events(NodeStarted, since=0)
                .filter(lambda event, name=name: event.data.node == name)  # type: ignore[misc]
                .first(within=WITHIN)
                for name in "abc"
            }
            assert started["a"].position < started["b"].position < started["c"].position
            # Lucy's word that a node was started stands before the node's own first line.
            for name in "abc":
                assert started[name].position < (await told(network[name], "started")).position

    async def test_a_node_is_started_once_those_before_it_are_ready_and_stopped_before_them(
        self, deploy: Deploy, script: Script, tmp_path: Path
    ) -> None:
        """Here `b` asks `a` from its first moment to its last, and `a` takes its time to listen."""
        address = "{host:a}:{port:a.p}"
        slow = ("say:20000", "listen:{bind}:{port:p}", "print:open for all", "rest")
        nodes = (
            script("b", f"clingy:{address}", f"dial:{address}", after=("a",), ready=Dialled),
            script("a", *slow, ports=("p",), ready="open for all"),
        )
        async with deploy(*nodes) as network:
            asked = await network["b"].events(Dialled, since=0).first(within=WITHIN)
            assert asked.data.problem == ""
            before = network.mark()
        async with replay(tmp_path / "run") as run, run.events(Dialled, since=before).aiter() as events:
            problems = [event.data.problem async for event in events]
        assert problems
        assert set(problems) == {""}

    async def test_a_node_that_is_not_ready_in_time_is_told_with_its_last_lines(
        self, deploy: Deploy, script: Script
    ) -> None:
        """The error says what was awaited of it."""
        with pytest.raises(NotReadyError) as caught:
            async with deploy(script("a", "print:not yet", "rest", ready="open for all", ready_within=2)):
                raise AssertionError
        for part in ("node 'a'", "within 2 s", "a line with 'open for all'", "not yet"):
            assert part in str(caught.value)

    async def test_a_node_that_dies_before_it_is_ready_is_told_so(self, deploy: Deploy, script: Script) -> None:
        """With what was awaited, and its last lines."""
        with pytest.raises(NodeExitedError) as caught:
            async with deploy(script("a", "print:no disk", "exit:3", ready="open for all")):
                raise AssertionError
        for part in ("a exited with code 3", "before it was ready", "a line with 'open for all'", "no disk"):
            assert part in str(caught.value)

    async def test_a_stop_lets_a_node_say_goodbye_and_takes_its_last_line(self, deploy: Deploy, script: Script) -> None:
        """It got SIGTERM, it ended by itself, and all that it wrote stands before Lucy's word that it was stopped."""
        async with deploy(script("a", "polite", "tick")) as network:
            a = network["a"]
            await said(a)
            await a.stop(grace=WITHIN)
            after = network.mark()
            goodbye = await told(a, "goodbye")
            assert goodbye.position < after.position
            assert a.last_exit is not None
            assert (a.last_exit.code, a.last_exit.signal) == (7, None)

    async def test_a_node_that_ignores_the_stop_is_killed_after_its_grace(self, deploy: Deploy, script: Script) -> None:
        """Frozen or not."""
        async with deploy(script("a", "deaf", "tick")) as network:
            a = network["a"]
            await said(a)
            await a.stop(grace=0.2)
            assert a.last_exit is not None
            assert a.last_exit.signal == "SIGKILL"
            mark = network.mark()
            await a.start()
            await said(a, since=mark)
            if await can(network, Capability.PAUSE, a.pause):
                await a.pause()
            await a.stop(grace=0.2)
            assert a.last_exit is not None
            assert a.last_exit.signal == "SIGKILL"

    @pytest.mark.parametrize("end", ("stop", "kill"))
    async def test_what_a_node_started_goes_with_it(self, end: str, deploy: Deploy, script: Script) -> None:
        """Grandchildren that detached themselves too: no line of an ended start comes after its end."""
        async with deploy(script("a", "spawn", "tick")) as network:
            a = network["a"]
            await told(a, "orphan")
            await (a.stop() if end == "stop" else a.kill())
            mark = network.mark()
            late: list[object] = []
            a.events(Told, since=mark).filter(lambda event: event.data.start == 1).subscribe(late.append)
            a.events(Numbered, since=mark).filter(lambda event: event.data.start == 1).subscribe(late.append)
            await a.start()
            await said(a, 20, since=mark)
            assert late == []

    async def test_a_program_that_is_not_there_is_told_and_nothing_is_left(
        self, deploy: Deploy, engine: Engine, run_id: str
    ) -> None:
        """With the names of the node and of the program."""
        missing = NodeSpec(name="a", role="x", command=("no-such-program", "--flag"))
        with pytest.raises(DeployError, match=r"(?s)a.*no-such-program"):
            async with deploy(missing):
                raise AssertionError
        await nothing_left(engine, run_id)

    @pytest.mark.parametrize(
        ("environment", "text"),
        (
            ({"X": "{port:z.p}"}, "'a' refers to {port:z.p}"),
            ({"X": "{port:q}"}, "'a' refers to {port:q}"),
            ({"X": "{host:z}"}, "'a' refers to {host:z}"),
        ),
    )
    async def test_a_wrong_network_is_refused_by_name_before_anything_runs(
        self, environment: dict[str, str], text: str, deploy: Deploy, script: Script, engine: Engine, run_id: str
    ) -> None:
        """Placeholders are the engine's to fill in."""
        with pytest.raises(TopologyError, match=re.escape(text)):
            async with deploy(script("a", "tick", environment=environment, ports=("p",))):
                raise AssertionError
        await nothing_left(engine, run_id)

    async def test_two_runs_of_one_network_at_once_do_not_meet(
        self, deploy: Deploy, script: Script, tmp_path: Path, run_id: str
    ) -> None:
        """The same names, ports of their own, lines of their own."""
        nodes = (
            script("a", "listen:{bind}:{port:p}", "tick", ports=("p",)),
            script("b", "dial:{host:a}:{port:a.p}", after=("a",)),
        )
        async with (
            deploy(*nodes) as first,
            deploy(*nodes, run_id=f"{run_id}-2", run_directory=tmp_path / "other") as second,
        ):
            assert first["a"].address("p") != second["a"].address("p")
            for network in (first, second):
                await said(network["a"], 5)
            await first["a"].stop()
            mark = second.mark()
            await said(second["a"], since=mark)
            await caught_up(second)
            assert first.ledger.complete
            assert second.ledger.complete
