"""Ways out of a container, from the same writer: Lucy's FIFO, the Engine's attach stream, the follower of its logs.

The bare readers only cut frames off and count lines; Lucy records, decodes, and delivers typed events meanwhile.
"""

import mmap
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from benchmarks import docker_api
from benchmarks.corpus import EVENT_EVERY, Numbered
from benchmarks.docker_api import EngineCpu, LogOptions
from benchmarks.latency import Latencies, counted
from benchmarks.measurement import BenchmarkError, cpu_seconds, own_cpu_seconds
from benchmarks.pacing import PROGRAM as PACED
from benchmarks.pacing import Pace, Stamped, make_fifo
from benchmarks.session import check, in_order, open_pipeline, run
from lucy_core.records.record import Event
from lucy_engines.docker.api.frames import FrameDecoder, FrameError

FIFO, LUCY, ATTACH, FOLLOW, AIODOCKER = "fifo", "lucy", "attach", "follow", "aiodocker"
_WRITER = """
import os, sys
target = os.open(sys.argv[2], os.O_WRONLY)
data = memoryview(open(sys.argv[1], "rb").read())
for _ in range(int(sys.argv[3])):
    for at in range(0, len(data), 65536):
        piece = data[at : at + 65536]
        while piece:
            piece = piece[os.write(target, piece) :]
"""
_numbers = re.compile(rb'"n":(\d+)').findall
_stamps = re.compile(rb'"at":(\d+),').findall


class WayJob(msgspec.Struct, frozen=True):
    """One way, and what goes along it."""

    directory: str
    """Holds `corpus`; what else is made goes there too."""
    way: str
    log: LogOptions
    lines: int
    """In the corpus, numbered from 0."""
    repeat: int


class Flow(msgspec.Struct, frozen=True):
    """What came along a way."""

    written: int
    arrived: int
    lost: int
    doubled: int
    seconds: float
    """From the first bytes to the last."""
    cpu_seconds: float
    """Of the reader, Lucy's capture process, and the Engine."""

    @property
    def lines_per_second(self) -> float:
        return self.arrived / self.seconds

    @property
    def cpu_per_million(self) -> float:
        return self.cpu_seconds / max(self.arrived, 1) * 1e6


def _python(program: str, *arguments: str) -> list[str]:
    return ["python3", "-I", "-S", "-c", program, *arguments]


class _Clock:
    """Time and CPU since it was made; `tick` says that something has come just now."""

    def __init__(self, capture: int | None = None) -> None:
        self._capture = capture
        self._engine = EngineCpu()
        self._own = self._ours()
        self._started = self._last = time.perf_counter()

    def _ours(self) -> float:
        return own_cpu_seconds() + (cpu_seconds(self._capture) if self._capture else 0.0)

    def tick(self) -> None:
        self._last = time.perf_counter()

    def stop(self) -> tuple[float, float]:
        """Return the seconds up to the last tick, and all CPU."""
        return max(self._last - self._started, 1e-6), self._ours() - self._own + self._engine.used()


def flow(job: WayJob) -> Flow:
    """Send a corpus along a way."""
    if job.way == LUCY:
        return run(lambda: _through_lucy(job), uvloop=False)
    if job.way == AIODOCKER:
        return run(lambda: _through_aiodocker(job), uvloop=False)
    place = Path(job.directory)
    target = "/bench/bare.fifo" if job.way == FIFO else "/dev/stdout"
    numbers: list[bytes] = []
    clock: _Clock | None = None
    rest = b""
    with _source(job.way, place, _python(_WRITER, "/bench/corpus", target, str(job.repeat)), job.log) as read:
        # A follower may give lines twice and lose others: it ends when the container has.
        while job.way == FOLLOW or len(numbers) < job.lines * job.repeat:
            data = read()
            if data is None:
                break
            clock = clock or _Clock()
            whole, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                numbers += _numbers(whole)
                clock.tick()
        seconds, cpu = (clock or _Clock()).stop()
    return _account(job, numbers, seconds, cpu)


@contextmanager
def _source(way: str, place: Path, command: list[str], log: LogOptions) -> Iterator[Callable[[], bytes | None]]:
    """Start the writer's container; give what reads from it, None at the end."""
    with docker_api.container(command, place, log) as identity:
        if way == FIFO:
            descriptor = make_fifo(place / "bare.fifo")
            docker_api.start(identity)
            try:
                yield lambda: os.read(descriptor, 1 << 18)
            finally:
                os.close(descriptor)
                (place / "bare.fifo").unlink()
            return
        frames = FrameDecoder()

        def read() -> bytes | None:
            chunk = stream.read()
            try:
                return b"".join([part.data for part in frames.feed(chunk)]) if chunk else None
            except FrameError:
                # A fourth stream is the Engine's own voice: it says why the follower's stream ends here, too early.
                return None

        if way == ATTACH:
            with docker_api.attached(identity) as stream:
                docker_api.start(identity)
                yield read
        else:
            docker_api.start(identity)
            with docker_api.following(identity) as stream:
                yield read


