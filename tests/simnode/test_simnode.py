"""The simulated node: what it logs, decides, and does to its peers."""

import asyncio
import json
import subprocess
import sys
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lucy_core as lucy
from lucy_core import mina
from lucy_core.mina.graphql import client
from lucy_core.records.journal import CommandEnded
from lucy_engines.process import ProcessEngine
from lucy_engines.simnode.chain.election import winners
from lucy_engines.simnode.chain.frontier import Frontier
from lucy_engines.simnode.chain.ledger import Command
from lucy_engines.simnode.chain.mempool import Mempool
from lucy_engines.simnode.chain.runtime_config import RuntimeConfig
from lucy_engines.simnode.logs.flood import Flood
from lucy_engines.simnode.logs.logger import ELIDED, render
from lucy_engines.simnode.peers import messages
from lucy_engines.simnode.peers.gossip import Gossip
from lucy_engines.simnode.peers.messages import Hello

SIMNODE = [sys.executable, "-m", "lucy_engines.simnode"]


def config(k: int = 50) -> RuntimeConfig:
    accounts = [{"pk": f"B62q{name}", "balance": "1000"} for name in "abc"]
    content = {
        "genesis": {"k": k, "slots_per_epoch": 20, "genesis_state_timestamp": "2026-01-10 12:00:00Z"},
        "proof": {"block_window_duration_ms": 1000},
        "ledger": {"accounts": accounts},
    }
    return RuntimeConfig.decode(content, chain_id="chain")


def money(frontier: Frontier) -> int:
    best = frontier.best
    return sum(account.balance for account in frontier.accounts.values()) + best.burnt - best.minted


@given(st.randoms(use_true_random=False), st.integers(5, 25))
def test_any_order_of_arrival_gives_the_same_tip_and_no_money_is_lost(random, slots: int) -> None:
    made = []
    producer = Frontier.genesis(config(), "seed")
    rival = Frontier.genesis(config(), "seed")
    genesis = money(producer)
    pool = Mempool(100)
    for slot in range(1, slots):
        nonce = pool.next_nonce(producer.ledger_at(producer.best), "B62qa")
        pool.add(
            producer.ledger_at(producer.best),
            Command("PAYMENT", "B62qa", "B62qnew", fee=10**9, nonce=nonce, amount=2 * 10**9),
            slot,
        )
        for frontier in (producer, rival) if slot % 3 else (producer,):
            for winner in frontier.winners(slot):
                block = frontier.produce(slot, winner, pool)
                frontier.add(block)
                made.append(block)
    for frontier in (producer, rival):
        for block in made:
            frontier.add(block)
    random.shuffle(made)
    shuffled = Frontier.genesis(config(), "seed")
    straight = Frontier.genesis(config(), "seed")
    for block in sorted(made, key=lambda block: block.height):
        straight.add(block)
    for block in made:
        shuffled.add(block)
    assert shuffled.tip.state_hash == straight.tip.state_hash == producer.tip.state_hash == rival.tip.state_hash
    assert money(producer) == money(shuffled) == genesis


@given(st.text(max_size=5), st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 10**12), max_size=5))
def test_everybody_draws_the_same_winners(seed: str, staked: dict[str, int]) -> None:
    assert winners(seed, 7, staked) == winners(seed, 7, dict(reversed(staked.items())))
    assert all(staked[key] > 0 for key in winners(seed, 7, staked))


def test_slots_fill_as_often_as_minas() -> None:
    staked = {"a": 3, "b": 2, "c": 1}
    filled = sum(bool(winners("s", slot, staked)) for slot in range(4000))
    assert 0.72 < filled / 4000 < 0.78


