"""Many nodes and subscriptions, and lines of 64 MiB on some nodes beside small ones on the others, at the same time.

Small lines come at a kept pace, and so do long ones, from all their nodes at once. Each long line is an event with a
subscriber: it is captured, recorded, read back, searched and decoded, and nothing can be spared. Measured is how late
its neighbours' events come while one is under way, from its writer's `write` until it is delivered, beside the same run
without long lines, and what both processes need of memory.
"""

import bisect
import functools
import statistics
import time
from operator import itemgetter
from pathlib import Path

import msgspec

from benchmarks.measurement import Quantiles, Say, alternate, apart, median_of, memory, scratch
from benchmarks.pacing import EVENT_EVERY, Pace, Stamped, paced_writers
from benchmarks.report import Report, Table, Target
from benchmarks.scale import NODE_BURST, subscribe
from benchmarks.session import check, in_order, open_pipeline, results_of, run
from lucy_core.capturing import run_files
from lucy_core.capturing.framing import LINE_BYTES
from lucy_core.records.journal import JOURNAL
from lucy_core.records.record import Event

LONG_BYTES = 64 << 20
WITHOUT = "alone"
BESIDE = "beside long lines"
LINE_MIB = LINE_BYTES >> 20
TEST_LINES = 2
"""How many times the longest line there is the test's process may hold, whatever the number of nodes: the block as it
was read, and the line that was cut out of it. Capture holds one unfinished line a node."""


class WideJob(msgspec.Struct, frozen=True):
    """A paced load on many nodes, and on the last ones a paced load of long lines."""

    directory: str
    nodes: int
    subscriptions: int
    rate: int
    """Small lines a second, of all nodes that write these."""
    lines: int
    """Small ones, of all."""
    long_nodes: int
    long_lines: int
    """Of each such node; 0 for a run without."""
    long_rate: int
    """Of these a second, on each such node."""
    long_bytes: int = LONG_BYTES


WIDE = WideJob("", 200, 1_000, rate=20_000, lines=120_000, long_nodes=2, long_lines=6, long_rate=1)
"""Some six seconds."""


class Wide(msgspec.Struct, frozen=True):
    """What it came to."""

    lines: int
    events: int
    long_lines: int
    ages: Quantiles
    """Milliseconds, of the small lines' events: all, or those that came while a long line was under way."""
    long_age: float
    """Milliseconds, of the long line that came latest."""
    seconds_under_way: float
    """For which a long line was."""
    by_hand: float
    """Milliseconds that it takes to read a long line from its log and to decode it, without Lucy."""
    mib: float
    capture_mib: float
    """Resident, before anything was written."""
    peak_mib: float
    capture_peak_mib: float


def wide_listener(job: WideJob) -> Wide:
    """Listen to all of it, and demand every line."""

    async def listen() -> Wide:
        names = [f"n{index}" for index in range(job.nodes)]
        small, long = names[: job.nodes - job.long_nodes], names[job.nodes - job.long_nodes :]
        numbers: dict[str, list[int]] = {name: [] for name in names}
        heard: list[tuple[int, int]] = []
        long_heard: list[tuple[int, int]] = []
        long_names = frozenset(long)
        clock = time.monotonic_ns

        def take(event: Event[Stamped]) -> None:
            numbers[event.node].append(event.data.n)
            (long_heard if event.node in long_names else heard).append((event.data.at, clock()))

        async with open_pipeline(Path(job.directory), names, record=True) as (pipeline, fifos):
            assert pipeline.capture_pid is not None
            subscribe(pipeline, Stamped, names, job.subscriptions, take)
            paths = [str(fifo) for fifo in fifos]
            paces = [Pace(paths[: len(small)], job.rate, job.lines, burst=NODE_BURST, most=NODE_BURST)]
            if job.long_lines:
                paces += [
                    Pace([path], job.long_rate, job.long_lines, every=1, most=1, line_bytes=job.long_bytes)
                    for path in paths[len(small) :]
                ]
            with paced_writers(paces) as writers:
                before, capture_before = memory("self").now, memory(pipeline.capture_pid).now
                for writer in writers:
                    writer.go()
                written = await results_of(writers)
                for name in names:
                    position = await pipeline.drain(name)
                await pipeline.reach(position)
            lines = dict.fromkeys(long, 0) | dict(zip(small, written[0].lines, strict=True))
            lines |= {name: sum(each.lines) for name, each in zip(long, written[1:], strict=False)}
            check(pipeline, lines)
            for name, count in lines.items():
                in_order(numbers[name], lines=count, every=1 if name in long_names else EVENT_EVERY, node=name)
            spans = under_way(long_heard)
            ages = [end - begin for begin, end in heard if not job.long_lines or overlaps(spans, begin, end)]
            return Wide(
                sum(lines.values()),
                len(heard) + len(long_heard),
                len(long_heard),
                Quantiles.of(age / 1e6 for age in ages),
                max((end - begin for begin, end in long_heard), default=0) / 1e6,
                sum(end - begin for begin, end in spans) / 1e9,
                _by_hand(Path(job.directory) / "run" / run_files.log_of(names[-1], JOURNAL)) if job.long_lines else 0,
                before,
                capture_before,
                memory("self").peak,
                memory(pipeline.capture_pid).peak,
            )

    return run(listen, uvloop=False)


