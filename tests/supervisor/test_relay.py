"""Lines that a daemon can't write to its log itself: filtered, tagged, over TCP, through the Engine's attach stream."""

import itertools
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from puppets import PYTHONS, puppet

from lucy_core.capturing.tagged import Demultiplexer
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import SupervisorError
from lucy_engines.docker.run.marks import MarkFinder

pytestmark = pytest.mark.blocking
COUNT = "import sys; [sys.stdout.write('%08d %s\\n' % (i, 'x' * (i % 400))) for i in range({})]; sys.stdout.flush()"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    return request.param


def count(lines: int) -> tuple[str, str, str]:
    """A daemon that writes numbered lines as fast as it can."""
    return PYTHONS["python"], "-c", COUNT.format(lines)


def numbers(text: bytes) -> list[int]:
    return [int(line[:8]) for line in text.splitlines()]


# --- filters --------------------------------------------------------------------------------------------------------

LEVELS = """
echo '{"level":"Spam","message":"a"}'
echo 'no record at all'
echo '{"level":"Fatal","message":"b"}'
printf '{"level":"Trace","message":"unfinished'
"""


async def test_a_filter_leaves_lines_out_and_says_how_many(python: str, tmp_path: Path) -> None:
    async with puppet(python, tmp_path, "sh", "-c", LEVELS, LUCY_CAPTURE_FILTER="level >= Warn") as bp:
        await bp.link.ask("start")
        await bp.until("exited")

        text = await bp.wrote(b"unfinished")

        assert text.splitlines() == [
            b"no record at all",
            b'{"level":"Fatal","message":"b"}',
            b'{"level":"Trace","message":"unfinished',
        ]
        assert [(event.lines, event.bytes) for event in bp.heard("filtered")] == [(1, 31)]


async def test_a_wrong_filter_is_refused_at_start(python: str, tmp_path: Path) -> None:
    async with puppet(python, tmp_path, "true", LUCY_CAPTURE_FILTER="level >=") as bp:
        with pytest.raises(SupervisorError, match="column"):
            await bp.link.ask("start")


# --- the shared pipe ------------------------------------------------------------------------------------------------


async def test_two_nodes_share_a_pipe_and_nothing_is_lost_or_mixed(python: str, tmp_path: Path) -> None:
    split, got = Demultiplexer(["one", "two"]), {"one": b"", "two": b""}
    (tmp_path / "2").mkdir()
    shared = {"LUCY_CAPTURE": "shared", "LUCY_LOG": str(tmp_path / "log")}
    async with (
        puppet(python, tmp_path, *count(5000), LUCY_NODE="one", **shared) as one,
        puppet(python, tmp_path / "2", *count(5000), LUCY_NODE="two", **shared) as two,
    ):
        await two.link.ask("start")
        await one.link.ask("start")
        rest = b""

        def take() -> None:
            nonlocal rest
            whole, newline, rest = (rest + one.unread()).rpartition(b"\n")
            for piece in split.feed(whole + newline):
                assert not (piece.torn)
                assert not (piece.lost)
                assert not (piece.duplicates)
                got[piece.node] += piece.data

        with anyio.fail_after(60):
            while not (one.heard("exited") and two.heard("exited")):
                take()
                await anyio.sleep(0)
        take()

    assert numbers(got["one"]) == numbers(got["two"]) == list(range(5000))


