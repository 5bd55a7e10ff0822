"""The readers that `flood` compares, each run in a process of its own: `python -m benchmarks.contenders NAME JOB`.

A job (JSON) names the FIFOs, the prepared corpora and what they hold. A contender opens the FIFOs, starts the writers,
reads until it has every byte, checks what it can, and prints one JSON object: seconds, CPU, peak memory, lines, bytes.
"""

import asyncio
import contextlib
import gc
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec

from benchmarks.corpus import EVENT_EVERY, EVENT_ID, Numbered
from benchmarks.measurement import cpu_seconds, memory
from benchmarks.writers import Writers, writers
from benchmarks.yojson import build, why_not
from lucy_core.capturing.recorder.recycling import Recycler
from lucy_core.capturing.searching import chosen

PIPE_BYTES = 1 << 20


class Job(msgspec.Struct, frozen=True):
    """What to read, and what it holds."""

    directory: str
    corpora: list[str]
    bytes: int
    """Of all nodes together, in one pass."""
    lines: list[int]
    """Of each node, in one pass."""
    repeat: int = 1
    verify: bool = False

    def result(self, contender: str) -> "Result":
        """A result with all of the job's lines, before its times are known."""
        return Result(contender, sum(self.lines) * self.repeat, self.bytes * self.repeat)

    @property
    def fifos(self) -> list[Path]:
        """Where the writers write, for contenders without FIFOs of their own."""
        return [Path(self.directory) / f"node-{index}.fifo" for index in range(len(self.corpora))]


class Result(msgspec.Struct):
    """What one run gave."""

    contender: str
    lines: int
    bytes: int
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    writers_seconds: float = 0.0
    """Processor time of all writers: as long as it is well below `seconds` a writer, they waited for the reader."""
    peak_mib: float = 0.0
    checked: str = ""
    searched: str = ""
    """What Lucy searched by."""


class _Clock:
    """Time and processor time from `go` on: of this process, and of those named that work for it, not of writers."""

    def __init__(self, writing: Writers, *helpers: int) -> None:
        self._writers = writing.pids()
        self._helpers = helpers
        self._cpu = self._used()
        self._written = self._writing()
        self._started = time.perf_counter()

    def _used(self) -> float:
        return time.process_time() + sum(map(cpu_seconds, self._helpers))

    def _writing(self) -> float:
        return sum(map(cpu_seconds, self._writers))

    def stop(self, result: Result) -> Result:
        """Enter both into a result."""
        result.seconds = time.perf_counter() - self._started
        result.cpu_seconds = self._used() - self._cpu
        result.writers_seconds = self._writing() - self._written
        result.peak_mib = memory().peak
        return result


def _open_fifos(job: Job) -> list[int]:
    import fcntl

    descriptors = []
    for path in job.fifos:
        os.mkfifo(path)
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        descriptors.append(fd)
    return descriptors


def _read_all(job: Job, name: str, take: Callable[[int, bytes], None], size: int = 1 << 18) -> Result:
    """Read every FIFO until all bytes are there."""

    def read(number: int, fd: int) -> int:
        chunk = os.read(fd, size)
        take(number, chunk)
        return len(chunk)

    return _serve_all(job, name, read)


def _serve_all(job: Job, name: str, move: Callable[[int, int], int]) -> Result:
    """Have `move` take bytes out of each FIFO that epoll calls ready, until all are there. It says how many it took."""
    descriptors = _open_fifos(job)
    wanted = job.bytes * job.repeat
    poll = select.epoll()
    for fd in descriptors:
        poll.register(fd, select.EPOLLIN)
    index = {fd: number for number, fd in enumerate(descriptors)}
    with writers([Path(each) for each in job.corpora], job.fifos, repeat=job.repeat) as ready:
        clock = _Clock(ready)
        ready.go()
        got = 0
        while got < wanted:
            for fd, _ in poll.poll():
                with contextlib.suppress(BlockingIOError):
                    got += move(index[fd], fd)
        return clock.stop(job.result(name))


