"""The ways of lines out of real containers; the engines' suite holds each to completeness."""

import contextlib
import json
import os
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import pytest

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.engine import NetworkSpec, NodeSpec, State
from lucy_core.errors import CarrierDiedError, DeployError, InconclusiveError, NodeExitedError
from lucy_core.judging.conditions.condition import Condition, Progress
from lucy_core.judging.result import ExitCode
from lucy_core.mina.events import NodeOffline
from lucy_core.network.network import Network
from lucy_core.records.journal import EngineNotice
from lucy_core.testing.scripted_node import Numbered, Told, scripted_node
from lucy_engines.docker.run.outflow import EMPTY_SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("docker_engine", "simnode_image")]
NO_PYTHON = {"PATH": "/usr/bin:/bin"}
"""The image has its Python elsewhere: with this it is like an image without any."""

SHOW_PROCESSES = r"cat /proc/[0-9]*/cmdline | tr '\0' '|'"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def deployed(
    directory: Path, *nodes: NodeSpec, start: bool = True, **options: str
) -> AbstractAsyncContextManager[Network]:
    spec = NetworkSpec(name="capture", nodes=nodes)
    return lucy.deploy(spec, engine="docker", run_directory=directory / "run", options=options, start=start)


def pump_process() -> int:
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread, or a child of it, that has ended meanwhile
            for pid in (task / "children").read_text().split():
                if b"docker.run.pump" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.add(int(pid))
    (pump,) = found
    return pump


def never(event_type: type) -> Condition:
    return Condition(
        name="never",
        description="what never comes",
        check=lambda _before, _now: Progress(have=0, need=1),
        event_types=(event_type,),
        soft=lucy.seconds(0.4),
        hard=lucy.seconds(0.4),
    )


KINDS = {"fifo": {}, "shared": {"shared_pipe": "1"}, "tcp": {"capture": "tcp"}, "engine": {"capture": "engine"}}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_ledger_and_the_journal_say_which_way_lines_took(tmp_path: Path, kind: str) -> None:
    node = scripted_node("a", "say:3", "exit:0", wait_for_exit=True)
    async with deployed(tmp_path, node, start=False, **KINDS[kind]) as network:
        offline = network["a"].events(NodeOffline, since=0)
        await network.start_all()
        await offline.first(within=60)
        notice = await network.events(EngineNotice, since=0).first(within=60)

        assert network.ledger.of("a").capture == kind
        assert f"by {kind}" in network.ledger.summary()["a"]
        assert notice.data.detail.startswith(f"its lines come by way of {kind}: ")
        assert network.ledger.complete
    async with Pipeline.replay(tmp_path / "run") as replayed:
        assert replayed.ledger.complete
        assert replayed.ledger.of("a").capture == kind


@pytest.mark.parametrize("kind", ("engine", "tcp"))
async def test_of_a_flood_that_no_fifo_brings_no_line_is_lost_or_doubled(tmp_path: Path, kind: str) -> None:
    script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); echo $i; done"
    node = NodeSpec(name="a", role="any", command=("sh", "-c", script), wait_for_exit=True)
    async with deployed(tmp_path, node, start=False, capture=kind) as network:
        offline = network["a"].events(NodeOffline, since=0)
        await network.start_all()
        await offline.first(within=100)

        log = (tmp_path / "run/logs/a.ndjson").read_bytes().splitlines()

        assert log[:-2] == [b"%d" % number for number in range(1, 200_001)]
        assert network.ledger.complete


@pytest.mark.parametrize("kind", ("fifo", "engine"))
async def test_a_container_that_is_killed_takes_no_line_along_that_was_written(tmp_path: Path, kind: str) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done; touch /lucy/node/state/done; sleep 1000"
    node = NodeSpec(name="a", role="any", command=("sh", "-c", script))
    done = tmp_path / "run/nodes/a/state/done"
    with pytest.raises(NodeExitedError, match="a was killed by SIGKILL"):
        async with deployed(tmp_path, node, capture=kind) as network:
            with anyio.fail_after(60):
                while not done.exists():
                    await anyio.sleep(0.01)
            container = network["a"]._engine_node.container
            await anyio.run_process(["docker", "kill", container])
            await anyio.sleep(60)

    log = (tmp_path / "run/logs/a.ndjson").read_bytes().splitlines()
    assert log == [b"%d" % number for number in range(1, 20_001)]


