"""Loss and order under what the machine does: clocks that step, descriptors that run out, disks that fill, rm -r."""

import contextlib
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import anyio
import msgspec
import pytest

import lucy_core as lucy
from lucy_core.capturing.loop import Capture
from lucy_core.capturing.requests import Write
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.helpers import helper
from lucy_core.recording.recording import Cursor, Recording

ID = "lucy.test.counted"


@lucy.event(ids=ID)
class Counted(msgspec.Struct, frozen=True):
    n: int


def lines(first: int, after: int, size: int = 0) -> bytes:
    return b"".join(
        b'{"message":"m","metadata":{"n":%d,"text":"%b"},"event_id":"%b"}\n' % (n, b"x" * size, ID.encode())
        for n in range(first, after)
    )


async def write(fifo: Path, data: bytes) -> None:
    def fill() -> None:
        with fifo.open("wb") as writer:
            writer.write(data)

    await anyio.to_thread.run_sync(fill)


def collect(pipeline: Pipeline, **which: object) -> list[int]:
    numbers: list[int] = []
    pipeline.events(Counted, **which).subscribe(lambda event: numbers.append(event.data.n))
    return numbers


# --- clocks ---------------------------------------------------------------------------------------------------------

# Goes before what boots the capture process: the wall clock of that process shows what a file says besides.
STEPPING = """
import sys, time
def _stepping(clock, unit):
    return lambda: clock() + int(open({path!r}).read()) * unit
time.time, time.time_ns = _stepping(time.time, 1), _stepping(time.time_ns, 10**9)
"""


@pytest.mark.anyio
@pytest.mark.blocking
@pytest.mark.parametrize("recorded", (True, False))
async def test_a_clock_that_steps_reorders_nothing_and_delays_nothing(
    recorded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    real, real_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: real() + int(clock.read_text()))
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(clock.read_text()) * 10**9)
    boot = tmp_path / "boot.py"
    boot.write_text(
        f"{STEPPING.format(path=str(clock))}import runpy; runpy.run_path({helper.BOOT!r})['main'](*sys.argv[1:])\n"
    )
    monkeypatch.setattr(helper, "BOOT", str(boot))
    begun = real_ns()
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        events: list[lucy.Event[Counted]] = []
        pipeline.events(Counted).subscribe(events.append)
        for step, seconds in enumerate((0, 3600, -7200, 100_000)):
            clock.write_text(str(seconds))
            awaited = pipeline.events(Counted).first(lambda event: event.data.n % 100 == 99, within=20)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write, fifo, lines(step * 100, step * 100 + 100))
                assert (await awaited).data.n == step * 100 + 99
        await pipeline.reach(await pipeline.drain("a"))
        arrivals = [event.arrived_ns for event in events]
        assert [event.data.n for event in events] == list(range(400))
        assert arrivals == sorted(arrivals)
        # Stamped by the clock as it was at first, whatever it says since.
        assert begun <= arrivals[0]
        assert arrivals[-1] <= real_ns() + 10**9
        assert pipeline.ledger.of("a").lag_max_ns < 60 * 10**9
    if recorded:
        with Recording(tmp_path / "run") as recording:
            rows = recording.rows(Cursor())
        assert [row.arrived_ns for row in rows] == sorted(row.arrived_ns for row in rows)


# --- descriptors ----------------------------------------------------------------------------------------------------

# Opens FIFOs until it is refused, in a process of few descriptors or with such a capture; then its nodes write.
EXHAUSTED = """
import json, resource, sys
import anyio
sys.path.insert(0, sys.argv[2])
from test_reliability_machine import collect
import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline

async def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if sys.argv[3] == "lucy":
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, hard))
    async with Pipeline.record(sys.argv[1]) as pipeline:
        if sys.argv[3] == "capture":
            resource.prlimit(pipeline.capture_pid, resource.RLIMIT_NOFILE, (48, 48))
        fifos, refused = {}, ""
        while not refused:
            name = f"n{len(fifos)}"
            try:
                fifos[name] = str(await pipeline.open_fifo(name))
            except lucy.RecordingError as error:
                refused = str(error)
        numbers = {name: collect(pipeline, nodes=[name]) for name in fifos}
        print(json.dumps({"fifos": list(fifos.values()), "refused": refused}), flush=True)
        await anyio.wait_readable(0)
        for name in fifos:
            await pipeline.reach(await pipeline.drain(name))
        print(json.dumps({
            "whole": [found == list(range(100)) for found in numbers.values()],
            "complete": pipeline.ledger.complete,
        }), flush=True)
anyio.run(main)
"""


