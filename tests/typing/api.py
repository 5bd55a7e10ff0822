"""Typed uses of the public API. Never run: mypy and pyright read it, strictly, and every `assert_type` must hold."""

from typing import Any, assert_type

import msgspec
from reactivex import operators

import lucy_core as lucy
from lucy_core.mina import BlockProduced, MinaState, blocks_produced, nodes_initialized, slots


@lucy.event(ids=("abc",), message="peer $peer banned")
class PeerBanned(msgspec.Struct, frozen=True):
    peer: str
    score: int = 0


def decode(record: lucy.Record) -> PeerBanned:
    return PeerBanned(peer=record.text)


assert_type(lucy.event_type(PeerBanned), lucy.EventType[PeerBanned])
assert_type(slots(3), lucy.Duration)
assert_type(blocks_produced(2), lucy.Condition[MinaState])


async def use_streams(network: lucy.Network) -> None:
    banned = network.events(PeerBanned)
    assert_type(banned, lucy.Stream[lucy.Event[PeerBanned]])
    peers = banned.filter(lambda event: event.data.score > 1).map(lambda event: event.data.peer)
    assert_type(peers, lucy.Stream[str])
    assert_type(peers.distinct_until_changed(), lucy.Stream[str])
    assert_type(peers.scan(lambda total, peer: total + len(peer), 0), lucy.Stream[int])
    assert_type(peers.take(3).take_until(banned), lucy.Stream[str])
    assert_type(peers.buffer(count=3), lucy.Stream[list[str]])
    assert_type(peers.window_count(3, 1), lucy.Stream[list[str]])
    assert_type(peers.merge(banned.map(lambda event: event.position)), lucy.Stream[str | int])
    assert_type(peers.start_with(1), lucy.Stream[str | int])
    assert_type(peers.share().within(3), lucy.Stream[str])
    assert_type(await peers.first(lambda peer: peer != "", within=5), str)
    assert_type(peers.flat_map(lambda peer: lucy.from_items([len(peer)])), lucy.Stream[int])
    records = network.records(level=lucy.Severity.WARN)
    assert_type(records, lucy.Stream[lucy.Event[lucy.Record]])
    assert_type(records.of(PeerBanned), lucy.Stream[lucy.Event[PeerBanned]])
    peers.pipe(operators.map(len), operators.take(2))
    async with peers.aiter() as items:
        async for item in items:
            assert_type(item, str)
    assert_type(await network.so_far(PeerBanned, nodes=("a",)), list[lucy.Event[PeerBanned]])
    assert_type(await network.so_far(level=lucy.Severity.ERROR), list[lucy.Event[lucy.Record]])
    assert_type(await network.so_far(joined=True), list[lucy.Event[lucy.Record]])
    assert_type(network.records(joined=True), lucy.Stream[lucy.Event[lucy.Record]])
    assert_type(await network.pipeline.so_far(), list[lucy.Event[lucy.Record]])
    undecodable = network.pipeline.undecodable(PeerBanned)
    assert_type(undecodable, lucy.Stream[lucy.Undecodable])
    stop = peers.subscribe(print)
    stop()


async def use_waits(network: lucy.Network) -> None:
    mark = network.mark()
    assert_type(mark, lucy.Mark)
    outcome = await network.wait_for(nodes_initialized("a"), since=mark, soft=lucy.seconds(1), hard=3.5)
    assert_type(outcome, lucy.WaitOutcome[Any])
    seen = await network.wait_for(lucy.seen(BlockProduced), since=0)
    assert_type(seen.data, BlockProduced)
    await network.wait_for(lucy.never(BlockProduced), lasting=5)
    assert_type(network["a"], lucy.Node)
    assert_type(network["a"].address("rest"), tuple[str, int])
    assert_type(network.ledger.of("a"), lucy.NodeLedger)
    assert_type(network.judgement.outcome, lucy.Outcome)
    assert_type(network.judgement.ended_by, BaseException | None)
    assert_type(network.ledger.gaps, list[lucy.Gap])
    with network.section("one", soft=True):
        network.check(network.ledger.complete, "the log is complete")


async def use_deploy(spec: lucy.NetworkSpec) -> None:
    async with lucy.deploy(spec, engine="process", options={"seed": "1"}, test="mine") as network:
        assert_type(network, lucy.Network)
    async with lucy.Pipeline.replay("run") as pipeline:
        blocks = pipeline.events(BlockProduced)
        assert_type(await blocks.map(lambda event: event.data.block_height).first(), int)


async def use_capture() -> None:
    assert_type(lucy.process("redis-server", "--port", "7000"), lucy.Source)
    async with lucy.capture({"a-1": ("a.log", lucy.fifo("a.fifo"))}, directory="run", c="c.log") as pipeline:
        assert_type(pipeline, lucy.Pipeline)
        assert_type(pipeline.records(), lucy.Stream[lucy.Event[lucy.Record]])


async def use_faults(network: lucy.Network) -> None:
    async with network.faults.inject(lucy.Drop(nodes=("a",), others=("b",)), lasting=slots(3)) as lease:
        assert_type(lease, lucy.Lease)
        await lease.end()
        assert_type(await lease.ended(), lucy.LeaseEnd)
    reverted = network.events(lucy.FaultReverted).map(lambda event: event.data.fault)
    assert_type(reverted, lucy.Stream[lucy.AnyFault])
