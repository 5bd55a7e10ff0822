"""Commands that wait for a block: by sender, in the order of nonces."""

from collections.abc import Iterable

from lucy_engines.simnode.chain.ledger import Command, Ledger, Rules, apply_command, why_excluded


class Mempool:
    """Keeps commands until they are in a block, or can never be.

    A gap in a sender's nonces is allowed, since gossip may reorder: what stands behind it waits.
    """

    __slots__ = ("_by_sender", "_size", "max_size")

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self._by_sender: dict[str, dict[int, Command]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def commands(self) -> list[Command]:
        """List all commands, each sender's in the order of nonces."""
        return [queue[nonce] for queue in self._by_sender.values() for nonce in sorted(queue)]

    def next_nonce(self, ledger: Ledger, sender: str) -> int:
        """Tell which nonce the sender's next command should have, counting those that wait here."""
        account = ledger.get(sender)
        nonce = account.nonce if account else 0
        queue = self._by_sender.get(sender, {})
        while nonce in queue:
            nonce += 1
        return nonce

    def add(self, ledger: Ledger, command: Command, slot: int) -> str | None:
        """Take a command, or name the reason for refusing it, in mina's words."""
        account = ledger.get(command.sender)
        if account is None:
            return "Fee_payer_account_not_found"
        queue = self._by_sender.get(command.sender, {})
        standing = queue.get(command.nonce)
        if standing == command:
            return "Duplicate"
        if command.nonce < account.nonce:
            return "Invalid_nonce"
        if command.valid_until < slot:
            return "Expired"
        owed = (
            command.fee
            + command.amount
            + sum(other.fee + other.amount for nonce, other in queue.items() if nonce != command.nonce)
        )
        if owed > account.liquid_at(slot):
            return "Insufficient_funds"
        if standing is None:
            if self._size >= self.max_size:
                return "Overloaded"
            self._size += 1
        elif command.fee <= standing.fee:
            return "Insufficient_replace_fee"
        self._by_sender.setdefault(command.sender, {})[command.nonce] = command
        return None

    def take_back(self, commands: Iterable[Command]) -> None:
        """Return commands of abandoned blocks; `prune` then drops those that the new chain holds too."""
        for command in commands:
            queue = self._by_sender.setdefault(command.sender, {})
            if command.nonce not in queue:
                queue[command.nonce] = command
                self._size += 1

    def prune(self, ledger: Ledger, slot: int) -> None:
        """Drop what can't be included any more: used nonces, expired commands, vanished senders."""
        for sender, queue in list(self._by_sender.items()):
            account = ledger.get(sender)
            stale = [
                nonce
                for nonce, command in queue.items()
                if account is None or nonce < account.nonce or command.valid_until < slot
            ]
            for nonce in stale:
                del queue[nonce]
            self._size -= len(stale)
            if not queue:
                del self._by_sender[sender]

    def select(self, ledger: Ledger, slot: int, rules: Rules, limit: int) -> list[tuple[Command, tuple[str, ...]]]:
        """Apply the best-paying commands to `ledger`, at most `limit`, and return them with their failures."""
        chosen: list[tuple[Command, tuple[str, ...]]] = []
        heads = {sender: sorted(queue) for sender, queue in self._by_sender.items()}
        while heads and len(chosen) < limit:
            sender = min(heads, key=lambda key: (-self._by_sender[key][heads[key][0]].fee, key))
            command = self._by_sender[sender][heads[sender].pop(0)]
            if why_excluded(ledger, command, slot):
                del heads[sender]
                continue
            chosen.append((command, apply_command(ledger, command, slot, rules)))
            if not heads[sender]:
                del heads[sender]
        return chosen
