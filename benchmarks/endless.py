"""A flood without an end, in a recording that is given back behind it: what `sustained` measures.

Writers repeat their corpora until the time or the passes are over; `ring` compares and gives back what they wrote. Each
event's number is held against the one before, and the ledger's counts against what the writers say. What Lucy's audit
finds at the end, where it reads zeros, counts no more.
"""

import contextlib
import functools
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from benchmarks.corpus import EVENT_EVERY, Numbered
from benchmarks.corpus import lines as corpus_lines
from benchmarks.measurement import BenchmarkError, cpu_seconds, machine_cpu_seconds, memory, own_cpu_seconds
from benchmarks.pacing import Writer
from benchmarks.ring import Held, Ring, RingJob, RingState, Told, ring
from benchmarks.session import check, open_pipeline, results_of, run
from lucy_core.capturing import run_files
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.records.journal import JOURNAL
from lucy_core.records.record import Event

NODES = 5
TOLD_SECONDS = 0.05
"""How often the ring is told how far Lucy is, and asked how far it is."""

_PROGRAM = """
import json, os, sys, time
data = open(sys.argv[1], "rb").read()
seconds, passes, lines = float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
target = os.open(sys.argv[2], os.O_WRONLY)
print("ready", flush=True)
sys.stdin.readline()
view = memoryview(data)
begin = time.monotonic()
done = 0
while done < passes and (not done or time.monotonic() - begin < seconds):
    at = 0
    while at < len(view):
        at += os.write(target, view[at : at + 262144])
    done += 1
took = time.monotonic() - begin
print(json.dumps({"lines": [done * lines], "seconds": took, "longest": 0, "blocked": 0}), flush=True)
"""


class EndlessJob(msgspec.Struct, frozen=True):
    """A flood for `seconds`, of at most so many passes of each node's corpus, looked at so many times."""

    directory: str
    seconds: float
    passes: int
    pass_lines: int
    looks: int
    held_from: int
    stride: int


class Look(msgspec.Struct, frozen=True):
    """The flood so far."""

    lines: int
    """Delivered."""
    seconds: float
    cpu_seconds: float
    """Of the test's process and the capture process."""
    other_cpu_seconds: float
    """Of everybody on this machine but these, the writers and the ring; what its host took is among it."""
    mib: float
    """Resident, of the test's process."""
    capture_mib: float
    disk_mib: float
    behind: int
    """Bytes captured and not delivered."""
    lag: float
    """Seconds from arrival to delivery, of the node that is latest."""
    held_by_lucy: float
    """Seconds for which the writers were stopped, since the disk was full of what was not delivered."""
    held_by_check: float
    """Seconds for which they were stopped, since much was not compared."""


class Endless(msgspec.Struct, frozen=True):
    """What a flood came to."""

    looks: list[Look]
    written: list[int]
    """Lines of each node."""
    bytes: int
    """Compared, which is all."""
    events: int
    peak_mib: float
    capture_peak_mib: float
    disk_peak_mib: float
    drained_seconds: float
    """From the last writer's end until all was delivered."""
    held: Held
    ring_cpu_seconds: float


class Counted:
    """A subscriber that wants each node's events in the order of their numbers, pass after pass."""

    def __init__(self, names: list[str], pass_lines: int) -> None:
        self.heard = dict.fromkeys(names, 0)
        self._next = dict.fromkeys(names, 0)
        self.pass_lines = pass_lines

    def take(self, event: Event[Numbered]) -> None:
        node, number = event.node, event.data.n
        if number != self._next[node]:
            message = f"{node}: event {number} came where {self._next[node]} was due, after {self.heard[node]} others"
            raise BenchmarkError(message)
        self.heard[node] += 1
        number += EVENT_EVERY
        self._next[node] = number if number < self.pass_lines else 0


@contextmanager
def _writers(corpora: list[Path], fifos: list[Path], job: EndlessJob) -> Iterator[list[Writer]]:
    """Start a writer a FIFO, and wait until each holds its bytes."""
    limits = (str(job.seconds), str(job.passes), str(job.pass_lines))
    processes = [
        subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(corpus), str(fifo), *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for corpus, fifo in zip(corpora, fifos, strict=True)
    ]
    with ExitStack() as stack:
        yield [stack.enter_context(Writer(process)) for process in processes]


