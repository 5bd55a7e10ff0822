"""The command line, given what people type by mistake: at most one sentence, exit code 2, and nothing made or started.

Commands and options are read off the parser, so that a new one is tried without being named here. Most of it runs in
this process, up to the point where something would be started; a few command lines are those of real processes, for
what only they have: bytes that are no text, a working directory that is gone, an odd environment.
"""

import argparse
import contextlib
import functools
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from places import REPOSITORY

from lucy_core import plugins
from lucy_core.engine import NetworkSpec, NodeSpec
from lucy_core.engine.contract import engine_names, load_engine
from lucy_core.executive import collecting, command_line, exporting
from lucy_core.executive.performance import Performance
from lucy_core.executive.scenario import load_scenario
from lucy_core.judging.result import ExitCode
from lucy_core.network.network import Network
from lucy_core.network.vocabulary import PlainTopology

ODD = (
    "",
    " ",
    "-",
    "--",
    "=",
    "a=",
    "seed=1",
    "colour=red",
    "statistics=maybe",
    "slot_seconds=nan",
    "genesis_delay=1e400",
    "program=",
    "0",
    "-1",
    "nan",
    "inf",
    "9" * 5000,
    "1e400",
    "text",
    "two\nlines",
    "\x1b[2J",
    "ünï-😀",
    "a\udcff",
    "x" * 5000,
    "../..",
    "/dev/null",
    "/proc/x",
    "{port:nowhere}",
    "%s %(prog)s",
    "on-failure",
    "unix:///nowhere",
    "tcp://[::1",
    "[[[",
)


class Light:
    """A scenario that knows an option and describes a network at once."""

    name = "light"
    summary = "for these tests"

    def topology(self, options: Mapping[str, str]) -> PlainTopology:
        command = (options.get("program", "true"),)
        node = NodeSpec(name="a", role="any", command=command, ports=("p",), image=options.get("mina_image"))
        return PlainTopology(NetworkSpec(name="light", nodes=(node,)))

    async def run(self, network: Network) -> None:
        """Nothing gets so far."""


class Quiet:
    """Hears what would be said, and has no signals."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def interrupting(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


@pytest.fixture
def _nothing_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Go as far as a run would be begun, and no farther; look for no garbage."""

    def plan(arguments: Any, scenario: Any, order: Any, interruption: Any, voice: Any) -> int:
        Performance(scenario, order, interruption, voice.say)
        return ExitCode.PASSED

    monkeypatch.setattr(command_line, "perform", plan)
    # What is installed is looked up on disk each time, which takes most of the time.
    monkeypatch.setattr(plugins, "entry_points", functools.cache(plugins.entry_points))
    monkeypatch.setattr(command_line, "say_the_rest", lambda *_: None)
    monkeypatch.setattr(collecting, "plugin_names", lambda _: [])
    for module in (command_line, exporting):
        monkeypatch.setattr(module, "load_scenario", lambda _: Light())
    monkeypatch.chdir(tmp_path)


def options_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, bool]]:
    """List a command's options, each with whether it takes a value."""
    for action in parser._actions:  # argparse shows them in no other way
        if action.option_strings and action.dest != "help":
            yield action.option_strings[-1], action.nargs != 0


