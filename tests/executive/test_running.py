"""`lucy run FILE[::NAME]`, run as people run it: what a file has to run, and how that ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import REPOSITORY

from lucy_core.executive.plugin.session import exit_code_of
from lucy_core.judging.result import ExitCode

INI = """
[pytest]
addopts = -p no:asyncio -p no:cacheprovider
filterwarnings = error
"""
HEAD = '''
import sys
import anyio, msgspec, pytest
import lucy_core as lucy

@lucy.event(ids="tick")
class Tick(msgspec.Struct, frozen=True):
    n: int

TICK = """echo '{"message":"tick","event_id":"tick","metadata":{"n":1}}'; exec sleep 600"""

def network(program=TICK, **more):
    node = lucy.NodeSpec(name="one", role="node", command=("sh", "-c", program), **more)
    return lucy.NetworkSpec(name="small", nodes=(node,))
'''
SCENARIO = '''
class Watch:
    """A scenario that is a class."""

    name = "watch"
    summary = "sees a tick"

    def topology(self, options):
        return lucy.network.vocabulary.PlainTopology(network(options.get("program", TICK)))

    async def run(self, network):
        print("printed by the scenario")
        await network.events(Tick, since=0).first(within=20)
'''
TESTS = """
@pytest.mark.lucy(topology=network)
async def test_ticks(lucy_network):
    await lucy_network.events(Tick, since=0).first(within=20)

@pytest.mark.lucy(topology=network("exit 3"))
async def test_dies(lucy_network):
    await lucy_network.wait_for(Tick)

@pytest.mark.lucy(topology=network(ready="open", ready_within=0.3))
async def test_never_ready(lucy_network):
    raise AssertionError

class TestMore:
    @pytest.mark.parametrize("n", (1, 2))
    def test_plain(self, n):
        assert n == 1
