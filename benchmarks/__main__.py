"""`python -m benchmarks`: measure Lucy on this machine, beside what people use today."""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import machine, output, plots
from benchmarks.contenders import CONTENDERS
from benchmarks.measurement import BenchmarkError, Say
from benchmarks.report import Report

Options = argparse.Namespace


def _flood(options: Options, say: Say) -> Report:
    from benchmarks.flood import run_flood
    from benchmarks.flood_report import flood_report

    try:
        flood = run_flood(
            nodes=options.nodes,
            lines_per_node=options.lines,
            repeat=options.repeat,
            runs=options.rounds,
            contenders=tuple(options.only),
            verify=options.verify,
            against=options.against,
            say=say,
        )
    except RuntimeError as error:
        raise BenchmarkError(str(error)) from error
    return flood_report(flood)


def _latency(options: Options, say: Say) -> Report:
    from benchmarks.latency import run_latency

    return run_latency(say=say, rounds=options.rounds, seconds=options.seconds, rates=tuple(options.rates))


def _scale(options: Options, say: Say) -> Report:
    from benchmarks.scale import run_scale

    return run_scale(say=say, rounds=options.rounds, lines=options.lines)


def _sustained(options: Options, say: Say) -> Report:
    from benchmarks.sustained import run_sustained

    return run_sustained(say=say, rounds=options.rounds, minutes=options.minutes, lines=options.lines)


def _isolation(options: Options, say: Say) -> Report:
    from benchmarks.isolation import run_isolation

    return run_isolation(say=say, rounds=options.rounds, seconds=options.seconds)


def _operators(options: Options, say: Say) -> Report:
    from benchmarks.operators import run_operators

    return run_operators(say=say, rounds=options.rounds, items=options.items)


def _formats(options: Options, say: Say) -> Report:
    from benchmarks.formats import run_formats

    return run_formats(say=say, rounds=options.rounds, lines=options.lines)


def _steps(options: Options, say: Say) -> Report:
    from benchmarks.steps import run_steps

    return run_steps(say=say, rounds=options.rounds, lines_per_node=options.lines)


def _replay(options: Options, say: Say) -> Report:
    from benchmarks.replay import run_replay

    return run_replay(say=say, rounds=options.rounds, lines_per_node=options.lines)


def _import(options: Options, say: Say) -> Report:
    from benchmarks.import_time import run_import

    return run_import(say=say, rounds=options.rounds)


def _start(options: Options, say: Say) -> Report:
    from benchmarks.start import run_start

    return run_start(say=say, rounds=options.rounds)


def _docker(options: Options, say: Say) -> Report:
    from benchmarks.docker import run_docker

    return run_docker(say=say, rounds=options.rounds, lines=options.lines, nodes=options.nodes)


