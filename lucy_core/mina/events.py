"""Mina's structured events, as its daemons log them.

An id is the MD5 of the source file's path and the constructor's name, so a file that moves changes its events' ids:
each type lists every id that it has had, and takes its message template for lines whose id nobody knows yet. Payloads
accept every form that daemons since 2020 have written. Source of ids, templates and shapes: Mina's
`structured_log_events.ml`, `event_type.ml` and the files named in the ids' comments.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from lucy_core.records.event import event
from lucy_core.records.record import Record

T = TypeVar("T")


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Not strict: Mina writes a number as JSON integer or as decimal digits in a string, as it pleases."""
    return msgspec.json.Decoder(kind, strict=False)


def _metadata(record: Record) -> msgspec.Raw | bytes:
    """Return the variables of a line as JSON, whatever its format."""
    payload = record.payload
    return msgspec.json.encode(record.fields) if payload is None else payload


class _Slot(msgspec.Struct):
    slot_number: int


class _ConsensusState(msgspec.Struct):
    blockchain_length: int
    epoch_count: int
    curr_global_slot_since_hard_fork: _Slot | None = None
    curr_global_slot: _Slot | None = None
    global_slot_since_genesis: int | None = None
    block_creator: str | None = None
    coinbase_receiver: str | None = None


class _Body(msgspec.Struct):
    consensus_state: _ConsensusState


class _ProtocolState(msgspec.Struct):
    body: _Body
    previous_state_hash: str | None = None


class _Data(msgspec.Struct):
    protocol_state: _ProtocolState


class _Hash(msgspec.Struct):
    state_hash: str


class _Transition(msgspec.Struct):
    data: _Data
    hash: _Hash | str


class _Breadcrumb(msgspec.Struct):
    validated_transition: _Transition
    just_emitted_a_proof: bool = False


class _BlockProduced(msgspec.Struct):
    breadcrumb: _Breadcrumb


_decode_block = _decoder(_BlockProduced).decode


def _block_produced(record: Record) -> "BlockProduced":
    breadcrumb = _decode_block(_metadata(record)).breadcrumb
    transition = breadcrumb.validated_transition
    state = transition.data.protocol_state
    consensus = state.body.consensus_state
    slot = consensus.curr_global_slot_since_hard_fork or consensus.curr_global_slot
    if slot is None:
        raise ValueError("neither curr_global_slot_since_hard_fork nor curr_global_slot is there")
    return BlockProduced(
        state_hash=transition.hash if isinstance(transition.hash, str) else transition.hash.state_hash,
        previous_state_hash=state.previous_state_hash,
        block_height=consensus.blockchain_length,
        global_slot=slot.slot_number,
        epoch=consensus.epoch_count,
        snarked_ledger_generated=breadcrumb.just_emitted_a_proof,
        creator=consensus.block_creator,
    )


@event(
    ids="64e2d3e86c37c09b15efdaf7470ce879",  # src/lib/block_producer/block_producer.ml.Block_produced
    message="Successfully produced a new block",
    message_needs_id=True,
    decode=_block_produced,
)
class BlockProduced(msgspec.Struct, frozen=True, kw_only=True):
    """A block producer made a block and added it to its own frontier."""

    state_hash: str
    """What the block is known by."""
    previous_state_hash: str | None = None
    """Its parent's; None where the line doesn't say."""
    block_height: int
    """The length of its chain."""
    global_slot: int
    """Slots since the last hard fork."""
    epoch: int
    """In which it was produced."""
    snarked_ledger_generated: bool = False
    """Whether a proof of the ledger came out with it."""
    creator: str | None = None
    """The producer's public key; None where the line doesn't say."""


@event(
    ids="21ccae8c619bc2666474085272d5fe1d",  # src/lib/transition_router/transition_router.ml.…
    message="Starting transition frontier controller phase",
    message_needs_id=True,
)
class NodeInitialization(msgspec.Struct, frozen=True):
    """The daemon left bootstrap: it takes part from now on. Recurs each time that it does."""


@event(fields={"puppeteer_event_type": "node_offline"})
class NodeOffline(msgspec.Struct, frozen=True):
    """The supervisor in a container has stopped the daemon."""


