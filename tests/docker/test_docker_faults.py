"""Faults in real containers: what one node can do with another, before, during and after."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from places import REPOSITORY

import lucy_core as lucy
from lucy_core import mina
from lucy_core.errors import FaultError
from lucy_core.faults import FAULT_KINDS
from lucy_engines.docker import DockerEngine
from lucy_engines.docker.faults import scripts
from lucy_engines.docker.faults.place import own_aliases
from lucy_engines.docker.faults.tools import Unable, check
from lucy_engines.docker.faults.wanted import Link, Made, Rule, Wanted, wanted

LIBFAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")

# --- the plan, without a container ----------------------------------------------------------------------------------

ADDRESSES = {"a": ("10.0.0.1",), "b": ("10.0.0.2",), "c": ("10.0.0.3",)}


def test_without_faults_a_container_is_as_it_was() -> None:
    assert all(wanted(name, [], ADDRESSES) == Wanted() for name in ADDRESSES)


def test_faults_compose_to_the_same_in_any_order() -> None:
    faults = [
        Made("Drop", ("a",), ("b",)),
        Made("Loss", ("a",), ("b", "c"), {"probability": 0.5}),
        Made("Bandwidth", ("a",), ("b",), {"bytes_per_second": 9000}),
        Made("Bandwidth", ("a",), ("b", "c"), {"bytes_per_second": 5000}),
        Made("Latency", ("b",), ("a",), {"delay": 0.25, "jitter": 0.0}),
        Made("Latency", ("a",), ("b",), {"delay": 0.5, "jitter": 0.25}),
        Made("MemoryLimit", ("a",), (), {"bytes": 300}),
        Made("MemoryLimit", ("a",), (), {"bytes": 200}),
        Made("CpuLimit", ("a",), (), {"cpus": 0.5}),
        Made("ClockOffset", ("a",), (), {"seconds": 8.0}),
        Made("ClockOffset", ("a",), (), {"seconds": -3.0}),
        Made("Pause", ("b",)),
    ]
    for seed in range(20):
        shuffled = random.Random(seed).sample(faults, len(faults))
        a = wanted("a", shuffled, ADDRESSES)
        assert a.links == {"10.0.0.2": Link(5000, 0.75, 0.25), "10.0.0.3": Link(5000)}
        assert sorted(a.rules) == [
            Rule("Drop", "10.0.0.2"),
            Rule("Loss", "10.0.0.2", 0.5),
            Rule("Loss", "10.0.0.3", 0.5),
        ]
        assert (a.memory, a.cpus, a.clock, a.frozen) == (200, 0.5, 5.0, False)
        b = wanted("b", shuffled, ADDRESSES)
        assert (b.frozen, b.rules, b.links) == (True, (), {"10.0.0.1": Link(5000, 0.75, 0.25)})


def test_a_kernel_with_netem_gets_its_latency_from_tc() -> None:
    links = {"10.0.0.2": Link(None, 0.2, 0.1), "10.0.0.3": Link(1000)}
    script = scripts.shaping_script("eth1", links, netem=True)
    assert "qdisc add dev eth1 parent 1:1 handle 2: netem limit 10000 delay 250000us 50000us" in script
    assert "class add dev eth1 parent 1: classid 1:2 htb rate 8000bit" in script
    assert "match ip dst 10.0.0.3/32 flowid 1:2" in script


def test_a_node_keeps_its_name_though_its_containers_id_begins_with_it() -> None:
    container = "a2361b66b91c" + 52 * "0"
    assert own_aliases(container, ["a", "a2361b66b91c", "a23"]) == ["a", "a23"]
    assert own_aliases(container, None) == []


def test_missing_rights_and_programs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lucy_engines.docker.faults.tools.capabilities", lambda: 0)
    with pytest.raises(Unable, match="CAP_NET_ADMIN.*run Lucy as root"):
        check("Drop")
    check("Disconnect")
    monkeypatch.setattr("lucy_engines.docker.faults.tools.capabilities", lambda: -1)
    monkeypatch.setattr("lucy_engines.docker.faults.tools.PATH", "/nowhere")
    with pytest.raises(Unable, match="no program nsenter on this machine; install util-linux"):
        check("Latency")


# --- in containers --------------------------------------------------------------------------------------------------

SERVER = r"""
import socket, sys, time
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=16)
held = []
while True:
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb", 0) as lines:
        try:
            word, *rest = lines.readline().decode().split()
            if word == "clock":
                answer = f"{time.time()} {time.monotonic()}"
            elif word == "write":
                try:
                    with open("state/filled", "wb") as file:
                        file.write(bytes(int(rest[0])))
                    answer = "written"
                except OSError as error:
                    answer = error.strerror
            elif word == "spin":
                began, end = time.process_time(), time.monotonic() + float(rest[0])
                while time.monotonic() < end:
                    pass
                answer = str(time.process_time() - began)
            elif word == "hold":
                held.append(b"x" * int(rest[0]))
                answer = "held"
            elif word == "take":
                answer = "x" * int(rest[0])
            else:
                answer = "pong"
            lines.write(answer.encode() + b"\n")
        except (OSError, ValueError):
            pass
