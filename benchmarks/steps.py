"""`steps`: what a gigabyte costs each step of a line's way, alone, beside other ways to do it.

All on the flood's corpus, in the blocks in which capture reads. What is done in memory is done cold, block after block,
so that each comes from memory or the outermost cache, and warm, the same block again and again: in the pipeline, where
the step before has just gone over the bytes, it is between the two. Every way of a step has to find the same.

Processor time is this process's alone, all of its threads included: not the writer's at the other end of a pipe, and
not the kernel's that writes to the disk.
"""

import contextlib
import errno
import fcntl
import functools
import mmap
import os
import select
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

import lucy_core as lucy
from benchmarks.corpus import EVENT_ID, Numbered, lines
from benchmarks.measurement import BenchmarkError, Say, alternate, apart, scratch
from benchmarks.report import Report, Table, Target
from benchmarks.writers import writers
from lucy_core.capturing import searching
from lucy_core.capturing.recorder.recycling import Recycler
from lucy_core.capturing.sources.fifo import PIPE_BYTES
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.plan import Plan
from lucy_core.delivery.interests.subscription import Group, Subscription
from lucy_core.errors import EventDefinitionError
from lucy_core.formats.choice import log_format
from lucy_core.mina import events as mina_events
from lucy_core.recording.rows import Window
from lucy_core.records.event import EventType, event_type
from lucy_core.records.record import Block

try:
    import stringzilla
except ImportError:
    stringzilla: Any = None  # type: ignore[no-redef]

COUNT, FIND, EVENTS, KNOWN, READ_BACK, RECORD, APPEND = STEPS = (
    "count newlines",
    'find all "event_id"',
    "give events, one line in twenty",
    "give them, however they are known",
    "read logs back, and count",
    "from pipes over cached files",
    "append to a new log",
)
STRINGZILLA = "stringzilla"
VOCABULARY = "an id among Mina's whole vocabulary"
VOCABULARY_LIMIT = 1.5
KEY = b'"event_id"'
_BLOCK_BYTES = 1 << 18
_AGAIN = 8
"""How often a block is gone over for the figure that is warm, the first time of these being cold."""
_WARM_BLOCKS = 40
_LOG_PASSES = 2
"""How often the corpus goes into a log, for what is kept of it to matter little (`recycling.KEPT_BYTES`)."""
_RWF_DONTCACHE = 0x80
_NODE = "node"
NODES = 5
Work = Callable[[], object]
"""Does a step once over all the corpus, and returns what it found."""


class StepsJob(msgspec.Struct, frozen=True):
    """Which step of what."""

    step: str
    corpora: list[str]
    place: str
    """Where files may be written."""
    seconds: float
    """For which each way is measured again and again; the best counts."""


class Cost(msgspec.Struct, frozen=True):
    """What one way of a step takes, in seconds of processor time a GB."""

    cold: float
    found: str
    warm: float | None = None


class Envelope(msgspec.Struct, frozen=True):
    """As much of a line as its event needs."""

    metadata: Numbered
    event_id: str = ""


def measure(job: StepsJob) -> dict[str, Cost]:
    """Do a step in each of its ways."""
    data = b"".join(Path(path).read_bytes() for path in job.corpora)
    if job.step in (COUNT, FIND):
        return _search(list(_blocks(data)), _COUNTERS if job.step == COUNT else _FINDERS, job.seconds)
    if job.step == RECORD:
        return _record(data, job)
    if job.step == APPEND:
        return _in_ways(_appenders(data, job), len(data) * _LOG_PASSES, seconds=0)
    ways = {EVENTS: _givers, KNOWN: _knowers, READ_BACK: _readers}[job.step]
    return _in_ways(ways(data, job), len(data), job.seconds)


def _in_ways(ways: dict[str, Work], size: int, seconds: float) -> dict[str, Cost]:
    found = {}
    for way, work in ways.items():
        try:
            took, told = _least(work, seconds)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
                raise
            continue  # this kernel, or this file system, has no such way
        found[way] = Cost(took / size * 1e9, told)
    return found


def _least(work: Work, seconds: float) -> tuple[float, str]:
    """Work again and again; return the least processor time that it took, and what was found."""
    least, spent = float("inf"), 0.0
    while True:
        begun = time.process_time()
        found = work()
        took = max(time.process_time() - begun, 1e-9)
        least, spent = min(least, took), spent + took
        if spent >= seconds:
            return least, str(found)


def _blocks(data: bytes) -> Iterator[bytes]:
    begin = 0
    while begin < len(data):
        end = data.rfind(b"\n", begin, begin + _BLOCK_BYTES) + 1
        yield data[begin:end]
        begin = end


# In memory


