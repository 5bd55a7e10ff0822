"""Whole networks in containers: how long they take up and down, and how many nodes a machine holds."""

import math
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import msgspec

import lucy_core as lucy
from benchmarks.docker_api import IMAGE
from benchmarks.measurement import BenchmarkError
from lucy_core.mina import Account, BlockProducer, Constants, Topology, nodes_initialized
from lucy_core.run.deployment import new_run_id
from lucy_engines.docker.plan import labels

WATCH_SECONDS = 4.0


class NetworkJob(msgspec.Struct, frozen=True):
    """A network of so many nodes."""

    directory: str
    nodes: int
    watch: bool = False
    """Whether nodes are started too, and watched at their ordinary work."""


class UpAndDown(msgspec.Struct, frozen=True):
    """How long a network took, in seconds."""

    up: float
    """From nothing to all containers running."""
    down: float
    started: float = 0.0
    """Until all nodes have initialized, from their start on."""
    memory_mib: float = 0.0
    """A node, a mean."""
    cpu_percent: float = 0.0
    """Of a core, a node, a mean."""
    events: int = 0


class Containers(msgspec.Struct, frozen=True):
    """So many containers, at once, without Lucy."""

    nodes: int


def topology(nodes: int) -> Topology:
    """Describe a seed and block producers, so many in all."""
    names = [f"bp-{index}" for index in range(1, nodes)]
    return Topology(
        accounts=tuple(Account(f"account-{name}", "1000") for name in names),
        block_producers=tuple(BlockProducer(name, f"account-{name}") for name in names),
        constants=Constants(slot_seconds=2),
    )


def lucy_network(job: NetworkJob) -> UpAndDown:
    """Take a network up and down by Lucy's Docker engine."""

    async def deploy() -> UpAndDown:
        begun = time.perf_counter()
        started, memory, cpu, events = 0.0, 0.0, 0.0, 0
        run_id = new_run_id("bench")
        where = Path(job.directory) / run_id
        async with lucy.deploy(
            topology(job.nodes), engine="docker", run_directory=where, run_id=run_id, start=False
        ) as network:
            up = time.perf_counter() - begun
            nodes = list(network)
            if len(nodes) != job.nodes:
                message = f"{len(nodes)} nodes were deployed, not {job.nodes}"
                raise BenchmarkError(message)
            if job.watch:
                begun = time.perf_counter()
                await network.start_all()
                await network.wait_for(nodes_initialized(), hard=60 + 3 * job.nodes)
                started = time.perf_counter() - begun
                memory, cpu = await _watch(nodes)
                events = network.ledger.lines
            begun = time.perf_counter()
        return UpAndDown(up, time.perf_counter() - begun, started, memory, cpu, events)

    return anyio.run(deploy)


async def _watch(nodes: list[lucy.Node]) -> tuple[float, float]:
    """Return a node's mean memory in MiB and its share of a core in percent."""

    async def look() -> tuple[float, list[tuple[float, int]]]:
        seen: dict[str, tuple[float, int]] = {}

        async def ask(node: lucy.Node) -> None:
            uses = await node.resources()
            if uses is not None:
                seen[node.name] = (uses.cpu_seconds, uses.memory_bytes)

        async with anyio.create_task_group() as tasks:
            for node in nodes:
                tasks.start_soon(ask, node)
        if len(seen) != len(nodes):
            message = f"only {len(seen)} of {len(nodes)} nodes said what they use"
            raise BenchmarkError(message)
        return time.perf_counter(), [seen[node.name] for node in nodes]

    first, before = await look()
    await anyio.sleep(WATCH_SECONDS)
    second, after = await look()
    cpu = sum(late[0] - early[0] for early, late in zip(before, after, strict=True))
    memory = sum(uses[1] for uses in after)
    return memory / len(nodes) / (1 << 20), 100 * cpu / (second - first) / len(nodes)


def docker_run(job: Containers) -> UpAndDown:
    """Run the same image so often at once by Docker's own command line, and remove the containers at once.

    Their network is made before: they share one, as Lucy's do, which Lucy makes within its time.
    """
    docker = shutil.which("docker")
    if docker is None:
        message = "docker's command line is not installed"
        raise BenchmarkError(message)
    run_id = f"lucy-bench-run-{os.getpid()}"
    names = [f"{run_id}-{index}" for index in range(job.nodes)]
    marks = [word for key, value in labels.run_labels(run_id).items() for word in ("--label", f"{key}={value}")]
    waiting = ["--entrypoint", "python3", IMAGE, "-c", "import signal; signal.pause()"]

    def call(*words: str) -> None:
        done = subprocess.run([docker, *words], capture_output=True, check=False, timeout=120)  # noqa: S603  # ours
        if done.returncode:
            message = f"docker {words[0]} failed: {done.stderr.decode(errors='replace').strip()[-500:]}"
            raise BenchmarkError(message)

    call("network", "create", *marks, run_id)
    try:
        with ThreadPoolExecutor(job.nodes) as pool:
            try:
                begun = time.perf_counter()
                list(
                    pool.map(
                        lambda name: call("run", "-d", "--init", "--network", run_id, "--name", name, *marks, *waiting),
                        names,
                    )
                )
                up = time.perf_counter() - begun
            finally:
                begun = time.perf_counter()
                list(pool.map(lambda name: call("rm", "-f", name), names))
            return UpAndDown(up, time.perf_counter() - begun)
    finally:
        call("network", "rm", run_id)


def held(memory_mib: float, cpu_percent: float) -> tuple[int, int]:
    """Estimate how many such nodes this machine holds: by its memory, by its cores."""
    machine_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 20)
    cores = len(os.sched_getaffinity(0))
    return int(machine_mib / max(memory_mib, 1e-6)), math.floor(100 * cores / max(cpu_percent, 1e-6))
