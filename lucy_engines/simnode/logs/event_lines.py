"""Mina's structured events as this daemon logs them: ids, levels, templates, sources and payload shapes.

Facts: mina's `structured_log_events.ml` and the files named in each source. The sources' lines and columns are made up.
"""

from typing import Any

import msgspec

from lucy_engines.simnode.chain.blocks import Block
from lucy_engines.simnode.chain.frontier import Applied
from lucy_engines.simnode.chain.ledger import Command


class Kind(msgspec.Struct, frozen=True):
    """What all lines of an event share."""

    event_id: str
    level: str
    message: str
    source: tuple[str, str]


def _source(module: str, path: str, line: int) -> tuple[str, str]:
    return module, f'File "src/lib/{path}", line {line}, characters 2-17'


_ROUTER = _source("Transition_router", "transition_router/transition_router.ml", 78)
_FRONTIER = _source("Transition_frontier", "transition_frontier/transition_frontier.ml", 428)
_MINA = _source("Mina_lib", "mina_lib/mina_lib.ml", 312)
_NETWORKING = _source("Mina_networking", "mina_networking/mina_networking.ml", 210)
_POOL = _source("Network_pool__Transaction_pool", "network_pool/transaction_pool.ml", 1423)

INITIALIZED = Kind("21ccae8c619bc2666474085272d5fe1d", "Info", "Starting transition frontier controller phase", _ROUTER)
BOOTSTRAP_STARTED = Kind("71ffcadd30ac8580104bbbccd7fb6b07", "Info", "Starting bootstrap controller phase", _ROUTER)
BOOTSTRAP_COMPLETE = Kind(
    "10211dce99574d1627cf3c577abeaef8",
    "Info",
    "Bootstrap state: complete.",
    _source("Bootstrap_controller", "bootstrap_controller/bootstrap_controller.ml", 640),
)
DIFFS = Kind("ef1182dc30f3e0aa9f6bf11c0ab90ba6", "Trace", "Applying diffs: $diffs", _FRONTIER)
ADDED = Kind("db06cb5030f39e86e84b30d033f3bc5c", "Trace", "Added_breadcrumb_user_commands", _FRONTIER)
LOADED = Kind("1c4150aa7058a3058c4d20ae90ff7ec3", "Trace", "Persisted_frontier_loaded", _FRONTIER)
LOADED_FROM_PERSISTENCE = Kind(
    "b5a89d6d616a35fb6f73d1eaad6b2dbd", "Trace", "Transition_frontier_loaded_from_persistence", _FRONTIER
)
FRESH_BOOT = Kind("f7254e63ad51092a0bd3078580ef9ce3", "Info", "Persistent frontier database does not exist", _FRONTIER)
DROPPED = Kind("74a81f1e2f8d548e4550faa136c68160", "Debug", "Persistent frontier dropped", _FRONTIER)
BOOTSTRAP_REQUIRED = Kind("30fe76cee159ea215fc05549e861501e", "Info", "Bootstrap required", _FRONTIER)
PRODUCED = Kind(
    "64e2d3e86c37c09b15efdaf7470ce879",
    "Info",
    "Successfully produced a new block",
    _source("Block_producer", "block_producer/block_producer.ml", 921),
)
RECEIVED = Kind(
    "60076de624bf0c5fc0843b875001cf84",
    "Info",
    "Received a block from $sender",
    _source("Transition_handler__Block_sink", "transition_handler/block_sink.ml", 111),
)
COMMANDS_RECEIVED = Kind(
    "b4b5f5b1d1a0c457cbd13a35d1c8b57b", "Debug", "Received transaction-pool $fee_payer_summaries from $sender", _POOL
)
WORK_RECEIVED = Kind(
    "27953f46376ba8abc0c61400e2c38f8b",
    "Debug",
    "Received Snark-pool diff $work from $sender",
    _source("Network_pool__Snark_pool_diff", "network_pool/snark_pool_diff.ml", 179),
)
GOSSIP_STATE = Kind("2b4f8c8d8bc40e51e2d032dc43c45742", "Trace", "Broadcasting new state over gossip net", _NETWORKING)
GOSSIP_COMMANDS = Kind(
    "208db11514876b6a344987a502d6884e",
    "Trace",
    "Broadcasting transaction pool diff $fee_payer_summaries over gossip net",
    _NETWORKING,
)
REBROADCAST = Kind("2ca90cb4875a68133de9952414d27519", "Info", "Rebroadcasting $state_hash", _MINA)
LISTENING = Kind("7be38951573bdc2778b4edb3eeb5dbe8", "Info", "Mina daemon is listening", _MINA)
BOOTSTRAPPING = Kind("caeba1d8ced251138e39c58355587526", "Info", "Mina daemon is bootstrapping", _MINA)
CATCHUP = Kind("846106e2fdb13f36d0a597e099dd5f4b", "Info", "Mina daemon is doing ledger catchup", _MINA)
SYNCED = Kind("cb082b7eafe2a7ca2c6c1acba6664251", "Info", "Mina daemon is synced", _MINA)
REJECTED = Kind("e5cd93b1ece597eaf4543e554e7e65d1", "Error", "Rejecting command: $error", _POOL)
NEW_TIP = Kind(
    "d5cd43b465d7dee8fa3413e5c7923698",
    "Debug",
    "Formed a new best tip",
    _source("Transition_frontier__Extensions__Best_tip_diff", "transition_frontier/extensions/best_tip_diff.ml", 88),
)