def _search(blocks: list[bytes], ways: dict[str, Callable[[bytes], int]], seconds: float) -> dict[str, Cost]:
    some = blocks[:_WARM_BLOCKS]
    size, again = sum(map(len, blocks)), sum(map(len, some)) * _AGAIN

    def cold(way: Callable[[bytes], int]) -> int:
        return sum(map(way, blocks))

    def warm(way: Callable[[bytes], int]) -> None:
        for block in some:
            for _ in range(_AGAIN):
                way(block)

    found = {}
    for name, way in ways.items():
        took, told = _least(functools.partial(cold, way), seconds)
        took_warm, _ = _least(functools.partial(warm, way), seconds)
        found[name] = Cost(took / size * 1e9, told, took_warm / again * 1e9)
    return found


def _find_by_bytes(data: bytes) -> int:
    find = data.find
    found = 0
    at = find(KEY)
    while at >= 0:
        found += 1
        at = find(KEY, at + len(KEY))
    return found


def _find_in_spans(data: bytes) -> int:
    """Find as `searching.BYTES` does."""
    find, step = data.find, searching.SPAN - len(KEY) + 1
    found = at = 0
    while at < len(data):
        hit = find(KEY, at, at + searching.SPAN)
        found += hit >= 0
        at = at + step if hit < 0 else hit + len(KEY)
    return found


def _find_by_stringzilla(data: bytes) -> int:
    find = stringzilla.find
    found = 0
    at = find(data, KEY)
    while at >= 0:
        found += 1
        at = find(data, KEY, at + len(KEY))
    return found


_COUNTERS: dict[str, Callable[[bytes], int]] = {
    "remove them, compare lengths": lambda data: len(data) - len(data.replace(b"\n", b"")),
    "bytes.count": lambda data: data.count(b"\n"),
}
_FINDERS: dict[str, Callable[[bytes], int]] = {
    "bytes.find in spans": _find_in_spans,
    "bytes.find": _find_by_bytes,
}
if stringzilla is not None:
    _COUNTERS[STRINGZILLA] = lambda data: stringzilla.count(data, b"\n")
    _FINDERS[STRINGZILLA] = _find_by_stringzilla


def _placed(data: bytes) -> list[Block]:
    placed: list[Block] = []
    position = 0
    for block in _blocks(data):
        placed.append(Block(_NODE, position, 0, block.count(b"\n"), 0, block))
        position += placed[-1].lines
    return placed


def _plan(*kinds: EventType[Any]) -> Plan:
    interest = Interest(event_types=kinds)
    return Plan(_NODE, log_format("mina"), [Subscription(interest, _drop, _drop, 0, Group())])


def _dealt(plan: Plan, windows: list[Window]) -> int:
    """Add up what a subscriber gets: each event's position and number."""
    dealt = (plan.deal(plan.read(window)) for window in windows)
    return sum(item.position + item.data.n for each in dealt for _, items in each.shares for item in items)


@lucy.event(message="Successfully produced a new block")
class Said(Numbered, frozen=True):
    """The same lines, known by what they say."""


@lucy.event(pattern=r"produced a (?P<kind>\w+) block")
class Fitting(Numbered, frozen=True):
    """The same lines, known by a pattern, which gives them a field."""

    kind: str


def _of_mina() -> Iterator[EventType[Any]]:
    for each in vars(mina_events).values():
        with contextlib.suppress(EventDefinitionError):
            if getattr(each, "__module__", "") == mina_events.__name__:
                yield event_type(each)


def _knowers(data: bytes, _: StepsJob) -> dict[str, Work]:
    """Give the same events, known in several ways, and beside all others that a vocabulary has."""
    windows = [Window.over(block) for block in _placed(data)]
    id_kind = event_type(Numbered)
    vocabulary = [kind for kind in _of_mina() if not kind.ids & id_kind.ids]
    plans = {
        "an id": _plan(id_kind),
        "a message": _plan(event_type(Said)),
        "a pattern": _plan(event_type(Fitting)),
        VOCABULARY: _plan(id_kind, *vocabulary),
    }
    return {way: functools.partial(_dealt, plan, windows) for way, plan in plans.items()}


def _givers(data: bytes, _: StepsJob) -> dict[str, Work]:
    """Give each event its position and its number; by Lucy all that a subscriber gets."""
    chosen = log_format("mina")
    plan = _plan(event_type(Numbered))
    placed = _placed(data)
    windows = [Window.over(block) for block in placed]

    def by_lucy(library: str) -> int:
        searching.use(library)
        return _dealt(plan, windows)

    def by_all_lines() -> int:
        found = 0
        for block in placed:
            for position, record in enumerate(chosen.read_block(block).records, block.position):
                if record.id == EVENT_ID and record.payload is not None:
                    found += position + _decode_number(record.payload).n
        return found

    ways: dict[str, Work] = {"Lucy, searching by bytes": lambda: by_lucy(""), "read all lines": by_all_lines}
    if stringzilla is not None:
        ways["Lucy, searching by stringzilla"] = lambda: by_lucy(stringzilla.__file__)
        ways["stringzilla, counting between hits, no record"] = lambda: sum(map(_give_between_hits, placed))
    return ways


