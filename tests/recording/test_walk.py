"""One walk over the rows: each of them once, and nobody's turn longer than what is read in it."""

import json
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from lucy_core.capturing.facts import Fact
from lucy_core.delivery.delivery import CATCH_UP_BYTES
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import RecordingError
from lucy_core.recording.recording import Recording
from lucy_core.recording.walk import ROW_COST, Walk

pytestmark = pytest.mark.anyio

LINE = b'{"message":"%b"}\n' % (b"m" * 8000)


def record(directory: Path, *, blocks: int, lines: int, facts: int = 0) -> bytes:
    """Write a recording of one node: blocks of as many lines each, and facts behind every one of them."""
    (directory / "logs").mkdir()
    (directory / "logs" / "a.ndjson").write_bytes(LINE * lines * blocks)
    rows = []
    for number in range(blocks):
        size = len(LINE) * lines
        rows.append(row(number * lines, offset=number * size, bytes=size, lines=lines))
        rows += [row((number + 1) * lines, fact=Fact.WAY)] * facts
    text = b"".join(rows)
    (directory / "arrivals.ndjson").write_bytes(text)
    return text


def row(position: int, **more: object) -> bytes:
    members = {"position": position, "node": "a", "offset": 0, "bytes": 0, "lines": 0, "arrived_ns": 1, **more}
    return json.dumps(members).encode() + b"\n"


async def walked(walk: Walk) -> list[int]:
    found = []
    while await walk.turn():
        found += [row.position for row in walk.blocks()]
    return found


@pytest.mark.blocking
@pytest.mark.parametrize("turn_bytes", (0, 3 * ROW_COST, 1 << 20))
async def test_every_row_comes_once_from_any_position_however_short_the_turns(tmp_path: Path, turn_bytes: int) -> None:
    text = record(tmp_path, blocks=40, lines=3, facts=2)
    with Recording(tmp_path) as recording:
        for position in range(0, 120, 7):
            walk = Walk(recording, position, turn_bytes=turn_bytes)
            assert await walked(walk) == list(range(position - position % 3, 120, 3))
            assert walk.offset == len(text)


@pytest.mark.blocking
async def test_a_walk_goes_on_where_it_ended_once_more_rows_have_come(tmp_path: Path) -> None:
    record(tmp_path, blocks=2, lines=3)
    with Recording(tmp_path) as recording, (tmp_path / "arrivals.ndjson").open("ab") as arrivals:
        walk = Walk(recording)
        assert await walked(walk) == [0, 3]
        arrivals.write(row(6, lines=1)[:20])
        arrivals.flush()
        assert await walked(walk) == []
        arrivals.write(row(6, lines=1)[20:] + row(7, lines=1))
        arrivals.flush()
        assert await walked(walk) == [6, 7]


@pytest.mark.blocking
async def test_whoever_reads_back_lets_others_have_their_turn_by_the_bytes_that_it_reads(tmp_path: Path) -> None:
    block = 32 * len(LINE)
    record(tmp_path, blocks=100, lines=32)
    turns = 0
    read: dict[int, int] = {}

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    def take(items: list[object]) -> None:
        read[turns] = read.get(turns, 0) + len(items) * len(LINE)

    async with Pipeline.replay(tmp_path) as pipeline, anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        await pipeline.read_back(Interest(), take, 0, 3200)
        tasks.cancel_scope.cancel()

    assert sum(read.values()) == 100 * block
    assert max(read.values()) <= CATCH_UP_BYTES + block


@pytest.mark.blocking
async def test_the_row_that_cannot_be_read_is_told_behind_those_that_can(tmp_path: Path) -> None:
    record(tmp_path, blocks=2, lines=3)
    with (tmp_path / "arrivals.ndjson").open("ab") as arrivals:
        arrivals.write(b"{}\n")
    with Recording(tmp_path) as recording:
        walk = Walk(recording)
        found = []
        with pytest.raises(RecordingError, match=r"arrivals\.ndjson is damaged"):
            while await walk.turn():
                for each in walk.rows():
                    found.append(each.position)  # noqa: PERF401  # what was given before it raised is what counts
        assert found == [0, 3]
