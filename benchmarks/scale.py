"""`scale`: more nodes, more subscriptions, longer recordings; what a line costs should stay flat.

Nodes: one writer makes the same writes at the same pace, of 20 lines each, into 1 or into 200 FIFOs in turn; the cost
is the CPU of capture and test together. Subscriptions: writers as fast as they can, on 100 nodes; every event is
delivered once, by one subscription to all nodes or by a hundred to one each, and what comes beyond a hundred matches
nothing. Recording: a flood of millions of lines in one run, looked at after each million.
"""

import functools
import statistics
import time
from pathlib import Path
from typing import Any

import msgspec

import lucy_core as lucy
from benchmarks.corpus import EVENT_EVERY, Numbered
from benchmarks.corpus import lines as corpus_lines
from benchmarks.feeder import feeder
from benchmarks.measurement import BenchmarkError, Say, alternate, apart, cpu_seconds, memory, own_cpu_seconds, scratch
from benchmarks.pacing import Pace, Stamped, paced_writers
from benchmarks.report import Curve, Report, Table, Target
from benchmarks.session import check, in_order, open_pipeline, results_of, run
from benchmarks.writers import writers
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.records.record import Event

NODES = (1, 5, 20, 50, 100, 200)
SUBSCRIPTIONS = (0, 1, 10, 100, 1000)
NOTHING = "1 + 1 that matches nothing"
NODE_BURST = 20
RECORDING_NODES = 5
MEAN_LINE = 520


class NodesJob(msgspec.Struct, frozen=True):
    """A paced load over so many nodes."""

    directory: str
    nodes: int
    rate: int
    lines: int


class SubscriptionsJob(msgspec.Struct, frozen=True):
    """A flood over `nodes`, heard by so many subscriptions."""

    directory: str
    nodes: int
    lines_per_node: int
    repeat: int
    subscriptions: int
    extra: int = 0
    """Subscriptions to all nodes beside these, that match nothing."""


class RecordingJob(msgspec.Struct, frozen=True):
    """A flood of `lines`, looked at `looks` times."""

    directory: str
    lines: int
    looks: int


class Cost(msgspec.Struct, frozen=True):
    """What a load cost."""

    lines: int
    events: int
    seconds: float
    cpu_seconds: float
    """Of the test's process and the capture process."""
    peak_mib: float
    """Of the test's process."""

    @property
    def microseconds(self) -> float:
        """CPU a line."""
        return self.cpu_seconds / self.lines * 1e6


class Look(msgspec.Struct, frozen=True):
    """A recording so far."""

    lines: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    capture_peak_mib: float