_decode_number = msgspec.json.Decoder(Numbered).decode
_decode_envelope = msgspec.json.Decoder(Envelope).decode


def _give_between_hits(block: Block) -> int:
    """Search, count and decode a block in one loop."""
    data, position = block.data, block.position
    find, count = stringzilla.find, stringzilla.count
    given = end = counted = 0
    at = find(data, KEY)
    while at >= 0:
        begin = data.rfind(b"\n", end, at) + 1 or end
        if counted < begin:
            position += count(data, b"\n", counted, begin)
        counted, end = begin, data.find(b"\n", at) + 1
        envelope = _decode_envelope(data[begin:end])
        if envelope.event_id == EVENT_ID:
            given += position + envelope.metadata.n
        at = find(data, KEY, end) if end < len(data) else -1
    return given


def _drop(_: object) -> None:
    """Take what is delivered, which here is nothing."""


# To and from files


def _readers(_: bytes, job: StepsJob) -> dict[str, Work]:
    """Read files that are in the page cache, and count: what is in a map is read by who looks at it."""
    logs = [(os.open(path, os.O_RDONLY), Path(path).stat().st_size) for path in job.corpora]
    places = [(fd, at) for fd, size in logs for at in range(0, size, _BLOCK_BYTES)]
    buffer = bytearray(_BLOCK_BYTES)

    def count(data: Any, size: int) -> int:
        return data.count(b"\n", 0, size) if stringzilla is None else stringzilla.count(data, b"\n", 0, size)

    def fresh() -> int:
        return sum(count(data, len(data)) for data in (os.pread(fd, _BLOCK_BYTES, at) for fd, at in places))

    def into_one_buffer() -> int:
        return sum(count(buffer, os.preadv(fd, [buffer], at)) for fd, at in places)

    def mapped() -> int:
        found = 0
        for fd, size in logs:
            with mmap.mmap(fd, size, prot=mmap.PROT_READ) as whole, memoryview(whole) as log:
                for at in range(0, size, _BLOCK_BYTES):
                    with log[at : at + _BLOCK_BYTES] as block:
                        found += count(block, len(block))
        return found

    ways: dict[str, Work] = {"pread": fresh, "preadv into one buffer": into_one_buffer}
    if stringzilla is not None:  # nothing else counts in a map
        ways["a map, made anew"] = mapped
    return ways


def _record(data: bytes, job: StepsJob) -> dict[str, Cost]:
    """Take what writers push into FIFOs to files whose pages are there, again and again from their beginning."""
    place = Path(job.place)
    written = [Path(path).read_bytes() for path in job.corpora]
    fifos = [place / f"fifo-{number}" for number in range(len(written))]
    pipes = {_open_fifo(fifo): number for number, fifo in enumerate(fifos)}
    targets = [os.open(f"{fifo}.log", os.O_RDWR | os.O_CREAT, 0o600) for fifo in fifos]
    buffer = memoryview(bytearray(_BLOCK_BYTES))

    def fresh(pipe: int, target: int, most: int, at: int) -> int:
        return os.pwritev(target, [os.read(pipe, most)], at)

    def through_one_buffer(pipe: int, target: int, most: int, at: int) -> int:
        return os.pwritev(target, [buffer[: os.readv(pipe, [buffer[:most]])]], at)

    def spliced(pipe: int, target: int, most: int, at: int) -> int:
        return os.splice(pipe, target, most, offset_dst=at)

    def spliced_and_read_back(pipe: int, target: int, most: int, at: int) -> int:
        return os.preadv(target, [buffer[: spliced(pipe, target, most, at)]], at)

    passes = max(1, round(job.seconds * 5e9 / len(data)))
    found = {}
    for way, (take, most) in {
        "read, writev": (fresh, _BLOCK_BYTES),
        "readv, writev through one buffer": (through_one_buffer, _BLOCK_BYTES),
        "splice": (spliced, _BLOCK_BYTES),
        "splice of all that is in the pipe": (spliced, PIPE_BYTES),
        "splice, preadv into one buffer": (spliced_and_read_back, _BLOCK_BYTES),
    }.items():
        for target, content in zip(targets, written, strict=True):
            os.pwrite(target, b"\0" * len(content), 0)
        with writers([Path(path) for path in job.corpora], fifos, repeat=passes) as ready, select.epoll() as poll:
            for pipe in pipes:
                poll.register(pipe, select.EPOLLIN)
            begun = time.process_time()
            ready.go()
            left = len(data) * passes
            ends = [0] * len(written)
            while left:
                for pipe, _ in poll.poll():
                    number = pipes[pipe]
                    at = ends[number] % len(written[number])
                    got = take(pipe, targets[number], min(most, len(written[number]) - at), at)
                    ends[number] += got
                    left -= got
            took = time.process_time() - begun
        if any(os.pread(each, len(content) + 1, 0) != content for each, content in zip(targets, written, strict=True)):
            message = f"{RECORD}: by {way} a file isn't what was written"
            raise BenchmarkError(message)
        found[way] = Cost(took / len(data) / passes * 1e9, str(len(data)))
    return found


