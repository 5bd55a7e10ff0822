"""The parts that a Mina network is described with."""

import msgspec


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How an account's balance is released. Amounts are decimal MINA, times are slots, as text."""

    initial_minimum_balance: str
    cliff_time: str
    cliff_amount: str
    vesting_period: str
    vesting_increment: str


class Account(msgspec.Struct, frozen=True):
    """An account of the genesis ledger. Its keys are Lucy's business."""

    name: str
    balance: str
    """Decimal MINA."""
    delegate: str | None = None
    """The name of the account that it delegates to."""
    timing: Timing | None = None


class BlockProducer(msgspec.Struct, frozen=True):
    """A node that produces blocks with an account's stake."""

    name: str
    account: str
    image: str | None = None
    environment: dict[str, str] = {}


class SnarkCoordinator(msgspec.Struct, frozen=True):
    """A node that hands out proving work, and its workers."""

    name: str
    account: str
    workers: int = 1
    fee: str = "0.025"


class Constants(msgspec.Struct, frozen=True, kw_only=True):
    """Protocol constants. The defaults are those of Mina's integration tests, but for the slots' length."""

    slot_seconds: float = 1.0
    k: int = 20
    delta: int = 0
    slots_per_epoch: int = 480
    slots_per_sub_window: int = 2
    grace_period_slots: int = 140
    txpool_max_size: int = 3000
    work_delay: int = 1
    transaction_capacity_log_2: int = 3
    proof_level: str = "none"
    network_id: str | None = None