class _Watch:
    """Looks at a flood, and tells the ring how far it is delivered."""

    def __init__(
        self, pipeline: Pipeline, corpora: dict[str, Path], keeper: Ring, writers: list[Writer], job: EndlessJob
    ) -> None:
        assert pipeline.capture_pid is not None
        self.looks: list[Look] = []
        self._pipeline = pipeline
        self._names = tuple(corpora)
        self._ring = keeper
        self._job = job
        self._capture = pipeline.capture_pid
        self._total = job.passes * sum(corpus.stat().st_size for corpus in corpora.values())
        self._helpers = (keeper.pid, *(writer.pid for writer in writers))
        self._begun = time.monotonic()
        self._cpu_before = self._cpu()
        self._others_before = self._others()

    def _cpu(self) -> float:
        return own_cpu_seconds() + cpu_seconds(self._capture)

    def _others(self) -> float:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = self._cpu() + ended.ru_utime + ended.ru_stime
        for pid in self._helpers:
            with contextlib.suppress(OSError):  # it has ended, and is among those
                ours += cpu_seconds(pid)
        return machine_cpu_seconds() - ours

    async def tell(self, *, last: bool = False) -> RingState:
        delivered = [self._pipeline.ledger.of(name).bytes for name in self._names]
        return await anyio.to_thread.run_sync(self._ring.tell, Told(delivered, last))

    async def look(self, state: RingState) -> None:
        accounts = [self._pipeline.ledger.of(name) for name in self._names]
        self.looks.append(
            Look(
                sum(account.lines for account in accounts),
                time.monotonic() - self._begun,
                self._cpu() - self._cpu_before,
                max(0.0, self._others() - self._others_before),
                memory("self").now,
                memory(self._capture).now,
                state.used / (1 << 20),
                max(0, sum(state.captured) - sum(account.bytes for account in accounts)),
                max(account.lag_ns for account in accounts) / 1e9,
                state.held.by_lucy,
                state.held.by_check,
            )
        )

    async def watch(self) -> None:
        """Tell and look, until cancelled. Ends the writers where it breaks, who would go on for half an hour.

        Raises:
            BenchmarkError: an event came that wasn't due, a byte was recorded that wasn't written, or capture died.
        """
        pipeline = self._pipeline
        while not pipeline.ledger.cut_off and not pipeline.ended:
            state = await self.tell()
            done = max((time.monotonic() - self._begun) / self._job.seconds, sum(state.captured) / self._total)
            if len(self.looks) < min(int(done * self._job.looks), self._job.looks - 1):
                await self.look(state)
            await anyio.sleep(TOLD_SECONDS)
        self._ring.end()
        raise BenchmarkError("; ".join(pipeline.ledger.cut_off) or str(pipeline.ledger.summary()))


def endless_listener(job: EndlessJob) -> Endless:
    """Record the flood with one typed subscription, and demand every line, event and byte."""
    return run(functools.partial(_listen, job), uvloop=False)


async def _listen(job: EndlessJob) -> Endless:
    root = Path(job.directory)
    corpora = {f"n{index}": root / f"corpus-{index}" for index in range(NODES)}
    for seed, corpus in enumerate(corpora.values(), 1):
        corpus.write_bytes(b"".join(corpus_lines(seed, job.pass_lines)))
    counted = Counted(list(corpora), job.pass_lines)
    async with open_pipeline(root, list(corpora), record=True) as (pipeline, fifos):
        assert pipeline.capture_pid is not None
        pipeline.events(Numbered).subscribe(counted.take)
        with ExitStack() as stack:
            writers = stack.enter_context(_writers(list(corpora.values()), fifos, job))
            keeper = stack.enter_context(ring(_ring_job(root / "run", corpora, writers, job)))
            watch = _Watch(pipeline, corpora, keeper, writers, job)
            for writer in writers:
                writer.go()
            written = await _written(writers, watch)
            ended = time.monotonic()
            while pipeline.delivered < sum(written) and not pipeline.ended:
                await watch.tell()
                await anyio.sleep(TOLD_SECONDS)
            drained = time.monotonic() - ended
            state = await watch.tell(last=True)
        check(pipeline, dict(zip(corpora, written, strict=True)))
        _account(counted, written, corpora, state)
        return Endless(
            watch.looks,
            written,
            sum(state.compared),
            sum(counted.heard.values()),
            memory("self").peak,
            memory(pipeline.capture_pid).peak,
            state.used_peak / (1 << 20),
            drained,
            state.held,
            state.cpu_seconds,
        )


async def _written(writers: list[Writer], watch: _Watch) -> list[int]:
    """Watch until the writers are done, and return how many lines each wrote.

    Raises:
        BenchmarkError: something broke.
    """
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.watch)
        broken: BenchmarkError | None = None
        try:
            written = [sum(each.lines) for each in await results_of(writers)]
        except BenchmarkError as error:
            broken = error
        tasks.cancel_scope.cancel()
    state = await watch.tell()  # which says why, where the ring has ended the writers
    if broken is not None:
        raise broken
    await watch.look(state)
    return written


def _ring_job(place: Path, corpora: dict[str, Path], writers: list[Writer], job: EndlessJob) -> RingJob:
    return RingJob(
        [str(place / run_files.log_of(name, JOURNAL)) for name in corpora],
        [str(corpus) for corpus in corpora.values()],
        [str(place / run_files.ARRIVALS)],
        [writer.pid for writer in writers],
        job.held_from,
        job.stride,
    )


def _account(counted: Counted, written: list[int], corpora: dict[str, Path], state: RingState) -> None:
    """Demand every event, and that all that was written was recorded and compared, and nothing beside it.

    Raises:
        BenchmarkError: something is missing, or too much.
    """
    passes = {node: lines // counted.pass_lines for node, lines in zip(corpora, written, strict=True)}
    heard = {node: count * len(range(0, counted.pass_lines, EVENT_EVERY)) for node, count in passes.items()}
    if counted.heard != heard:
        message = f"heard {counted.heard}, not {heard} events a node"
        raise BenchmarkError(message)
    wanted = [count * corpora[node].stat().st_size for node, count in passes.items()]
    if not wanted == state.compared == state.captured:
        message = f"of {wanted} bytes a node {state.captured} were recorded, and {state.compared} compared"
        raise BenchmarkError(message)