def test_a_line_has_minas_keys_in_minas_order() -> None:
    source = ("M", 'File "src/lib/m.ml", line 1, characters 2-3')
    line = render(0.5, "Info", source, "said $b", {"b": 1, "$a": 2, "B": 3}, "ff")
    assert line == (
        b'{"timestamp":"1970-01-01 00:00:00.500000Z","level":"Info","source":{"module":"M","location":'
        b'"File \\"src/lib/m.ml\\", line 1, characters 2-3"},"message":"said $b","metadata":{"$a":2,"B":3,"b":1},'
        b'"event_id":"ff"}\n'
    )
    assert b'"source"' not in render(0, "Spam", source, "x", {})
    big = json.loads(render(0, "Warn", source, "x", {"a": "y" * (1 << 20)}, "ff"))
    assert (big["message"], big["metadata"], big["event_id"], big["level"]) == (ELIDED, {}, "ff", "Warn")


def test_flood_lines_are_lines_numbered_and_of_mixed_sizes() -> None:
    flood = Flood(100_000, "seed")
    flood._owed_since -= 1
    data, wait = flood()
    lines = data.splitlines()
    assert len(lines) == 100_000
    assert wait == 0
    assert [msgspec.json.decode(line)["metadata"]["n"] for line in lines[:50]] == list(range(50))
    sizes = [len(line) for line in lines]
    assert 150 < min(sizes) < 300
    assert 30_000 < max(sizes) < 61_000
    assert 350 < sum(sizes) / len(sizes) < 700


