"""The shared, tagged pipe: each node's lines come out as they went in, and what can't is found, named and counted."""

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lucy_core as lucy
from lucy_core.capturing import tagged
from lucy_core.capturing.tagged import SHARED, Demultiplexer, Piece, tag_line
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline

# What a daemon may write in a line: anything but a newline, what looks like a tag included.
texts = st.one_of(
    st.binary(max_size=40),
    st.sampled_from((b"", b"\r", b"\x1e", b"\x1ea:1:2:0000000000000000:x", b'{"message":"m"}', b"x" * 5000)),
).map(lambda text: text.replace(b"\n", b" "))


def of(pieces: list[Piece], node: str) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.node == node)


def counted(pieces: list[Piece], node: str) -> tuple[int, int, int]:
    """Torn, duplicates, lost."""
    mine = [piece for piece in pieces if piece.node == node]
    return sum(each.torn for each in mine), sum(each.duplicates for each in mine), sum(each.lost for each in mine)


@given(st.lists(st.tuples(st.sampled_from("ab"), texts)))
def test_lines_come_out_as_they_went_in_and_in_order(lines: list[tuple[str, bytes]]) -> None:
    numbers = dict.fromkeys("ab", 0)
    block = b""
    for node, text in lines:
        numbers[node] += 1
        block += tag_line(node, numbers[node], text + b"\n")
    pieces = Demultiplexer("ab").feed(block)
    assert [(piece.node, line) for piece in pieces for line in piece.data.split(b"\n")[:-1]] == lines
    assert sum(piece.lines for piece in pieces) == len(lines)
    assert not any(piece.torn or piece.duplicates or piece.lost or piece.unfinished for piece in pieces)


@given(texts, texts, st.data())
def test_a_line_written_into_another_is_whole_and_the_other_is_torn(text: bytes, other: bytes, data) -> None:
    outer, inner = tag_line("a", 1, b'"%b"\n' % text), tag_line("b", 1, other + b"\n")
    cut = data.draw(st.integers(1, len(outer) - 1))
    broken = outer[:cut] + inner + outer[cut:]
    demultiplexer = Demultiplexer("ab")
    pieces = demultiplexer.feed(broken)
    pieces += demultiplexer.feed(tag_line("a", 2, b"next\n"))
    assert of(pieces, "a") == b"next\n"
    assert of(pieces, "b") == other + b"\n"
    assert counted(pieces, "b") == (0, 0, 0)
    assert sum(piece.torn for piece in pieces) >= 1
    assert counted(pieces, "a")[2] == 1
    assert of(pieces, SHARED).replace(b"\n", b"") == (outer[:cut] + outer[cut:]).replace(b"\n", b"")


@given(st.lists(st.one_of(texts, st.tuples(st.sampled_from("abc"), st.integers(1, 9), texts)), max_size=9))
def test_no_byte_vanishes_whatever_comes(parts: list[bytes | tuple[str, int, bytes]]) -> None:
    block, payloads = b"", 0
    for part in parts:
        block += part + b"\n" if isinstance(part, bytes) else tag_line(part[0], part[1], part[2])
    demultiplexer = Demultiplexer("ab")
    pieces = demultiplexer.feed(block) + demultiplexer.flush(b"tail\x1e")
    for piece in pieces:
        assert piece.lines == piece.data.count(b"\n") + piece.unfinished
        payloads += len(piece.data)
    assert of(pieces, SHARED).endswith(b"tail\x1e\n")
    assert payloads <= len(block) + len(b"tail\x1e\n")


def test_a_number_that_comes_again_is_a_duplicate_and_one_that_never_came_is_lost() -> None:
    demultiplexer = Demultiplexer("ab")
    lines = {number: tag_line("a", number, b"%d\n" % number) for number in range(1, 9)}
    first = demultiplexer.feed(lines[1] + lines[2] + lines[2] + lines[1] + lines[6])
    assert of(first, "a") == b"1\n2\n6\n"
    assert counted(first, "a") == (0, 2, 3)
    late = demultiplexer.feed(lines[4] + lines[4] + lines[7])
    assert of(late, "a") == b"4\n7\n"
    assert counted(late, "a") == (0, 1, -1)


