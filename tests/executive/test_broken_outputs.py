"""Showing a run never reaches its verdict: whatever becomes of stdout and stderr, and when.

Outcomes are had with ways to break an output, as a process of its own each, several at a time. Exit code, outcome and
files are compared with those of the same run undisturbed. A process costs most of a second, so each way meets two
outcomes; with LUCY_EVERY_OUTPUT=1 it meets all.
"""

import contextlib
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from places import REPOSITORY

AT_ONCE = 4
SECONDS = 60

SCENARIOS = '''
import anyio, os, signal, sys
import lucy_core as lucy
from lucy_core.network.vocabulary import PlainTopology

TICK = """echo '{"message":"a line"}'; exec sleep 600"""

class Scenario:
    summary = "a scenario of the tests"

    def __init__(self, test):
        self.name = test.__name__
        self.test = test

    def topology(self, options):
        node = lucy.NodeSpec(name="one", role="node", command=("sh", "-c", TICK))
        return PlainTopology(lucy.NetworkSpec(name="small", nodes=(node,)))

    async def run(self, network):
        print("printed by the scenario \\u2713", flush=True)
        with network.section("a part \\u2713"):
            await network.records(nodes=("one",), since=0).first(within=20)
            await self.test(network)

async def passes(network):
    pass

async def fails(network):
    network.check(False, "the check failed \\u2026")

async def gap(network):
    raise lucy.InconclusiveError("there is a gap")

async def infrastructure(network):
    raise lucy.DeployError("no machine")

async def interrupted(network):
    os.kill(os.getpid(), signal.SIGINT)
    await anyio.sleep_forever()

async def hangs(network):
    print("hanging", flush=True)
    await anyio.sleep_forever()

passes, fails, gap, infrastructure, interrupted, hangs = map(
    Scenario, (passes, fails, gap, infrastructure, interrupted, hangs))
'''
OUTCOMES = ("passes", "fails", "gap", "infrastructure", "interrupted", "nobody")
"""Scenarios; nobody knows the last, whose command line is wrong."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the scenarios installed."""
    site = tmp_path_factory.mktemp("site")
    information = site / "scenarios_of_outputs-1.dist-info"
    information.mkdir()
    (site / "scenarios_of_outputs.py").write_text(SCENARIOS)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: scenarios-of-outputs\nVersion: 1\n")
    names = (*OUTCOMES[:-1], "hangs")
    points = "[lucy.scenarios]\n" + "".join(f"{name} = scenarios_of_outputs:{name}\n" for name in names)
    (information / "entry_points.txt").write_text(points)
    return {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{site}", "TERM": "xterm"}


class Broken(NamedTuple):
    """A way to break the outputs: what the shell does to the process's, and what the test does to their other ends."""

    redirection: str = ""
    gone: tuple[str, ...] = ()
    """Whose reader goes away before anything is written."""
    gone_after_a_line: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()


BROKEN = {
    "nothing": Broken(),
    "stdout on a full disk": Broken(">/dev/full"),
    "stderr on a full disk": Broken("2>/dev/full"),
    "both on a full disk": Broken(">/dev/full 2>&1"),
    "stdout closed": Broken(">&-"),
    "stderr closed": Broken("2>&-"),
    "all closed": Broken("<&- >&- 2>&-"),
    "stdout's reader gone": Broken(gone=("stdout",)),
    "stderr's reader gone": Broken(gone=("stderr",)),
    "both's reader gone": Broken("2>&1", gone=("stdout",)),
    "stdout's reader gone after a line": Broken(gone_after_a_line=("stdout",)),
    "stderr's reader gone after a line": Broken(gone_after_a_line=("stderr",)),
    "both's reader gone after a line": Broken("2>&1", gone_after_a_line=("stdout",)),
    "ASCII": Broken(variables=(("PYTHONIOENCODING", "ascii:strict"),)),
    "Latin-1, live": Broken(variables=(("PYTHONIOENCODING", "latin-1:strict"),), words=("--live",)),
    "live on a full disk": Broken(">/dev/full", words=("--live",)),
    "live, its reader gone after a line": Broken("2>&1", gone_after_a_line=("stdout",), words=("--live",)),
}


def chosen() -> Iterator[tuple[str, str]]:
    """Choose who meets what: each way two outcomes, so that each kind of way meets them all, or every one."""
    for number, name in enumerate(BROKEN):
        first = number + number // 3
        is_every = name == "nothing" or os.environ.get("LUCY_EVERY_OUTPUT")
        for scenario in OUTCOMES if is_every else (OUTCOMES[first % 6], OUTCOMES[(first + 3) % 6]):
            yield scenario, name


class Ended(NamedTuple):
    """What must not depend on who reads."""

    code: int
    outcome: str
    files: tuple[str, ...]


def ended(code: int, directory: Path) -> Ended:
    """Read what a run left."""
    outcome = ""
    with contextlib.suppress(FileNotFoundError):
        result = json.loads((directory / "result.json").read_bytes())
        assert result["exit_code"] == code
        outcome = result["outcome"]
    return Ended(code, outcome, tuple(sorted(path.name for path in directory.glob("*"))))


def read_a_line(reader: int) -> None:
    while os.read(reader, 1) not in (b"\n", b""):
        pass
    os.close(reader)


def run(scenario: str, broken: Broken, directory: Path, environment: dict[str, str]) -> tuple[Ended, str, str]:
    """Run `lucy` under a broken output; return how it ended, and what could be read of both outputs."""
    ends: dict[str, int] = {}
    readers: dict[str, int] = {}
    with ThreadPoolExecutor(2) as reading:
        for name in ("stdout", "stderr"):
            readers[name], ends[name] = os.pipe()
            if name in broken.gone:
                os.close(readers.pop(name))
        command = f'exec "$@" {broken.redirection}'
        words = ("process", scenario, "--seed", "1", "--run-dir", str(directory), *broken.words)
        process = subprocess.Popen(
            ["sh", "-c", command, "sh", sys.executable, "-m", "lucy_core.executive", *words],
            env=environment | dict(broken.variables),
            stdin=subprocess.DEVNULL,
            **ends,
        )
        for end in ends.values():
            os.close(end)

        def read(name: str) -> str:
            if name not in readers:
                return ""
            if name in broken.gone_after_a_line:
                read_a_line(readers[name])
                return ""
            with os.fdopen(readers[name], "rb") as file:
                return file.read().decode(errors="replace")

        shown = [reading.submit(read, name) for name in ("stdout", "stderr")]
        code = process.wait(SECONDS)
        return ended(code, directory), shown[0].result(), shown[1].result()


@pytest.mark.slow
def test_whatever_breaks_an_output_the_run_ends_as_it_would_undisturbed(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    cells = list(chosen())

    def cell(at: tuple[str, str]) -> tuple[Ended, str, str]:
        scenario, name = at
        return run(scenario, BROKEN[name], tmp_path / f"{scenario} {name}".replace("'", ""), environment)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(cells, pool.map(cell, cells), strict=True))

    whole = {scenario: found[scenario, "nothing"][0] for scenario in OUTCOMES}
    assert [(each.code, each.outcome) for each in whole.values()] == [
        (0, "passed"),
        (1, "failed"),
        (3, "inconclusive"),
        (4, "infrastructure error"),
        (130, "interrupted"),
        (2, ""),
    ]
    differing = {at: got for at, got in found.items() if got[0] != whole[at[0]]}
    assert differing == {}
    for at, (_, out, err) in found.items():
        assert "Traceback" not in err, (at, err)
        assert "fault of Lucy" not in err, (at, err)
        if "full" in at[1] and "stdout" in at[1] and at[0] != "nobody":
            assert "lucy: stdout: No space left on device; not all was shown there" in err, (at, err)
        if "stderr" in at[1] and at[0] != "nobody":
            lines = [json.loads(line) for line in out.splitlines()]
            assert [line["event"] for line in lines[-2:]] == ["NotShown", "RunEnded"], (at, out)
            assert lines[-2]["data"].startswith("stderr: "), (at, out)
        if at[1] == "ASCII":
            assert err.isascii()
            assert at[0] != "passes" or "+ PASSED after" in err


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal's two ends: the user's, and the program's."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    for end in (ours, theirs):
        with contextlib.suppress(OSError):
            os.close(end)


Start = Callable[..., subprocess.Popen[bytes]]


def take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path, terminal: tuple[int, int]) -> Iterator[Start]:
    """Starts `lucy` on the terminal."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, controlling: bool = False) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lucy_core.executive", "process", *words, "--run-dir", str(tmp_path / "run")]
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=terminal[1],
            stdout=terminal[1],
            stderr=terminal[1],
            # As the leader of a session it gets what the terminal sends: HUP, and INT for Ctrl-C.
            start_new_session=True,
            preexec_fn=take_the_terminal if controlling else None,  # noqa: PLW1509  # there are no threads here
        )
        os.close(terminal[1])
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def read_until(terminal: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 4096)
    return seen


def test_a_terminal_that_goes_away_in_the_middle_leaves_the_verdict_alone(
    start: Start, terminal: tuple[int, int], tmp_path: Path
) -> None:
    process = start("passes")
    read_until(terminal[0], b"passes on process")
    os.close(terminal[0])

    code = process.wait(SECONDS)

    assert ended(code, tmp_path / "run")[:2] == (0, "passed")


def test_a_hang_up_of_the_sessions_terminal_interrupts_the_run_in_good_order(
    start: Start, terminal: tuple[int, int], tmp_path: Path
) -> None:
    process = start("hangs", controlling=True)
    read_until(terminal[0], b"hanging")
    os.close(terminal[0])

    code = process.wait(SECONDS)

    assert ended(code, tmp_path / "run")[:2] == (130, "interrupted")


def test_ctrl_c_on_a_terminal_is_quiet_from_the_first_moments_on(
    start: Start, terminal: tuple[int, int], tmp_path: Path
) -> None:
    process = start("hangs", controlling=True)
    while not is_listening(process.pid):
        assert process.poll() is None
    os.write(terminal[0], b"\x03")

    shown = read_to_the_end(terminal[0])
    code = process.wait(SECONDS)

    assert ended(code, tmp_path / "run")[:2] == (130, "interrupted")
    assert b"Traceback" not in shown
    assert b"INTERRUPTED" in shown


def is_listening(pid: int) -> bool:
    """Tell whether a process has a handler for SIGINT that isn't Python's own, which it also has for SIGHUP then."""
    caught = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:")
    ).split()[1]
    return bool(int(caught, 16) >> (signal.SIGHUP - 1) & 1)


def read_to_the_end(terminal: int) -> bytes:
    seen = b""
    with contextlib.suppress(OSError):
        while got := os.read(terminal, 4096):
            seen += got
    return seen


def test_ctrl_c_while_a_reader_is_waited_for_ends_the_waiting_and_not_the_verdict(
    environment: dict[str, str], tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x" * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))
    process = subprocess.Popen(
        [sys.executable, "-m", "lucy_core.executive", "process", "fails", "--run-dir", str(tmp_path / "run")],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert process.stderr is not None
    for line in process.stderr:
        if b"once more" in line:
            break

    process.send_signal(signal.SIGINT)

    assert process.wait(SECONDS) == 1
    assert ended(1, tmp_path / "run").outcome == "failed"
    assert b"stdout: its reader was slow, and not waited for" in process.stderr.read()
    process.stderr.close()
    os.close(reader)


def test_a_reader_who_has_seen_enough_of_a_list_is_no_matter(environment: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "lucy_core.executive", "list"],
        env=environment,
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=SECONDS,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("words", (("list",), ("--help",), ("process", "--help"), ("--version",)))
def test_a_command_that_only_tells_something_says_where_it_could_not(
    environment: dict[str, str], words: tuple[str, ...]
) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lucy_core.executive", *words],
            env=environment,
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
        )

    assert (done.returncode, done.stderr) == (0, b"lucy: stdout: No space left on device; not all was shown there\n")
