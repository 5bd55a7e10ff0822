"""Loss and order under what writers do, and under what is done to Lucy while they write. Real processes, real FIFOs.

Every line carries its number: nothing is lost, twice there or out of order when the numbers that arrive are the numbers
that were written.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline

ID = "lucy.test.numbered"


@lucy.event(ids=ID)
class Numbered(msgspec.Struct, frozen=True):
    n: int
    text: str = ""


HEAD = f"""
import os, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY)
def line(n, text=b""):
    return b'{{"message":"m","metadata":{{"n":%d,"text":"%b"}},"event_id":"{ID}"}}\\n' % (n, text)
def write(data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
"""

DIES_IN_MID_LINE = """
first = int(sys.argv[2])
write(b"".join(map(line, range(first, first + 500))) + line(first + 500)[:30])
os.kill(os.getpid(), 9)
"""

DAWDLES = """
for n in range(40):
    for byte in line(n):
        os.write(fd, bytes((byte,)))
"""

IS_LONG_WINDED = """
sizes = [0, 1 << 20, 0, 64 << 20, *[1 << 20] * 10, 0]
for n, size in enumerate(sizes):
    write(line(n, b"x" * size))
"""

# Some 50 MB in five seconds: fifty times what a pipe holds.
PACES = """
for n in range(0, 100_000, 200):
    write(b"".join(line(i, b"x" * 430) for i in range(n, n + 200)))
    time.sleep(0.01)
"""

FLOODS = """
write(line(0))
sys.stdin.read()
write(b"".join(line(n, b"x" * 1000) for n in range(1, 4000)))
"""


@contextmanager
def writer(program: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-I", "-S", "-c", HEAD + program, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


async def ended(process: subprocess.Popen[bytes]) -> int:
    return await anyio.to_thread.run_sync(process.wait)


@pytest.fixture(params=(True, False), ids=("recorded", "passed through"))
def opened(request: pytest.FixtureRequest, tmp_path: Path):
    return Pipeline.record(tmp_path / "run") if request.param else Pipeline.pass_through()


@pytest.mark.anyio
@pytest.mark.blocking
async def test_writers_that_are_killed_in_mid_line_and_start_again_lose_no_line(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        numbers: list[int] = []
        torn: list[bytes] = []
        pipeline.events(Numbered).subscribe(lambda event: numbers.append(event.data.n))
        pipeline.malformed().subscribe(lambda line: torn.append(line.raw))
        for first in (0, 500, 1000):
            with writer(DIES_IN_MID_LINE, fifo, first) as process:
                assert await ended(process) == -signal.SIGKILL
            await pipeline.reach(await pipeline.drain("a"))
        assert numbers == list(range(1500))
        assert torn == [b'{"message":"m","metadata":{"n":'[:30]] * 3
        assert pipeline.ledger.of("a").torn == 3
        assert pipeline.ledger.complete


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_writer_of_single_bytes_holds_nobody_up(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        slow = await pipeline.open_fifo("slow", tmp_path / "slow")
        quick = await pipeline.open_fifo("quick", tmp_path / "quick")
        numbers: dict[str, list[int]] = {"slow": [], "quick": []}
        pipeline.events(Numbered).subscribe(lambda event: numbers[event.node].append(event.data.n))
        with writer(DAWDLES, slow) as first, writer(DIES_IN_MID_LINE, quick, 0) as second:
            assert await ended(first) == 0
            await ended(second)
        for node in numbers:
            await pipeline.reach(await pipeline.drain(node))
        assert numbers == {"slow": list(range(40)), "quick": list(range(500))}


@pytest.mark.anyio
@pytest.mark.blocking
async def test_lines_of_a_mebibyte_and_of_sixty_four_pass_the_whole_pipeline(opened, tmp_path: Path) -> None:
    sizes = [0, 1 << 20, 0, 64 << 20, *[1 << 20] * 10, 0]
    found: list[tuple[int, int]] = []
    async with opened as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        pipeline.events(Numbered).subscribe(lambda event: found.append((event.data.n, len(event.data.text))))
        with writer(IS_LONG_WINDED, fifo) as process:
            assert await ended(process) == 0
        await pipeline.reach(await pipeline.drain("a"))
        assert found == list(enumerate(sizes))
        assert pipeline.ledger.of("a").malformed == 0
        if pipeline.directory is None:
            return
        # Whoever begins in the past reads them back.
        async with pipeline.events(Numbered, since=0).aiter(limit=2) as items:
            again = [(event.data.n, len(event.data.text)) async for event, _ in _zip(items, sizes)]
        assert again == found
    async with Pipeline.replay(tmp_path / "run") as replayed:
        big = await replayed.events(Numbered).first(lambda event: event.data.n == 3, within=60)
        assert len(big.data.text) == 64 << 20
        assert replayed.ledger.of("a").lines == len(sizes)


async def _zip(items, others):
    for other in others:
        yield await anext(items), other


LUCY = """
import json, sys
import anyio, msgspec
import lucy_core as lucy
from lucy_core.delivery import streams
from lucy_core.delivery.pipeline import Pipeline
sys.path.insert(0, sys.argv[2])
from test_reliability_writers import Numbered

async def main():
    numbers = []
    async with Pipeline.record(sys.argv[1]) as pipeline:
        fifo = await pipeline.open_fifo("a")
        first = anyio.Event()
        def take(event):
            numbers.append(event.data.n)
            first.set()
        pipeline.events(Numbered).subscribe(take)
        print(fifo, flush=True)
        await first.wait()
        print("first", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        await pipeline.reach(await pipeline.drain("a"))
        print(json.dumps({
            "ordered": numbers == list(range(len(numbers))),
            "count": len(numbers),
            "complete": pipeline.ledger.complete,
        }), flush=True)
anyio.run(main)
"""


def state_of(process: subprocess.Popen[str]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def is_full(fifo: Path) -> bool:
    descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    try:
        return not select.select((), (descriptor,), (), 0)[1]
    finally:
        os.close(descriptor)


@pytest.mark.slow
def test_lucy_stopped_for_five_seconds_loses_no_line_and_holds_no_node_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LUCY, str(tmp_path / "run"), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stopped:
        assert stopped.stdout is not None
        try:
            fifo = stopped.stdout.readline().strip()
            with writer(PACES, fifo) as process:
                assert stopped.stdout.readline() == "first\n"
                stopped.send_signal(signal.SIGSTOP)
                # It can only end if somebody takes what it writes.
                assert process.wait(timeout=60) == 0
                assert state_of(stopped) == "T"
            stopped.send_signal(signal.SIGCONT)
            found, _ = stopped.communicate("\n", timeout=60)
        finally:
            stopped.kill()
    assert json.loads(found) == {"ordered": True, "count": 100_000, "complete": True}


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_stopped_capture_process_makes_nodes_wait_and_says_so(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        numbers: list[int] = []
        pipeline.events(Numbered).subscribe(lambda event: numbers.append(event.data.n))
        assert pipeline.capture_pid is not None
        with writer(FLOODS, fifo) as process:
            with anyio.fail_after(20):
                while not numbers:
                    await anyio.sleep(0.001)
            os.kill(pipeline.capture_pid, signal.SIGSTOP)
            try:
                assert process.stdin is not None
                process.stdin.close()
                with anyio.fail_after(20):
                    while not is_full(fifo):
                        await anyio.sleep(0.001)
                assert process.poll() is None
            finally:
                os.kill(pipeline.capture_pid, signal.SIGCONT)
            assert await ended(process) == 0
        await pipeline.reach(await pipeline.drain("a"))
        assert numbers == list(range(4000))
        assert pipeline.ledger.of("a").blocked_ns > 0
        assert pipeline.ledger.complete
