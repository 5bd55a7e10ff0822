"""`isolation`: what a test that blocks, a slow subscriber and a slow disk cost the nodes, and Lucy's memory.

Five writers keep a pace and time their own writes: how long a node waited is its own word. Beside Lucy as it is used
stands what is usual, a reader on the test's own loop: when that test blocks, its nodes block too.
"""

import functools
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec

from benchmarks.disks import busy_neighbour, hanging, small_disk, why_no_small_disk
from benchmarks.measurement import Say, alternate, apart, memory, scratch
from benchmarks.pacing import Pace, Stamped, paced_writers
from benchmarks.report import Curve, Report, Table
from benchmarks.session import check, in_order, open_pipeline, results_of, run
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.records.record import Event

NODES = tuple(f"n{index}" for index in range(5))
BURST_SECONDS = 0.01
ATTENTIVE = "an attentive test"
ASLEEP = "a test that sleeps"
SPINNING = "a test that computes"
SLOW = "a slow subscriber"
BUSY = "a busy disk"
HANGS = "a disk that hangs"
ON_LOOP = "reader on the test's loop, which sleeps"


class IsolationJob(msgspec.Struct, frozen=True):
    """A disturbance of so many seconds, and the load it meets."""

    directory: str
    mode: str
    seconds: float
    rate: int
    """Lines a second and node."""
    lead: float
    """Seconds of ordinary life before and after."""


class Disturbed(msgspec.Struct, frozen=True):
    """What it cost."""

    lines: int
    longest_write: float
    """Of any node, seconds."""
    blocked: float
    """All writes of the node that waited most, seconds."""
    pace_kept: float
    """Lines a second over those ordered."""
    lag: float
    """From arrival to delivery, at most, seconds."""
    peak_mib: float
    capture_peak_mib: float


