"""The pytest plugin beside pytest-asyncio, trio and pytest's plain functions: a network lives on its test's loop."""

import pytest
from pytest_sessions import Session

pytest_plugins = ["pytester"]


@pytest.fixture
def beside_asyncio(session: Session, pytester: pytest.Pytester) -> Session:
    """A session with pytest-asyncio in it, in its strict mode, and with no `anyio_backend` of its own."""
    pytester.makeini("""
[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
filterwarnings = error
""")
    pytester.makeconftest("")
    return session


TEST = """
@pytest.mark.lucy(topology=topology)
class TestTicks:
    {mark}
    async def test_sees_a_tick(self, initialized):
        await initialized.events(Tick, since=0).first(within=20)
        await initialized["one"].restart()
"""
FIXTURE = """
import pytest_asyncio

@pytest_asyncio.fixture
async def initialized(lucy_network):
    await lucy_network.events(Tick, since=0).first(within=20)
    yield lucy_network
    await lucy_network["one"].stop()
"""


def test_pytest_asyncios_tests_have_their_network_in_strict_mode(beside_asyncio: Session) -> None:
    beside_asyncio(FIXTURE + TEST.format(mark="@pytest.mark.asyncio")).assert_outcomes(passed=1)


def test_pytest_asyncios_tests_have_their_network_in_auto_mode(beside_asyncio: Session) -> None:
    beside_asyncio(
        FIXTURE.replace("pytest_asyncio.fixture", "pytest.fixture") + TEST.format(mark=""), "--asyncio-mode=auto"
    ).assert_outcomes(passed=1)


def test_anyios_tests_have_their_network_beside_pytest_asyncio(beside_asyncio: Session) -> None:
    beside_asyncio(
        FIXTURE.replace("pytest_asyncio.fixture", "pytest.fixture") + TEST.format(mark="@pytest.mark.anyio")
    ).assert_outcomes(passed=1)


def test_a_test_that_both_would_run_is_refused(beside_asyncio: Session) -> None:
    result = beside_asyncio("""
@pytest.mark.anyio
@pytest.mark.asyncio
@pytest.mark.lucy(topology=topology)
async def test_never_runs(lucy_network):
    raise AssertionError
""")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["pytest-asyncio runs this test, and anyio would run its fixtures*leave both to one*"])


def test_a_death_fails_the_call_on_pytest_asyncios_loop_too(beside_asyncio: Session) -> None:
    result = beside_asyncio("""
@pytest.mark.asyncio
@pytest.mark.lucy(topology=topology)
async def test_looks_elsewhere(lucy_network):
    one = lucy_network["one"]
    os.kill(one._engine_node.pid, signal.SIGKILL)
    while one.last_exit is None:
        await anyio.sleep(0.01)
""")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*NodeExitedError: one was killed by SIGKILL*"])


def test_pytest_asyncios_tests_share_a_network_on_a_loop_that_they_share(beside_asyncio: Session) -> None:
    beside_asyncio("""
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.lucy(topology=topology)]

async def test_one(lucy_module_network):
    global seen
    seen = lucy_module_network.run_id

async def test_other(lucy_module_network):
    assert lucy_module_network.run_id == seen
    await lucy_module_network.events(Tick, since=0).first(within=20)
""").assert_outcomes(passed=2)


def test_a_shared_network_on_the_loop_of_one_test_is_refused(beside_asyncio: Session) -> None:
    result = beside_asyncio("""
@pytest.mark.asyncio
@pytest.mark.lucy(topology=topology)
async def test_never_runs(lucy_module_network):
    raise AssertionError
""")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["lucy_module_network outlives the event loop*@pytest.mark.asyncio(loop_scope=?module?)"]
    )


def test_a_plain_function_is_refused(beside_asyncio: Session) -> None:
    result = beside_asyncio("""
@pytest.fixture
def network(request):
    return request.getfixturevalue("lucy_network")

@pytest.mark.lucy(topology=topology)
def test_asks_for_it(lucy_network):
    raise AssertionError

@pytest.mark.lucy(topology=topology)
def test_has_it_asked_for(network):
    raise AssertionError
""")

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["test_asks_for_it is a plain function*", "test_has_it_asked_for is a plain function*"])


def test_trio_brings_no_variant_by_being_installed(beside_asyncio: Session) -> None:
    result = beside_asyncio(
        """
@pytest.mark.anyio
@pytest.mark.lucy(topology=topology)
async def test_of_lucys(lucy_network):
    pass

@pytest.mark.anyio
async def test_of_others():
    pass
""",
        "-v",
    )

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*::test_of_lucys?asyncio? PASSED*", "*::test_of_others?trio? PASSED*"])


def test_a_wish_for_trio_is_refused_in_one_sentence(beside_asyncio: Session) -> None:
    result = beside_asyncio("""
@pytest.mark.lucy(topology=topology)
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_on_both(lucy_network):
    pass

class TestOfAFixture:
    @pytest.fixture
    def anyio_backend(self):
        return "trio", {}

    @pytest.mark.lucy(topology=topology)
    async def test_on_trio(self, lucy_network):
        raise AssertionError
""")

    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(
        ["Lucy runs on asyncio*have anyio_backend give 'asyncio' alone", "refused for the same reason as *"]
    )
