"""How everything here is measured: in a process of its own, in turn with its rivals, several times, medians.

A fresh process a measurement, so that neither memory nor the garbage collector's state carries over; contenders take
turns within a round, so that a machine that slows down slows them all.
"""

import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
Say = Callable[[str], None]
"""Tells the person in front of the screen what is being measured."""


class BenchmarkError(Exception):
    """A measurement that is none: a line lost, a program that broke, a tool that is missing."""


class Quantiles(msgspec.Struct, frozen=True):
    """What a distribution looks like from its end."""

    count: int
    p50: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, samples: Iterable[float]) -> "Quantiles":
        """Sort and look up. Raises BenchmarkError where there is nothing."""
        ordered = sorted(samples)
        return cls(
            len(ordered),
            percentile(ordered, 0.5),
            percentile(ordered, 0.99),
            percentile(ordered, 0.999),
            percentile(ordered, 1),
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest sample that `share` of all samples don't exceed: a sample, never a mean of two.

    Raises:
        BenchmarkError: there are no samples.
    """
    if not ordered:
        message = "no samples: nothing that was written has arrived"
        raise BenchmarkError(message)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_of(quantiles: Sequence[Quantiles]) -> Quantiles:
    """Take the median of several rounds, each figure by itself; the maximum stays the worst of all."""
    return Quantiles(
        sum(each.count for each in quantiles),
        statistics.median(each.p50 for each in quantiles),
        statistics.median(each.p99 for each in quantiles),
        statistics.median(each.p999 for each in quantiles),
        max(each.max for each in quantiles),
    )


def alternate(
    contenders: Mapping[str, Callable[[], T]], *, rounds: int, say: Say, warm_up: bool = False
) -> dict[str, list[T]]:
    """Measure every contender once a round, `rounds` times; with `warm_up` once more before, not counted."""
    found: dict[str, list[T]] = {name: [] for name in contenders}
    for turn in range(-1 if warm_up else 0, rounds):
        for name, measure in contenders.items():
            say(f"{name}, {'warming up' if turn < 0 else f'round {turn + 1} of {rounds}'}")
            result = measure()
            if turn >= 0:
                found[name].append(result)
    return found


def apart(function: Callable[[Any], T], job: msgspec.Struct, *, seconds: float = 300) -> T:
    """Call a function of ours with `job` in a fresh process, and return what it returns.

    The function is found by name there, and says by its annotations what it takes and returns.

    Raises:
        BenchmarkError: it raised, or took longer than `seconds`.
    """
    kind = function.__annotations__["return"]
    command = [sys.executable, "-m", "benchmarks.apart", function.__module__, function.__qualname__]
    name = f"{function.__module__}.{function.__name__}"
    try:
        done = subprocess.run(  # noqa: S603  # our own program
            command, input=msgspec.json.encode(job), capture_output=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        message = f"{name} was not done after {seconds:g} s: {job}"
        raise BenchmarkError(message) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-2000:]
        message = f"{name} failed with {done.returncode}: {said}"
        raise BenchmarkError(message)
    return msgspec.json.decode(done.stdout, type=kind)


def own_cpu_seconds() -> float:
    """CPU that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_seconds(pid: int) -> float:
    """CPU that another process has used, threads included, children not; it may have ended, until it is reaped.

    In ticks of the kernel, 10 ms as a rule.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_cpu_seconds() -> float:
    """CPU that all of the machine has used since it was started, with what a host kept from it."""
    # user nice system idle iowait irq softirq steal
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


class Memory(msgspec.Struct, frozen=True):
    """Resident memory of a process in MiB: now, and at its highest."""

    now: float
    peak: float


def memory(pid: int | str = "self") -> Memory:
    """Look a process's memory up. Not `ru_maxrss`: that begins with what the parent process had."""
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Memory(*(int(rows[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM")))


@contextmanager
def scratch(purpose: str, *, needs_bytes: int = 0) -> Iterator[Path]:
    """Make a directory for what is written, and remove it.

    Raises:
        BenchmarkError: the disk hasn't `needs_bytes` and a reserve of 1 GiB.
    """
    root = Path(tempfile.mkdtemp(prefix=f"lucy-{purpose}-"))
    try:
        free = shutil.disk_usage(root).free
        if needs_bytes and free < needs_bytes + (1 << 30):
            message = (
                f"{purpose} writes {needs_bytes / 1e9:,.1f} GB to {root.parent}, where {free / 1e9:,.1f} GB are free; "
                "point TMPDIR to a larger disk, or ask for fewer lines"
            )
            raise BenchmarkError(message)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def nothing_said(_text: str) -> None:
    """Say nothing."""
