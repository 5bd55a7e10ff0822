"""Mina for Lucy: its events, state, conditions and configuration.

The GraphQL client is in `lucy_core.mina.graphql`, apart, since it imports gql and aiohttp.
"""

from lucy_core.mina.conditions import (
    block_height_growth as block_height_growth,
    blocks_produced as blocks_produced,
    nodes_initialized as nodes_initialized,
    nodes_synchronized as nodes_synchronized,
    persisted_frontier_loaded as persisted_frontier_loaded,
    signed_command_included as signed_command_included,
)
from lucy_core.mina.durations import epochs as epochs, slots as slots
from lucy_core.mina.events import (
    BlockGossip as BlockGossip,
    BlockProduced as BlockProduced,
    BootstrapComplete as BootstrapComplete,
    BootstrapRequired as BootstrapRequired,
    BootstrapStarted as BootstrapStarted,
    BreadcrumbAdded as BreadcrumbAdded,
    CommandRejected as CommandRejected,
    FeePayerSummary as FeePayerSummary,
    NodeInitialization as NodeInitialization,
    NodeOffline as NodeOffline,
    PersistedFrontierDropped as PersistedFrontierDropped,
    PersistedFrontierFreshBoot as PersistedFrontierFreshBoot,
    PersistedFrontierLoaded as PersistedFrontierLoaded,
    RemotePeer as RemotePeer,
    RootTransition as RootTransition,
    SnarkWork as SnarkWork,
    SnarkWorkFailed as SnarkWorkFailed,
    SnarkWorkGossip as SnarkWorkGossip,
    Synced as Synced,
    TransactionsGossip as TransactionsGossip,
    TransactionStatus as TransactionStatus,
    TransitionFrontierDiffApplication as TransitionFrontierDiffApplication,
    TransitionFrontierLoadedFromPersistence as TransitionFrontierLoadedFromPersistence,
)
from lucy_core.mina.state import MinaState as MinaState, NodeState as NodeState
from lucy_core.mina.topology import Topology as Topology, public_key as public_key
from lucy_core.mina.topology_parts import (
    Account as Account,
    BlockProducer as BlockProducer,
    Constants as Constants,
    SnarkCoordinator as SnarkCoordinator,
    Timing as Timing,
)
from lucy_core.mina.vocabulary import VOCABULARY as VOCABULARY, MinaVocabulary as MinaVocabulary
