"""`formats`: lines a second of each log format, beside today's reader of it; and what reading costs whom nobody asked.

Every layout's lines are read by the format that is named for them, by `auto`, and by hand; all three have to find the
same texts, severities and times. Reading is decoding a block; asking is having its records' text, severity and time
too, which the reader by hand always finds. Readers of others' are programs, with all that they do besides.
"""

import functools
import hashlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from benchmarks import json_layouts, text_layouts
from benchmarks.layout import EVENT_EVERY, Layout, Said, corpus
from benchmarks.measurement import BenchmarkError, Say, alternate, apart
from benchmarks.report import Curve, Report, Table, Target
from benchmarks.tools import report_tools
from benchmarks.wanted import BY_ID, BY_MESSAGE, BY_PATTERN, NOBODY, NODE, RECORDS, WAYS, dealt, plan_for
from lucy_core.delivery.interests.plan import Plan
from lucy_core.formats.choice import log_format
from lucy_core.formats.contract import Format
from lucy_core.records.record import Block
from lucy_core.records.severity import Severity
from lucy_core.records.wording import Template

LAYOUTS = {layout.name: layout for layout in (*json_layouts.LAYOUTS, *text_layouts.LAYOUTS)}
NAMED, AUTO, BY_HAND = "by name", "auto", "by hand"
READERS = (NAMED, AUTO, BY_HAND)
WITHOUT_LUCY = "lines with a text, by hand"
_BLOCK_BYTES = 1 << 18
"""As much as is read from a pipe at once."""
_SEED = 7
TOOLS_LINES = 10
"""How many times the lines of a layout's corpus the tools get."""
Heard = tuple[str, Severity, datetime | None]


class FormatsJob(msgspec.Struct, frozen=True):
    """Who reads, and how much."""

    reader: str
    lines: int
    seconds: float
    """For which each figure is measured again and again; the best counts."""


class Passed(msgspec.Struct, frozen=True):
    """What reading a layout's corpus cost, in seconds of processor time."""

    lines: int
    bytes: int
    read: float
    asked: float
    found: str
    """What was found, as a checksum."""


class Wanted(msgspec.Struct, frozen=True):
    """What it cost that somebody wanted something of a node."""

    seconds: float
    """Of processor time."""
    bytes: int
    heard: int


def blocks(data: bytes) -> list[Block]:
    """Cut a corpus as capture does."""
    cut: list[Block] = []
    begin = position = 0
    while begin < len(data):
        end = data.rfind(b"\n", begin, begin + _BLOCK_BYTES) + 1
        lines = data.count(b"\n", begin, end)
        cut.append(Block(NODE, position, begin, lines, 0, data[begin:end]))
        begin, position = end, position + lines
    return cut


def _best(work: Callable[[], object], seconds: float) -> float:
    """Return the least processor time that something takes, once it was done before."""
    work()
    least, spent = float("inf"), 0.0
    while spent <= seconds:
        begun = time.process_time()
        work()
        took = max(time.process_time() - begun, 1e-9)
        least, spent = min(least, took), spent + took
    return least


def read_all(job: FormatsJob) -> dict[str, Passed]:
    """Read every layout's corpus, and time it."""
    found = {}
    for name, layout in LAYOUTS.items():
        data = corpus(layout, _SEED, job.lines)
        if job.reader == BY_HAND:
            say: Callable[[], Iterator[Heard]] = functools.partial(_say_by_hand, layout, data)
            read = asked = _best(lambda say=say: _exhaust(say()), job.seconds)  # type: ignore[misc]
        else:
            chosen = log_format(AUTO) if job.reader == AUTO else log_format(layout.format, **layout.options)
            cut = blocks(data)
            say = functools.partial(_say, chosen, cut)
            read = _best(lambda chosen=chosen, cut=cut: _exhaust(map(chosen.read_block, cut)), job.seconds)  # type: ignore[misc]
            asked = _best(lambda say=say: _exhaust(say()), job.seconds)  # type: ignore[misc]
        found[name] = Passed(data.count(b"\n"), len(data), read, asked, _checksum(say()))
    return found


def _exhaust(each: Iterable[object]) -> None:
    for _ in each:
        pass


def _say_by_hand(layout: Layout, data: bytes) -> Iterator[Said]:
    return map(layout.by_hand, data.split(b"\n")[:-1])


def _say(chosen: Format, cut: list[Block]) -> Iterator[Heard]:
    for block in cut:
        batch = chosen.read_block(block)
        for index in range(len(batch.records)):
            record = batch.at(index)
            yield record.text, record.severity, record.time


