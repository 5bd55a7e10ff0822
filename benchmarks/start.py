"""`start`: from the command to the first event, and from the verdict to the exit.

`lucy process chain-reliability` runs as from a shell, with its JSON lines on a pipe; a line is timed when it comes. The
baseline is what no tool could avoid: one of the same simulated nodes, started by hand, up to its first log line.
"""

import functools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.measurement import BenchmarkError, Say, alternate, scratch
from benchmarks.report import Report, Table

OWN = frozenset({"lucy", ""})
"""Whose lines are none of a node's."""


class Started(msgspec.Struct, frozen=True):
    """One run by the clock, in seconds from the moment the command was given."""

    first_line: float
    node_started: float
    first_event: float
    """Of a node, typed."""
    verdict: float
    exit: float
    events: int


def _run_lucy() -> Started:
    with scratch("start") as root:
        command = [sys.executable, "-m", "lucy_core.executive", "process", "chain-reliability", "--json"]
        begin = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603  # our own program
            [*command, "--run-dir", str(root / "run"), "--seed", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            lines = [(time.perf_counter() - begin, json.loads(line)) for line in process.stdout]
            assert process.stderr is not None
            said = process.stderr.read()
        ended = time.perf_counter() - begin
        if process.returncode:
            message = f"the run ended with {process.returncode}: {said.decode(errors='replace')[-1000:]}"
            raise BenchmarkError(message)
    own = [(at, line) for at, line in lines if line.get("node", "") in OWN]
    nodes = [at for at, line in lines if line.get("node", "") not in OWN]
    started = [at for at, line in own if line["event"] == "NodeStarted"]
    # The test's last section ends with the verdict; what follows is the teardown.
    verdict = [at for at, line in own if line["event"] == "SectionEnded"]
    if not (nodes and started and verdict):
        message = f"the run said too little: {len(nodes)} events of nodes, {len(own)} of its own"
        raise BenchmarkError(message)
    return Started(lines[0][0], started[0], nodes[0], verdict[-1], ended, len(nodes))


def _by_hand() -> Started:
    """One simulated node, alone, up to its first line."""
    with scratch("start") as root:
        begin = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603  # our own program
            _simnode(root), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root
        )
        with process:
            assert process.stdout is not None
            line = next((line for line in process.stdout if line.startswith(b"{")), b"")
            first = time.perf_counter() - begin
            process.kill()
        if not line:
            message = "the simulated node ended without a log line"
            raise BenchmarkError(message)
        return Started(first, first, first, first, first, 1)


def _simnode(root: Path) -> list[str]:
    config = root / "config.json"
    config.write_text(json.dumps({"genesis": {"genesis_state_timestamp": "2026-01-01T00:00:00Z"}}))
    return [
        sys.executable, "-m", "lucy_engines.simnode", "daemon", "-config-directory", str(root / "state"),
        "-config-file", str(config), "-seed", "-log-json", "-rest-port", "0", "-external-port", "0",
    ]  # fmt: skip


def run_start(*, say: Say, rounds: int = 3) -> Report:
    """Run the scenario and the node by hand, in turn."""
    found = alternate(
        {"lucy process": functools.partial(_run_lucy), "a node by hand": functools.partial(_by_hand)},
        rounds=rounds,
        say=lambda text: say(f"start: {text}"),
    )
    figures = {
        name: {
            field: statistics.median(getattr(each, field) for each in results)
            for field in ("first_line", "node_started", "first_event", "verdict", "exit")
        }
        for name, results in found.items()
    }
    lucy, hand = figures["lucy process"], figures["a node by hand"]
    table = Table(
        "start, seconds",
        ["from", "to", "seconds", "over a node by hand"],
        notes=[
            f"medians of {rounds} rounds; the network has four nodes, which are stopped in order after the verdict",
            f"a simulated node by hand writes its first line after {hand['first_line']:.2f} s",
        ],
    )
    for start, end, seconds in (
        ("the command", "its first line", lucy["first_line"]),
        ("the command", "the first node started", lucy["node_started"]),
        ("the command", "the first event of a node", lucy["first_event"]),
        ("the verdict", "the exit", lucy["exit"] - lucy["verdict"]),
    ):
        table.add(start, end, f"{seconds:.2f}", f"{seconds / hand['first_line']:.1f}x")
    return Report(
        "start",
        [table],
        ratios={"first_event": round(lucy["first_event"] / hand["first_line"], 3)},
        figures={**figures, "events": [each.events for each in found["lucy process"]]},
    )
