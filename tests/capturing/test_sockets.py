"""Lines over sockets: nodes are served whoever else comes to the port, and strangers make nothing incomplete."""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from captures import account, capture_in, replayed, say

from lucy_core.capturing.requests import Drain, Listen
from lucy_core.capturing.sources import sockets
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import RecordingError

pytestmark = pytest.mark.anyio


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def until_turned_away(pipeline: Pipeline, node: str, peers: int) -> None:
    with anyio.fail_after(20):
        while pipeline.ledger.of(node).strangers < peers:
            await anyio.sleep(0.005)


@pytest.mark.blocking
async def test_of_a_thousand_silent_peers_no_node_is_the_worse(tmp_path: Path) -> None:
    with many_descriptors(), contextlib.ExitStack() as peers:
        async with Pipeline.record(tmp_path / "run") as pipeline:
            address = await pipeline.listen("a", ("127.0.0.1", 0))
            assert not isinstance(address, str)
            for _ in range(1100):
                peers.enter_context(socket.create_connection(address))
            await until_turned_away(pipeline, "a", 1100 - sockets.WAITING_PEERS)
            with socket.create_connection(address) as node:
                node.sendall(b"LUCY %b\n" % pipeline.token.encode() + say("good"))
            await pipeline.open_fifo("b")
            await pipeline.reach(await pipeline.drain("a"))
            assert pipeline.ledger.of("a").lines == 1
            assert pipeline.ledger.of("a").waiting is None
            (sentence,) = pipeline.ledger.of("a").failures
            assert sentence == "a stranger at its port that had said nothing while 64 more came"
            assert pipeline.ledger.complete
    again = await replayed(tmp_path / "run")
    assert account(again) == account(pipeline.ledger)
    assert "turned away, the first being a stranger at its port that had said nothing" in again.summary()["a"]


@pytest.mark.blocking
@pytest.mark.parametrize("said", (b"LUCY wrong\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 300, b"LUCY", b"LUCY \n"))
@pytest.mark.parametrize("recorded", (True, False))
async def test_a_stranger_is_one_sentence_and_no_gap(said: bytes, recorded: bool, tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        address = await pipeline.listen("a", ("127.0.0.1", 0))
        assert not isinstance(address, str)
        with socket.create_connection(address) as stranger:
            stranger.sendall(said)
        await until_turned_away(pipeline, "a", 1)
        assert pipeline.ledger.complete
        assert len(pipeline.ledger.of("a").failures) == 1


@pytest.mark.blocking
async def test_who_says_nothing_for_long_is_turned_away(tmp_path: Path) -> None:
    with capture_in(tmp_path) as (capture, _):
        address = capture._intake.obey(Listen("a", ("127.0.0.1", 0))).address
        (listener,) = capture._drain.readings
        with socket.create_connection(address) as silent, socket.create_connection(address):
            capture._drain.serve(listener)
            capture._drain.turn_away_the_silent(time.monotonic() + sockets.GREETING_SECONDS / 2)
            assert len(capture._drain.readings) == 2
            capture._drain.turn_away_the_silent(time.monotonic() + sockets.GREETING_SECONDS + 1)
            assert list(capture._drain.readings) == [listener]
            assert silent.recv(1) == b""
        capture._publish()
        assert b'"reason":"said nothing for 10 s","peers":1' in (tmp_path / "arrivals.ndjson").read_bytes()


@pytest.mark.blocking
@pytest.mark.parametrize("host", ("::1", "localhost", "127.0.0.1", ""))
@pytest.mark.parametrize("recorded", (True, False))
async def test_a_host_is_an_address_of_either_kind_or_a_name(host: str, recorded: bool, tmp_path: Path) -> None:
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        address = await pipeline.listen("a", (host, 0))
        assert not isinstance(address, str)
        with socket.create_connection(address) as node:
            node.sendall(b"LUCY %b\n" % pipeline.token.encode() + say("good"))
        await pipeline.reach(await pipeline.drain("a"))
        assert pipeline.ledger.of("a").lines == 1


@pytest.mark.parametrize("recorded", (True, False))
async def test_an_address_that_is_taken_is_refused_by_name(recorded: bool, tmp_path: Path) -> None:
    (tmp_path / "socket").touch()
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        with pytest.raises(RecordingError, match=r"Address already in use.*/socket|/socket.*Address already in use"):
            await pipeline.listen("a", str(tmp_path / "socket"))
        with pytest.raises(RecordingError, match=r"198\.51\.100\.1"):
            await pipeline.listen("a", ("198.51.100.1", 0))


async def test_a_peer_that_came_and_went_before_the_drain_has_been_read(tmp_path: Path) -> None:
    with capture_in(tmp_path) as (capture, _):
        capture._intake.obey(Listen("a", str(tmp_path / "socket")))
        for number in range(3):
            with socket.socket(socket.AF_UNIX) as node:
                node.connect(str(tmp_path / "socket"))
                node.sendall(say(number))
        assert capture._intake.obey(Drain("a")).position == 3