class _Meter:
    """CPU and time from now on."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._capture = pipeline.capture_pid
        self._started = time.perf_counter()
        self._before = self._cpu()

    def _cpu(self) -> float:
        return own_cpu_seconds() + (cpu_seconds(self._capture) if self._capture else 0)

    def cost(self, lines: int, events: int) -> Cost:
        return Cost(lines, events, time.perf_counter() - self._started, self._cpu() - self._before, memory("self").peak)


def nodes_listener(job: NodesJob) -> Cost:
    """Listen to a paced load with one typed subscription."""

    async def listen() -> Cost:
        names = [f"n{index}" for index in range(job.nodes)]
        numbers: dict[str, list[int]] = {name: [] for name in names}

        def take(event: Event[Stamped]) -> None:
            numbers[event.node].append(event.data.n)

        async with open_pipeline(Path(job.directory), names, record=True) as (pipeline, fifos):
            pipeline.events(Stamped).subscribe(take)
            pace = Pace([str(fifo) for fifo in fifos], job.rate, job.lines, burst=NODE_BURST, most=NODE_BURST)
            with paced_writers([pace]) as paced:
                meter = _Meter(pipeline)
                paced[0].go()
                [written] = await results_of(paced)
                position = 0
                for name in names:
                    position = await pipeline.drain(name)
                await pipeline.reach(position)
                cost = meter.cost(job.lines, sum(map(len, numbers.values())))
            check(pipeline, dict(zip(names, written.lines, strict=True)))
            for name, lines in zip(names, written.lines, strict=True):
                in_order(numbers[name], lines=lines, every=pace.every, node=name)
        return cost

    return run(listen, uvloop=False)


def subscribe(pipeline: Pipeline, kind: type, names: list[str], count: int, take: Any) -> None:
    """Subscribe `count` times so that every event of a kind is delivered once, where there is a subscription."""
    matching = min(count, len(names))
    for index in range(matching):
        pipeline.events(kind, nodes=names[index::matching]).subscribe(take)
    for index in range(count - matching):
        pipeline.events(_type_of_nothing(index), nodes=[names[index % len(names)]]).subscribe(take)


def _type_of_nothing(index: int) -> type:
    return lucy.event(ids=f"benchmark.nothing.{index}")(msgspec.defstruct(f"Nothing{index}", [("n", int)]))


def subscriptions_listener(job: SubscriptionsJob) -> Cost:
    """Take a flood with so many subscriptions."""

    async def listen() -> Cost:
        root = Path(job.directory)
        corpus = root / "corpus"
        corpus.write_bytes(b"".join(corpus_lines(1, job.lines_per_node)))
        names = [f"n{index}" for index in range(job.nodes)]
        heard = dict.fromkeys(names, 0)

        def take(event: Event[Numbered]) -> None:
            heard[event.node] += 1

        async with open_pipeline(root, names, record=True) as (pipeline, fifos):
            subscribe(pipeline, Numbered, names, job.subscriptions, take)
            for index in range(job.extra):
                pipeline.events(_type_of_nothing(-1 - index)).subscribe(take)
            total = job.nodes * job.lines_per_node * job.repeat
            with feeder(corpus, fifos, repeat=job.repeat) as writer:
                meter = _Meter(pipeline)
                writer.go()
                await pipeline.reach(total)
                cost = meter.cost(total, sum(heard.values()))
            check(pipeline, dict.fromkeys(names, job.lines_per_node * job.repeat))
        wanted = len(range(0, job.lines_per_node, EVENT_EVERY)) * job.repeat
        listening = names if job.subscriptions else []
        if heard != {name: wanted if name in listening else 0 for name in names}:
            message = f"{job.subscriptions} subscriptions heard {heard}, not {wanted} events a node"
            raise BenchmarkError(message)
        return cost

    return run(listen, uvloop=False)


def recording_listener(job: RecordingJob) -> list[Look]:
    """Record a flood with one typed subscription, and look at the cost as it grows."""

    async def listen() -> list[Look]:
        root = Path(job.directory)
        corpora = []
        per_node = min(50_000, job.lines // RECORDING_NODES)
        for node in range(RECORDING_NODES):
            corpora.append(root / f"corpus-{node}")
            corpora[-1].write_bytes(b"".join(corpus_lines(node + 1, per_node)))
        repeat = job.lines // (RECORDING_NODES * per_node)
        total = RECORDING_NODES * per_node * repeat
        names = [f"n{index}" for index in range(RECORDING_NODES)]
        heard = dict.fromkeys(names, 0)

        def take(event: Event[Numbered]) -> None:
            heard[event.node] += 1

        looks = []
        async with open_pipeline(root, names, record=True) as (pipeline, fifos):
            pipeline.events(Numbered).subscribe(take)
            with writers(corpora, fifos, repeat=repeat) as ready:
                assert pipeline.capture_pid is not None
                meter = _Meter(pipeline)
                ready.go()
                for step in range(1, job.looks + 1):
                    await pipeline.reach(total * step // job.looks)
                    cost = meter.cost(total * step // job.looks, sum(heard.values()))
                    capture = memory(pipeline.capture_pid).peak
                    looks.append(Look(cost.lines, cost.seconds, cost.cpu_seconds, cost.peak_mib, capture))
            check(pipeline, dict.fromkeys(names, per_node * repeat))
        wanted = len(range(0, per_node, EVENT_EVERY)) * repeat
        if heard != dict.fromkeys(names, wanted):
            message = f"heard {heard}, not {wanted} events a node"
            raise BenchmarkError(message)
        return looks

    return run(listen, uvloop=False)


def run_scale(
    *,
    say: Say,
    rounds: int = 3,
    lines: int = 2_000_000,
    seconds: float = 1.5,
    rate: int = 100_000,
    nodes: tuple[int, ...] = NODES,
    subscriptions: tuple[int, ...] = SUBSCRIPTIONS,
    flood_lines: int = 1_000_000,
    hosts: int = 100,
) -> Report:
    """Measure the three curves.

    Args:
        say: told what is measured.
        rounds: of nodes and subscriptions; the recording is made once.
        lines: of the recording.
        seconds: of each paced load.
        rate: lines a second of the paced load.
        nodes: how many, one load each.
        subscriptions: how many, one flood each.
        flood_lines: of each flood.
        hosts: nodes of the floods.
    """
    report = Report("scale")
    _nodes(report, say, rounds, int(rate * seconds), rate, nodes)
    _subscriptions(report, say, rounds, flood_lines, hosts, subscriptions)
    _recording(report, say, lines)
    return report


def _nodes(report: Report, say: Say, rounds: int, lines: int, rate: int, nodes: tuple[int, ...]) -> None:
    def measure(count: int) -> Cost:
        with scratch("scale") as root:
            return apart(nodes_listener, NodesJob(str(root), count, rate, lines // NODE_BURST * NODE_BURST))

    found = alternate(
        {str(count): functools.partial(measure, count) for count in nodes},
        rounds=rounds,
        say=lambda text: say(f"nodes: {text}"),
    )
    table = Table(
        f"scale: nodes at {rate:,} lines/s together",
        ["nodes", "CPU us a line", "over 5 nodes", "peak MiB", "events"],
        notes=[f"medians of {rounds} rounds; the same writes of {NODE_BURST} lines each, spread over more FIFOs"],
    )
    cost = {name: statistics.median(each.microseconds for each in results) for name, results in found.items()}
    base = cost.get("5", next(iter(cost.values())))
    for name, results in found.items():
        peak = max(each.peak_mib for each in results)
        table.add(name, f"{cost[name]:.2f}", f"{cost[name] / base:.2f}x", f"{peak:.0f}", f"{results[0].events:,}")
        report.ratios[f"{name} nodes over 5"] = round(cost[name] / base, 3)
        report.figures[f"{name} nodes"] = {"cpu_us": cost[name], "peak_mib": peak, "events": results[0].events}
    if {"5", "200"} <= cost.keys():
        report.targets.append(Target("CPU a line, 200 nodes over 5", cost["200"] / cost["5"], 1.5))
    report.tables.append(table)
    points: list[tuple[float | str, float]] = [(int(name), value) for name, value in cost.items()]
    report.curves.append(
        Curve("scale-nodes", f"{rate:,} lines/s over more nodes", "nodes", "CPU, us a line", {"cost": points})
    )


def _subscriptions(
    report: Report, say: Say, rounds: int, flood_lines: int, hosts: int, subscriptions: tuple[int, ...]
) -> None:
    per_node = min(2_000, flood_lines // hosts)
    repeat = flood_lines // hosts // per_node

    def measure(count: int, extra: int) -> Cost:
        with scratch("scale") as root:
            return apart(subscriptions_listener, SubscriptionsJob(str(root), hosts, per_node, repeat, count, extra))

    contenders = {str(count): functools.partial(measure, count, 0) for count in subscriptions}
    contenders[NOTHING] = functools.partial(measure, 1, 1)
    found = alternate(contenders, rounds=rounds, say=lambda text: say(f"subscriptions: {text}"))
    table = Table(
        f"scale: subscriptions, a flood on {hosts} nodes",
        ["subscriptions", "k lines/s", "throughput over 1", "CPU us a line", "events delivered"],
        notes=[
            f"medians of {rounds} rounds; throughput is compared round by round",
            "up to a hundred share the nodes among them, so that every event is delivered once; beyond match nothing",
        ],
    )
    points: list[tuple[float | str, float]] = []
    over_one: dict[str, float] = {}
    for name, results in found.items():
        speed = statistics.median(each.lines / each.seconds for each in results)
        over_one[name] = statistics.median(
            one.seconds / each.seconds for one, each in zip(found["1"], results, strict=True)
        )
        cost = statistics.median(each.microseconds for each in results)
        table.add(name, f"{speed / 1e3:,.0f}", f"{over_one[name]:.2f}x", f"{cost:.2f}", f"{results[0].events:,}")
        report.ratios[f"{name} subscriptions over 1"] = round(over_one[name], 3)
        report.figures[f"{name} subscriptions"] = {
            "lines_per_second": speed,
            "cpu_us": cost,
            "events": results[0].events,
        }
        if name != NOTHING:
            points.append((int(name), cost))
    report.targets.append(
        Target("throughput that a subscription costs which matches nothing", (1 - over_one[NOTHING]) * 100, 3, unit="%")
    )
    if "100" in over_one:
        report.targets.append(
            Target("throughput that 100 subscriptions cost over 1", (1 - over_one["100"]) * 100, 25, unit="%")
        )
    report.tables.append(table)
    report.curves.append(
        Curve(
            "scale-subscriptions",
            f"A flood on {hosts} nodes, more subscriptions",
            "subscriptions",
            "CPU, us a line",
            {"cost": points},
            log_x=True,
        )
    )


def _recording(report: Report, say: Say, lines: int) -> None:
    looks = max(2, lines // 1_000_000)
    say(f"a recording of {lines:,} lines")
    with scratch("scale", needs_bytes=lines * MEAN_LINE) as root:
        found = apart(recording_listener, RecordingJob(str(root), lines, looks), seconds=900)
    table = Table(
        "scale: a recording that grows",
        ["million lines", "k lines/s", "CPU us a line", "peak MiB", "of capture"],
        notes=[f"one run, {RECORDING_NODES} nodes, one typed subscription; speed and CPU are of each row's own lines"],
    )
    before = Look(0, 0, 0, 0, 0)
    speed: list[tuple[float | str, float]] = []
    peaks: list[tuple[float | str, float]] = []
    for index, look in enumerate(found):
        count = look.lines - before.lines
        cost = (look.cpu_seconds - before.cpu_seconds) / count * 1e6
        speed.append((look.lines / 1e6, cost))
        peaks.append((look.lines / 1e6, look.peak_mib))
        if index in {0, looks - 1} or (index + 1) % max(1, looks // 5) == 0:
            table.add(
                f"{look.lines / 1e6:.1f}",
                f"{count / (look.seconds - before.seconds) / 1e3:,.0f}",
                f"{cost:.2f}",
                f"{look.peak_mib:.0f}",
                f"{look.capture_peak_mib:.0f}",
            )
        before = look
    growth = found[-1].peak_mib - found[0].peak_mib
    name = f"peak memory, {lines / 1e6:g} million lines over the first {found[0].lines / 1e6:g}"
    report.targets.append(Target(name, growth, 64, unit="MiB"))
    report.figures["recording"] = msgspec.to_builtins(found)
    report.tables.append(table)
    report.curves.append(
        Curve("scale-recording", "A recording that grows", "million lines", "CPU, us a line", {"cost": speed})
    )
    report.curves.append(
        Curve("scale-memory", "A recording that grows", "million lines", "peak MiB", {"the test's process": peaks})
    )
