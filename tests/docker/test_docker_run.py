"""Networks in containers of a real Docker Engine: what only an Engine can do to them, and what becomes of it."""

import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from engines import Way, way_to

import lucy_core as lucy
from lucy_core.engine import Engine, NetworkSpec, NodeSpec
from lucy_core.engine.execution import ExecResult
from lucy_core.errors import CommandError, DeployError, EngineUnavailableError, NodeExitedError
from lucy_core.records.journal import EngineNotice, NodeMeasured
from lucy_engines.docker import DockerEngine
from lucy_engines.docker.api.client import EngineClient, connect
from lucy_engines.docker.api.commands import pid_inside
from lucy_engines.docker.run import network as docker_network
from lucy_engines.docker.run import node as docker_node
from lucy_engines.process import ProcessEngine

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("simnode_image")]

HOG = "import time; hog = [b'x' * (1 << 20) for _ in range(200)]; time.sleep(60)"
KEY = b'{"timestamp": "2026-11-21 12:00:00Z", "level": "Info", "message": "a key", "metadata": {}}\n'
SLEEPS = ("sh", "-c", "echo up; sleep 600")


def network(*names: str, command: tuple[str, ...] = SLEEPS, **more: Any) -> NetworkSpec:
    return NetworkSpec(
        name="t", nodes=tuple(NodeSpec(name=name, role="t", command=command, **more) for name in names or ("a",))
    )


@pytest.fixture
def run_id(tmp_path: Path) -> str:
    return f"t-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}"


def deployed(
    spec: NetworkSpec, tmp_path: Path, run_id: str, options: Mapping[str, str] | None = None, **more: Any
) -> Any:
    return lucy.deploy(spec, engine="docker", run_directory=tmp_path / "run", run_id=run_id, options=options, **more)


async def kill(client: EngineClient, container: str) -> None:
    await client.container(container).kill()


async def left_of(run_id: str) -> list[str]:
    return await DockerEngine().leftovers(run_id)


async def test_a_container_that_is_killed_ends_the_test_at_once(
    tmp_path: Path, run_id: str, docker_engine: str
) -> None:
    notices: list[EngineNotice] = []
    with pytest.raises(NodeExitedError, match=r"a was killed by SIGKILL"):
        async with deployed(network(), tmp_path, run_id) as net, connect(docker_engine) as client:
            net.events(EngineNotice).subscribe(lambda event: notices.append(event.data))
            await kill(client, f"{run_id}-a")
            await anyio.sleep_forever()

    assert notices == [EngineNotice("a", "died", "its container ended with status 137")]
    assert await left_of(run_id) == []


