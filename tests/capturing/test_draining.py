"""The drain alone: whose turn it is, and that what is held back waits where it is."""

# ruff: noqa: ARG002  # the contract has more than a test needs

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from lucy_core.capturing.draining import Drain, Reading
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.framing import LongLine
from lucy_core.capturing.sources.fifo import FifoSource
from lucy_core.capturing.sources.files.follow import FileSource
from lucy_core.capturing.sources.sockets import Connection
from lucy_core.capturing.sources.source import READ_BYTES
from lucy_core.delivery.pipeline import Pipeline

pytestmark = pytest.mark.blocking

LINE = b'{"message":"m"}\n'


class Kept:
    """A sink that keeps all it is given."""

    position = 0

    def __init__(self) -> None:
        self.lines: list[tuple[str, bytes]] = []
        self.facts: list[tuple[Fact, str]] = []
        self.blocked: list[str] = []

    def begin(self, node: str) -> None: ...

    def owns(self, path: str) -> bool:
        return False

    def put(
        self,
        node: str,
        pieces: Sequence[bytes | bytearray | memoryview],
        lines: int,
        *,
        torn: bool = False,
        **counted: int,
    ) -> None:
        self.lines.append((node, b"".join(pieces)))

    def begin_long(self, node: str) -> LongLine:
        return LongLine(0)

    def put_part(self, node: str, pieces: Sequence[bytes | bytearray], size: int) -> None: ...

    def end_long(self, node: str, line: LongLine, end: bytes, *, torn: bool) -> None: ...

    def add_blocked(self, node: str, waited_ns: int) -> None:
        self.blocked.append(node)

    def note(self, fact: Fact, node: str, **more: str | int) -> None:
        self.facts.append((fact, node))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def drain(kept: Kept) -> Iterator[Drain]:
    made = Drain(kept)
    yield made
    made.close()


def turn(drain: Drain) -> int:
    return sum(drain.serve(fd) for fd, _ in drain.poll(0))


def fifo(drain: Drain, path: Path) -> tuple[Reading, int]:
    drain.add(FifoSource(str(path), drain.buffer), path.name)
    return list(drain.readings.values())[-1], os.open(path, os.O_WRONLY)


def test_a_source_that_is_held_keeps_its_lines_until_it_is_released(drain: Drain, kept: Kept, tmp_path: Path) -> None:
    held, writer = fifo(drain, tmp_path / "a")
    _, other = fifo(drain, tmp_path / "b")
    drain.suspend(held)
    for fd in (writer, other):
        os.write(fd, LINE)
        os.close(fd)
    assert turn(drain) == len(LINE)
    assert turn(drain) == 0
    assert kept.lines == [("b", LINE)]
    drain.resume(held)
    assert turn(drain) == len(LINE)
    assert kept.lines == [("b", LINE), ("a", LINE)]


def test_parked_none_is_read_and_who_was_held_for_itself_stays_so(drain: Drain, kept: Kept, tmp_path: Path) -> None:
    held, writer = fifo(drain, tmp_path / "a")
    (tmp_path / "file").write_bytes(LINE)
    drain.suspend(held)
    drain.park(parked=True)
    os.write(writer, LINE)
    os.close(writer)
    drain.add(FileSource(str(tmp_path / "file")), "file")
    assert turn(drain) == 0
    drain.park(parked=False)
    assert turn(drain) == len(LINE)
    assert turn(drain) == 0
    assert kept.lines == [("file", LINE)]


def test_what_is_held_is_taken_by_a_drain_all_the_same(drain: Drain, kept: Kept, tmp_path: Path) -> None:
    held, writer = fifo(drain, tmp_path / "a")
    drain.suspend(held)
    os.write(writer, LINE + b"half")
    os.close(writer)
    drain.drain("a")
    assert kept.lines == [("a", LINE), ("a", b"half")]


def test_a_source_that_ends_while_it_is_held_leaves_no_other_held(drain: Drain, kept: Kept) -> None:
    ours, theirs = socket.socketpair()
    drain.add(Connection(theirs, None), "a")
    (held,) = drain.readings.values()
    drain.suspend(held)
    ours.close()
    drain.drain("a")
    assert not drain.readings
    ours, theirs = socket.socketpair()
    assert theirs.fileno() == held.fd  # the number is another's by now
    drain.add(Connection(theirs, None), "b")
    drain.suspend(held)
    drain.resume(held)
    ours.sendall(LINE)
    assert turn(drain) == len(LINE)
    assert kept.lines == [("b", LINE)]
    ours.close()


def test_a_writer_waits_for_who_holds_it_back_and_not_for_idleness(drain: Drain, kept: Kept, tmp_path: Path) -> None:
    held, writer = fifo(drain, tmp_path / "a")
    drain.suspend(held)
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, LINE * 256)
    drain.found_empty(held.last_ns + 10**12)
    drain.resume(held)
    while turn(drain):
        pass
    os.close(writer)
    assert set(kept.blocked) == {"a"}
    assert sum(len(data) for _, data in kept.lines) > READ_BYTES


@pytest.mark.anyio
@pytest.mark.parametrize("recorded", (True, False))
async def test_a_drain_ends_though_its_writer_goes_on(recorded: bool, tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        path = await pipeline.open_fifo("a", tmp_path / "fifo")
        with subprocess.Popen(["sh", "-c", f"exec yes '{LINE.decode().strip()}' > {path}"]) as writer:
            try:
                with anyio.fail_after(30):
                    await pipeline.reach(1000)
                    position = await pipeline.drain("a")
            finally:
                writer.kill()
        assert position >= 1000
        assert pipeline.ledger.of("a").torn == 0