@pytest.mark.parametrize(
    ("whose", "refusal"),
    (
        ("lucy", r"the log of n\d+ can't be made: .*Too many open files; this process may have 48: raise its limit"),
        ("capture", r"capture refused fifo: no descriptor is left, of 48, .* raise the limit"),
    ),
)
def test_without_descriptors_a_node_is_refused_with_advice_and_the_others_lose_nothing(
    whose: str, refusal: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", EXHAUSTED, str(tmp_path / "run"), str(Path(__file__).parent), whose]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            first = json.loads(program.stdout.readline())
            assert re.search(refusal, first["refused"])
            assert len(first["fifos"]) >= 15
            for fifo in first["fifos"]:
                Path(fifo).write_bytes(lines(0, 100))
            found, _ = program.communicate("go", timeout=60)
        finally:
            program.kill()
    assert json.loads(found) == {"whole": [True] * len(first["fifos"]), "complete": True}


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_connection_for_which_no_descriptor_is_left_waits_and_is_not_lost(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        path = await pipeline.listen("a", str(tmp_path / "socket"))
        other = await pipeline.open_fifo("b")
        numbers, others = collect(pipeline, nodes=["a"]), collect(pipeline, nodes=["b"])
        assert pipeline.capture_pid is not None
        limits = resource.prlimit(pipeline.capture_pid, resource.RLIMIT_NOFILE)
        held = set(map(int, os.listdir(f"/proc/{pipeline.capture_pid}/fd")))
        lowest_free = min(set(range(len(held) + 1)) - held)
        resource.prlimit(pipeline.capture_pid, resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.sendall(lines(0, 100))
            with anyio.fail_after(20):
                while pipeline.ledger.of("a").waiting is None:
                    await anyio.sleep(0.001)
            assert re.search("no descriptor is left, of .* raise the limit", pipeline.ledger.of("a").waiting or "")
            await write(other, lines(0, 100))
            await pipeline.reach(await pipeline.drain("b"))
            assert (numbers, others) == ([], list(range(100)))
            resource.prlimit(pipeline.capture_pid, resource.RLIMIT_NOFILE, limits)
            with anyio.fail_after(20):
                while len(numbers) < 100:
                    await anyio.sleep(0.001)
        assert numbers == list(range(100))
        assert pipeline.ledger.complete
    async with Pipeline.replay(tmp_path / "run") as replayed:
        assert replayed.ledger.complete
        assert replayed.ledger.of("a").waiting == pipeline.ledger.of("a").waiting


# --- disks ----------------------------------------------------------------------------------------------------------


def test_rows_that_went_in_before_the_disk_was_full_are_not_sent_as_well(tmp_path: Path) -> None:
    from captures import passed_by  # not above: this module is read by a program that has no such path

    (tmp_path / "logs").mkdir()
    ours, theirs = socket.socketpair()
    bell = os.eventfd(0)
    capture = Capture(theirs, bell, str(tmp_path), "lucy", token="", epoch_ns=0)
    for text in ("one", "two", "three", "four"):
        capture._intake.obey(Write("a", f"{text}\n".encode()))
    room = sum(len(row.text) for row in capture._recorder._rows[:2]) + 10
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        capture._publish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = ours.recv(1 << 16)
    with Recording(tmp_path) as recording:
        assert [row.position for row in recording.rows(Cursor())] == [0, 1]
        assert recording.end() == 2
    rows = [(json.loads(row), block) for row, block in passed_by(said)]
    assert [(row["position"], row["node"], block) for row, block in rows] == [
        (2, "", b""),
        (2, "a", b"three\n"),
        (3, "a", b"four\n"),
    ]
    assert (rows[0][0]["fact"], rows[0][0]["reason"]) == ("stopped", "arrivals.ndjson: File too large")
    capture._recorder.close()
    capture._drain.close()
    os.close(bell)
    theirs.close()
    ours.close()


@pytest.mark.anyio
@pytest.mark.blocking
async def test_when_the_disk_is_full_live_subscribers_miss_nothing_and_the_past_is_refused_by_name(
    small_disk: Path, tmp_path: Path
) -> None:
    async with Pipeline.record(small_disk / "run") as pipeline:
        fifos = {node: await pipeline.open_fifo(node, tmp_path / node) for node in ("a", "b")}
        live = {node: collect(pipeline, nodes=[node]) for node in fifos}
        async with anyio.create_task_group() as tasks:
            for fifo in fifos.values():
                tasks.start_soon(write, fifo, lines(0, 3000, size=1000))
        for node in fifos:
            await pipeline.reach(await pipeline.drain(node))
        assert live["a"] == live["b"] == list(range(3000))
        assert pipeline.ledger.complete
        assert not pipeline.ledger.recorded
        assert pipeline.ledger.recording_stopped is not None
        position, reason = pipeline.ledger.recording_stopped
        assert 0 < position < 6000
        assert "No space left on device" in reason
        # Who comes late gets what was recorded, and is told that there was more.
        late: list[int] = []
        told: list[Exception] = []
        pipeline.events(Counted, since=0).subscribe(lambda event: late.append(event.position), told.append)
        with anyio.fail_after(20):
            while not told:
                await anyio.sleep(0.001)
        assert late == list(range(position))
        assert "of 6000" in str(told[0])
        # And who subscribes now is live like the others.
        more = collect(pipeline, nodes=["a"])
        await write(fifos["a"], lines(3000, 3010))
        await pipeline.reach(await pipeline.drain("a"))
        assert more == list(range(3000, 3010))
    logs = [(small_disk / "run" / "logs" / f"{node}.ndjson").read_bytes() for node in fifos]
    assert all(not log or log.endswith(b"}\n") for log in logs)
    # Blocks whose rows found no room stay in the logs: bytes that the nodes wrote.
    assert sum(log.count(b"\n") for log in logs) >= position
    async with Pipeline.replay(small_disk / "run") as replayed:
        assert replayed.ledger.lines == position
        assert replayed.ledger.gaps[0] == lucy.Gap(position, None, f"the recording stopped: {reason}")


@pytest.mark.anyio
@pytest.mark.blocking
async def test_when_the_disk_has_room_for_a_line_and_not_for_its_row_the_line_is_delivered_all_the_same(
    small_disk: Path, tmp_path: Path
) -> None:
    async with Pipeline.record(small_disk / "run") as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        found: list[bytes] = []
        pipeline.lines(nodes="a").subscribe(lambda line: found.append(line.raw))
        for number in range(100):
            await write(fifo, b"%d\n" % number)
            await pipeline.reach(await pipeline.drain("a"))
            if not number:
                with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
                    while ballast.write(bytes(1024)):
                        pass
        assert found == [b"%d" % number for number in range(100)]
        assert pipeline.ledger.recording_stopped is not None
        assert "arrivals.ndjson: No space left on device" in pipeline.ledger.recording_stopped[1]


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_deleted_run_directory_costs_neither_present_nor_past(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        live = collect(pipeline)
        await write(fifo, lines(0, 1000))
        await pipeline.reach(await pipeline.drain("a"))
        shutil.rmtree(tmp_path / "run")
        await write(fifo, lines(1000, 2000))
        await pipeline.reach(await pipeline.drain("a"))
        assert live == list(range(2000))
        past: list[int] = []
        async with pipeline.events(Counted, since=0).aiter(limit=50) as items:
            async for event in items:
                past.append(event.data.n)
                if len(past) == 2000:
                    break
        assert past == live
        with pytest.raises(lucy.RecordingError, match="somebody has deleted the run directory"):
            await pipeline.open_fifo("b")
        with anyio.fail_after(20):
            while pipeline.ledger.recording_deleted is None:
                await write(fifo, lines(0, 1))
        assert pipeline.ledger.complete
        assert not pipeline.ledger.recorded
