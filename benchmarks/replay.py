"""`replay`: how fast a finished recording is asked again, beside reading its logs and doing nothing with them.

The flood's corpus is recorded once. Each way to ask it is then timed in a fresh process, with the logs in memory: each
reads them once before, untimed. Opening the recording and looking how far it is sound is part of the time.
"""

import contextlib
import functools
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec

from benchmarks.corpus import EVENT_EVERY, EVENT_ID, Numbered, lines
from benchmarks.feeder import feeder
from benchmarks.measurement import BenchmarkError, Say, alternate, apart, own_cpu_seconds, scratch
from benchmarks.report import Report, Table, Target
from benchmarks.session import check, open_pipeline, results_of, run
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import EventDefinitionError
from lucy_core.mina import events as mina_events
from lucy_core.records.event import event_type
from lucy_core.records.record import Event

NODES = tuple("abcde")
LEAST = 1.0
"""GB/s, where ids are searched for."""
PROBE_BYTES = 1 << 19


class ReplayJob(msgspec.Struct, frozen=True):
    """What is recorded, and how it is asked."""

    directory: str
    lines: int
    """Of a node, in one pass of the corpus."""
    passes: int
    way: str = ""

    @property
    def recording(self) -> Path:
        return Path(self.directory) / "run"

    @property
    def logs(self) -> list[Path]:
        return [self.recording / "logs" / f"{node}.ndjson" for node in NODES]

    @property
    def numbers(self) -> list[int]:
        """Of each node's events, in their order."""
        return [*range(0, self.lines, EVENT_EVERY)] * self.passes


class Recorded(msgspec.Struct, frozen=True):
    """What there is to ask."""

    bytes: int


class Asked(msgspec.Struct, frozen=True):
    """What one way took."""

    seconds: float
    cpu: float


def record(job: ReplayJob) -> Recorded:
    """Record the corpus, for nobody who listens."""
    corpus = Path(job.directory) / "corpus"
    corpus.write_bytes(b"".join(lines(1, job.lines)))

    async def flood() -> None:
        async with open_pipeline(Path(job.directory), [*NODES], record=True) as (pipeline, fifos):
            with feeder(corpus, fifos, repeat=job.passes) as writer:
                writer.go()
                await results_of([writer])
            for node in NODES:
                await pipeline.reach(await pipeline.drain(node))
            check(pipeline, dict.fromkeys(NODES, job.lines * job.passes))

    run(flood, uvloop=False)
    return Recorded(sum(log.stat().st_size for log in job.logs))


def ask(job: ReplayJob) -> Asked:
    """Ask in the job's way, once all that it reads is in memory.

    Raises:
        BenchmarkError: an event is lost, doubled or moved.
    """
    _read(job)
    begun, cpu = time.perf_counter(), _cpu_seconds()
    found = WAYS[job.way](job)
    took = time.perf_counter() - begun, _cpu_seconds() - cpu
    wanted = dict.fromkeys(NODES, job.numbers)
    if isinstance(found, int):
        if found != sum(map(len, wanted.values())):
            message = f"{job.way}: {found} events instead of {sum(map(len, wanted.values()))}"
            raise BenchmarkError(message)
    elif found is not None:
        numbers: dict[str, list[int]] = {node: [] for node in NODES}
        for event in found:
            numbers[event.node].append(event.data.n)
        if numbers != wanted:
            message = f"{job.way}: events are lost, doubled or moved"
            raise BenchmarkError(message)
    return Asked(*took)


