"""From bytes to records: any chunking, any garbage, any writer; each line once, in order, and accounted for."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lucy_core as lucy
from lucy_core.capturing.framing import Framer
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.formats.contract import Batch
from lucy_core.formats.envelope import EnvelopeFormat
from lucy_core.helpers.helper import BOOT
from lucy_core.recording.recording import Cursor, Recording
from lucy_core.records.record import Block

ID = "lucy.test.line"


@lucy.event(ids=ID)
class Line(msgspec.Struct, frozen=True):
    n: int


def good(n: int, text: str = "") -> bytes:
    return (
        b'{"timestamp":"2026-01-10 12:00:00.000001Z","level":"Info","message":"m","metadata":{"n":%d,"t":"%b"},'
        % (
            n,
            text.encode(),
        )
        + b'"event_id":"%b"}' % ID.encode()
    )


BAD = (
    b"",
    b"   ",
    b"plain text",
    b"\xff\xfe{",
    b'{"message":"\xff"}',
    b'{"message":"a\x00b"}',
    b'{"message":"cut',
    b'{"message":1}',
    b"{}",
    b"[1]",
    b"3",
    b'"text"',
    b'{"message":"a"}{"message":"b"}',
    b'{"message":"a",',
    b'"level":"Info"}',
    b'{"message":NaN}',
    b'{"message":"a","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
)

PLAIN = tuple(line for line in BAD if not line.lstrip().startswith(b"{"))
"""Those of them that are no more than text, and so records all the same."""

pieces = st.lists(st.one_of(st.integers(0, 9).map(good), st.sampled_from(BAD)), max_size=12)


def block_of(lines: list[bytes], *, torn: bool = False) -> Block:
    data = b"\n".join(lines) if torn else b"".join(line + b"\n" for line in lines)
    return Block("a", 100, 0, len(lines), 0, data, torn)


def decode(block: Block) -> Batch:
    return EnvelopeFormat().read_block(block)


@given(pieces, st.data())
def test_any_chunking_of_the_same_bytes_gives_the_same_lines(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines) + data.draw(st.sampled_from((b"", b"tail")))
    framer, got, left = Framer(), b"", text
    while left:
        size = data.draw(st.integers(1, len(left)))
        block = b"".join(framer.feed(left[:size]))
        assert not block or block.endswith(b"\n")
        got += block
        left = left[size:]
    assert got + framer.flush() == text
    assert framer.pending == 0


@given(pieces, st.booleans())
def test_each_line_is_a_record_or_malformed_once_and_in_order(lines: list[bytes], torn: bool) -> None:
    if torn and (not lines or not lines[-1]):
        return
    batch = decode(block_of(lines, torn=torn))
    places = batch.positions or list(range(100, 100 + len(batch.records)))
    found = sorted([*places, *(bad.position for bad in batch.malformed)])
    assert found == list(range(100, 100 + len(lines)))
    for place, record in zip(places, batch.records, strict=True):
        line = lines[place - 100]
        assert record.text == (
            line.decode(errors="backslashreplace") if line in PLAIN else msgspec.json.decode(line)["message"]
        )
    for bad in batch.malformed:
        assert bad.raw == lines[bad.position - 100]
        assert bad.reason


@pytest.mark.parametrize(
    "lines",
    (
        (good(1), b'{"message":"a"}{"message":"b"}', b'{"message":', b'{"c"}', good(2)),
        (good(1), b'{"message":"a"}{"message":"b"}', b'{"message":"c"', good(2)),
    ),
)
def test_errors_that_cancel_out_in_number_are_found(lines: tuple[bytes, ...]) -> None:
    batch = decode(block_of(list(lines)))
    assert [record.text for record in batch.records] == ["m", "m"]
    assert batch.positions == [100, 100 + len(lines) - 1]


@pytest.mark.parametrize("field", ("timestamp", "level", "event_id"))
@pytest.mark.parametrize("value", (b"30", b"1700000000.123", b"null", b"true", b"{}", b'["a"]', b"9" * 5000))
def test_an_optional_field_of_another_type_is_lost_and_its_line_is_not(field: str, value: bytes) -> None:
    others = {"timestamp": "t", "level": "Warn", "event_id": "e"}
    del others[field]
    line = b'{"%b":%b,"message":"m","metadata":{"n":1},%b' % (field.encode(), value, json.dumps(others)[1:].encode())
    batch = decode(block_of([good(1), line, good(2)]))
    assert batch.malformed == []
    record = batch.at(1)
    assert (record.raw, record.fields) == (line, {"n": 1})
    found = {"timestamp": record.timestamp, "level": record.level, "event_id": record.id}
    assert {name: found[name] for name in others} == others
    assert not found[field]


def test_a_byte_order_mark_costs_no_line() -> None:
    bom = b"\xef\xbb\xbf"
    batch = decode(block_of([bom + good(1), good(2), bom + b'{"message":"m","level":30}', bom]))
    assert [record.text for record in batch.records[:3]] == ["m"] * 3
    assert batch.malformed == []


def test_a_huge_line_is_a_line() -> None:
    batch = decode(block_of([good(1), good(2, "x" * (64 << 20)), good(3)]))
    assert len(batch.records) == 3


CORRUPTER = """
import os, sys
sys.path.insert(0, sys.argv[2])
from test_lines import BAD, good
fd = os.open(sys.argv[1], os.O_WRONLY)
for chunk in range(100):
    block = bytearray()
    for i in range(10_000):
        n = chunk * 10_000 + i
        block += good(n) + b"\\n"
        if n % 100 == 37:
            block += BAD[n // 100 % len(BAD)] + b"\\n"
    view = memoryview(block)
    while view:
        view = view[os.write(fd, view):]
"""


@pytest.mark.anyio
@pytest.mark.slow
async def test_ten_thousand_corrupted_lines_among_a_million_are_all_accounted_for(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        pipeline.read_as("a", "envelope")
        fifo = await pipeline.open_fifo("a")
        following = 0

        def take(items: list[lucy.Event[Line]]) -> None:
            nonlocal following
            for item in items:
                assert item.data.n == following
                following += 1

        pipeline.subscribe(Interest(event_types=[lucy.event_type(Line)], nodes=["a"]), take, lambda _: None)
        command = [sys.executable, "-c", CORRUPTER, str(fifo), str(Path(__file__).parent)]
        writer = await anyio.run_process(command, check=False)
        assert writer.returncode == 0, writer.stderr.decode()
        await pipeline.reach(await pipeline.drain("a"))
        await pipeline.audit()
        account = pipeline.ledger.of("a")
        assert pipeline.ledger.cut_off == []
        assert following == 1_000_000
        assert account.lines == 1_010_000
        plain = sum(BAD[n % len(BAD)] in PLAIN for n in range(10_000))
        assert account.malformed == 10_000 - plain
        assert account.decoded == 1_000_000 + plain
        assert account.undecodable == 0


@pytest.mark.anyio
async def test_a_million_lines_followed_while_they_grow_come_once_each(tmp_path: Path) -> None:
    program = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
for chunk in range(100):
    block = b"".join(
        b'{"message":"m","metadata":{"n":%d},"event_id":"lucy.test.line"}\\n' % n
        for n in range(chunk * 10_000, chunk * 10_000 + 10_000)
    )
    view = memoryview(block)
    while view:
        view = view[os.write(fd, view):]
"""
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        counts = {"live": 0, "from 0": 0, "from the middle": 400_000}

        def counter(name: str):
            def take(item: lucy.Event[Line]) -> None:
                assert item.data.n == counts[name], name
                counts[name] += 1

            return take

        pipeline.events(Line, since=0).subscribe(counter("live"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.run_process, [sys.executable, "-c", program, str(fifo)])
            await pipeline.reach(500_000)
            pipeline.events(Line, since=0).subscribe(counter("from 0"))
            pipeline.events(Line, since=400_000).subscribe(counter("from the middle"))
            slow = 0
            async with pipeline.events(Line, since=0).aiter(limit=500) as items:
                async for item in items:
                    assert item.data.n == slow
                    slow += 1
                    if slow == 1_000_000:
                        break
        await pipeline.reach(1_000_000)
    assert counts == dict.fromkeys(counts, 1_000_000)
    async with Pipeline.replay(tmp_path / "run") as replayed:
        last = await replayed.events(Line, since=999_999).first(within=10)
        assert last.data.n == 999_999
        assert replayed.ledger.of("a").lines == 1_000_000


def test_a_position_is_found_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.ndjson").write_bytes(b"x\n" * 5000)
    rows, position = [], 0
    while position < 5000:
        lines = 1 + position % 7
        row = {"position": position, "node": "a", "offset": position * 2, "bytes": lines * 2, "lines": lines}
        rows.append({**row, "arrived_ns": 1})
        position += lines
    (tmp_path / "arrivals.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Recording(tmp_path) as recording:
        assert recording.end() == position
        for wanted in range(position):
            row = recording.rows(recording.cursor_at(wanted))[0]
            assert row.position <= wanted < row.position + row.lines
        assert recording.rows(recording.cursor_at(position)) == []
        assert sum(row.lines for row in iter_rows(recording)) == position


def iter_rows(recording: Recording):
    cursor = Cursor()
    while rows := recording.rows(cursor):
        yield from rows


def test_a_damaged_recording_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(lucy.RecordingError, match=r"is no run directory: arrivals\.ndjson"):
        Recording(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.ndjson").write_bytes(b"x\n")
    (tmp_path / "arrivals.ndjson").write_text(
        '{"position":0,"node":"a","offset":0,"bytes":20,"lines":1,"arrived_ns":1}\n'
        '{"position":1,"node":"b","offset":0,"bytes":2,"lines":1,"arrived_ns":1}\n'
    )
    with Recording(tmp_path) as recording:
        rows = recording.rows(Cursor())
        with pytest.raises(lucy.RecordingError, match="the log of a ends at 2"):
            recording.block(rows[0])
        with pytest.raises(lucy.RecordingError, match="lacks the log of b"):
            recording.block(rows[1])


@pytest.fixture(params=(True, False), ids=("recorded", "passed through"))
def opened(request: pytest.FixtureRequest, tmp_path: Path):
    return Pipeline.record(tmp_path / "run") if request.param else Pipeline.pass_through()


async def collect(pipeline: Pipeline, node: str) -> list[tuple[str, object]]:
    """Subscribe to all that a node writes: what it was, and what it said."""
    found: list[tuple[str, object]] = []
    pipeline.subscribe(
        Interest(nodes=[node]),
        lambda items: found.extend(("record", item.data.text) for item in items),
        lambda _: None,
    )
    pipeline.subscribe(
        Interest(nodes=[node], kind=lucy.Malformed),
        lambda items: found.extend(("malformed", item.raw) for item in items),
        lambda _: None,
    )
    return found


def say(text: str) -> bytes:
    return b'{"message":"%b"}\n' % text.encode()


@pytest.mark.anyio
async def test_writers_may_come_go_dawdle_and_die_in_mid_line(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        found = await collect(pipeline, "a")
        for number in range(3):
            writer = os.open(fifo, os.O_WRONLY)
            for byte in say(f"w{number}"):
                os.write(writer, bytes((byte,)))
            os.write(writer, b'{"message":"cut sh')
            os.close(writer)
            await pipeline.reach(await pipeline.drain("a"))
        records = [item for kind, item in found if kind == "record"]
        torn = [item for kind, item in found if kind == "malformed"]
        assert records == ["w0", "w1", "w2"]
        assert torn == [b'{"message":"cut sh'] * 3
        assert pipeline.ledger.of("a").torn == 3


@pytest.mark.anyio
async def test_an_unfinished_line_is_counted_though_nobody_wants_it(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        writer = os.open(fifo, os.O_WRONLY)
        os.write(writer, say("whole") + b'{"message":"cut sh')
        os.close(writer)
        await pipeline.reach(await pipeline.drain("a"))
        account = pipeline.ledger.of("a")
        assert (account.lines, account.torn) == (2, 1)
    if pipeline.directory is not None:
        async with Pipeline.replay(pipeline.directory) as again:
            told = again.ledger.of("a")
            assert (told.lines, told.torn, told.blocked_ns) == (2, 1, account.blocked_ns)


@pytest.mark.anyio
async def test_a_file_is_followed_through_rotation_and_truncation(opened, tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    async with opened as pipeline:
        await pipeline.follow_file("a", log)
        found = await collect(pipeline, "a")

        async def written(text: str) -> None:
            with anyio.fail_after(20):
                while ("record", text) not in found:
                    await anyio.sleep(0.001)

        log.write_bytes(say("one"))
        await written("one")
        with log.open("ab") as more:
            more.write(say("two") + b'{"message":"unfin')
        await written("two")
        log.rename(tmp_path / "node.log.0")
        log.write_bytes(say("three"))
        await written("three")
        log.write_bytes(b"")
        with log.open("ab") as more:
            more.write(say("four"))
        await written("four")
        assert [item for kind, item in found if kind == "record"] == ["one", "two", "three", "four"]


@pytest.mark.anyio
@pytest.mark.blocking
async def test_lines_come_over_sockets_and_connections_never_mix(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        path = await pipeline.listen("a", str(tmp_path / "socket"))
        found = await collect(pipeline, "a")
        first, second = (socket.socket(socket.AF_UNIX) for _ in range(2))
        with first, second:
            first.connect(path)
            second.connect(path)
            first.sendall(b'{"message":"fi')
            second.sendall(b'{"message":"second"}\n{"messa')
            first.sendall(b'rst"}\n')
            second.sendall(b'ge":"third"}\n')
            with anyio.fail_after(20):
                while len(found) < 3:
                    await anyio.sleep(0.001)
        assert sorted(item for _, item in found) == ["first", "second", "third"]


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_tcp_peer_has_to_know_the_token(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        address = await pipeline.listen("a", ("127.0.0.1", 0))
        found = await collect(pipeline, "a")
        with socket.create_connection(address) as stranger:
            stranger.sendall(b"LUCY wrong\n" + say("bad"))
            with anyio.fail_after(20):
                while not pipeline.ledger.of("a").failures:
                    await anyio.sleep(0.001)
        with socket.create_connection(address) as friend:
            friend.sendall(b"LUCY %b\n" % pipeline.token.encode() + say("good"))
            with anyio.fail_after(20):
                while not found:
                    await anyio.sleep(0.001)
        assert found == [("record", "good")]


@pytest.mark.anyio
async def test_a_subscriber_that_raises_is_cut_off_and_the_others_miss_nothing(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        found = await collect(pipeline, "a")
        ended: list[str] = []

        def raises(items: list[object]) -> None:
            message = "mine"
            raise ValueError(message)

        def leaves(items: list[object]) -> None:
            ended.append("left")
            leave()

        def joins(items: list[object]) -> None:
            if "joined" not in ended:
                ended.append("joined")
                pipeline.subscribe(Interest(nodes=["a"]), lambda items: ended.append("heard"), lambda _: None)

        pipeline.subscribe(Interest(nodes=["a"]), raises, lambda _: None)
        leave = pipeline.subscribe(Interest(nodes=["a"]), leaves, lambda _: None).cancel
        pipeline.subscribe(Interest(nodes=["a"]), joins, lambda _: None)
        writer = os.open(fifo, os.O_WRONLY)
        for number in range(3):
            os.write(writer, say(str(number)))
            await pipeline.reach(await pipeline.drain("a"))
        os.close(writer)
        assert [item for _, item in found] == ["0", "1", "2"]
        assert ended == ["left", "joined", "heard", "heard"]
        assert pipeline.ledger.cut_off == ["a subscriber to records raised ValueError: mine"]


@pytest.mark.anyio
async def test_a_full_disk_stops_the_recording_and_not_the_run(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        async with Pipeline.record(disk / "run") as pipeline:
            fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
            following = 0

            def take(items: list[lucy.Event[Line]]) -> None:
                nonlocal following
                for item in items:
                    assert item.data.n == following
                    following += 1

            pipeline.subscribe(Interest(event_types=[lucy.event_type(Line)]), take, lambda _: None)
            text = "x" * 1000
            program = (
                "import os,sys; sys.path.insert(0, sys.argv[2]); from test_lines import good; "
                "fd = os.open(sys.argv[1], os.O_WRONLY); "
                f"[os.write(fd, good(n, {text!r}) + b'\\n') for n in range(3000)]"
            )
            await anyio.run_process([sys.executable, "-c", program, str(fifo), str(Path(__file__).parent)])
            await pipeline.reach(await pipeline.drain("a"))
            assert following == 3000
            assert pipeline.ledger.complete
            assert not pipeline.ledger.recorded
            assert pipeline.ledger.recording_stopped is not None
            position, reason = pipeline.ledger.recording_stopped
            assert "No space left" in reason
            assert (disk / "run/logs/a.ndjson").read_bytes().count(b"\n") == position < 3000
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.anyio
async def test_a_deleted_run_directory_is_told_and_live_goes_on(tmp_path: Path) -> None:
    import shutil

    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        found = await collect(pipeline, "a")
        shutil.rmtree(tmp_path / "run")
        writer = os.open(fifo, os.O_WRONLY)
        os.write(writer, say("after"))
        os.close(writer)
        await pipeline.reach(await pipeline.drain("a"))
        assert found == [("record", "after")]
        with anyio.fail_after(20):
            while pipeline.ledger.recording_deleted is None:
                await anyio.sleep(0.01)
                pipeline.write_nowait("lucy", say("x"))


@pytest.mark.anyio
async def test_the_death_of_the_capture_process_is_an_error_and_never_silence(tmp_path: Path) -> None:
    ended: list[Exception | None] = []
    async with Pipeline.record(tmp_path / "run") as pipeline:
        fifo = await pipeline.open_fifo("a")
        pipeline.subscribe(Interest(), lambda _: None, ended.append)
        assert pipeline.capture_pid is not None
        os.kill(pipeline.capture_pid, 9)
        with anyio.fail_after(20):
            while not ended:
                await anyio.sleep(0.001)
        assert isinstance(ended[0], lucy.CaptureDiedError)
        assert not pipeline.ledger.complete
        assert pipeline.ledger.gaps == [lucy.Gap(0, None, "the capture process is gone (was killed by SIGKILL)")]
        with pytest.raises(lucy.CaptureDiedError, match="the log is incomplete"):
            await pipeline.drain("a")
        assert fifo.exists()


@pytest.mark.anyio
async def test_what_a_subscription_names_is_decided_before_payloads_are_decoded(opened, tmp_path: Path) -> None:
    decoded: list[str] = []

    def counting(record: lucy.Record) -> object:
        decoded.append(record.severity_text)
        return Levelled()

    @lucy.event(ids="lucy.test.levelled", decode=counting)
    class Levelled(msgspec.Struct, frozen=True):
        pass

    async with opened as pipeline:
        await pipeline.open_fifo("b", tmp_path / "other")
        fifo = await pipeline.open_fifo("a", tmp_path / "fifo")
        found: list[str] = []
        wanted = pipeline.events(Levelled, nodes=["a"], level=lucy.Severity.WARN)
        wanted.subscribe(lambda event: found.append(event.record.level))
        pipeline.events(Levelled, nodes=["b"]).subscribe(lambda event: found.append("b"))
        writer = os.open(fifo, os.O_WRONLY)
        for level in ("Debug", "Warn", "info", "Fatal"):
            os.write(writer, b'{"message":"m","level":"%b","event_id":"lucy.test.levelled"}\n' % level.encode())
        os.close(writer)
        await pipeline.reach(await pipeline.drain("a"))
    assert found == decoded == ["Warn", "Fatal"]


def test_the_capture_process_loads_nothing_but_the_standard_library(tmp_path: Path) -> None:
    boot = (
        "import runpy, sys; boot = runpy.run_path(sys.argv[1]); "
        "sys.meta_path.insert(0, boot['Shells']('lucy_core')); import lucy_core.capturing.loop; print(*sys.modules)"
    )
    words = [sys.executable, "-I", "-S", "-c", boot, BOOT]
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) - {"__main__", "_distutils_hack"} == {"lucy_core"}
