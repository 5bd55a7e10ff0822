"""A recording that lacks lines says so, with the place and the reason, and nothing that rests on it is green.

Four real ways to lack lines: everybody was killed, the disk filled, a capture filter left some out, capture died.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.judging.result import Findings
from lucy_core.records.journal import JOURNAL
from lucy_core.testing.scripted_node import Numbered, Told, scripted_node

pytestmark = pytest.mark.anyio

LINE = b'{"message":"m","event_id":"lucy.scripted.numbered","metadata":{"start":1,"n":%d},"filler":"%s"}\n'
Maker = Callable[[Path], Awaitable[Path]]


def lines(*numbers: int, filler: bytes = b"") -> bytes:
    return b"".join(LINE % (number, filler) for number in numbers)


def write(fifo: Path, data: bytes) -> None:
    descriptor = os.open(fifo, os.O_WRONLY)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


KILLED = """
import os, signal, sys, anyio, lucy_core as lucy
from lucy_core.testing.scripted_node import Numbered, scripted_node

async def main():
    spec = lucy.NetworkSpec(name="killed", nodes=(scripted_node("a", "say:3", "rest"),))
    async with lucy.deploy(spec, run_directory=sys.argv[1]) as network:
        await network.wait_for(lucy.seen(Numbered, count=3), since=0)
        os.kill(network.pipeline.capture_pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


async def a_killed_run(place: Path) -> Path:
    done = await anyio.run_process([sys.executable, "-c", KILLED, str(place / "run")], check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return place / "run"


async def a_full_disk(place: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=True)
    try:
        async with Pipeline.record(disk / "run") as pipeline:
            fifo = await pipeline.open_fifo("a", place / "fifo")
            write(fifo, lines(1, 2, 3))
            for _ in range(10):
                write(fifo, lines(4, filler=b"x" * 40_000))
                await pipeline.reach(await pipeline.drain("a"))
            assert not pipeline.ledger.recorded
        subprocess.run(["cp", "-r", str(disk / "run"), str(place / "copy")], check=True)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    return place / "copy"


async def a_filtered_run(place: Path) -> Path:
    async with Pipeline.record(place / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        write(fifo, lines(1, 2, 3))
        await pipeline.reach(await pipeline.drain("a"))
        pipeline.note_filtered("a", lines=5, bytes=500, events=5)
        pipeline.write_nowait("a", lines(4))
    return place / "run"


async def a_run_whose_capture_died(place: Path) -> Path:
    spec = lucy.NetworkSpec(name="died", nodes=(scripted_node("a", "say:3", "rest"),))
    with pytest.raises(lucy.CaptureDiedError):
        async with lucy.deploy(spec, run_directory=place / "run") as network:
            await network.wait_for(lucy.seen(Numbered, count=3), since=0)
            assert network.pipeline.capture_pid is not None
            os.kill(network.pipeline.capture_pid, signal.SIGKILL)
            await anyio.sleep_forever()
    return place / "run"


@pytest.mark.parametrize(
    ("make", "why"),
    (
        (a_killed_run, "the run was not closed in order"),
        (a_full_disk, "No space left on device"),
        (a_filtered_run, "left out by the capture filter"),
        (a_run_whose_capture_died, "capture process"),
    ),
)
async def test_a_replay_of_what_lacks_lines_is_never_green_where_they_matter(
    make: Maker, why: str, tmp_path: Path
) -> None:
    with anyio.fail_after(60):
        place = await make(tmp_path)
        async with lucy.Pipeline.replay(place) as pipeline:
            assert not pipeline.ledger.complete
            said = "\n".join(pipeline.ledger.summary().values())
            assert why in said
            assert "position" in said
        async with lucy.replay(place) as run:
            # What was seen was seen.
            assert [each.data.n for each in (await run.wait_for(lucy.seen(Numbered, count=3))).events] == [1, 2, 3]
            for rests_on_it in (
                run.wait_for(lucy.never(Told, where=lambda event: event.data.what == "x"), lasting=10_000),
                run.wait_for(lucy.seen(Numbered, count=1000), hard=10_000),
                run.wait_for(lucy.quiet(5_000), hard=10_000),
                run.so_far(Numbered),
            ):
                with pytest.raises(lucy.InconclusiveError):
                    await rests_on_it


async def test_what_was_over_before_the_gap_stands(tmp_path: Path) -> None:
    place = await a_run_whose_capture_died(tmp_path)
    async with lucy.replay(place) as run:
        (gap,) = run.ledger.gaps
        third = (await run.wait_for(lucy.seen(Numbered, count=3))).event
        assert third.position < gap.position
        # Its time was over when the third line came, and that was before anything was missing.
        began_ns = (await run.records(nodes=JOURNAL).first()).arrived_ns
        with pytest.raises(lucy.WaitTimeoutError):
            await run.wait_for(lucy.seen(Numbered, count=3), hard=(third.arrived_ns - began_ns) / 1e9 - 1e-6)


# --- the verdict of a run, read back --------------------------------------------------------------------------------


async def a_run(place: Path, *, held: bool = False) -> Path:
    spec = lucy.NetworkSpec(name="whole", nodes=(scripted_node("a", "say:3", "rest"),))
    with contextlib.suppress(lucy.RunFailedError):
        async with lucy.deploy(spec, run_directory=place / "run") as network:
            if held:
                network.soft_error("this was wrong")
            await network.wait_for(lucy.seen(Numbered, count=3), since=0)
    return place / "run"


async def found_in(place: Path) -> Findings:
    async with lucy.replay(place) as run:
        return await run.findings()


def cut(journal: bytes) -> bytes:
    return b"".join(journal.splitlines(keepends=True)[:4])


def spoil(journal: bytes) -> bytes:
    assert b'"event_id":"lucy.run_decided"' in journal
    return journal.replace(b'"event_id":"lucy.run_decided"', b'"event_id""lucy.run_decided":')


def mistype(journal: bytes) -> bytes:
    assert b'"outcome":"passed","exit_code":0,' in journal
    return journal.replace(b'"outcome":"passed","exit_code":0,', b'"outcome":17      ,"exit_code":0,')


def nothing(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("harm", (cut, spoil, mistype, nothing))
async def test_a_run_whose_journal_was_harmed_has_not_passed_and_says_why(
    harm: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    place = await a_run(tmp_path)
    assert (await found_in(place)).outcome is lucy.Outcome.PASSED
    journal = place / "journal.ndjson"
    journal.write_bytes(harm(journal.read_bytes()))
    found = await found_in(place)
    assert (found.outcome, found.exit_code) == (lucy.Outcome.INCONCLUSIVE, 3)
    assert found.decided_by is not None
    assert "journal" in found.decided_by.message


async def test_a_run_whose_journal_was_harmed_keeps_the_failure_that_can_be_read(tmp_path: Path) -> None:
    place = await a_run(tmp_path, held=True)
    journal = place / "journal.ndjson"
    text = journal.read_bytes()
    journal.write_bytes(text[: text.index(b"lucy.run_decided")])
    found = await found_in(place)
    assert found.outcome is lucy.Outcome.FAILED
    assert [each.message for each in found.errors] == ["this was wrong"]


async def test_what_is_missing_of_a_node_alone_changes_no_verdict(tmp_path: Path) -> None:
    place = await a_run(tmp_path)
    (place / "logs/a.ndjson").write_bytes(b"")
    assert (await found_in(place)).outcome is lucy.Outcome.PASSED


async def test_a_run_that_was_killed_has_not_passed(tmp_path: Path) -> None:
    found = await found_in(await a_killed_run(tmp_path))
    assert found.outcome is lucy.Outcome.INCONCLUSIVE
    assert "not closed in order" in found.decided_by.message