def bare_pipe(job: Job) -> Result:
    """Read and forget: the limit of the machine."""
    return _read_all(job, "bare_pipe", lambda _node, _chunk: None)


def bare_recorder(job: Job) -> Result:
    """Splice each FIFO into a file of its own: a recording that nobody has read, without lines and without rows.

    Pages are given back as Lucy's are, which was faster where a log's pages had to come from the host first, as they
    have to after a slow reader's turn: 2.1 GB/s (1.9 to 2.5 in five turns) beside 1.7 (1.1 to 2.6) without. Into pages
    that the turn before had just freed it made 2.5, and 2.8 without.
    """
    logs = [Path(job.directory) / f"node-{index}.log" for index in range(len(job.corpora))]
    files = [os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) for log in logs]
    ends = [0] * len(files)
    recycler = Recycler()
    recycler.seen = 1  # nobody reads it, so all of it may be given up

    def splice(number: int, fd: int) -> int:
        moved = os.splice(fd, files[number], PIPE_BYTES, offset_dst=ends[number])
        ends[number] += moved
        recycler.wrote(files[number], ends[number], 1)
        return moved

    result = _serve_all(job, "bare_recorder", splice)
    for log, corpus in zip(logs, job.corpora, strict=True):
        _compare(log, Path(corpus).read_bytes(), job.repeat)
    result.checked = "every byte recorded"
    return result


def newline_count(job: Job) -> Result:
    """Read and count newlines."""
    found = 0

    def take(_node: int, chunk: bytes) -> None:
        nonlocal found
        found += chunk.count(b"\n")

    result = _read_all(job, "newline_count", take)
    if found != result.lines:
        message = f"{found} newlines were counted, {result.lines} lines written"
        raise AssertionError(message)
    return result


def _asyncio_lines(job: Job, name: str, handle: Callable[[int, bytes], None]) -> Result:
    async def read() -> Result:
        loop = asyncio.get_running_loop()
        readers = []
        for fd in _open_fifos(job):
            reader = asyncio.StreamReader(limit=1 << 20)
            await loop.connect_read_pipe(
                lambda reader=reader: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", buffering=0)
            )
            readers.append(reader)

        async def follow(number: int, reader: asyncio.StreamReader) -> None:
            for _ in range(job.lines[number] * job.repeat):
                handle(number, await reader.readline())

        with writers([Path(each) for each in job.corpora], job.fifos, repeat=job.repeat) as ready:
            clock = _Clock(ready)
            ready.go()
            await asyncio.gather(*(follow(number, reader) for number, reader in enumerate(readers)))
            return clock.stop(job.result(name))

    return asyncio.run(read())


def _counting(loads: Callable[[bytes], object], job: Job) -> Callable[[int, bytes], None]:
    """Do with each line what the typed subscription and the counter do."""
    counts = [0] * len(job.corpora)
    events: list[object] = []

    def handle(number: int, line: bytes) -> None:
        counts[number] += 1
        record = loads(line)
        if isinstance(record, dict) and record.get("event_id") == EVENT_ID:
            events.append(record["metadata"]["n"])

    return handle


def asyncio_json(job: Job) -> Result:
    """Asyncio `readline` and `json.loads`."""
    return _asyncio_lines(job, "asyncio_json", _counting(json.loads, job))


def asyncio_orjson(job: Job) -> Result:
    """Asyncio `readline` and orjson."""
    import orjson

    return _asyncio_lines(job, "asyncio_orjson", _counting(orjson.loads, job))


def reactivex_per_line(job: Job) -> Result:
    """A reactivex `Subject` that gets every line, parsed by msgspec."""
    from reactivex import operators
    from reactivex.subject import Subject

    lines: Subject[bytes] = Subject()
    found: list[int] = []
    lines.pipe(
        operators.map(msgspec.json.decode),
        operators.filter(lambda record: record.get("event_id") == EVENT_ID),
        operators.map(lambda record: record["metadata"]["n"]),
    ).subscribe(found.append)
    tails = [b""] * len(job.corpora)

    def take(node: int, chunk: bytes) -> None:
        *whole, tails[node] = (tails[node] + chunk).split(b"\n")
        for line in whole:
            lines.on_next(line)

    return _read_all(job, "reactivex_per_line", take)