async def last_block_and_end(directory: Path) -> tuple[int, int]:
    """Return where the last bytes of node a's daemon stand in a run, and where Lucy wrote that it had ended."""
    async with Pipeline.replay(directory / "run") as replayed:
        half = await replayed.malformed(since=0).filter(lambda line: line.raw == b"half").first()
        end = await replayed.events(lucy.NodeExited, since=0).first()
        return half.position, end.position


async def test_half_a_line_over_tcp_stands_before_the_end_of_its_daemon_though_its_connection_never_ends(
    tmp_path: Path,
) -> None:
    script = r"printf 'one\nhalf'; until [ -e /lucy/node/state/go ]; do sleep 0.05; done; exit 3"
    node = NodeSpec(name="a", role="any", command=("sh", "-c", script))
    log = tmp_path / "run/logs/a.ndjson"
    async with deployed(tmp_path, node, capture="tcp") as network:
        with anyio.fail_after(60):
            while log.read_bytes() != b"one\n":
                await anyio.sleep(0.01)
        async with network.faults.inject(lucy.Disconnect(nodes=("a",)), lasting=300):
            with network["a"].expecting_exit():
                (tmp_path / "run/nodes/a/state/go").touch()
                await network.events(lucy.NodeExited, since=0).first(within=60)
            # Behind a line that is torn nothing stands in the log: its row says where it ends.
            assert log.read_bytes().startswith(b'one\nhalf{"timestamp"')
            assert network.ledger.complete

    half, end = await last_block_and_end(tmp_path)
    assert half < end


@pytest.mark.parametrize("off", (False, True))
async def test_half_a_line_over_tcp_stands_before_the_end_of_its_container(off: bool, tmp_path: Path) -> None:
    node = NodeSpec(name="a", role="any", command=("sh", "-c", r"printf 'one\nhalf'; sleep 1000"))
    log = tmp_path / "run/logs/a.ndjson"
    async with deployed(tmp_path, node, capture="tcp") as network:
        with anyio.fail_after(60):
            while log.read_bytes() != b"one\n":
                await anyio.sleep(0.01)
        disconnect = network.faults.inject(lucy.Disconnect(nodes=("a",)), lasting=300)
        async with disconnect if off else contextlib.nullcontext():
            with network["a"].expecting_exit():
                killed = anyio.current_time()
                await anyio.run_process(["docker", "kill", network["a"]._engine_node.container])
                await network.events(lucy.NodeExited, since=0).first(within=60)
                # What of it is on its way may yet come, where its connection hasn't ended.
                assert not off or anyio.current_time() - killed >= EMPTY_SECONDS
            assert log.read_bytes() == b"one\nhalf"

    half, end = await last_block_and_end(tmp_path)
    assert half < end


