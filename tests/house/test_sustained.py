"""The sustained flood's disk: what stands on it is compared before it is given back, and writers wait for both."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.__main__ import RUNS, main
from benchmarks.corpus import Numbered
from benchmarks.endless import Counted
from benchmarks.measurement import BenchmarkError
from benchmarks.report import Report
from benchmarks.ring import PIECE_BYTES, Ring, RingJob, RingState, Told, ring, why_no_ring
from benchmarks.wide import overlaps, under_way
from lucy_core.records.record import Event, Record

STRIDE = 1 << 18
PASSES = 4


@pytest.fixture(autouse=True)
def _ring_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
def writer() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that can be stopped."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def job(tmp_path: Path, writer: subprocess.Popen[bytes]) -> RingJob:
    """Give a log that has repeated its corpus, and rows beside it."""
    corpus, log, rows = tmp_path / "corpus", tmp_path / "log", tmp_path / "rows"
    corpus.write_bytes(os.urandom(2 * PIECE_BYTES + 1000))
    log.write_bytes(corpus.read_bytes() * PASSES)
    rows.write_bytes(b"row\n")
    return RingJob([str(log)], [str(corpus)], [str(rows)], [writer.pid], most=1 << 30, stride=STRIDE)


def on_disk(job: RingJob) -> int:
    return Path(job.logs[0]).stat().st_blocks * 512


def size(job: RingJob) -> int:
    return Path(job.logs[0]).stat().st_size


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def tell_until(keeper: Ring, told: Told, process: subprocess.Popen[bytes], *, stopped: bool) -> RingState:
    while is_stopped(process) is not stopped:
        keeper.tell(told)
    return keeper.tell(told)


def test_what_is_compared_and_delivered_is_given_back_and_the_log_keeps_its_length(job: RingJob) -> None:
    before, length = on_disk(job), size(job)

    with ring(job) as keeper:
        state = keeper.tell(Told([length], last=True))

    assert state.compared == state.captured == [length]
    given_back = length // STRIDE * STRIDE
    assert state.used == length - given_back + len(b"row\n")
    assert size(job) == length
    assert on_disk(job) <= before - given_back + 4096


def test_what_is_not_delivered_stays_however_soon_it_is_compared(job: RingJob) -> None:
    length = size(job)

    with ring(job) as keeper:
        state = keeper.tell(Told([STRIDE], last=True))

    assert state.compared == [length]
    assert state.used == length - STRIDE + len(b"row\n")
    assert Path(job.logs[0]).read_bytes()[STRIDE:] == (Path(job.corpora[0]).read_bytes() * PASSES)[STRIDE:]


@pytest.mark.parametrize("place", (0, PIECE_BYTES, -1))
def test_a_byte_that_was_not_written_ends_it_and_the_writers(
    job: RingJob, writer: subprocess.Popen[bytes], place: int
) -> None:
    log = bytearray(Path(job.logs[0]).read_bytes())
    log[place] ^= 1
    Path(job.logs[0]).write_bytes(log)

    with pytest.raises(BenchmarkError, match=r"log differs from what was written"), ring(job) as keeper:
        keeper.tell(Told([0], last=True))

    assert writer.wait() < 0


def test_writers_stand_still_while_the_disk_is_full_and_it_is_told_for_whom(
    job: RingJob, writer: subprocess.Popen[bytes]
) -> None:
    length = size(job)
    small = RingJob(job.logs, job.corpora, job.others, job.writers, most=length // 2, stride=STRIDE)

    with ring(small) as keeper:
        while keeper.tell(Told([0])).compared != [length]:
            pass
        tell_until(keeper, Told([0]), writer, stopped=True)
        state = tell_until(keeper, Told([length]), writer, stopped=False)

    assert state.used < length // 4
    assert state.used_peak > length
    assert state.held.by_lucy > 0


def test_writers_end_with_it_where_something_else_broke(job: RingJob, writer: subprocess.Popen[bytes]) -> None:
    with ring(job) as keeper:
        keeper.end()

        assert writer.wait() < 0


def test_a_file_system_that_can_give_back_leaves_no_trace_of_the_question(tmp_path: Path) -> None:
    assert why_no_ring(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
def test_a_file_system_that_cannot_give_back_is_refused_with_what_to_do(tmp_path: Path) -> None:
    place = tmp_path / "ramfs"
    place.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "none", place], check=True)
    try:
        (place / "lucy").mkdir()
        why = why_no_ring(place / "lucy")
    finally:
        subprocess.run(["umount", place], check=True)

    assert why is not None
    assert re.fullmatch(f"the file system of {place} can't give back .*not supported; point TMPDIR to one that .*", why)


def test_all_floods_for_five_minutes_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    for name in RUNS:
        monkeypatch.setitem(RUNS, name, lambda *_: Report("fine"))
    monkeypatch.setitem(RUNS, "sustained", lambda options, _: asked.append(options.minutes) or Report("sustained"))

    assert main(["all"]) == main(["all", "--sustained", "0.5"]) == 0
    assert asked == [5, 0.5]


@pytest.mark.parametrize("minutes", ("0", "-1", "nan", "inf", "long"))
def test_a_flood_of_no_length_is_refused(minutes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sustained", "--minutes", minutes])

    assert minutes in capsys.readouterr().err


def an_event(number: int) -> Event[Numbered]:
    return Event("n", 0, 0, Record(raw=b"", text=""), Numbered(number))


def test_events_are_counted_pass_after_pass_and_one_that_is_not_due_is_refused() -> None:
    counted = Counted(["n"], 60)
    for number in (0, 20, 40, 0, 20):
        counted.take(an_event(number))

    assert counted.heard == {"n": 5}
    for wrong in (20, 0, 60):
        with pytest.raises(BenchmarkError, match=f"n: event {wrong} came where 40 was due, after 5 others"):
            counted.take(an_event(wrong))


spans = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))))


@given(spans, st.integers(0, 60), st.integers(0, 9))
def test_a_time_overlaps_spans_where_it_overlaps_one_of_them(
    apart: list[tuple[int, int]], begin: int, length: int
) -> None:
    end = begin + length

    assert overlaps(under_way(apart), begin, end) == any(start <= end and stop >= begin for start, stop in apart)
