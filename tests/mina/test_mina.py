"""Mina's vocabulary: ids, payloads, state, conditions, topology, GraphQL."""

import hashlib
from pathlib import Path

import anyio
import msgspec
import pytest
from graphql import build_schema, parse, validate
from hypothesis import given
from hypothesis import strategies as st

import lucy_core as lucy
from lucy_core import mina
from lucy_core.mina.documents import DOCUMENTS
from lucy_core.mina.events import STATE_EVENTS
from lucy_core.mina.format import MinaRecord
from lucy_core.mina.graphql import connect
from lucy_core.records.journal import NodeExited, NodePaused, NodeResumed, NodeStarted, NodeStopped
from lucy_core.records.record import Event, Record
from lucy_engines.simnode.api.schema import SDL

# Event: path and constructor that the id is the MD5 of (mina-events: how ids come about).
PATHS = {
    mina.NodeInitialization: "src/lib/transition_router/transition_router.ml.Starting_transition_frontier_controller",
    mina.TransitionFrontierDiffApplication: "src/lib/transition_frontier/transition_frontier.ml.Applying_diffs",
    mina.BlockProduced: "src/lib/block_producer/block_producer.ml.Block_produced",
    mina.BreadcrumbAdded: "src/lib/transition_frontier/transition_frontier.ml.Added_breadcrumb_user_commands",
    mina.BlockGossip: "src/lib/transition_handler/block_sink.ml.Block_received",
    mina.SnarkWorkGossip: "src/lib/network_pool/snark_pool_diff.ml.Make.Snark_work_received",
    mina.TransactionsGossip: "src/lib/network_pool/transaction_pool.ml.Make0.Resource_pool.Diff.Transactions_received",
    mina.SnarkWorkFailed: "src/lib/snark_worker/events.ml.Generating_snark_work_failed",
    mina.TransitionFrontierLoadedFromPersistence: (
        "src/lib/transition_frontier/transition_frontier.ml.Transition_frontier_loaded_from_persistence"
    ),
    mina.PersistedFrontierLoaded: "src/lib/transition_frontier/transition_frontier.ml.Persisted_frontier_loaded",
    mina.PersistedFrontierFreshBoot: "src/lib/transition_frontier/transition_frontier.ml.Persisted_frontier_fresh_boot",
    mina.PersistedFrontierDropped: "src/lib/transition_frontier/transition_frontier.ml.Persisted_frontier_dropped",
    mina.BootstrapRequired: "src/lib/transition_frontier/transition_frontier.ml.Bootstrap_required",
    mina.BootstrapStarted: "src/lib/transition_router/transition_router.ml.Starting_bootstrap_controller",
    mina.BootstrapComplete: "src/lib/bootstrap_controller/bootstrap_controller.ml.Bootstrap_complete",
    mina.Synced: "src/lib/mina_lib/mina_lib.ml.Synced",
}


@pytest.mark.parametrize(("kind", "path"), tuple(PATHS.items()), ids=lambda value: getattr(value, "__name__", ""))
def test_an_id_is_the_md5_of_its_path(kind: type, path: str) -> None:
    assert hashlib.md5(path.encode(), usedforsecurity=False).hexdigest() in lucy.event_type(kind).ids


def record(kind: type, metadata: object) -> Record:
    (event_id, *_) = lucy.event_type(kind).ids
    return MinaRecord(text="m", metadata=msgspec.Raw(msgspec.json.encode(metadata)), id=event_id)


def read(kind: type, metadata: object):
    return lucy.event_type(kind).decode(record(kind, metadata))


def breadcrumb(slot: object = "14", height: object = "8", *, old_slot: bool = False, old_hash: bool = False) -> dict:
    name = "curr_global_slot" if old_slot else "curr_global_slot_since_hard_fork"
    consensus = {"blockchain_length": height, "epoch_count": "0", name: {"slot_number": slot, "slots_per_epoch": "480"}}
    transition = {
        "data": {"protocol_state": {"previous_state_hash": "3NKp", "body": {"consensus_state": consensus}}},
        "hash": "3NLh" if old_hash else {"state_hash": "3NLh", "state_body_hash": "3Wb"},
    }
    return {"breadcrumb": {"validated_transition": transition, "just_emitted_a_proof": False}}


