"""The command `lucy`, run as people run it: a process, its two outputs, its exit code, its files."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from places import REPOSITORY

from lucy_core.engine import EngineOption
from lucy_core.engine.contract import engine_names, load_engine
from lucy_core.errors import NodeExitedError, UsageError, WaitTimeoutError
from lucy_core.executive.command_line import command_again, gather_options, make_parser
from lucy_core.judging.result import EXIT_CODES, ExitCode, Outcome, exit_code

SCENARIOS = '''
import anyio, msgspec, os, sys, time
import lucy_core as lucy
from lucy_core.network.vocabulary import PlainTopology

@lucy.event(ids="tick")
class Tick(msgspec.Struct, frozen=True):
    n: int

TICKS = """echo '{"message":"tick","event_id":"tick","metadata":{"n":1}}'; exec sleep 600"""

class Scenario:
    summary = "a scenario of the tests"

    def __init__(self, test, program=TICKS):
        self.name = test.__name__
        self.test = test
        self.program = program

    def topology(self, options):
        options.get("colour")
        if "nodes" in options:
            return PlainTopology(lucy.NetworkSpec(name="none", nodes=()))
        node = lucy.NodeSpec(name="one", role="node", command=("sh", "-c", self.program), ports=("api",))
        return PlainTopology(lucy.NetworkSpec(name="small", nodes=(node,)))

    async def run(self, network):
        await self.test(network)

def never(name):
    return lucy.Condition(name=name, description="what never comes", check=lambda *_: lucy.Progress(have=0, need=1),
                          event_types=(Tick,), soft=lucy.seconds(0.01), hard=lucy.seconds(0.02))

async def passes(network):
    print("printed by the scenario")
    with network.section("one tick"):
        await network.events(Tick, since=0).first(within=20)

async def fails(network):
    with network.section("a check"):
        network.check(False, "the check failed")

async def soft(network):
    network.soft_error("not nice")

async def late(network):
    with network.section("waiting"):
        await network.wait_for(never("anything"))

async def gap(network):
    raise lucy.InconclusiveError("there is a gap")

async def infrastructure(network):
    raise lucy.DeployError("no machine")

async def dies(network):
    with network.section("being there"):
        await anyio.sleep_forever()

async def slip(network):
    return {}["missing"]

async def hangs(network):
    with network.section("hanging"):
        await anyio.sleep_forever()

async def spins(network):
    print("spinning", flush=True)
    while True:
        pass

passes, fails, soft, late, gap, infrastructure, slip, hangs, spins = map(
    Scenario, (passes, fails, soft, late, gap, infrastructure, slip, hangs, spins))
dies = Scenario(dies, "echo the last words; exit 7")
'''
NAMES = ("passes", "fails", "soft", "late", "gap", "infrastructure", "dies", "slip", "hangs", "spins")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of installed things: the scenarios of these tests, and Lucy's engine if she isn't installed."""
    site = tmp_path / "site"
    information = site / "scenarios_of_tests-1.dist-info"
    information.mkdir(parents=True)
    (site / "scenarios_of_tests.py").write_text(SCENARIOS)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: scenarios-of-tests\nVersion: 1\n")
    points = "[lucy.scenarios]\n" + "".join(f"{name} = scenarios_of_tests:{name}\n" for name in NAMES)
    points += "broken = scenarios_of_tests:nowhere\n[lucy.engines]\nbroken = scenarios_of_tests:nowhere\n"
    if "process" not in engine_names():
        points += "process = lucy_engines.process:ProcessEngine\n"
    (information / "entry_points.txt").write_text(points)
    return site


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(site: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts `lucy` with some arguments, in a working directory of its own."""
    started: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{site}", "PYTHONUNBUFFERED": "1"}

    def start(*words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "lucy_core.executive", *words],
            cwd=tmp_path,
            env=environment,
            stdin=stdin,
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


class Finished:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.out, self.err = process.communicate(timeout=60)
        self.code = process.returncode

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict:
        return self.lines[-1]["data"]


@pytest.fixture
def lucy(start: Start) -> Callable[..., Finished]:
    """Runs `lucy` to its end."""
    return lambda *words: Finished(start(*words))


@pytest.mark.parametrize(
    ("scenario", "code", "outcome"),
    (
        ("passes", 0, "passed"),
        ("fails", 1, "failed"),
        ("soft", 1, "failed"),
        ("late", 1, "failed"),
        ("slip", 1, "failed"),
        ("gap", 3, "inconclusive"),
        ("infrastructure", 4, "infrastructure error"),
        ("dies", 30, "failed"),
    ),
)
def test_each_outcome_has_its_exit_code(lucy: Callable[..., Finished], scenario: str, code: int, outcome: str) -> None:
    run = lucy("process", scenario)

    assert (run.code, run.result["outcome"], run.result["exit_code"]) == (code, outcome, code), run.err


def test_every_exit_code_is_in_the_help(lucy: Callable[..., Finished]) -> None:
    run = lucy("--help")

    assert run.code == 0
    assert [code for code, text in EXIT_CODES.items() if f"{code.value:>3}  {text}" not in run.out] == []


def test_nodes_that_never_initialize_have_an_exit_code_of_their_own() -> None:
    error = WaitTimeoutError("nodes_initialized", "all nodes to initialize", 1.0, "", is_readiness=True)

    assert exit_code(Outcome.FAILED, error) is ExitCode.NOT_READY
    assert exit_code(Outcome.FAILED, NodeExitedError("one", "exited with code 1", 1.0, ())) is ExitCode.NODE_EXITED


@pytest.mark.parametrize(
    ("words", "said"),
    (
        (("proces", "passes"), "did you mean process"),
        (("process", "pases"), "did you mean passes"),
        (("process",), "SCENARIO"),
        (("process", "passes", "--keep", "sometimes"), "sometimes"),
        (("process", "passes", "--option", "nothing"), "KEY=VALUE"),
        (("process", "passes", "--seed", "1", "--option", "seed=2"), "twice"),
        (("process", "passes", "--option", "nodes=0"), "has no nodes"),
        (("process", "passes", "--run-dir", "site"), "not empty"),
        (("process", "passes", "--run-dir", ""), "is an empty path"),
        (("process", "passes", "--option", "color=red"), "did you mean colour?"),
        (("process", "passes", "--option", "statistics=maybe"), "give '1' or '0'"),
        (("process", "chain-reliability", "--option", "slot_seconds=fast"), "slot_seconds='fast' is no number"),
        (("process", "chain-reliability", "--program", ""), "is an empty command"),
        (("process", "chain-reliability", "--program", "/no/such"), "node 'seed': there is no program '/no/such'"),
        (("docker", "chain-reliability", "--docker-cpus", "many"), "docker_cpus='many'"),
        (("docker", "chain-reliability", "--docker-host", "ssh://me@there"), "docker_host='ssh://me@there'"),
        (("docker", "chain-reliability", "--docker-host", "tcp://[::1"), "give unix:///path, tcp://host:port"),
        (("docker", "chain-reliability", "--docker-memory", "lots"), "docker_memory='lots'"),
    ),
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(
    lucy: Callable[..., Finished], words: tuple[str, ...], said: str
) -> None:
    run = lucy(*words)

    assert (run.code, run.out) == (ExitCode.USAGE, "")
    assert said in run.err
    assert len(run.err.splitlines()) == 1


@pytest.mark.parametrize(("kind", "words"), (("engine", ("broken", "passes")), ("scenario", ("process", "broken"))))
def test_a_broken_plug_in_is_one_sentence_and_trouble_of_the_infrastructure(
    lucy: Callable[..., Finished], kind: str, words: tuple[str, ...]
) -> None:
    run = lucy(*words)

    assert (run.code, run.out) == (ExitCode.INFRASTRUCTURE, "")
    assert run.err.startswith(f"lucy: the {kind} 'broken', installed as scenarios_of_tests:nowhere, can't be used: ")
    assert len(run.err.splitlines()) == 1


def test_list_names_engines_with_what_they_can_and_scenarios_with_what_they_show(lucy: Callable[..., Finished]) -> None:
    run = lucy("list")

    assert run.code == 0
    assert [line for line in run.out.splitlines() if line.split()[:1] == ["process"] and "fresh_state" in line]
    assert [line for line in run.out.splitlines() if line.split()[:1] == ["passes"] and "of the tests" in line]


def test_on_a_pipe_every_line_of_stdout_is_an_event_and_the_last_is_the_result(lucy: Callable[..., Finished]) -> None:
    run = lucy("process", "passes")

    events = [line["event"] for line in run.lines]
    assert (events[0], events[-1]) == ("RunStarted", "RunEnded")
    assert events.count("SectionStarted") == events.count("SectionEnded") == 2
    assert "NodeStarted" in events
    positions = [line["position"] for line in run.lines[1:-1]]
    assert positions == sorted(set(positions))
    assert "printed by the scenario" in run.err


def test_the_report_tells_sections_errors_the_ledger_and_the_verdict(lucy: Callable[..., Finished]) -> None:
    run = lucy("process", "late")

    for expected in ("waiting", "what never comes", "hard: timed out after", "closest : 0 of 1", "Captured", "FAILED"):
        assert expected in run.err
    assert str(run.result["directory"]) in run.err


def test_an_error_that_is_not_lucys_is_told_with_its_type(lucy: Callable[..., Finished]) -> None:
    run = lucy("process", "slip")

    assert "hard: KeyError: 'missing'" in run.err
    assert "hard error: KeyError: 'missing'" in run.err
    assert run.err.count("KeyError: KeyError") == 0


def test_a_node_that_dies_ends_the_run_with_its_last_words(lucy: Callable[..., Finished]) -> None:
    run = lucy("process", "dies")

    assert "one exited with code 7" in run.err
    assert "the last words" in run.err


def test_a_slip_in_a_scenario_shows_where(lucy: Callable[..., Finished]) -> None:
    run = lucy("process", "slip")

    assert "KeyError: 'missing'" in run.err
    assert "scenarios_of_tests.py" in run.err


def test_a_run_leaves_what_was_run_and_what_became_of_it(lucy: Callable[..., Finished], tmp_path: Path) -> None:
    run = lucy("process", "passes", "--run-dir", "here", "--seed", "42", "--option", "colour=red")

    ordered = json.loads((tmp_path / "here/run.json").read_bytes())
    assert run.code == 0
    assert (ordered["engine"], ordered["test"], ordered["seed"]) == ("process", "passes", "42")
    assert ordered["options"] == {"seed": "42", "colour": "red"}
    assert ordered["network"]["nodes"][0]["name"] == "one"
    assert json.loads((tmp_path / "here/result.json").read_bytes())["outcome"] == "passed"
    assert ET.parse(tmp_path / "here/junit.xml").find("testsuite").get("failures") == "0"
    assert "passed" in (tmp_path / "here/report.html").read_text()
    assert (tmp_path / "here").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("keep", "scenario", "kept"),
    (
        ("never", "fails", False),
        ("on-failure", "passes", False),
        ("on-failure", "fails", True),
        ("always", "passes", True),
    ),
)
def test_keep_decides_whether_the_run_directory_stays(
    lucy: Callable[..., Finished], tmp_path: Path, keep: str, scenario: str, *, kept: bool
) -> None:
    lucy("process", scenario, "--run-dir", "here", "--keep", keep)

    assert (tmp_path / "here").exists() is kept


def test_a_run_is_run_again_by_the_command_that_it_reports(lucy: Callable[..., Finished]) -> None:
    first = lucy("process", "passes")

    again = lucy(*first.result["again"].split()[1:])

    assert again.result["options"] == first.result["options"]


def until(process: subprocess.Popen[str], text: str) -> None:
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(process.stderr.read())


@pytest.mark.parametrize("loop", ((), ("--uvloop",)), ids=("asyncio", "uvloop"))
@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_the_first_signal_ends_the_test_cleanly_and_reports(
    start: Start, loop: tuple[str, ...], number: signal.Signals
) -> None:
    process = start("process", "hangs", *loop)
    until(process, '"hanging"')

    process.send_signal(number)

    run = Finished(process)
    assert run.code == 130, run.err
    assert run.result["outcome"] == "interrupted"
    assert "INTERRUPTED" in run.err
    assert number.name in run.err


@pytest.mark.parametrize("loop", ((), ("--uvloop",)), ids=("asyncio", "uvloop"))
def test_the_second_signal_ends_lucy_even_while_a_test_blocks_the_loop(start: Start, loop: tuple[str, ...]) -> None:
    process = start("process", "spins", *loop)
    for line in process.stderr:
        if "spinning" in line:
            break

    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)

    run = Finished(process)
    assert run.code == 130
    assert "leaving at once" in run.err
    assert "INTERRUPTED" not in run.err


def test_a_reader_that_goes_away_does_not_end_the_run(start: Start) -> None:
    process = start("process", "passes")
    process.stdout.readline()
    process.stdout.close()

    process.wait(60)

    assert process.returncode == 0
    assert "PASSED" in process.stderr.read()
    process.stdout = None


def test_a_pause_shows_the_network_and_goes_on_at_enter(start: Start) -> None:
    process = start("process", "fails", "--pause", "on-failure", stdin=subprocess.PIPE)
    seen = ""
    while "Press Enter" not in seen:
        seen += process.stderr.read(1)

    process.stdin.write("\n")
    process.stdin.close()
    process.stdin = None

    run = Finished(process)
    assert run.code == 1
    assert "127.0.0.1" in seen


def test_a_pause_goes_on_when_nobody_is_there(lucy: Callable[..., Finished]) -> None:
    run = lucy("process", "passes", "--pause", "always")

    assert run.code == 0
    assert "Paused before teardown" in run.err


def test_ctrl_c_ends_a_pause_and_keeps_the_verdict(start: Start) -> None:
    process = start("process", "fails", "--pause", "always", stdin=subprocess.PIPE)
    seen = ""
    while "Press Enter" not in seen:
        seen += process.stderr.read(1)

    process.send_signal(signal.SIGINT)

    run = Finished(process)
    assert (run.code, run.result["outcome"]) == (1, "failed")


def test_local_is_another_name_for_docker() -> None:
    assert load_engine("local").name == "docker"


IMAGE = EngineOption(name="mina_image", help="what to run", metavar="IMAGE", variable="MINA_IMAGE")
SHARED = EngineOption(name="shared_pipe", help="one pipe for all", is_switch=True)


def test_an_engines_options_are_flags_with_defaults_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINA_IMAGE", "mina:1")
    parser = make_parser(["docker"], {"docker": (IMAGE, SHARED)})

    arguments = parser.parse_args(["docker", "x", "--seed", "7", "--shared-pipe"])
    options = gather_options(arguments)

    assert options == {"seed": "7", "mina_image": "mina:1", "shared_pipe": "1"}
    again = command_again("docker", "x", options, arguments.engine_options)
    assert again == ("lucy", "docker", "x", "--seed", "7", "--mina-image", "mina:1", "--shared-pipe")
    assert gather_options(parser.parse_args(list(again[1:]))) == options


def test_an_engine_takes_no_options_of_anothers() -> None:
    parser = make_parser(["docker", "process"], {"docker": (IMAGE,)})

    with pytest.raises(UsageError, match="--mina-image"):
        parser.parse_args(["process", "x", "--mina-image", "mina:1"])


def test_a_limit_of_files_sizes_leaves_no_half_module_for_those_who_come_later(tmp_path: Path) -> None:
    """Python cuts what it compiles where the limit is, and reads it again without a look."""
    limit = 1 << 14

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-m", "lucy_core.executive", "list"],
        env={**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""},
        preexec_fn=limited,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0
    compiled = [path for path in tmp_path.rglob("*.pyc") if "lucy_core" in path.parts]
    assert compiled, "what was imported before the limit was known of is small"
    assert [path.name for path in compiled if path.stat().st_size >= limit] == []