"""


class Finished:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.out, self.err = process.communicate(timeout=60)
        self.code = process.returncode


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `lucy run` with some words, on a file that is given as text."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, *words: str, file: str = "test_own.py") -> subprocess.Popen[str]:
        (tmp_path / file).write_text(HEAD + text)
        (tmp_path / "pytest.ini").write_text(INI)
        process = subprocess.Popen(
            [sys.executable, "-m", "lucy_core.executive", "run", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def lucy(start: Start) -> Callable[..., Finished]:
    """Runs `lucy run` to its end."""
    return lambda text, *words, **more: Finished(start(text, *words, **more))


@pytest.mark.parametrize(
    ("text", "target"),
    (
        ("small = network()", "test_own.py"),
        ("small = network()\nother = network()", "test_own.py::other"),
        ("small = network()\n" + TESTS, "test_own.py::small"),
        ("def cluster() -> lucy.NetworkSpec:\n    return network()", "test_own.py"),
        ("def cluster():\n    return network()", "test_own.py::cluster"),
    ),
)
def test_a_topology_stands_for_the_given_time(lucy: Callable[..., Finished], text: str, target: str) -> None:
    run = lucy(text, target, "--for", "0.2")

    assert run.code == 0, run.err
    events = [json.loads(line)["event"] for line in run.out.splitlines()]
    assert (events[0], events[-1]) == ("RunStarted", "RunEnded")
    assert "The network stands for 0.2 s." in run.err
    assert f"once more      lucy run {target} --engine process --for 0.2 --seed" in run.err


def test_a_topology_stands_until_ctrl_c_which_is_no_failure(start: Start) -> None:
    process = start('small = network(ports=("p",))', "test_own.py")
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "NodeStarted":
            break
    for line in process.stderr:
        if line.startswith("  one          running   p 127.0.0.1:"):
            break
    process.send_signal(signal.SIGINT)

    finished = Finished(process)
    assert finished.code == 0, finished.err
    assert "ending the run and taking the network down" in finished.err
    assert json.loads(finished.out.splitlines()[-1])["data"]["outcome"] == "passed"


def test_a_topology_of_tasks_ends_with_them(lucy: Callable[..., Finished]) -> None:
    assert lucy('tasks = network("exit 0", wait_for_exit=True)', "test_own.py").code == 0


def test_a_topology_whose_node_dies_has_failed(lucy: Callable[..., Finished]) -> None:
    run = lucy('small = network("echo the last words; exit 3")', "test_own.py")

    assert run.code == ExitCode.NODE_EXITED
    assert "the last words" in run.err


@pytest.mark.parametrize("target", ("scenario_own.py", "scenario_own.py::Watch", "scenario_own.py::made"))
def test_a_scenario_runs_from_a_file(lucy: Callable[..., Finished], target: str) -> None:
    more = "made = Watch()\ndel Watch\n" if target.endswith("made") else "topology = network()\n"
    run = lucy(SCENARIO + more, target, file="scenario_own.py")

    assert run.code == 0, run.err
    assert json.loads(run.out.splitlines()[-1])["data"]["scenario"] == "watch"
    assert "printed by the scenario" in run.err


def test_a_scenario_takes_its_options_and_its_directory(lucy: Callable[..., Finished], tmp_path: Path) -> None:
    words = ("--option", "program=exit 4", "--run-dir", "kept", "--engine=process", "--statistics")
    run = lucy(SCENARIO, "scenario_own.py", *words, file="scenario_own.py")

    assert run.code == ExitCode.NODE_EXITED
    assert json.loads((tmp_path / "kept" / "result.json").read_bytes())["options"]["program"] == "exit 4"


def test_a_file_imports_what_stands_beside_it(lucy: Callable[..., Finished], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "beside.py").write_text("name = 'found'\n")
    text = "import beside\nprint('printed at import')\nsmall = network('exit 0', wait_for_exit=True)\n"
    run = lucy(text, "sub/json.py", file="sub/json.py")  # called like a module of the standard library

    assert run.code == 0, run.err
    assert "printed at import" in run.err
    assert "printed at import" not in run.out


@pytest.mark.parametrize(
    ("name", "code", "said"),
    (
        ("::test_ticks", ExitCode.PASSED, "1 passed"),
        ("::test_dies", ExitCode.NODE_EXITED, "one exited with code 3"),
        ("::test_never_ready", ExitCode.NOT_READY, "did not become ready"),
        ("::TestMore::test_plain[1]", ExitCode.PASSED, "1 passed"),
        ("::TestMore", ExitCode.FAILED, "1 failed, 1 passed"),
        ("", ExitCode.FAILED, "2 failed, 2 passed, 1 error"),
    ),
)
def test_tests_run_by_pytest_with_lucys_exit_codes(
    lucy: Callable[..., Finished], tmp_path: Path, name: str, code: int, said: str
) -> None:
    run = lucy(TESTS, f"test_own.py{name}")

    assert run.code == code, run.out + run.err
    assert said in run.out
    if name.startswith("::test"):
        (directory,) = (tmp_path / "lucy-runs").iterdir()
        assert json.loads((directory / "result.json").read_bytes())["exit_code"] == code


def test_what_follows_two_dashes_is_pytests(lucy: Callable[..., Finished]) -> None:
    run = lucy(TESTS, "test_own.py", "--run-dir", "kept", "--engine", "process", "--", "-k", "ticks", "-q")

    assert run.code == 0, run.out
    assert "1 passed, 4 deselected" in run.out


def test_ctrl_c_ends_a_session_as_one_of_lucys(start: Start, tmp_path: Path) -> None:
    process = start(
        "import os\n@pytest.mark.lucy(topology=network)\nasync def test_long(lucy_network):\n"
        "    os.mkdir('begun')\n    await anyio.sleep(60)\n",
        "test_own.py::test_long",
    )
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)

    assert Finished(process).code == ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    ("text", "words", "said"),
    (
        ("", ("nowhere.py",), "the file 'nowhere.py' isn't there"),
        ("", (".",), "is a directory"),
        ("", ("pytest.ini",), "isn't called like a Python file"),
        ("", ("test_own.py::",), "names nothing behind '::'"),
        ("", ("test_own.py",), "has nothing to run in it"),
        ("def broken(:", ("test_own.py",), "is no Python: invalid syntax in line 15"),
        ("raise OSError('no disk')", ("test_own.py",), "can't be imported (line 15): OSError: no disk"),
        ("a = network()\nb = network()", ("test_own.py",), "has a, b; say which: lucy run test_own.py::a"),
        (
            TESTS + "a = network()",
            ("test_own.py::test_tick",),
            "is called 'test_tick'; did you mean test_ticks or test_dies?",
        ),
        (TESTS + "a = network()", ("test_own.py::zzz",), "(there is: TestMore, TestMore::test_plain, a, test_dies"),
        ("", ("test_own.py::TICK",), "which is nothing to run"),
        ("def bad():\n    return 5", ("test_own.py::bad",), "gave 5, which is nothing to run"),
        ("def bad():\n    return {}['x']", ("test_own.py::bad",), "raised KeyError: 'x'"),
        ("a = network()", ("test_own.py", "--engine", "proces"), "did you mean process?"),
        ("a = network()", ("test_own.py", "--for", "soon"), "'soon' is no length of time"),
        ("a = network()", ("test_own.py", "--", "-k", "x"), "what follows '--' is for pytest"),
        ("a = network('x', after=('z',))", ("test_own.py",), "'one' is to start after 'z'"),
        (SCENARIO, ("test_own.py", "--for", "1"), "--for is for topologies"),
        (TESTS, ("test_own.py", "--for", "1"), "--for isn't for tests"),
        (TESTS, ("test_own.py", "--statistics"), "--statistics isn't for tests"),
    ),
)
def test_a_slip_is_one_sentence_and_exit_code_2(
    lucy: Callable[..., Finished], text: str, words: tuple[str, ...], said: str
) -> None:
    run = lucy(text, *words)

    assert (run.code, run.out) == (ExitCode.USAGE, ""), run.err
    assert said in run.err
    assert len(run.err.splitlines()) == 1


@pytest.mark.systems
@pytest.mark.skipif(not all(map(shutil.which, ("etcd", "etcdctl"))), reason="needs etcd, etcdctl")
def test_a_file_of_real_software_gives_its_tests_and_its_topology(
    lucy: Callable[..., Finished], tmp_path: Path
) -> None:
    file = tmp_path / "test_etcd.py"
    shutil.copy(REPOSITORY / "tests" / "systems" / file.name, file)
    tested = lucy("", "test_etcd.py::test_a_new_leader_takes_over")
    stood = lucy("", "test_etcd.py::cluster", "--for", "0.1")

    assert tested.code == ExitCode.PASSED, tested.out + tested.err
    assert "1 passed" in tested.out
    assert stood.code == ExitCode.PASSED, stood.out + stood.err
    assert len(list(tmp_path.glob("lucy-runs/*/logs/c.ndjson"))) == 2


@pytest.mark.parametrize(
    ("status", "failed", "code"),
    (
        (0, (), ExitCode.PASSED),
        (1, (30,), ExitCode.NODE_EXITED),
        (1, (30, 20), ExitCode.FAILED),
        (1, (3, 4), ExitCode.INFRASTRUCTURE),
        (1, (3, 20), ExitCode.FAILED),
        (1, (), ExitCode.FAILED),
        (2, (), ExitCode.USAGE),
        (3, (), ExitCode.INFRASTRUCTURE),
        (4, (), ExitCode.USAGE),
        (5, (), ExitCode.USAGE),
        (77, (), 77),
    ),
)
def test_a_sessions_exit_code_is_the_gravest_of_its_runs(status: int, failed: tuple[int, ...], code: int) -> None:
    assert exit_code_of(status, failed) == code
    assert exit_code_of(status, failed, is_interrupted=True) == ExitCode.INTERRUPTED
