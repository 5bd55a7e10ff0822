"""Faults: those that an engine can do are felt by the nodes, and end; the others are refused by their name.

The nodes themselves say what they feel: one listens, two others dial it all the time and tell how that went.
"""

from collections.abc import Callable

import pytest

from lucy_core.engine import NodeSpec, State
from lucy_core.errors import NodeExitedError, UnsupportedError
from lucy_core.faults import (
    FAULT_KINDS,
    AnyFault,
    Bandwidth,
    ClockOffset,
    CpuLimit,
    Disconnect,
    DiskFull,
    Drop,
    Latency,
    Loss,
    MemoryLimit,
    Pause,
    Reset,
)
from lucy_core.network.leases import LeaseEnd
from lucy_core.network.network import Network
from lucy_core.network.node import Node
from lucy_core.records.record import Event, Mark
from lucy_core.testing.engine_conformance.suite import WITHIN, Deploy, Script, Suite, said, told
from lucy_core.testing.scripted_node import Dialled

LONG = 600.0
"""Seconds for a lease that is not to end by itself."""
DELAY = 0.1
A, B = ("a",), ("b",)

Feeling = Callable[[Event[Dialled]], bool]


def fails(event: Event[Dialled]) -> bool:
    """Tell whether nobody answered."""
    return event.data.problem != ""


def works(event: Event[Dialled]) -> bool:
    """Tell whether somebody did."""
    return event.data.problem == ""


def is_well(event: Event[Dialled]) -> bool:
    """Tell whether it was answered, and at once."""
    return works(event) and not takes_longer(event)


def breaks(event: Event[Dialled]) -> bool:
    """Tell whether the connection was refused or broken, at once and not for want of an answer."""
    return event.data.problem.startswith("Connection")


def takes_longer(event: Event[Dialled]) -> bool:
    """Tell whether it was answered late: there and back to connect, and once more to ask."""
    return works(event) and event.data.seconds >= 4 * DELAY


# A fault, what `b` feels then when it dials `a`, and whether `c` still feels nothing.
FELT: tuple[tuple[AnyFault, Feeling, bool], ...] = (
    (Drop(nodes=A, others=B), fails, True),
    (Reset(nodes=A, others=B), breaks, True),
    (Loss(nodes=A, others=B, probability=1.0), fails, True),
    (Latency(nodes=A, others=B, delay=DELAY), takes_longer, True),
    (Disconnect(nodes=B), fails, True),
    (Pause(nodes=A), fails, False),
)
UNFELT: tuple[AnyFault, ...] = (
    Bandwidth(nodes=A, others=B, bytes_per_second=10_000),
    ClockOffset(nodes=A, seconds=60),
    DiskFull(nodes=A),
    MemoryLimit(nodes=A, bytes=1 << 30),
    CpuLimit(nodes=A, cpus=0.5),
)


class FaultConformance(Suite):
    """Effect, end and refusal of faults."""

    async def test_faults_are_felt_while_they_last_or_refused_by_name(self, deploy: Deploy, script: Script) -> None:
        """By the nodes that they name, and by no others."""
        assert {type(fault) for fault in (*(fault for fault, _, _ in FELT), *UNFELT)} == FAULT_KINDS
        async with deploy(*dialling(script)) as network:
            b, c = network["b"], network["c"]
            await settled(network)
            for fault in UNFELT:
                await possible(network, fault)
            for fault, feels, spares_c in FELT:
                if not await possible(network, fault):
                    continue
                async with network.faults.inject(fault, lasting=LONG) as lease:
                    mark = network.mark()
                    # What was on its way when the fault came may still get through.
                    first = await dial(b, feels, mark)
                    for _ in range(2):
                        first = await dial(b, lambda _: True, first.position + 1)
                        assert feels(first), (fault, first.data)
                    if spares_c:
                        before = await dial(c, lambda _: True, mark)
                        await dial(c, is_well, before.position + 1)
                assert lease.reason is LeaseEnd.ENDED
                mark = network.mark()
                await dial(b, is_well, mark)
                await dial(c, is_well, mark)
            assert network.fatal is None
            assert network.ledger.complete

    async def test_a_fault_ends_by_itself_when_its_time_is_over(self, deploy: Deploy, script: Script) -> None:
        """And the nodes feel that it has."""
        async with deploy(*dialling(script)) as network:
            await settled(network)
            able = [fault for fault, _, _ in FELT if await possible(network, fault)]
            for fault in able[-1:]:
                async with network.faults.inject(fault, lasting=1.0) as lease:
                    await dial(network["b"], fails, network.mark())
                    assert await lease.ended() is LeaseEnd.EXPIRED
                    await dial(network["b"], works, network.mark())

    async def test_a_fault_of_a_node_that_is_stopped_meanwhile_is_lost(self, deploy: Deploy, script: Script) -> None:
        """And the node can be started again, and is not frozen then."""
        async with deploy(script("a", "tick:0.05")) as network:
            a = network["a"]
            await said(a)
            if not await possible(network, Pause(nodes=A)):
                return
            async with network.faults.inject(Pause(nodes=A), lasting=LONG) as lease:
                await a.stop()
                assert await lease.ended() is LeaseEnd.LOST
                assert lease.detail.startswith("a ")
                await a.start()
                await said(a, since=network.mark())
            assert (lease.reason, a.state) == (LeaseEnd.LOST, State.RUNNING)

    async def test_who_wants_more_memory_than_its_limit_is_killed_and_that_is_told(
        self, deploy: Deploy, script: Script
    ) -> None:
        """In the words of its exit."""
        hungry = script("a", "wait:dinner", "eat:300", "tick")
        with pytest.raises((NodeExitedError, Refused)) as caught:
            async with deploy(hungry, script("b", "tick")) as network:
                await told(network["a"], "waiting")
                limit = MemoryLimit(nodes=A, bytes=100 << 20)
                if not await possible(network, limit):
                    raise Refused
                async with network.faults.inject(limit, lasting=LONG):
                    await network["a"].write_file("dinner", b"")
                    await told(network["a"], "ate")
        if isinstance(caught.value, NodeExitedError):
            assert (caught.value.node, caught.value.how) == ("a", "was killed by SIGKILL (out of memory)")


class Refused(Exception):  # noqa: N818  # no error: what the engine lacks, it refused by name
    """There is nothing to be tested."""


def dialling(script: Script) -> tuple[NodeSpec, ...]:
    """One that listens, and two that dial it."""
    return (
        script("a", "listen:{bind}:{port:p}", "tick:0.05", ports=("p",)),
        script("b", "dial:{host:a}:{port:a.p}", after=A),
        script("c", "dial:{host:a}:{port:a.p}", after=A),
    )


async def settled(network: Network) -> None:
    """Wait until everybody gets through."""
    await said(network["a"])
    for name in "bc":
        await dial(network[name], works, 0)


async def dial(node: Node, feels: Feeling, since: Mark | int) -> Event[Dialled]:
    """Wait until a dialling node has felt something."""
    return await node.events(Dialled, since=since).first(feels, within=WITHIN)


async def possible(network: Network, fault: AnyFault) -> bool:
    """Tell whether an engine can do a fault; one that it can't must be refused by its name."""
    kinds = network.engine.faults
    assert kinds <= FAULT_KINDS
    if type(fault) in kinds:
        return True
    with pytest.raises(UnsupportedError) as refused:
        async with network.faults.inject(fault, lasting=LONG):
            pass
    assert refused.value.engine == network.engine.name
    assert refused.value.capability in {fault.kind, "faults"}
    assert network.faults.in_effect == []
    return False
