"""`operators`: nanoseconds an item through common chains, Lucy's stream beside bare reactivex.

Both are fed the same events in the same batches of 256, as the pipeline hands them over: Lucy's stream at its own root,
reactivex by a loop over `Subject.on_next`, which is what one would write. `async for` is beside anyio's memory stream.
Every chain's results are compared.
"""

import functools
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import reactivex
from reactivex import operators
from reactivex.subject import Subject

from benchmarks.corpus import Numbered
from benchmarks.measurement import BenchmarkError, Say, alternate, apart
from benchmarks.report import Curve, Report, Table
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.subscription import Gate, Group, Sink
from lucy_core.delivery.streams import Stream
from lucy_core.delivery.streams.lines import Lines
from lucy_core.records.record import Event, Record

BATCH = 256
Chain = Callable[[Any], Any]

LUCY: dict[str, Chain] = {
    "no operator": lambda s: s,
    "map": lambda s: s.map(lambda e: e.data.n),
    "filter, map": lambda s: s.filter(lambda e: e.node == "a").map(lambda e: e.data.n),
    "filter, map, distinct": lambda s: (
        s.filter(lambda e: e.node == "a").map(lambda e: e.data.n // 10).distinct_until_changed()
    ),
    "map, scan": lambda s: s.map(lambda e: e.data.n).scan(max, 0),
    "merge of two": lambda s: s.filter(lambda e: e.node == "a").merge(s.filter(lambda e: e.node == "b")),
    "buffer of 100": lambda s: s.buffer(count=100),
}
REACTIVEX: dict[str, Chain] = {
    "no operator": lambda o: o,
    "map": lambda o: o.pipe(operators.map(lambda e: e.data.n)),
    "filter, map": lambda o: o.pipe(operators.filter(lambda e: e.node == "a"), operators.map(lambda e: e.data.n)),
    "filter, map, distinct": lambda o: o.pipe(
        operators.filter(lambda e: e.node == "a"),
        operators.map(lambda e: e.data.n // 10),
        operators.distinct_until_changed(),
    ),
    "map, scan": lambda o: o.pipe(operators.map(lambda e: e.data.n), operators.scan(max, 0)),
    "merge of two": lambda o: reactivex.merge(
        o.pipe(operators.filter(lambda e: e.node == "a")), o.pipe(operators.filter(lambda e: e.node == "b"))
    ),
    "buffer of 100": lambda o: o.pipe(operators.buffer_with_count(100)),
}
ASYNC_FOR = "async for"


class OperatorsJob(msgspec.Struct, frozen=True):
    """Which chains of whom."""

    chains: tuple[str, ...]
    lucy: bool
    items: int


class Passed(msgspec.Struct, frozen=True):
    """What came out of a chain, and what it cost."""

    nanoseconds: float
    """An item that went in."""
    results: int
    check: int


class Taken:
    """Stands where a subscription's handle stands."""

    def __init__(self, source: "Source", sink: Sink) -> None:
        self._source = source
        self._sink = sink

    def cancel(self) -> None:
        """Deliver nothing more to it."""
        self._source.sinks.remove(self._sink)


class Source(Lines):
    """Stands where the pipeline stands: keeps the sinks that `events` subscribes."""

    aborted: BaseException | None = None
    delivered = 0
    is_replay = False

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.gate: Gate | None = None

    @property
    def _feed(self) -> Any:  # itself, for what is asked of a feed here
        return self

    def place(self, since: None) -> None:
        """Return the only place there is: now."""
        return since

    def when_aborted(self, _call: Callable[[], None]) -> Callable[[], None]:
        """Never call: nothing ends here."""
        return lambda: None

    def subscribe(
        self,
        _interest: Interest,
        sink: Sink,
        _on_end: Callable[[Exception | None], None],
        *,
        since: int | None = None,  # noqa: ARG002  # there is no past here
        group: Group,
    ) -> Taken:
        self.gate = group.gate
        self.sinks.append(sink)
        return Taken(self, sink)

    def deliver(self, batch: list[Event[Numbered]]) -> None:
        """Hand a batch over as the hub does: whole to one subscriber, in the order of lines to several."""
        if len(self.sinks) == 1:
            self.sinks[0](batch)
        else:
            for item in batch:
                for sink in self.sinks:
                    sink([item])


def _batches(count: int) -> list[list[Event[Numbered]]]:
    record = Record(raw=b"m", text="m")
    made = [Event("ab"[n % 2], n, n, record, Numbered(n)) for n in range(count)]
    return [made[at : at + BATCH] for at in range(0, count, BATCH)]


def pass_through(job: OperatorsJob) -> dict[str, Passed]:
    """Push the items through one chain after the other, and time it."""
    found = {}
    for chain in job.chains:
        gc.collect()
        found[chain] = anyio.run(_iterate, job) if chain == ASYNC_FOR else _push(chain, job)
    return found


def _push(chain: str, job: OperatorsJob) -> Passed:
    batches = _batches(job.items)

    async def push() -> Passed:
        results: list[Any] = []
        if job.lucy:
            source = Source()
            stream: Stream[Any] = source.events(Numbered)
            LUCY[chain](stream).subscribe(results.append)
            started = time.perf_counter_ns()
            for batch in batches:
                source.deliver(batch)
        else:
            subject: Subject[Event[Numbered]] = Subject()
            REACTIVEX[chain](subject).subscribe(results.append)
            await anyio.lowlevel.checkpoint()
            started = time.perf_counter_ns()
            for batch in batches:
                for item in batch:
                    subject.on_next(item)
        took = time.perf_counter_ns() - started
        return Passed(took / job.items, len(results), _checksum(results))

    return anyio.run(push)


async def _iterate(job: OperatorsJob) -> Passed:
    batches = _batches(job.items)
    taken: list[Any] = []
    started = 0
    async with anyio.create_task_group() as tasks:
        if job.lucy:
            source = Source()
            stream: Stream[Any] = source.events(Numbered)

            async def feed() -> None:
                for batch in batches:
                    while source.gate is not None and source.gate.closed:
                        opened = anyio.Event()
                        source.gate.when_open(opened.set)
                        await opened.wait()
                    source.deliver(batch)
                    await anyio.lowlevel.checkpoint()

            async with stream.aiter() as items:
                started = time.perf_counter_ns()
                tasks.start_soon(feed)
                async for item in items:
                    taken.append(item)
                    if len(taken) == job.items:
                        break
        else:
            send, receive = anyio.create_memory_object_stream[Event[Numbered]](1024)

            async def put() -> None:
                async with send:
                    for batch in batches:
                        for item in batch:
                            await send.send(item)

            started = time.perf_counter_ns()
            tasks.start_soon(put)
            async with receive:
                async for item in receive:
                    taken.append(item)  # noqa: PERF401  # the loop is what is measured
    took = time.perf_counter_ns() - started
    return Passed(took / job.items, len(taken), _checksum(taken))


def _checksum(results: list[Any]) -> int:
    total = 0
    for at, result in enumerate(results):
        for item in result if isinstance(result, list) else [result]:
            total = (total * 31 + at + (item if isinstance(item, int) else item.data.n)) % (1 << 61)
    return total


def run_operators(*, say: Say, rounds: int = 3, items: int = 100_000) -> Report:
    """Measure every chain, Lucy's and the other's in turn."""
    table = Table(
        "operators, nanoseconds an item",
        ["chain", "Lucy", "bare reactivex", "ratio", "results"],
        notes=[
            f"medians of {rounds} rounds, {items:,} events in batches of {BATCH}; both gave the same results",
            f"`{ASYNC_FOR}` is Lucy's `aiter` beside anyio's memory stream, an item at a time",
        ],
    )
    report = Report("operators", [table])
    bars: dict[str, list[tuple[float | str, float]]] = {"Lucy": [], "reactivex": []}
    chains = (*LUCY, ASYNC_FOR)
    contenders = {
        name: functools.partial(apart, pass_through, OperatorsJob(chains, name == "Lucy", items))
        for name in ("Lucy", "reactivex")
    }
    all_found = alternate(contenders, rounds=rounds, say=lambda text: say(f"operators: {text}"))
    for chain in chains:
        found = {name: [each[chain] for each in results] for name, results in all_found.items()}
        outcomes = {(each.results, each.check) for results in found.values() for each in results}
        if len(outcomes) != 1:
            message = f"{chain}: Lucy and the other give different results: {found}"
            raise BenchmarkError(message)
        ours, theirs = (statistics.median(each.nanoseconds for each in results) for results in found.values())
        table.add(chain, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}x", f"{found['Lucy'][0].results:,}")
        report.ratios[chain] = round(ours / theirs, 3)
        report.figures[chain] = {"lucy": ours, "reactivex": theirs, "results": found["Lucy"][0].results}
        if chain != ASYNC_FOR:
            bars["Lucy"].append((chain, ours))
            bars["reactivex"].append((chain, theirs))
    report.curves.append(
        Curve("operators", "Through a chain of operators", "chain", "nanoseconds an item", bars, bars=True)
    )
    return report