@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.booleans())
def test_a_produced_block_is_read_in_every_form(number: int, text: bool, old_slot: bool, old_hash: bool) -> None:
    value = str(number) if text else number
    block = read(mina.BlockProduced, breadcrumb(value, value, old_slot=old_slot, old_hash=old_hash))
    assert (block.global_slot, block.block_height, block.state_hash) == (number, number, "3NLh")
    assert block.previous_state_hash == "3NKp"


def test_diffs_are_read_and_bad_ones_refused() -> None:
    diffs = [
        {"New_node": "3NLa"},
        {"Root_transitioned": {"new_root": "3NLr", "garbage": ["3NLg"], "just_emitted_a_proof": False}},
        {"Best_tip_changed": "3NLa"},
    ]
    found = read(mina.TransitionFrontierDiffApplication, {"diffs": diffs})
    assert (found.new_node, found.best_tip_changed) == ("3NLa", "3NLa")
    assert found.root_transitioned == mina.RootTransition("3NLr", ("3NLg",))
    for bad in ([{"Unknown": "x"}], [{"New_node": "a"}, {"New_node": "b"}], [{}], [{"New_node": 3}]):
        with pytest.raises((ValueError, TypeError)):
            read(mina.TransitionFrontierDiffApplication, {"diffs": bad})


def test_transactions_keep_their_order_and_fate() -> None:
    commands = [
        {"data": "5Ja", "status": ["Applied"]},
        {"data": "5Jb", "status": ["Failed", [[["Cancelled"]], [["Source_insufficient_balance"]]]]},
    ]
    found = read(mina.BreadcrumbAdded, {"state_hash": "3NL", "user_commands": commands})
    assert [(each.hash, each.applied, each.failures) for each in found.transactions] == [
        ("5Ja", True, ()),
        ("5Jb", False, ("Cancelled", "Source_insufficient_balance")),
    ]


def test_gossip_is_read_with_and_without_a_sender() -> None:
    sender = {"Remote": {"host": "10.0.0.3", "peer_id": "12D3", "libp2p_port": 8302}}
    assert read(mina.BlockGossip, {"state_hash": "3NL", "sender": sender}).sender.host == "10.0.0.3"
    assert read(mina.BlockGossip, {"state_hash": "3NL", "sender": "Local"}).sender is None
    summaries = {"fee_payer_summaries": [["7mX", "B62q", 3]], "sender": "Local"}
    assert read(mina.TransactionsGossip, summaries).fee_payers == (mina.FeePayerSummary("7mX", "B62q", 3),)
    assert read(mina.TransactionsGossip, {"txns": [{}], "sender": "Local"}).fee_payers == ()
    with pytest.raises(ValueError, match="neither"):
        read(mina.TransactionsGossip, {"sender": "Local"})


# State and conditions


