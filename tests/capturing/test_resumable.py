"""Lines over TCP through connections that break: each comes once, in order, and is there before it is said to be."""

import contextlib
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.capturing.draining import Drain
from lucy_core.capturing.framing import LongLine
from lucy_core.capturing.sources.resumable import ResumableListener
from lucy_core.capturing.sources.sockets import WAITING_PEERS
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import RecordingError

pytestmark = pytest.mark.blocking
SECONDS = 20


@final
class Heap:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.torn: list[bytes] = []
        self.noted: list[tuple[str, dict[str, Any]]] = []

    def put(self, _node: str, pieces: Any, _lines: int, *, torn: bool = False, **_: int) -> None:
        (self.torn if torn else self.blocks).append(b"".join(pieces))

    def begin_long(self, node: str) -> LongLine:
        raise NotImplementedError

    put_part = end_long = add_blocked = begin_long

    def note(self, fact: str, _node: str, **more: Any) -> None:
        self.noted.append((fact, more))


@final
class Port:
    """A drain with one resumable port, served when it is told to."""

    def __init__(self) -> None:
        self.heap = Heap()
        self.drain = Drain(self.heap)
        listener = ResumableListener(("127.0.0.1", 0), "secret", "a")
        self.address = listener.address
        self.drain.add(listener, "a")

    def serve(self) -> None:
        while sum(self.drain.serve(fd) for fd, _ in self.drain.poll(0)):
            pass

    def connect(self, life: str = "1", *, token: str = "secret", node: str = "a") -> socket.socket:
        assert not isinstance(self.address, str)
        peer = socket.create_connection(self.address, SECONDS)
        peer.sendall(f"LUCY {token} {node} {life}\n".encode())
        self.serve()
        return peer


@pytest.fixture
def port() -> Iterator[Port]:
    port = Port()
    yield port
    port.drain.close()


def told(peer: socket.socket) -> int:
    """Return the last number that the port has said so far."""
    return int(peer.recv(1 << 16).split(b"\n")[-2])


def test_a_connection_goes_on_where_the_one_before_broke(port: Port) -> None:
    with port.connect() as first:
        assert told(first) == 0
        first.sendall(b"one\ntw")
        port.serve()
        assert told(first) == 6
    port.serve()
    with port.connect() as second:
        assert told(second) == 6
        second.sendall(b"o\nthree\n")
        port.serve()
        assert told(second) == 14

    assert b"".join(port.heap.blocks) == b"one\ntwo\nthree\n"
    assert (port.heap.torn, port.heap.noted) == ([], [])


def test_what_a_replaced_connection_still_brings_comes_over_the_new_one(port: Port) -> None:
    with port.connect() as old:
        told(old)
        old.sendall(b"unread\n")
        assert not isinstance(port.address, str)
        with socket.create_connection(port.address, SECONDS) as new:
            new.sendall(b"LUCY secret a 1\n")
            listener = next(iter(port.drain.readings))
            port.drain.serve(listener)
            port.drain.serve(max(port.drain.readings))
            assert told(new) == 0
            new.sendall(b"unread\nmore\n")
            port.serve()
            assert told(new) == 12
            assert old.recv(10) == b""

    assert b"".join(port.heap.blocks) == b"unread\nmore\n"


@given(
    st.binary(max_size=200).map(lambda text: text.replace(b"x", b"\n")),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.booleans()), max_size=8),
)
def test_any_breaks_of_the_connection_give_the_same_bytes(text: bytes, breaks: list[tuple[int, int, bool]]) -> None:
    port = Port()
    for taken, unread, reset in breaks:
        with port.connect() as peer:
            at = told(peer)
            peer.sendall(text[at : at + taken])
            port.serve()
            peer.sendall(text[at + taken : at + taken + unread])
            if reset:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        port.serve()
    with port.connect() as peer:
        peer.sendall(text[told(peer) :])
    port.serve()
    port.drain.drain("a")

    assert b"".join((*port.heap.blocks, *port.heap.torn)) == text
    assert b"".join(port.heap.torn) == text.rpartition(b"\n")[2]
    port.drain.close()


