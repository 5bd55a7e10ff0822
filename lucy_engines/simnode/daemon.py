"""The simulated daemon: what a node does with its clock, its peers and its frontier."""

import asyncio
import contextlib
import os
import signal
import time
from typing import Any, final

from lucy_engines.simnode.chain import storage
from lucy_engines.simnode.chain.frontier import Applied, Frontier, Refused, Snapshot
from lucy_engines.simnode.chain.ledger import Command, Ledger
from lucy_engines.simnode.chain.mempool import Mempool
from lucy_engines.simnode.chain.runtime_config import RuntimeConfig
from lucy_engines.simnode.command_line import Options
from lucy_engines.simnode.logs import event_lines as lines
from lucy_engines.simnode.logs.event_lines import Kind
from lucy_engines.simnode.logs.logger import Logger, timestamp
from lucy_engines.simnode.peers import messages
from lucy_engines.simnode.peers.gossip import Gossip, Peer
from lucy_engines.simnode.peers.messages import Hello, Message, NewBlock, NewCommand, NewWork, Status

ASK_AGAIN_SECONDS = 2.0
SIMULATOR = ("Simulated_node", 'File "src/app/simnode.ml", line 1, characters 0-1')


@final
class Daemon:
    """One node of a simulated network."""

    def __init__(
        self, config: RuntimeConfig, logger: Logger, options: Options, *, key: str | None, peer_id: str, host: str
    ) -> None:
        self.config = config
        self.logger = logger
        self.key = key
        self.peer_id = peer_id
        self.host = host
        self.port = options.external_port
        self.started = time.time()
        self.mempool = Mempool(config.txpool_max_size)
        self.metrics = {"received": 0, "broadcast": 0, "added": 0}
        self.snark_worker = options.snark_coordinator
        self.work_fee = options.snark_worker_fee
        self.highest_received = 0
        self.initialized = False
        self.bootstrapping = False
        self.status = "CONNECTING"
        self._options = options
        self._seed = options.seed or config.identity
        self._asked: dict[str, float] = {}
        self._saved_tip = ""
        self._stopping = asyncio.Event()
        self.frontier = self._open_frontier()
        self.gossip = Gossip(self._hello, self._on_message, self._on_peer, self._refused_peer)

    def now(self) -> float:
        """The node's own clock, in seconds since the epoch."""
        return time.time() - self._options.clock_offset

    def slot(self) -> int:
        """The slot that it is now, by the node's own clock."""
        return self.config.slot_at(self.now() * 1000)

    def say(self, kind: Kind, metadata: dict[str, Any] | None = None) -> None:
        self.logger.log(kind.level, kind.source, kind.message, metadata, kind.event_id)

    def note(self, level: str, message: str, metadata: dict[str, Any] | None = None) -> None:
        """Log a line without an event id."""
        self.logger.log(level, SIMULATOR, message, metadata)

    def ledger(self) -> Ledger:
        return self.frontier.ledger_at(self.frontier.best)

    # Start and end

    def _open_frontier(self) -> Frontier:
        """Load what an earlier run left, or begin at genesis, logging what Mina logs in each case."""
        snapshot = storage.load(self._options.config_directory, self.config.chain_id)
        if snapshot is None:
            self.say(lines.FRESH_BOOT)
            self.say(lines.DROPPED)
            self.say(lines.LOADED)
            return Frontier.genesis(self.config, self._seed)
        self.say(lines.LOADED)
        self.say(lines.LOADED_FROM_PERSISTENCE)
        return Frontier(self.config, self._seed, snapshot)

    async def run(self) -> None:
        """Take part until TERM or INT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self.say(lines.LISTENING)
        for address in self._options.peers:
            self.gossip.dial(address)
        if self._options.seed_node and not self._options.peers:
            self._initialize()
        slots = asyncio.create_task(self._watch_slots())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({slots, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if slots.done():
            slots.result()
        slots.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await slots
        self.note("Info", "Simulated daemon is shutting down")
        await self.gossip.close()
        self._save()

    def _save(self) -> None:
        tip = self.frontier.tip.state_hash
        if tip != self._saved_tip:
            self._saved_tip = tip
            storage.save(self._options.config_directory, self.frontier.snapshot())

    def _initialize(self) -> None:
        if not self.initialized:
            self.initialized = True
            self.say(lines.INITIALIZED)
        if self.status != "SYNCED":
            self.status = "SYNCED"
            self.say(lines.SYNCED)

    # Slots

    async def _watch_slots(self) -> None:
        done = self.slot()
        while True:
            start = self.config.slot_start_ms(done + 1) / 1000
            await asyncio.sleep(max(0.0, start - self.now()))
            slot = self.slot()
            if slot <= done:
                continue
            paused = slot - done > 1
            done = slot
            if slot < 0:
                continue
            if not paused:  # a node that missed slots hears first what it missed
                self._produce(slot)
            tip = self.frontier.tip
            self.gossip.send_all(Status(tip.state_hash, tip.height))
            self.mempool.prune(self.ledger(), slot)
            self.note("Trace", "Slot $slot began", {"slot": slot, "best_tip": tip.state_hash})
            self._save()

    def _produce(self, slot: int) -> None:
        ended = self.config.slot_chain_end is not None and slot >= self.config.slot_chain_end
        if self.key is None or self.status != "SYNCED" or ended or slot <= self.frontier.tip.slot:
            return
        if self.key not in self.frontier.winners(slot):
            return
        block = self.frontier.produce(slot, self.key, self.mempool)
        results = self.frontier.add(block)
        stamp = timestamp(self.now()).replace(" ", "T")
        self.say(lines.PRODUCED, lines.produced(block, self.config.slots_per_epoch, stamp))
        self._log_results(results)
        self.say(lines.GOSSIP_STATE, {"state_hash": block.state_hash})
        self.gossip.send_all(NewBlock(block))
        if self.snark_worker is not None:
            self.gossip.send_all(NewWork((block.height, -block.height), self.work_fee, self.snark_worker))

    def _log_results(self, results: list[Applied | Refused], sender: Peer | None = None) -> None:
        for result in results:
            block = result.block
            if isinstance(result, Refused):
                self.note(
                    "Warn",
                    "Refused block $state_hash: $reason",
                    {"state_hash": block.state_hash, "reason": result.reason},
                )
                continue
            self.say(lines.ADDED, lines.added(block))
            self.say(lines.DIFFS, lines.diffs(result))
            if result.best_tip_changed:
                self.say(lines.NEW_TIP, {"state_hash": block.state_hash, "height": block.height})
                self.mempool.take_back(
                    included.command for abandoned in result.abandoned for included in abandoned.commands
                )
                self.mempool.prune(self.ledger(), max(0, self.slot()))
            if sender is not None:
                self.say(lines.REBROADCAST, {"state_hash": block.state_hash})
                self.gossip.send_all(NewBlock(block), but=sender)

    # Peers

    def _hello(self) -> Hello:
        tip = self.frontier.tip
        return Hello(self.config.chain_id, self.peer_id, self.host, self.port, tip.state_hash, tip.height)

    def _refused_peer(self, reason: str) -> None:
        self.note("Warn", "Refused a peer: $reason", {"reason": reason})

    def _on_peer(self, peer: Peer) -> None:
        hello = peer.hello
        self.note("Info", "Connected to peer $peer", {"peer": f"{hello.host}:{hello.port} {hello.peer_id}"})
        self.gossip.dial((hello.host, hello.port))
        for command in self.mempool.commands():
            peer.send(NewCommand(command))
        self._compare(peer, hello.tip, hello.height)

    def _compare(self, peer: Peer, tip: str, height: int) -> None:
        """Fetch what leads to a peer's tip, unless it is known; being level with a peer means being synced."""
        self.highest_received = max(self.highest_received, height)
        known = tip in self.frontier.entries
        if known or height < self.frontier.tip.height or height <= self.frontier.root.block.height:
            self._initialize()
            return
        self._ask(peer, tip, height)

    def _ask(self, peer: Peer, tip: str, height: int) -> None:
        now = time.monotonic()
        if now - self._asked.get(tip, -ASK_AGAIN_SECONDS) < ASK_AGAIN_SECONDS:
            return
        self._asked[tip] = now
        if height - self.frontier.tip.height > self.config.k:
            self._bootstrap(peer)
            return
        if self.status not in ("CATCHUP", "BOOTSTRAP") and height > self.frontier.tip.height + 1:
            self.status = "CATCHUP"
            self.say(lines.CATCHUP)
        known = tuple(block.state_hash for block in self.frontier.best_chain())
        peer.send(messages.GetBlocks(tip, known))

    def _bootstrap(self, peer: Peer) -> None:
        if not self.bootstrapping:
            self.bootstrapping = True
            self.status = "BOOTSTRAP"
            self.say(lines.BOOTSTRAP_REQUIRED)
            self.note("Warn", "Persisted frontier failed to load")
            self.say(lines.DROPPED)
            self.say(lines.BOOTSTRAPPING)
            self.say(lines.BOOTSTRAP_STARTED)
        peer.send(messages.GetSnapshot())

    def _on_message(self, peer: Peer, message: Message) -> None:
        match message:
            case Status():
                self._compare(peer, message.tip, message.height)
            case NewBlock():
                self._on_block(peer, message)
            case NewCommand():
                self._on_command(peer, message.command)
            case NewWork():
                work = {"work_ids": ["Two", list(message.ids)], "fee": message.fee, "prover": message.prover}
                self.say(lines.WORK_RECEIVED, {"sender": self._sender(peer), "work": work})
            case messages.GetBlocks():
                path = self.frontier.path_from(message.known, message.tip)
                peer.send(messages.Blocks(message.tip, None if path is None else tuple(path)))
            case messages.Blocks():
                self._on_blocks(peer, message)
            case messages.GetSnapshot():
                peer.send(messages.Frontiers(self.frontier.snapshot()))
            case messages.Frontiers():
                self._on_snapshot(message.snapshot)
            case _:
                pass

    def _sender(self, peer: Peer) -> dict[str, Any]:
        return lines.remote(peer.hello.host, peer.peer_id, peer.hello.port)

    def _on_block(self, peer: Peer, message: NewBlock) -> None:
        block = message.block
        if block.state_hash in self.frontier.entries or self.frontier.is_waiting(block.state_hash):
            return
        self.highest_received = max(self.highest_received, block.height)
        metadata = {
            "external_transition": {"protocol_state": "<opaque>", "protocol_state_proof": "<opaque>"},
            "sender": self._sender(peer),
            "state_hash": block.state_hash,
        }
        self.say(lines.RECEIVED, metadata)
        results = self.frontier.add(block)
        self._log_results(results, peer)
        if not results:
            self._ask(peer, block.state_hash, block.height)

    def _on_blocks(self, peer: Peer, message: messages.Blocks) -> None:
        self._asked.pop(message.tip, None)
        if message.blocks is None:
            if message.tip not in self.frontier.entries:
                self._bootstrap(peer)
            return
        for block in message.blocks:
            self._log_results(self.frontier.add(block))
        if not self.bootstrapping:
            self._initialize()

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        if not self.bootstrapping or snapshot.chain_id != self.config.chain_id:
            return
        if snapshot.root.height < self.frontier.root.block.height:
            return
        self.bootstrapping = False
        self.frontier = Frontier(self.config, self._seed, snapshot)
        self.say(lines.BOOTSTRAP_COMPLETE)
        self.say(lines.LOADED)
        self.say(lines.LOADED_FROM_PERSISTENCE)
        for block in snapshot.blocks:
            applied = Applied(
                block, (), best_tip_changed=block.state_hash == self.frontier.tip.state_hash, abandoned=()
            )
            self.say(lines.ADDED, lines.added(block))
            self.say(lines.DIFFS, lines.diffs(applied))
        self.initialized = False
        self._initialize()

    # Commands

    def _on_command(self, peer: Peer, command: Command) -> None:
        self.metrics["received"] += 1
        reason = self.mempool.add(self.ledger(), command, max(0, self.slot()))
        if reason == "Duplicate":
            return
        payers = lines.summaries(command)
        self.say(lines.COMMANDS_RECEIVED, {"fee_payer_summaries": payers, "sender": self._sender(peer)})
        if reason is None:
            self.metrics["added"] += 1
            self.gossip.send_all(NewCommand(command), but=peer)

    def submit(self, command: Command) -> str | None:
        """Take a command from a user and pass it on, or name the reason for refusing it."""
        reason = self.mempool.add(self.ledger(), command, max(0, self.slot()))
        if reason is not None:
            self.say(lines.REJECTED, {"command": command.hash, "error": reason})
            return reason
        self.metrics["added"] += 1
        self.metrics["broadcast"] += 1
        self.say(lines.GOSSIP_COMMANDS, {"fee_payer_summaries": lines.summaries(command)})
        self.gossip.send_all(NewCommand(command))
        return None


def shared_metadata(host: str, peer_id: str, port: int) -> dict[str, Any]:
    """What every line of a daemon carries."""
    return {"host": host, "peer_id": peer_id, "pid": os.getpid(), "port": port}