def produced(state_hash: str, height: int) -> mina.BlockProduced:
    return mina.BlockProduced(state_hash=state_hash, block_height=height, global_slot=height, epoch=height // 10)


def tip(state_hash: str) -> mina.TransitionFrontierDiffApplication:
    return mina.TransitionFrontierDiffApplication(best_tip_changed=state_hash)


def fold(*steps: tuple[str, object], state: mina.MinaState | None = None) -> mina.MinaState:
    state = state or mina.MinaState()
    for position, (node, data) in enumerate(steps):
        state.apply(Event(node, position, 0, Record(raw=b"m", text="m"), data))
    return state


facts = st.sampled_from(
    (
        ("lucy", NodeStarted("a")),
        ("lucy", NodeStopped("a")),
        ("lucy", NodeExited("b", "exited with code 1")),
        ("a", mina.NodeInitialization()),
        ("b", mina.NodeInitialization()),
        ("a", produced("h1", 1)),
        ("b", produced("h2", 1)),
        ("a", tip("h1")),
        ("b", tip("h1")),
        ("b", mina.PersistedFrontierLoaded()),
        ("a", mina.BreadcrumbAdded("h1", (mina.TransactionStatus("t", applied=True),))),
        ("a", mina.BlockGossip("h2")),
    )
)


def picture(state: mina.MinaState) -> list[object]:
    return [getattr(state, name) for name in mina.MinaState.__slots__]


@given(st.lists(facts, max_size=20), st.integers(0, 20))
def test_folding_on_from_a_copy_is_folding_all(steps: list, cut: int) -> None:
    first = fold(*steps[:cut])
    copy = first.copy()
    before = picture(first.copy())
    fold(*steps[cut:], state=copy)
    assert picture(copy) == picture(fold(*steps))
    assert picture(first) == before


def check(condition, now: mina.MinaState, before: mina.MinaState | None = None):
    return condition.check(before or mina.MinaState(), now)


def test_a_stopped_node_is_not_initialized_any_more() -> None:
    up = [("lucy", NodeStarted("a")), ("a", mina.NodeInitialization())]
    assert check(mina.nodes_initialized("a"), fold(*up)).verdict is lucy.Verdict.TRUE
    stopped = fold(*up, ("lucy", NodeStopped("a")), ("lucy", NodeStarted("a", fresh_state=True)))
    progress = check(mina.nodes_initialized("a"), stopped)
    assert progress.verdict is lucy.Verdict.PRESUMABLY_FALSE
    assert progress.missing == ("a: not initialized yet",)
    died = fold(*up, ("lucy", NodeExited("a", "was killed by SIGKILL")))
    assert check(mina.nodes_initialized("a"), died).impossible == "a was killed by SIGKILL"
    unstarted = fold(("lucy", NodeStarted("a")), ("lucy", lucy.NodeStartFailed("a", "there is no program")))
    assert not unstarted.node("a").running


def test_every_block_counts_once_forks_too() -> None:
    before = fold(("lucy", NodeStarted("a")), ("a", produced("h1", 1)))
    now = fold(("a", produced("h2", 2)), ("b", produced("h3", 2)), ("b", produced("h3", 2)), state=before.copy())
    assert check(mina.blocks_produced(2), now, before).have == 2
    assert check(mina.block_height_growth(1), now, before).verdict is lucy.Verdict.TRUE
    assert check(mina.block_height_growth(2), now, before).verdict is lucy.Verdict.PRESUMABLY_FALSE


def test_a_paused_node_does_nothing_and_keeps_no_wait_alive() -> None:
    both = fold(("lucy", NodeStarted("a")), ("lucy", NodeStarted("b")), ("lucy", NodePaused("a")))
    progress = check(mina.blocks_produced(1), both, both.copy())
    assert progress.verdict is lucy.Verdict.PRESUMABLY_FALSE
    assert progress.missing == ("1 more blocks; running: b (paused: a)",)
    none = fold(("lucy", NodeStopped("b")), state=both)
    for condition in (mina.blocks_produced(1), mina.block_height_growth(1)):
        assert check(condition, none, none.copy()).impossible == "no node runs any more: no node (paused: a)"
    back = fold(("lucy", NodeResumed("a")), state=none)
    assert check(mina.blocks_produced(1), back, back.copy()).impossible is None


@pytest.mark.parametrize(
    ("tips", "same"),
    ((("x", "x", "x"), True), (("x", "x", "y"), False), (("x", "y", "y"), False), (("x", None, "x"), False)),
)
def test_nodes_are_synchronized_when_all_tips_are_equal(tips: tuple[str | None, ...], same: bool) -> None:
    steps = [(name, tip(value)) for name, value in zip("abc", tips, strict=True) if value]
    progress = check(mina.nodes_synchronized("a", "b", "c"), fold(*steps))
    assert (progress.verdict is lucy.Verdict.TRUE) is same
    assert same or progress.missing


def test_an_inclusion_with_the_wrong_status_decides_at_once() -> None:
    status = mina.TransactionStatus("t", False, ("Source_insufficient_balance",))
    failed = fold(("a", mina.BreadcrumbAdded("h", (status,))))
    progress = check(mina.signed_command_included("t"), failed)
    assert "Source_insufficient_balance" in (progress.impossible or "")
    assert check(mina.signed_command_included("t", status="failed"), failed).verdict is lucy.Verdict.TRUE
    assert check(mina.signed_command_included("t", status=None, node="b"), failed).verdict is not lucy.Verdict.TRUE


# Topology


def small(**more: object) -> mina.Topology:
    return mina.Topology(
        accounts=(mina.Account("k", "1000"),), block_producers=(mina.BlockProducer("bp", "k"),), **more
    )


def test_a_topology_becomes_commands_in_minas_own_style() -> None:
    spec = small().network_spec({"seed": "7"})
    spec.validate()
    seed, producer = spec.nodes
    assert seed.command[:3] == ("lucy-simnode", "daemon", "-seed")
    assert producer.after == ("seed",)
    assert "{file:keys/k}" in producer.command
    assert any(word.startswith("{multiaddr:seed}/tcp/{port:seed.external}/p2p/12D3KooW") for word in producer.command)
    config = msgspec.json.decode(producer.files["runtime_config.json"])
    assert config["proof"]["block_window_duration_ms"] == 1000
    assert config["ledger"]["accounts"][0]["pk"] == producer.files["keys/k.pub"].decode()
    assert config["ledger"]["accounts"][0]["pk"].startswith("B62q")
    assert small().network_spec({"seed": "7"}).nodes[1].files["keys/k"] == producer.files["keys/k"]
    assert small().network_spec({"seed": "8"}).nodes[1].files["keys/k"] != producer.files["keys/k"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    (
        ({"accounts": (mina.Account("k", "1"), mina.Account("k", "2"))}, "account 'k' is there 2 times"),
        ({"block_producers": (mina.BlockProducer("bp", "z"),)}, "uses account 'z', which is not in the ledger"),
        ({"accounts": (mina.Account("k", "much"),)}, "balance 'much'"),
        ({"accounts": (mina.Account("k", "1", delegate="z"),)}, "delegates to 'z'"),
        ({"seeds": 0}, "needs a seed node"),
    ),
)
def test_a_wrong_topology_is_refused_by_name(wrong: dict, text: str) -> None:
    topology = msgspec.structs.replace(small(), **wrong)
    with pytest.raises(lucy.TopologyError, match=text):
        topology.network_spec({})


# GraphQL


@pytest.mark.parametrize("name", tuple(DOCUMENTS))
def test_a_document_fits_the_simulated_nodes_schema(name: str) -> None:
    assert validate(build_schema(SDL), parse(DOCUMENTS[name])) == []


async def serve(replies: list[bytes | None]):
    """A server of canned replies, one a connection; None closes without a word."""
    import asyncio

    asked: list[bytes] = []

    async def answer(reader, writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        asked.append(await reader.readexactly(size))
        reply = replies.pop(0)
        if reply is not None:
            writer.write(reply)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, asked


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        status.encode(),
        len(body),
        body,
    )


@pytest.mark.anyio
async def test_connection_errors_are_asked_again_and_answers_never() -> None:
    good = http(b'{"data":{"syncStatus":"SYNCED"}}')
    server, asked = await serve([None, http(b"", "503 Service Unavailable"), good])
    async with server:
        url = "http://127.0.0.1:%d/graphql" % server.sockets[0].getsockname()[1]
        async with connect("a", url, deadline=20) as api:
            assert await api.sync_status() == "SYNCED"
    assert len(asked) == 3
    server, asked = await serve([http(b'{"data":null,"errors":[{"message":"Insufficient_funds: no"}]}')])
    async with server:
        url = "http://127.0.0.1:%d/graphql" % server.sockets[0].getsockname()[1]
        async with connect("a", url) as api:
            with pytest.raises(lucy.NodeRefusedError) as caught:
                await api.sync_status()
    assert (caught.value.node, caught.value.operation, caught.value.code) == ("a", "syncStatus", "insufficient_funds")
    assert len(asked) == 1


@pytest.mark.anyio
async def test_nobody_there_is_told_with_node_operation_and_code(tmp_path: Path) -> None:
    async with connect("a", "http://127.0.0.1:9/graphql", deadline=0.3) as api:
        with pytest.raises(lucy.NodeUnreachableError, match="syncStatus on a failed .connection_refused") as caught:
            await api.sync_status()
    assert caught.value.code == "connection_refused"
    with anyio.move_on_after(0.05) as scope:
        async with connect("a", "http://127.0.0.1:9/graphql") as api:
            await api.sync_status()
    assert scope.cancelled_caught


def test_the_state_is_folded_from_declared_events() -> None:
    for kind in STATE_EVENTS:
        assert lucy.event_type(kind).data_type is kind
