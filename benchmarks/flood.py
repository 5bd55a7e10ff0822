"""`flood`: how many lines a second, beside what people use today."""

import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.contenders import CONTENDERS, Job, Result, missing
from benchmarks.corpus import lines

OURS = ("lucy_with_recording", "lucy_without_recording")


class Flood(msgspec.Struct):
    """Medians of a flood, and what they mean."""

    nodes: int
    megabytes: float
    lines: int
    runs: int
    rows: dict[str, dict[str, float]]
    skipped: dict[str, str]
    ratios: dict[str, float]


def run_flood(
    *,
    nodes: int = 5,
    lines_per_node: int = 50_000,
    repeat: int = 16,
    runs: int = 3,
    contenders: tuple[str, ...] = tuple(CONTENDERS),
    verify: bool = False,
    say: object = None,
) -> Flood:
    """Measure every contender `runs` times, alternating, on the same bytes. Slow contenders get one pass of the bytes.

    Raises:
        RuntimeError: a contender lost, doubled or moved a line, or broke.
    """
    root = Path(tempfile.mkdtemp(prefix="lucy-flood-"))
    try:
        corpora, counts, size = [], [], 0
        for node in range(nodes):
            made = lines(node + 1, lines_per_node)
            data = b"".join(made)
            path = root / f"corpus-{node}"
            path.write_bytes(data)
            corpora.append(str(path))
            counts.append(len(made))
            size += len(data)
        skipped = {name: why for name in contenders if (why := missing(name)) is not None}
        results: dict[str, list[Result]] = {name: [] for name in contenders if name not in skipped}
        for turn in range(0 if runs == 1 and verify else -1, runs):
            for name, found in results.items():
                fast = name in (*OURS, "bare_pipe", "newline_count")
                if turn < 0 and name not in OURS:
                    continue  # the first turn checks every single line of ours, and isn't counted
                directory = Path(tempfile.mkdtemp(prefix="turn-", dir=root))
                passes = (min(repeat, 2) if turn < 0 else repeat) if fast else 1
                job = Job(str(directory), corpora, size, counts, passes, verify or turn < 0)
                if callable(say):
                    say(f"{name}, run {turn + 1} of {runs}")
                result = _run(name, job)
                shutil.rmtree(directory)
                if turn >= 0:
                    found.append(result)
        return _summarize(results, skipped, nodes=nodes, size=size * repeat, count=sum(counts) * repeat, runs=runs)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _run(name: str, job: Job) -> Result:
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-m", "benchmarks.contenders", name, msgspec.json.encode(job).decode()],
        capture_output=True,
        check=False,
        timeout=600,
    )
    if done.returncode:
        message = f"{name} failed: {done.stderr.decode(errors='replace').strip()[-2000:]}"
        raise RuntimeError(message)
    return msgspec.json.decode(done.stdout, type=Result)


def _summarize(
    results: dict[str, list[Result]], skipped: dict[str, str], *, nodes: int, size: int, count: int, runs: int
) -> Flood:
    rows = {}
    for name, found in results.items():
        rows[name] = {
            "lines_per_second": statistics.median(each.lines / each.seconds for each in found),
            "megabytes_per_second": statistics.median(each.bytes / each.seconds / 1e6 for each in found),
            "cpu_seconds_per_million_lines": statistics.median(each.cpu_seconds / each.lines * 1e6 for each in found),
            "peak_mib": max(each.peak_mib for each in found),
            "writers_cores": statistics.median(each.writers_seconds / each.seconds for each in found),
        }
    ratios = {}
    for ours, label in (("lucy_with_recording", "with_recording"), ("lucy_without_recording", "without_recording")):
        for theirs in results:
            if ours in rows and theirs not in OURS:
                unit = "megabytes_per_second" if theirs == "bare_pipe" else "lines_per_second"
                ratios[f"{theirs}_{label}"] = round(rows[ours][unit] / rows[theirs][unit], 3)
    return Flood(nodes, size / 1e6, count, runs, rows, skipped, ratios)