def anyio_stream_per_item(job: Job) -> Result:
    """An anyio memory stream with an item a line, parsed by msgspec."""

    async def read() -> Result:
        send, receive = anyio.create_memory_object_stream[bytes](1024)
        total = sum(job.lines) * job.repeat
        descriptors = _open_fifos(job)
        handle = _counting(msgspec.json.decode, job)

        async def follow(fd: int) -> None:
            tail = b""
            while True:
                await anyio.wait_readable(fd)
                try:
                    chunk = os.read(fd, 1 << 18)
                except BlockingIOError:
                    continue
                *whole, tail = (tail + chunk).split(b"\n")
                for line in whole:
                    await send.send(line)

        with writers([Path(each) for each in job.corpora], job.fifos, repeat=job.repeat) as ready:
            async with anyio.create_task_group() as tasks, send, receive:
                for fd in descriptors:
                    tasks.start_soon(follow, fd)
                clock = _Clock(ready)
                ready.go()
                for _ in range(total):
                    handle(0, await receive.receive())
                clock.stop(result)
                tasks.cancel_scope.cancel()
        return result

    result = job.result("anyio_stream_per_item")
    return anyio.run(read)


def jq(job: Job) -> Result:
    """`jq` reading the FIFOs and keeping the structured events."""
    return _processes(job, "jq", ["jq", "-c", f'select(.event_id == "{EVENT_ID}") | .metadata.n'])


def yojson(job: Job) -> Result:
    """OCaml's yojson, the original's parser, in a compiled program a FIFO."""
    return _processes(job, "yojson", [str(build(Path(job.directory)))], EVENT_ID)


def _processes(job: Job, name: str, command: list[str], *more: str) -> Result:
    """Let a process a FIFO read it to its end."""
    for path in job.fifos:
        os.mkfifo(path)
    readers = [
        subprocess.Popen([*command, str(path), *more], stdout=subprocess.DEVNULL)  # noqa: S603  # our own job
        for path in job.fifos
    ]
    with writers([Path(each) for each in job.corpora], job.fifos, repeat=job.repeat) as ready:
        clock = _Clock(ready, *(reader.pid for reader in readers))
        ready.go()
        for reader in readers:
            os.waitid(os.P_PID, reader.pid, os.WEXITED | os.WNOWAIT)
        result = clock.stop(job.result(name))
    for reader in readers:
        if reader.wait():
            message = f"{name} ended with code {reader.returncode}"
            raise AssertionError(message)
    return result


def _lucy(job: Job, name: str, *, record: bool) -> Result:
    from lucy_core.delivery.interests.interest import Interest
    from lucy_core.delivery.pipeline import Pipeline
    from lucy_core.records.event import event_type

    result = job.result(name)
    result.searched = chosen().name

    async def read() -> Result:
        place = Path(job.directory) / "run"
        async with Pipeline.record(place) if record else Pipeline.pass_through() as pipeline:
            names = [f"node-{index}" for index in range(len(job.corpora))]
            fifos = [await pipeline.open_fifo(node, None if record else job.fifos[i]) for i, node in enumerate(names)]
            for node in names:
                pipeline.read_as(node, "mina")
            expected = dict.fromkeys(names, 0)
            wanted = sum(job.lines) * job.repeat
            size = dict(zip(names, job.lines, strict=True))

            def take(items: list[lucy_event]) -> None:
                for item in items:
                    if item.data.n != expected[item.node]:
                        message = f"{item.node}: event {item.data.n} came where {expected[item.node]} should"
                        raise AssertionError(message)
                    following = item.data.n + EVENT_EVERY
                    expected[item.node] = following if following < size[item.node] else 0

            pipeline.subscribe(Interest(event_types=[event_type(Numbered)]), take, lambda _error: None)
            if job.verify:
                _check_every_line(pipeline, size)
            corpora = [Path(each) for each in job.corpora]
            with writers(corpora, fifos, repeat=job.repeat) as ready:
                clock = _Clock(ready, *(() if pipeline.capture_pid is None else (pipeline.capture_pid,)))
                ready.go()
                await pipeline.reach(wanted)
                clock.stop(result)
            if pipeline.ledger.cut_off:
                raise AssertionError(pipeline.ledger.cut_off[0])
            counted = {node: pipeline.ledger.of(node).lines for node in names}
            if counted != {node: lines * job.repeat for node, lines in size.items()}:
                message = f"lines counted: {counted}"
                raise AssertionError(message)
            if any(expected.values()):
                message = f"the last events are missing: {expected}"
                raise AssertionError(message)
        if record:
            for node, corpus in zip(names, job.corpora, strict=True):
                _compare(place / "logs" / f"{node}.ndjson", Path(corpus).read_bytes(), job.repeat)
            shutil.rmtree(place)
        return result

    result.checked = (
        "every line" if job.verify else "every event and count" + (", every byte recorded" if record else "")
    )
    return anyio.run(read, backend_options={"use_uvloop": "uvloop" in sys.argv})


