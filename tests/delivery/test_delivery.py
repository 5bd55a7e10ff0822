"""A block's plan is looked up once, and whoever is behind comes back without a line missing or doubled."""

import contextvars
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from stream_sources import Numbered, Other, numbered, other, write

from lucy_core.delivery.delivery import Delivery
from lucy_core.delivery.interests.hub import Hub
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.subscription import Gate, Group, Subscription
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import ArgumentError, RecordingError
from lucy_core.formats.choice import Formats
from lucy_core.recording.ledger import Ledger
from lucy_core.recording.rows import Row, Window
from lucy_core.records.event import event_type
from lucy_core.records.record import Malformed
from lucy_core.records.severity import Severity

NUMBERED = event_type(Numbered)
OTHER = event_type(Other)


def nothing(_: Any) -> None:
    pass


class Source:
    """Rows of nodes, of one line each, and how often each is read."""

    def __init__(self) -> None:
        self.delivery = Delivery(Ledger(), None)
        self.reads = 0

    def read(self, row: Row) -> Window:
        self.reads += 1
        return Window.of(row, self._data)

    def deliver(self, node: str, data: bytes) -> int:
        self._data = data
        row = Row(self.delivery.delivered, node, 0, len(data), data.count(b"\n"), 1)
        self.delivery.ledger.take(row)
        return self.delivery.deliver(row, self.read)


def taking(found: list[int]) -> Callable[[list[Any]], None]:
    return lambda items: found.extend(item.data.n for item in items)


def test_a_block_is_read_once_for_all_who_want_a_line_of_it_and_not_at_all_where_nobody_does() -> None:
    source, found = Source(), list[int]()
    for _ in range(3):
        source.delivery.subscribe(Interest(nodes="a", event_types=[NUMBERED]), taking(found), nothing)
    assert source.deliver("b", numbered(1)) == source.reads == 0
    assert source.deliver("a", numbered(2)) == len(numbered(2))
    assert (source.reads, found, source.delivery.delivered) == (1, [2, 2, 2], 2)
    assert source.delivery.ledger.of("b").unread == 1


def test_a_block_counts_as_delivered_to_whoever_subscribes_while_it_is_given() -> None:
    source, first, later = Source(), list[int](), list[int]()

    def take(items: list[Any]) -> None:
        taking(first)(items)
        if first == [1, 2]:
            assert source.delivery.delivered == 2
            assert source.delivery.arriving_before == 2
            source.delivery.subscribe(Interest(event_types=[NUMBERED]), taking(later), nothing)

    source.delivery.subscribe(Interest(event_types=[NUMBERED]), take, nothing)
    source.deliver("a", numbered(1, 2))
    source.deliver("a", numbered(3))
    assert (first, later) == ([1, 2, 3], [3])
    assert source.delivery.arriving_before is source.delivery.arriving_ns is None


def test_one_who_starts_in_the_middle_of_a_block_to_come_gets_what_follows() -> None:
    source, found = Source(), list[int]()
    source.delivery.subscribe(Interest(event_types=[NUMBERED]), taking(found), nothing, since=3)
    source.deliver("a", numbered(0, 1))
    source.deliver("a", numbered(2, 3, 4))
    source.deliver("a", numbered(5))
    assert found == [3, 4, 5]


def test_a_subscription_costs_a_new_plan_to_no_node_but_its_own() -> None:
    hub = Hub(Formats(), (Subscription(Interest(nodes=node), nothing, nothing, 0, Group()) for node in "ab"))
    plans = {node: hub.plan(node) for node in "ab"}
    added = Subscription(Interest(nodes="b"), nothing, nothing, 0, Group())
    hub.add(added)
    assert hub.plan("a") is plans["a"]
    assert added in hub.plan("b").subscriptions
    hub.remove(added)
    assert hub.plan("a") is plans["a"]
    assert added not in hub.plan("b").subscriptions


def test_a_subscription_to_a_node_that_has_ended_is_complete_with_the_next_line_of_anybody() -> None:
    source, ended = Source(), list[str]()

    def told(who: str) -> Callable[[Exception | None], None]:
        return lambda _: ended.append(who)

    source.delivery.subscribe(Interest(nodes="a"), nothing, told("early"))
    source.delivery.end_node("a", 2)
    source.deliver("b", numbered(1))
    assert ended == []  # lines of it are still to come
    source.deliver("a", numbered(2))
    assert ended == ["early"]
    source.delivery.subscribe(Interest(nodes="a"), nothing, told("late"))
    source.delivery.subscribe(Interest(nodes=("a", "b")), nothing, told("both"))
    assert ended == ["early"]
    source.deliver("b", numbered(3))
    assert ended == ["early", "late"]
    source.delivery.end_node("b", 3)
    assert ended == ["early", "late", "both"]