"""
PROBE = r"""
import socket, sys, time
host, port, seconds, *words = sys.argv[1:]
began = time.monotonic()
try:
    with socket.create_connection((host, int(port)), float(seconds)) as connection:
        connection.settimeout(float(seconds))
        connection.sendall(" ".join(words).encode() + b"\n")
        answer = connection.makefile().readline().strip()
except OSError as error:
    answer = type(error).__name__
print(time.monotonic() - began, answer)
"""
A, B = ("a",), ("b",)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """One loop: containers take seconds, and what there is of loops here one test asks of both."""
    return ("asyncio", {"use_uvloop": False})


@asynccontextmanager
async def servers(directory: Path, *names: str, **options: str) -> AsyncIterator[lucy.Network]:
    """Containers that answer each other, and do."""
    nodes = tuple(
        lucy.NodeSpec(name=name, role="server", command=("python3", "-c", SERVER, "{port:p}"), ports=("p",))
        for name in names
    )
    spec = lucy.NetworkSpec(name="faulty", nodes=nodes)
    async with lucy.deploy(spec, engine=DockerEngine(), run_directory=directory / "run", options=options) as network:
        for name in names:
            with anyio.fail_after(60):
                while (await ask(network, name, name))[1] != "pong":
                    pass
        yield network


async def ask(network: lucy.Network, one: str, other: str, *words: str, within: float = 30.0) -> tuple[float, str]:
    """Have one node ask another; return the seconds it took and the answer, or how it failed."""
    place = ("{host:%s}" % other, "{port:%s.p}" % other)
    done = await network[one].exec(["python3", "-c", PROBE, *place, str(within), *(words or ("ping",))])
    assert done.code == 0, done.stderr
    seconds, _, answer = done.stdout.decode().strip().partition(" ")
    return float(seconds), answer


def pid(network: lucy.Network, name: str) -> int:
    return network[name]._engine_node.host_pid


def container(network: lucy.Network, name: str) -> str:
    return network[name]._engine_node.container


def inside(namespace: str, *command: str) -> str:
    return subprocess.run(
        ["nsenter", f"--net={namespace}", *command], check=True, capture_output=True, text=True
    ).stdout


def disturbances(namespace: str) -> list[str]:
    """All in a network namespace that disturbs its packets."""
    rules = inside(namespace, "iptables-save").splitlines()
    queues = inside(namespace, "tc", "qdisc", "show").splitlines()
    return [
        *(line for line in rules if "LUCY" in line),
        *(line for line in queues if not line.startswith("qdisc noqueue")),
    ]


def inspect(network: lucy.Network, name: str) -> dict:
    shown = subprocess.run(["docker", "inspect", container(network, name)], check=True, capture_output=True).stdout
    return json.loads(shown)[0]


@pytest.mark.anyio
@pytest.mark.slow
async def test_what_two_groups_send_each_other_is_disturbed_and_nothing_else(
    simnode_image: str, tmp_path: Path
) -> None:
    async with servers(tmp_path, "a", "b", "c") as network:
        inject = network.faults.inject
        spaces = [f"/proc/{pid(network, name)}/ns/net" for name in ("a", "b", "c")]

        async with inject(lucy.Drop(nodes=A, others=B), lasting=1e9):
            assert (await ask(network, "a", "b", within=0.5))[1] == "TimeoutError"
            assert (await ask(network, "b", "a", within=0.5))[1] == "TimeoutError"
            assert (await ask(network, "a", "c"))[1] == "pong"
        assert (await ask(network, "a", "b"))[1] == "pong"

        async with inject(lucy.Reset(nodes=A, others=B), lasting=300):
            assert (await ask(network, "a", "b"))[1] == "ConnectionRefusedError"
            assert (await ask(network, "b", "a"))[1] == "ConnectionRefusedError"
            assert (await ask(network, "a", "c"))[1] == "pong"

        async with inject(lucy.Loss(nodes=A, others=B, probability=1.0), lasting=300):
            assert (await ask(network, "b", "a", within=0.5))[1] == "TimeoutError"

        async with inject(lucy.Latency(nodes=A, others=B, delay=0.2, jitter=0.05), lasting=300):
            for one, other in (("a", "b"), ("b", "a")):
                took, answer = await ask(network, one, other)
                # There and back twice: to connect, and to ask.
                assert (took >= 0.8, answer) == (True, "pong")

        async with inject(lucy.Bandwidth(nodes=A, others=B, bytes_per_second=40_000), lasting=300):
            took, answer = await ask(network, "a", "b", "take", "60000")
            assert len(answer) == 60_000
            # The first burst goes at once.
            assert took >= 0.8
        assert [disturbances(space) for space in spaces] == [[], [], []]
        assert (await ask(network, "a", "b"))[1] == "pong"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "anyio_backend", (("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})), ids=("asyncio", "uvloop")
)
async def test_faults_on_the_same_nodes_compose_and_end_each_by_itself(simnode_image: str, tmp_path: Path) -> None:
    async with servers(tmp_path, "a", "b") as network:
        inject = network.faults.inject
        space = f"/proc/{pid(network, 'a')}/ns/net"
        async with (
            inject(lucy.Latency(nodes=A, others=B, delay=0.1), lasting=300) as near,
            inject(lucy.Latency(nodes=B, delay=0.15), lasting=300) as far,
        ):
            async with inject(lucy.Drop(nodes=B, others=A), lasting=300) as cut:
                assert (await ask(network, "a", "b", within=0.7))[1] == "TimeoutError"
            took, answer = await ask(network, "a", "b")
            assert (took >= 1.0, answer) == (True, "pong")
            await near.end()
            took, answer = await ask(network, "a", "b")
            assert (took >= 0.6, answer) == (True, "pong")
            assert disturbances(space) != []
        assert disturbances(space) == []
        ends = [event.data async for event in reverted(network, 3)]
        assert [(end.lease, end.reason) for end in ends] == [(each.number, "ended") for each in (cut, near, far)]


async def reverted(network: lucy.Network, count: int) -> AsyncIterator[lucy.Event[lucy.FaultReverted]]:
    async with network.events(lucy.FaultReverted, since=0).take(count).aiter() as events:
        async for event in events:
            yield event


@pytest.mark.anyio
async def test_a_node_comes_back_from_where_nobody_reached_it(simnode_image: str, tmp_path: Path) -> None:
    async with servers(tmp_path, "a", "b") as network:
        inject = network.faults.inject
        async with inject(lucy.Disconnect(nodes=B), lasting=300):
            assert (await ask(network, "a", "b", within=1))[1] in ("gaierror", "TimeoutError")
            with pytest.raises(lucy.CommandError, match="off the network"):
                network["b"].address("p")
        assert (await ask(network, "a", "b"))[1] == "pong"
        async with await anyio.connect_tcp(*network["b"].address("p")) as connection:
            await connection.send(b"ping\n")
            assert await connection.receive() == b"pong\n"

        # What is between two nodes holds though one of them went and came back meanwhile.
        async with inject(lucy.Drop(nodes=A, others=B), lasting=300):
            async with inject(lucy.Disconnect(nodes=B), lasting=300):
                pass
            assert (await ask(network, "a", "b", within=0.5))[1] == "TimeoutError"
            async with inject(lucy.Disconnect(nodes=A), lasting=300):
                pass
            assert (await ask(network, "a", "b", within=0.5))[1] == "TimeoutError"
        assert (await ask(network, "a", "b"))[1] == "pong"

        async with inject(lucy.Pause(nodes=B), lasting=300):
            assert (await ask(network, "a", "b", within=0.5))[1] == "TimeoutError"
            assert inspect(network, "b")["State"]["Paused"]
        assert (await ask(network, "a", "b"))[1] == "pong"

        async with inject(lucy.Pause(nodes=B), lasting=300):
            await network["b"].stop(grace=5)  # a frozen node can be stopped
        assert not inspect(network, "b")["State"]["Paused"]


def limits(network: lucy.Network, name: str) -> tuple[str, ...]:
    """What the kernel holds a container to, with cgroups of either version."""
    groups = Path(f"/proc/{pid(network, name)}/cgroup").read_text().splitlines()
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        place = root / groups[0].rpartition(":")[2].lstrip("/")
        return ((place / "memory.max").read_text(), (place / "cpu.max").read_text())
    path = next(line.rpartition(":")[2].lstrip("/") for line in groups if ":memory:" in line)
    return (
        (root / "memory" / path / "memory.limit_in_bytes").read_text(),
        (root / "cpu" / path / "cpu.cfs_quota_us").read_text(),
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    "options",
    (pytest.param({}, id="unlimited"), pytest.param({"docker_memory": "96m", "docker_cpus": "1"}, id="limited")),
)
async def test_limits_are_tightened_and_given_back(simnode_image: str, tmp_path: Path, options: dict) -> None:
    async with servers(tmp_path, "a", "b", **options) as network:
        inject = network.faults.inject
        before = limits(network, "b")
        async with inject(lucy.CpuLimit(nodes=B, cpus=0.1), lasting=300):
            took = float((await ask(network, "a", "b", "spin", "1"))[1])
            assert took < 0.5
        assert limits(network, "b") == before
        async with (
            inject(lucy.MemoryLimit(nodes=B, bytes=64 << 20), lasting=300) as wide,
            inject(lucy.MemoryLimit(nodes=B, bytes=48 << 20), lasting=300),
        ):
            await wide.end()
            with network["b"].expecting_exit():
                assert (await ask(network, "a", "b", "hold", str(60 << 20)))[1] != "held"
                end = await network.events(lucy.NodeExited, since=0).first(within=60)
            assert "out of memory" in end.data.how
        assert limits(network, "b") == before
        await network["b"].start()


@pytest.mark.anyio
async def test_a_full_disk_and_a_wrong_clock(simnode_image: str, tmp_path: Path) -> None:
    if not LIBFAKETIME.exists():
        pytest.skip(f"no {LIBFAKETIME}; .ci/apt-install libfaketime")
    options = {"docker_disk_size": "1m", "docker_libfaketime": str(LIBFAKETIME)}
    async with servers(tmp_path, "a", "b", **options) as network:
        inject = network.faults.inject
        assert (await ask(network, "a", "b", "write", "100000"))[1] == "written"
        async with inject(lucy.DiskFull(nodes=B), lasting=300):
            assert (await ask(network, "a", "b", "write", "600000"))[1] == "No space left on device"
            assert (await ask(network, "b", "a", "write", "600000"))[1] == "written"
        assert (await ask(network, "a", "b", "write", "600000"))[1] == "written"

        async with (
            inject(lucy.ClockOffset(nodes=B, seconds=7200), lasting=300),
            inject(lucy.ClockOffset(nodes=B, seconds=-3600), lasting=300),
        ):
            wall, steady = map(float, (await ask(network, "a", "b", "clock"))[1].split())
            assert 3590 < wall - time.time() < 3610
            assert abs(steady - time.monotonic()) < 600
        wall, _ = map(float, (await ask(network, "a", "b", "clock"))[1].split())
        assert abs(wall - time.time()) < 600

        # In the way of the file that would be written; it hurts this fault and no other.
        (tmp_path / "run" / "nodes" / "b" / "clock.new").mkdir()
        with pytest.raises(FaultError, match=r"the clock of b follows can't be written: .*clock\.new: Is a directory"):
            async with inject(lucy.ClockOffset(nodes=B, seconds=60), lasting=300):
                pass
        async with inject(lucy.DiskFull(nodes=B), lasting=300):
            pass


@pytest.mark.anyio
async def test_what_is_missing_is_named_and_nothing_is_done(simnode_image: str, tmp_path: Path) -> None:
    async with servers(tmp_path, "a", "b") as network:
        assert network.faults.kinds == FAULT_KINDS
        for fault, text in (
            (lucy.DiskFull(nodes=A), "'DiskFull': its disks have no size of their own.*--docker-disk-size"),
            (lucy.ClockOffset(nodes=A, seconds=5), "'ClockOffset'.*--docker-libfaketime.*apt-get install libfaketime"),
        ):
            with pytest.raises(lucy.UnsupportedError, match=text):
                async with network.faults.inject(fault, lasting=5):
                    pass
        with pytest.raises(FaultError, match="MemoryLimit: it could not be made: the Docker Engine refused.*Minimum"):
            async with network.faults.inject(lucy.MemoryLimit(nodes=A, bytes=1 << 20), lasting=5):
                pass
        assert inspect(network, "a")["HostConfig"]["Memory"] == 0
        powerless = ["setpriv", "--bounding-set=-net_admin,-sys_admin", "--inh-caps=-net_admin,-sys_admin"]
        child = [sys.executable, "-c", HOLDER, container(network, "a"), container(network, "b"), "300"]
        done = subprocess.run([*powerless, *child], capture_output=True, text=True, timeout=60, check=False)
        assert "no capability 'Drop': it takes CAP_NET_ADMIN and CAP_SYS_ADMIN" in done.stderr
        assert disturbances(f"/proc/{pid(network, 'a')}/ns/net") == []


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_fault_ends_while_the_loop_is_blocked_and_with_its_container(
    simnode_image: str, tmp_path: Path, eventually: Callable
) -> None:
    async with servers(tmp_path, "a", "b") as network:
        space = f"/proc/{pid(network, 'a')}/ns/net"
        async with network.faults.inject(lucy.Drop(nodes=A, others=B), lasting=3) as lease:
            assert disturbances(space)
            eventually(lambda: not disturbances(space), 30)
        assert lease.reason is lucy.LeaseEnd.EXPIRED
        assert lease.seconds >= 3

        async with network.faults.inject(lucy.Drop(nodes=A, others=B), lasting=300) as lease:
            with network["b"].expecting_exit():
                subprocess.run(["docker", "kill", container(network, "b")], check=True, capture_output=True)
                assert await lease.ended() is lucy.LeaseEnd.LOST
                await network.events(lucy.NodeExited, since=0).first(within=60)
            assert lease.detail == "the container of b has ended"
            assert disturbances(space) == []

        async with network.faults.inject(lucy.Disconnect(nodes=A), lasting=300) as lease:
            with network["a"].expecting_exit():
                subprocess.run(["docker", "rm", "-f", container(network, "a")], check=True, capture_output=True)
                assert await lease.ended() is lucy.LeaseEnd.LOST


# Holds a fault in containers that aren't its own, as in a network that Compose has made.
HOLDER = """
import sys, anyio
from lucy_core.faults import Drop, Latency
from lucy_core.aio import Services
from lucy_engines.docker.faults.client import WardenClient
from lucy_engines.docker.faults.orders import FaultPlace
async def main():
    a, b, lasting = sys.argv[1:]
    async with anyio.create_task_group() as tasks:
        services = Services(tasks)
        warden = WardenClient("unix:///var/run/docker.sock", services)
        places = {"a": FaultPlace(container=a), "b": FaultPlace(container=b)}
        try:
            for fault in (Drop(nodes=("a",), others=("b",)), Latency(nodes=("a",), others=("b",), delay=1)):
                await warden.inject(fault, places, lasting=float(lasting), on_lost=print)
            print(warden._helper.pid, flush=True)
            await anyio.sleep_forever()
        finally:
            await warden.close()
            services.stop()