def _open_fifo(path: Path) -> int:
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return pipe


def _appenders(data: bytes, job: StepsJob) -> dict[str, Work]:
    """Write a long log. It stays, so that the next gets no pages that were just given up."""
    blocks = list(_blocks(data)) * _LOG_PASSES

    def append(name: str, flags: int = 0, recycler: Recycler | None = None) -> int:
        fd = os.open(Path(job.place) / name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        written = 0
        for block in blocks:
            written += os.pwritev(fd, [block], written, flags)
            if recycler is not None:
                recycler.wrote(fd, written, written)
                recycler.seen = written
        return written

    return {
        "pwritev": lambda: append("plain"),
        "pwritev, pages given back (recycling)": lambda: append("recycled", recycler=Recycler()),
        "pwritev, RWF_DONTCACHE": lambda: append("uncached", _RWF_DONTCACHE),
    }


def run_steps(*, say: Say, rounds: int = 3, lines_per_node: int = 50_000, seconds: float = 0.15) -> Report:
    """Measure every way of every step, a fresh process a step and round.

    Raises:
        BenchmarkError: two ways of a step found different things.
    """
    report = Report("steps")
    if stringzilla is None:
        report.skipped[STRINGZILLA] = "not installed"
    with scratch("steps", needs_bytes=(rounds * 8 + 4) * NODES * lines_per_node * 600) as place:
        corpora = [place / f"corpus-{node}" for node in range(1, NODES + 1)]
        for node, path in enumerate(corpora, 1):
            path.write_bytes(b"".join(lines(node, lines_per_node)))

        def one(step: str) -> dict[str, Cost]:
            own = Path(tempfile.mkdtemp(dir=place))
            return apart(measure, StepsJob(step, [*map(str, corpora)], str(own), seconds))

        found = alternate(
            {step: functools.partial(one, step) for step in STEPS},
            rounds=rounds,
            say=lambda text: say(f"steps: {text}"),
        )
        megabytes = sum(path.stat().st_size for path in corpora) / 1e6
    table = Table(
        f"steps, seconds of processor time a GB, each alone, {megabytes:,.0f} MB of the flood's lines",
        ["step", "way", "best", "median", "best, warm", "over the first"],
        notes=[
            f"of {rounds} rounds, in each the best of several; over the first: medians",
            "warm: the same 256 KiB again and again, which is what a step finds that follows another at once",
            "a new log costs up to ten times as much where its pages come from the host of a virtual machine",
        ],
    )
    for step, costs in found.items():
        add_step(report, table, step, costs)
    report.tables.append(table)
    dearer = report.ratios[f"{KNOWN}: {VOCABULARY} / an id"]
    report.targets.append(Target("CPU of events of Mina's whole vocabulary over one id's", dearer, VOCABULARY_LIMIT))
    return report


def add_step(report: Report, table: Table, step: str, costs: list[dict[str, Cost]]) -> None:
    """Enter what the ways of a step cost in each round.

    Raises:
        BenchmarkError: they didn't all find the same.
    """
    told = {way: {each[way].found for each in costs} for way in costs[0]}
    if len(set.union(*told.values())) != 1:
        message = f"{step}: the ways don't find the same: {told}"
        raise BenchmarkError(message)
    first = ""
    figures = report.figures[step] = {}
    for way in costs[0]:
        cold = [each[way].cold for each in costs]
        warm = [each[way].warm for each in costs]
        best, median = min(cold), statistics.median(cold)
        figures[way] = {"best": best, "median": median, "found": costs[0][way].found}
        ratio = median / figures[first or way]["median"]
        hot = min((each for each in warm if each is not None), default=None)
        if hot is not None:
            figures[way]["warm"] = hot
        shown = "" if hot is None else f"{hot:.3f}"
        table.add(step, way, f"{best:.3f}", f"{median:.3f}", shown, f"{ratio:.2f}x")
        if first:
            report.ratios[f"{step}: {way} / {first}"] = round(ratio, 3)
        first = first or way
