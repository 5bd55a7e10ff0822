"""A search that misses an event, or makes one up, doesn't stay silent: the audit holds it against the run."""

import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest
from captures import until, write

import lucy_core as lucy
from lucy_core.capturing import searching
from lucy_core.capturing.searching import BYTES, Search
from lucy_core.delivery import audit, searched
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.recording.recording import Recording
from lucy_core.recording.rows import Row
from lucy_core.records.event import event_type
from lucy_core.records.record import Block

pytestmark = pytest.mark.anyio


@lucy.event(ids="one")
class One(msgspec.Struct):
    n: int


@lucy.event(message="two and two")
class Two(msgspec.Struct):
    pass


@lucy.event(fields={"kind": "third"})
class Three(msgspec.Struct):
    pass


KINDS: tuple[type[Any], ...] = (One, Two, Three)
LINES = (
    b'{"message":"m","metadata":{"n":1},"event_id":"one"}\n',
    b'{"message":"two and two"}\n',
    b'{"message":"m","metadata":{"kind":"third"}}\n',
)
NOTHING = b'{"message":"nothing"}\n' * 40
SOME = (NOTHING + LINES[0]) * 9


def misses_every_third(data: bytes | bytearray, text: bytes, start: int, stop: int) -> int:
    found = data.find(text, start, stop)
    while found >= 0 and found % 3 == 0:
        found = data.find(text, found + 1, stop)
    return found


