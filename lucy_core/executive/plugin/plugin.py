"""Lucy's pytest plugin: the marker `lucy`, and fixtures that give the network that it describes.

    @pytest.mark.lucy(topology=topology, engine="process")
    async def test_a_restarted_node_catches_up(lucy_network):
        await lucy_network["a"].restart()
        await lucy_network.wait_for(seen(CaughtUp, nodes=("a",)))

`lucy_network` is deployed for each test; `lucy_module_network` and `lucy_session_network` are shared by all tests of a
module or of the session, which share the marker too. `lucy_engine` says what deploys it, where the marker doesn't:
parametrize it, or override it. With `start=False` in the marker the nodes are there and none is started.

A network lives on the loop that runs the test, be that anyio's or pytest-asyncio's. So each fixture here is a plain
one, which drives that loop while nobody else does, and gets it from one of two async fixtures, which anyio runs or
pytest-asyncio does. A single async fixture for both would be run by whichever of them comes first, and a test that
awaits another loop's network hangs; and anyio tears no async fixture down after a test that raised SystemExit.
`anyio_backend` is added to the tests that anyio runs and to no others: it would have anyio run the async fixtures of
the others too.

A test has one outcome. When its call is over, what has arrived is delivered, and what is held against the run then
fails the call: soft errors, and a death of which the test awaited nothing. If the test failed itself, its own error is
the failure, and what is held stands beside it. A test that skips with something held against its run has failed; one
that was expected to fail has failed as expected. What goes wrong only when the network is taken down is an error of
the teardown.

Loaded in every pytest session of an environment that has Lucy, so it imports nothing until a test asks for a network.
"""

import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from lucy_core.executive.plugin.scopes import LOOP_SCOPES, NETWORKS

if TYPE_CHECKING:
    # The cost that the line above promises not to have; pytest resolves no annotations.
    import asyncio

    from lucy_core.executive.plugin.marked_run import MarkedRun
    from lucy_core.network.network import Network

RUN_DIRECTORY = "lucy_run_directory"
"""The name of JUnit's property."""