anyio.run(main)
"""


@pytest.mark.anyio
@pytest.mark.parametrize("end", (signal.SIGKILL, signal.SIGSTOP))
async def test_faults_end_when_lucy_is_killed_and_when_she_is_stopped(
    simnode_image: str, tmp_path: Path, eventually: Callable, end: signal.Signals
) -> None:
    async with servers(tmp_path, "a", "b") as network:
        space = f"/proc/{pid(network, 'a')}/ns/net"
        lasting = "300" if end is signal.SIGKILL else "1"
        arguments = [container(network, "a"), container(network, "b"), lasting]
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, *arguments], stdout=subprocess.PIPE, text=True)
        try:
            assert holder.stdout is not None
            warden = int(holder.stdout.readline())
            if end is signal.SIGKILL:
                assert len(disturbances(space)) >= 6
            holder.send_signal(end)
            eventually(lambda: not disturbances(space), 30)
        finally:
            holder.kill()
            holder.communicate()
        assert (await ask(network, "a", "b"))[1] == "pong"
        eventually(lambda: not Path(f"/proc/{warden}").exists(), 30)


def any_fault(draw: random.Random) -> lucy.AnyFault:
    names = draw.sample(("a", "b", "c"), 3)
    cut = draw.choice((1, 2))
    nodes, others = tuple(names[:cut]), tuple(names[cut:])
    return draw.choice(
        (
            lucy.Drop(nodes=nodes, others=others),
            lucy.Reset(nodes=nodes),
            lucy.Loss(nodes=nodes, others=others[:1], probability=0.5),
            lucy.Bandwidth(nodes=nodes, others=others, bytes_per_second=draw.randint(1_000, 1_000_000)),
            lucy.Latency(nodes=nodes, others=others, delay=draw.uniform(0.01, 0.2), jitter=draw.choice((0.0, 0.1))),
            lucy.Disconnect(nodes=nodes),
            lucy.MemoryLimit(nodes=nodes, bytes=draw.randint(64, 200) << 20),
            lucy.CpuLimit(nodes=nodes, cpus=draw.choice((0.2, 0.5))),
            lucy.DiskFull(nodes=nodes),
        )
    )


@pytest.mark.anyio
@pytest.mark.slow
async def test_whatever_overlaps_and_ends_in_whatever_order_leaves_nothing(simnode_image: str, tmp_path: Path) -> None:
    def condition(network: lucy.Network) -> list[object]:
        return [
            (
                disturbances(f"/proc/{pid(network, name)}/ns/net"),
                limits(network, name),
                [
                    line
                    for line in Path(f"/proc/{pid(network, name)}/mounts").read_text().splitlines()
                    if "state" in line
                ],
                [each["Aliases"][0] for each in inspect(network, name)["NetworkSettings"]["Networks"].values()],
            )
            for name in ("a", "b", "c")
        ]

    draw = random.Random(5)
    async with servers(tmp_path, "a", "b", "c", docker_disk_size="1m") as network:
        before = condition(network)
        held = []
        for _ in range(40):
            if len(held) > draw.randint(0, 6):
                await held.pop(draw.randrange(len(held))).__aexit__(None, None, None)
            else:
                held.append(network.faults.inject(any_fault(draw), lasting=draw.choice((300, 300, 0.2))))
                await held[-1].__aenter__()
        assert condition(network) != before
        while held:
            await held.pop(draw.randrange(len(held))).__aexit__(None, None, None)
        assert condition(network) == before
        for one in network.nodes:
            for other in network.nodes:
                assert (await ask(network, one, other))[1] == "pong"


@pytest.mark.anyio
@pytest.mark.slow
async def test_a_partition_heals_as_the_readme_has_it(simnode_image: str, tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "a_partition" in block)
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    topology = mina.Topology(
        accounts=(mina.Account("alice", "1000"), mina.Account("bob", "1000")),
        block_producers=(mina.BlockProducer("bp-1", "alice"), mina.BlockProducer("bp-2", "bob")),
        constants=mina.Constants(slot_seconds=0.5),
    )
    async with lucy.deploy(topology, engine="docker", run_directory=tmp_path / "run") as network:
        await network.wait_for(mina.nodes_initialized())
        await names["a_partition_heals"](network)
        ends = [event.data async for event in reverted(network, 1)]
        assert [(end.fault.others, end.reason) for end in ends] == [
            (tuple(name for name in network.nodes if name != "bp-2"), "ended")
        ]


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool], float], None]:
    """Poll a condition of the outside world, which no stream tells of."""

    def poll(condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not true after {seconds} s"
            os.sched_yield()

    return poll