class _Metadata(msgspec.Struct):
    n: int
    at: int


class _Line(msgspec.Struct):
    event_id: str
    metadata: _Metadata


def _by_hand(log: Path) -> float:
    """Read the first line of a log and decode what its subscriber gets, as one does it today; milliseconds."""
    decode = msgspec.json.Decoder(_Line).decode
    begun = time.perf_counter()
    with log.open("rb") as file:
        decode(file.readline())
    return (time.perf_counter() - begun) * 1e3


Spans = list[tuple[int, int]]


def under_way(spans: Spans) -> Spans:
    """Join spans of time that overlap, in order."""
    joined: Spans = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return joined


def overlaps(spans: Spans, begin: int, end: int) -> bool:
    """Tell whether any of these, which are in order and apart, has a moment in common with a time."""
    at = bisect.bisect_right(spans, end, key=itemgetter(0))
    return at > 0 and spans[at - 1][1] >= begin


def run_wide(report: Report, say: Say, rounds: int, job: WideJob) -> None:
    """Measure it with and without long lines, and put it into a report."""

    def measure(long_lines: int) -> Wide:
        with scratch("wide", needs_bytes=job.long_nodes * long_lines * job.long_bytes) as root:
            mine = msgspec.structs.replace(job, directory=str(root), long_lines=long_lines)
            return apart(wide_listener, mine)

    found = alternate(
        {WITHOUT: functools.partial(measure, 0), BESIDE: functools.partial(measure, job.long_lines)},
        rounds=rounds,
        say=lambda text: say(f"{job.nodes} nodes: {text}"),
    )
    mebibytes = job.long_bytes >> 20
    table = Table(
        f"sustained: {job.nodes} nodes, {job.subscriptions:,} subscriptions, lines of {mebibytes} MiB on "
        f"{job.long_nodes} nodes",
        ["small lines", "p50 ms", "p99 ms", "max ms", "events", "long lines", "longest ms", "test MiB", "capture MiB"],
        notes=[
            f"medians of {rounds} rounds, the maximum of all; {job.rate:,} small lines/s in all",
            f"on each of their nodes {job.long_rate} long lines/s, at once; every line came once and in order",
            "p50, p99, max: from `write` to subscriber; beside long lines, of those that came while one was under way",
            "longest: of the long lines, from `write` to subscriber; MiB: at most, over what was there before any line",
        ],
    )
    for name, results in found.items():
        ages = median_of([each.ages for each in results])
        growth, capture_growth = (
            max(each.peak_mib - each.mib for each in results),
            max(each.capture_peak_mib - each.capture_mib for each in results),
        )
        table.add(
            name, *(f"{value:,.1f}" for value in (ages.p50, ages.p99, ages.max)), f"{ages.count:,}",
            f"{sum(each.long_lines for each in results):,}", f"{max(each.long_age for each in results):,.0f}",
            f"{growth:.0f}", f"{capture_growth:.0f}",
        )  # fmt: skip
        report.figures[name] = {
            "ages_ms": msgspec.to_builtins(ages),
            "events": results[0].events,
            "long_lines": results[0].long_lines,
            "lines": results[0].lines,
            "grew_mib": growth,
            "capture_grew_mib": capture_growth,
        }
    beside = report.figures[BESIDE]
    by_hand = statistics.median(each.by_hand for each in found[BESIDE]) * job.long_nodes
    ratio = beside["ages_ms"]["p99"] / by_hand
    report.ratios["p99 beside long lines over reading these by hand"] = round(ratio, 3)
    table.notes.append(f"a long line of each node read and decoded by hand: {by_hand:,.0f} ms")
    report.tables.append(table)
    report.targets += [
        Target("p99 of small lines beside long ones, over reading a long line of each node by hand", ratio, 3),
        Target(
            "memory of the test's process for lines of 64 MiB", beside["grew_mib"], TEST_LINES * LINE_MIB, unit="MiB"
        ),
        Target(
            "memory of the capture process for them",
            beside["capture_grew_mib"],
            job.long_nodes * LINE_MIB,
            unit="MiB",
        ),
    ]
