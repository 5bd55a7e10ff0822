"""`smoke`: every benchmark once, as small as it can be. It checks what came, never how fast: it is part of the gate.

As no time counts, several run side by side.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

from benchmarks.docker import AGES, OURS, WAYS, run_docker
from benchmarks.docker_capture import AIODOCKER, FOLLOW
from benchmarks.flood import run_flood
from benchmarks.flood_report import flood_report
from benchmarks.formats import LAYOUTS, run_formats
from benchmarks.import_time import run_import
from benchmarks.isolation import run_isolation
from benchmarks.latency import LISTENERS, run_latency
from benchmarks.measurement import BenchmarkError, Say
from benchmarks.operators import run_operators
from benchmarks.replay import WAYS as REPLAYS
from benchmarks.replay import run_replay
from benchmarks.report import Report
from benchmarks.scale import run_scale
from benchmarks.start import run_start
from benchmarks.steps import COUNT, STEPS, run_steps
from benchmarks.sustained import run_sustained
from benchmarks.tools import LUCY
from benchmarks.wide import BESIDE, WITHOUT, WideJob

FLOOD_LINES = 5_000
DOCKER_LINES = 4_000
FORMATS_LINES = 400
STEPS_LINES = 1_000
REPLAY_LINES = 1_000
LATENCY_RATE = 2_000
SUSTAINED_LINES = 50_000
LONG_LINES = 3
LATENCY_SECONDS = 0.2
SIDE_BY_SIDE = 3


def run_smoke(say: Say) -> Iterator[str]:
    """Run everything small; give a line for each, when it is done.

    Raises:
        BenchmarkError: something broke, or less came than was sent.
    """
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        runs = [pool.submit(_run, name, say) for name in SMALL]
        try:
            for done in as_completed(runs):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _run(name: str, say: Say) -> str:
    begun = time.monotonic()
    report = SMALL[name](say)
    told = CHECKS[name](report)
    skipped = "".join(f"; skipped {what}: {why}" for what, why in report.skipped.items())
    return f"smoke: {name}: {told}{skipped} ({time.monotonic() - begun:.1f} s)"


def _flood(say: Say) -> Report:
    return flood_report(run_flood(lines_per_node=FLOOD_LINES, repeat=1, runs=1, verify=True, say=say))


def _latency(say: Say) -> Report:
    return run_latency(say=say, rounds=1, seconds=LATENCY_SECONDS, rates=(LATENCY_RATE,))


def _scale(say: Say) -> Report:
    return run_scale(
        say=say, rounds=1, lines=20_000, seconds=0.2, rate=20_000, nodes=(1, 5), subscriptions=(0, 1, 20),
        flood_lines=10_000, hosts=10,
    )  # fmt: skip


def _sustained(say: Say) -> Report:
    wide = WideJob(
        "", 12, 30, rate=2_000, lines=800, long_nodes=2, long_lines=LONG_LINES, long_rate=10, long_bytes=1 << 20
    )
    return run_sustained(
        say=say, minutes=1, lines=SUSTAINED_LINES, rounds=1, pass_lines=1_000, stride=1 << 19, wide=wide
    )


def _isolation(say: Say) -> Report:
    return run_isolation(say=say, rounds=1, seconds=0.4, rate=2_000, lead=0.1)


def _docker(say: Say) -> Report:
    return run_docker(say=say, rounds=1, lines=DOCKER_LINES, seconds=0.1, rate=2_000, sizes=(2,), nodes=0)


def _operators(say: Say) -> Report:
    return run_operators(say=say, rounds=1, items=2_000)


def _formats(say: Say) -> Report:
    return run_formats(say=say, rounds=1, lines=FORMATS_LINES, seconds=0)


def _steps(say: Say) -> Report:
    return run_steps(say=say, rounds=1, lines_per_node=STEPS_LINES, seconds=0)


def _replay(say: Say) -> Report:
    return run_replay(say=say, rounds=1, lines_per_node=REPLAY_LINES, passes=2)


def _import(say: Say) -> Report:
    return run_import(say=say, rounds=1)


def _start(say: Say) -> Report:
    return run_start(say=say, rounds=1)


def demand(*, true: bool, otherwise: str) -> None:
    """Raise BenchmarkError unless `true`."""
    if not true:
        raise BenchmarkError(otherwise)


def _check_flood(report: Report) -> str:
    rows = report.figures["rows"]
    lines = report.figures["lines"]
    demand(true=lines == 5 * FLOOD_LINES, otherwise=f"flood: {lines} lines instead of {5 * FLOOD_LINES}")
    demand(true=len(rows) + len(report.skipped) >= 9, otherwise=f"flood: only {', '.join(rows)} ran")
    return f"{len(rows)} readers, {lines:,} lines each, every one accounted for"


def _check_latency(report: Report) -> str:
    demand(true=len(report.figures) == len(LISTENERS), otherwise=f"latency: only {', '.join(report.figures)} ran")
    counts = {name: figure["count"] for name, figure in report.figures.items()}
    demand(true=len(set(counts.values())) == 1 and min(counts.values()) > 20, otherwise=f"latency: events: {counts}")
    return f"{len(counts)} listeners, {min(counts.values())} events each"


def _check_scale(report: Report) -> str:
    heard = {name: figure["events"] for name, figure in report.figures.items() if name != "recording"}
    # A twentieth of 4,000 lines, of 10,000 where anybody listens, and of 1,000 in each of ten nodes where one does.
    wanted = {"1 nodes": 200, "5 nodes": 200, "0 subscriptions": 0}
    demand(true=heard == dict.fromkeys(heard, 500) | wanted, otherwise=f"scale: events: {heard}")
    lines = report.figures["recording"][-1]["lines"]
    demand(true=lines == 20_000, otherwise=f"scale: {lines} lines of 20,000 in the recording")
    return f"{len(heard)} loads, {lines:,} lines in the recording"


def _check_sustained(report: Report) -> str:
    # A twentieth of the small lines are events, and all the long ones.
    wide = {name: (report.figures[name]["lines"], report.figures[name]["events"]) for name in (WITHOUT, BESIDE)}
    long = 2 * LONG_LINES
    demand(true=wide == {WITHOUT: (800, 40), BESIDE: (800 + long, 40 + long)}, otherwise=f"sustained, wide: {wide}")
    if "flood" not in report.figures:
        return "lines of 1 MiB beside small ones"
    flood = report.figures["flood"]
    found = sum(flood["written"]), flood["events"]
    demand(true=found == (SUSTAINED_LINES, SUSTAINED_LINES // 20), otherwise=f"sustained: lines and events: {found}")
    return f"{SUSTAINED_LINES:,} lines compared and given back, lines of 1 MiB beside small ones"


def _check_isolation(report: Report) -> str:
    lines = {mode: figure["lines"] for mode, figure in report.figures.items()}
    demand(true=len(lines) + len(report.skipped) == 7, otherwise=f"isolation: only {', '.join(lines)} ran")
    demand(true=set(lines.values()) == {6_000, 4_000}, otherwise=f"isolation: lines: {lines}")
    return f"{len(lines)} disturbances, every line in order"


def _check_docker(report: Report) -> str:
    if "docker" in report.skipped:
        return "nothing"
    for way, (kind, _, repeat) in WAYS.items():
        found = report.figures[way]
        if kind in {FOLLOW, AIODOCKER}:
            continue  # what a follower loses is the Engine's affair, and not for the gate to judge
        whole = (found["written"], found["lost"], found["doubled"]) == (DOCKER_LINES * repeat, 0, 0)
        demand(true=whole, otherwise=f"docker: {way}: {found}")
    rotated = report.figures[f"rotation: {OURS}"]
    demand(true=rotated == {"written": DOCKER_LINES, "lost": 0, "doubled": 0}, otherwise=f"docker, rotation: {rotated}")
    ages = {way: report.figures[f"latency: {way}"]["count"] for way in AGES}
    demand(true=len(set(ages.values())) == 1, otherwise=f"docker, latency: events: {ages}")
    return f"{len(WAYS)} ways out of a container, {DOCKER_LINES:,} lines a pass"


def _check_operators(report: Report) -> str:
    results = {chain: figure["results"] for chain, figure in report.figures.items()}
    demand(true=all(results.values()), otherwise=f"operators: chains without results: {results}")
    return f"{len(results)} chains, Lucy's results as reactivex's"


def _check_formats(report: Report) -> str:
    asked = [name for name in report.figures["tools"] if name.endswith(LUCY)]
    demand(true=len(asked) == 4, otherwise=f"formats: Lucy was asked for {asked}")
    heard = {name: report.figures[name]["heard"]["a message"] for name in LAYOUTS}
    demand(true=heard == dict.fromkeys(LAYOUTS, FORMATS_LINES // 20), otherwise=f"formats: events by message: {heard}")
    return f"{len(heard)} layouts, each read alike by name, by auto and by hand"


def _check_steps(report: Report) -> str:
    demand(true=tuple(report.figures) == STEPS, otherwise=f"steps: only {', '.join(report.figures)} ran")
    (counted,) = {way["found"] for way in report.figures[COUNT].values()}
    demand(true=counted == str(5 * STEPS_LINES), otherwise=f"steps: {counted} newlines instead of {5 * STEPS_LINES}")
    return f"{sum(map(len, report.figures.values()))} ways to do {len(STEPS)} steps, those of each found the same"


def _check_replay(report: Report) -> str:
    demand(true=tuple(report.figures) == tuple(REPLAYS), otherwise=f"replay: only {', '.join(report.figures)} ran")
    return f"{len(report.figures)} ways to ask a recording, each event's number checked"


def _check_import(report: Report) -> str:
    modules = {name: figure["modules"] for name, figure in report.figures.items()}
    demand(true=modules["lucy_core"] > modules["Lucy's dependencies"], otherwise=f"import: modules: {modules}")
    return f"{len(modules)} imports"


def _check_start(report: Report) -> str:
    (events,) = report.figures["events"]
    demand(true=events > 10, otherwise=f"start: only {events} events of nodes on the pipe")
    return f"{events} events of nodes on the pipe"


SMALL: dict[str, Callable[[Say], Report]] = {
    "docker": _docker,
    "start": _start,
    "isolation": _isolation,
    "flood": _flood,
    "latency": _latency,
    "scale": _scale,
    "sustained": _sustained,
    "formats": _formats,
    "operators": _operators,
    "steps": _steps,
    "replay": _replay,
    "import": _import,
}
"""Longest first."""
CHECKS: dict[str, Callable[[Report], str]] = {
    "flood": _check_flood,
    "latency": _check_latency,
    "scale": _check_scale,
    "sustained": _check_sustained,
    "isolation": _check_isolation,
    "operators": _check_operators,
    "formats": _check_formats,
    "steps": _check_steps,
    "replay": _check_replay,
    "import": _check_import,
    "start": _check_start,
    "docker": _check_docker,
}
