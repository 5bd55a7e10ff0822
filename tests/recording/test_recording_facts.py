"""A recording tells what it lacks: each fault of a capture has its place in it, the same live and on replay."""

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from captures import account, capture_in, passed_by, replayed, say, until, write
from hypothesis import given
from hypothesis import strategies as st
from small_disks import mounted

import lucy_core as lucy
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.requests import Close, Fifo, Write
from lucy_core.capturing.tagged import tag_line
from lucy_core.delivery import delivery
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import RecordingError
from lucy_core.recording import capture_process
from lucy_core.recording.ledger import Gap
from lucy_core.recording.recording import Cursor, Recording
from lucy_core.recording.rows import Row

UNCLOSED = "the run was not closed in order: its last row doesn't say so, and what came later is missing"


FLOOD = """
import sys
with open(sys.argv[1], "wb", 0) as fifo:
    while True:
        fifo.write(b"x" * 99 + b"\\n")
"""


async def lines_of(pipeline: Pipeline, node: str | None = None) -> list[tuple[int, str]]:
    """Every record of a finished run with its position; the end of the stream must be no error."""
    found: list[tuple[int, str]] = []
    ended: list[Exception | None] = []
    pipeline.subscribe(
        Interest(nodes=None if node is None else [node]),
        lambda items: found.extend((item.position, item.data.text) for item in items),
        ended.append,
    )
    with anyio.fail_after(20):
        while not ended:
            await anyio.sleep(0)
    assert ended == [None]
    return found


# --- each fact, live and again --------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_run_that_was_closed_in_order_says_so_last_and_is_complete(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        await write(fifo, say(1) + b"no record\n" + say(2) + b"torn")
        await until(pipeline, "a")
        assert not pipeline.ledger.closed

    again = await replayed(tmp_path / "run")

    assert again.complete
    assert again.closed
    assert account(again) == account(pipeline.ledger)
    assert json.loads((tmp_path / "run/arrivals.ndjson").read_bytes().splitlines()[-1])["fact"] == "closed"