def test_a_torn_line_that_is_sent_again_is_not_lost() -> None:
    demultiplexer = Demultiplexer("a")
    line = tag_line("a", 1, b"one\n")
    assert counted(demultiplexer.feed(line[:-3] + b"\n"), "a") == (1, 0, 1)
    again = demultiplexer.feed(line + tag_line("a", 2, b"two\n"))
    assert of(again, "a") == b"one\ntwo\n"
    assert counted(again, "a") == (0, 0, -1)


def test_a_torn_line_is_counted_once_whether_or_not_its_number_is_missed_later() -> None:
    demultiplexer = Demultiplexer("a")
    pieces = demultiplexer.feed(tag_line("a", 1, b"one\n")[:-3] + b"\n" + tag_line("a", 3, b"three\n"))
    assert counted(pieces, "a") == (1, 0, 2)


def test_a_writer_that_begins_anew_is_no_duplicate() -> None:
    demultiplexer = Demultiplexer("a")
    pieces = demultiplexer.feed(b"".join(tag_line("a", number, b"old %d\n" % number) for number in (1, 2, 3)))
    pieces += demultiplexer.feed(b"".join(tag_line("a", number, b"new %d\n" % number) for number in (1, 2, 3, 4)))
    assert of(pieces, "a") == b"old 1\nold 2\nold 3\nnew 1\nnew 2\nnew 3\nnew 4\n"
    assert counted(pieces, "a") == (0, 0, 0)


def test_a_tag_is_for_one_line_of_a_name_that_can_be_written() -> None:
    with pytest.raises(ValueError, match="holds several"):
        tag_line("a", 1, b"one\ntwo\n")
    for node, number in (("a:b", 1), ("", 1), ("a", 0)):
        with pytest.raises(ValueError, match="make no tag"):
            tag_line(node, number, b"one\n")


@pytest.fixture(params=(True, False), ids=("recorded", "passed through"))
def opened(request: pytest.FixtureRequest, tmp_path: Path):
    return Pipeline.record(tmp_path / "run") if request.param else Pipeline.pass_through()


# Writes its lines in pieces, as a program does whose buffer is of 4 KiB, and every fiftieth line twice; rests in the
# middle of the first, until the others have come as far. At last a short line, so that a last torn one is missed too.
WRITER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from tagged import tag_line
path, node, count = sys.argv[2], sys.argv[3], int(sys.argv[4])
fd = os.open(path, os.O_WRONLY)
for number in range(1, count + 1):
    text = b'{"message":"%d","metadata":{"x":"%s"}}' % (number, b"x" * (20000 if number < count else 0))
    line = tag_line(node, number, text + b"\\n")
    for _ in range(2 if number % 50 == 0 and number < count else 1):
        for start in range(0, len(line), 4096):
            os.write(fd, line[start : start + 4096])
            if number == 1 and not start:
                os.write(1, b"resting")
                sys.stdin.read()