@pytest.mark.parametrize(
    ("words", "text"),
    (
        (["daemon"], "-config-file is missing"),
        (["daemon", "-config-file", "/nowhere.json"], "can't be read"),
        (["daemon", "-rest-port", "99999", "-config-file", "x"], "-rest-port 99999 is no port"),
        (["daemon", "-peer", "somewhere", "-config-file", "x"], "-peer 'somewhere' is no address"),
        (["daemon", "-no-such-flag"], "-no-such-flag"),
        (["daemon", "-log-level", "Loud", "-config-file", "x"], "'Loud' is no log level"),
        (["nonsense"], "usage: lucy-simnode daemon"),
    ),
)
def test_a_wrong_command_line_is_told_in_a_sentence(words: list[str], text: str) -> None:
    done = subprocess.run([*SIMNODE, *words], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert text in done.stderr


def topology(**constants: object) -> mina.Topology:
    return mina.Topology(
        accounts=(mina.Account("ka", "1000"), mina.Account("kb", "1000")),
        block_producers=(mina.BlockProducer("a", "ka"), mina.BlockProducer("b", "kb")),
        constants=mina.Constants(slot_seconds=0.3, **constants),
    )


@pytest.mark.anyio
async def test_a_network_lives_through_stop_pause_fresh_and_kept_restarts(tmp_path) -> None:
    async with lucy.deploy(topology(), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        await network.wait_for(mina.nodes_initialized())
        await network.wait_for(mina.blocks_produced(2), soft=20, hard=40)
        # Kept: the frontier is loaded, not fetched.
        mark = network.mark()
        await network["b"].restart()
        await network.wait_for(mina.nodes_initialized("b"), since=mark)
        loaded = await network["b"].events(mina.TransitionFrontierLoadedFromPersistence, since=mark).first(within=20)
        assert loaded.node == "b"
        # Fresh: it catches up from its peers.
        mark = network.mark()
        await network["b"].restart(fresh_state=True)
        await network["b"].events(mina.PersistedFrontierFreshBoot, since=mark).first(within=20)
        await network.wait_for(mina.nodes_synchronized("a", "b"), since=mark, soft=20, hard=40)
        # Paused: it misses blocks, and catches up.
        await network["b"].pause()
        mark = network.mark()
        await network.wait_for(mina.blocks_produced(2), since=mark, soft=20, hard=40)
        mark = network.mark()
        await network["b"].resume()
        await network.wait_for(mina.nodes_synchronized("a", "b"), since=mark, soft=20, hard=40)
        # The seed may go: the others know each other.
        await network["seed"].stop()
        mark = network.mark()
        await network.wait_for(mina.blocks_produced(2), since=mark, soft=20, hard=40)
        async with client(network["a"]) as api:
            status = await api.daemon_status()
            assert status.sync_status == "SYNCED"
            assert {peer.host for peer in status.peers} == {"127.0.0.1"}
            key = mina.public_key(network["a"], "ka")
            other = mina.public_key(network["b"], "kb")
            with pytest.raises(lucy.NodeRefusedError) as caught:
                await api.send_payment(sender=key, receiver=other, amount=10**15, fee=1)
            assert caught.value.code == "insufficient_funds"
            sent = await api.send_delegation(sender=key, receiver=other, fee=10**9)
            await network.wait_for(mina.signed_command_included(sent.hash, node="b"), soft=20, hard=40)
            account = await api.account(key)
            assert account is not None
            assert account.delegate == other
        assert network.ledger.complete
        assert all(account.undecodable == 0 for account in network.ledger.nodes.values())
        answered = network.events(CommandEnded, since=0).filter(lambda event: event.data.command.startswith("GraphQL"))
        answer = (await answered.first(within=20)).data
        assert (answer.node, answer.command, answer.outcome) == ("a", "GraphQL daemonStatus", "done")
        assert '"syncStatus":"SYNCED"' in answer.result
        refused = await answered.first(lambda event: event.data.command == "GraphQL sendPayment", within=20)
        assert refused.data.outcome == "NodeRefusedError"
        assert "insufficient" in refused.data.result.lower()


@pytest.mark.anyio
async def test_a_node_far_behind_bootstraps(tmp_path) -> None:
    async with lucy.deploy(topology(k=3), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        await network.wait_for(mina.nodes_initialized())
        await network["b"].stop()
        await network.wait_for(mina.block_height_growth(5), soft=40, hard=60)
        mark = network.mark()
        await network["b"].start(fresh_state=True)
        await network["b"].events(mina.BootstrapComplete, since=mark).first(within=30)
        await network.wait_for(mina.nodes_initialized("b"), since=mark)


@pytest.mark.anyio
async def test_a_flooding_network_still_agrees(tmp_path) -> None:
    noisy = msgspec.structs.replace(topology(), extra_arguments=("--log-flood", "5000"))
    async with lucy.deploy(noisy, engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        await network.wait_for(mina.nodes_initialized())
        await network.wait_for(mina.blocks_produced(3), soft=30, hard=60)
        assert network.ledger.lines > 10_000
        assert network.ledger.complete


class Unheard:
    """A peer's end that takes all that is written, and says nothing of it."""

    transport = SimpleNamespace(is_closing=lambda: True)

    def write(self, data: bytes) -> None:
        """Take it."""

    def close(self) -> None:
        """Be closed."""


@pytest.mark.parametrize("moment", ("connected", "greeted"))
def test_a_daemon_closes_in_the_very_turn_in_which_a_peer_answers(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a turn is rare, and was a daemon that went on until it was killed."""
    mine, theirs = (Hello("chain", name, "127.0.0.1", port, "tip", 1) for port, name in enumerate("ab"))

    async def run() -> None:
        reader, connected = asyncio.StreamReader(), asyncio.Event()

        async def open_connection(*_: object) -> tuple[asyncio.StreamReader, Unheard]:
            await connected.wait()
            return reader, Unheard()

        monkeypatch.setattr(asyncio, "open_connection", open_connection)
        gossip = Gossip(lambda: mine, lambda *_: None, lambda _: None, print)
        gossip.dial((theirs.host, theirs.port))
        if moment == "greeted":
            connected.set()
        for _ in range(5):
            await asyncio.sleep(0)
        connected.set()
        reader.feed_data(messages.encode(theirs))
        closing = asyncio.create_task(gossip.close())
        done, _ = await asyncio.wait([closing], timeout=3)
        assert done == {closing}

    asyncio.run(run())
