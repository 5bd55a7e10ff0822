"""The runtime config file (`-config-file`): the one input that all nodes of a network share.

Layout: mina `src/lib/runtime_config/runtime_config.ml`. Options that are absent take mainnet's values; keys that the
simulator has no use for (permissions, zkApps, cost limits, the windows of chain density) are accepted and ignored.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Self

import msgspec

from lucy_engines.simnode.chain import identifiers
from lucy_engines.simnode.chain.ledger import Account, Timing

NANOMINA = 1_000_000_000


class RuntimeConfigError(ValueError):
    """A runtime config can't be used: which file, what was found, what to do."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"runtime config {path}: {reason}")
        self.path = path
        self.reason = reason


def nanomina(amount: str | float) -> int:
    """Turn a decimal MINA amount into nanomina.

    Raises:
        ValueError: not a number, negative, or finer than a nanomina.
    """
    try:
        scaled = Decimal(str(amount)) * NANOMINA
        exact = scaled == scaled.to_integral_value()
    except InvalidOperation:
        exact = False
        scaled = Decimal(0)
    if not exact or scaled < 0:
        raise ValueError(f"{amount!r} is no amount of MINA; write it like '12.5'")
    return int(scaled)


class _Genesis(msgspec.Struct, frozen=True):
    k: int = 290
    slots_per_epoch: int = 7140
    genesis_state_timestamp: str = "2024-06-05 00:00:00Z"


class _Capacity(msgspec.Struct, frozen=True, rename={"log_2": "2_to_the"}):
    log_2: int | None = None
    txns_per_second_x10: int | None = None


class _Fork(msgspec.Struct, frozen=True):
    blockchain_length: int = 0
    global_slot_since_genesis: int = 0


class _Proof(msgspec.Struct, frozen=True):
    work_delay: int = 2
    block_window_duration_ms: int = 180_000
    transaction_capacity: _Capacity = _Capacity(log_2=7)
    coinbase_amount: str | float = "720"
    account_creation_fee: str | float = "1"
    fork: _Fork | None = None


class _Timing(msgspec.Struct, frozen=True):
    initial_minimum_balance: str | float = "0"
    cliff_time: int | str = 0
    cliff_amount: str | float = "0"
    vesting_period: int | str = 1
    vesting_increment: str | float = "0"

    def decoded(self) -> Timing:
        return Timing(
            initial_minimum=nanomina(self.initial_minimum_balance),
            cliff_slot=int(self.cliff_time),
            cliff_amount=nanomina(self.cliff_amount),
            vesting_period=max(1, int(self.vesting_period)),
            vesting_increment=nanomina(self.vesting_increment),
        )


class _Account(msgspec.Struct, frozen=True):
    pk: str
    balance: str | float
    sk: str | None = None
    delegate: str | None = None
    nonce: int | str = 0
    timing: _Timing | None = None

    def decoded(self) -> Account:
        return Account(
            balance=nanomina(self.balance),
            nonce=int(self.nonce),
            delegate=self.delegate or self.pk,
            timing=self.timing.decoded() if self.timing else None,
        )


class _Ledger(msgspec.Struct, frozen=True):
    accounts: tuple[_Account, ...] = ()


class _Epoch(msgspec.Struct, frozen=True):
    accounts: tuple[_Account, ...] = ()
    seed: str = ""


class _EpochData(msgspec.Struct, frozen=True):
    staking: _Epoch | None = None
    next: _Epoch | None = None


class _Daemon(msgspec.Struct, frozen=True):
    txpool_max_size: int = 3000
    slot_tx_end: int | None = None
    slot_chain_end: int | None = None
    network_id: str | None = None


class _File(msgspec.Struct, frozen=True):
    daemon: _Daemon = _Daemon()
    genesis: _Genesis = _Genesis()
    proof: _Proof = _Proof()
    ledger: _Ledger = _Ledger()
    epoch_data: _EpochData | None = None


class RuntimeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the nodes of one network agree on before they meet."""

    chain_id: str
    """Hash of the file's bytes: nodes with different files refuse each other."""
    identity: str
    """Hash of everything but the genesis time: two runs of one network share it, so seeded runs repeat."""
    k: int
    slots_per_epoch: int
    genesis_ms: int
    window_ms: int
    transaction_capacity: int
    blocks_per_proof: int
    """How many blocks apart ledger proofs come out: (work_delay + 1) · (log2 capacity + 1) + 1."""
    coinbase: int
    account_creation_fee: int
    fork_height: int
    fork_slot: int
    network_id: str
    txpool_max_size: int
    slot_tx_end: int | None
    slot_chain_end: int | None
    accounts: dict[str, Account]
    secrets: dict[str, str]
    """Public key by private key, for the accounts whose private key the file holds."""
    staking_accounts: dict[str, Account]
    next_accounts: dict[str, Account]

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Self:
        """Read config files; of two files the later one wins, key by key.

        Raises:
            RuntimeConfigError: a file is missing, unreadable, no JSON, or holds impossible values.
        """
        texts: list[bytes] = []
        merged: dict[str, Any] = {}
        for path in paths:
            try:
                text = path.read_bytes()
                part = msgspec.json.decode(text, type=dict[str, dict[str, Any]])
            except OSError as error:
                raise RuntimeConfigError(path, f"can't be read ({error.strerror})") from error
            except msgspec.DecodeError as error:
                raise RuntimeConfigError(path, f"is not a runtime config ({error})") from error
            texts.append(text)
            for key, section in part.items():
                merged[key] = {**merged.get(key, {}), **section}
        return cls.decode(merged, chain_id=hashlib.sha256(b"".join(texts)).hexdigest(), path=paths[-1])

    @classmethod
    def decode(cls, content: dict[str, Any], *, chain_id: str, path: Path = Path("<memory>")) -> Self:
        """Check and interpret a config's content.

        Raises:
            RuntimeConfigError: the content holds impossible values.
        """
        try:
            file = msgspec.convert(content, _File, strict=False)
            genesis, proof = file.genesis, file.proof
            genesis_time = _parse_time(genesis.genesis_state_timestamp)
            log_2 = _capacity_log_2(proof)
            accounts = {account.pk: account.decoded() for account in file.ledger.accounts}
            staking = file.epoch_data.staking if file.epoch_data else None
            following = (file.epoch_data.next if file.epoch_data else None) or staking
            positive = {
                "genesis.k": genesis.k,
                "genesis.slots_per_epoch": genesis.slots_per_epoch,
                "proof.block_window_duration_ms": proof.block_window_duration_ms,
            }
            for name, number in positive.items():
                if number < 1:
                    message = f"{name} is {number}; it must be 1 or more"
                    raise ValueError(message)  # noqa: TRY301  # all faults of the file take one way out
            return cls(
                chain_id=chain_id,
                identity=_identity(content),
                k=genesis.k,
                slots_per_epoch=genesis.slots_per_epoch,
                genesis_ms=round(genesis_time.timestamp() * 1000),
                window_ms=proof.block_window_duration_ms,
                transaction_capacity=2**log_2,
                blocks_per_proof=(proof.work_delay + 1) * (log_2 + 1) + 1,
                coinbase=nanomina(proof.coinbase_amount),
                account_creation_fee=nanomina(proof.account_creation_fee),
                fork_height=proof.fork.blockchain_length if proof.fork else 0,
                fork_slot=proof.fork.global_slot_since_genesis if proof.fork else 0,
                network_id=file.daemon.network_id or "testnet",
                txpool_max_size=file.daemon.txpool_max_size,
                slot_tx_end=file.daemon.slot_tx_end,
                slot_chain_end=file.daemon.slot_chain_end,
                accounts=accounts,
                secrets={account.sk: account.pk for account in file.ledger.accounts if account.sk},
                staking_accounts=_epoch_accounts(staking) or accounts,
                next_accounts=_epoch_accounts(following) or accounts,
            )
        except (ValueError, msgspec.ValidationError) as error:
            raise RuntimeConfigError(path, str(error)) from error

    def slot_at(self, now_ms: float) -> int:
        """Count the slots since genesis; negative before it."""
        return int((now_ms - self.genesis_ms) // self.window_ms)

    def slot_start_ms(self, slot: int) -> int:
        """Tell when a slot begins, in Unix milliseconds."""
        return self.genesis_ms + slot * self.window_ms

    def genesis_hash(self, seed: str) -> str:
        """Name the block that everything grows from."""
        return identifiers.state_hash(f"genesis {self.identity} {seed}".encode())


def _identity(content: dict[str, Any]) -> str:
    genesis = {key: value for key, value in content.get("genesis", {}).items() if key != "genesis_state_timestamp"}
    return hashlib.sha256(msgspec.json.encode({**content, "genesis": genesis}, order="sorted")).hexdigest()


def _parse_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _capacity_log_2(proof: _Proof) -> int:
    """Mina's rule: 1 + ceil(log2(tps · window + 2)) for a goal in transactions per second."""
    capacity = proof.transaction_capacity
    if capacity.log_2 is not None:
        return capacity.log_2
    goal = (capacity.txns_per_second_x10 or 0) * proof.block_window_duration_ms / 10_000 + 2
    return 1 + (int(goal) - (goal == int(goal))).bit_length()


def _epoch_accounts(epoch: _Epoch | None) -> dict[str, Account]:
    return {account.pk: account.decoded() for account in epoch.accounts} if epoch else {}