"""


@pytest.mark.anyio
@pytest.mark.blocking
async def test_four_writers_of_long_lines_tear_each_other_and_every_line_is_accounted_for(
    opened, tmp_path: Path
) -> None:
    nodes, count = ("n1", "n2", "n3", "n4"), 300
    folder = str(Path(tagged.__file__).parent)
    found: dict[str, list[int]] = {node: [] for node in nodes}

    def take(items: list[lucy.Event[lucy.Record]]) -> None:
        for item in items:
            found[item.node].append(int(item.data.text))

    async with opened as pipeline:
        fifo = await pipeline.open_shared_fifo(nodes, tmp_path / "fifo")
        pipeline.subscribe(Interest(nodes=nodes), take, lambda _: None)
        writers = [
            subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", WRITER, folder, fifo, node, str(count)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for node in nodes
        ]
        for writer in writers:
            assert writer.stdin is not None
            assert writer.stdout is not None
            with writer.stdout as said:
                assert said.read(7) == b"resting"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.close()
        for writer in writers:
            assert await anyio.to_thread.run_sync(writer.wait) == 0
        for node in (*nodes, SHARED):
            await pipeline.reach(await pipeline.drain(node))
        ledger = pipeline.ledger
        assert ledger.cut_off == []
        assert sum(account.torn for account in ledger.nodes.values()) >= 3  # the first lines of all but one at least
        assert not ledger.complete
        for node in nodes:
            account = ledger.of(node)
            assert found[node] == sorted(set(found[node]))
            # The last one is short and goes in one write; a broken tag before it leaves its mark on nobody else.
            assert found[node][-1] == count
            assert len(found[node]) + account.lost == count, str(account)
            assert account.lines == len(found[node])
            assert account.malformed == 0
        if pipeline.directory is not None:
            for node in nodes:
                log = (pipeline.directory / "logs" / f"{node}.ndjson").read_bytes()
                assert [int(line.split(b'"')[3]) for line in log.splitlines()] == found[node]
            directory, before = pipeline.directory, ledger
        else:
            return
    async with Pipeline.replay(directory) as replayed:
        for node in (*nodes, SHARED):
            again, account = replayed.ledger.of(node), before.of(node)
            assert (again.torn, again.duplicates, again.lost) == (account.torn, account.duplicates, account.lost)
            assert (again.lines, again.bytes, again.blocked_ns) == (account.lines, account.bytes, account.blocked_ns)
        assert replayed.ledger.gaps == before.gaps != []


@pytest.mark.anyio
async def test_lines_that_nobody_tears_come_whole_and_duplicates_once(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        fifo = await pipeline.open_shared_fifo(("a", "b"), tmp_path / "fifo")
        found: list[tuple[str, str]] = []
        pipeline.subscribe(
            Interest(), lambda items: found.extend((item.node, item.data.text) for item in items), lambda _: None
        )
        writer = os.open(fifo, os.O_WRONLY)
        for number in (1, 2, 2, 3):
            for node in ("a", "b"):
                os.write(writer, tag_line(node, number, b'{"message":"%d"}\n' % number))
        os.close(writer)
        for node in ("a", "b"):
            await pipeline.reach(await pipeline.drain(node))
        assert found == [(node, str(number)) for number in (1, 2, 3) for node in ("a", "b")]
        assert pipeline.ledger.complete
        assert [pipeline.ledger.of(node).duplicates for node in ("a", "b")] == [1, 1]


@pytest.mark.anyio
async def test_a_writer_that_dies_in_mid_line_spoils_no_line_of_the_living(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        fifo = await pipeline.open_shared_fifo(("a", "b"), tmp_path / "fifo")
        found: list[tuple[str, str]] = []
        pipeline.subscribe(
            Interest(), lambda items: found.extend((item.node, item.data.text) for item in items), lambda _: None
        )
        line = tag_line("b", 1, b'{"message":"of b"}\n')
        writer = os.open(fifo, os.O_WRONLY)
        os.write(writer, line[:32])
        await pipeline.drain("a")  # it is gone, but what is unfinished is b's
        os.write(writer, line[32:])
        os.write(writer, tag_line("a", 1, b'{"message":"of a"}\n')[:32])
        await pipeline.reach(await pipeline.drain("a"))
        assert found == [("b", "of b")]
        assert (pipeline.ledger.of("a").torn, pipeline.ledger.of("a").lost) == (1, 1)
        assert (pipeline.ledger.of("b").torn, pipeline.ledger.of("b").lost) == (0, 0)
        os.write(writer, tag_line("a", 2, b'{"message":"a is ba') + tag_line("b", 2, b'{"message":"b goes on"}\n'))
        os.close(writer)
        await pipeline.reach(await pipeline.drain("b"))
        assert found == [("b", "of b"), ("b", "b goes on")]
        assert pipeline.ledger.of("a").torn == 2  # the daemon's own unfinished line is in its log as it is


@pytest.mark.anyio
async def test_a_fifo_may_be_shared_by_the_sources_of_a_node(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        fifo = await pipeline.open_shared_fifo(("a/out", "a/err", "b"), tmp_path / "fifo")
        found: list[tuple[str, str, str]] = []
        pipeline.subscribe(
            Interest(nodes=("a",)),
            lambda items: found.extend((item.node, item.source, item.data.text) for item in items),
            lambda _: None,
        )
        writer = os.open(fifo, os.O_WRONLY)
        os.write(writer, tag_line("a/out", 1, b"one\n") + tag_line("a/err", 1, b"two\n") + tag_line("b", 1, b"no\n"))
        os.write(writer, tag_line("a/err", 2, b"a line that its writer dies over\n")[:40])
        await pipeline.reach(await pipeline.drain("b"))  # a may still finish it
        assert pipeline.ledger.of("a/err").torn == 0
        os.close(writer)
        await pipeline.reach(await pipeline.drain("a"))

        assert found == [("a", "out", "one"), ("a", "err", "two")]
        assert (pipeline.ledger.of("a/out").torn, pipeline.ledger.of("a/err").torn) == (0, 1)
        with pytest.raises(lucy.RecordingError, match="a source is named like a file"):
            await pipeline.open_shared_fifo(("a//out",), tmp_path / "other")


def test_who_joins_again_goes_on_as_it_was() -> None:
    split = Demultiplexer(["a"])
    split.feed(tag_line("a", 1, b"one\n"))
    split.join(["a", "b"])

    assert split.feed(tag_line("a", 1, b"one\n"))[0].duplicates == 1
    assert split.feed(tag_line("a", 3, b"three\n"))[0].lost == 1
    assert split.feed(tag_line("b", 1, b"one\n"))[0].node == "b"


@pytest.mark.anyio
async def test_more_nodes_may_come_to_share_a_fifo(opened, tmp_path: Path) -> None:
    async with opened as pipeline:
        fifo = await pipeline.open_shared_fifo(("a",), tmp_path / "fifo")
        found: list[tuple[str, str, str]] = []
        pipeline.subscribe(
            Interest(),
            lambda items: found.extend((item.node, item.source, item.data.text) for item in items),
            lambda _: None,
        )
        writer = os.open(fifo, os.O_WRONLY)
        second = tag_line("a", 2, b"half of a\n")
        os.write(writer, tag_line("a", 1, b"one\n") + second[:30])
        await pipeline.join_shared_fifo(("b", "c/err", "a"), fifo)
        os.write(writer, second[30:] + second)
        os.write(writer, tag_line("b", 1, b"two\n") + tag_line("c/err", 1, b"three\n"))
        os.write(writer, tag_line("c/err", 2, b"a line that its writer dies over\n")[:40])
        os.close(writer)
        for node in ("b", "c"):
            await pipeline.reach(await pipeline.drain(node))

        assert found == [("a", "", "one"), ("a", "", "half of a"), ("b", "", "two"), ("c", "err", "three")]
        # Of a it is still known what it has said.
        assert (pipeline.ledger.of("a").duplicates, pipeline.ledger.of("a").torn) == (1, 0)
        assert (pipeline.ledger.of("b").torn, pipeline.ledger.of("c/err").torn) == (0, 1)
        with pytest.raises(lucy.RecordingError, match=f"nobody shares a FIFO {tmp_path}/other"):
            await pipeline.join_shared_fifo(("d",), tmp_path / "other")
        with pytest.raises(lucy.RecordingError, match="needs the names"):
            await pipeline.join_shared_fifo((), fifo)


@pytest.mark.anyio
async def test_a_shared_fifo_needs_nodes(opened) -> None:
    async with opened as pipeline:
        with pytest.raises(lucy.RecordingError, match="needs the names"):
            await pipeline.open_shared_fifo(())