def test_the_half_line_of_a_life_that_ended_is_given_up_when_it_is_drained_and_not_before(port: Port) -> None:
    with port.connect() as peer:
        peer.sendall(b"whole\nhalf")
        peer.shutdown(socket.SHUT_WR)
        port.serve()
        assert told(peer) == 10
    assert port.heap.torn == []

    port.drain.drain("a")

    assert (port.heap.blocks, port.heap.torn) == ([b"whole\n"], [b"half"])


def test_what_is_still_in_the_socket_at_a_drain_belongs_to_the_half_line_before_it(port: Port) -> None:
    with port.connect() as peer:
        peer.sendall(b"ha")
        port.serve()
        peer.sendall(b"lf\nrest")

    port.drain.drain("a")

    assert (port.heap.blocks, port.heap.torn) == ([b"half\n"], [b"rest"])


def test_the_half_line_of_a_life_that_goes_on_survives_a_drain(port: Port) -> None:
    with port.connect() as peer:
        peer.sendall(b"ha")
        port.drain.drain("a")
        peer.sendall(b"lf\n")
        port.serve()

    assert (port.heap.blocks, port.heap.torn) == ([b"half\n"], [])


def test_the_half_line_of_a_life_that_is_known_to_have_ended_is_given_up_over_an_open_connection(port: Port) -> None:
    with port.connect() as peer:
        peer.sendall(b"whole\nhalf")
        port.serve()
        assert told(peer) == 10
        port.drain.drain("a")
        assert port.heap.torn == []

        port.drain.drain("a", ended=True)

        assert (port.heap.blocks, port.heap.torn) == ([b"whole\n"], [b"half"])
    port.drain.drain("a", ended=True)
    assert port.heap.torn == [b"half"]


def test_the_half_line_of_a_life_that_has_ended_is_given_up_though_its_connection_broke_before(port: Port) -> None:
    with port.connect() as first:
        first.sendall(b"ha")
        port.serve()
    port.serve()
    with port.connect() as second:
        second.sendall(b"lf")
        port.drain.drain("a", ended=True)

    assert (port.heap.blocks, port.heap.torn) == ([], [b"half"])


def test_strangers_are_no_peers_and_who_waits_to_be_accepted_is_one_after_a_drain(port: Port) -> None:
    assert not isinstance(port.address, str)
    with (
        socket.create_connection(port.address, SECONDS),
        socket.create_connection(port.address, SECONDS) as peer,
    ):
        peer.sendall(b"LUCY secret a 1\n")
        port.drain.drain("a")
        assert port.drain.peers("a") == 1
    port.drain.drain("a")
    assert port.drain.peers("a") == 0


def test_two_lives_have_each_their_own_count_and_half_line(port: Port) -> None:
    with port.connect("1") as one, port.connect("2") as two:
        for each, text in itertools.product((one, two), (b"be", b"gun\n")):
            each.sendall(text)
        port.serve()
        assert (told(one), told(two)) == (6, 6)

    assert b"".join(port.heap.blocks) == b"begun\nbegun\n"


def test_a_line_longer_than_the_other_end_may_keep_is_told_of_before_its_end(port: Port) -> None:
    with port.connect() as peer:
        told(peer)
        for size in range(1, 65):
            peer.sendall(b"x" * (1 << 17))
            port.serve()
            assert told(peer) == size << 17


@pytest.mark.parametrize("said", ({"token": "wrong"}, {"node": "b"}, {"node": "a more"}, {"token": "secret a"}))
def test_who_is_no_node_of_the_run_is_a_stranger_and_makes_nothing_incomplete(said: dict[str, str], port: Port) -> None:
    with port.connect(**said) as stranger:
        assert stranger.recv(10) == b""

    assert [(fact, more["reason"]) for fact, more in port.heap.noted] == [
        ("refused", "did not begin with this run's token")
    ]


def test_peers_that_say_nothing_are_turned_away_and_the_node_is_served(port: Port) -> None:
    assert not isinstance(port.address, str)
    with contextlib.ExitStack() as peers:
        silent = [peers.enter_context(socket.create_connection(port.address, SECONDS)) for _ in range(WAITING_PEERS)]
        port.serve()
        with port.connect() as node:
            assert silent[0].recv(1) == b""
            node.sendall(b"a line\n")
            port.serve()
            assert told(node) == 7

    assert port.heap.blocks == [b"a line\n"]