def reaper_of(run_id: str) -> set[int]:
    """Find a run's reaper: its last argument is the label of what it is to remove."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if f"lucy.run={run_id}".encode() in words and any(b"garbage.reaper" in word for word in words):
                found.add(int(entry.name))
    return found


async def test_a_run_whose_reaper_is_killed_goes_on_with_another(tmp_path: Path, run_id: str) -> None:
    async with deployed(network(), tmp_path, run_id) as net:
        (first,) = reaper_of(run_id)
        os.kill(first, signal.SIGKILL)
        with anyio.fail_after(60):
            while not (others := reaper_of(run_id) - {first}):
                await anyio.sleep(0.01)
        assert len(others) == 1
        assert (await net["a"].exec(["echo", "well"])).stdout == b"well\n"

    assert await left_of(run_id) == []
    with anyio.fail_after(60):
        while reaper_of(run_id):
            await anyio.sleep(0.01)


async def test_a_node_that_runs_out_of_memory_is_said_to(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(NodeExitedError, match=r"a was killed by SIGKILL \(out of memory\)"):
        async with deployed(network(command=("python3", "-c", HOG)), tmp_path, run_id, {"docker_memory": "64m"}):
            await anyio.sleep_forever()


async def test_a_nodes_health_is_an_event_of_the_run(tmp_path: Path, run_id: str) -> None:
    async with deployed(network(), tmp_path, run_id, {"docker_health": "test -f {directory}/well"}) as net:
        changes = net.events(EngineNotice, since=0).filter(lambda event: event.data.what == "health")
        assert (await changes.first(within=30)).data.detail == "unhealthy"
        mark = net.mark()
        await net["a"].write_file("well", b"")
        recovered = net.events(EngineNotice, since=mark).filter(lambda event: event.data.detail == "healthy")
        await recovered.first(within=30)


async def test_what_a_supervisor_complains_of_is_an_event_of_the_run(tmp_path: Path, run_id: str) -> None:
    async with deployed(network(), tmp_path, run_id) as net:
        complaints = net.events(EngineNotice, since=net.mark()).filter(lambda event: event.data.what == "complaint")
        complained = complaints.first(within=30)
        await net["a"].exec(["sh", "-c", "echo nonsense >/proc/1/fd/0"])

        assert "a command begins with its number, not with 'nonsense'" in (await complained).data.detail


async def test_what_root_made_in_a_container_is_its_users_afterwards(
    tmp_path: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("sh", "-c", f"touch {{state}}/made; echo '{KEY.decode().strip()}'; sleep 600")
    async with deployed(network(command=command), tmp_path, run_id) as net:
        await net["a"].records(since=0).first(within=30)
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        monkeypatch.setattr(os, "getgid", lambda: 54321)
    monkeypatch.undo()

    made = (tmp_path / "run/nodes/a/state/made").stat()
    assert (made.st_uid, made.st_gid) == (12345, 54321)


@pytest.mark.parametrize("engine", (ProcessEngine(), DockerEngine()), ids=lambda engine: engine.name)
async def test_what_nodes_use_is_streamed_as_records(tmp_path: Path, run_id: str, engine: Engine) -> None:
    async with lucy.deploy(
        network(), engine=engine, run_directory=tmp_path / "run", run_id=run_id, options={"statistics": "1"}
    ) as net:
        measured = await net.events(NodeMeasured, since=0).first(within=30)

    assert (measured.node, measured.data.node) == ("lucy", "a")
    assert measured.data.memory_bytes > 1000


@pytest.mark.parametrize("engine", (ProcessEngine(), DockerEngine()), ids=lambda engine: engine.name)
async def test_files_go_in_and_come_out_whether_a_node_runs_or_not(tmp_path: Path, run_id: str, engine: Engine) -> None:
    spec = network(files={"keys/own": b"\xff{directory}"})
    async with lucy.deploy(spec, engine=engine, run_directory=tmp_path / "run", run_id=run_id, start=False) as net:
        a = net["a"]
        for running in (False, True):
            await a.write_file("deep/er/file", b"\0new\n" * 50_000)
            assert await a.read_file("deep/er/file") == b"\0new\n" * 50_000
            assert await a.read_file("keys/own") == b"\xff{directory}"
            for path in ("nowhere", "deep"):
                with pytest.raises(CommandError, match=f"node 'a': can't read .*{path}"):
                    await a.read_file(path)
            if not running:
                await a.start()
        result = await a.exec(["sh", "-c", "wc -c < deep/er/file; ls -l deep/er/file | cut -c 1-10"])
        assert result.stdout.split() == [b"250000", b"-rw-------"]


async def test_a_taken_port_is_told_and_nothing_is_left(tmp_path: Path, run_id: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = {"docker_ports": str(taken.getsockname()[1])}
        with pytest.raises(DeployError, match="a port is taken"):
            async with deployed(network(ports=("rest",)), tmp_path, run_id, options):
                pass

    assert await left_of(run_id) == []


async def test_a_missing_image_is_told_and_nothing_is_left(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(DeployError, match=r"has no image nobody/has-this:1.*--mina-image"):
        async with deployed(network(), tmp_path, run_id, {"mina_image": "nobody/has-this:1"}):
            pass

    assert await left_of(run_id) == []


async def test_container_events_outlive_a_connection(tmp_path: Path, run_id: str, docker_engine: str) -> None:
    async with way_to(docker_engine, tmp_path / "docker.sock") as way:
        with pytest.raises(NodeExitedError, match=r"a was killed by SIGKILL"):
            async with (
                deployed(network(), tmp_path, run_id, {"docker_host": way.address}),
                connect(docker_engine) as client,
            ):
                await way.drop()
                await kill(client, f"{run_id}-a")
                await anyio.sleep_forever()

    assert await left_of(run_id) == []


async def ends_after(way: Way, docker_engine: str, tmp_path: Path, run_id: str, misfortune: Any) -> str:
    with pytest.raises(EngineUnavailableError) as caught:
        async with deployed(network("a", "b"), tmp_path, run_id, {"docker_host": way.address}):
            await misfortune()
    return str(caught.value)


def reapers_of(run_id: str) -> list[Path]:
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"lucy.run={run_id}".encode() in command.read_bytes().split(b"\0"):
                found.append(command)
    return found


async def nothing_left(run_id: str) -> None:
    """Wait until the reaper, which went on alone, has done its work and has seen so: then it ends."""
    with anyio.fail_after(60):
        while await left_of(run_id) or reapers_of(run_id):
            await anyio.sleep(0.05)


@pytest.mark.leaks("the reaper goes on alone until there is an Engine again")
async def test_an_engine_that_dies_in_the_middle_of_a_run_ends_it(
    tmp_path: Path, run_id: str, docker_engine: str
) -> None:
    async with way_to(docker_engine, tmp_path / "docker.sock") as way:

        async def die() -> None:
            await way.cut()
            await anyio.sleep_forever()

        said = await ends_after(way, docker_engine, tmp_path, run_id, die)

    assert "it ended in the middle of the run: nobody answers there; start it" in said
    (tmp_path / "docker.sock").unlink(missing_ok=True)
    async with way_to(docker_engine, tmp_path / "docker.sock"):
        await nothing_left(run_id)


@pytest.mark.leaks("the reaper goes on alone until there is an Engine again")
async def test_an_engine_that_hangs_holds_up_no_end(
    tmp_path: Path, run_id: str, docker_engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_network, "END_SECONDS", 0.3)
    monkeypatch.setattr(docker_node, "PING_SECONDS", 0.3)
    async with way_to(docker_engine, tmp_path / "docker.sock") as way:

        async def hang() -> None:
            way.hold()

        said = await ends_after(way, docker_engine, tmp_path, run_id, hang)
        assert "it hangs; look at its log" in said
        way.go_on()
        await nothing_left(run_id)


async def test_an_engine_elsewhere_is_given_all_it_needs(tmp_path: Path, run_id: str, docker_engine: str) -> None:
    """By TCP it may be on any machine: no file of this one is mounted, and no FIFO."""
    command = ("sh", "-c", "touch {state}/old || exit 1; cat keys/own; sleep 600")
    spec = network(command=command, files={"keys/own": KEY}, ports=("rest",))
    async with (
        way_to(docker_engine) as way,
        deployed(spec, tmp_path, run_id, {"docker_host": way.address}) as net,
    ):
        a = net["a"]
        assert a.directory is None
        await a.records(since=0).filter(lambda event: event.data.text == "a key").first(within=60)
        result = await a.exec(["sh", "-c", "cat; hostname"], input=b"given\n")
        await a.write_file("new", b"file")
        assert await a.read_file("new") == b"file"
        await a.stop()
        assert await a.exec(["ls", "state"]) == ExecResult(0, b"old\n", b"")
        mark = net.mark()
        await a.start(fresh_state=True)
        await a.records(since=mark).filter(lambda event: event.data.text == "a key").first(within=60)

    assert (result.code, result.stdout) == (0, b"given\na\n")
    assert await left_of(run_id) == []


def test_a_process_of_this_machine_is_not_taken_for_one_of_a_container_elsewhere() -> None:
    assert pid_inside(os.getpid(), "0" * 64) is None
    assert pid_inside(2**22 + 1, "0" * 64) is None