def _compare(log: Path, written: bytes, repeat: int) -> None:
    """Demand that a log is what its writer wrote: each line, once, in order."""
    with log.open("rb") as recorded:
        same = all(recorded.read(len(written)) == written for _ in range(repeat))
        if not same or recorded.read(1):
            message = f"{log.name} is not what was written"
            raise AssertionError(message)


lucy_event = object


def _check_every_line(pipeline: object, size: dict[str, int]) -> None:
    """Subscribe to all records too, and demand number after number."""
    from lucy_core.delivery.interests.interest import Interest

    following = dict.fromkeys(size, 0)

    class Number(msgspec.Struct):
        n: int

    decode = msgspec.json.Decoder(Number).decode

    def take(items: list[lucy_event]) -> None:
        for item in items:
            if item.node in following:
                number = decode(item.record.payload).n
                if number != following[item.node]:
                    message = f"{item.node}: line {number} came where {following[item.node]} should"
                    raise AssertionError(message)
                following[item.node] = (number + 1) % size[item.node]

    pipeline.subscribe(Interest(nodes=tuple(size)), take, lambda _error: None)


def lucy_with_recording(job: Job) -> Result:
    """Lucy as it is used: a capture process, a recording, a typed subscription, a counter a node."""
    return _lucy(job, "lucy_with_recording", record=True)


def lucy_without_recording(job: Job) -> Result:
    """Lucy without a recording: sources read on the test's loop."""
    return _lucy(job, "lucy_without_recording", record=False)


def lucy_with_recording_plain(job: Job) -> Result:
    """Lucy with a recording, searching by `bytes.find`, as she does where stringzilla isn't installed."""
    return _lucy(job, "lucy_with_recording_plain", record=True)


def lucy_without_recording_plain(job: Job) -> Result:
    """Lucy without a recording, searching by `bytes.find`."""
    return _lucy(job, "lucy_without_recording_plain", record=False)


CONTENDERS = {
    each.__name__: each
    for each in (
        bare_pipe,
        bare_recorder,
        lucy_without_recording,
        lucy_without_recording_plain,
        lucy_with_recording,
        lucy_with_recording_plain,
        newline_count,
        asyncio_orjson,
        asyncio_json,
        reactivex_per_line,
        anyio_stream_per_item,
        jq,
        yojson,
    )
}


def missing(name: str) -> str | None:
    """Say why a contender can't run here, if it can't."""
    if name == "jq" and shutil.which("jq") is None:
        return "not installed"
    return why_not() if name == "yojson" else None


def main() -> None:
    """Run one contender once."""
    name, job_text = sys.argv[1:3]
    job = msgspec.json.decode(job_text, type=Job)
    gc.collect()
    result = CONTENDERS[name](job)
    print(msgspec.json.encode(result).decode())


if __name__ == "__main__":
    main()
