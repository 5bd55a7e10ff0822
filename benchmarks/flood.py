"""`flood`: how many lines a second, beside what people use today, and beside Lucy as another checkout has her."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.contenders import CONTENDERS, Job, Result, missing
from benchmarks.corpus import lines

FAST = {"lucy_with_recording": "with_recording", "lucy_without_recording": "without_recording"}
"""Lucy as she is where stringzilla is installed, and how ratios to her are named."""
PLAIN = {f"{name}_plain": name for name in FAST}
"""The same, searching as she does without it."""
OURS = (*FAST, *PLAIN)
BARE = ("bare_pipe", "bare_recorder")
"""Limits of the machine, which know no lines: who is compared with them is compared by bytes."""


class Spread(msgspec.Struct):
    """Ratios, one a turn."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, ratios: list[float]) -> "Spread":
        """Sum them up."""
        return cls(min(ratios), statistics.median(ratios), max(ratios))


class Paired(msgspec.Struct):
    """This checkout's figures over another's, turn by turn."""

    lines_per_second: Spread
    cpu_seconds: Spread


class Flood(msgspec.Struct):
    """Medians of a flood, and what they mean."""

    nodes: int
    megabytes: float
    lines: int
    runs: int
    rows: dict[str, dict[str, float]]
    skipped: dict[str, str]
    ratios: dict[str, float]
    paired: dict[str, Paired]
    """Ours beside the other checkout's, by the name of the contender."""
    searched: str
    """What our fast rows searched by; empty where there are none."""


class Entrant(NamedTuple):
    """A contender, and the checkout whose it is; None for this one."""

    contender: str
    checkout: Path | None = None

    @property
    def label(self) -> str:
        return self.contender if self.checkout is None else f"{self.contender} in {self.checkout.name}"


def run_flood(
    *,
    nodes: int = 5,
    lines_per_node: int = 50_000,
    repeat: int = 16,
    runs: int = 3,
    contenders: tuple[str, ...] = tuple(CONTENDERS),
    verify: bool = False,
    against: Path | None = None,
    say: object = None,
) -> Flood:
    """Measure every contender `runs` times, alternating, on the same bytes. Slow contenders get one pass of the bytes.

    With `against`, Lucy as she stands in that checkout is a contender too, run by this interpreter with what is
    installed for it: her turn comes next to ours, and in every other round before it.

    Raises:
        RuntimeError: a contender lost, doubled or moved a line, or broke; or `against` is no checkout of Lucy.
    """
    if against is not None:
        against = against.resolve()
        _check_checkout(against)
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
        results: dict[Entrant, list[Result]] = {}
        for name in contenders:
            if name not in skipped:
                results[Entrant(name)] = []
            if name in FAST and against is not None:
                results[Entrant(name, against)] = []
        for turn in range(0 if runs == 1 and verify else -1, runs):
            for entrant in reversed(results) if turn % 2 else tuple(results):
                name = entrant.contender
                fast = name in (*OURS, *BARE, "newline_count")
                if turn < 0 and name not in OURS:
                    continue  # the first turn checks every single line of ours, and isn't counted
                directory = Path(tempfile.mkdtemp(prefix="turn-", dir=root))
                passes = (min(repeat, 2) if turn < 0 else repeat) if fast else 1
                job = Job(str(directory), corpora, size, counts, passes, verify or turn < 0)
                if callable(say):
                    say(f"{entrant.label}, run {turn + 1} of {runs}")
                result = _run(entrant, job)
                shutil.rmtree(directory)
                if turn >= 0:
                    results[entrant].append(result)
        return _summarize(results, skipped, nodes=nodes, size=size * repeat, count=sum(counts) * repeat, runs=runs)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _environment(checkout: Path | None, search: str | None) -> dict[str, str]:
    """Have modules come from a checkout, whatever is installed, and the search be this one, whatever else was asked."""
    environment = {**os.environ} if checkout is None else {**os.environ, "PYTHONPATH": str(checkout)}
    environment.pop("LUCY_SEARCH", None)
    return environment if search is None else {**environment, "LUCY_SEARCH": search}


def _check_checkout(place: Path) -> None:
    """Refuse what would be measured as if it were another checkout.

    Raises:
        RuntimeError: naming it, and what to give.
    """
    program = "from importlib.util import find_spec as find; print(*(find(name).origin for name in {!r}), sep=chr(10))"
    found = b""
    if place.is_dir():
        found = _python(["-c", program.format(("lucy_core", "benchmarks.contenders"))], place, seconds=60).stdout
    if not found or any(place not in Path(origin).parents for origin in found.decode().splitlines()):
        message = f"{place} is no checkout of Lucy that has this benchmark; `git worktree add DIR COMMIT` makes one"
        raise RuntimeError(message)


def _python(
    arguments: list[str], checkout: Path | None, *, seconds: float, search: str | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603  # our own program
        [sys.executable, *arguments],
        cwd=checkout,
        env=_environment(checkout, search),
        capture_output=True,
        check=False,
        timeout=seconds,
    )


def _run(entrant: Entrant, job: Job) -> Result:
    arguments = ["-m", "benchmarks.contenders", entrant.contender, msgspec.json.encode(job).decode()]
    search = "bytes" if entrant.contender in PLAIN else None
    done = _python(arguments, entrant.checkout, seconds=600, search=search)
    if done.returncode:
        message = f"{entrant.label} failed: {done.stderr.decode(errors='replace').strip()[-2000:]}"
        raise RuntimeError(message)
    return msgspec.json.decode(done.stdout, type=Result)


def _paired(ours: list[Result], theirs: list[Result]) -> Paired:
    turns = list(zip(ours, theirs, strict=True))
    return Paired(
        Spread.of([(our.lines / our.seconds) / (their.lines / their.seconds) for our, their in turns]),
        Spread.of([(our.cpu_seconds / our.lines) / (their.cpu_seconds / their.lines) for our, their in turns]),
    )


def _summarize(
    results: dict[Entrant, list[Result]], skipped: dict[str, str], *, nodes: int, size: int, count: int, runs: int
) -> Flood:
    rows = {}
    for entrant, found in results.items():
        rows[entrant.label] = {
            "lines_per_second": statistics.median(each.lines / each.seconds for each in found),
            "megabytes_per_second": statistics.median(each.bytes / each.seconds / 1e6 for each in found),
            "cpu_seconds_per_gigabyte": statistics.median(each.cpu_seconds / each.bytes * 1e9 for each in found),
            "cpu_seconds_per_million_lines": statistics.median(each.cpu_seconds / each.lines * 1e6 for each in found),
            "peak_mib": max(each.peak_mib for each in found),
            "writers_cores": statistics.median(each.writers_seconds / each.seconds for each in found),
        }
    ratios = {}
    for ours, label in FAST.items():
        for theirs, checkout in results:
            if ours in rows and checkout is None and theirs not in FAST and PLAIN.get(theirs, ours) == ours:
                unit = "megabytes_per_second" if theirs in BARE else "lines_per_second"
                ratios[f"{theirs}_{label}"] = round(rows[ours][unit] / rows[theirs][unit], 3)
    paired = {
        entrant.contender: _paired(results[Entrant(entrant.contender)], found)
        for entrant, found in results.items()
        if entrant.checkout is not None
    }
    searched = next((each.searched for name in FAST for each in results.get(Entrant(name), ())), "")
    return Flood(nodes, size / 1e6, count, runs, rows, skipped, ratios, paired, searched)
