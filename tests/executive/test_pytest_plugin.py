"""The pytest plugin, in sessions of its own."""

import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from pytest_sessions import Session

pytest_plugins = ["pytester"]

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


def test_a_marker_may_leave_the_nodes_to_be_started_by_the_test(session: Session) -> None:
    session("""
@pytest.mark.lucy(topology=topology, start=False)
async def test_starts_it_itself(lucy_network):
    node = lucy_network["one"]
    assert node.state == "deployed"
    assert not await lucy_network.so_far(lucy.NodeStarted)
    await node.start()
    await lucy_network.events(Tick, since=0).first(within=20)
""").assert_outcomes(passed=2)


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


def test_a_soft_error_fails_the_call_of_the_test_in_which_it_was_held(session: Session) -> None:
    result = session("""
@pytest.mark.lucy(topology=topology)
async def test_goes_on(lucy_network):
    lucy_network.soft_error("this was not nice")
""")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["1 error was held against the run:", "*this was not nice*"])


def test_a_first_whose_await_is_forgotten_fails_the_call_unless_the_test_has_failed_itself(session: Session) -> None:
    result = session("""
@pytest.mark.lucy(topology=topology)
async def test_checks_nothing(lucy_network):
    lucy_network.events(Tick).first(within=5)

@pytest.mark.lucy(topology=topology)
async def test_fails_itself(lucy_network):
    lucy_network.events(Tick).first(within=5)
    raise KeyError("mine")
""")

    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        ["*Tick.first(), made at *.py:* was never awaited, so nothing was checked: write await*"]
    )
    result.stdout.fnmatch_lines(["E*KeyError: 'mine'"])


def test_a_death_of_which_the_test_awaits_nothing_fails_its_call(session: Session) -> None:
    result = session("""
@pytest.mark.lucy(topology=topology)
async def test_looks_elsewhere(lucy_network):
    one = lucy_network["one"]
    os.kill(one._engine_node.pid, signal.SIGKILL)
    while one.last_exit is None:
        await anyio.sleep(0.01)
""")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*NodeExitedError: one was killed by SIGKILL*"])
    result.stdout.no_fnmatch_line("*ERROR at*")


def test_a_node_that_dies_is_named_once_with_its_last_words(session: Session) -> None:
    result = session("""
@pytest.mark.lucy(topology=lambda: topology("echo the last words; exit 7"))
async def test_waits(lucy_network):
    await lucy_network.wait_for(never(20))
""")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["E *NodeExitedError: one exited with code 7*", "*the last words*"])
    assert str(result.stdout).count("lucy_core.errors.NodeExitedError: one exited") == 2
    result.stdout.no_fnmatch_line("*ERROR at*")


def test_an_error_of_lucys_shows_the_line_of_the_test_and_no_frame_of_hers(session: Session) -> None:
    result = session("""
@pytest.mark.lucy(topology=topology)
async def test_waits(lucy_network):
    await lucy_network.wait_for(never(0.01))
""")

    result.stdout.fnmatch_lines([">*await lucy_network.wait_for(never(0.01))", "E *WaitTimeoutError*"])
    result.stdout.no_fnmatch_line("*lucy_core/*.py:*")


def test_an_error_of_the_tests_own_is_the_failure_and_what_is_held_stands_beside_it(session: Session) -> None:
    result = session("""
@pytest.mark.lucy(topology=topology)
async def test_asserts(lucy_network):
    lucy_network.soft_error("this was not nice")
    assert 1 == 2
""")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["E *assert 1 == 2*", "*- Lucy -*", "*soft: this was not nice*"])
    result.stdout.no_fnmatch_line("*held against the run*")


def test_skip_and_xfail_keep_their_meaning_but_no_skip_hides_an_error(session: Session) -> None:
    result = session(
        """
@pytest.mark.lucy(topology=topology)
class TestEnds:
    async def test_skips(self, lucy_network):
        pytest.skip("not today")

    async def test_skips_with_an_error(self, lucy_network):
        lucy_network.soft_error("this was not nice")
        pytest.skip("not today")

    @pytest.mark.xfail(strict=True)
    async def test_was_to_fail(self, lucy_network):
        lucy_network.soft_error("this was not nice")

    async def test_takes_a_death_well_that_it_has_heard_of(self, lucy_network):
        os.kill(lucy_network["one"]._engine_node.pid, signal.SIGKILL)
        with pytest.raises(lucy.NodeExitedError):
            await lucy_network.wait_for(never(20))

    async def test_says_that_it_was_to_fail(self, lucy_network):
        lucy_network.soft_error("this was not nice")
        pytest.xfail("a known fault")
""",
        "-k",
        "asyncio",
    )

    result.assert_outcomes(passed=1, skipped=1, failed=1, xfailed=2, deselected=5)
    result.stdout.fnmatch_lines(["*test_skips_with_an_error*", "*this was not nice*"])


