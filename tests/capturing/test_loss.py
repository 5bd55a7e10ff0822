"""Where a log can't be written, or who writes it is killed: what is in it, and what went past it, is all there was.

Real processes, disks and limits. A writer at full speed has its pipe full all the while, and what capture takes of it
ends in the middle of a line as a rule.
"""

import contextlib
import fcntl
import os
import random
import resource
import signal
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from captures import replayed, write
from small_disks import frozen, mounted

import lucy_core as lucy
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.sources.fifo import PIPE_BYTES
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.recording.ledger import Gap
from lucy_core.recording.recording import Cursor, Recording

EFBIG_BYTES = 1_234_567
REASONS = {"tmpfs": "No space left on device", "ext4": "No space left on device", "EFBIG": "File too large"}

pytestmark = [pytest.mark.anyio, pytest.mark.blocking]


def numbered_lines(count: int) -> list[bytes]:
    draw = random.Random(5)
    return [b"%d %b" % (number, b"x" * draw.randrange(4000)) for number in range(count)]


@contextlib.contextmanager
def pushing(data: bytes, fifo: Path, place: Path, *, again: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """Have somebody write it as fast as it is taken."""
    (place / "written").write_bytes(data)
    with subprocess.Popen(["sh", "-c", 'exec cat "$@" > "$0"', str(fifo), *[str(place / "written")] * again]) as writer:
        try:
            yield writer
        finally:
            writer.kill()


def heard(pipeline: Pipeline) -> list[bytes]:
    found: list[bytes] = []
    pipeline.lines(nodes="a").subscribe(lambda line: found.append(line.raw), lambda _: None)
    return found


async def replayed_lines(directory: Path) -> list[bytes]:
    """What can be read of a recording, and if that isn't all, its end says so."""
    found: list[bytes] = []
    async with Pipeline.replay(directory) as again:
        complete = again.ledger.complete
        with contextlib.nullcontext() if complete else pytest.raises(lucy.IncompleteError):
            async with again.lines(nodes="a", since=0).aiter() as lines:
                async for line in lines:
                    found.append(line.raw)  # noqa: PERF401  # what came before an error counts
    return found


def in_pipe(fifo: Path) -> int:
    descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), "little")
    finally:
        os.close(descriptor)


async def until_true(condition) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.001)


