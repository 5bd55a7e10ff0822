"""Lucy's pytest plugin: the marker `lucy` and the fixture `lucy_network`.

    @pytest.mark.lucy(topology=topology, engine="process")
    async def test_a_restarted_node_catches_up(lucy_network):
        await lucy_network.wait_for(nodes_initialized())

Loaded in every pytest session of an environment that has Lucy, so it imports nothing until a test asks for a network.
"""

from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    # The cost that the line above promises not to have; pytest resolves no annotations.
    from lucy_core.executive.marked_run import MarkedRun
    from lucy_core.network import Network

RUN: "pytest.StashKey[MarkedRun]" = pytest.StashKey()


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
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "lucy(topology, engine='process', options={}): the network that lucy_network deploys for the test;"
        " topology is an object, or a function that makes one",
    )


@pytest.fixture
async def lucy_network(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    anyio_backend: Any,  # noqa: ARG001  # asking for it has anyio run this
) -> "AsyncIterator[Network]":
    """The test's network, as its marker `lucy` describes it, with all nodes started."""
    from lucy_core.errors import TopologyError, UsageError
    from lucy_core.executive.marked_run import MarkedRun

    config = request.config
    try:
        run = MarkedRun.of(
            request.node.nodeid,
            request.node.get_closest_marker("lucy"),
            engine=config.getoption("--lucy-engine"),
            directory=config.getoption("--lucy-run-dir"),
            tmp_path=tmp_path,
            keep=str(config.getoption("--lucy-keep")),
        )
    except (UsageError, TopologyError) as error:
        # The sentence says it all; the traceback would lead through anyio and Lucy.
        pytest.fail(f"{type(error).__name__}: {error}", pytrace=False)
    request.node.stash[RUN] = run
    async with run.deployed() as network:
        yield network
    if (complaint := run.complaint()) is not None:
        pytest.fail(complaint, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what Lucy knows to the report of a test that failed."""
    report = yield
    run = item.stash.get(RUN, None)
    if run is not None and report.failed and call.excinfo is not None:
        if report.when != "teardown":
            run.failed(call.excinfo.value)
        report.sections.append(("Lucy", run.explain()))
    return report
