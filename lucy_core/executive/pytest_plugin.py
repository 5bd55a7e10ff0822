"""The pytest plugin: a fixture that is a running network, one run directory a test, failures that explain themselves.

::

    @pytest.mark.lucy(topology=my_topology)
    async def test_it(lucy_network): ...

Needs anyio's pytest plugin, which comes with anyio. Nothing of Lucy is imported until a test asks for a network: every
pytest run on the machine loads this module.
"""

from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lucy_core.network import Network

_NETWORK = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add Lucy's options."""
    group = parser.getgroup("lucy", "networks of real nodes")
    group.addoption("--lucy-engine", default=None, help="run every lucy test on this engine")
    group.addoption("--lucy-run-dir", default=None, type=Path, help="keep run directories below this one")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "lucy(topology, engine='process', options=None): the network that `lucy_network` deploys for this test",
    )


def _settings(request: pytest.FixtureRequest) -> tuple[Any, str, dict[str, str]]:
    marker = request.node.get_closest_marker("lucy")
    if marker is None:
        message = "lucy_network needs @pytest.mark.lucy(topology=…) on the test"
        raise pytest.UsageError(message)
    known = {"topology", "engine", "options"}
    unknown = set(marker.kwargs) - known
    if unknown or marker.args or "topology" not in marker.kwargs:
        wrong = f"{', '.join(sorted(unknown))} is unknown" if unknown else "give topology= by name"
        message = f"@pytest.mark.lucy takes {', '.join(sorted(known))}: {wrong}"
        raise pytest.UsageError(message)
    topology = marker.kwargs["topology"]
    if callable(topology) and not hasattr(topology, "network_spec"):
        topology = topology()
    engine = request.config.getoption("--lucy-engine") or marker.kwargs.get("engine", "process")
    return topology, engine, dict(marker.kwargs.get("options") or {})


@pytest.fixture
async def lucy_network(request: pytest.FixtureRequest, tmp_path: Path) -> "AsyncIterator[Network]":
    """A network as the test's `lucy` marker describes it, deployed and started; gone when the test ends.

    The run directory is in `tmp_path`, or below `--lucy-run-dir`. Soft errors fail the test at its end.
    """
    from lucy_core.deployment import deploy  # see the module's docstring

    topology, engine, options = _settings(request)
    below = request.config.getoption("--lucy-run-dir")
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in request.node.name)
    directory = tmp_path / "lucy-run" if below is None else _unused(Path(below) / name)
    async with deploy(topology, engine=engine, run_directory=directory, options=options, interrupt=False) as network:
        request.node.stash[_NETWORK] = network
        yield network
        if network.fatal is not None:
            pytest.fail(str(network.fatal), pytrace=False)
        soft = [error for error in network.judgement.errors if error.severity == "soft"]
        if soft:
            text = "\n".join(f"[{error.at:.2f} s] {error.section}: {error.message}" for error in soft)
            pytest.fail(f"{len(soft)} soft errors:\n{text}", pytrace=False)


def _unused(path: Path) -> Path:
    number, chosen = 1, path
    while chosen.exists():
        number += 1
        chosen = path.with_name(f"{path.name}-{number}")
    return chosen


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the ledger and the run directory to the report of a test that failed."""
    report = yield
    network = item.stash.get(_NETWORK, None)
    if network is not None and call.excinfo is not None and report.failed:
        lines = [f"run directory: {network.directory}"]
        lines += [f"{node}: {account}" for node, account in network.ledger.summary().items()]
        lines += [f"[{error.at:.2f} s] {error.severity}: {error.message}" for error in network.judgement.errors]
        report.sections.append((f"lucy {network.run_id}", "\n".join(lines)))
    return report
