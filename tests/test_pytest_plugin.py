"""The pytest plugin, in sessions of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from lucy_core.engine import engine_names

pytest_plugins = ["pytester"]
REPOSITORY = Path(__file__).parent.parent

INI = """
[pytest]
anyio_mode = auto
filterwarnings = error
addopts = -p no:asyncio
"""

CONFTEST = """
import pytest

@pytest.fixture(
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)
def anyio_backend(request):
    return request.param
"""

HEAD = """
import anyio, msgspec, pytest
import lucy_core as lucy

@lucy.event(ids="tick")
class Tick(msgspec.Struct, frozen=True):
    n: int

TICK = '''echo '{"message":"tick","event_id":"tick","metadata":{"n":1}}'; exec sleep 600'''

def topology(program=TICK):
    return lucy.NetworkSpec(
        name="small", nodes=(lucy.NodeSpec(name="one", role="node", command=("sh", "-c", program)),))

def never(seconds):
    limit = lucy.seconds(seconds)
    return lucy.Condition(name="never", description="what never comes", soft=limit, hard=limit,
                          check=lambda *_: lucy.Progress(have=0, need=1), event_types=(Tick,))
"""

Session = Callable[..., pytest.RunResult]


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Runs pytest on a test file, in a process of its own, on both loops."""
    site = pytester.mkdir("site")
    information = site / "plugin_of_tests-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-tests\nVersion: 1\n")
    points = ""
    if "process" not in engine_names():
        points += "[lucy.engines]\nprocess = lucy_engines.process:ProcessEngine\n"
    if not entry_points(group="pytest11", name="lucy"):
        points += "[pytest11]\nlucy = lucy_core.executive.pytest_plugin\n"
    (information / "entry_points.txt").write_text(points)
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{site}")
    pytester.makeini(INI)
    pytester.makeconftest(CONFTEST)

    def run(text: str, *words: str) -> pytest.RunResult:
        pytester.makepyfile(HEAD + text)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *words, timeout=60)

    return run


PASSING = """
@pytest.mark.lucy(topology=topology)
async def test_sees_a_tick(lucy_network):
    event = await lucy_network.events(Tick, since=0).first(within=20)
    assert event.data.n == 1

@pytest.mark.lucy(topology=topology())
async def test_cancels_a_scope_of_its_own(lucy_network):
    with anyio.move_on_after(0) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    await lucy_network["one"].restart(fresh_state=True)
"""


def test_a_marked_test_gets_its_network(session: Session) -> None:
    session(PASSING).assert_outcomes(passed=4)


def test_it_works_in_parallel(session: Session) -> None:
    session(PASSING, "-n", "2").assert_outcomes(passed=4)


def test_a_wait_that_times_out_explains_itself_in_the_report(session: Session) -> None:
    result = session("""
@pytest.mark.lucy(topology=topology)
async def test_waits(lucy_network):
    with lucy_network.section("waiting in vain"):
        await lucy_network.wait_for(never(0.01))
""")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*WaitTimeoutError*", "*closest : 0 of 1*", "*- Lucy -*", "*waiting in vain*", "Captured*", "*run directory*"]
    )


def test_a_plain_assertion_gets_the_run_beside_it(session: Session) -> None:
    result = session("""
@pytest.mark.lucy(topology=topology)
async def test_asserts(lucy_network):
    assert 1 == 2
""")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*assert 1 == 2*", "*- Lucy -*", "*FAILED after*"])


def test_a_soft_error_fails_the_test_when_it_is_over(session: Session) -> None:
    result = session("""
@pytest.mark.lucy(topology=topology)
async def test_goes_on(lucy_network):
    lucy_network.soft_error("this was not nice")
""")

    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*1 error was held against the run*", "*this was not nice*"])


def test_a_node_that_dies_is_named_with_its_last_words(session: Session) -> None:
    result = session("""
@pytest.mark.lucy(topology=lambda: topology("echo the last words; exit 7"))
async def test_waits(lucy_network):
    await lucy_network.wait_for(never(20))
""")

    assert result.parseoutcomes()["failed"] == 2
    result.stdout.fnmatch_lines(["*NodeExitedError: one exited with code 7*", "*the last words*"])


@pytest.mark.parametrize(
    ("marker", "said"),
    (
        ("", "has no marker"),
        ("@pytest.mark.lucy()", "lacks its topology"),
        ("@pytest.mark.lucy(3)", "keyword arguments alone"),
        ("@pytest.mark.lucy(topolgy=topology)", "did you mean topology"),
        ("@pytest.mark.lucy(topology=3)", "topology=3"),
        ("@pytest.mark.lucy(topology=topology, engine='proces')", "did you mean process"),
        ("@pytest.mark.lucy(topology=topology, options={'a': 1})", "text to text"),
        ("@pytest.mark.lucy(topology=lambda: lucy.NetworkSpec(name='none', nodes=()))", "has no nodes"),
    ),
)
def test_a_wrong_marker_is_refused_by_name(session: Session, marker: str, said: str) -> None:
    result = session(f"{marker}\nasync def test_never_runs(lucy_network):\n    raise AssertionError\n", "-k", "asyncio")

    result.assert_outcomes(errors=1, deselected=1)
    result.stdout.fnmatch_lines([f"*Error: *{said}*"])


def test_run_directories_can_be_kept_elsewhere_and_for_failures_alone(
    session: Session, pytester: pytest.Pytester
) -> None:
    session(
        """
@pytest.mark.lucy(topology=topology)
async def test_passes(lucy_network):
    pass

@pytest.mark.lucy(topology=topology)
async def test_fails(lucy_network):
    raise AssertionError
""",
        "--lucy-run-dir=runs",
        "--lucy-keep=on-failure",
    ).assert_outcomes(passed=2, failed=2)

    kept = list((pytester.path / "runs").iterdir())
    assert len(kept) == 2
    assert all("test_fails" in path.name and (path / "result.json").exists() for path in kept)


def test_the_engine_of_the_command_line_wins(session: Session) -> None:
    result = session(PASSING, "--lucy-engine=none-such")

    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(["*no engine is called 'none-such'*"])


def test_the_plugin_itself_imports_neither_engines_nor_the_rest_of_the_executive() -> None:
    program = "import sys, lucy_core.executive.pytest_plugin; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    executive = {name for name in loaded if name.startswith("lucy_core.executive.")}
    assert executive == {"lucy_core.executive.pytest_plugin"}
    assert not {"aiohttp", "gql", "lucy_engines", "lucy_core.mina"} & set(loaded)