class RootTransition(msgspec.Struct, frozen=True):
    """The frontier's root moved on, and what that left behind."""

    new_root: str
    """The state hash of the new root."""
    garbage: tuple[str, ...] = ()
    """State hashes of the blocks that were left behind."""


class _Diffs(msgspec.Struct):
    diffs: list[dict[str, msgspec.Raw]]


_decode_diffs = _decoder(_Diffs).decode
_decode_text = _decoder(str).decode
_decode_root = _decoder(RootTransition).decode


def _diff_application(record: Record) -> "TransitionFrontierDiffApplication":
    found: dict[str, Any] = {}
    names = {"New_node": "new_node", "Best_tip_changed": "best_tip_changed", "Root_transitioned": "root_transitioned"}
    for diff in _decode_diffs(_metadata(record)).diffs:
        if len(diff) != 1:
            raise ValueError(f"a diff has one name, this has {len(diff)}: {', '.join(diff)}")
        ((name, value),) = diff.items()
        if name not in names or names[name] in found:
            raise ValueError(f"diff {name!r} is unknown, or there twice")
        found[names[name]] = _decode_root(value) if name == "Root_transitioned" else _decode_text(value)
    return TransitionFrontierDiffApplication(**found)


@event(
    ids="ef1182dc30f3e0aa9f6bf11c0ab90ba6",  # src/lib/transition_frontier/transition_frontier.ml.Applying_diffs
    message="Applying diffs: $diffs",
    message_needs_id=True,
    decode=_diff_application,
)
class TransitionFrontierDiffApplication(msgspec.Struct, frozen=True, kw_only=True):
    """A node changed its frontier: a new block, a new best tip, a new root."""

    new_node: str | None = None
    """The state hash of the block that was added, where one was."""
    best_tip_changed: str | None = None
    """The state hash of the new best tip, where it changed."""
    root_transitioned: RootTransition | None = None
    """What became of the root, where it moved."""


class TransactionStatus(msgspec.Struct, frozen=True):
    """A transaction of a block, and what became of it."""

    hash: str
    """What the transaction is known by."""
    applied: bool
    """Whether it took effect."""
    failures: tuple[str, ...] = ()
    """Why it didn't, by the names of the failures."""


class _Command(msgspec.Struct):
    data: str
    status: list[Any]


class _Added(msgspec.Struct):
    state_hash: str
    user_commands: list[_Command]


_decode_added = _decoder(_Added).decode


def _failure_names(nested: Any) -> list[str]:  # lists of lists of ["Name"] or ["Name", index]
    if isinstance(nested, list) and nested and isinstance(nested[0], str):
        return [nested[0]]
    return [name for part in nested for name in _failure_names(part)] if isinstance(nested, list) else []


def _breadcrumb_added(record: Record) -> "BreadcrumbAdded":
    added = _decode_added(_metadata(record))
    statuses = []
    for command in added.user_commands:
        match command.status:
            case ["Applied", *_]:
                statuses.append(TransactionStatus(command.data, applied=True))
            case ["Failed", failures]:
                statuses.append(TransactionStatus(command.data, False, tuple(_failure_names(failures))))
            case other:
                raise ValueError(f"status {other!r} is neither Applied nor Failed")
    return BreadcrumbAdded(added.state_hash, tuple(statuses))


@event(
    ids="db06cb5030f39e86e84b30d033f3bc5c",  # …/transition_frontier.ml.Added_breadcrumb_user_commands
    message="Added_breadcrumb_user_commands",
    message_needs_id=True,
    decode=_breadcrumb_added,
)
class BreadcrumbAdded(msgspec.Struct, frozen=True):
    """A node added a block to its frontier; in the block's own order, with the fate of each transaction."""

    state_hash: str
    """Of the block."""
    transactions: tuple[TransactionStatus, ...] = ()
    """Its signed commands."""


class RemotePeer(msgspec.Struct, frozen=True):
    """Who sent something over the network."""

    host: str
    """Its address."""
    peer_id: str
    """What it is known by."""
    libp2p_port: int
    """Where it listens."""


