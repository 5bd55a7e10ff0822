"""`latency`: from a node's write to the subscriber's callback, at a given pace, beside a bare pipe ping.

The ping is the machine's own: the same writer, and a reader that sits in `read` and takes the clock when it returns.
What both sides measure is the age of every structured event when the reader has it: in Lucy's case in the callback of a
typed subscription, behind capture, recording, decoding and a stream. The first half second is not counted, and what was
imported is collected before: the first full collection takes 16 ms and comes once a process, some second after its
start. At 20,000 lines/s that makes 16 of 3,000 events late: half of those that a p99 leaves out.
"""

import functools
import gc
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.measurement import Quantiles, Say, alternate, apart, median_of, scratch
from benchmarks.pacing import EVENT_EVERY, Pace, Stamped, make_fifo, paced_writers
from benchmarks.report import Curve, Report, Table, Target
from benchmarks.session import check, in_order, open_pipeline, results_of, run
from lucy_core.records.record import Event

RATES = (1_000, 20_000, 200_000)
WARM_UP = 0.5
LIMITS = {20_000: 3.0, 200_000: 5.0}
"""Times the ping's p99, by rate."""


class LatencyJob(msgspec.Struct, frozen=True):
    """What to listen to, and how."""

    directory: str
    rate: int
    lines: int
    every: int
    uvloop: bool = False
    record: bool = True

    def pace(self, fifo: Path) -> Pace:
        return Pace([str(fifo)], self.rate, self.lines, self.every)


class Latencies(msgspec.Struct, frozen=True):
    """What one listener found."""

    latency: Quantiles
    """Microseconds."""
    lines: int
    lines_per_second: float


def counted(ages: list[int], rate: int, every: int) -> Quantiles:
    """Leave out the events of the first half second, and turn nanoseconds into microseconds."""
    warm = min(len(ages) // 2, int(rate * WARM_UP / every))
    return Quantiles.of(age / 1e3 for age in ages[warm:])


def ping(job: LatencyJob) -> Latencies:
    """Sit in `read`, and take the clock when it returns."""
    fifo = Path(job.directory) / "ping.fifo"
    descriptor = make_fifo(fifo)
    stamps = re.compile(rb'"at":(\d+),').findall
    ages: list[int] = []
    lines, rest = 0, b""
    gc.collect()
    with paced_writers([job.pace(fifo)]) as [writer]:
        writer.go()
        while lines < job.lines:
            chunk = os.read(descriptor, 1 << 18)
            now = time.monotonic_ns()
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            ages += [now - int(at) for at in stamps(whole)]
            lines += whole.count(b"\n") + len(newline)
        written = writer.result()
    os.close(descriptor)
    return Latencies(counted(ages, job.rate, job.every), lines, lines / written.seconds)


def lucy_listener(job: LatencyJob) -> Latencies:
    """Subscribe to the typed event, as a test does."""

    async def listen() -> Latencies:
        ages: list[int] = []
        numbers: list[int] = []
        clock = time.monotonic_ns

        def take(event: Event[Stamped]) -> None:
            ages.append(clock() - event.data.at)
            numbers.append(event.data.n)

        async with open_pipeline(Path(job.directory), ["node"], record=job.record) as (pipeline, [fifo]):
            pipeline.events(Stamped).subscribe(take)
            gc.collect()
            with paced_writers([job.pace(fifo)]) as writers:
                writers[0].go()
                [written] = await results_of(writers)
            await pipeline.reach(await pipeline.drain("node"))
            check(pipeline, {"node": job.lines})
            in_order(numbers, lines=job.lines, every=job.every, node="node")
        return Latencies(counted(ages, job.rate, job.every), len(numbers), job.lines / written.seconds)

    return run(listen, uvloop=job.uvloop)


LISTENERS: dict[str, tuple[Callable[[LatencyJob], Latencies], dict[str, bool]]] = {
    "bare pipe ping": (ping, {}),
    "Lucy": (lucy_listener, {}),
    "Lucy, uvloop": (lucy_listener, {"uvloop": True}),
    "Lucy, no recording": (lucy_listener, {"record": False}),
}


def run_latency(*, say: Say, rounds: int = 3, seconds: float = 3.0, rates: tuple[int, ...] = RATES) -> Report:
    """Measure every listener at every rate."""
    table = Table(
        "latency, write to subscriber callback, microseconds",
        ["lines/s", "listener", "p50", "p99", "p99.9", "max", "p99 / ping's", "events", "lines/s written"],
        notes=[
            f"medians of {rounds} rounds, the maximum of all; one writer, one node, 500 bytes a line",
            "every 20th line is a structured event with a typed subscriber; every line at 1,000/s and less",
        ],
    )
    report = Report("latency", [table])
    curves: dict[str, list[tuple[float | str, float]]] = {name: [] for name in LISTENERS}
    for rate in rates:
        every = 1 if rate <= 1_000 else EVENT_EVERY
        lines = max(every * 20, int(rate * (seconds + WARM_UP)))
        contenders = {
            name: functools.partial(_measure, function, rate, lines, every, options)
            for name, (function, options) in LISTENERS.items()
        }
        found = alternate(contenders, rounds=rounds, say=lambda text, rate=rate: say(f"latency at {rate:,}/s: {text}"))
        ages = {name: median_of([each.latency for each in results]) for name, results in found.items()}
        base = ages["bare pipe ping"].p99
        for name, age in ages.items():
            pace = sorted(each.lines_per_second for each in found[name])[rounds // 2]
            table.add(
                f"{rate:,}", name, *(f"{value:,.0f}" for value in (age.p50, age.p99, age.p999, age.max)),
                f"{age.p99 / base:.1f}x", f"{age.count:,}", f"{pace:,.0f}",
            )  # fmt: skip
            report.ratios[f"{name} p99 at {rate}"] = round(age.p99 / base, 3)
            report.figures[f"{name} at {rate}"] = msgspec.to_builtins(age)
            curves[name].append((rate, age.p99))
        if rate in LIMITS:
            for name, loop in (("Lucy", "asyncio"), ("Lucy, uvloop", "uvloop")):
                ratio = report.ratios[f"{name} p99 at {rate}"]
                promise = f"p99 at {rate:,} lines/s over the ping's, {loop}"
                report.targets.append(Target(promise, ratio, LIMITS[rate]))
    report.curves.append(
        Curve("latency", "Write to subscriber, p99", "lines a second", "microseconds", curves, log_x=True, log_y=True)
    )
    return report


def _measure(
    function: Callable[[LatencyJob], Latencies], rate: int, lines: int, every: int, options: dict[str, bool]
) -> Latencies:
    with scratch("latency") as directory:
        job = LatencyJob(str(directory), rate, lines, every, **options)
        return apart(function, job)
