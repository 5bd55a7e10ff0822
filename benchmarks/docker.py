"""`docker`: pushing lines out of containers beside the Engine's own ways, and networks of containers up and down."""

import functools
import os
import re
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks import docker_networks
from benchmarks.corpus import lines as corpus_lines
from benchmarks.docker_api import LogOptions, why_no_docker
from benchmarks.docker_capture import AIODOCKER, ATTACH, FIFO, FOLLOW, LUCY, AgeJob, Flow, WayJob, age, flow
from benchmarks.docker_networks import Containers, NetworkJob, UpAndDown, docker_run, lucy_network
from benchmarks.latency import Latencies, LatencyJob, lucy_listener
from benchmarks.machine import engine_version
from benchmarks.measurement import Say, alternate, apart, median_of, scratch
from benchmarks.report import Curve, Report, Table, Target

JSON, LOCAL, NONE = LogOptions("json-file"), LogOptions("local"), LogOptions("none")
OURS = "Lucy over FIFO"
BARE = "bare FIFO reader"
ATTACHED = "attach, driver none"
ATTACHED_LOCAL = "attach, driver local"
FOLLOWED = "log follower, json-file"
WAYS: dict[str, tuple[str, LogOptions, int]] = {
    BARE: (FIFO, LOCAL, 4),
    OURS: (LUCY, LOCAL, 4),
    ATTACHED: (ATTACH, NONE, 2),
    ATTACHED_LOCAL: (ATTACH, LOCAL, 2),
    FOLLOWED: (FOLLOW, JSON, 1),
    "log follower, local": (FOLLOW, LogOptions("local", "100m"), 1),
    "log follower, json-file, aiodocker": (AIODOCKER, JSON, 1),
}
"""By name: which way, with which log, and how many passes of the corpus make a second or so."""
ROTATING: dict[str, tuple[str, LogOptions]] = {
    OURS: (LUCY, LogOptions("json-file", "1m")),
    "attach, json-file": (ATTACH, LogOptions("json-file", "1m")),
    "log follower, json-file": (FOLLOW, LogOptions("json-file", "1m")),
    "log follower, local": (FOLLOW, LogOptions("local", "1m")),
}
AGES: dict[str, tuple[str, LogOptions]] = {
    OURS: (LUCY, LOCAL),
    BARE: (FIFO, LOCAL),
    ATTACHED: (ATTACH, NONE),
    FOLLOWED: (FOLLOW, JSON),
}
PROCESS = "Lucy, the writer a process"
RATE = 20_000
EVERY = 20


def run_docker(
    *,
    say: Say,
    rounds: int = 3,
    lines: int = 100_000,
    seconds: float = 2.0,
    rate: int = RATE,
    sizes: tuple[int, ...] = (5, 20),
    nodes: int = 20,
) -> Report:
    """Measure all that there is to measure in containers, where an Engine answers.

    Args:
        say: told what is measured.
        rounds: of ways, ages and networks.
        lines: of the corpus.
        seconds: of each paced load.
        rate: its lines a second.
        sizes: of the networks that are taken up and down.
        nodes: of the network that is watched at work; 0 is none.
    """
    report = Report("docker")
    why = why_no_docker()
    if why is not None:
        report.skipped["docker"] = why
        return report
    report.figures["engine"] = engine_version()
    with scratch("docker") as root:
        (root / "corpus").write_bytes(b"".join(corpus_lines(1, lines)))
        _ways(report, say, rounds, root, lines)
        _rotation(report, say, root, lines)
        _ages(report, say, rounds, root, rate, seconds)
        _networks(report, say, rounds, root, sizes)
        if nodes:
            _holding(report, say, root, nodes)
    return report


def _clean(root: Path) -> None:
    shutil.rmtree(root / "run", ignore_errors=True)


def _flow(root: Path, way: str, log: LogOptions, lines: int, repeat: int) -> Flow:
    _clean(root)
    return apart(flow, WayJob(str(root), way, log, lines, repeat), seconds=180)