def _account(job: WayJob, numbers: list[bytes], seconds: float, cpu: float) -> Flow:
    counts = Counter(map(int, numbers))
    lost = sum(max(0, job.repeat - counts[number]) for number in range(job.lines))
    doubled = sum(max(0, count - job.repeat) for count in counts.values())
    return Flow(job.lines * job.repeat, len(numbers), lost, doubled, seconds, cpu)


async def _through_lucy(job: WayJob) -> Flow:
    heard: list[int] = []

    def take(event: Event[Numbered]) -> None:
        heard.append(event.data.n)

    total = job.lines * job.repeat
    async with open_pipeline(Path(job.directory), ["node"], record=True) as (pipeline, [fifo]):
        pipeline.events(Numbered).subscribe(take)
        target = f"/bench/{fifo.relative_to(job.directory)}"
        command = _python(_WRITER, "/bench/corpus", target, str(job.repeat))
        with docker_api.container(command, Path(job.directory), job.log) as identity:
            await anyio.to_thread.run_sync(docker_api.start, identity)
            await pipeline.reach(1)
            clock = _Clock(pipeline.capture_pid)
            await pipeline.reach(total)
            clock.tick()
            seconds, cpu = clock.stop()
        check(pipeline, {"node": total})
    if heard != list(range(0, job.lines, EVENT_EVERY)) * job.repeat:
        message = f"{len(heard)} events came to the subscriber, lost, doubled or moved"
        raise BenchmarkError(message)
    recorded = Path(job.directory) / "run" / "logs" / "node.ndjson"
    with recorded.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return _account(job, _numbers(content), seconds, cpu)


async def _through_aiodocker(job: WayJob) -> Flow:
    """Follow the log as people write it: `async for line in container.log(follow=True)`."""
    import aiodocker

    numbers: list[bytes] = []
    clock: _Clock | None = None
    command = _python(_WRITER, "/bench/corpus", "/dev/stdout", str(job.repeat))
    docker = aiodocker.Docker()
    try:
        with docker_api.container(command, Path(job.directory), job.log) as identity:
            docker_api.start(identity)
            follower: Any = docker.containers.container(identity).log(stdout=True, follow=True)
            async for line in follower:
                clock = clock or _Clock()
                numbers += _numbers(line.encode())
                clock.tick()
            seconds, cpu = (clock or _Clock()).stop()
    finally:
        await docker.close()
    return _account(job, numbers, seconds, cpu)


class AgeJob(msgspec.Struct, frozen=True):
    """How old lines are at the end of a way, at a pace."""

    directory: str
    way: str
    log: LogOptions
    rate: int
    lines: int
    every: int

    def command(self, target: str) -> list[str]:
        pace = Pace([target], self.rate, self.lines, self.every)
        return _python(PACED, msgspec.json.encode(pace).decode())


def age(job: AgeJob) -> Latencies:
    """Send paced lines along a way, and take the age of each structured event."""
    if job.way == LUCY:
        return run(lambda: _age_in_lucy(job), uvloop=False)
    ages: list[int] = []
    rest = b""
    wanted = len(range(0, job.lines, job.every))
    target = "/bench/bare.fifo" if job.way == FIFO else "/dev/stdout"
    with _source(job.way, Path(job.directory), job.command(target), job.log) as read:
        while len(ages) < wanted:
            data = read()
            now = time.monotonic_ns()
            if data is None:
                break
            whole, _, rest = (rest + data).rpartition(b"\n")
            ages += [now - int(at) for at in _stamps(whole)]
    return Latencies(counted(ages, job.rate, job.every), len(ages), job.rate)


async def _age_in_lucy(job: AgeJob) -> Latencies:
    ages: list[int] = []
    numbers: list[int] = []
    clock = time.monotonic_ns

    def take(event: Event[Stamped]) -> None:
        ages.append(clock() - event.data.at)
        numbers.append(event.data.n)

    async with open_pipeline(Path(job.directory), ["node"], record=True) as (pipeline, [fifo]):
        pipeline.events(Stamped).subscribe(take)
        command = job.command(f"/bench/{fifo.relative_to(job.directory)}")
        with docker_api.container(command, Path(job.directory), job.log) as identity:
            await anyio.to_thread.run_sync(docker_api.start, identity)
            await pipeline.reach(job.lines)
        check(pipeline, {"node": job.lines})
        in_order(numbers, lines=job.lines, every=job.every, node="node")
    return Latencies(counted(ages, job.rate, job.every), len(numbers), job.rate)