RUNS: dict[str, Callable[[Options, Say], Report]] = {
    "flood": _flood,
    "latency": _latency,
    "scale": _scale,
    "sustained": _sustained,
    "isolation": _isolation,
    "operators": _operators,
    "formats": _formats,
    "steps": _steps,
    "replay": _replay,
    "import": _import,
    "start": _start,
    "docker": _docker,
}
"""What `all` runs, in this order."""
RECORDING = 2_000_000
SUSTAINED_MINUTES = 5.0


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    shared.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="write tables and links to plots; into a file's marks, as README.md has them, or as a file",
    )
    shared.add_argument("--plots", type=Path, metavar="DIR", help="draw SVG and PNG (needs matplotlib)")
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, text: str, *, rounds: int) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, parents=[shared])
        command.add_argument("--rounds", "--runs", type=_positive, default=rounds, metavar="N")
        return command

    flood = add("flood", "lines a second, beside what people use today", rounds=3)
    flood.add_argument("--nodes", type=_positive, default=5)
    flood.add_argument("--lines", type=_positive, default=50_000, help="lines a node in one pass of the corpus")
    flood.add_argument("--repeat", type=_positive, default=16, help="passes of the corpus for the fast readers")
    flood.add_argument("--only", nargs="+", choices=tuple(CONTENDERS), default=tuple(CONTENDERS))
    flood.add_argument("--verify", action="store_true", help="check every single line; slower")
    flood.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="measure Lucy as she stands there too, in turn with this one"
    )
    latency = add("latency", "from a node's write to the subscriber's callback", rounds=3)
    latency.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    latency.add_argument("--rates", nargs="+", type=_positive, default=[1_000, 20_000, 200_000], metavar="LINES/S")
    scale = add("scale", "more nodes, more subscriptions, longer recordings", rounds=3)
    scale.add_argument(
        "--lines", type=_positive, default=RECORDING, help="of the recording; 20_000_000 take 10 GB for half a minute"
    )
    sustained = add("sustained", "memory and speed over a billion lines; many nodes, and lines of 64 MiB", rounds=2)
    sustained.add_argument("--minutes", type=_minutes, default=30.0, help="of the flood, at most")
    sustained.add_argument("--lines", type=_positive, default=1_000_000_000, help="of the flood, at most")
    isolation = add("isolation", "what a blocking test, a slow subscriber and a slow disk cost the nodes", rounds=1)
    isolation.add_argument("--seconds", type=float, default=10.0, help="for which the test is held up")
    operators = add("operators", "nanoseconds an item through chains of operators", rounds=3)
    operators.add_argument("--items", type=_positive, default=100_000)
    formats = add("formats", "lines a second of each log format; what reading costs whom nobody asked", rounds=2)
    formats.add_argument("--lines", type=_positive, default=5_000, help="of each layout's corpus")
    steps = add("steps", "what a gigabyte costs each step of a line's way, alone, beside other ways to do it", rounds=3)
    steps.add_argument("--lines", type=_positive, default=50_000, help="lines of each of five nodes")
    replay = add("replay", "a finished recording asked again, beside reading its logs and grep", rounds=3)
    replay.add_argument("--lines", type=_positive, default=50_000, help="lines of each of five nodes, recorded 8 times")
    add("import", "what importing Lucy costs", rounds=5)
    add("start", "from the command to the first event, from the verdict to the exit", rounds=2)
    docker = add("docker", "pushing out of containers beside the Engine's own ways; networks up and down", rounds=2)
    docker.add_argument("--lines", type=_positive, default=100_000, help="of the corpus")
    docker.add_argument("--nodes", type=_positive, default=20, help="of the network that is watched at work")
    every = commands.add_parser(
        "all", help="all of the above, each with its defaults; under twenty minutes", parents=[shared]
    )
    every.add_argument("--recording", type=_positive, default=RECORDING, metavar="LINES", help="as --lines of scale")
    every.add_argument(
        "--sustained", type=_minutes, default=SUSTAINED_MINUTES, metavar="MINUTES", help="as --minutes of sustained"
    )
    commands.add_parser("smoke", help="all of it, small: checks counts, not times")
    return parser


def _positive(text: str) -> int:
    value = int(text.replace("_", ""))
    if value < 1:
        message = f"{text} is not positive"
        raise argparse.ArgumentTypeError(message)
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        message = f"{text} minutes are no length of time"
        raise argparse.ArgumentTypeError(message)
    return value


def main(arguments: list[str] | None = None) -> int:
    """Run a benchmark; return the exit code."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    # Piped into a file or a pager, a table needs more than the 80 columns that rich assumes there.
    console = Console(width=None if sys.stdout.isatty() else 160)
    progress = Console(stderr=True)
    # The programs under measurement are started as modules of this package, from wherever one stands.
    root = str(Path(__file__).resolve().parent.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))

    def say(text: str) -> None:
        if sys.stderr.isatty():
            progress.print(text, style="dim", highlight=False, markup=False)

    try:
        if options.command == "smoke":
            from benchmarks.smoke import run_smoke

            for line in run_smoke(say):
                console.print(line, highlight=False, markup=False)
            return 0
        if options.plots is not None:
            plots.pyplot()  # a missing library is said before minutes of measuring
        return _measure(parser, options, console, say)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def _defaults(parser: argparse.ArgumentParser, name: str, options: Options) -> Options:
    """Make the options of one benchmark of all."""
    own = parser.parse_args([name])
    if name == "scale":
        own.lines = options.recording
    elif name == "sustained":
        own.minutes = options.sustained
    return own


def _measure(parser: argparse.ArgumentParser, options: Options, console: Console, say: Say) -> int:
    here = machine.look()
    reports, broken = [], 0
    for name in tuple(RUNS) if options.command == "all" else (options.command,):
        begun = time.monotonic()
        try:
            reports.append(RUNS[name](_defaults(parser, name, options) if options.command == "all" else options, say))
        except BenchmarkError as error:
            # The others' minutes are worth something without it.
            print(f"benchmarks: {name} FAILED: {error}", file=sys.stderr)
            reports.append(Report(name, skipped={name: f"FAILED: {error}"}))
            broken = 1
        say(f"{name} took {time.monotonic() - begun:.0f} s")
    here.load_after = os.getloadavg()[0]
    output.show(console, reports, here)
    if options.json is not None:
        options.json.write_bytes(output.as_json(reports, here))
    drawn = {}
    if options.plots is not None:
        drawn = plots.draw([curve for report in reports for curve in report.curves], options.plots)
    if options.markdown is not None:
        output.put_into(options.markdown, output.as_markdown(reports, here, drawn, beside=options.markdown))
    return broken


if __name__ == "__main__":
    sys.exit(main())