def test_what_goes_wrong_after_the_test_is_an_error_of_its_teardown(session: Session) -> None:
    result = session("""
@pytest.fixture
async def late(lucy_network):
    yield
    lucy_network.soft_error("said too late")

@pytest.mark.lucy(topology=topology)
async def test_passes(late):
    pass
""")

    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*ERROR at teardown*", "1 error was held against the run:", "*said too late*"])


def test_the_report_for_junit_names_the_run_directory_while_there_is_one(
    session: Session, pytester: pytest.Pytester
) -> None:
    session(
        """
@pytest.mark.lucy(topology=topology)
async def test_passes(lucy_network):
    pass

@pytest.mark.lucy(topology=topology)
async def test_fails(lucy_network):
    lucy_network.soft_error("this was not nice")
""",
        "--junitxml=report.xml",
        "--lucy-run-dir=runs",
        "--lucy-keep=on-failure",
        "-k",
        "asyncio",
    )

    cases = ET.parse(pytester.path / "report.xml").iter("testcase")  # our own
    named = {case.attrib["name"]: [each.attrib for each in case.iter("property")] for case in cases}
    (run,) = (pytester.path / "runs").iterdir()
    assert named == {
        "test_passes[asyncio]": [],
        "test_fails[asyncio]": [{"name": "lucy_run_directory", "value": str(run)}],
    }


def test_a_session_survives_whatever_a_test_raises(session: Session) -> None:
    result = session(
        """
@pytest.mark.lucy(topology=topology)
class TestEnds:
    async def test_fails(self, lucy_network):
        pytest.fail("on purpose")

    async def test_exits(self, lucy_network):
        raise SystemExit(3)

    async def test_is_cancelled(self, lucy_network):
        raise asyncio.CancelledError

    async def test_passes(self, lucy_network):
        await lucy_network.events(Tick, since=0).first(within=20)
""",
    )

    result.assert_outcomes(passed=2, failed=6)


@pytest.mark.parametrize(
    ("marker", "said"),
    (
        ("", "has no marker"),
        ("@pytest.mark.lucy()", "lacks its topology"),
        ("@pytest.mark.lucy(3)", "keyword arguments alone"),
        ("@pytest.mark.lucy(topolgy=topology)", "did you mean topology"),
        ("@pytest.mark.lucy(topology=3)", "topology=3"),
        ("@pytest.mark.lucy(topology=topology, engine='proces')", "did you mean process"),
        ("@pytest.mark.lucy(topology=topology, engine=['process', 'docker'])", "is not one engine"),
        (
            "@pytest.mark.lucy(topology=topology, engine=pytest.param('docker', marks=pytest.mark.skip))",
            "is not one engine",
        ),
        ("@pytest.mark.lucy(topology=topology, options={'a': 1})", "text to text"),
        ("@pytest.mark.lucy(topology=topology, start='no')", "start='no' in the marker lucy is neither True nor False"),
        ("@pytest.mark.lucy(topology=lambda: lucy.NetworkSpec(name='none', nodes=()))", "has no nodes"),
    ),
)
def test_a_wrong_marker_is_refused_by_name(session: Session, marker: str, said: str) -> None:
    result = session(f"{marker}\nasync def test_never_runs(lucy_network):\n    raise AssertionError\n", "-k", "asyncio")

    result.assert_outcomes(errors=1, deselected=1)
    result.stdout.fnmatch_lines([f"UsageError: *{said}*" if "nodes=()" not in marker else f"TopologyError: *{said}*"])


def test_an_engine_that_is_installed_and_broken_is_refused_by_name_and_shows_no_frame(session: Session) -> None:
    result = session(PASSING, "--lucy-engine=broken", "-k", "asyncio")

    result.stdout.fnmatch_lines(
        ["BrokenPluginError: the engine 'broken', installed as nowhere:Nothing, can't be used*"]
    )
    result.stdout.no_fnmatch_line("*lucy_core/*.py:*")


def test_a_mistake_that_tests_share_is_said_once(session: Session) -> None:
    result = session("""
pytestmark = pytest.mark.lucy(topology=3)

async def test_one(lucy_network):
    raise AssertionError

async def test_other(lucy_network):
    raise AssertionError
""")

    result.assert_outcomes(errors=4)
    assert str(result.stdout).count("is neither a topology, a NetworkSpec nor a function") == 1
    result.stdout.fnmatch_lines(["refused for the same reason as *::test_one?asyncio?"])


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
    program = "import sys, lucy_core.executive.plugin.plugin; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    executive = {name for name in loaded if name.startswith("lucy_core.executive.")}
    own = {"lucy_core.executive.plugin", "lucy_core.executive.plugin.plugin", "lucy_core.executive.plugin.scopes"}
    assert executive == own
    assert not {"aiohttp", "gql", "lucy_engines", "lucy_core.mina"} & set(loaded)