class _Remote(msgspec.Struct):
    remote: RemotePeer = msgspec.field(name="Remote")


class _Gossip(msgspec.Struct):
    sender: _Remote | str = "Local"


G = TypeVar("G", bound=_Gossip)


def _gossip(kind: type[G], make: Callable[[G, RemotePeer | None], T]) -> Callable[[Record], T]:
    decode = _decoder(kind).decode

    def read(record: Record) -> T:
        gossip = decode(_metadata(record))
        return make(gossip, None if isinstance(gossip.sender, str) else gossip.sender.remote)

    return read


class _BlockGossip(_Gossip, kw_only=True):
    state_hash: str


@event(
    ids=(
        "60076de624bf0c5fc0843b875001cf84",  # src/lib/transition_handler/block_sink.ml.Block_received
        "b7fa8b10ff17b32b1aa2e2ef508ba811",  # src/lib/mina_networking/mina_networking.ml (until 2022-03)
        "586638300e6d186ec71e4cf1e1808a1b",  # src/lib/coda_networking/coda_networking.ml (2020)
    ),
    message="Received a block from $sender",
    message_needs_id=True,
    decode=_gossip(_BlockGossip, lambda gossip, sender: BlockGossip(gossip.state_hash, sender)),
)
class BlockGossip(msgspec.Struct, frozen=True):
    """A node received a block."""

    state_hash: str
    """Of the block."""
    sender: RemotePeer | None = None
    """None for the node itself."""


class SnarkWork(msgspec.Struct, frozen=True):
    """A piece of proving work: which, for how much, by whom. `fee` is text as Mina writes it."""

    work_ids: tuple[Any, ...]
    """Of one piece or of two."""
    fee: str
    """In MINA, as text."""
    prover: str
    """The public key that is paid."""


class _WorkGossip(_Gossip, kw_only=True):
    work: SnarkWork


@event(
    ids=(
        "27953f46376ba8abc0c61400e2c38f8b",  # src/lib/network_pool/snark_pool_diff.ml.Make.Snark_work_received
        "5abd52461e14696da93c8cb12aa20d7e",  # src/lib/mina_networking/mina_networking.ml (until 2022-03)
        "52bf201134af34b30739d57786df2b65",  # src/lib/coda_networking/coda_networking.ml (2020)
    ),
    message="Received Snark-pool diff $work from $sender",
    message_needs_id=True,
    decode=_gossip(_WorkGossip, lambda gossip, sender: SnarkWorkGossip(gossip.work, sender)),
)
class SnarkWorkGossip(msgspec.Struct, frozen=True):
    """A node received proving work for its pool."""

    work: SnarkWork
    """What was received."""
    sender: RemotePeer | None = None
    """None for the node itself."""


class _TransactionsGossip(_Gossip, kw_only=True):
    fee_payer_summaries: list[tuple[str, str, int]] | None = None
    txns: msgspec.Raw = msgspec.Raw()


def _transactions(gossip: _TransactionsGossip, sender: RemotePeer | None) -> "TransactionsGossip":
    if gossip.fee_payer_summaries is None and not bytes(gossip.txns):
        raise ValueError("neither fee_payer_summaries nor txns is there")
    summaries = tuple(FeePayerSummary(*each) for each in gossip.fee_payer_summaries or ())
    return TransactionsGossip(summaries, sender)


class FeePayerSummary(msgspec.Struct, frozen=True):
    """Who pays for a transaction: signature, public key, nonce."""

    signature: str
    """The transaction's."""
    public_key: str
    """The fee payer's."""
    nonce: int
    """The fee payer's."""


@event(
    ids=(
        "b4b5f5b1d1a0c457cbd13a35d1c8b57b",  # …/transaction_pool.ml.Make0.Resource_pool.Diff.Transactions_received
        "83ce0117c702f9427f51e8dcfa89ee58",  # src/lib/mina_networking/mina_networking.ml (until 2022-03)
        "5858c962c699b8a169d1457e8b59779b",  # src/lib/coda_networking/coda_networking.ml (2020)
    ),
    message="Received transaction-pool $fee_payer_summaries from $sender",
    message_needs_id=True,
    decode=_gossip(_TransactionsGossip, _transactions),
)
class TransactionsGossip(msgspec.Struct, frozen=True):
    """A node received transactions for its pool. Before 2023-09 daemons named no fee payers here."""

    fee_payers: tuple[FeePayerSummary, ...] = ()
    """One for each transaction."""
    sender: RemotePeer | None = None
    """None for the node itself."""


