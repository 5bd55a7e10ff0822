"""`lucy run FILE[::NAME]`: runs a scenario, a topology or tests from a file, without packaging."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NoReturn, final

import anyio

from lucy_core.arguments import some_seconds
from lucy_core.engine import State
from lucy_core.engine.contract import engine_names
from lucy_core.errors import ArgumentError, UnknownEngineError, UsageError, shown
from lucy_core.executive.from_file import Target, is_test, load_from_file, target_of, tests_in
from lucy_core.executive.pause import places
from lucy_core.executive.scenario import Scenario
from lucy_core.network.network import Network
from lucy_core.network.vocabulary import Topology
from lucy_core.plugins import is_registered
from lucy_core.records.journal import NodeExited

COMMAND = "run"
ENGINE = "process"
"""What deploys a topology or scenario whose engine nobody says."""
ENDING = "ending the run and taking the network down"
PLUGIN = "lucy_core.executive.plugin.plugin"
"""Lucy's plugin, for where she is used without being installed."""
DESCRIPTION = """\
Run what is in a Python file, without packaging it.

A scenario is run as `lucy ENGINE SCENARIO` does. A topology (a NetworkSpec, say, or a function that makes one) is
deployed and stands until Ctrl-C, or for the time of --for. Tests are run by pytest with Lucy's plugin, and what follows
`--` goes to pytest; their exit codes are those of Lucy. A file with tests means them, unless NAME says otherwise.
"""


def add_run(commands: Any) -> argparse.ArgumentParser:  # argparse keeps the type of its subparsers to itself
    """Add the command to the command line, without the options that it shares with the others that run."""
    parser: argparse.ArgumentParser = commands.add_parser(
        COMMAND, help="run a scenario, a topology or tests from a file", description=DESCRIPTION
    )
    add = parser.add_argument
    add("target", metavar="FILE[::NAME]", help="a Python file, and what to run in it")
    add("--engine", metavar="ENGINE", help=f"what deploys it (default: {ENGINE}; of tests, what their marker says)")
    add("--for", type=_seconds, dest="seconds", metavar="SECONDS", help="how long a topology stands")
    return parser


def _seconds(text: str) -> float:
    try:
        seconds: float = some_seconds(float(text), "it")
    except (ArgumentError, ValueError):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no length of time; give seconds, like 30") from None
    return seconds


def chosen_engine(words: Sequence[str]) -> str | None:
    """Return the engine that words of this command choose, before they are parsed; None where they choose none.

    Raises:
        UnknownEngineError: none is called so.
    """
    chosen = None
    for word, following in zip(words, (*words[1:], None), strict=True):
        if word == "--engine":
            chosen = following
        elif word.startswith("--engine="):
            chosen = word.partition("=")[2]
    if chosen is not None and chosen not in (names := engine_names()):
        raise UnknownEngineError(chosen, names)
    return chosen


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the words of this command from those behind `--`, which are pytest's."""
    at = list(words).index("--") if "--" in words else len(words)
    return list(words[:at]), list(words[at + 1 :])


def found(text: str) -> tuple[Target, Scenario | Topology | None]:
    """Return what is to be run, and the scenario or topology that it is; None where it is tests.

    Raises:
        UsageError: there is nothing of the kind.
    """
    target = target_of(text)
    tests = tests_in(target.file)
    if is_test(target.name, tests) if target.name else tests:
        return target, None
    return target, load_from_file(target, tests)


@final
class Standing:
    """A scenario that tests nothing: its network stands until its time is over, or until all nodes have ended."""

    summary = "stands until Ctrl-C, or for a time"

    def __init__(self, name: str, topology: Topology, seconds: float | None) -> None:
        self.name = name
        self._topology = topology
        self._seconds = seconds

    def topology(self, options: Mapping[str, str]) -> Topology:  # noqa: ARG002  # it is asked for them itself
        return self._topology

    async def run(self, network: Network) -> None:
        """Say where its nodes are, and stand."""
        until = "until Ctrl-C" if self._seconds is None else f"for {self._seconds:g} s"
        print("\n".join((f"The network stands {until}.", *places(network))))  # noqa: T201  # shown as a test's prints are
        with anyio.move_on_after(self._seconds):
            async with network.events(NodeExited, since=0).aiter() as exits:
                async for _ in exits:
                    if all(node.state is State.STOPPED for node in network):
                        return
            await anyio.sleep_forever()


def scenario_of(target: Target, meant: Scenario | Topology, seconds: float | None) -> Scenario:
    """Return the scenario to perform.

    Raises:
        UsageError: a scenario is to last for a time.
    """
    if not isinstance(meant, Scenario):
        return Standing(target.name.rpartition(".")[2] or target.file.stem, meant, seconds)
    if seconds is not None:
        raise UsageError("--for", f"is for topologies, and {target} is a scenario, which ends by itself; leave it out")
    return meant


def run_tests(arguments: argparse.Namespace, target: Target, words: Sequence[str]) -> NoReturn:
    """Become the pytest that runs them: Ctrl-C, the terminal and the exit code are its own.

    Raises:
        UsageError: an option is none for tests, or there is no pytest.
    """
    for option, is_given in _not_for_tests(arguments).items():
        if is_given:
            raise UsageError(option, f"isn't for tests, as {target} is: say it in their marker, or leave it out")
    if find_spec("pytest") is None:
        raise UsageError(str(target), "is tests, and there is no pytest to run them: pip install pytest")
    from lucy_core.executive.plugin.session import PROGRAM

    plugin = "lucy" if is_registered("pytest11", "lucy") else PLUGIN
    engine = () if arguments.engine is None else ("--lucy-engine", arguments.engine)
    kept = ("--lucy-run-dir", str(arguments.run_dir or "lucy-runs"), "--lucy-keep", arguments.keep)
    python = [sys.executable, *(("-B",) if sys.dont_write_bytecode else ())]
    os.execv(sys.executable, [*python, "-c", PROGRAM, "-p", plugin, *kept, *engine, *words, str(target)])  # noqa: S606


def _not_for_tests(arguments: argparse.Namespace) -> dict[str, bool]:
    """Tell which options were given that a test has no use for. Those of the engine may come from the environment."""
    given = {
        "--for": arguments.seconds is not None,
        "--seed": arguments.seed is not None,
        "--program": arguments.program is not None,
        "--option": bool(arguments.option),
        "--pause": arguments.pause is not None,
        "--debug": arguments.debug,
        "--uvloop": arguments.uvloop,
        "--json": arguments.json,
        "--live": arguments.live,
    }
    for option in arguments.engine_options:
        default = os.environ.get(option.variable) if option.variable else None
        given[option.flag] = getattr(arguments, option.name) != default
    return given