@pytest.mark.anyio
async def test_a_source_that_failed_is_a_gap_at_its_place(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        address = await pipeline.listen("a", ("127.0.0.1", 0))
        fifo = await pipeline.open_fifo("b")
        await write(fifo, say(1) + say(2))
        await until(pipeline, "b")
        with socket.create_connection(address) as peer:
            peer.sendall(b"LUCY %b\n" % pipeline.token.encode())
            await pipeline.drain("a")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it breaks, and doesn't end
        with anyio.fail_after(20):
            while pipeline.ledger.complete:
                await anyio.sleep(0.001)
        await write(fifo, say(3))
        await until(pipeline, "b")

    again = await replayed(tmp_path / "run")

    ((position, node, reason, source),) = map(msgspec.structs.astuple, again.gaps)
    assert (position, node, source) == (2, "a", "")
    assert reason.startswith("its source failed: ")
    assert again.of("a").failures == [reason.removeprefix("its source failed: ")]
    assert f"at position 2, a: {reason}" in again.summary()["gap 1"]
    assert account(again) == account(pipeline.ledger)


@pytest.mark.anyio
@pytest.mark.parametrize("recorded", (True, False))
async def test_what_an_engine_notes_is_in_the_ledger_and_in_the_recording(recorded: bool, tmp_path: Path) -> None:
    way = Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through()
    async with way as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        pipeline.note_way("a", "engine")
        await write(fifo, say(1))
        await until(pipeline, "a")
        assert pipeline.ledger.complete
        pipeline.note_filtered("a", lines=10, bytes=1000, events=2)
        pipeline.note_filtered("a", lines=5, bytes=500, events=1)
        await until(pipeline, "a")  # or capture might take the line before them
        await write(fifo, say(2))
        await until(pipeline, "a")
        assert not pipeline.ledger.complete
        assert pipeline.ledger.gaps == []
        assert pipeline.ledger.of("a").capture == "engine"
        assert pipeline.ledger.filtered_events == 3
        told = "15 lines (0.0 MB, 3 events) left out by the capture filter, first told at position 1"
        assert told in pipeline.ledger.summary()["a"]
        pipeline.note_failed("a", "the pump ended")

    assert pipeline.ledger.gaps == [Gap(2, "a", "its source failed: the pump ended")]
    if recorded:
        assert account(await replayed(tmp_path / "run")) == account(pipeline.ledger)


@pytest.mark.anyio
async def test_a_capture_that_died_is_written_down_by_lucy(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        await write(fifo, say(1) + say(2))
        await until(pipeline, "a")
        assert pipeline.capture_pid is not None
        os.kill(pipeline.capture_pid, signal.SIGKILL)
        with anyio.fail_after(20):
            while pipeline.ledger.complete:
                await anyio.sleep(0.001)
        pipeline.note_failed("a", "nobody can write this any more")

    again = await replayed(tmp_path / "run")

    assert again.gaps == [Gap(2, None, "the capture process is gone (was killed by SIGKILL)")]
    assert account(again) == account(pipeline.ledger)


@pytest.mark.anyio
async def test_a_capture_that_died_in_the_middle_of_a_flood_leaves_what_is_sound(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        with subprocess.Popen([sys.executable, "-c", FLOOD, str(fifo)]) as flood:
            with anyio.fail_after(20):
                while pipeline.ledger.lines < 10_000:
                    await anyio.sleep(0.001)
            assert pipeline.capture_pid is not None
            os.kill(pipeline.capture_pid, signal.SIGKILL)
            with anyio.fail_after(20):
                while pipeline.ledger.complete:
                    await anyio.sleep(0.001)
            flood.kill()

    again = await replayed(tmp_path / "run")

    assert again.lines == pipeline.ledger.lines
    assert again.gaps[: len(pipeline.ledger.gaps)] == pipeline.ledger.gaps
    assert again.gaps[0].position == pipeline.ledger.lines


@pytest.mark.anyio
async def test_a_capture_that_does_not_close_in_time_has_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_process, "CLOSE_SECONDS", 0.2)
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        await write(fifo, say(1))
        await until(pipeline, "a")
        assert pipeline.capture_pid is not None
        os.kill(pipeline.capture_pid, signal.SIGSTOP)

    again = await replayed(tmp_path / "run")

    assert again.gaps == [Gap(1, None, "the capture process is gone (was killed by SIGKILL)")]
    assert account(again) == account(pipeline.ledger)


def rows_in(directory: Path) -> list[Row]:
    with Recording(directory) as recording:
        return recording.entries(Cursor())


@pytest.mark.anyio
async def test_a_capture_that_stood_still_for_a_while_says_when_and_lacks_nothing(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        await write(fifo, say(1))
        await until(pipeline, "a")
        assert pipeline.capture_pid is not None
        os.kill(pipeline.capture_pid, signal.SIGSTOP)
        stat = Path(f"/proc/{pipeline.capture_pid}/stat")
        with anyio.fail_after(20):
            while ") T " not in stat.read_text():  # until then it may still read
                await anyio.sleep(0.005)
        stopped_ns = pipeline.now_ns()
        await write(fifo, say(2))
        # Of its own loop's clock: capture has no other sign of how long it was gone.
        await anyio.sleep(0.9)
        going_on_ns = pipeline.now_ns()
        os.kill(pipeline.capture_pid, signal.SIGCONT)
        await pipeline.fence()
        # Who has heard an answer that was given afterwards knows of it.
        assert any(row.fact is Fact.ABSENT for row in rows_in(tmp_path / "run"))
        await until(pipeline, "a")
        absence = next(each for each in pipeline.ledger.absences if each.to_ns >= going_on_ns)
        assert absence.from_ns <= stopped_ns + 100_000_000
        # It may have been stopped in the middle of a turn, with the pipe still to be read in it.
        assert absence.position in (1, 2)
        assert pipeline.ledger.complete

    again = await replayed(tmp_path / "run")

    assert again.complete
    assert account(again) == account(pipeline.ledger)
    assert "capture stood still for" in "\n".join(again.summary().values())


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_capture_that_has_nothing_to_do_is_not_absent(tmp_path: Path) -> None:
    with capture_in(tmp_path) as (capture, ours):
        for _ in range(4):
            capture._look(0.25)
        assert not [row for row in capture._recorder._rows if b"absent" in row.text]
        capture._present_ns -= 600_000_000
        ours.sendall(b'{"op":"fence","id":1}\n')
        capture._serve_control(select.EPOLLIN)
        assert b"capture stood still for 0.6 s" in (tmp_path / "arrivals.ndjson").read_bytes()


@pytest.mark.anyio
@pytest.mark.blocking
async def test_nothing_follows_the_last_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_in(tmp_path) as (capture, ours):
        capture._intake.obey(Fifo("a", str(tmp_path / "fifo")))
        (source,) = capture._drain.readings
        writer = os.open(tmp_path / "fifo", os.O_WRONLY)
        os.write(writer, say(1))
        ours.sendall(b'{"op":"close","id":1}\n')
        control = capture._server.fileno()
        # Its writer lives on, and is to be served in the very turn in which the run is closed.
        monkeypatch.setattr(capture._drain, "tear_all", lambda: os.write(writer, say(2)))
        monkeypatch.setattr(capture, "_look", lambda _: [(control, select.EPOLLIN), (source, select.EPOLLIN)])
        capture.run()
        os.close(writer)

    again = await replayed(tmp_path)

    assert again.complete
    assert again.closed
    assert again.lines == 1


@pytest.mark.anyio
async def test_lines_lost_in_a_shared_pipe_are_gaps_until_they_come_after_all(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_shared_fifo(("a", "b"))
        lost = [tag_line("a", number, say(number)) for number in range(1, 6)]
        await write(fifo, lost[0] + lost[3])
        await until(pipeline, "a")
        assert pipeline.ledger.gaps == [Gap(0, "a", "2 lines got lost in the shared pipe")]
        await write(fifo, tag_line("b", 1, say("b")) + lost[1])
        await until(pipeline, "a")
        assert not pipeline.ledger.complete  # one of the two, and nobody says which
        await write(fifo, lost[2])
        await until(pipeline, "a")
        assert pipeline.ledger.complete
        await write(fifo, tag_line("b", 3, say("b")))
        await until(pipeline, "b")

    again = await replayed(tmp_path / "run")

    assert again.gaps == [Gap(5, "b", "1 lines got lost in the shared pipe")]
    assert account(again) == account(pipeline.ledger)


# --- the deaths of Lucy ---------------------------------------------------------------------------------------------

RECORDS = """
import os, sys, time
import anyio
from lucy_core.delivery.pipeline import Pipeline

async def main():
    async with Pipeline.record(sys.argv[1]) as pipeline:
        fifo = await pipeline.open_fifo("a")
        open(fifo, "wb").write(b'{"message":"1"}\\n' * 3)
        await pipeline.drain("a")
        # Whoever is forked holds Lucy's end of every socket, and lives on.
        child = os.fork() if sys.argv[2:] else 0
        if sys.argv[2:] and not child:
            time.sleep(60)
        print(pipeline.capture_pid, fifo, child, flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


@contextlib.contextmanager
def lucy_at_work(directory: Path, *, forked: bool = False) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """A Lucy of its own with three lines recorded; its process, its capture's, and the FIFO of its node."""
    command = [sys.executable, "-c", RECORDS, str(directory), *["forked"] * forked]
    child = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            pid, fifo, forked_pid = program.stdout.readline().split()
            child = int(forked_pid)
            yield program, int(pid), Path(fifo)
        finally:
            program.kill()
            if child:
                os.kill(child, signal.SIGKILL)


async def ended(pid: int) -> None:
    """Wait until a process that isn't ours is gone."""
    with anyio.fail_after(20):
        while Path(f"/proc/{pid}/fd/0").exists():
            await anyio.sleep(0.01)


@pytest.mark.anyio
@pytest.mark.parametrize("forked", (False, True))
async def test_a_lucy_that_was_killed_leaves_a_recording_that_does_not_claim_its_end(
    tmp_path: Path, forked: bool
) -> None:
    with lucy_at_work(tmp_path / "run", forked=forked) as (program, capture, fifo):
        writer = os.open(fifo, os.O_WRONLY)
        program.kill()
        os.write(writer, say("after"))
        os.close(writer)
        await ended(capture)

    again = await replayed(tmp_path / "run")

    assert again.lines == 4
    reason = "Lucy ended without closing the run; its nodes' lines were taken for a moment more"
    assert again.gaps == [Gap(4, None, reason)]


@pytest.mark.anyio
async def test_a_machine_that_lost_power_leaves_a_recording_that_does_not_claim_its_end(tmp_path: Path) -> None:
    with lucy_at_work(tmp_path / "run") as (program, capture, _):
        program.send_signal(signal.SIGSTOP)  # so that neither sees the other die
        os.kill(capture, signal.SIGKILL)
        await ended(capture)
        program.kill()

    again = await replayed(tmp_path / "run")

    assert again.gaps == [Gap(3, None, UNCLOSED)]
    assert again.summary()["gap 1"] == f"INCOMPLETE at position 3: {UNCLOSED}"


# --- full disks -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=("tmpfs", "ext4"))
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with mounted(request.param, tmp_path / "disk") as disk:
        yield disk


@pytest.mark.anyio
@pytest.mark.blocking
@pytest.mark.parametrize("size", (1000, 10), ids=("by lines", "by rows"))
async def test_a_recording_that_stopped_says_so_though_its_disk_is_full(
    small_disk: Path, tmp_path: Path, size: int
) -> None:
    async with Pipeline.record(small_disk / "run") as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        pipeline.note_way("a", "fifo")
        await write(fifo, say(0))
        await until(pipeline, "a")
        with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(1 << 16)):
                pass
        with (small_disk / "ballast").open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(512)):
                pass
        written = 1
        with anyio.fail_after(60):
            while pipeline.ledger.recorded:
                await write(fifo, say("x" * size))
                written += 1
                await until(pipeline, "a")
        await write(fifo, say("live") * 10)
        await until(pipeline, "a")
        pipeline.note_failed("a", "the pump ended")
        await until(pipeline, "a")
        assert pipeline.ledger.recording_stopped is not None
        position, reason = pipeline.ledger.recording_stopped
        assert position == written - 1
        assert "No space left on device" in reason
        # Whoever reads back is not led past what is missing by what the recording says of itself behind it.
        told: list[Exception | None] = []
        pipeline.subscribe(Interest(nodes=["a"]), lambda _: None, told.append, since=0)
        with anyio.fail_after(20):
            while not told:
                await anyio.sleep(0.001)
        (cut,) = told
        assert isinstance(cut, lucy.CutOffError)
        assert (cut.position, cut.delivered, cut.stopped) == (position, written + 10, (position, reason))
        assert f"read up to position {position} of {written + 10}" in str(cut)

    assert pipeline.ledger.lines == written + 10  # what came live was complete
    assert pipeline.ledger.gaps == [Gap(written + 10, "a", "its source failed: the pump ended")]

    async with Pipeline.replay(small_disk / "run") as again:
        assert len(await lines_of(again)) == position
        assert again.ledger.recording_stopped == (position, reason)
        assert Gap(position, None, f"the recording stopped: {reason}") in again.ledger.gaps
        assert pipeline.ledger.gaps[0] in again.ledger.gaps
        assert again.ledger.closed
        assert again.ledger.of("a").capture == "fifo"
        assert f"at position {position:,}: the recording stopped" in again.ledger.summary()["gap 1"]


@pytest.mark.anyio
@pytest.mark.blocking
@pytest.mark.parametrize("small_disk", ("tmpfs",), indirect=True)
async def test_a_full_disk_costs_who_is_behind_no_line_and_who_takes_nothing_is_told_of_it(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "HELD_UP_SECONDS", 60)
    lines = 3000
    got: dict[str, list[str]] = {"a": [], "b": []}
    live: list[str] = []

    async def follow(pipeline: Pipeline, node: str) -> None:
        async with pipeline.records(nodes=node, since=0).aiter(limit=16) as items:
            async for item in items:
                got[node].append(item.data.text)
                if len(got[node]) == lines:
                    return

    async with Pipeline.record(small_disk / "run") as pipeline:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for node in got:
                    tasks.start_soon(follow, pipeline, node)
                for n in range(0, lines, 100):
                    for node in got:
                        pipeline.write_nowait(node, b"".join(say(f"{node}-{n + k}-{'x' * 500}") for k in range(100)))
            assert pipeline.ledger.recording_stopped is not None
            pipeline.records(nodes="a").subscribe(lambda event: live.append(event.data.text))
            async with pipeline.records(nodes="a").aiter(limit=16):
                for _ in range(2):  # the second waits for it
                    pipeline.write_nowait("a", say("early") * 100)
                while len(live) < 100:
                    await anyio.sleep(0.001)
            with anyio.fail_after(20):  # it is left, and nobody waits for it any more
                await pipeline.reach(await pipeline.fence())
            assert live == ["early"] * 200
            live.clear()
            monkeypatch.setattr(delivery, "HELD_UP_SECONDS", 0.05)
            async with pipeline.records(nodes="a").aiter(limit=16) as untouched:
                for _ in range(3):
                    pipeline.write_nowait("a", say("late") * 100)
                    await pipeline.reach(await pipeline.fence())
                assert live == ["late"] * 300
                held = [await anext(untouched) for _ in range(100)]
                with pytest.raises(lucy.RecordingError, match="it took nothing more .* No space left on device"):
                    await anext(untouched)
        with pytest.raises(lucy.RecordingError, match=r"the recording stopped at \d+ \(.*No space left on device"):
            await pipeline.records(nodes="c", since=0).first()
        with pytest.raises(lucy.InconclusiveError, match="No space left on device"):
            await pipeline.so_far(nodes="a")
    assert len(held) == 100
    for node, messages in got.items():
        assert [message.split("-")[:2] for message in messages] == [[node, str(n)] for n in range(lines)]


@pytest.mark.anyio
async def test_a_recording_that_could_not_say_that_it_stopped_never_claims_its_end(tmp_path: Path) -> None:
    with capture_in(tmp_path) as (capture, ours):
        capture._intake.obey(Write("a", say(1)))
        capture._publish()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "arrivals.ndjson").stat().st_size + 10, limits[1]))
        try:
            capture._intake.obey(Write("a", say(2)))
            capture._publish()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        capture._close(Close())
        capture._publish()
        told = [json.loads(row) for row, _ in passed_by(ours.recv(1 << 16))]

    assert [each.get("fact") for each in told] == ["stopped", None, "closed"]
    again = await replayed(tmp_path)
    assert again.lines == 1
    assert Gap(1, None, UNCLOSED) in again.gaps


