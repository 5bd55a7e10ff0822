"""Networks of scripted nodes through the process engine: life, death, waits, cleanup."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec
import pytest

import lucy_core as lucy
from lucy_core.engine import State
from lucy_core.errors import NodeExitedError
from lucy_core.waiting import Condition, Progress
from lucy_engines.process import ProcessEngine

pytestmark = pytest.mark.anyio

# Logs a numbered line each time it is told to, and ends when it is told to.
TICKER = """
import sys, time
n = 0
while True:
    n += 1
    head = '{"timestamp":"2026-01-10 12:00:00.000001Z","level":"Info","message":"tick"'
    print(head + ',"metadata":{"n":%d}}' % n, flush=True)
    time.sleep(0.01)
"""


@lucy.event(message="tick")
class Tick(msgspec.Struct, frozen=True):
    n: int


def node(name: str, program: str = TICKER, **more: object) -> lucy.NodeSpec:
    return lucy.NodeSpec(name=name, role="scripted", command=(sys.executable, "-c", program), **more)


def spec(*nodes: lucy.NodeSpec) -> lucy.NetworkSpec:
    return lucy.NetworkSpec(name="scripted", nodes=nodes)


def ticks(count: int) -> Condition:
    seen: list[int] = []

    def check(before: object, now: object) -> Progress:
        seen.append(1)
        return Progress(have=len(seen) - 1, need=count, missing=("more ticks",))

    return Condition(
        name="ticks",
        description=f"{count} ticks",
        check=check,
        event_types=(Tick,),
        soft=lucy.seconds(20),
        hard=lucy.seconds(30),
    )


def never() -> Condition:
    return Condition(
        name="never",
        description="what never comes",
        check=lambda _before, _now: Progress(have=0, need=1, missing=("a: it never comes",)),
        event_types=(Tick,),
        soft=lucy.seconds(0.05),
        hard=lucy.seconds(0.2),
    )


async def test_nodes_start_log_stop_and_start_fresh(tmp_path: Path) -> None:
    keeper = "import os; open('state/kept', 'a').write('x'); " + TICKER
    async with lucy.deploy(spec(node("a", keeper)), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        a = network["a"]
        await a.events(Tick, since=0).first(lambda event: event.data.n == 2, within=20)
        state = tmp_path / "run" / "nodes" / "a" / "state" / "kept"
        await a.stop()
        assert a.state is State.STOPPED
        await a.start()
        mark = network.mark()
        await a.events(Tick, since=mark).first(within=20)
        assert state.read_text() == "xx"
        await a.stop()
        mark = network.mark()
        await a.start(fresh_state=True)
        await a.events(Tick, since=mark).first(within=20)
        assert state.read_text() == "x"


async def test_wrong_moves_are_refused_by_name(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        with pytest.raises(lucy.LifeCycleError, match="can't start node a: it is running"):
            await network["a"].start()
        await network["a"].stop()
        for action in (network["a"].stop, network["a"].pause, network["a"].kill):
            with pytest.raises(lucy.LifeCycleError, match="it is stopped; now possible: start"):
                await action()
        with pytest.raises(lucy.UnknownNodeError, match="no node is called 'b'; this network has a"):
            network["b"]


async def test_a_paused_node_is_silent_until_resumed(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        a = network["a"]
        await a.events(Tick, since=0).first(within=20)
        await a.pause()
        await network.pipeline.drain("a")
        mark = network.mark()
        with pytest.raises(TimeoutError):
            await a.events(Tick, since=mark).first(within=0.3)
        await a.resume()
        await a.events(Tick, since=mark).first(within=20)


async def test_a_node_that_dies_ends_the_test_with_its_last_lines(tmp_path: Path) -> None:
    dying = "import sys; print('first'); print('Address already in use'); sys.exit(3)"
    with pytest.raises(NodeExitedError) as caught:
        async with lucy.deploy(
            spec(node("a"), node("b", dying)), engine=ProcessEngine(), run_directory=tmp_path / "run"
        ):
            await anyio.sleep_forever()
    assert caught.value.node == "b"
    assert caught.value.how == "exited with code 3"
    assert caught.value.last_lines[-1] == "Address already in use"


async def test_a_kill_from_outside_is_told_within_a_second(tmp_path: Path) -> None:
    killed = 0.0
    with pytest.raises(NodeExitedError, match="a was killed by SIGKILL"):
        async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
            await network["a"].events(Tick, since=0).first(within=20)
            pid = network["a"]._engine_node.pid
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            await anyio.sleep_forever()
    assert time.monotonic() - killed < 1.0


async def test_an_expected_exit_does_not_end_the_test(tmp_path: Path) -> None:
    short = "print('done')"
    async with lucy.deploy(
        spec(node("a", short, wait_for_exit=True)), engine=ProcessEngine(), run_directory=tmp_path / "run"
    ) as network:
        exited = await network.events(lucy.NodeExited, since=0).first(within=20)
        assert exited.data.expected
        assert network["a"].state is State.STOPPED
        assert network.fatal is None


async def test_a_wait_since_a_mark_finds_what_came_before_the_call(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        mark = network.mark()
        await network["a"].events(Tick, since=0).first(lambda event: event.data.n == 5, within=20)
        await network["a"].stop()
        outcome = await network.wait_for(ticks(5), since=mark)
        assert not outcome.late


async def test_a_timeout_explains_itself_and_the_soft_one_is_held_against_the_run(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        await network["a"].events(Tick, since=0).first(within=20)
        with pytest.raises(lucy.WaitTimeoutError) as caught:
            await network.wait_for(never())
        text = str(caught.value)
        for part in ("what never comes", "0 of 1", "a: it never comes", "Tick(n=", "lines", "blocked"):
            assert part in text
        assert [error.kind for error in network.judgement.errors] == ["soft timeout"]


async def test_sections_are_timed_and_hold_their_errors(tmp_path: Path) -> None:
    async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        with network.section("soft one", soft=True):
            network.check(False, "two is not three")
        with network.section("good one"):
            pass
        assert [(each.name, each.outcome) for each in network.judgement.sections] == [
            ("soft one", "failed"),
            ("good one", "passed"),
        ]
        (error,) = network.judgement.errors
        assert (error.section, error.message) == ("soft one", "two is not three")


async def test_everything_is_gone_after_an_exception(tmp_path: Path) -> None:
    pids: list[int] = []
    with pytest.raises(ValueError, match="mine"):
        async with lucy.deploy(
            spec(node("a"), node("b")), engine=ProcessEngine(), run_directory=tmp_path / "run"
        ) as network:
            pids = [each._engine_node.pid for each in network]
            message = "mine"
            raise ValueError(message)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not list((tmp_path / "run" / "fifos").iterdir())


DRIVER = """
import sys, anyio, pathlib
import lucy_core as lucy
from lucy_engines.process import ProcessEngine
ESCAPED = '''import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
time.sleep(1000)'''
async def main():
    nodes = tuple(lucy.NodeSpec(name=n, role="x", command=(sys.executable, "-c", ESCAPED)) for n in ("a", "b"))
    spec = lucy.NetworkSpec(name="t", nodes=nodes)
    async with lucy.deploy(spec, engine=ProcessEngine(), run_directory=sys.argv[1]) as network:
        print("up", flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


def processes_of(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker in (entry / "environ").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool], float], None]:
    """Poll a condition of the outside world, which no stream tells of."""

    def check(condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not true after {seconds} s"
            os.sched_yield()

    return check


def test_kill_9_of_lucy_leaves_nothing_behind(tmp_path: Path, eventually: Callable) -> None:
    marker = f"LUCY_TEST_MARK={tmp_path}"
    name, value = marker.split("=", 1)
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path / "run")],
        env={**os.environ, name: value},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"up\n"
        # Two nodes and their escaped grandchildren, the guardian, the capture process, and the driver itself.
        eventually(lambda: len(processes_of(marker)) >= 7, 10)
    finally:
        driver.kill()
        driver.communicate()
    eventually(lambda: not processes_of(marker), 2.5)
    assert not list((tmp_path / "run" / "fifos").iterdir())


