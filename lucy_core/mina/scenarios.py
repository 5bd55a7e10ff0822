"""Scenarios of Mina networks that come with Lucy."""

import time
from collections.abc import Mapping
from typing import final

import anyio

from lucy_core.arguments import some_seconds
from lucy_core.judging.durations import seconds
from lucy_core.mina.conditions import blocks_produced, nodes_initialized, nodes_synchronized, signed_command_included
from lucy_core.mina.durations import slots
from lucy_core.mina.graphql import ChainBlock, client
from lucy_core.mina.topology import Topology, public_key
from lucy_core.mina.topology_parts import Account, BlockProducer, Constants
from lucy_core.network.network import Network
from lucy_core.network.node import Node
from lucy_core.run.options import number_option

MINA = 1_000_000_000
"""Nanomina in a MINA."""


@final
class ChainReliability:
    """Mina's `chain-reliability` test: a restarted node catches up, payments go through, all agree on the chain.

    The network and the steps are upstream's: three producers with 1000, 1000 and 0 MINA, and a seed.
    """

    name = "chain-reliability"
    summary = "three block producers and a seed: restart one fresh, pay three times, compare the best chains"

    def topology(self, options: Mapping[str, str]) -> Topology:
        """Describe the network; option `slot_seconds` (default 1) sets its pace."""
        return Topology(
            name="chain-reliability",
            accounts=(Account("node-a-key", "1000"), Account("node-b-key", "1000"), Account("node-c-key", "0")),
            block_producers=(
                BlockProducer("node-a", "node-a-key"),
                BlockProducer("node-b", "node-b-key"),
                BlockProducer("node-c", "node-c-key"),
            ),
            constants=Constants(slot_seconds=number_option(options, "slot_seconds", 1.0, some_seconds)),
        )

    async def run(self, network: Network) -> None:
        """Run the test on a network that was just deployed."""
        with network.section("all nodes initialize"):
            await network.wait_for(nodes_initialized())
        with network.section("two blocks"):
            await network.wait_for(blocks_produced(2), soft=slots(12), hard=slots(24))
        with network.section("two blocks without node-c"):
            await network["node-c"].stop()
            stopped = network.mark()
            await network.wait_for(blocks_produced(2), since=stopped, soft=slots(12), hard=slots(24))
        with network.section("node-c catches up from nothing"):
            restarted = network.mark()
            await network["node-c"].start(fresh_state=True)
            await network.wait_for(nodes_initialized("node-c"), since=restarted)
            synchronized = nodes_synchronized("node-a", "node-b", "node-c")
            await network.wait_for(synchronized, since=restarted, soft=seconds(30), hard=seconds(60))
        with network.section("three payments"):
            await self._pay(network)
        with network.section("all agree on the chain"):
            await self._compare_chains(network)

    async def _pay(self, network: Network) -> None:
        """Three payments from b to a, as upstream sends them: on b, which holds the key."""
        sender = public_key(network["node-b"], "node-b-key")
        receiver = public_key(network["node-a"], "node-a-key")
        began = network.mark()
        async with client(network["node-b"]) as api:
            sent = [
                await api.send_payment(sender=sender, receiver=receiver, amount=10 * MINA, fee=MINA) for _ in range(3)
            ]
        for payment in sent:
            included = signed_command_included(payment.hash)
            await network.wait_for(included, since=began, soft=slots(16), hard=slots(32))

    async def _compare_chains(self, network: Network) -> None:
        """All have the same blocks, but for the newest, and for those of slots that passed while nodes were asked."""
        chains: dict[str, list[ChainBlock]] = {}

        async def ask(node: Node) -> None:
            async with client(node) as api:
                chains[node.name] = await api.best_chain()

        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for node in network:
                tasks.start_soon(ask, node)
        allowed = 1 + int((time.monotonic() - began) / network.clock.in_seconds(slots(1)))
        sets = {name: {block.state_hash for block in chain} for name, chain in chains.items()}
        common = set.intersection(*sets.values())
        for name, blocks in sets.items():
            own = len(blocks - common)
            network.check(
                own <= allowed,
                f"{name} has {own} blocks that others lack ({len(common)} are common); {allowed} may differ",
            )


chain_reliability = ChainReliability()
