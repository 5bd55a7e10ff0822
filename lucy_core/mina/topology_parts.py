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
    """What is held back at genesis."""
    cliff_time: str
    """When the first part is released."""
    cliff_amount: str
    """What is released at the cliff."""
    vesting_period: str
    """How often something is released after the cliff."""
    vesting_increment: str
    """What is released each period after the cliff."""

    rules: ClassVar[Mapping[str, Rule]] = dict.fromkeys(
        ("initial_minimum_balance", "cliff_time", "cliff_amount", "vesting_period", "vesting_increment"), readable_text
    )


class Account(_Part, frozen=True):
    """An account of the genesis ledger. Its keys are Lucy's business."""

    name: str
    """By which the topology's nodes name it."""
    balance: str
    """Decimal MINA."""
    delegate: str | None = None
    """The name of the account that it delegates to."""
    timing: Timing | None = None
    """How its balance is released; None for at once."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "name": readable_text,
        "balance": readable_text,
        "delegate": optional(readable_text),
        "timing": optional(instance_of(Timing, "Timing(…)")),
    }


class BlockProducer(_Part, frozen=True):
    """A node that produces blocks with an account's stake."""

    name: str
    """The node's."""
    account: str
    """The name of the account that stakes."""
    image: str | None = None
    """What engines that need one run it from; None for the run's default."""
    environment: dict[str, str] = {}
    """Variables of the daemon's."""
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
    """The node's."""
    account: str
    """The name of the account that is paid."""
    workers: int = 1
    """How many workers it has."""
    fee: str = "0.025"
    """For each piece of work, in decimal MINA."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "name": readable_text,
        "account": readable_text,
        "workers": count_of,
        "fee": readable_text,
    }


class Constants(_Part, frozen=True, kw_only=True):
    """Protocol constants. The defaults are those of Mina's integration tests, but for the slots' length."""

    slot_seconds: float = 1.0
    """The length of a slot."""
    k: int = 20
    """After how many blocks one is final."""
    delta: int = 0
    """How many slots late a block may come."""
    slots_per_epoch: int = 480
    """The length of an epoch."""
    slots_per_sub_window: int = 2
    """The step in which a chain's density is counted."""
    grace_period_slots: int = 140
    """For how long after genesis a chain's density doesn't count."""
    txpool_max_size: int = 3000
    """How many transactions a pool holds."""
    work_delay: int = 1
    """How many blocks proving work may take."""
    transaction_capacity_log_2: int = 3
    """How many transactions fit into a block, as a power of two."""
    proof_level: str = "none"
    """`full`, `check` or `none`."""
    network_id: str | None = None
    """What the network signs for; None for the daemon's own default."""

    rules: ClassVar[Mapping[str, Rule]] = {
        "slot_seconds": number_of,
        **dict.fromkeys(("k", "delta", "slots_per_epoch", "slots_per_sub_window", "grace_period_slots"), whole),
        **dict.fromkeys(("txpool_max_size", "work_delay", "transaction_capacity_log_2"), whole),
        "proof_level": readable_text,
        "network_id": optional(readable_text),
    }