def _cpu_seconds() -> float:
    """CPU of this process and of those that it has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own_cpu_seconds() + used.ru_utime + used.ru_stime


def _read(job: ReplayJob) -> None:
    buffer = bytearray(PROBE_BYTES)
    for log in job.logs:
        with log.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def _grep(job: ReplayJob) -> int:
    command = ["grep", "-c", "-F", EVENT_ID, *map(str, job.logs)]
    done = subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, check=True)  # noqa: S603
    return sum(int(line.rpartition(b":")[2]) for line in done.stdout.splitlines())


def _replaying(work: Callable[[Pipeline], Awaitable[list[Event[Any]]]], job: ReplayJob) -> list[Event[Any]]:
    async def replay() -> list[Event[Any]]:
        async with Pipeline.replay(job.recording) as pipeline:
            return await work(pipeline)

    return anyio.run(replay)


async def _subscribe(pipeline: Pipeline, *others: type[Any]) -> list[Event[Any]]:
    found: list[Event[Any]] = []
    pipeline.events(Numbered, *others).subscribe(found.append)
    await pipeline.reach(pipeline.mark().position)
    return found


async def _so_far(pipeline: Pipeline) -> list[Event[Any]]:
    return list(await pipeline.so_far(Numbered))


async def _subscribe_to_all(pipeline: Pipeline) -> list[Event[Any]]:
    return [event for event in await _subscribe(pipeline, *_others()) if isinstance(event.data, Numbered)]


def _others() -> Iterator[type[Any]]:
    """Mina's events, but for those that the corpus has under an id of its own."""
    for each in vars(mina_events).values():
        with contextlib.suppress(EventDefinitionError):
            if getattr(each, "__module__", "") == mina_events.__name__ and not event_type(each).ids & {EVENT_ID}:
                yield each


READ, GREP, ONE_ID, SO_FAR, ALL = (
    "read, and nothing else",
    "grep -c, the id",
    "replay, events by id",
    "so_far, events by id",
    "replay, all of Mina's events",
)
WAYS: dict[str, Callable[[ReplayJob], list[Event[Any]] | int | None]] = {
    READ: _read,
    GREP: _grep,
    ONE_ID: functools.partial(_replaying, _subscribe),
    SO_FAR: functools.partial(_replaying, _so_far),
    ALL: functools.partial(_replaying, _subscribe_to_all),
}


def run_replay(*, say: Say, rounds: int = 3, lines_per_node: int = 50_000, passes: int = 8) -> Report:
    """Record once, and ask in every way.

    Raises:
        BenchmarkError: an event is lost, doubled or moved.
    """
    with scratch("replay", needs_bytes=len(NODES) * lines_per_node * passes * 600) as place:
        job = ReplayJob(str(place), lines_per_node, passes)
        say("replay: recording")
        gigabytes = apart(record, job).bytes / 1e9
        found = alternate(
            {way: functools.partial(apart, ask, msgspec.structs.replace(job, way=way)) for way in WAYS},
            rounds=rounds,
            say=lambda text: say(f"replay: {text}"),
        )
    table = Table(
        f"replay, {gigabytes * 1e3:,.0f} MB of the flood's lines, five nodes, logs in memory",
        ["way", "GB/s", "CPU s a GB", "GB/s over reading", "CPU over reading"],
        notes=[f"medians of {rounds} rounds; every event's number was checked, of grep how many there are"],
    )
    report = Report("replay", [table])
    for way, asked in found.items():
        seconds = statistics.median(each.seconds for each in asked) / gigabytes
        cpu = statistics.median(each.cpu for each in asked) / gigabytes
        report.figures[way] = figure = {"gigabytes_per_second": 1 / seconds, "cpu_seconds": cpu}
        bare = report.figures[READ]
        report.ratios[way] = speed = round(figure["gigabytes_per_second"] / bare["gigabytes_per_second"], 3)
        table.add(way, f"{1 / seconds:.2f}", f"{cpu:.2f}", f"{speed:.2f}x", f"{cpu / bare['cpu_seconds']:.1f}x")
    for way in (ONE_ID, SO_FAR):
        speed = report.figures[way]["gigabytes_per_second"]
        report.targets.append(Target(way, speed, LEAST, at_least=True, unit="GB/s"))
    return report
