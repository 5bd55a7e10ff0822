"""The pytest plugin, where tests share a network or run on several engines."""

import pytest
from pytest_sessions import Session

pytest_plugins = ["pytester"]

MODULE = """
import pytest

@pytest.fixture(
    scope="module",
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)
def anyio_backend(request):
    return request.param
"""
SESSION = """
import pytest

@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"
"""


def test_the_tests_of_a_module_share_one_network_and_one_run_a_backend(
    session: Session, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(MODULE)

    result = session(
        """
pytestmark = pytest.mark.lucy(topology=topology)
seen = []

@pytest.fixture(scope="module")
async def first_tick(lucy_module_network):
    return await lucy_module_network.events(Tick, since=0).first(within=20)

async def test_one(lucy_module_network, first_tick):
    seen.append(lucy_module_network.run_id)

async def test_other(lucy_module_network, first_tick):
    seen.append(lucy_module_network.run_id)

def test_runs():
    assert len(seen) == 4 and len(set(seen)) == 2, seen
""",
        "--lucy-run-dir=runs",
    )

    result.assert_outcomes(passed=5)
    assert len([run for run in (pytester.path / "runs").iterdir() if (run / "result.json").exists()]) == 2


def test_what_is_held_against_a_shared_run_fails_the_test_in_which_it_happened(
    session: Session, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(SESSION)

    result = session("""
pytestmark = pytest.mark.lucy(topology=topology)

async def test_a_holds_an_error(lucy_module_network):
    lucy_module_network.soft_error("this was not nice")

async def test_b_passes(lucy_module_network):
    await lucy_module_network.events(Tick, since=0).first(within=20)

async def test_c_sees_a_death(lucy_module_network):
    one = lucy_module_network["one"]
    os.kill(one._engine_node.pid, signal.SIGKILL)
    while one.last_exit is None:
        await anyio.sleep(0.01)

async def test_d_starts_the_node_again(lucy_module_network):
    mark = lucy_module_network.mark()
    await lucy_module_network["one"].start()
    await lucy_module_network.events(Tick, since=mark).first(within=20)
""")

    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*test_a_holds_an_error*", "*this was not nice*", "*test_c_sees_a_death*"])


def test_an_error_at_the_end_of_a_shared_run_is_one_of_the_last_teardown(
    session: Session, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(SESSION)

    result = session("""
pytestmark = pytest.mark.lucy(topology=topology)

@pytest.fixture(scope="module")
async def late(lucy_module_network):
    yield
    lucy_module_network.soft_error("said too late")

async def test_one(late):
    pass

async def test_other(late):
    pass
""")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_other*", "*said too late*"])


def test_modules_share_the_network_of_the_session(session: Session, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(SESSION)
    pytester.makepyfile(
        other="""
import pytest
from test_modules_share_the_network_of_the_session import topology
import test_modules_share_the_network_of_the_session as first

@pytest.mark.lucy(topology=topology)
async def test_other(lucy_session_network):
    assert lucy_session_network.run_id == first.seen
"""
    )

    session(
        """
@pytest.mark.lucy(topology=topology)
async def test_one(lucy_session_network):
    global seen
    seen = lucy_session_network.run_id
""",
        "-o",
        "python_files=test_*.py other.py",
        "test_modules_share_the_network_of_the_session.py",
        "other.py",
    ).assert_outcomes(passed=2)


def test_sharing_takes_one_marker_and_a_loop_that_lasts_as_long(session: Session) -> None:
    text = """
@pytest.mark.lucy(topology=topology)
async def test_one(lucy_module_network):
    pass

@pytest.mark.lucy(topology=topology())
async def test_other(lucy_module_network):
    pass
"""
    result = session(text, "-k", "asyncio")  # the backend of this conftest is a test's own

    result.assert_outcomes(errors=2, deselected=2)
    result.stdout.fnmatch_lines(
        [
            "lucy_module_network outlives the event loop*@pytest.fixture(scope=?module?)",
            "the tests that share lucy_module_network share the marker lucy too*",
        ]
    )
    result.stdout.no_fnmatch_line("*ScopeMismatch*")


def test_a_test_runs_on_each_engine_that_lucy_engine_names(session: Session) -> None:
    result = session(
        """
@pytest.mark.parametrize("lucy_engine", ["process", pytest.param("none", marks=pytest.mark.skip), "none-such"])
@pytest.mark.lucy(topology=topology)
async def test_sees_a_tick(lucy_network):
    assert lucy_network.engine.name == "process"
""",
        "-k",
        "asyncio",
    )

    result.assert_outcomes(passed=1, skipped=1, errors=1, deselected=3)
    result.stdout.fnmatch_lines(["UsageError: lucy_engine='none-such': no engine is called*"])


def test_a_shared_network_is_deployed_again_for_the_next_engine(session: Session, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(SESSION)

    session("""
from lucy_core.engine.contract import load_engine
pytestmark = [
    pytest.mark.lucy(topology=topology),
    pytest.mark.parametrize("lucy_engine", ["process", load_engine("process")], ids=["name", "itself"], scope="module"),
]
seen = set()

async def test_one(lucy_module_network):
    seen.add(lucy_module_network.run_id)

async def test_other(lucy_module_network, lucy_engine):
    seen.add(lucy_module_network.run_id)
    assert len(seen) == (1 if lucy_engine == "process" else 2)
""").assert_outcomes(passed=4)


def test_the_engine_is_said_by_the_marker_or_by_lucy_engine(session: Session) -> None:
    result = session("""
@pytest.fixture
def lucy_engine():
    return "process"

@pytest.mark.lucy(topology=topology)
async def test_has_the_fixtures(lucy_network):
    assert lucy_network.engine.name == "process"

@pytest.mark.lucy(topology=topology, engine="process")
async def test_has_two(lucy_network):
    raise AssertionError
""")

    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["UsageError: engine='process' in the marker lucy and lucy_engine='process' both say*"])
