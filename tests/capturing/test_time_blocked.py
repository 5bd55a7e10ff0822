"""How long a node may have waited for us: an upper bound that isn't made of idleness."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from lucy_core.capturing import draining
from lucy_core.capturing import loop as capture_module
from lucy_core.capturing.loop import Capture
from lucy_core.capturing.requests import Fifo
from lucy_core.capturing.sources import fifo
from lucy_core.capturing.sources.buffer import Buffer
from lucy_core.capturing.sources.fifo import FifoSource
from lucy_core.delivery import direct as direct_module
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.subscription import Gate
from lucy_core.delivery.pipeline import Pipeline

LINE = b'{"message":"m"}\n'


class Clock:
    """Stands still unless it is told."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def monotonic_ns(self) -> int:
        return self.now_ns

    def monotonic(self) -> float:
        return self.now_ns / 1e9

    def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


def fill(path: Path) -> None:
    """Write until the pipe takes no more."""
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(fd, LINE * 256)
    except BlockingIOError:
        pass
    finally:
        os.close(fd)


class Machine:
    """A capture loop in hand: its steps are the test's."""

    def __init__(self, directory: Path) -> None:
        (directory / "logs").mkdir()
        self.ours, theirs = socket.socketpair()
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)
        self.capture = Capture(theirs, self.bell, str(directory), "lucy", token="", epoch_ns=0)
        self.paths = [directory / name for name in ("a", "b")]
        for path in self.paths:
            self.capture._intake.obey(Fifo(path.name, str(path)))

    def turn(self) -> None:
        for fd, _ in self.capture._look(0):
            self.capture._drain.serve(fd)

    def blocked(self, node: str) -> float:
        return self.capture._recorder._logs[node].blocked_ns / 1e9

    def close(self) -> None:
        self.capture._drain.close()
        self.capture._recorder.close()
        os.close(self.bell)
        self.capture._server._control.close()
        self.ours.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (capture_module, draining):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def machine(tmp_path: Path, clock: Clock) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


def test_idleness_before_a_burst_is_no_time_blocked(machine: Machine, clock: Clock) -> None:
    a, _ = machine.paths
    for _ in range(100):
        clock.sleep(0.25)
        machine.turn()
    clock.sleep(0.25)
    fill(a)
    machine.turn()
    assert machine.blocked("a") == pytest.approx(0.25)


@pytest.mark.parametrize("pages", (1, 2, 3, 16))
def test_one_line_in_a_small_pipe_is_no_time_blocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    monkeypatch.setattr(fifo, "PIPE_BYTES", pages * 4096)  # as it is beyond a user's quota
    path = tmp_path / "small"
    with contextlib.closing(FifoSource(str(path), Buffer())) as source:
        path.write_bytes(LINE)
        assert source.read() == LINE
        assert not source.blocked
        fill(path)
        assert source.read()
        assert source.blocked


def test_a_pipe_left_full_while_capture_stood_still_is_time_blocked(machine: Machine, clock: Clock) -> None:
    a, b = machine.paths
    machine.turn()
    clock.sleep(0.01)
    fill(a)
    machine.turn()
    assert machine.blocked("a") == pytest.approx(0.01)
    fill(a)
    clock.sleep(5)
    machine.turn()
    assert machine.blocked("a") == pytest.approx(5.01)
    assert machine.blocked("b") == 0
    fill(b)
    clock.sleep(1)
    machine.turn()
    assert machine.blocked("b") == pytest.approx(1)


def test_a_pipe_that_had_room_blocked_nobody(machine: Machine, clock: Clock) -> None:
    a, _ = machine.paths
    fd = os.open(a, os.O_WRONLY)
    os.write(fd, LINE)
    os.close(fd)
    clock.sleep(5)
    machine.turn()
    assert machine.blocked("a") == 0


def direct_of(pipeline: Pipeline) -> direct_module.DirectSources:
    assert isinstance(pipeline._capture, direct_module.DirectSources)
    return pipeline._capture


@pytest.mark.anyio
async def test_without_a_recording_a_loop_that_stood_still_is_time_blocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    for module in (direct_module, draining):
        monkeypatch.setattr(module, "time", clock)
    async with Pipeline.pass_through() as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "a")
        await anyio.wait_all_tasks_blocked()
        fill(fifo)
        clock.sleep(5)
        await pipeline.reach(1000)
        assert pipeline.ledger.of("a").blocked_ns == 5_000_000_000


@pytest.mark.anyio
async def test_without_a_recording_idleness_is_no_time_blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for module in (direct_module, draining):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(direct_module, "BEAT_SECONDS", 1e6)
    async with Pipeline.pass_through() as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "a")
        await anyio.wait_all_tasks_blocked()
        clock.sleep(100)
        for _ in range(2):
            direct_of(pipeline).beat_nowait()
        fill(fifo)
        clock.sleep(1)
        await pipeline.reach(1000)
        assert pipeline.ledger.of("a").blocked_ns == 1_000_000_000


@pytest.mark.anyio
async def test_without_a_recording_a_subscriber_that_takes_no_more_blocks_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    for module in (direct_module, draining):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(direct_module, "BEAT_SECONDS", 1e6)
    gate = Gate()
    async with Pipeline.pass_through() as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "a")
        pipeline.subscribe(Interest(), lambda _: gate.close(), lambda _: None, gate=gate)
        fd = os.open(fifo, os.O_WRONLY)
        os.write(fd, LINE)
        os.close(fd)
        await pipeline.reach(1)
        fill(fifo)
        for _ in range(10):
            clock.sleep(1)
            direct_of(pipeline).beat_nowait()
        pipeline.subscribe(Interest(), lambda _: None, lambda _: None)
        gate.open()
        await pipeline.reach(1000)
        assert pipeline.ledger.of("a").blocked_ns >= 10_000_000_000
        gate.open()