class _Ears:
    """A typed subscription to all nodes, attentive or slow."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.numbers: dict[str, list[int]] = {node: [] for node in NODES}
        self._stream = pipeline.events(Stamped)
        self._changed = anyio.Event()

    def take(self, event: Event[Stamped]) -> None:
        self.numbers[event.node].append(event.data.n)

    def listen(self) -> None:
        self._stream.subscribe(self.take)

    async def listen_slowly(self, *, pause: float, wanted: int) -> None:
        """Take a hundred events, rest, until all have come."""
        count = 0
        async with self._stream.aiter(limit=100) as events:
            async for event in events:
                self.take(event)
                count += 1
                if count == wanted:
                    return
                if count % 100 == 0:
                    await anyio.sleep(pause)


def disturb(job: IsolationJob) -> Disturbed:
    """Run the load and the disturbance, and demand every line."""
    with ExitStack() as stack:
        place = Path(job.directory)
        if job.mode == BUSY:
            stack.enter_context(busy_neighbour(place))
        elif job.mode == HANGS:
            needed = int(job.rate * (job.seconds + 2 * job.lead) * len(NODES) * 600) >> 20
            place = stack.enter_context(small_disk(place, mebibytes=needed + 256))
        return run(functools.partial(_disturb, job, place), uvloop=False)


async def _disturb(job: IsolationJob, place: Path) -> Disturbed:
    recorded = job.mode != ON_LOOP
    burst = max(1, int(job.rate * BURST_SECONDS))
    lines = int(job.rate * (job.seconds + 2 * job.lead))
    async with open_pipeline(place, list(NODES), record=recorded) as (pipeline, fifos):
        paces = [Pace([str(fifo)], job.rate, lines, burst=burst, most=burst) for fifo in fifos]
        ears = _Ears(pipeline)
        events = len(range(0, lines, paces[0].every)) * len(NODES)
        with paced_writers(paces) as writers, _hanging_disk(job, place):
            async with anyio.create_task_group() as tasks:
                if job.mode == SLOW:
                    # A third slower than events come.
                    pause = 1.5 * 100 * paces[0].every / (job.rate * len(NODES))
                    tasks.start_soon(functools.partial(ears.listen_slowly, pause=pause, wanted=events))
                    await anyio.lowlevel.checkpoint()
                else:
                    ears.listen()
                for writer in writers:
                    writer.go()
                await anyio.sleep(job.lead)
                _block(job.mode, job.seconds)
                written = await results_of(writers)
                for node in NODES:
                    position = await pipeline.drain(node)
                await pipeline.reach(position)
        check(pipeline, dict.fromkeys(NODES, lines))
        for node in NODES:
            in_order(ears.numbers[node], lines=lines, every=paces[0].every, node=node)
        pid = pipeline.capture_pid
        return Disturbed(
            lines=lines * len(NODES),
            longest_write=max(each.longest for each in written),
            blocked=max(each.blocked for each in written),
            pace_kept=min(lines / each.seconds for each in written) / job.rate,
            lag=max(pipeline.ledger.of(node).lag_max_ns for node in NODES) / 1e9,
            peak_mib=memory("self").peak,
            capture_peak_mib=memory(pid).peak if pid is not None else 0.0,
        )


def _block(mode: str, seconds: float) -> None:
    """Hold the loop up, where that is what the mode means."""
    if mode in {ASLEEP, ON_LOOP}:
        time.sleep(seconds)
    elif mode == SPINNING:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass


@contextmanager
def _hanging_disk(job: IsolationJob, place: Path) -> Iterator[None]:
    if job.mode != HANGS:
        yield
        return
    with hanging(place, after=job.lead, seconds=min(2.0, job.seconds / 2)):
        yield


def run_isolation(*, say: Say, rounds: int = 1, seconds: float = 10.0, rate: int = 20_000, lead: float = 0.5) -> Report:
    """Measure every disturbance, for `seconds` each, under five nodes of `rate` lines a second each."""
    why = why_no_small_disk()
    skipped = {HANGS: why} if why else {}
    modes = [mode for mode in (ATTENTIVE, ASLEEP, SPINNING, SLOW, BUSY, HANGS, ON_LOOP) if mode not in skipped]

    def measure(mode: str) -> Disturbed:
        # What only goes on beside the test, and doesn't hold it up, shows in half the time.
        length = seconds if mode in {ASLEEP, SPINNING, ON_LOOP} else seconds / 2
        with scratch("isolation") as root:
            return apart(disturb, IsolationJob(str(root), mode, length, rate, lead))

    found = alternate({mode: functools.partial(measure, mode) for mode in modes}, rounds=rounds, say=say)
    table = Table(
        f"isolation: five nodes of {rate:,} lines/s each",
        ["under", "longest write ms", "time in writes s", "pace kept", "lag s", "test MiB", "capture MiB"],
        notes=[
            f"medians of {rounds} rounds; the test is held up for {seconds:g} s, the others last half of it",
            "the disk hangs for 2 s: the kernel freezes its file system",
            "the busy disk serves a neighbour that writes and flushes 8 MiB blocks without pause",
            "every line arrived once and in order in every row",
        ],
    )
    report = Report("isolation", [table], skipped=skipped)
    bars: list[tuple[float | str, float]] = []
    for mode, results in found.items():
        middle = {
            field: statistics.median(getattr(each, field) for each in results) for field in Disturbed.__struct_fields__
        }
        table.add(
            mode,
            f"{middle['longest_write'] * 1e3:,.0f}",
            f"{middle['blocked']:.2f}",
            f"{middle['pace_kept']:.0%}",
            f"{middle['lag']:.1f}",
            f"{middle['peak_mib']:.0f}",
            f"{middle['capture_peak_mib']:.0f}" if middle["capture_peak_mib"] else "",
        )
        report.figures[mode] = middle
        bars.append((mode, middle["longest_write"] * 1e3))
    base = report.figures[ON_LOOP]["longest_write"]
    for mode in modes:
        if mode != ON_LOOP:
            report.ratios[f"{mode}: longest write"] = round(report.figures[mode]["longest_write"] / base, 4)
    report.curves.append(
        Curve("isolation", "A node's longest write", "under", "milliseconds", {"ms": bars}, log_y=True, bars=True)
    )
    return report
