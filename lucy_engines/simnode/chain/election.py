"""Who may produce a block in which slot: a pure function that every node evaluates alike.

It copies the shape of Mina's lottery (Ouroboros Praos), not its proofs: each delegate draws a number from the seed,
the slot and its own key, and wins when the number is below 1 - (1 - f)^share. These thresholds compose: however the
stake is split, and whoever holds it, the chance that *nobody* wins is (1 - f), here a quarter, if all stake is online.
So a slot has no winner, one, or several (a fork), and more stake wins proportionally more often.
"""

import hashlib
from collections.abc import Mapping

from lucy_engines.simnode.chain.ledger import Account

ACTIVE_SLOTS = 0.75
"""f: the share of slots in which somebody wins."""


def stakes(accounts: Mapping[str, Account]) -> dict[str, int]:
    """Add up what each delegate may stake: its own balance, if not delegated away, and what others gave it."""
    total: dict[str, int] = {}
    for account in accounts.values():
        if account.balance:
            total[account.delegate] = total.get(account.delegate, 0) + account.balance
    return total


def draw(seed: str, slot: int, key: str) -> float:
    """Draw a delegate's number for a slot: uniform in [0, 1), the same on every node."""
    digest = hashlib.sha256(f"{seed}/{slot}/{key}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def wins(seed: str, slot: int, key: str, stake: int, total_stake: int) -> bool:
    """Decide whether the holder of `key` may produce in `slot`."""
    if stake <= 0 or total_stake <= 0:
        return False
    return draw(seed, slot, key) < 1 - float((1 - ACTIVE_SLOTS) ** (stake / total_stake))


def winners(seed: str, slot: int, staked: Mapping[str, int]) -> tuple[str, ...]:
    """List all delegates that may produce in `slot`, in the order of their keys."""
    total_stake = sum(staked.values())
    return tuple(key for key in sorted(staked) if wins(seed, slot, key, staked[key], total_stake))
