"""Accounts and what commands do to them: pure functions over immutable accounts.

The rules are Mina's for payments and delegations. A command whose fee payer is unknown, too poor for the fee, or at
another nonce can't be in a block at all. Any other command is included, pays its fee, uses up its nonce, and says
in its status whether it did more than that. Money is never lost: the balances, plus what account creation burnt,
minus coinbases, equal the genesis balances at every block.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from lucy_engines.simnode.chain import identifiers

APPLIED: tuple[str, ...] = ()
"""The status of a command without failures."""

UINT32_MAX = 2**32 - 1


class Timing(msgspec.Struct, frozen=True, gc=False):
    """A vesting schedule: what part of a balance may not move before which slot."""

    initial_minimum: int
    cliff_slot: int
    cliff_amount: int
    vesting_period: int
    vesting_increment: int

    def minimum_at(self, slot: int) -> int:
        if slot < self.cliff_slot:
            return self.initial_minimum
        periods = (slot - self.cliff_slot) // self.vesting_period
        return max(0, self.initial_minimum - self.cliff_amount - periods * self.vesting_increment)


class Account(msgspec.Struct, frozen=True):
    """One account in nanomina."""

    balance: int
    nonce: int
    delegate: str
    timing: Timing | None = None

    def liquid_at(self, slot: int) -> int:
        return self.balance - min(self.balance, self.timing.minimum_at(slot) if self.timing else 0)


class Command(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A payment or a delegation, as a user sends it."""

    kind: Literal["PAYMENT", "STAKE_DELEGATION"]
    sender: str
    receiver: str
    fee: int
    nonce: int
    amount: int = 0
    memo: str = ""
    valid_until: int = UINT32_MAX

    @property
    def hash(self) -> str:
        return identifiers.transaction_hash(msgspec.json.encode(self))


class Rules(msgspec.Struct, frozen=True, gc=False):
    """The amounts a network fixes at genesis, in nanomina."""

    coinbase: int
    account_creation_fee: int


class Ledger:
    """Accounts as seen through the changes made since a base that is never touched.

    Many ledgers can share one base: `changes` holds only what differs, so a block keeps its own few accounts.
    """

    __slots__ = ("_base", "burnt", "changes")

    def __init__(self, base: Mapping[str, Account]) -> None:
        self._base = base
        self.changes: dict[str, Account] = {}
        self.burnt = 0

    def get(self, key: str) -> Account | None:
        """Return the account of `key`, if there is one."""
        return self.changes.get(key) or self._base.get(key)

    def credit(self, key: str, amount: int, rules: Rules) -> bool:
        """Add `amount`, creating the account out of it if need be; false if it does not cover the creation fee."""
        account = self.get(key)
        if account is None:
            if amount < rules.account_creation_fee:
                return False
            self.burnt += rules.account_creation_fee
            account = Account(balance=-rules.account_creation_fee, nonce=0, delegate=key)
        self.changes[key] = msgspec.structs.replace(account, balance=account.balance + amount)
        return True


def why_excluded(ledger: Ledger, command: Command, slot: int) -> str | None:
    """Name the reason why a block at `slot` may not contain `command`, in mina's words, or return None."""
    payer = ledger.get(command.sender)
    if payer is None:
        return "Fee_payer_account_not_found"
    if payer.nonce != command.nonce:
        return "Invalid_nonce"
    if payer.liquid_at(slot) < command.fee:
        return "Insufficient_funds"
    if command.valid_until < slot:
        return "Expired"
    return None


def apply_command(ledger: Ledger, command: Command, slot: int, rules: Rules) -> tuple[str, ...]:
    """Apply a command that may be included, and return its failures: none if it was applied.

    Raises:
        ValueError: the command may not be included; ask `why_excluded` before.
    """
    payer = ledger.get(command.sender)
    if payer is None or why_excluded(ledger, command, slot):
        raise ValueError(f"command {command.hash} can't be included: {why_excluded(ledger, command, slot)}")
    payer = msgspec.structs.replace(payer, balance=payer.balance - command.fee, nonce=payer.nonce + 1)
    ledger.changes[command.sender] = payer
    if command.kind == "STAKE_DELEGATION":
        if ledger.get(command.receiver) is None:
            return ("Receiver_not_present",)
        ledger.changes[command.sender] = msgspec.structs.replace(payer, delegate=command.receiver)
        return APPLIED
    if payer.balance < command.amount:
        return ("Source_insufficient_balance",)
    if payer.liquid_at(slot) < command.amount:
        return ("Source_minimum_balance_violation",)
    ledger.changes[command.sender] = msgspec.structs.replace(payer, balance=payer.balance - command.amount)
    if not ledger.credit(command.receiver, command.amount, rules):
        ledger.changes[command.sender] = payer
        return ("Amount_insufficient_to_create_account",)
    return APPLIED


def pay_producer(ledger: Ledger, producer: str, fees: int, rules: Rules) -> int:
    """Mint the coinbase, hand over the fees, and return what was minted.

    A producer without an account gets one; what can't cover its creation fee is burnt.
    """
    if not ledger.credit(producer, rules.coinbase + fees, rules):
        ledger.burnt += rules.coinbase + fees
    return rules.coinbase