# --- files that a power cut has torn --------------------------------------------------------------------------------

BLOCKS = tuple((node, [f"{node}{block}.{line}" for line in range(3)]) for block in range(4) for node in ("a", "b"))
"""What the torn runs below recorded: three lines a block, two nodes in turn."""


@pytest.fixture(scope="module")
def sound_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a run that was closed in order."""
    run = tmp_path_factory.mktemp("sound") / "run"
    (run / "logs").mkdir(parents=True)
    position, offsets = 0, {"a": 0, "b": 0}
    rows = []
    for node, texts in BLOCKS:
        data = b"".join(map(say, texts))
        with (run / f"logs/{node}.ndjson").open("ab") as log:
            log.write(data)
        rows.append(Row(position, node, offsets[node], len(data), 3, 1))
        offsets[node] += len(data)
        position += 3
    rows.append(Row(position, "", 0, 0, 0, 1, fact=Fact.CLOSED))
    (run / "arrivals.ndjson").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return run


ALL = [(number, text) for number, text in enumerate(text for _, texts in BLOCKS for text in texts)]


@pytest.mark.anyio
async def test_a_sound_run_is_read_whole(sound_run: Path) -> None:
    async with Pipeline.replay(sound_run) as pipeline:
        assert pipeline.ledger.complete
        assert await lines_of(pipeline) == ALL


def cut(path: Path, size: int) -> None:
    os.truncate(path, size if size >= 0 else path.stat().st_size + size)


def zero(path: Path, count: int) -> None:
    size = path.stat().st_size
    os.truncate(path, size - count)
    os.truncate(path, size)


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def drop_row(path: Path, number: int) -> None:
    rows = path.read_bytes().splitlines(keepends=True)
    del rows[number]
    path.write_bytes(b"".join(rows))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tear", "gaps", "lost"),
    (
        pytest.param(
            lambda run: drop_row(run / "arrivals.ndjson", -1), [(24, None, UNCLOSED)], [], id="before it was closed"
        ),
        pytest.param(
            lambda run: cut(run / "arrivals.ndjson", -5),
            [(24, None, "bytes behind the last row of arrivals.ndjson are no row"), (24, None, UNCLOSED)],
            [],
            id="half a row",
        ),
        pytest.param(
            lambda run: zero(run / "arrivals.ndjson", 270),
            [(15, None, UNCLOSED), (15, None, "are no row"), (15, "a", "in no row"), (15, "b", "in no row")],
            range(15, 24),
            id="rows of zeros",
        ),
        pytest.param(
            lambda run: (run / "arrivals.ndjson").write_bytes(
                (run / "arrivals.ndjson").read_bytes().replace(b'"position":9', b'"positi\x00n":9')
            ),
            [(9, None, "is damaged"), (9, None, UNCLOSED), (9, "a", "in no row"), (9, "b", "in no row")],
            range(9, 24),
            id="a damaged row",
        ),
        pytest.param(
            lambda run: drop_row(run / "arrivals.ndjson", 2),
            [(6, None, "the rows from here to position 9 are missing")],
            range(6, 9),
            id="a lost row",
        ),
        pytest.param(
            lambda run: cut(run / "logs/a.ndjson", -25),
            [(18, "a", "its log ends at byte 203, its rows go on: it was cut")],
            (19, 20),
            id="a log without its last lines",
        ),
        pytest.param(
            lambda run: zero(run / "logs/b.ndjson", 70),
            [(15, "b", "it was cut")],
            (17, 21, 22, 23),
            id="a log of zeros",
        ),
        pytest.param(
            lambda run: (run / "logs/b.ndjson").unlink(),
            [(3, "b", "its log ends at byte 0, its rows go on: it was cut")],
            [position for position, text in ALL if text[0] == "b"],
            id="no log",
        ),
        pytest.param(
            lambda run: add(run / "logs/a.ndjson", say("never told")),
            [(24, "a", "25 bytes at the end of its log are in no row")],
            [],
            id="a log without its last rows",
        ),
    ),
)
async def test_a_torn_run_is_read_as_far_as_it_is_sound_and_the_rest_is_told(
    sound_run: Path, tmp_path: Path, tear: Any, gaps: list[tuple[int, str | None, str]], lost: Any
) -> None:
    run = shutil.copytree(sound_run, tmp_path / "run")
    tear(run)

    async with Pipeline.replay(run) as pipeline:
        told = pipeline.ledger.gaps
        assert sorted((gap.position, str(gap.node)) for gap in told) == sorted((at, str(node)) for at, node, _ in gaps)
        for at, node, reason in gaps:
            assert any((gap.position, gap.node) == (at, node) and reason in gap.reason for gap in told), told
        assert not pipeline.ledger.complete
        kept = [each for each in ALL if each[0] not in lost]
        assert await lines_of(pipeline) == kept
        assert await lines_of(pipeline, "b") == [each for each in kept if each[1][0] == "b"]
        await pipeline.audit()


@given(data=st.data())
def test_whatever_is_cut_off_nothing_raises_and_no_line_changes_its_place(
    data: st.DataObject, sound_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = shutil.copytree(sound_run, tmp_path_factory.mktemp("torn") / "run")
    whole = True
    for name in ("arrivals.ndjson", "logs/a.ndjson", "logs/b.ndjson"):
        size = (run / name).stat().st_size
        kept = data.draw(st.integers(0, size) | st.just(size), label=name)
        cut(run / name, kept)
        if data.draw(st.booleans(), label="zeros in its place"):
            os.truncate(run / name, size)
        whole &= kept == size

    async def read() -> None:
        async with Pipeline.replay(run) as pipeline:
            found = await lines_of(pipeline)
            assert set(found) <= set(ALL)
            assert found == sorted(found)
            assert pipeline.ledger.complete == whole
            if pipeline.ledger.gaps:
                first = pipeline.ledger.gaps[0].position
                assert found[:first] == ALL[:first]

    anyio.run(read)
    shutil.rmtree(run)


@pytest.mark.anyio
async def test_a_death_is_written_behind_the_last_whole_row(sound_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(sound_run, tmp_path / "run")
    drop_row(run / "arrivals.ndjson", -1)
    add(run / "arrivals.ndjson", b'{"position":24,"no')
    with Recording(run) as recording:
        recording.append(Row(24, "", 0, 0, 0, 1, fact=Fact.DIED, reason="status -9"))
        cursor = Cursor()
        rows = recording.entries(cursor)
    assert [row.fact for row in rows] == [None] * 8 + [Fact.DIED]
    assert cursor.offset == (run / "arrivals.ndjson").stat().st_size


@pytest.mark.anyio
async def test_a_log_that_is_cut_while_a_finished_run_is_read_is_an_error(sound_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(sound_run, tmp_path / "run")
    async with Pipeline.replay(run) as pipeline:
        assert pipeline.recording is not None
        first = pipeline.recording.rows(Cursor())[0]
        cut(run / "logs" / "a.ndjson", 1)
        with pytest.raises(RecordingError, match="the log of a ends at 1, its arrivals go on: it was cut"):
            pipeline.recording.block(first)