@event(
    ids=(
        "0fc65f5594c5e9ee0b6f0ddde747c758",  # src/lib/snark_worker/snark_worker.ml.Worker.… (2022 to 2024)
        "b7aa566605a5380907caba07282b7a44",  # src/lib/snark_worker/events.ml.… (since 2025)
        "4e08acabe9a1fc6a732b8507c01ddf75",  # src/lib/snark_worker/snark_worker.ml.… (2022, without payload)
    ),
    message="Failed to generate SNARK work: $error",
    message_needs_id=True,
)
class SnarkWorkFailed(msgspec.Struct, frozen=True):
    """A coordinator heard from a worker that a proof failed."""

    error: Any = None
    """As the worker writes it."""


@event(
    ids="b5a89d6d616a35fb6f73d1eaad6b2dbd",
    message="Transition_frontier_loaded_from_persistence",
    message_needs_id=True,
)
class TransitionFrontierLoadedFromPersistence(msgspec.Struct, frozen=True):
    """The frontier that an earlier run of the daemon left was looked at and taken, or given up."""


@event(
    ids="1c4150aa7058a3058c4d20ae90ff7ec3",
    message="Persisted_frontier_loaded",
    message_needs_id=True,
)
class PersistedFrontierLoaded(msgspec.Struct, frozen=True):
    """A frontier is in place, an old one or a fresh one."""


@event(
    ids="f7254e63ad51092a0bd3078580ef9ce3",
    message="Persistent frontier database does not exist",
    message_needs_id=True,
)
class PersistedFrontierFreshBoot(msgspec.Struct, frozen=True):
    """The daemon began with an empty directory."""


@event(
    ids="74a81f1e2f8d548e4550faa136c68160",
    message="Persistent frontier dropped",
    message_needs_id=True,
)
class PersistedFrontierDropped(msgspec.Struct, frozen=True):
    """What was persisted was thrown away."""


@event(
    ids="30fe76cee159ea215fc05549e861501e",
    message="Bootstrap required",
    message_needs_id=True,
)
class BootstrapRequired(msgspec.Struct, frozen=True):
    """What was persisted is too old to catch up from."""


@event(
    ids="71ffcadd30ac8580104bbbccd7fb6b07",
    message="Starting bootstrap controller phase",
    message_needs_id=True,
)
class BootstrapStarted(msgspec.Struct, frozen=True):
    """The daemon fetches a root from its peers."""


@event(
    ids="10211dce99574d1627cf3c577abeaef8",
    message="Bootstrap state: complete.",
    message_needs_id=True,
)
class BootstrapComplete(msgspec.Struct, frozen=True):
    """The daemon has a root."""


@event(
    ids="cb082b7eafe2a7ca2c6c1acba6664251",
    message="Mina daemon is synced",
    message_needs_id=True,
)
class Synced(msgspec.Struct, frozen=True):
    """The daemon thinks that it is at the chain's end."""


@event(ids="e5cd93b1ece597eaf4543e554e7e65d1")
class CommandRejected(msgspec.Struct, frozen=True):
    """A pool refused a transaction."""

    command: Any = None
    """As the pool writes it."""
    error: Any = None
    """As the pool writes it."""


STATE_EVENTS: tuple[type, ...] = (
    NodeInitialization,
    NodeOffline,
    TransitionFrontierDiffApplication,
    BlockProduced,
    BreadcrumbAdded,
    BlockGossip,
    SnarkWorkGossip,
    TransactionsGossip,
    TransitionFrontierLoadedFromPersistence,
    PersistedFrontierLoaded,
    PersistedFrontierFreshBoot,
    PersistedFrontierDropped,
    BootstrapRequired,
)
"""What the network state is folded from."""