RUN: "pytest.StashKey[MarkedRun]" = pytest.StashKey()
"""Of a test, a module or the session: the run of the network that belongs to it."""
ARGUMENTS: pytest.StashKey[Any] = pytest.StashKey()
"""Of a module or the session: the arguments of the marker that described its network."""
REFUSED: pytest.StashKey[dict[str, str]] = pytest.StashKey()
"""Of the session: each mistake that was said, with the test where it was."""
ALIVE: "pytest.StashKey[list[MarkedRun]]" = pytest.StashKey()
"""Of the session: the runs whose networks are up, until it is interrupted."""
TEST: pytest.StashKey[pytest.Item] = pytest.StashKey()
"""Of the session: the test that is being set up."""
EXPLAINED: pytest.StashKey[bool] = pytest.StashKey()
"""Of a test: whether a report of it has Lucy's section."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a session."""
    group = parser.getgroup("lucy", "Lucy: networks of real nodes")
    group.addoption("--lucy-engine", metavar="ENGINE", help="run every marked test on this engine")
    group.addoption("--lucy-run-dir", metavar="DIR", help="make run directories here, and not in tmp_path")
    group.addoption(
        "--lucy-keep",
        choices=("always", "on-failure", "never"),
        default="always",
        help="when to keep a test's run directory (default: always; pytest clears tmp_path by its own rules)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and the fixtures that pytest-asyncio runs if it is there."""
    config.addinivalue_line(
        "markers",
        "lucy(topology, engine='process', options={}, start=True): the network that lucy_network, lucy_module_network"
        " or lucy_session_network deploys; topology is an object, or a function that makes one; with start=False no"
        " node is started before the test",
    )
    config.stash[REFUSED] = {}
    config.stash[ALIVE] = []
    if config.pluginmanager.has_plugin("asyncio"):
        from lucy_core.executive.plugin import asyncio_loops

        config.pluginmanager.register(asyncio_loops, "lucy-asyncio")


def _is_async(test: object) -> bool:
    return inspect.iscoroutinefunction(getattr(getattr(test, "hypothesis", None), "inner_test", test))


def _will_be_run_by_asyncio(config: pytest.Config, markers: set[str]) -> bool:
    if not config.pluginmanager.has_plugin("asyncio"):
        return False
    return "asyncio" in markers or "auto" in (config.getoption("asyncio_mode", None), config.getini("asyncio_mode"))


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Have anyio run the marked tests that nobody else runs, whatever its mode is."""
    if not (collector.istestfunction(obj, name) and _is_async(obj)):
        return
    markers = {mark.name for mark in (*collector.iter_markers(), *getattr(obj, "pytestmark", ()))}
    if "lucy" in markers and "trio" not in markers and not _will_be_run_by_asyncio(collector.config, markers):
        pytest.mark.usefixtures("anyio_backend")(obj)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on anyio's asyncio alone, unless somebody asked for more.

    The fixture `anyio_backend` that anyio brings has every backend that happens to be installed.
    """
    if NETWORKS.keys().isdisjoint(metafunc.fixturenames):
        return
    backends = metafunc._arg2fixturedefs.get("anyio_backend", ())  # noqa: SLF001  # there is no other way to see them
    chosen = any("anyio_backend" in str(mark.args[:1]) for mark in metafunc.definition.iter_markers("parametrize"))
    if backends and backends[-1].func.__module__ == "anyio.pytest_plugin" and not chosen:
        metafunc.definition.add_marker(pytest.mark.parametrize("anyio_backend", ("asyncio",), indirect=True))


def _is_run_by_asyncio(test: pytest.Item) -> bool:
    plugin: Any = test.config.pluginmanager.get_plugin("asyncio")
    return plugin is not None and bool(plugin.is_async_test(test))


def _loop_scope(test: pytest.Item) -> str:
    marker = test.get_closest_marker("asyncio")
    words = marker.kwargs if marker is not None else {}
    return str(words.get("loop_scope") or words.get("scope") or test.config.getini("asyncio_default_test_loop_scope"))


def _refuse(test: pytest.Item, sentence: str) -> NoReturn:
    """Fail a test for a mistake. The sentence says it all, and says it once, however many tests share the mistake."""
    first = test.config.stash[REFUSED].setdefault(sentence, test.nodeid)
    said = sentence if first == test.nodeid else f"refused for the same reason as {first}"
    raise pytest.fail.Exception(said, pytrace=False) from None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test that can't have its network, before anything is set up for it."""
    item.config.stash[TEST] = item
    for fixture in _networks(item):
        _check(item, fixture)


def _networks(test: pytest.Item) -> set[str]:
    """Name the fixtures by which a test asks for a network."""
    return NETWORKS.keys() & set(getattr(test, "fixturenames", ()))


def _check(test: pytest.Item, fixture: str) -> None:
    from lucy_core.errors import EventLoopError, UsageError
    from lucy_core.executive.plugin.marker import check_marker

    marker = test.get_closest_marker("lucy")
    try:
        check_marker(marker)
    except UsageError as error:
        _refuse(test, f"UsageError: {error}")
    assert marker is not None  # noqa: S101  # it was checked
    scope = NETWORKS[fixture]
    owner = _owner(test, scope)
    if scope != "function" and owner.stash.setdefault(ARGUMENTS, marker.kwargs) != marker.kwargs:
        _refuse(
            test,
            f"the tests that share {fixture} share the marker lucy too, and this one's is another: say it once, as "
            "`pytestmark`, or use lucy_network",
        )
    if not _is_async(getattr(test, "obj", None)):
        _refuse(
            test,
            f"{test.name} is a plain function, and the network of {fixture} needs the event loop of a coroutine: make "
            "it `async def`",
        )
    by_anyio = "anyio_backend" in getattr(test, "fixturenames", ())
    if _is_run_by_asyncio(test):
        if by_anyio:
            _refuse(
                test,
                "pytest-asyncio runs this test, and anyio would run its fixtures on another event loop: leave both to"
                " one of them; take away the mark anyio and anyio_mode=auto, or the mark asyncio and asyncio_mode=auto",
            )
        if LOOP_SCOPES.index(_loop_scope(test)) > LOOP_SCOPES.index(scope):
            _refuse(
                test,
                f"{fixture} outlives the event loop of this test: have its tests share one, "
                f'@pytest.mark.asyncio(loop_scope="{scope}")',
            )
    elif not by_anyio:
        _refuse(test, f"{EventLoopError()}; in pytest, let anyio or pytest-asyncio run the test")


def _check_backend(request: pytest.FixtureRequest, test: pytest.Item, fixture: str) -> None:
    from lucy_core.errors import EventLoopError

    backend: Any = None
    try:
        backend = request.getfixturevalue("anyio_backend")
    except pytest.fail.Exception as error:
        if "ScopeMismatch" not in str(error):
            raise
    if backend is None:
        scope = NETWORKS[fixture]
        _refuse(
            test,
            f"{fixture} outlives the event loop of this test: define a fixture anyio_backend that lasts as long, "
            f'@pytest.fixture(scope="{scope}")',
        )
    if (backend if isinstance(backend, str) else backend[0]) != "asyncio":
        _refuse(test, f"{EventLoopError()}; in pytest, have anyio_backend give 'asyncio' alone")


@pytest.fixture(scope="session")
def lucy_engine(request: pytest.FixtureRequest) -> Any:
    """What deploys the network, by name or itself; None leaves it to the marker. Made to be overridden.

    As an argument of `pytest.mark.parametrize` it has a test run on several engines. `--lucy-engine` wins over it.
    """
    return getattr(request, "param", None)


@pytest.fixture
def lucy_network(request: pytest.FixtureRequest, lucy_engine: Any, tmp_path: Path) -> "Iterator[Network]":
    """The test's own network, as its marker `lucy` describes it, with all nodes started."""
    yield from _network(request, "lucy_network", lucy_engine, tmp_path)


@pytest.fixture(scope="module")
def lucy_module_network(
    request: pytest.FixtureRequest, lucy_engine: Any, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Network]":
    """One network for all tests of the module that ask for it, and one run; see `lucy_network`.

    What is held against the run fails the test in which it happened. Needs an `anyio_backend` that lasts as long.
    """
    yield from _network(request, "lucy_module_network", lucy_engine, tmp_path_factory.mktemp("lucy-module"))


@pytest.fixture(scope="session")
def lucy_session_network(
    request: pytest.FixtureRequest, lucy_engine: Any, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Network]":
    """One network for all tests of the session that ask for it; see `lucy_module_network`."""
    yield from _network(request, "lucy_session_network", lucy_engine, tmp_path_factory.mktemp("lucy-session"))


def _network(request: pytest.FixtureRequest, fixture: str, engine: Any, temporary: Path) -> "Iterator[Network]":
    from lucy_core.errors import BrokenPluginError, TopologyError, UnsupportedError, UsageError
    from lucy_core.executive.plugin.holding import Holding
    from lucy_core.executive.plugin.marked_run import MarkedRun, directory_for
    from lucy_core.executive.plugin.marker import wanted
    from lucy_core.run.run import When

    config = request.config
    test = config.stash[TEST]
    _check(test, fixture)  # it may have been asked for in the middle of another fixture
    scope = NETWORKS[fixture]
    if _is_run_by_asyncio(test):
        name_of_loop = f"_lucy_{_loop_scope(test)}_loop_for_{scope}"
    else:
        _check_backend(request, test, fixture)
        name_of_loop = f"_lucy_anyio_loop_for_{scope}"
    name = request.node.nodeid or "session"
    try:
        run = MarkedRun(
            name,
            wanted(test.get_closest_marker("lucy"), command_line=config.getoption("--lucy-engine"), parameter=engine),
            again=("pytest", *filter(None, (request.node.nodeid,))),
            directory=directory_for(name, config.getoption("--lucy-run-dir"), temporary),
            keep=When(config.getoption("--lucy-keep")),
        )
    except (BrokenPluginError, UsageError, TopologyError, UnsupportedError) as error:
        _refuse(test, f"{type(error).__name__}: {error}")
    loop: asyncio.AbstractEventLoop = request.getfixturevalue(name_of_loop)
    if scope != "function":
        # pytest keeps order among fixtures that name each other. This one asked for another by name, and would give the
        # network of another `anyio_backend` on when that is gone.
        end = functools.partial(request._fixturedef.finish, request=request)  # type: ignore[attr-defined]  # noqa: SLF001
        request._get_active_fixturedef(name_of_loop).addfinalizer(end)  # noqa: SLF001
    request.node.stash[RUN] = run
    holding = Holding(run, loop, config.stash[ALIVE])
    request.node.addfinalizer(holding.take_down)  # pytest finishes no fixture whose setup Ctrl-C has broken off
    yield holding.deploy()
    holding.take_down()


def _anyio_loop(scope: Any) -> Callable[..., object]:
    @pytest.fixture(scope=scope, name=f"_lucy_anyio_loop_for_{scope}")
    async def loop(anyio_backend: Any) -> "asyncio.AbstractEventLoop":  # noqa: ARG001  # asking for it has anyio run this
        import asyncio

        return asyncio.get_running_loop()

    return loop


_function_loop, _module_loop, _session_loop = map(_anyio_loop, NETWORKS.values())


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Take note, where the tests are broken off, that what is up is taken down before its time."""
    try:
        return (yield)
    except pytest.Session.Failed:  # every test that ran was judged
        raise
    except BaseException:  # Ctrl-C, `pytest.exit`, or a mistake of pytest or of a plugin's
        alive = session.config.stash[ALIVE]
        while alive:
            alive.pop().interrupted()
        if (test := session.config.stash.get(TEST, None)) is not None and _networks(test):
            _excuse_temporary_path(test)
        raise


def _excuse_temporary_path(test: pytest.Item) -> None:
    """Give `tmp_path` the reports that it asks for at its end, and that pytest makes of no setup that is broken off."""
    with suppress(ImportError):
        from _pytest.tmpdir import tmppath_result_key

        test.stash.setdefault(tmppath_result_key, {})


def _owner(test: pytest.Item, scope: str) -> pytest.Item | pytest.Module | pytest.Session:
    if scope == "session":
        return test.session
    module = test.getparent(pytest.Module) if scope == "module" else None
    return module or test


def _runs(test: pytest.Item) -> "Iterator[MarkedRun]":
    for fixture, scope in NETWORKS.items():
        owner = _owner(test, scope)
        if RUN in owner.stash and (owner is test or fixture in getattr(test, "fixturenames", ())):
            yield owner.stash[RUN]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Judge the run when the test is over, as part of the test."""
    runs = list(_runs(item))
    if not runs:
        return (yield)
    from lucy_core.executive.plugin.keyboard import interruptible
    from lucy_core.executive.plugin.marked_run import judge

    try:
        with interruptible(item, runs):
            result = yield
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except pytest.skip.Exception:
        judge(runs)
        raise
    except BaseException as error:
        for run in runs:
            run.failed(error)  # first: settling may raise what a callback did
            run.settle()
            run.verdict()
        raise
    judge(runs)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the run directory, and add what Lucy knows to the report of a test that failed."""
    runs = list(_runs(item))
    if call.when == "setup":
        item.user_properties.extend((RUN_DIRECTORY, str(run.directory)) for run in runs)
    without_frames = None
    if runs:
        from lucy_core.executive.plugin.frames import hide_frames, in_words

        without_frames = in_words if hide_frames(call, item.config) else None
    report = yield
    if report.failed and call.excinfo is not None:
        if without_frames is not None:
            report.longrepr = without_frames(call.excinfo)
        for run in runs:
            if report.when == "setup":
                run.failed(call.excinfo.value)
            if not item.stash.get(EXPLAINED, False):
                report.sections.append(("Lucy", run.explain()))
        item.stash[EXPLAINED] = bool(runs)
        if runs:
            # For `session`. It goes with the report, on which pytest-xdist's workers send all that is plain.
            vars(report)["lucy_exit_codes"] = [run.exit_code for run in runs]
    if call.when == "teardown":
        removed = [(RUN_DIRECTORY, str(run.directory)) for run in runs if not run.directory.exists()]
        report.user_properties = [each for each in report.user_properties if each not in removed]
    return report