def test_without_a_recording_the_past_is_refused_and_whoever_is_shut_is_not_set_aside() -> None:
    source, found, gate = Source(), list[int](), Gate()
    source.delivery.subscribe(Interest(event_types=[NUMBERED]), taking(found), nothing, gate=gate)
    gate.close()
    source.deliver("a", numbered(1))
    assert list(source.delivery.shut_gates("a")) == [gate]
    assert found == [1]
    with pytest.raises(RecordingError, match="position 0 is past .now 1. and this pipeline keeps no recording"):
        source.delivery.subscribe(Interest(), nothing, nothing, since=0)


# --- those who are behind ---------------------------------------------------------------------------------------------


@pytest.fixture
async def pipeline(tmp_path: Path) -> AsyncIterator[Pipeline]:
    with anyio.fail_after(60):
        async with Pipeline.record(tmp_path / "run") as pipeline:
            yield pipeline


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_one_who_joins_a_group_that_was_set_aside_repeats_nothing_to_the_others(pipeline: Pipeline) -> None:
    for n in range(20):
        await write(pipeline, "a", numbered(n))
    gate = Gate()
    group = Group(gate)
    found: dict[str, list[int]] = {"first": [], "second": []}

    def take(items: list[Any]) -> None:
        taking(found["first"])(items)
        if len(found["first"]) == 10:
            gate.close()

    interest = Interest(nodes="a", event_types=[NUMBERED])
    pipeline.subscribe(interest, take, nothing, since=0, group=group)
    await until(lambda: gate.closed and not group.reading)
    pipeline.subscribe(interest, taking(found["second"]), nothing, since=5, group=group)
    gate.open()
    await pipeline.reach(await pipeline.fence())
    await write(pipeline, "a", numbered(20))
    assert found == {"first": list(range(21)), "second": list(range(5, 21))}
    assert pipeline.live == 2


@pytest.mark.anyio
async def test_one_who_leaves_a_group_that_reads_back_gets_no_more_and_the_others_all(
    pipeline: Pipeline,
) -> None:
    await write(pipeline, "a", *(numbered(n) for n in range(50)))
    await write(pipeline, "b", other("x"))
    group, found, others = Group(), list[int](), list[str]()

    def take(items: list[Any]) -> None:
        taking(found)(items)
        leaves.cancel()

    leaves = pipeline.subscribe(Interest(event_types=[NUMBERED]), take, nothing, since=0, group=group)
    for kind in (OTHER, NUMBERED):
        pipeline.subscribe(
            Interest(event_types=[kind]),
            lambda items: others.extend(str(item.data) for item in items),
            nothing,
            since=0,
            group=group,
        )
    await pipeline.reach(await pipeline.fence())
    assert found == [0]
    assert others == [*(f"Numbered(n={n})" for n in range(50)), "Other(text='x')"]
    await write(pipeline, "a", numbered(50))
    assert (len(found), len(others)) == (1, 52)


@pytest.mark.anyio
async def test_whoever_reads_back_is_called_for_what_it_wants_alone(pipeline: Pipeline) -> None:
    await write(pipeline, "a", numbered(1, level="Error"))
    await write(pipeline, "a", numbered(2))
    await write(pipeline, "a", numbered(3, level="Error"))
    batches: list[list[Any]] = []
    stop = pipeline.mark().position - 1
    await pipeline.read_back(Interest(nodes="a", level=Severity.ERROR), batches.append, 0, stop)
    assert [[item.position for item in batch] for batch in batches] == [[stop - 2]]


@pytest.mark.anyio
async def test_several_that_read_back_at_once_get_what_each_gets_alone(pipeline: Pipeline) -> None:
    for data in (numbered(1), numbered(2, level="Error"), b'{"broken\n', numbered(3, level="Loud"), numbered(4)):
        await write(pipeline, "a", data)
    stop = await pipeline.fence()
    interests = (
        Interest(nodes="a", level=Severity.ERROR, unleveled=True),
        Interest(nodes="a", level=Severity.ERROR),
        Interest(nodes="a", kind=Malformed),
        Interest(event_types=[NUMBERED]),
    )
    alone: list[list[Any]] = [[] for _ in interests]
    together: list[list[Any]] = [[] for _ in interests]
    for interest, found in zip(interests, alone, strict=True):
        await pipeline.read_back(interest, found.extend, 0, stop)
    await pipeline.read_all_back(
        {interest: found.extend for interest, found in zip(interests, together, strict=True)}, 0, stop
    )
    assert together == alone
    assert [len(found) for found in together] == [2, 1, 1, 4]
    with pytest.raises(ArgumentError, match="asked=3 is of type int; give a mapping"):
        await pipeline.read_all_back(3, 0, stop)  # type: ignore[arg-type]  # what is tested


place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")


@pytest.mark.anyio
async def test_a_job_runs_where_the_pipeline_was_opened_and_not_where_it_was_asked_for(pipeline: Pipeline) -> None:
    found: list[str] = []

    async def job() -> None:
        found.append(place.get())

    token = place.set("in a chain that is being subscribed to")
    pipeline.run(job)
    place.reset(token)
    await until(lambda: bool(found))
    assert found == ["nowhere"]
