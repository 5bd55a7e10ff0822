"""`import`: what importing Lucy costs, beside its own dependencies and what people import anyway.

Each import runs in a fresh interpreter, in turn with the others; the time is the interpreter's own for the import
statement, bytecode cached and files in memory, as from the second run on.
"""

import functools
import statistics
import subprocess
import sys

import msgspec

from benchmarks.measurement import BenchmarkError, Say, alternate
from benchmarks.report import Curve, Report, Table

IMPORTED = {
    "asyncio": "asyncio",
    "aiohttp": "aiohttp",
    "Lucy's dependencies": "anyio, msgspec, reactivex, reactivex.operators, structlog",
    "lucy_core": "lucy_core.face",
    "lucy_core.mina": "lucy_core.mina",
    "lucy_core.testing": "lucy_core.testing",
    "the command line": "lucy_core.executive.command_line",
}
_PROGRAM = """
import sys, time
wall, cpu = time.perf_counter_ns(), time.process_time_ns()
import {}
print((time.perf_counter_ns() - wall) / 1e6, (time.process_time_ns() - cpu) / 1e6, len(sys.modules))
"""


class Imported(msgspec.Struct, frozen=True):
    """One import."""

    milliseconds: float
    cpu_milliseconds: float
    modules: int


def _import(names: str) -> Imported:
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", _PROGRAM.format(names)], capture_output=True, check=False, timeout=60, text=True
    )
    if done.returncode:
        message = f"import {names} failed: {done.stderr.strip()[-500:]}"
        raise BenchmarkError(message)
    wall, cpu, modules = done.stdout.split()
    return Imported(float(wall), float(cpu), int(modules))


def run_import(*, say: Say, rounds: int = 7) -> Report:
    """Import everything in turn."""
    contenders = {name: functools.partial(_import, names) for name, names in IMPORTED.items() if _exists(names)}
    found = alternate(contenders, rounds=rounds, say=lambda text: say(f"import {text}"), warm_up=rounds > 1)
    table = Table(
        "import, milliseconds in a fresh interpreter",
        ["import", "wall", "CPU", "modules", "over Lucy's dependencies"],
        notes=[f"medians of {rounds} rounds"],
    )
    report = Report("import", [table])
    wall = {name: statistics.median(each.milliseconds for each in results) for name, results in found.items()}
    for name, results in found.items():
        cpu = statistics.median(each.cpu_milliseconds for each in results)
        ratio = wall[name] / wall["Lucy's dependencies"]
        table.add(name, f"{wall[name]:,.0f}", f"{cpu:,.0f}", f"{results[0].modules:,}", f"{ratio:.2f}x")
        report.ratios[name] = round(ratio, 3)
        report.figures[name] = {"wall_ms": wall[name], "cpu_ms": cpu, "modules": results[0].modules}
    bars: list[tuple[float | str, float]] = list(wall.items())
    report.curves.append(Curve("import", "Import time", "import", "milliseconds", {"wall": bars}, bars=True))
    return report


def _exists(names: str) -> bool:
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in names.split(", "))