def commands() -> dict[str, argparse.ArgumentParser]:
    own = {name: load_engine(name).options for name in engine_names()}
    parser = command_line.make_parser(list(own), own)
    (subparsers,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return dict(subparsers.choices)


def faults_of(words: Sequence[str]) -> list[str]:
    """Say what is wrong with what becomes of a command line."""
    quiet: Any = Quiet()
    code = command_line.run_command(list(words), quiet, quiet)
    said = "\n".join(quiet.said)
    shown = [word[:60] for word in words]
    if code not in (ExitCode.PASSED, ExitCode.USAGE):
        return [f"{shown}: {code!r}, {said[-400:]!r}"]
    # A filter is shown whole, with a mark below the place, and a path with a new line in it as it is.
    is_shown_whole = "--capture-filter" in words or any("\n" in word for word in words)
    if code is ExitCode.USAGE and words and not is_shown_whole and (len(said) > 1000 or len(said.splitlines()) != 1):
        return [f"{shown}: says {said[:400]!r}"]
    return []


@pytest.mark.parametrize("command", ("attach", "docker", "gc", "list", "process", "run"))
@pytest.mark.usefixtures("_nothing_starts")
def test_each_option_takes_odd_values_or_says_why_not(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = {"gc": (), "list": (), "attach": ("nowhere",), "run": ("nowhere.py",)}.get(command, ("light",))
    found: list[str] = []
    parsers = commands()
    tried_before = dict(options_of(parsers["process"])) if command == "docker" else {}
    for option, takes_value in options_of(parsers[command]):
        if option in tried_before:
            continue
        for value in ODD if takes_value else ():
            found += faults_of([command, *whole, option, value])
        found += faults_of([command, *whole, option])
        found += faults_of([command, *whole, f"{option}=--"])
        found += faults_of([command, *whole, f"{option}="])
    for value in ODD:
        found += faults_of([command, value, *whole])
        found += faults_of([command, *whole, value])
        found += faults_of([value, command, *whole])
    capsys.readouterr()
    assert found == []


@pytest.mark.parametrize("name", ("seed", "program", "slot_seconds", "genesis_delay", "keys_directory", "mina_image"))
@pytest.mark.usefixtures("_nothing_starts")
def test_each_option_of_the_scenario_takes_odd_values_or_says_why_not(name: str) -> None:
    scenario = load_scenario("chain-reliability")
    command_line.load_scenario = lambda _: scenario  # type: ignore[attr-defined]  # the fixture puts it back
    found: list[str] = []
    for value in ODD:
        found += faults_of(["process", "chain-reliability", "--option", f"{name}={value}"])
    assert found == []


@pytest.mark.usefixtures("_nothing_starts")
def test_words_in_any_order_are_a_command_or_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = random.Random(5)
    parsers = commands()
    options = [option for parser in parsers.values() for option, _ in options_of(parser)]
    words = [*ODD, *options, *parsers, "light", "--help", "--version"]
    found: list[str] = []
    for _ in range(400):
        line = [chosen.choice(list(parsers)), *chosen.choices(words, k=chosen.randint(0, 5))]
        found += faults_of(line if chosen.random() < 0.8 else line[1:])
    capsys.readouterr()
    assert found == []


# --- real processes -------------------------------------------------------------------------------------------------


def lucy(*words: bytes, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "lucy_core.executive", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    (
        ((b"proc\xe9ss",), rb"no engine or command is called"),
        ((b"process", b"chain-\xe9"), rb"no scenario is called"),
        ((b"process", b"chain-reliability", b"--run-dir", b"run-\xe9"), rb"isn't UTF-8"),
        ((b"process", b"chain-reliability", b"--option", b"\xe9=1"), rb"no option is called"),
        ((b"process", b"chain-reliability", b"--keep", b"\xe9"), rb"invalid choice"),
        ((b"attach", b"nowhere-\xe9"), rb"holds no exported network"),
        ((b"gc", b"--older-than", b"\xe9"), rb"is no duration"),
    ),
)
def test_bytes_that_are_no_text_are_refused_in_a_sentence(
    words: tuple[bytes, ...], said: bytes, tmp_path: Path
) -> None:
    run = lucy(*words, cwd=tmp_path, PYTHONIOENCODING="ascii:strict" if words[0] == b"gc" else "")

    assert run.returncode == ExitCode.USAGE, run.stderr
    assert re.search(said, run.stderr), run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def gone(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a directory that is removed under it."""
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    return subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-m", "lucy_core.executive", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    (
        (("list",), ExitCode.PASSED, b""),
        (("--version",), ExitCode.PASSED, b""),
        (("gc", "--dry-run", "--run", "none"), ExitCode.PASSED, b""),
        (("process", "chain-reliability"), ExitCode.USAGE, b"the working directory is gone"),
        (("attach", "exported"), ExitCode.USAGE, b"the working directory is gone"),
        (("docker", "chain-reliability", "--export", "x.json"), ExitCode.USAGE, b"the working directory is gone"),
    ),
)
def test_where_the_working_directory_is_gone_what_needs_it_says_so(
    words: tuple[str, ...], code: ExitCode, said: bytes, tmp_path: Path
) -> None:
    run = gone(tmp_path, *words)

    assert run.returncode == code, run.stderr
    assert said in run.stderr
    assert b"Traceback" not in run.stderr


@pytest.mark.parametrize(
    "environment",
    (
        {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"},
        {"COLUMNS": "none", "LINES": "-1", "TERM": "no-such-terminal"},
        {"HOME": "/nonexistent", "TMPDIR": "/nonexistent", "XDG_RUNTIME_DIR": ""},
        {"DOCKER_HOST": "carrier-pigeon:", "MINA_IMAGE": "two words", "ARCHIVE_IMAGE": "\udcff"},
    ),
    ids=lambda environment: next(iter(environment)),
)
def test_an_odd_environment_makes_no_traceback(environment: dict[str, str], tmp_path: Path) -> None:
    for words in ((b"docker", b"--help"), (b"docker", b"chain-reliability", b"--docker-cpus", b"many")):
        run = lucy(*words, cwd=tmp_path, **environment)
        assert b"Traceback" not in run.stderr
        assert run.returncode == (ExitCode.USAGE if b"chain-reliability" in words else ExitCode.PASSED), run.stderr