async def test_what_is_told_of_is_in_the_log(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        address = await pipeline.listen_resumably("a", "127.0.0.1")
        with socket.create_connection(address, SECONDS) as peer:
            peer.sendall(f"LUCY {pipeline.token} a 1\n".encode())
            assert told(peer) == 0
            for number in range(1, 50):
                peer.sendall(b"a line\n")
                while told(peer) < 7 * number:
                    pass
                assert (tmp_path / "run/logs/a.ndjson").stat().st_size == 7 * number
        await pipeline.reach(await pipeline.drain("a"))
        assert pipeline.ledger.of("a").lines == 49


@pytest.mark.parametrize("recorded", (True, False))
async def test_a_port_for_one_node_takes_its_lines_with_a_recording_and_without(recorded: bool, tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        address = await pipeline.listen_resumably("a", "localhost")
        with await anyio.to_thread.run_sync(socket.create_connection, address, SECONDS) as peer:
            peer.sendall(f"LUCY {pipeline.token} a 1\n".encode() + b"one\ntwo\n")
            await anyio.wait_readable(peer)
        await pipeline.reach(await pipeline.drain("a"))
        assert pipeline.ledger.of("a").lines == 2
        assert pipeline.ledger.complete


async def test_a_port_for_one_source_of_a_node_takes_that_alone(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        address = await pipeline.listen_resumably("a", "127.0.0.1", source="stderr")
        for said in (f"LUCY {pipeline.token} a 1\nno\n", f"LUCY {pipeline.token} a/stderr 1\none\n"):
            with await anyio.to_thread.run_sync(socket.create_connection, address, SECONDS) as peer:
                peer.sendall(said.encode())
                await anyio.wait_readable(peer)
        with anyio.fail_after(SECONDS):
            await pipeline.hung_up("a")
        await pipeline.reach(await pipeline.drain("a"))
        assert (tmp_path / "run/logs/a/stderr.ndjson").read_bytes() == b"one\n"
        assert (pipeline.ledger.of("a/stderr").lines, pipeline.ledger.of("a/stderr").strangers) == (1, 1)


@pytest.mark.parametrize("recorded", (True, False))
async def test_who_does_not_know_the_secret_is_not_the_node(recorded: bool, tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        address = await pipeline.listen_resumably("a", "127.0.0.1")
        with await anyio.to_thread.run_sync(socket.create_connection, address, SECONDS) as peer:
            peer.sendall(b"LUCY  a 1\na line\n")
            with anyio.fail_after(SECONDS):
                while not pipeline.ledger.of("a").strangers:
                    await anyio.sleep(0.005)
        await pipeline.reach(await pipeline.drain("a"))
        assert pipeline.ledger.of("a").lines == 0


@pytest.mark.parametrize("recorded", (True, False))
async def test_no_two_runs_have_one_secret(recorded: bool, tmp_path: Path) -> None:
    tokens = set()
    for run in ("first", "second"):
        async with Pipeline.record(tmp_path / run) if recorded else Pipeline.pass_through() as pipeline:
            tokens.add(pipeline.token)
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 32


@pytest.mark.parametrize("recorded", (True, False))
async def test_nobody_is_connected_any_more_once_the_last_has_hung_up_and_all_it_sent_is_there(
    recorded: bool, tmp_path: Path
) -> None:
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        address = await pipeline.listen_resumably("a", "localhost")
        with await anyio.to_thread.run_sync(socket.create_connection, address, SECONDS) as peer:
            peer.sendall(f"LUCY {pipeline.token} a 1\n".encode() + b"one\n")
            with anyio.move_on_after(0.2) as patience:
                await pipeline.hung_up("a")
            assert patience.cancelled_caught
            await anyio.to_thread.run_sync(peer.sendall, b"two\n" * 100_000)
            peer.shutdown(socket.SHUT_WR)
            with anyio.fail_after(SECONDS):
                await pipeline.hung_up("a")
        await pipeline.reach(await pipeline.drain("a"))
        assert pipeline.ledger.of("a").lines == 100_001


async def test_a_host_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        with pytest.raises(RecordingError, match=r"198\.51\.100\.1"):
            await pipeline.listen_resumably("a", "198.51.100.1")
        with pytest.raises(RecordingError, match="a host is text"):
            await pipeline.listen_resumably("a", 7)  # type: ignore[arg-type]
