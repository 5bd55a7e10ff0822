"""The stdout and the stderr of daemons in containers, told apart, by each way that lines take."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.testing.engine_conformance.sources import lines

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("docker_engine", "simnode_image")]
NO_PYTHON = {"PATH": "/usr/bin:/bin"}
"""The image has its Python elsewhere: with this it is like an image without any."""
KINDS = {
    "fifo": {},
    "filtered": {"capture_filter": ".event_id != 1"},
    "shared": {"shared_pipe": "1"},
    "tcp": {"capture": "tcp"},
    "engine": {"capture": "engine"},
    "engine, filtered": {"capture": "engine", "capture_filter": ".event_id != 1"},
}
COUNT = "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo $i; echo -$i >&2; done"
OUT = [b"%d" % number for number in range(1, 5001)]
ERRORS = [b"-" + line for line in OUT]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=KINDS)
def way(request: pytest.FixtureRequest) -> dict[str, str]:
    return KINDS[request.param]


def deployed(
    directory: Path, script: str, options: dict[str, str], *, start: bool = True, **more: Any
) -> AbstractAsyncContextManager[lucy.Network]:
    node = lucy.NodeSpec(name="a", role="any", command=("sh", "-c", script), streams="apart", **more)
    spec = lucy.NetworkSpec(name="streams", nodes=(node,))
    return lucy.deploy(spec, engine="docker", run_directory=directory / "run", options=options, start=start)


def log(directory: Path, source: str) -> list[bytes]:
    return (directory / f"run/logs/a/{source}.ndjson").read_bytes().splitlines()


async def until(path: Path) -> None:
    with anyio.fail_after(60):
        while not path.exists():
            await anyio.sleep(0.01)


async def test_of_a_flood_into_both_streams_no_line_is_lost_doubled_or_misplaced(
    way: dict[str, str], tmp_path: Path
) -> None:
    async with deployed(tmp_path, COUNT, way, start=False, wait_for_exit=True) as network:
        for _ in range(2):
            at = network.mark()
            await network["a"].start()
            await network.events(lucy.NodeExited, since=at).first(within=100)
        assert network.ledger.complete, network.ledger.summary()
        assert network.ledger.of("a").lines == 4 * 5000 + 4

    out = log(tmp_path, "stdout")
    # What the supervisor says of the end stands behind what the daemon said.
    said = [line for line in out if line.startswith(b"{")]
    assert [out[5000:5002], out[10_002:]] == [said[:2], said[2:]]
    assert [line for line in out if line not in said] == OUT + OUT
    assert log(tmp_path, "stderr") == ERRORS + ERRORS
    assert not (tmp_path / "run/logs/a.ndjson").exists()
    async with Pipeline.replay(tmp_path / "run") as replayed:
        assert replayed.ledger.complete


async def test_half_a_line_of_each_stream_of_a_daemon_that_is_killed_is_there_and_counted(
    way: dict[str, str], tmp_path: Path
) -> None:
    script = "printf 'half'; printf 'error\nhalf error' >&2; touch state/done; sleep 1000"
    async with deployed(tmp_path, script, way) as network:
        await until(tmp_path / "run/nodes/a/state/done")
        await network["a"].kill()
        (tmp_path / "run/nodes/a/state/done").unlink()
        await network["a"].start()
        await until(tmp_path / "run/nodes/a/state/done")
        await network["a"].kill()
        await network.pipeline.drain("a")
        assert network.ledger.of("a/stdout").torn == network.ledger.of("a/stderr").torn == 2
        assert network.ledger.complete, network.ledger.summary()
        said = await lines(network, "a")
        assert said["stderr"] == [b"error", b"half error"] * 2
        assert [line for line in said["stdout"] if not line.startswith(b"{")] == [b"half"] * 2


async def test_what_a_container_that_is_killed_takes_along_of_either_stream_is_told(
    way: dict[str, str], tmp_path: Path
) -> None:
    async with deployed(tmp_path, f"{COUNT}; touch state/done; sleep 1000", way) as network:
        await until(tmp_path / "run/nodes/a/state/done")
        with network["a"].expecting_exit():
            await anyio.run_process(["docker", "kill", network["a"]._engine_node.container])
            await network.events(lucy.NodeExited, since=0).first(within=60)
        assert network.ledger.complete is (not way)
        if way:  # a supervisor carries them, and dies with its container
            assert "its container died, and with it what its supervisor had not yet" in network.ledger.gaps[0].reason

    out, errors = log(tmp_path, "stdout"), log(tmp_path, "stderr")
    assert (out, errors) == (OUT[: len(out)], ERRORS[: len(errors)])
    assert way or (len(out), len(errors)) == (5000, 5000)


async def test_an_image_without_python_has_them_apart_by_its_shell(tmp_path: Path) -> None:
    script = "echo out; echo error >&2; trap 'echo bye; echo sorry >&2; exit 0' TERM; while :; do sleep 0.1; done"
    async with deployed(tmp_path, script, {}, environment=NO_PYTHON, stop_signal_to="daemon", ready="error") as network:
        a = network["a"]
        assert b"/lucy/puppeteer.sh" in (await a.exec(["cat", "/proc/1/cmdline"])).stdout
        await a.stop()
        await a.start(fresh_state=True)
        await a.kill()
        assert network.ledger.complete

    assert [line for line in log(tmp_path, "stdout") if not line.startswith(b"{")] == [b"out", b"bye", b"out"]
    assert log(tmp_path, "stderr") == [b"error", b"sorry", b"error"]
