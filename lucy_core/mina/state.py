"""The network state: what a Mina network's events add up to.

Mina's own executive keeps the same picture with known faults; here the epoch is the epoch, every produced block counts
(once, forks too), counters are kept for each node, and a node that was stopped is not initialized any more from the
moment at which it was, so that a wait after a restart can't be fooled by what was true before.
"""

from typing import Any, Self, final

import msgspec

from lucy_core.mina.events import (
    BlockGossip,
    BlockProduced,
    BootstrapRequired,
    BreadcrumbAdded,
    NodeInitialization,
    NodeOffline,
    PersistedFrontierDropped,
    PersistedFrontierFreshBoot,
    PersistedFrontierLoaded,
    SnarkWorkGossip,
    TransactionsGossip,
    TransactionStatus,
    TransitionFrontierDiffApplication,
    TransitionFrontierLoadedFromPersistence,
)
from lucy_core.records.journal import NodeExited, NodePaused, NodeResumed, NodeStarted, NodeStartFailed, NodeStopped
from lucy_core.records.record import Event


class NodeState(msgspec.Struct, frozen=True):
    """What is known of one node."""

    running: bool = False
    """Whether its process is there, paused or not."""
    paused: bool = False
    """Whether it is frozen."""
    died: str | None = None
    """How it ended by itself, if it did and hasn't been started since."""
    initialized: bool = False
    """Whether it left bootstrap since it was started last."""
    best_tip: str | None = None
    """The state hash of the block that it takes for the chain's end."""
    blocks_produced: int = 0
    """How many it has produced, forks included."""
    frontier_loaded: int = 0
    """How often a frontier was put in place."""
    frontier_loaded_from_persistence: int = 0
    """How often one that an earlier run left was looked at."""
    fresh_boots: int = 0
    """How often it began with an empty directory."""
    frontiers_dropped: int = 0
    """How often what was persisted was thrown away."""
    bootstraps_required: int = 0
    """How often what was persisted was too old."""


_COUNTERS = {
    PersistedFrontierLoaded: "frontier_loaded",
    TransitionFrontierLoadedFromPersistence: "frontier_loaded_from_persistence",
    PersistedFrontierFreshBoot: "fresh_boots",
    PersistedFrontierDropped: "frontiers_dropped",
    BootstrapRequired: "bootstraps_required",
}


@final
class MinaState:
    """The picture of a network at one place of its run."""

    __slots__ = (
        "block_height",
        "blocks_produced",
        "blocks_seen",
        "epoch",
        "global_slot",
        "gossip_received",
        "inclusions",
        "nodes",
        "producers",
        "snarked_ledgers_generated",
    )

    def __init__(self) -> None:
        self.nodes: dict[str, NodeState] = {}
        """What is known of each node, by name."""
        self.block_height = 0
        """The greatest height of any produced block."""
        self.epoch = 0
        """The greatest of any produced block."""
        self.global_slot = 0
        """The greatest of any produced block."""
        self.blocks_produced: dict[str, BlockProduced] = {}
        """Every block that was produced, by state hash."""
        self.producers: frozenset[str] = frozenset()
        """Nodes that have produced a block."""
        self.snarked_ledgers_generated = 0
        """How many blocks came with a proof of the ledger."""
        self.blocks_seen: dict[str, frozenset[str]] = {}
        """By node: the blocks that it added to its frontier."""
        self.inclusions: dict[str, dict[str, TransactionStatus]] = {}
        """By transaction hash: the blocks that hold it, and what became of it there."""
        self.gossip_received: dict[str, dict[str, frozenset[object]]] = {}
        """By kind (`blocks`, `snark_work`, `transactions`) and node: what it received."""

    def copy(self) -> Self:
        twin = type(self)()
        twin.nodes = dict(self.nodes)
        twin.block_height, twin.epoch, twin.global_slot = self.block_height, self.epoch, self.global_slot
        twin.blocks_produced = dict(self.blocks_produced)
        twin.producers = self.producers
        twin.snarked_ledgers_generated = self.snarked_ledgers_generated
        twin.blocks_seen = dict(self.blocks_seen)
        twin.inclusions = {key: dict(blocks) for key, blocks in self.inclusions.items()}
        twin.gossip_received = {kind: dict(by_node) for kind, by_node in self.gossip_received.items()}
        return twin

    def node(self, name: str) -> NodeState:
        """Return what is known of a node; of one that was never heard of, nothing."""
        return self.nodes.get(name, NodeState())

    def height_of(self, state_hash: str | None) -> int | None:
        """Return a block's height, where its production was seen."""
        block = self.blocks_produced.get(state_hash) if state_hash is not None else None
        return block.block_height if block is not None else None

    def running(self) -> list[str]:
        return [name for name, node in self.nodes.items() if node.running]

    def acting(self) -> list[str]:
        """List the nodes that run and aren't paused: only these can do anything."""
        return [name for name, node in self.nodes.items() if node.running and not node.paused]

    def paused(self) -> list[str]:
        return [name for name, node in self.nodes.items() if node.running and node.paused]

    def _change(self, name: str, **fields: Any) -> None:  # NodeState's own fields
        self.nodes[name] = msgspec.structs.replace(self.node(name), **fields)

    def apply(self, event: Event[Any]) -> None:
        """Take one event in; an event that says nothing about the picture changes nothing."""
        name, data = event.node, event.data
        match data:
            case NodeStarted():
                self._change(data.node, running=True, paused=False, died=None, initialized=False, best_tip=None)
            case NodeStopped() | NodeStartFailed():
                self._change(data.node, running=False, paused=False, initialized=False, best_tip=None)
            case NodeExited():
                how = None if data.expected else data.how
                self._change(data.node, running=False, paused=False, died=how, initialized=False, best_tip=None)
            case NodePaused():
                self._change(data.node, paused=True)
            case NodeResumed():
                self._change(data.node, paused=False)
            case NodeInitialization():
                self._change(name, initialized=True)
            case NodeOffline():
                self._change(name, initialized=False, best_tip=None)
            case TransitionFrontierDiffApplication():
                if data.best_tip_changed is not None:
                    self._change(name, best_tip=data.best_tip_changed)
            case BlockProduced():
                self._produced(name, data)
            case BreadcrumbAdded():
                self.blocks_seen[name] = self.blocks_seen.get(name, frozenset()) | {data.state_hash}
                for transaction in data.transactions:
                    self.inclusions.setdefault(transaction.hash, {})[data.state_hash] = transaction
            case BlockGossip():
                self._received("blocks", name, data.state_hash)
            case SnarkWorkGossip():
                self._received("snark_work", name, (str(data.work.work_ids), data.work.fee, data.work.prover))
            case TransactionsGossip():
                self._received("transactions", name, data.fee_payers)
            case _:
                counter = _COUNTERS.get(type(data))
                if counter is not None:
                    self._change(name, **{counter: getattr(self.node(name), counter) + 1})

    def _produced(self, name: str, block: BlockProduced) -> None:
        if block.state_hash in self.blocks_produced:
            return
        self.blocks_produced[block.state_hash] = block
        self.block_height = max(self.block_height, block.block_height)
        self.epoch = max(self.epoch, block.epoch)
        self.global_slot = max(self.global_slot, block.global_slot)
        self.snarked_ledgers_generated += block.snarked_ledger_generated
        self.producers |= {name}
        self._change(name, blocks_produced=self.node(name).blocks_produced + 1)

    def _received(self, kind: str, name: str, item: object) -> None:
        by_node = self.gossip_received.setdefault(kind, {})
        by_node[name] = by_node.get(name, frozenset()) | {item}
