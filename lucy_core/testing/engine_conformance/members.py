"""Nodes that are added to a network that is up, and removed from it."""

from typing import Any

import anyio
import pytest

from lucy_core.engine import Capability, State
from lucy_core.errors import LifeCycleError, TopologyError, UnknownNodeError
from lucy_core.faults import Pause
from lucy_core.records.journal import NodeAdded, NodeRemoved, NodeStopped
from lucy_core.testing.engine_conformance.suite import WITHIN, Deploy, Script, Suite, can, said, told
from lucy_core.testing.scripted_node import Dialled, Numbered


class MemberConformance(Suite):
    """What comes of nodes that join late or leave early, or that it is refused by name."""

    async def test_a_node_that_is_added_is_one_like_the_others(self, deploy: Deploy, script: Script) -> None:
        """It is started, written down, heard, restarted, and taken away at the end."""
        async with deploy(script("a", "tick")) as network:
            late = script("b", "tick", after=("a",))
            if not await can(network, Capability.MEMBERS, lambda: network.add(late)):
                return
            everybody = network.events(Numbered)
            mark = network.mark()
            b = await network.add(late)
            assert network["b"] is b
            assert [node.name for node in network] == ["a", "b"]
            assert network.spec.nodes[-1] == late
            added = await network.events(NodeAdded, since=mark).first(within=WITHIN)
            assert (added.data.node, added.data.role) == ("b", late.role)
            assert (await told(b, "started", mark)).position > added.position
            await everybody.first(lambda event: event.node == "b", within=WITHIN)
            await said(b, 3)
            await b.restart()
            assert (await said(b, since=network.mark())).data.start == 2
            resting = await network.add(script("c", "tick"), start=False)
            assert resting.state is State.DEPLOYED
            await resting.start()
            await said(resting)
        assert b.state is State.DESTROYED

    async def test_nodes_reach_one_that_is_added_and_it_reaches_them(self, deploy: Deploy, script: Script) -> None:
        """By the placeholders of its spec, and of what the others are given from then on."""
        listen = "listen:{bind}:{port:p}"
        async with deploy(script("a", listen, "tick", ports=("p",))) as network:
            a = network["a"]
            await told(a, "listening")
            late = script("b", listen, "dial:{host:a}:{port:a.p}", ports=("p",))
            if not await can(network, Capability.MEMBERS, lambda: network.add(late)):
                return
            b = await network.add(late)
            answered = b.events(Dialled, since=0).first(lambda event: not event.data.problem, within=WITHIN)
            assert (await answered).data.problem == ""
            if Capability.ARGUMENTS in network.engine.capabilities:
                mark = network.mark()
                steps = (*a.spec.command[1:-2], listen, "dial:{host:b}:{port:b.p}")
                await a.restart(arguments=steps)
                answered = a.events(Dialled, since=mark).first(lambda event: not event.data.problem, within=WITHIN)
                assert (await answered).data.problem == ""

    async def test_a_node_that_is_removed_is_gone_with_its_last_lines_taken(
        self, deploy: Deploy, script: Script
    ) -> None:
        """Whether it ran or not; its streams are complete, and its name is not given again."""
        async with deploy(
            script("a", "tick"), script("b", "polite", "tick"), script("c", "tick", after=("b",))
        ) as network:
            b = network["b"]
            if not await can(network, Capability.MEMBERS, lambda: network.remove("b")):
                return
            numbers: list[Any] = []
            stream = b.events(Numbered, since=0)
            await said(b, 3)

            async def collect() -> None:
                async with stream.aiter() as items:
                    numbers.extend([event.data.n async for event in items])

            with anyio.fail_after(WITHIN):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(collect)
                    await network.remove("b", grace=WITHIN)
            assert numbers == list(range(1, len(numbers) + 1))
            assert (await told(b, "goodbye")).node == "b"
            stopped = await network.events(NodeStopped, since=0).first(within=WITHIN)
            removed = await network.events(NodeRemoved, since=0).first(within=WITHIN)
            assert stopped.position < removed.position
            assert b.state is State.DESTROYED
            assert [node.name for node in network] == ["a", "c"]
            with pytest.raises(UnknownNodeError):
                await network.remove("b")
            with pytest.raises(LifeCycleError, match="it is destroyed; now possible: nothing"):
                await b.start()
            with pytest.raises(TopologyError, match="'b' was that of a node that was removed"):
                await network.add(script("b", "tick"))
            await network["c"].stop()
            await network.remove("c")
            await said(network["a"], since=network.mark())
            assert await network.so_far(Numbered, nodes=("b",))

    async def test_a_fault_on_a_node_that_is_removed_ends_before_it(self, deploy: Deploy, script: Script) -> None:
        """The block of the fault goes on, and ends well."""
        async with deploy(script("a", "tick"), script("b", "tick")) as network:
            if not {Capability.MEMBERS} <= network.engine.capabilities or Pause not in network.engine.faults:
                return
            await said(network["b"])
            async with network.faults.inject(Pause(nodes=("b",)), lasting=WITHIN) as lease:
                await network.remove("b")
                assert not lease.in_effect
                await said(network["a"], since=network.mark())

    async def test_a_node_that_does_not_fit_is_refused_and_nothing_is_done(
        self, deploy: Deploy, script: Script
    ) -> None:
        """Nor is one added to a network that is over."""
        async with deploy(script("a", "tick")) as network:
            if not await can(network, Capability.MEMBERS, lambda: network.add(script("b", "tick"))):
                return
            for wrong, text in (
                (script("a", "tick"), "'a' is used 2 times"),
                (script("b", "tick", after=("z",)), "'z', which is not in the network"),
                (script("b", "dial:{host:z}:1"), "there is no 'z'"),
                (script("b", "tick", after=("b",)), "wait for each other"),
            ):
                with pytest.raises(TopologyError, match=text):
                    await network.add(wrong)
            await network.add(script("b", "tick"))
        with pytest.raises(LifeCycleError, match="it is destroyed"):
            await network.add(script("c", "tick"))
