"""The parts that a Mina network is described with."""

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from lucy_core.arguments import (
    Rule,
    count_of,
    fit,
    instance_of,
    number_of,
    optional,
    readable_text,
    whole,
)
from lucy_core.engine.spec import NODE_RULES, VARIABLES
from lucy_core.errors import TopologyError, shown


class _Part(msgspec.Struct, frozen=True):
    """A part of a topology: its fields are held against its rules when it is written down."""

    rules: ClassVar[Mapping[str, Rule]] = {}

    def __post_init__(self) -> None:
        """Refuse what is of no use in a field. Raises TopologyError."""
        what = f"{type(self).__name__} {shown(getattr(self, 'name', ''))}".removesuffix(" ''")
        fit(self, self.rules, lambda reason: TopologyError(what, f": {reason}"))


class Timing(_Part, frozen=True, kw_only=True):
    """How an account's balance is released. Amounts are decimal MINA, times are slots, as text."""

    initial_minimum_balance: str
    cliff_time: str
    cliff_amount: str
    vesting_period: str
    vesting_increment: str

    rules: ClassVar[Mapping[str, Rule]] = dict.fromkeys(
        ("initial_minimum_balance", "cliff_time", "cliff_amount", "vesting_period", "vesting_increment"), readable_text
    )


class Account(_Part, frozen=True):
    """An account of the genesis ledger. Its keys are Lucy's business."""

    name: str
    balance: str
    """Decimal MINA."""
    delegate: str | None = None
    """The name of the account that it delegates to."""
    timing: Timing | None = None

    rules: ClassVar[Mapping[str, Rule]] = {
        "name": readable_text,
        "balance": readable_text,
        "delegate": optional(readable_text),
        "timing": optional(instance_of(Timing, "Timing(…)")),
    }


class BlockProducer(_Part, frozen=True):
    """A node that produces blocks with an account's stake."""

    name: str
    account: str
    image: str | None = None
    environment: dict[str, str] = {}
    harmless: tuple[str, ...] = ()
    """Variables of these whose values may be shown, as `NodeSpec.harmless` has it."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "name": readable_text,
        "account": readable_text,
        "image": optional(readable_text),
        "environment": VARIABLES,
        "harmless": NODE_RULES["harmless"],
    }


class SnarkCoordinator(_Part, frozen=True):
    """A node that hands out proving work, and its workers."""

    name: str
    account: str
    workers: int = 1
    fee: str = "0.025"

    rules: ClassVar[Mapping[str, Rule]] = {
        "name": readable_text,
        "account": readable_text,
        "workers": count_of,
        "fee": readable_text,
    }


class Constants(_Part, frozen=True, kw_only=True):
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

    rules: ClassVar[Mapping[str, Rule]] = {
        "slot_seconds": number_of,
        **dict.fromkeys(("k", "delta", "slots_per_epoch", "slots_per_sub_window", "grace_period_slots"), whole),
        **dict.fromkeys(("txpool_max_size", "work_delay", "transaction_capacity_log_2"), whole),
        "proof_level": readable_text,
        "network_id": optional(readable_text),
    }