@pytest.fixture(params=("bytes", "stringzilla"))
def right(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(searching.VARIABLE, request.param)
    monkeypatch.setattr(searching, "_own", [])
    yield
    assert searching.chosen().name == request.param


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_own", [Search("faulty", misses_every_third, BYTES.count, most=24)])


@asynccontextmanager
async def logging(place: Path, *kinds: type[Any]) -> AsyncIterator[tuple[Pipeline, Callable[[bytes], Awaitable[None]]]]:
    """Record a node whose lines of some kinds somebody wants; it logs a block at a time, which is delivered then."""
    async with Pipeline.record(place) as pipeline:
        fifo = await pipeline.open_fifo("a")
        pipeline.read_as("a", "envelope")
        for kind in kinds:
            pipeline.subscribe(Interest(event_types=[event_type(kind)]), lambda _: None, lambda _: None)

        async def log(block: bytes) -> None:
            await write(fifo, block)
            await until(pipeline, "a")

        yield pipeline, log


async def run(place: Path, wanted: tuple[type[Any], ...] = KINDS) -> tuple[Pipeline, list[Any]]:
    """Log every kind of line in blocks of different shifts, while subscriptions come and go."""
    found: list[Any] = []
    async with logging(place) as (pipeline, log):
        handles = []
        for turn in range(12):
            if turn % 4 == 0:
                for kind in wanted[: 1 + turn // 4]:
                    interest = Interest(event_types=[event_type(kind)])
                    handles.append(pipeline.subscribe(interest, found.extend, lambda _: None))
            await log(b'{"message":"%s"}\n' % (b"x" * turn) + b"".join(NOTHING + line for line in LINES))
            if turn % 5 == 4:
                handles.pop(0).cancel()
            if turn == 6:
                await pipeline.audit()
    return pipeline, found


async def test_what_a_right_search_finds_is_held_against_nobody(right: None, tmp_path: Path) -> None:
    pipeline, found = await run(tmp_path / "run")
    assert found
    assert pipeline.ledger.gaps == []
    assert pipeline.ledger.of("a").unread == 0


@pytest.mark.parametrize("wanted", [(kind,) for kind in KINDS], ids=lambda wanted: wanted[0].__name__)
async def test_what_a_search_misses_is_a_gap_where_it_was_missed(
    faulty: None, wanted: tuple[type[Any], ...], tmp_path: Path
) -> None:
    pipeline, _ = await run(tmp_path / "run", wanted)
    assert not pipeline.ledger.complete
    for gap in pipeline.ledger.gaps:
        assert gap.node == "a"
        said = re.fullmatch(
            r"a search by faulty found (\d+) events where reading every line finds (\d+): run it with "
            r"LUCY_SEARCH=bytes, and report it as Lucy's fault",
            gap.reason,
        )
        assert said is not None, gap.reason
        assert int(said[1]) < int(said[2])


async def test_an_audit_that_was_cancelled_leaves_the_searches_to_the_next_one(faulty: None, tmp_path: Path) -> None:
    async with logging(tmp_path / "run", One) as (pipeline, log):
        await log(SOME)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await pipeline.audit()
        assert pipeline.ledger.gaps == []
        await pipeline.audit()
        assert len(pipeline.ledger.gaps) == 1
        await pipeline.audit()
        assert len(pipeline.ledger.gaps) == 1


@pytest.mark.parametrize("steps", range(6))
async def test_a_format_that_is_chosen_amid_an_audit_is_held_against_nobody(tmp_path: Path, steps: int) -> None:
    async with logging(tmp_path / "run", One) as (pipeline, log):
        for _ in range(5):  # more than is read in one turn
            await log(NOTHING * 100 + LINES[0])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pipeline.audit)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            pipeline.read_as("a", "klog")
        assert pipeline.ledger.gaps == []


@pytest.mark.parametrize("last", (2, 5, 11))
async def test_an_audit_whose_time_is_up_has_judged_what_it_had_read(
    faulty: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, last: int
) -> None:
    monkeypatch.setattr(searched, "STRETCH_BYTES", 1)
    monkeypatch.setattr(audit, "TURN_BYTES", 1)
    blocks = 12
    async with logging(tmp_path / "run", One) as (pipeline, log):
        for _ in range(blocks):
            await log(SOME)
        with anyio.CancelScope() as scope, monkeypatch.context() as patched:
            read, rows = Recording.block, itertools.count(1)

            def block(recording: Recording, row: Row) -> Block:
                if next(rows) == last:
                    scope.cancel()
                return read(recording, row)

            patched.setattr(Recording, "block", block)
            await pipeline.audit()
        judged = [gap.position for gap in pipeline.ledger.gaps]
        assert len(judged) == last - 1
        assert pipeline.ledger.of("a").unread > 0
        await pipeline.audit()
        found = [gap.position for gap in pipeline.ledger.gaps]
        assert len(found) == blocks
        assert sorted(set(found)) == found
        assert found[: len(judged)] == judged
        assert pipeline.ledger.of("a").unread == 0


async def test_what_was_searched_in_an_earlier_format_is_judged_in_that(faulty: None, tmp_path: Path) -> None:
    async with logging(tmp_path / "run", One) as (pipeline, log):
        await log(SOME)
        pipeline.read_as("a", "klog")
        await log(NOTHING)
    assert len(pipeline.ledger.gaps) == 1


@pytest.mark.parametrize("audited_before", (False, True))
@pytest.mark.parametrize("subscribed", (False, True))
async def test_what_a_search_misses_of_the_past_is_a_gap_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, audited_before: bool, subscribed: bool
) -> None:
    interest = Interest(event_types=[event_type(One)])
    found: list[Any] = []
    async with logging(tmp_path / "run") as (pipeline, log):
        middle = 0
        for turn in range(6):
            middle = pipeline.delivered if turn == 3 else middle
            await log(SOME)
        if audited_before:
            await pipeline.audit()
        monkeypatch.setattr(searching, "_own", [Search("faulty", misses_every_third, BYTES.count, most=24)])
        for start in (middle, 0, middle):  # what is searched again is judged once
            if subscribed:
                pipeline.subscribe(interest, found.extend, lambda _: None, since=start)
                await pipeline.reach(pipeline.delivered)
            else:
                await pipeline.read_all_back({interest: found.extend}, start, pipeline.delivered)
        await pipeline.audit()
    assert [(gap.position, gap.node) for gap in pipeline.ledger.gaps] == [(0, "a"), (middle, "a")]
    assert len(found) < (3 + 6 + 3) * 9


async def test_lines_that_were_all_read_are_not_read_again_for_a_search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def block(_: Recording, row: Row) -> Block:
        raise AssertionError(row)

    async with logging(tmp_path / "run", One) as (pipeline, log):
        await log(LINES[0] * 100)
        assert pipeline.ledger.of("a").unread == 0
        monkeypatch.setattr(Recording, "block", block)
        await pipeline.audit()