def _ways(report: Report, say: Say, rounds: int, root: Path, lines: int) -> None:
    contenders = {
        name: functools.partial(_flow, root, way, log, lines, repeat) for name, (way, log, repeat) in WAYS.items()
    }
    found = alternate(contenders, rounds=rounds, say=lambda text: say(f"docker, {text}"))
    table = Table(
        f"docker: out of one container, Engine {report.figures['engine']}",
        ["way", "k lines/s", "MB/s", "CPU s per M lines", "lost", "doubled", "Lucy's lines/s", "Lucy's CPU"],
        notes=[
            f"medians of {rounds} rounds; the same writer in the container, 500 bytes a line, {lines:,} lines a pass",
            "bare readers cut frames off and find each line's number; Lucy records, decodes and delivers typed events",
            "the last two columns are Lucy's figure over the row's",
            "CPU: the reader, Lucy's capture process, dockerd, containerd and shims, whoever else uses these included",
        ],
    )  # fmt: skip
    size = (root / "corpus").stat().st_size / lines
    speed = {name: statistics.median(each.lines_per_second for each in flows) for name, flows in found.items()}
    cpu = {name: statistics.median(each.cpu_per_million for each in flows) for name, flows in found.items()}
    for name, flows in found.items():
        lost, doubled = (max(getattr(each, what) for each in flows) for what in ("lost", "doubled"))
        table.add(
            name, f"{speed[name] / 1e3:,.0f}", f"{speed[name] * size / 1e6:,.0f}", f"{cpu[name]:.2f}",
            f"{lost:,}", f"{doubled:,}", f"{speed[OURS] / speed[name]:.2f}x", f"{cpu[OURS] / cpu[name]:.2f}x",
        )  # fmt: skip
        report.ratios[f"lines over {name}"] = round(speed[OURS] / speed[name], 3)
        report.ratios[f"CPU over {name}"] = round(cpu[OURS] / cpu[name], 3)
        report.figures[name] = {
            "lines_per_second": speed[name],
            "cpu_seconds_per_million_lines": cpu[name],
            "written": flows[0].written,
            "lost": lost,
            "doubled": doubled,
        }
    report.tables.append(table)
    report.targets += [
        Target("lines/s over the log follower", speed[OURS] / speed[FOLLOWED], 4, at_least=True),
        Target(
            "lines/s, Lucy over a bare reader of attach, the log as Lucy's containers have it",
            speed[OURS] / speed[ATTACHED_LOCAL],
            1.5,
            at_least=True,
        ),
        Target(
            "lines/s, a bare reader of FIFO over one of attach, without any log",
            speed[BARE] / speed[ATTACHED],
            1.5,
            at_least=True,
        ),
        Target("CPU a line over the follower's", cpu[OURS] / cpu[FOLLOWED], 1 / 3),
    ]
    bars: list[tuple[float | str, float]] = [(name, value / 1e3) for name, value in speed.items()]
    report.curves.append(
        Curve("docker", "Out of one container", "way", "thousand lines a second", {"k lines/s": bars}, bars=True)
    )


def _rotation(report: Report, say: Say, root: Path, lines: int) -> None:
    table = Table(
        "docker: while the container's log rotates, max-size 1m, at full speed",
        ["way", "lines written", "lost", "doubled"],
        notes=[
            f"one run each, Engine {report.figures['engine']}; newer engines follow logs by other code",
            "lost: what hadn't come when the stream ended, by itself or with an error of the Engine's",
        ],
    )
    for name, (way, log) in ROTATING.items():
        say(f"docker, rotation: {name}")
        found = _flow(root, way, log, lines, 1)
        table.add(name, f"{found.written:,}", f"{found.lost:,}", f"{found.doubled:,}")
        report.figures[f"rotation: {name}"] = {
            "written": found.written,
            "lost": found.lost,
            "doubled": found.doubled,
        }
        if name == OURS:
            broken = found.lost + found.doubled
            report.targets.append(Target("lines lost or doubled under rotation", broken, 0, unit="lines"))
    report.tables.append(table)


