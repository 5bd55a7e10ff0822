"""Blocks, and the rules by which their content follows from their parent's."""

from collections.abc import Mapping

import msgspec

from lucy_engines.simnode.chain import identifiers
from lucy_engines.simnode.chain.ledger import Account, Command


class Included(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A command in a block, with its failures: none if it was applied."""

    command: Command
    failures: tuple[str, ...] = ()

    def status(self) -> list[object]:
        """Give the status as mina logs it: a list of failures per account update."""
        return ["Failed", [[[failure]] for failure in self.failures]] if self.failures else ["Applied"]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A block: nothing in it depends on when or where it was made, only on what it stands on."""

    previous: str
    height: int
    slot: int
    """Since the hard fork, which is what a slot's winners are drawn by."""
    slot_since_genesis: int
    epoch: int
    creator: str
    coinbase: int
    proof: bool
    """Whether a ledger proof came out with this block, and the snarked ledger moved."""
    commands: tuple[Included, ...]
    staged_ledger_hash: str
    state_hash: str = ""

    def sealed(self) -> "Block":
        """Return the block under the hash of its content."""
        return msgspec.structs.replace(self, state_hash=self.content_hash())

    def content_hash(self) -> str:
        return identifiers.state_hash(msgspec.json.encode(msgspec.structs.replace(self, state_hash="")))

    @property
    def body_hash(self) -> str:
        return identifiers.state_body_hash(self.state_hash.encode())


def staged_ledger_hash(previous: str, changes: Mapping[str, Account]) -> str:
    """Chain ledger hashes: each names its parent's and what changed since."""
    return identifiers.ledger_hash(previous.encode() + msgspec.json.encode(changes, order="sorted"))


def is_better(candidate: Block, standing: Block) -> bool:
    """Decide between two tips: the longer chain wins, of equal ones the greater hash.

    The order is total, so nodes that know the same blocks have the same tip, however these arrived.
    """
    return (candidate.height, candidate.state_hash) > (standing.height, standing.state_hash)