async def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    ports: set[int] = set()

    async def run(number: int) -> None:
        network_spec = spec(*(node(name, ports=("p", "q")) for name in ("a", "b")))
        async with lucy.deploy(
            network_spec, engine=ProcessEngine(), run_directory=tmp_path / f"run-{number}"
        ) as network:
            mine = {each.address(port)[1] for each in network for port in ("p", "q")}
            assert not mine & ports
            ports.update(mine)
            await network["b"].events(Tick, since=0).first(lambda event: event.data.n == 3, within=20)
            assert network.ledger.complete

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(run, number)
    assert len(ports) == 12


FLOODER = """
import os, sys
run = sys.argv[1] if len(sys.argv) > 1 else "?"
count = int(open("state/count").read()) if os.path.exists("state/count") else 0
try:
    while True:
        text = b"x" * 300
        block = b"".join(
            b'{"message":"flood","metadata":{"n":%d,"text":"%b"}}\\n' % (count + i, text) for i in range(200)
        )
        view = memoryview(block)
        while view:
            view = view[os.write(1, view):]
        count += 200
        open("state/new", "w").write(str(count)); os.rename("state/new", "state/count")
except BaseException:
    raise
"""


@lucy.event(message="flood")
class Flooded(msgspec.Struct, frozen=True):
    n: int


