"""Mina for Lucy: its events, state, conditions and configuration.

The GraphQL client is in `lucy_core.mina.graphql`, apart, since it imports gql and aiohttp.
"""

from lucy_core.mina.conditions import (
    block_height_growth,
    blocks_produced,
    nodes_initialized,
    nodes_synchronized,
    persisted_frontier_loaded,
    signed_command_included,
)
from lucy_core.mina.durations import epochs, slots
from lucy_core.mina.events import (
    BlockGossip,
    BlockProduced,
    BootstrapComplete,
    BootstrapRequired,
    BootstrapStarted,
    BreadcrumbAdded,
    CommandRejected,
    FeePayerSummary,
    NodeInitialization,
    NodeOffline,
    PersistedFrontierDropped,
    PersistedFrontierFreshBoot,
    PersistedFrontierLoaded,
    RemotePeer,
    RootTransition,
    SnarkWork,
    SnarkWorkFailed,
    SnarkWorkGossip,
    Synced,
    TransactionsGossip,
    TransactionStatus,
    TransitionFrontierDiffApplication,
    TransitionFrontierLoadedFromPersistence,
)
from lucy_core.mina.state import MinaState, NodeState
from lucy_core.mina.topology import Topology, public_key
from lucy_core.mina.topology_parts import Account, BlockProducer, Constants, SnarkCoordinator, Timing
from lucy_core.mina.vocabulary import VOCABULARY, MinaVocabulary

__all__ = [
    "VOCABULARY",
    "Account",
    "BlockGossip",
    "BlockProduced",
    "BlockProducer",
    "BootstrapComplete",
    "BootstrapRequired",
    "BootstrapStarted",
    "BreadcrumbAdded",
    "CommandRejected",
    "Constants",
    "FeePayerSummary",
    "MinaState",
    "MinaVocabulary",
    "NodeInitialization",
    "NodeOffline",
    "NodeState",
    "PersistedFrontierDropped",
    "PersistedFrontierFreshBoot",
    "PersistedFrontierLoaded",
    "RemotePeer",
    "RootTransition",
    "SnarkCoordinator",
    "SnarkWork",
    "SnarkWorkFailed",
    "SnarkWorkGossip",
    "Synced",
    "Timing",
    "Topology",
    "TransactionStatus",
    "TransactionsGossip",
    "TransitionFrontierDiffApplication",
    "TransitionFrontierLoadedFromPersistence",
    "block_height_growth",
    "blocks_produced",
    "epochs",
    "nodes_initialized",
    "nodes_synchronized",
    "persisted_frontier_loaded",
    "public_key",
    "signed_command_included",
    "slots",
]
