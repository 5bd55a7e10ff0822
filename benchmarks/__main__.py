"""`python -m benchmarks`: measure Lucy on this machine."""

import argparse
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import CONTENDERS
from benchmarks.flood import Flood, run_flood


def _show_flood(console: Console, flood: Flood) -> None:
    table = Table(title=f"flood: {flood.nodes} nodes, {flood.megabytes:,.0f} MB, medians of {flood.runs} runs")
    for name in ("reader", "k lines/s", "MB/s", "CPU s per M lines", "peak MiB", "lucy, recording", "lucy, none"):
        table.add_column(name, justify="left" if name == "reader" else "right")
    for name, row in flood.rows.items():
        with_recording = flood.ratios.get(f"{name}_with_recording")
        without = flood.ratios.get(f"{name}_without_recording")
        table.add_row(
            name,
            f"{row['lines_per_second'] / 1e3:,.0f}",
            f"{row['megabytes_per_second']:,.0f}",
            f"{row['cpu_seconds_per_million_lines']:.2f}",
            f"{row['peak_mib']:.0f}",
            f"{with_recording:.2f}x" if with_recording else "",
            f"{without:.2f}x" if without else "",
        )
    console.print(table)
    for name, why in flood.skipped.items():
        console.print(f"skipped {name}: {why}")


def main(arguments: list[str] | None = None) -> int:
    """Run a benchmark; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    flood = commands.add_parser("flood", help="lines a second, beside what people use today")
    flood.add_argument("--nodes", type=int, default=5)
    flood.add_argument("--lines", type=int, default=50_000, help="lines a node in one pass of the corpus")
    flood.add_argument("--repeat", type=int, default=8, help="passes of the corpus for the fast readers")
    flood.add_argument("--runs", type=int, default=3)
    flood.add_argument("--only", nargs="+", choices=tuple(CONTENDERS), default=tuple(CONTENDERS))
    flood.add_argument("--verify", action="store_true", help="check every single line; slower")
    flood.add_argument("--json", type=Path, metavar="FILE")
    commands.add_parser("smoke", help="everything, small: checks counts, not times")
    options = parser.parse_args(arguments)
    console = Console()
    progress = Console(stderr=True)

    def say(text: str) -> None:
        if sys.stderr.isatty():
            progress.print(text, style="dim")

    if options.command == "smoke":
        result = run_flood(lines_per_node=5_000, repeat=1, runs=1, verify=True, say=say)
        console.print(f"smoke: {len(result.rows)} readers, {result.lines:,} lines each, every one accounted for")
        return 0
    result = run_flood(
        nodes=options.nodes,
        lines_per_node=options.lines,
        repeat=options.repeat,
        runs=options.runs,
        contenders=tuple(options.only),
        verify=options.verify,
        say=say,
    )
    _show_flood(console, result)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
