"""Files that are read to their end, once; and pipes, up to the end of their writers."""

import os
from pathlib import Path

import anyio
import pytest
from captures import say

from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import RecordingError

pytestmark = pytest.mark.anyio


async def test_a_recording_of_a_file_that_is_read_once_has_its_bytes(tmp_path: Path) -> None:
    data = (
        b"".join(say("x" * (number % 3000)) for number in range(2000)) + b"\n\xff\xfe\0 no text\nthe end has no newline"
    )
    (tmp_path / "a.log").write_bytes(data)
    async with Pipeline.record(tmp_path / "run") as pipeline:
        await pipeline.read_whole("a", tmp_path / "a.log")
        with anyio.fail_after(20):
            await pipeline.whole("a")
    assert (tmp_path / "run/logs/a.ndjson").read_bytes() == data


async def test_a_descriptor_of_this_process_is_meant_where_another_records(tmp_path: Path) -> None:
    end, writer = os.pipe()
    os.write(writer, b"one\n")
    os.close(writer)
    async with Pipeline.record(tmp_path / "run") as pipeline:
        await pipeline.read_whole("a", Path(f"/dev/fd/{end}"))
        with anyio.fail_after(20):
            await pipeline.whole("a")
    os.close(end)
    assert (tmp_path / "run/logs/a.ndjson").read_bytes() == b"one\n"


@pytest.mark.blocking
async def test_a_pipe_is_read_up_to_the_end_of_its_writers() -> None:
    end, writer = os.pipe()
    async with Pipeline.pass_through() as pipeline:
        lines: list[bytes] = []
        pipeline.lines().subscribe(lambda line: lines.append(line.raw))
        await pipeline.read_whole("a", Path(f"/dev/fd/{end}"))
        os.write(writer, b"one\nand a ")
        with anyio.move_on_after(0.1) as early:
            await pipeline.whole("a")
        assert early.cancelled_caught
        os.write(writer, b"half")
        os.close(writer)
        with anyio.fail_after(20):
            await pipeline.whole("a")
        assert lines == [b"one", b"and a half"]
    os.close(end)


async def test_a_named_pipe_has_no_end_before_its_first_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    async with Pipeline.pass_through() as pipeline:
        lines: list[bytes] = []
        pipeline.lines().subscribe(lambda line: lines.append(line.raw))
        await pipeline.read_whole("a", tmp_path / "fifo")
        await pipeline.drain("a")
        with anyio.move_on_after(0.1) as early:
            await pipeline.whole("a")
        assert early.cancelled_caught
        writer = os.open(tmp_path / "fifo", os.O_WRONLY | os.O_NONBLOCK)
        os.write(writer, b"one\n")
        os.close(writer)
        with anyio.fail_after(20):
            await pipeline.whole("a")
        assert lines == [b"one"]


@pytest.mark.parametrize("is_recorded", (False, True))
async def test_what_has_no_lines_is_refused(tmp_path: Path, *, is_recorded: bool) -> None:
    async with Pipeline.record(tmp_path / "run") if is_recorded else Pipeline.pass_through() as pipeline:
        for path, complaint in ((tmp_path, "it is a directory"), (tmp_path / "nowhere", "No such file")):
            with pytest.raises(RecordingError, match=complaint):
                await pipeline.read_whole("a", path)
        if is_recorded:
            with pytest.raises(RecordingError, match="it would grow by being read"):
                await pipeline.read_whole("a", tmp_path / "run/logs/a.ndjson")
