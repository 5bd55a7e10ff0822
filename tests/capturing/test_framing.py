"""Chunks to lines: however they are cut, and however long the lines are."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from captures import account, capture_in, passed_by, replayed, say, until, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lucy_core.capturing import draining
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.framing import HEAD_BYTES, LINE_BYTES, Framer
from lucy_core.capturing.recorder import recorder as recorder_module
from lucy_core.capturing.recorder.recorder import ROWS_AT_ONCE
from lucy_core.capturing.requests import Fifo
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.recording.recording import Cursor, Recording

LONG = """
import sys
with open(sys.argv[1], "wb", 0) as fifo:
    for _ in range(int(sys.argv[2])):
        part = memoryview(b"x" * (1 << 20))
        while part:
            part = part[fifo.write(part):]
    fifo.write(sys.argv[3].encode())
"""


def test_what_dribbles_in_by_single_bytes_waits_as_few_objects() -> None:
    framer = Framer()
    for _ in range(100_000):
        framer.feed(b"x")
    assert framer.pending == 100_000
    assert len(framer._tail) == 1
    assert b"".join(framer.feed(b"\n")) == b"x" * 100_000 + b"\n"


@pytest.mark.blocking
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 120), max_size=12), st.booleans(), st.data())
def test_any_chunking_gives_the_same_lines_however_long_they_are(
    tmp_path_factory: Any, sizes: list[int], torn: bool, data: st.DataObject
) -> None:
    lines = [b"%d " % number + b"x" * size for number, size in enumerate(sizes)]
    text = b"".join(line + b"\n" for line in lines) + b"y" * (60 * torn)
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=20))})
    cuts = sorted({*cuts, *range(0, len(text), 40)})
    directory = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch, capture_in(directory) as (capture, _):
        patch.setattr(draining, "LINE_BYTES", 50)
        capture._intake.obey(Fifo("a", str(directory / "fifo")))
        (reading,) = capture._drain.readings.values()
        for begin, end in itertools.pairwise(cuts):
            capture._drain.take(reading, text[begin:end])
        capture._drain.tear(reading)
        capture._publish()
    assert (directory / "logs/a.ndjson").read_bytes() == text
    with Recording(directory) as recording:
        rows = recording.entries(Cursor())
        blocks = [recording.block(row) for row in rows if row.fact is None]
    found: list[bytes] = []
    for block in blocks:
        found += block.data.splitlines()
    assert found == lines + [b"y" * 60] * torn
    assert [block.overlong for block in blocks if block.overlong] == [len(line) for line in found if len(line) > 50]
    assert sum(row.lines for row in rows) == len(found)


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_line_without_an_end_is_bounded_and_its_neighbours_come(tmp_path: Path) -> None:
    mebibytes = 300
    async with Pipeline.record(tmp_path / "run") as pipeline:
        found: list[tuple[int, bytes, str]] = []
        pipeline.malformed(since=0).subscribe(lambda bad: found.append((bad.position, bad.raw, bad.reason)))
        fifo = await pipeline.open_fifo("a")
        other = await pipeline.open_fifo("b")
        before = peak_bytes(os.getpid())
        with subprocess.Popen([sys.executable, "-c", LONG, str(fifo), str(mebibytes), "\n"]) as writer:
            for number in range(100):
                await write(other, say(number))
                await until(pipeline, "b")
            assert await anyio.to_thread.run_sync(writer.wait) == 0
        await write(fifo, say("after"))
        await until(pipeline, "a")
        assert pipeline.capture_pid is not None
        assert peak_bytes(pipeline.capture_pid) < 2 * LINE_BYTES
        assert peak_bytes(os.getpid()) - before < LINE_BYTES
        ((position, raw, reason),) = found
        assert raw == b"x" * HEAD_BYTES
        assert f"it has {mebibytes << 20:,} bytes, and {LINE_BYTES:,} is the most that is read as a record" in reason
        assert pipeline.ledger.of("a").lines == 2
        assert pipeline.ledger.of("a").overlong == 1
        assert pipeline.ledger.of("a").bytes == (mebibytes << 20) + 1 + len(say("after"))
        assert pipeline.ledger.complete
    assert (tmp_path / "run/logs/a.ndjson").stat().st_size == pipeline.ledger.of("a").bytes
    again = await replayed(tmp_path / "run")
    assert account(again) == account(pipeline.ledger)
    assert "1 malformed, 1 longer than 72 MiB" in again.summary()["a"]
    assert position < 101
    (tmp_path / "run/logs/a.ndjson").unlink()


@pytest.mark.anyio
@pytest.mark.blocking
@pytest.mark.parametrize("recorded", (True, False))
async def test_a_long_line_that_its_writer_left_is_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    monkeypatch.setattr(draining, "LINE_BYTES", 1 << 20)
    mebibytes = 80 if recorded else 2
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        found: list[bytes] = []
        pipeline.malformed().subscribe(lambda bad: found.append(bad.raw))
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        with subprocess.Popen([sys.executable, "-c", LONG, str(fifo), str(mebibytes), "end"]) as writer:
            assert await anyio.to_thread.run_sync(writer.wait) == 0
        await until(pipeline, "a")
        await write(fifo, say("after"))
        await until(pipeline, "a")
        assert found == [b"x" * HEAD_BYTES]
        account = pipeline.ledger.of("a")
        assert (account.lines, account.torn, account.overlong) == (2, 1, 1)
        assert account.bytes == (mebibytes << 20) + 3 + len(say("after"))


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_disk_that_is_full_in_the_middle_of_a_long_line_costs_no_later_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "LINE_BYTES", 50)
    with capture_in(tmp_path) as (capture, ours):
        capture._intake.obey(Fifo("a", str(tmp_path / "fifo")))
        (reading,) = capture._drain.readings.values()
        capture._drain.take(reading, b"x" * 60)
        capture._publish()
        full, write_all = OSError(28, "No space left on device"), recorder_module.write_all

        def fail(fd: int, pieces: list[bytes]) -> None:
            if fd == capture._recorder._logs["a"].fd:
                raise full
            write_all(fd, pieces)

        with monkeypatch.context() as patch:
            patch.setattr(recorder_module, "write_all", fail)
            capture._drain.take(reading, b"y" * 60)
        capture._drain.take(reading, b"z\n" + say("after"))
        capture._publish()
        said = passed_by(ours.recv(1 << 16))
    assert [block for row, block in said if b'"overlong":121' in row] == [b"x" * 60 + b"y" * 60 + b"z"]
    with Recording(tmp_path) as recording:
        assert [row.fact for row in recording.entries(Cursor())] == [Fact.PART, Fact.STOPPED]


@pytest.mark.blocking
def test_somebody_sees_a_long_line_grow_and_facts_come_within_a_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "LINE_BYTES", 50)
    rows = tmp_path / "arrivals.ndjson"
    with capture_in(tmp_path) as (capture, _):
        capture._intake.obey(Fifo("a", str(tmp_path / "fifo")))
        (reading,) = capture._drain.readings.values()
        for _ in range(ROWS_AT_ONCE):
            capture._drain.take(reading, b"x" * 60)
        assert rows.read_bytes().count(b'"fact":"part"') == ROWS_AT_ONCE
        for _ in range(ROWS_AT_ONCE):
            capture._recorder.note(Fact.WAY, "a", reason="fifo")
        assert rows.read_bytes().count(b'"fact":"way"') == ROWS_AT_ONCE