def _checksum(said: Iterable[Heard]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text, severity, at in said:
        shown = at.astimezone(UTC).isoformat() if at is not None else None
        digest.update(f"{text}\0{int(severity)}\0{shown}\n".encode())
    return digest.hexdigest()


def want_all(job: FormatsJob) -> dict[str, dict[str, Wanted]]:
    """Want something of a node of every layout, and time it."""
    found = {}
    for name, layout in LAYOUTS.items():
        data = corpus(layout, _SEED, job.lines)
        cut = blocks(data)
        ways: dict[str, Wanted] = {}
        text = Template(layout.message).literal.encode()
        best = _best(lambda cut=cut, text=text: _look_by_hand(cut, text), job.seconds)  # type: ignore[misc]
        ways[WITHOUT_LUCY] = Wanted(best, len(data), _look_by_hand(cut, text))
        for way in WAYS:
            plan = plan_for(layout, way)
            if plan is not None:
                best = _best(lambda cut=cut, plan=plan: _hear(cut, plan), job.seconds)  # type: ignore[misc]
                ways[way] = Wanted(best, len(data), _hear(cut, plan))
        found[name] = ways
    return found


def _look_by_hand(cut: list[Block], text: bytes) -> int:
    return sum(len([line for line in block.data.split(b"\n") if text in line]) for block in cut)


def _hear(cut: list[Block], plan: Plan) -> int:
    return sum(len(items) for block in cut for items in dealt(plan, block))


def run_formats(*, say: Say, rounds: int = 2, lines: int = 5_000, seconds: float = 0.025) -> Report:
    """Read everything by everybody, in turn.

    Raises:
        BenchmarkError: two readers found different things, or an event wasn't heard.
    """
    report = Report("formats")

    def tell(text: str) -> None:
        say(f"formats: {text}")

    jobs = {reader: FormatsJob(reader, lines, seconds) for reader in READERS}
    read = alternate(
        {reader: functools.partial(apart, read_all, job) for reader, job in jobs.items()}, rounds=rounds, say=tell
    )
    wanted = alternate({"what is wanted": functools.partial(apart, want_all, jobs[NAMED])}, rounds=rounds, say=tell)[
        "what is wanted"
    ]
    _report_reading(report, read, rounds)
    _report_wanting(report, wanted, lines, rounds)
    report_tools(report, lines * TOOLS_LINES, seconds, tell)
    return report


def _report_reading(report: Report, read: dict[str, list[dict[str, Passed]]], rounds: int) -> None:
    table = Table(
        "formats, thousand lines a second of processor time",
        ["layout", "read", "read and asked", "auto", "auto, asked", "by hand", "asked / by hand", "auto / by hand"],
        notes=[
            f"medians of {rounds} rounds; asked: each record's text, severity and time, which all three found alike",
            "by hand: orjson and look-ups, or one regular expression for this layout; the ratios are of time",
        ],
    )
    bars: dict[str, list[tuple[float | str, float]]] = {reader: [] for reader in READERS}
    for name, layout in LAYOUTS.items():
        passes = {reader: [each[name] for each in found] for reader, found in read.items()}
        if len({each.found for found in passes.values() for each in found}) != 1:
            message = f"{name}: the readers don't find the same: {difference(layout, passes[NAMED][0].lines)}"
            raise BenchmarkError(message)
        lines = passes[NAMED][0].lines
        plain = {reader: statistics.median(each.read for each in found) for reader, found in passes.items()}
        asked = {reader: statistics.median(each.asked for each in found) for reader, found in passes.items()}
        ratios = {reader: asked[reader] / asked[BY_HAND] for reader in (NAMED, AUTO)}
        figures = (plain[NAMED], asked[NAMED], plain[AUTO], asked[AUTO], asked[BY_HAND])
        table.add(
            name, *(f"{lines / each / 1e3:,.0f}" for each in figures), *(f"{each:.2f}x" for each in ratios.values())
        )
        for reader, each in ratios.items():
            report.ratios[f"{name}: {reader} / by hand"] = round(each, 3)
        for reader in READERS:
            bars[reader].append((name, lines / asked[reader] / 1e3))
        report.figures[name] = {"lines": lines, "bytes": passes[NAMED][0].bytes, "read_s": plain, "asked_s": asked}
    report.tables.append(table)
    report.curves.append(Curve("formats", "Lines read and asked", "layout", "thousand lines a second", bars, bars=True))


def difference(layout: Layout, lines: int) -> str:
    """Name the first line of which two readers say different things."""
    data = corpus(layout, _SEED, lines)
    cut = blocks(data)
    readers = {BY_HAND: _say_by_hand(layout, data), AUTO: _say(log_format(AUTO), cut)}
    readers[NAMED] = _say(log_format(layout.format, **layout.options), cut)
    told = zip(data.split(b"\n"), zip(*readers.values(), strict=False), strict=False)
    return next(
        (f"{line[:200]!r} is {dict(zip(readers, each, strict=True))}" for line, each in told if len(set(each)) != 1),
        "one has fewer lines",
    )


def _report_wanting(report: Report, wanted: list[dict[str, dict[str, Wanted]]], lines: int, rounds: int) -> None:
    table = Table(
        "formats: what is wanted of a node, seconds of processor time a GB",
        ["layout", WITHOUT_LUCY, *WAYS, "message / id", "pattern / id"],
        notes=[
            f"medians of {rounds} rounds; a line in twenty is an event, and each was heard",
            "by hand: lines are split, and one text looked for in each, which reads nothing",
        ],
    )
    worst = {BY_MESSAGE: 0.0, BY_PATTERN: 0.0}
    for name in LAYOUTS:
        heard = {way: {each[name][way].heard for each in wanted} for way in wanted[0][name]}
        events = -(-lines // EVENT_EVERY)
        due = {way: {{NOBODY: 0, RECORDS: lines}.get(way, events)} for way in heard}
        if heard != due:
            message = f"{name}: heard {heard}, where {due} were written"
            raise BenchmarkError(message)
        costs = {
            way: statistics.median(each[name][way].seconds / each[name][way].bytes * 1e9 for each in wanted)
            for way in heard
        }
        cells = [f"{costs[way]:.2f}" if way in costs else "" for way in (WITHOUT_LUCY, *WAYS)]
        for way, most in worst.items():
            ratio = costs[way] / costs[BY_ID] if BY_ID in costs else 0.0
            worst[way] = max(most, ratio)
            cells.append(f"{ratio:.2f}x" if ratio else "")
            if ratio:
                report.ratios[f"{name}: {way} / an id"] = round(ratio, 3)
        table.add(name, *cells)
        report.figures[name] |= {"wanted_s_per_gb": costs, "heard": {way: min(each) for way, each in heard.items()}}
    report.tables.append(table)
    report.targets += [Target(f"events by {way} over by an id, worst", each, 3) for way, each in worst.items()]
