"""What every test stands on: both event loops, BlockBuster, a leak check, and a Docker Engine where there is one.

Tests need not name any of it. A test that must block the loop or leave something behind says so with a marker
(`blocking`, `leaks`); one that needs a Docker Engine asks for `docker_engine`, or for `simnode_image`.
"""

import http.client
import importlib.util
import os
import socket
import stat
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import uvloop
from blockbuster import BlockBuster
from pytest_sessions import Session, prepared_session

from lucy_core.testing import Held, left_behind

SYSTEMS = Path(__file__).parent / "systems"
DOCKER_SOCKET = Path("/var/run/docker.sock")
SIMNODE_IMAGE = "lucy-simnode:latest"

hypothesis.settings.register_profile("dev", deadline=None)
# The gate must judge the change, not the draw: the same examples every time, and few enough for every push.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=100)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(
    scope="session",
    params=(
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="asyncio+uvloop"),
    ),
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return request.param


# --- blocking calls -------------------------------------------------------------------------------------------------
#
# Looked for where Lucy's own code stands on the stack; a test may well read a file. Local files are allowed: the test's
# process follows the recording with pread, and a hop to a thread costs forty times what such a read does. What may
# never happen on the loop is waiting for somebody: sleeping, locks, sockets, pipes and FIFOs in blocking mode.


def names_regular_file(handle: Any, *_: object) -> bool:
    """Tell whether a descriptor, or an object that has one, can't make its reader wait."""
    try:
        descriptor = handle if isinstance(handle, int) else handle.fileno()
        return stat.S_ISREG(os.fstat(descriptor).st_mode) or not os.get_blocking(descriptor)
    except (AttributeError, OSError, ValueError):
        return True  # in memory or closed: nothing there to wait for


@pytest.fixture(scope="session")
def block_buster() -> Iterator[BlockBuster]:
    plugin = "lucy_core.executive.plugin.plugin"
    # Its hooks stand on the stack of every test, and none of them is Lucy at work.
    excluded = [plugin] if importlib.util.find_spec("lucy_core.executive") and importlib.util.find_spec(plugin) else []
    buster = BlockBuster(["lucy_core", "lucy_engines"], excluded_modules=excluded)
    for name in [name for name in buster.functions if name.startswith(("os.", "io."))]:
        if name in {"os.read", "os.write"} or name.startswith("io."):
            buster.functions[name].can_block_predicate = names_regular_file
        elif name != "os.sendfile":
            del buster.functions[name]
    # Popen waits for the new program's exec, a millisecond or two; twice a run.
    buster.functions["os.read"].can_block_in("subprocess.py", {"_execute_child"})
    buster.activate()
    yield buster
    buster.deactivate()


@pytest.fixture(autouse=True)
def _loop_never_blocks(request: pytest.FixtureRequest, block_buster: BlockBuster) -> Iterator[None]:
    if request.node.get_closest_marker("blocking") is None:
        yield
        return
    block_buster.deactivate()
    yield
    block_buster.activate()


# --- leaks ----------------------------------------------------------------------------------------------------------

OUTCOME = pytest.StashKey[bool]()
REQUIREMENTS = {
    "docker": "LUCY_REQUIRE_DOCKER",
    "registry": "LUCY_REQUIRE_REGISTRY",
    "systems": "LUCY_REQUIRE_SYSTEMS",
}
"""Who needs what isn't everywhere, by marker, and what is set to 1 where it has to be there, as in the gate."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[OUTCOME] = report.passed
    if report.skipped and not hasattr(report, "wasxfail"):
        for marker, variable in REQUIREMENTS.items():
            if marker in item.keywords and os.environ.get(variable) == "1":
                report.outcome = "failed"
                report.longrepr = f"{variable}=1, but the test was skipped: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def _once_a_process() -> None:
    """Have libuv open its pipe for signals now, which it does once a process and never closes."""
    uvloop.new_event_loop().close()


@pytest.fixture(autouse=True)
def _nothing_leaks(request: pytest.FixtureRequest, _once_a_process: None) -> Iterator[None]:
    before = Held.now()
    yield
    # A failed test has told its story; what it left behind follows from that.
    if request.node.get_closest_marker("leaks") is not None or not request.node.stash.get(OUTCOME, False):
        return
    if leaked := left_behind(before, grace=10):  # waited for only where something is there: the machine may be busy
        pytest.fail("the test left behind:\n" + "\n".join(f"  {line}" for line in leaked), pytrace=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB, to be filled."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


# --- pytest in pytest -----------------------------------------------------------------------------------------------


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Runs pytest on a test file that is given as text. For modules that have the plugin `pytester`."""
    return prepared_session(pytester, monkeypatch)


# --- docker ---------------------------------------------------------------------------------------------------------


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "docker_engine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.docker)
        if item.path.is_relative_to(SYSTEMS):
            item.add_marker(pytest.mark.systems)


def ask_docker(path: str) -> int:
    """Send one GET to the engine and return the status of its answer."""
    connection = http.client.HTTPConnection("docker", timeout=5)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(5)
        connection.sock.connect(str(DOCKER_SOCKET))
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture(scope="session")
def docker_engine() -> str:
    """The URL of a Docker Engine that answers."""
    try:
        status = ask_docker("/_ping")
    except OSError as error:
        pytest.skip(f"no Docker Engine behind {DOCKER_SOCKET} ({error}); .ci/docker-engine start")
    if status != http.HTTPStatus.OK:
        pytest.skip(f"the Docker Engine behind {DOCKER_SOCKET} is unwell: it answers {status}")
    return f"unix://{DOCKER_SOCKET}"


@pytest.fixture(scope="session")
def simnode_image(docker_engine: str) -> str:
    """The tag of the simulated node's image."""
    if ask_docker(f"/images/{SIMNODE_IMAGE}/json") != http.HTTPStatus.OK:
        pytest.skip(f"no image {SIMNODE_IMAGE}; .ci/simnode-image")
    return SIMNODE_IMAGE
