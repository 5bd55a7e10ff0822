"""The runtime configuration: the JSON file that all daemons of a network share. Layout: Mina's `runtime_config.ml`."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from lucy_core.mina.topology_parts import Account, Constants


def runtime_config(
    accounts: tuple[Account, ...], public_keys: dict[str, str], constants: Constants, genesis_time: float
) -> bytes:
    """Write the runtime configuration of a network.

    Args:
        accounts: in the order in which they stand in the ledger.
        public_keys: by account name.
        constants: protocol constants; what is None is left to the daemon.
        genesis_time: seconds since the epoch.
    """
    stamp = datetime.fromtimestamp(genesis_time, UTC).strftime("%Y-%m-%d %H:%M:%S.%fZ")
    content: dict[str, Any] = {
        "daemon": {"txpool_max_size": constants.txpool_max_size},
        "genesis": {
            "k": constants.k,
            "delta": constants.delta,
            "slots_per_epoch": constants.slots_per_epoch,
            "slots_per_sub_window": constants.slots_per_sub_window,
            "grace_period_slots": constants.grace_period_slots,
            "genesis_state_timestamp": stamp,
        },
        "proof": {
            "level": constants.proof_level,
            "block_window_duration_ms": round(constants.slot_seconds * 1000),
            "work_delay": constants.work_delay,
            "transaction_capacity": {"2_to_the": constants.transaction_capacity_log_2},
        },
        "ledger": {"accounts": [_account(account, public_keys) for account in accounts]},
    }
    if constants.network_id is not None:
        content["daemon"]["network_id"] = constants.network_id
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def _account(account: Account, public_keys: dict[str, str]) -> dict[str, Any]:
    entry: dict[str, Any] = {"pk": public_keys[account.name], "balance": account.balance}
    if account.delegate is not None:
        entry["delegate"] = public_keys[account.delegate]
    if account.timing is not None:
        entry["timing"] = msgspec.to_builtins(account.timing)
    return entry
