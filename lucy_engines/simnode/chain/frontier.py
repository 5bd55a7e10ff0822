"""The frontier: the last k blocks of the best chain, and every fork that grows from them.

Its root is final. A block joins if it follows from its parent (its creator won the slot, its commands have the
statuses they must have, its hash is its content's); one whose parent is unknown waits for it. When the best tip is
k blocks above the root, the root moves up, and forks that do not contain the new root are garbage. A chain that
forked off before the root can only be reached by a `Snapshot` of somebody else's frontier: a bootstrap.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from lucy_engines.simnode.chain import election
from lucy_engines.simnode.chain.blocks import Block, Included, is_better, staged_ledger_hash
from lucy_engines.simnode.chain.ledger import Account, Ledger, Rules, apply_command, pay_producer, why_excluded
from lucy_engines.simnode.chain.mempool import Mempool
from lucy_engines.simnode.chain.runtime_config import RuntimeConfig


class RootTransition(msgspec.Struct, frozen=True):
    """The root moved up by one block; `garbage` fell off."""

    new_root: Block
    garbage: tuple[str, ...]


class Applied(msgspec.Struct, frozen=True):
    """What one block did to the frontier."""

    block: Block
    root_transitions: tuple[RootTransition, ...]
    best_tip_changed: bool
    abandoned: tuple[Block, ...]
    """Blocks that were on the best chain before and are not now, oldest first."""


class Refused(msgspec.Struct, frozen=True):
    """A block that will never join, and why."""

    block: Block
    reason: str


class Snapshot(msgspec.Struct, frozen=True):
    """A frontier as a value: what a node saves, and what it sends to one that bootstraps."""

    chain_id: str
    root: Block
    accounts: dict[str, Account]
    staking: dict[str, int]
    following: dict[str, int]
    minted: int
    burnt: int
    blocks: tuple[Block, ...]
    """All other blocks, parents before children."""


class Entry(msgspec.Struct):
    """A block in the frontier with what it changed; `staking` decides its epoch, `following` the next one."""

    block: Block
    changes: dict[str, Account]
    staking: dict[str, int]
    following: dict[str, int]
    minted: int
    burnt: int
    children: list[str]


class Frontier:
    """Blocks by hash, one of them the root, one the best tip."""

    def __init__(self, config: RuntimeConfig, seed: str, snapshot: Snapshot) -> None:
        self.config = config
        self.seed = seed
        self.rules = Rules(coinbase=config.coinbase, account_creation_fee=config.account_creation_fee)
        self.root = Entry(snapshot.root, {}, snapshot.staking, snapshot.following, snapshot.minted, snapshot.burnt, [])
        self._root_accounts = snapshot.accounts
        self.entries = {snapshot.root.state_hash: self.root}
        self.best = self.root
        self.accounts = snapshot.accounts
        """The accounts at the best tip; replaced, never changed."""
        self._waiting: dict[str, dict[str, Block]] = {}
        for block in snapshot.blocks:
            self.add(block)

    @classmethod
    def genesis(cls, config: RuntimeConfig, seed: str) -> "Frontier":
        """Start from nothing but the runtime config."""
        block = Block(
            previous=config.genesis_hash(f"before {seed}"),
            height=config.fork_height + 1,
            slot=0,
            slot_since_genesis=config.fork_slot,
            epoch=0,
            creator=next(iter(config.accounts), ""),
            coinbase=0,
            proof=False,
            commands=(),
            staged_ledger_hash=staged_ledger_hash("", config.accounts),
            state_hash=config.genesis_hash(seed),
        )
        snapshot = Snapshot(
            chain_id=config.chain_id,
            root=block,
            accounts=config.accounts,
            staking=election.stakes(config.staking_accounts),
            following=election.stakes(config.next_accounts),
            minted=0,
            burnt=0,
            blocks=(),
        )
        return cls(config, seed, snapshot)

    @property
    def tip(self) -> Block:
        return self.best.block

    def snapshot(self) -> Snapshot:
        """Copy the frontier into a value."""
        return Snapshot(
            chain_id=self.config.chain_id,
            root=self.root.block,
            accounts=self._root_accounts,
            staking=self.root.staking,
            following=self.root.following,
            minted=self.root.minted,
            burnt=self.root.burnt,
            blocks=tuple(entry.block for entry in self._below(self.root) if entry is not self.root),
        )

    def best_chain(self) -> list[Block]:
        """List the blocks from the root to the best tip."""
        return [entry.block for entry in self._path(self.best)]

    def path_from(self, known: Iterable[str], tip: str) -> list[Block] | None:
        """List the blocks that lead from a known one up to `tip`, or None if no known block is below it."""
        wanted = set(known)
        path: list[Block] = []
        entry = self.entries.get(tip)
        while entry and entry.block.state_hash not in wanted:
            path.append(entry.block)
            entry = self.entries.get(entry.block.previous)
        return path[::-1] if entry else None

    def ledger_at(self, entry: Entry) -> Ledger:
        """Open the accounts as they are after a block."""
        return Ledger(self._accounts_at(entry))

    def staking_in(self, parent: Entry, slot: int) -> dict[str, int]:
        """Tell who holds which stake in `slot`, on the chain that ends in `parent`."""
        ahead = slot // self.config.slots_per_epoch - parent.block.epoch
        if ahead <= 0:
            return parent.staking
        return parent.following if ahead == 1 else self._stakes_after(parent)

    def winners(self, slot: int) -> tuple[str, ...]:
        """List who may build on the best tip in `slot`."""
        return election.winners(self.seed, slot, self.staking_in(self.best, slot))

    def is_waiting(self, state_hash: str) -> bool:
        """Tell whether a block came before its parent and waits for it."""
        return any(state_hash in blocks for blocks in self._waiting.values())

    def produce(self, slot: int, creator: str, mempool: Mempool) -> Block:
        """Build the block that `creator` may add to the best tip in `slot`; it is not added yet."""
        config, parent = self.config, self.best
        ledger = self.ledger_at(parent)
        ended = config.slot_tx_end is not None and slot >= config.slot_tx_end
        limit = 0 if ended else config.transaction_capacity
        since_genesis = config.fork_slot + slot
        chosen = mempool.select(ledger, since_genesis, self.rules, limit)
        commands = tuple(Included(command, failures) for command, failures in chosen)
        coinbase = self._pay(ledger, creator, commands, slot)
        height = parent.block.height + 1
        return Block(
            previous=parent.block.state_hash,
            height=height,
            slot=slot,
            slot_since_genesis=since_genesis,
            epoch=slot // config.slots_per_epoch,
            creator=creator,
            coinbase=coinbase,
            proof=self._emits_proof(height),
            commands=commands,
            staged_ledger_hash=staged_ledger_hash(parent.block.staged_ledger_hash, ledger.changes),
        ).sealed()

    def add(self, block: Block) -> list[Applied | Refused]:
        """Take a block, and return what it and those that waited for it did; nothing if it is known or waits."""
        if block.state_hash in self.entries:
            return []
        if block.height <= self.root.block.height:
            return [Refused(block, "older than the frontier's root")]
        if block.previous not in self.entries:
            self._wait(block)
            return []
        results: list[Applied | Refused] = []
        ready = [block]
        while ready:
            next_block = ready.pop(0)
            result = self._join(next_block)
            results.append(result)
            waiting = self._waiting.pop(next_block.state_hash, {})
            if isinstance(result, Applied):
                ready.extend(waiting.values())
        return results

    def _wait(self, block: Block) -> None:
        """Keep a few blocks per frontier length: what a flood of orphans may cost is bounded."""
        if sum(map(len, self._waiting.values())) >= 2 * self.config.k + 64:
            del self._waiting[next(iter(self._waiting))]
        self._waiting.setdefault(block.previous, {})[block.state_hash] = block

    def _join(self, block: Block) -> Applied | Refused:
        parent = self.entries.get(block.previous)
        if parent is None:
            return Refused(block, "its parent is garbage")
        ledger = self.ledger_at(parent)
        reason = self._why_invalid(block, parent, ledger)
        if reason:
            return Refused(block, reason)
        new_epoch = block.epoch > parent.block.epoch
        entry = Entry(
            block,
            ledger.changes,
            self.staking_in(parent, block.slot),
            self._stakes_after(parent) if new_epoch else parent.following,
            parent.minted + block.coinbase,
            parent.burnt + ledger.burnt,
            [],
        )
        self.entries[block.state_hash] = entry
        parent.children.append(block.state_hash)
        if not is_better(block, self.tip):
            return Applied(block, (), best_tip_changed=False, abandoned=())
        abandoned = self._abandoned_by(entry)
        if parent is self.best:
            self.accounts = {**self.accounts, **entry.changes}
        else:
            self.accounts = self._accounts_at(entry)
        self.best = entry
        return Applied(block, tuple(self._raise_root()), best_tip_changed=True, abandoned=abandoned)

    def _why_invalid(self, block: Block, parent: Entry, ledger: Ledger) -> str | None:
        """Check a block against its parent; leaves in `ledger` what the block changes."""
        config = self.config
        before = parent.block
        if block.content_hash() != block.state_hash:
            return "its hash is not its content's"
        expected = (before.height + 1, block.slot // config.slots_per_epoch, config.fork_slot + block.slot)
        if (block.height, block.epoch, block.slot_since_genesis) != expected or block.slot <= before.slot:
            return "its height, slot or epoch does not follow from its parent's"
        staked = self.staking_in(parent, block.slot)
        stake = staked.get(block.creator, 0)
        if not election.wins(self.seed, block.slot, block.creator, stake, sum(staked.values())):
            return "its creator did not win the slot"
        for included in block.commands:
            if why_excluded(ledger, included.command, block.slot_since_genesis):
                return "it holds a command that can't be included"
            if apply_command(ledger, included.command, block.slot_since_genesis, self.rules) != included.failures:
                return "it states a wrong status for a command"
        if self._pay(ledger, block.creator, block.commands, block.slot) != block.coinbase:
            return "it mints a wrong coinbase"
        if block.staged_ledger_hash != staged_ledger_hash(before.staged_ledger_hash, ledger.changes):
            return "its ledger hash is wrong"
        return None if block.proof == self._emits_proof(block.height) else "its proof is missing or early"

    def _pay(self, ledger: Ledger, creator: str, commands: Sequence[Included], slot: int) -> int:
        if self.config.slot_tx_end is not None and slot >= self.config.slot_tx_end:
            return 0
        return pay_producer(ledger, creator, sum(included.command.fee for included in commands), self.rules)

    def _emits_proof(self, height: int) -> bool:
        return (height - self.config.fork_height - 1) % self.config.blocks_per_proof == 0

    def _stakes_after(self, entry: Entry) -> dict[str, int]:
        return election.stakes(self._accounts_at(entry))

    def _accounts_at(self, entry: Entry) -> dict[str, Account]:
        if entry is self.best:
            return self.accounts
        accounts = dict(self._root_accounts)
        for step in self._path(entry):
            accounts.update(step.changes)
        return accounts

    def _path(self, entry: Entry) -> list[Entry]:
        path = [entry]
        while path[-1] is not self.root:
            path.append(self.entries[path[-1].block.previous])
        return path[::-1]

    def _below(self, entry: Entry) -> Iterator[Entry]:
        """Walk a subtree, parents before children."""
        pending = [entry]
        while pending:
            current = pending.pop()
            yield current
            pending.extend(self.entries[child] for child in current.children)

    def _abandoned_by(self, entry: Entry) -> tuple[Block, ...]:
        if entry.block.previous == self.tip.state_hash:
            return ()
        kept = {step.block.state_hash for step in self._path(entry)}
        return tuple(step.block for step in self._path(self.best) if step.block.state_hash not in kept)

    def _raise_root(self) -> Iterator[RootTransition]:
        while self.tip.height - self.root.block.height > self.config.k:
            heir = self._path(self.best)[1]
            garbage = [
                entry.block.state_hash
                for child in self.root.children
                if child != heir.block.state_hash
                for entry in self._below(self.entries[child])
            ]
            for state_hash in (*garbage, self.root.block.state_hash):
                del self.entries[state_hash]
            self._root_accounts = {**self._root_accounts, **heir.changes}
            heir.changes = {}
            self.root = heir
            yield RootTransition(heir.block, tuple(garbage))
