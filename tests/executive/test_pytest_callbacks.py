"""The pytest plugin and callbacks that raise what is no `Exception`: the test ends with that, at once, and alone."""

import pytest
from pytest_sessions import Session

pytest_plugins = ["pytester"]

NETWORK = """
from reactivex import operators

TICKS = '''while :; do echo '{"message":"tick","event_id":"tick","metadata":{"n":1}}'; sleep 0.05; done'''

class Words:
    name = "words"
    event_types = (Tick,)
    raises = None

    def new_state(self):
        return State()

    def summary(self, state, node):
        return ""

class State:
    def apply(self, event):
        if Words.raises is not None and isinstance(event.data, Tick):
            Words.raises()

    def copy(self):
        return self

class Ticking:
    vocabulary = Words()

    def network_spec(self, options):
        return topology(TICKS)

@pytest.fixture(autouse=True)
def fold_raises_nothing():
    yield
    Words.raises = None
"""
TESTS = (
    NETWORK
    + """
def step(network, raises):
    network.events(Tick).map(raises).subscribe(print)

def predicate(network, raises):
    network.events(Tick).filter(raises).buffer(seconds=0.01).subscribe(print)

def operator(network, raises):
    network.events(Tick).pipe(operators.scan(lambda _, event: raises(event), 0)).subscribe(print)

def fold(network, raises):
    Words.raises = raises

RAISED = (
    pytest.skip.Exception("of a callback"),
    pytest.fail.Exception("of a callback"),
    SystemExit("of a callback"),
    asyncio.CancelledError("of a callback"),
    GeneratorExit("of a callback"),
)

@pytest.mark.lucy(topology=Ticking())
class TestCallbacks:
    @pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
    MARK
    async def test_ends_with_what_was_raised(self, lucy_network, raised):
        def raises(_):
            raise raised

        lucy_network.events(Tick).subscribe(raises)
        await asyncio.sleep(1000)

    @pytest.mark.parametrize("place", (step, predicate, operator, fold))
    MARK
    async def test_ends_wherever_it_was_raised(self, lucy_network, place):
        place(lucy_network, lambda *_: pytest.fail("of a callback"))
        await asyncio.sleep(1000)

    MARK
    async def test_is_untouched(self, lucy_network):
        await lucy_network.events(Tick).first(within=20)
"""
)
ERRORS = (
    "Failed: of a callback",
    "SystemExit: of a callback",
    "CallbackError: a callback raised CancelledError: of a callback",
    "CallbackError: a callback raised GeneratorExit: of a callback",
)


ASYNCIO = """
[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.mark.parametrize(
    ("ini", "mark", "chosen", "loops", "places"),
    (
        pytest.param("", "", "not wherever or not uvloop", 2, 4, id="anyio"),
        pytest.param(ASYNCIO, "@pytest.mark.asyncio", "not wherever", 1, 0, id="pytest-asyncio"),
    ),
)
def test_what_a_callback_raises_is_the_tests_outcome_at_once_and_no_other_tests(
    ini: str, mark: str, chosen: str, loops: int, places: int, session: Session, pytester: pytest.Pytester
) -> None:
    if ini:
        pytester.makeini(ini)
    result = session(TESTS.replace("MARK", mark), "-k", chosen)

    outcomes = result.parseoutcomes()
    assert (outcomes["passed"], outcomes["skipped"], outcomes["failed"]) == (loops, loops, 4 * loops + places)
    said = [line.removeprefix("E").strip().removeprefix("lucy_core.errors.") for line in result.outlines]
    assert {error: min(said.count(error), loops) for error in ERRORS} == dict.fromkeys(ERRORS, loops)


def test_of_tests_that_share_a_network_one_ends_with_what_its_callback_raised(session: Session) -> None:
    result = session(
        NETWORK
        + """
@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"

def fails(_):
    pytest.fail("of a callback")

def skips(_):
    pytest.skip("not today")

@pytest.mark.lucy(topology=Ticking())
class TestShared:
    async def test_fails(self, lucy_module_network):
        lucy_module_network.events(Tick).subscribe(fails)
        await asyncio.sleep(1000)

    async def test_is_untouched(self, lucy_module_network):
        await lucy_module_network.events(Tick).first(within=20)

    async def test_fails_too(self, lucy_module_network):
        lucy_module_network.events(Tick).subscribe(fails)
        await lucy_module_network.events(lucy.NodeStopped).first()

    async def test_skips(self, lucy_module_network):
        lucy_module_network.events(Tick).subscribe(skips)
        await asyncio.sleep(1000)

    async def test_skips_with_an_error(self, lucy_module_network):
        lucy_module_network.soft_error("this was not nice")
        lucy_module_network.events(Tick).subscribe(skips)
        await asyncio.sleep(1000)

    async def test_is_untouched_too(self, lucy_module_network):
        await lucy_module_network.events(Tick).first(within=20)
"""
    )

    result.assert_outcomes(passed=2, skipped=1, failed=3)
    result.stdout.fnmatch_lines(["*test_skips_with_an_error*", "*this was not nice*"])