async def test_a_reader_that_goes_away_holds_up_no_end_and_what_it_misses_is_counted(
    python: str, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    speak = f"echo one; until [ -e {go} ]; do sleep 0.05; done; echo two; echo three"
    shared = {"LUCY_NODE": "bp", "LUCY_CAPTURE": "shared"}
    async with puppet(python, tmp_path, "sh", "-c", speak, read=False, **shared) as bp:
        reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
        await bp.link.ask("start")
        await anyio.wait_readable(reader)
        size = len(os.read(reader, 1 << 16))
        os.close(reader)
        go.touch()

        end = await bp.until("exited")

        # As long as the first line, give or take the digits of its length.
        assert 2 * size <= end.lost <= 2 * size + 4


async def test_line_numbers_go_on_over_restarts(python: str, tmp_path: Path) -> None:
    split = Demultiplexer(["bp"])
    async with puppet(python, tmp_path, "echo", "hello", LUCY_NODE="bp", LUCY_CAPTURE="shared") as bp:
        for life in (1, 2):
            await bp.link.ask("start")
            await bp.until("exited", life)

        pieces = split.feed(bp.unread())

    assert [(piece.data, piece.lost, piece.duplicates) for piece in pieces] == [(b"hello\nhello\n", 0, 0)]


# --- over tcp -------------------------------------------------------------------------------------------------------


def over_tcp(pipeline: Pipeline, port: int, *, token: str | None = None, node: str = "bp") -> dict[str, str]:
    """What a supervisor is told that is to bring its lines over TCP."""
    address = f"127.0.0.1:{port}"
    told = {"LUCY_TOKEN": pipeline.token if token is None else token, "LUCY_NODE": node}
    return {"LUCY_CAPTURE": "tcp", "LUCY_ADDRESS": address, **told}


async def test_lines_come_over_tcp_each_once_and_in_order(python: str, tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        _, port = await pipeline.listen_resumably("bp", "127.0.0.1")
        async with puppet(python, tmp_path, *count(50_000), **over_tcp(pipeline, port)) as bp:
            for life in (1, 2):
                await bp.link.ask("start")
                await bp.until("exited", life)

        # It has ended once all is where it was to go.
        log = (tmp_path / "run/logs/bp.ndjson").read_bytes()
        assert numbers(log) == [*range(50_000), *range(50_000)]


async def test_the_half_line_of_a_daemon_that_ends_comes_over_tcp(python: str, tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        _, port = await pipeline.listen_resumably("bp", "127.0.0.1")
        async with puppet(python, tmp_path, "printf", r"one\nhalf", **over_tcp(pipeline, port)) as bp:
            await bp.link.ask("start")
            end = await bp.until("exited")
        await pipeline.drain("bp", ended=True)

        assert end.lost == 0
        assert (tmp_path / "run/logs/bp.ndjson").read_bytes() == b"one\nhalf"


async def test_the_half_line_of_a_daemon_that_has_ended_is_there_though_its_connection_stays_open(
    python: str, tmp_path: Path
) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        _, port = await pipeline.listen_resumably("bp", "127.0.0.1")
        with sabotage(port, 1 << 20, hold_ends=True) as server:
            given = over_tcp(pipeline, int(server.server_address[1]))
            async with puppet(python, tmp_path, "printf", r"one\nhalf", **given) as bp:
                await bp.link.ask("start")
                end = await bp.until("exited")
            await pipeline.drain("bp")
            assert (tmp_path / "run/logs/bp.ndjson").read_bytes() == b"one\n"

            await pipeline.drain("bp", ended=True)

            assert end.lost == 0
            assert (tmp_path / "run/logs/bp.ndjson").read_bytes() == b"one\nhalf"


@pytest.mark.parametrize(("token", "node"), (("wrong", "bp"), (None, "nobody")))
async def test_a_peer_that_does_not_know_the_token_is_refused(
    python: str, tmp_path: Path, token: str | None, node: str
) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        _, port = await pipeline.listen_resumably("bp", "127.0.0.1")
        given = over_tcp(pipeline, port, token=token, node=node)
        async with puppet(python, tmp_path, "echo", "evil", **given) as bp:
            with pytest.raises(SupervisorError, match="refused this node's token"):
                await bp.link.ask("start")
        await pipeline.reach(await pipeline.drain("bp"))

        assert (tmp_path / "run/logs/bp.ndjson").read_bytes() == b""
        assert pipeline.ledger.of("bp").strangers == 1
        assert pipeline.ledger.complete


async def test_a_lucy_that_is_not_there_is_a_sentence(python: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    async with puppet(python, tmp_path, "true", LUCY_CAPTURE="tcp", LUCY_ADDRESS=address) as bp:
        with pytest.raises(SupervisorError, match=f"can't reach Lucy at {address}: Connection refused"):
            await bp.link.ask("start")


async def test_what_answers_and_is_no_lucy_is_a_sentence(python: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            with server.accept()[0] as peer:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        async with puppet(python, tmp_path, "true", LUCY_CAPTURE="tcp", LUCY_ADDRESS=address) as bp:
            with pytest.raises(SupervisorError, match=f"Lucy at {address} does not answer: what answers is no Lucy"):
                await bp.link.ask("start")
        thread.join()


class Saboteur(socketserver.ThreadingTCPServer):
    """Passes connections on, and cuts each after so many bytes, in the way that a reset does.

    Their ends it passes on too or, like a partition, only at its own end.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, allowance: int, *, hold_ends: bool) -> None:
        self.port = port
        self.ending = threading.Event()
        if not hold_ends:
            self.ending.set()
        self.allowance = allowance
        self.cuts = 0
        super().__init__(("127.0.0.1", 0), Passage)


class Passage(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Saboteur)
        with socket.create_connection(("127.0.0.1", server.port)) as onward:
            back = threading.Thread(target=self.pass_back, args=(onward,))
            back.start()
            left = server.allowance
            while left > 0:
                try:
                    chunk = self.request.recv(min(left, 65536))
                except OSError:
                    break
                if not chunk:
                    break
                onward.sendall(chunk)
                left -= len(chunk)
            server.ending.wait(30)
            if left <= 0:
                server.cuts += 1
                server.allowance *= 2
                # Unread bytes and no lingering: both ends see a reset, and what was on its way is gone.
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            onward.shutdown(socket.SHUT_RDWR)
            back.join()

    def pass_back(self, onward: socket.socket) -> None:
        try:
            while chunk := onward.recv(65536):
                self.request.sendall(chunk)
        except OSError:
            pass


@contextmanager
def sabotage(port: int, allowance: int, *, hold_ends: bool = False) -> Iterator[Saboteur]:
    with Saboteur(port, allowance, hold_ends=hold_ends) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.ending.set()
            server.shutdown()
            thread.join()


async def test_connections_that_break_lose_and_double_nothing(python: str, tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        _, port = await pipeline.listen_resumably("bp", "127.0.0.1")
        with sabotage(port, 200_000) as server:
            given = over_tcp(pipeline, int(server.server_address[1]))
            async with puppet(python, tmp_path, *count(20_000), **given) as bp:
                await bp.link.ask("start")
                await bp.until("exited")

        assert server.cuts > 1
        assert numbers((tmp_path / "run/logs/bp.ndjson").read_bytes()) == list(range(20_000))
        await pipeline.reach(await pipeline.drain("bp"))
        assert pipeline.ledger.complete
        assert pipeline.ledger.of("bp").lines == 20_000


# --- marks ----------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.one_of(st.integers(0, 99), st.sampled_from((b"line\n", b"\x1e", b"\x1eLUCY ", b"\x1eLUCY t", b"half")))
    ),
    st.data(),
)
def test_marks_are_found_in_any_chunking_and_no_byte_is_lost(items: list[bytes | int], data: st.DataObject) -> None:
    text = b"".join(item if isinstance(item, bytes) else b"\x1eLUCY tok %d\n" % item for item in items)
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=8))})
    finder = MarkFinder("tok")

    found = [each for a, b in itertools.pairwise(cuts) for each in finder.feed(text[a:b])]
    found.append(finder.flush())

    def joined(pieces: list[bytes | int]) -> list[bytes | int]:
        whole: list[bytes | int] = []
        for piece in pieces:
            if isinstance(piece, bytes) and whole and isinstance(whole[-1], bytes):
                whole[-1] += piece
            elif piece != b"":
                whole.append(piece)
        return whole

    assert joined(found) == joined(items)