@pytest.mark.slow
async def test_fifty_restarts_under_flood_lose_no_line(tmp_path: Path) -> None:
    """SIGKILL falls anywhere, mid-line too: what was written whole arrives whole, once, in order, up to the count that
    the node had noted, and the line that was cut is torn, not lost."""
    async with lucy.deploy(spec(node("a", FLOODER)), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        a = network["a"]
        for _ in range(50):
            mark = network.mark()
            await a.events(Flooded, since=mark).first(within=20)
            await a.kill()
            await a.start()
        await a.events(Flooded, since=network.mark()).first(within=20)
        await a.kill()
        noted = int((tmp_path / "run/nodes/a/state/count").read_text())
        await network.pipeline.reach(network.mark().position)
        log = (tmp_path / "run/logs/a.ndjson").read_bytes()
        account = network.ledger.of("a")
        assert account.bytes == len(log)
        assert account.torn <= 51
        numbers: set[int] = set()
        for line in log.replace(b'}{"message"', b'}\n{"message"').split(b"\n"):
            if line.startswith(b'{"message":"flood","metadata":{"n":') and line.endswith(b'"}}'):
                numbers.add(int(line[35 : line.index(b",", 35)]))
        assert set(range(noted)) <= numbers


async def test_commands_environment_resources_and_addresses(tmp_path: Path) -> None:
    shows = "import os; print(os.environ['FROM_SPEC'], os.environ.get('FROM_START'), flush=True); " + TICKER
    told = node("a", shows, ports=("p",), environment={"FROM_SPEC": "{port:p}"}, files={"sub/f": b"port {port:p}"})
    async with lucy.deploy(spec(told), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        a = network["a"]
        _host, port = a.address("p")
        done = await a.exec(["sh", "-c", "cat sub/f -; stat -c %a sub/f; exit 3"], input=b" and input\n")
        assert (done.code, done.stdout) == (3, f"port {port} and input\n600\n".encode())
        with pytest.raises(lucy.CommandError, match=r"did not end in 0\.2 s and was killed"):
            await a.exec(["sh", "-c", "sleep 100 & sleep 100"], timeout=0.2)
        with pytest.raises(lucy.CommandError, match="there is no program 'nowhere'"):
            await a.exec(["nowhere"])
        with pytest.raises(lucy.CommandError, match="has no port 'q'; it has p"):
            a.address("q")
        used = await a.resources()
        assert used is not None
        assert used.memory_bytes > 1_000_000
        mark = network.mark()
        await a.restart(environment={"FROM_START": "yes"})
        await a.events(Tick, since=mark).filter(lambda event: event.data.n == 1).first(within=20)
        await a.stop()
        assert await a.resources() is None
        said = (tmp_path / "run/logs/a.ndjson").read_text().splitlines()
        assert [text for text in said if not text.startswith("{")] == [f"{port} None", f"{port} yes"]


async def test_a_stubborn_node_is_killed_after_its_grace(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + TICKER
    async with lucy.deploy(spec(node("a", deaf)), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        await network["a"].events(Tick, since=0).first(within=20)
        pid = network["a"]._engine_node.pid
        await network["a"].pause()
        await network["a"].stop(grace=0.2)
        assert not Path(f"/proc/{pid}").exists()
        assert network["a"].last_exit.signal == "SIGKILL"


async def test_a_program_that_is_not_there_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    missing = lucy.NodeSpec(name="a", role="x", command=("no-such-program",))
    with pytest.raises(lucy.DeployError, match="node 'a': there is no program 'no-such-program'; install it"):
        async with lucy.deploy(spec(missing), engine=ProcessEngine(), run_directory=tmp_path / "run"):
            raise AssertionError


@pytest.mark.parametrize(
    ("nodes", "text"),
    (
        ((), "has no nodes"),
        ((node("a"), node("a")), "'a' is used 2 times"),
        ((node("A b"),), "must be lower-case"),
        ((node("a", after=("z",)),), "to start after 'z'"),
        ((node("a", after=("b",)), node("b", after=("a",))), "wait for each other"),
        ((node("a", environment={"X": "{port:z.p}"}),), "refers to {port:z.p}"),
    ),
)
async def test_a_wrong_network_is_refused_by_name_before_anything_runs(nodes: tuple, text: str, tmp_path: Path) -> None:
    with pytest.raises(lucy.TopologyError, match=text):
        async with lucy.deploy(spec(*nodes), engine=ProcessEngine(), run_directory=tmp_path / "run"):
            raise AssertionError


async def test_seeds_start_before_the_others(tmp_path: Path) -> None:
    nodes = (node("c", after=("b",)), node("b", after=("a",)), node("a"))
    async with lucy.deploy(spec(*nodes), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
        started = [
            (
                await network.events(lucy.NodeStarted, since=0)
                .filter(lambda e, n=name: e.data.node == n)
                .first(within=20)
            )
            for name in "abc"
        ]
        assert [event.position for event in started] == sorted(event.position for event in started)


async def test_the_guardians_death_is_told_and_takes_the_nodes_along(tmp_path: Path) -> None:
    with pytest.raises(lucy.EngineError, match=r"was killed by SIGKILL|guardian .* is gone"):
        async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
            await network["a"].events(Tick, since=0).first(within=20)
            os.kill(network["a"]._engine_node._guardian.pid, signal.SIGKILL)
            await anyio.sleep_forever()


async def test_cancelling_around_a_deployment_takes_it_down(tmp_path: Path) -> None:
    pids: list[int] = []
    with anyio.fail_after(20), anyio.CancelScope() as scope:
        async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run") as network:
            pids.append(network["a"]._engine_node.pid)
            pids.append(network.pipeline.capture_pid)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("checkpoints", range(0, 60, 3))
async def test_a_deployment_may_be_cancelled_at_any_await(checkpoints: int, tmp_path: Path) -> None:
    """The leak check of every test sees what would be left."""

    async def cancel(scope: anyio.CancelScope) -> None:
        for _ in range(checkpoints):
            await anyio.lowlevel.checkpoint()
        scope.cancel()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel, tasks.cancel_scope)
            async with lucy.deploy(spec(node("a")), engine=ProcessEngine(), run_directory=tmp_path / "run"):
                await anyio.sleep_forever()