def _ages(report: Report, say: Say, rounds: int, root: Path, rate: int, seconds: float) -> None:
    lines = int(rate * (seconds + 0.5))

    def by_process() -> Latencies:
        _clean(root)
        return apart(lucy_listener, LatencyJob(str(root), rate, lines, EVERY))

    def by_container(way: str, log: LogOptions) -> Latencies:
        _clean(root)
        return apart(age, AgeJob(str(root), way, log, rate, lines, EVERY))

    contenders: dict[str, Callable[[], Latencies]] = {PROCESS: by_process}
    for name, (way, log) in AGES.items():
        contenders[name] = functools.partial(by_container, way, log)
    found = alternate(contenders, rounds=rounds, say=lambda text: say(f"docker, latency: {text}"))
    table = Table(
        f"docker: write to subscriber at {rate:,} lines/s, microseconds",
        ["way", "p50", "p99", "p99.9", "max", "p99 / the process's", "events"],
        notes=[f"medians of {rounds} rounds, the maximum of all"],
    )
    ages = {name: median_of([each.latency for each in results]) for name, results in found.items()}
    for name, each in ages.items():
        ratio = each.p99 / ages[PROCESS].p99
        table.add(
            name,
            *(f"{value:,.0f}" for value in (each.p50, each.p99, each.p999, each.max)),
            f"{ratio:.2f}x",
            f"{each.count:,}",
        )
        report.ratios[f"p99 of {name} over the process's"] = round(ratio, 3)
        report.figures[f"latency: {name}"] = msgspec.to_builtins(each)
    report.tables.append(table)
    report.targets.append(
        Target(f"p99 at {rate:,} lines/s over the process engine's", ages[OURS].p99 / ages[PROCESS].p99, 2)
    )


def _networks(report: Report, say: Say, rounds: int, root: Path, sizes: tuple[int, ...]) -> None:
    contenders: dict[str, Callable[[], UpAndDown]] = {}
    bare = shutil.which("docker") is not None
    if not bare:
        report.skipped["docker run"] = "docker's command line is not installed"
    for size in sizes:
        contenders[f"Lucy, {size} nodes"] = functools.partial(apart, lucy_network, NetworkJob(str(root), size))
        if bare:
            contenders[f"docker run, {size} at once"] = functools.partial(apart, docker_run, Containers(size))
    if not contenders:
        return
    found = alternate(contenders, rounds=rounds, say=lambda text: say(f"docker, networks: {text}"))
    table = Table(
        "docker: containers, seconds",
        ["what", "up", "down", "up over docker run"],
        notes=[
            f"medians of {rounds} rounds; up: from nothing until all run; Lucy's part includes network, run directory,",
            "capture, the reaper, and published ports; `docker run -d` of the same image has none of these",
        ],
    )
    up = {name: statistics.median(each.up for each in results) for name, results in found.items()}
    for name, results in found.items():
        count = int(re.findall(r"\d+", name)[0])
        base = up.get(f"docker run, {count} at once")
        down = statistics.median(each.down for each in results)
        table.add(name, f"{up[name]:.2f}", f"{down:.2f}", f"{up[name] / base:.2f}x" if base else "")
        report.figures[name] = {"up": up[name], "down": down}
        if base and name.startswith("Lucy"):
            report.ratios[f"up, {count} nodes over docker run"] = round(up[name] / base, 3)
            if count == 5:
                report.targets.append(Target("5 containers up over parallel docker run", up[name] / base, 3))
    report.tables.append(table)


def _holding(report: Report, say: Say, root: Path, nodes: int) -> None:
    say(f"docker: {nodes} simulated nodes at work")
    found = apart(lucy_network, NetworkJob(str(root), nodes, watch=True), seconds=300)
    by_memory, by_cores = docker_networks.held(found.memory_mib, found.cpu_percent)
    table = Table(
        f"docker: {nodes} simulated nodes at work",
        ["what", "figure"],
        notes=[
            f"watched for {docker_networks.WATCH_SECONDS:g} s at slots of 2 s; what the machine holds is worked out",
            "from that, not tried: a real daemon takes gigabytes, and this one says nothing about it",
        ],
    )
    table.add("containers up, s", f"{found.up:.1f}")
    table.add("from start until all initialized, s", f"{found.started:.1f}")
    table.add("down, s", f"{found.down:.1f}")
    table.add("memory a node, MiB", f"{found.memory_mib:.0f}")
    table.add("CPU a node, % of a core", f"{found.cpu_percent:.1f}")
    table.add("such nodes in this machine's memory", f"{by_memory:,}")
    table.add(f"such nodes on its {len(os.sched_getaffinity(0))} cores", f"{by_cores:,}")
    report.figures["holding"] = {**msgspec.to_builtins(found), "nodes": nodes, "by_memory": by_memory}
    report.tables.append(table)