async def test_a_node_has_ended_once_its_last_line_is_there_however_late_that_comes(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo $i; done"
    node = NodeSpec(name="a", role="any", command=("sh", "-c", script), wait_for_exit=True)
    async with deployed(tmp_path, node, start=False, capture="engine") as network:
        a = network["a"]
        offline = a.events(NodeOffline, since=0)
        os.kill(pump_process(), signal.SIGSTOP)
        await network.start_all()
        await a.exec(["sh", "-c", "while [ -e /root/daemon-active ]; do sleep 0.1; done"])
        assert a.state is State.RUNNING
        os.kill(pump_process(), signal.SIGCONT)
        await offline.first(within=60)

        log = (tmp_path / "run/logs/a.ndjson").read_bytes().splitlines()
        assert log[:-2] == [b"%d" % number for number in range(1, 201)]


async def test_a_container_has_ended_once_its_last_line_is_there_however_late_that_comes(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo $i; done; touch /lucy/node/state/done; sleep 1000"
    node = NodeSpec(name="a", role="any", command=("sh", "-c", script))
    with pytest.raises(NodeExitedError, match="a was killed by SIGKILL"):
        async with deployed(tmp_path, node, start=False, capture="engine") as network:
            os.kill(pump_process(), signal.SIGSTOP)
            await network.start_all()
            with anyio.fail_after(60):
                while not (tmp_path / "run/nodes/a/state/done").exists():
                    await anyio.sleep(0.01)
            died = network.events(EngineNotice, since=0).filter(lambda event: event.data.what == "died")
            await anyio.run_process(["docker", "kill", network["a"]._engine_node.container])
            await died.first(within=60)
            os.kill(pump_process(), signal.SIGCONT)
            await anyio.sleep(60)

    assert (tmp_path / "run/logs/a.ndjson").read_bytes().splitlines() == [b"%d" % number for number in range(1, 201)]


async def test_a_pump_that_dies_ends_the_run_at_once_and_is_told_as_that(tmp_path: Path) -> None:
    node = scripted_node("a", "say:3", "rest")
    told = r"the pump, which carries nodes' lines, was killed by SIGKILL \(process \d+\)"
    with pytest.raises(CarrierDiedError, match=told), anyio.fail_after(60):
        async with deployed(tmp_path, node, capture="engine") as network:
            os.kill(pump_process(), signal.SIGKILL)
            await network.wait_for(lucy.seen(NodeOffline), hard=600)

    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["outcome"], result["exit_code"]) == ("inconclusive", ExitCode.INCONCLUSIVE)
    async with Pipeline.replay(tmp_path / "run") as replayed:
        assert "the pump, which carries nodes' lines, was killed by SIGKILL" in replayed.ledger.gaps[0].reason


@pytest.mark.parametrize("kind", ("fifo", "engine"))
async def test_an_image_without_python_is_supervised_by_its_shell(tmp_path: Path, kind: str) -> None:
    deaf = "setsid sh -c 'trap \"\" TERM; sleep 1000'"
    script = f"echo start; ({deaf} &); trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done"
    node = NodeSpec(name="a", role="any", command=("sh", "-c", script), environment=NO_PYTHON)
    async with deployed(tmp_path, node, capture=kind) as network:
        a = network["a"]
        shown = await a.exec(["cat", "/proc/1/cmdline"])
        assert b"/lucy/puppeteer.sh" in shown.stdout
        await a.exec(["sh", "-c", f"until {SHOW_PROCESSES} | grep -q 'sleep|1000|'; do sleep 0.1; done"])

        await a.stop()
        left = await a.exec(["sh", "-c", SHOW_PROCESSES])
        again = network.mark()
        await a.start(fresh_state=True)
        await network.wait_for(lucy.logged("start"), since=again, hard=60)
        await a.kill()

        assert b"sleep|1000|" not in left.stdout
        log = (tmp_path / "run/logs/a.ndjson").read_text()
        assert [line for line in log.splitlines() if line in {"start", "bye"}] == ["start", "bye", "start"]
        assert network.ledger.complete


async def test_what_needs_python_is_refused_where_there_is_none(tmp_path: Path) -> None:
    node = NodeSpec(name="a", role="any", command=("true",), environment=NO_PYTHON)
    with pytest.raises(
        DeployError, match=r"this image has no Python 3\.7 or newer, which capture by tcp needs; use --capture engine"
    ):
        async with deployed(tmp_path, node, capture="tcp"):
            pass


async def test_a_filter_saves_lines_and_never_turns_into_a_verdict(tmp_path: Path) -> None:
    node = scripted_node("a", "say:1000", "complain:no log line", "rest")
    async with deployed(tmp_path, node, start=False, capture_filter='.event_id == "lucy.scripted.told"') as network:
        started = network["a"].events(Told, since=0)
        await network.start_all()
        await started.first(within=60)
        account = network.ledger.of("a")
        with anyio.fail_after(60):
            while account.filtered_lines < 1000:
                await anyio.sleep(0.05)

        with pytest.raises(
            InconclusiveError, match="the capture filter left out 1,000 events, and what was awaited may be"
        ):
            await network.wait_for(never(Numbered))

        assert account.filtered_events == 1000
        assert account.filtered_bytes > 100_000
        assert "1,000 lines" in network.ledger.summary()["a"]
        assert b"no log line" in (tmp_path / "run/logs/a.ndjson").read_bytes()
    async with Pipeline.replay(tmp_path / "run") as replayed:
        await replayed.audit()
        assert replayed.ledger.filtered_events == 1000
        assert replayed.ledger.summary()["a"].split(", lag")[0] == network.ledger.summary()["a"].split(", lag")[0]