@pytest.fixture(params=REASONS)
def why(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def place(why: str, tmp_path: Path) -> Iterator[Path]:
    """Where a recording can go that will find no room."""
    with contextlib.nullcontext(tmp_path) if why == "EFBIG" else mounted(why, tmp_path / "disk") as found:
        yield found


def leave_no_room(pipeline: Pipeline, why: str, place: Path) -> None:
    """Have no log take much more."""
    if why == "EFBIG":
        assert pipeline.capture_pid is not None
        resource.prlimit(pipeline.capture_pid, resource.RLIMIT_FSIZE, (EFBIG_BYTES, EFBIG_BYTES))
    else:
        with (place / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            free = os.statvfs(place)
            ballast.write(bytes(max(0, free.f_bavail * free.f_frsize - EFBIG_BYTES)))


async def test_a_log_that_fails_in_mid_write_has_whole_lines_and_all_others_go_past_it(
    why: str, place: Path, tmp_path: Path
) -> None:
    lines = numbered_lines(2000)
    written = b"\n".join((*lines, b""))
    async with Pipeline.record(place / "run") as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        found = heard(pipeline)
        leave_no_room(pipeline, why, place)
        with pushing(written, fifo, tmp_path) as writer:
            assert await anyio.to_thread.run_sync(writer.wait) == 0
        await pipeline.reach(await pipeline.drain("a"))
        assert found == lines
        assert pipeline.ledger.complete
        assert pipeline.ledger.recording_stopped is not None
        position, reason = pipeline.ledger.recording_stopped
        assert REASONS[why] in reason
    log = (place / "run/logs/a.ndjson").read_bytes()
    assert written.startswith(log)
    assert not log or log.endswith(b"\n")
    # A block for whose row there was no room is in the log and went past it too.
    assert log.count(b"\n") >= position > 0
    assert await replayed_lines(place / "run") == lines[:position]
    assert (await replayed(place / "run")).gaps == [Gap(position, None, f"the recording stopped: {reason}")]


async def test_a_line_that_was_begun_before_its_log_failed_comes_whole(why: str, place: Path, tmp_path: Path) -> None:
    lines = numbered_lines(1000)
    async with Pipeline.record(place / "run") as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        found = heard(pipeline)
        await write(fifo, b"whole\nbegun")
        await until_true(lambda: found)
        leave_no_room(pipeline, why, place)
        long = b"y" * (8 << 20)  # more than any of these logs takes
        await write(fifo, long + b" ended\n" + b"\n".join((*lines, b"unfinished")))
        await pipeline.reach(await pipeline.drain("a"))
        assert found == [b"whole", b"begun" + long + b" ended", *lines, b"unfinished"]
        assert pipeline.ledger.of("a").torn == 1
        assert pipeline.ledger.complete
        assert pipeline.ledger.recording_stopped is not None
        assert pipeline.ledger.recording_stopped[0] == 1
    assert (place / "run/logs/a.ndjson").read_bytes() == b"whole\n"
    assert await replayed_lines(place / "run") == [b"whole"]


async def test_a_capture_that_is_killed_in_mid_write_has_whole_blocks_behind_its_rows_and_the_rest_is_a_gap(
    tmp_path: Path,
) -> None:
    lines = numbered_lines(5000)
    written = b"\n".join((*lines, b""))
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        found = heard(pipeline)
        with pushing(written, fifo, tmp_path, again=100) as writer:
            await until_true(lambda: len(found) > 7000)
            assert pipeline.capture_pid is not None
            os.kill(pipeline.capture_pid, signal.SIGKILL)
            assert await anyio.to_thread.run_sync(writer.wait) == -signal.SIGPIPE
        await until_true(lambda: pipeline.ledger.gaps)
        assert pipeline.ledger.gaps == [Gap(len(found), None, "the capture process is gone (was killed by SIGKILL)")]
    assert found == (lines * (len(found) // len(lines) + 1))[: len(found)]
    assert await replayed_lines(tmp_path / "run") == found
    log = (tmp_path / "run/logs/a.ndjson").read_bytes()
    assert (written * (len(log) // len(written) + 1)).startswith(log)
    with Recording(tmp_path / "run") as recording:
        cursor, rows = Cursor(), []
        while more := recording.entries(cursor):
            rows += more
    assert [row.fact for row in rows if row.fact is not None] == [Fact.DIED]
    ends = [row.offset + row.bytes for row in rows if row.node == "a"]
    assert all(log[end - 1 : end] == b"\n" for end in ends)
    assert log[: ends[-1]].split(b"\n")[:-1] == found
    assert (await replayed(tmp_path / "run")).gaps[0] == pipeline.ledger.gaps[0]


async def test_a_disk_that_hangs_while_a_writer_fills_its_pipe_costs_no_line(tmp_path: Path) -> None:
    lines = numbered_lines(2000)
    written = b"\n".join((*lines, b""))
    with mounted("ext4", tmp_path / "disk") as disk:
        async with Pipeline.record(disk / "run") as pipeline:
            fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
            found = heard(pipeline)
            with contextlib.ExitStack() as hanging:
                hanging.enter_context(frozen(disk))
                with pushing(written, fifo, tmp_path) as writer:
                    await until_true(lambda: in_pipe(fifo) > PIPE_BYTES - (1 << 17))
                    assert writer.poll() is None
                    assert not found
                    hanging.close()
                    assert await anyio.to_thread.run_sync(writer.wait) == 0
            await pipeline.reach(await pipeline.drain("a"))
            assert found == lines
            assert pipeline.ledger.complete
            assert pipeline.ledger.recorded
            assert pipeline.ledger.of("a").blocked_ns > 0
        assert (disk / "run/logs/a.ndjson").read_bytes() == written
        assert await replayed_lines(disk / "run") == lines