def remote(host: str, peer_id: str, port: int) -> dict[str, Any]:
    """A sender on the network."""
    return {"Remote": {"host": host, "peer_id": peer_id, "libp2p_port": port}}


def produced(block: Block, slots_per_epoch: int, now: str) -> dict[str, Any]:
    """Payload of `PRODUCED`: the breadcrumb, with the parts that logs make opaque."""
    consensus = {
        "blockchain_length": str(block.height),
        "epoch_count": str(block.epoch),
        "curr_global_slot_since_hard_fork": {
            "slot_number": str(block.slot),
            "slots_per_epoch": str(slots_per_epoch),
        },
        "global_slot_since_genesis": str(block.slot_since_genesis),
        "block_creator": block.creator,
        "coinbase_receiver": block.creator,
        "block_stake_winner": block.creator,
        "has_ancestor_in_same_checkpoint_window": True,
        "supercharge_coinbase": False,
    }
    state = {
        "previous_state_hash": block.previous,
        "body": {"blockchain_state": "<opaque>", "consensus_state": consensus},
    }
    return {
        "breadcrumb": {
            "validated_transition": {
                "data": {"protocol_state": state, "protocol_state_proof": "<opaque>"},
                "hash": {"state_hash": block.state_hash, "state_body_hash": block.body_hash},
            },
            "staged_ledger": "<opaque>",
            "just_emitted_a_proof": block.proof,
            "transition_receipt_time": now,
        }
    }


def added(block: Block) -> dict[str, Any]:
    """Payload of `ADDED`."""
    commands = [{"data": included.command.hash, "status": included.status()} for included in block.commands]
    return {"state_hash": block.state_hash, "user_commands": commands}


def diffs(applied: Applied) -> dict[str, Any]:
    """Payload of `DIFFS`: one entry a kind, as mina's decoders demand."""
    entries: list[dict[str, Any]] = [{"New_node": applied.block.state_hash}]
    if applied.root_transitions:
        garbage = [name for transition in applied.root_transitions for name in transition.garbage]
        last = applied.root_transitions[-1].new_root
        root = {"new_root": last.state_hash, "garbage": garbage, "just_emitted_a_proof": last.proof}
        entries.append({"Root_transitioned": root})
    if applied.best_tip_changed:
        entries.append({"Best_tip_changed": applied.block.state_hash})
    return {"diffs": entries}


def summaries(command: Command) -> list[list[Any]]:
    """Who pays for a command: signature, key, nonce."""
    return [["7mXSimulated" + command.hash[3:20], command.sender, command.nonce]]
