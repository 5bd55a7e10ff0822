"""Searching instead of decoding: the same events whatever the bytes and whoever else subscribes, and an exact audit."""

import json
import os
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lucy_core as lucy
from lucy_core.capturing import searching
from lucy_core.capturing.searching import count_lines
from lucy_core.delivery.delivery import Delivery
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.delivery.scanning import search
from lucy_core.errors import EventDefinitionError, RecordingError
from lucy_core.formats.auto import AutoFormat
from lucy_core.formats.choice import NodeFormats
from lucy_core.formats.contract import Format, Needles
from lucy_core.formats.envelope import EnvelopeFormat
from lucy_core.recording.ledger import Ledger
from lucy_core.recording.rows import Window
from lucy_core.records.event import event_type
from lucy_core.records.record import Block, Malformed, Record, Undecodable


def as_it_is(record: Record) -> bytes:
    return bytes(record.payload or b"")


@lucy.event(ids="one", decode=as_it_is)
class One(msgspec.Struct):
    pass


@lucy.event(ids=("two", "zwei"), decode=as_it_is)
class Two(msgspec.Struct):
    pass


@lucy.event(ids='a"b\\c/d\né', decode=as_it_is)
class Odd(msgspec.Struct):
    pass


@lucy.event(ids="three", message="a message", decode=as_it_is)
class Said(msgspec.Struct):
    pass


@lucy.event(ids="four", message=("a message", "a $kind message"), message_needs_id=True, decode=as_it_is)
class Known(msgspec.Struct):
    pass


@lucy.event(ids="numbered")
class Numbered(msgspec.Struct):
    n: int


@lucy.event(message=("leader is a7", "leader=a7", "leader+a7"), decode=as_it_is)
class Leader(msgspec.Struct):
    pass


@lucy.event(pattern="leads", decode=as_it_is)
class Leads(msgspec.Struct):
    pass


FORMAT = EnvelopeFormat()
IDS = ("one", "two", "zwei", "three", "numbered", "other", 'a"b\\c/d\né', "")


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" if letter in "evt_" else letter for letter in text)


def line_of(key: str, value: str, before: str, between: tuple[str, str], nested: str) -> bytes:
    first, second = between
    metadata = f'{{"x":{json.dumps(before)},"event_id":{json.dumps(nested)}}}' if nested else "{}"
    return f'{{"message":"m","metadata":{metadata},"{key}"{first}:{second}{value}}}'.encode()


values = st.one_of(
    st.sampled_from(IDS).map(json.dumps),
    st.sampled_from(IDS).map(lambda value: json.dumps(value, ensure_ascii=False)),
    st.sampled_from(IDS).map(lambda value: json.dumps(value).replace("o", "\\u006f")),
    st.sampled_from(("null", "1", '"one', "[]", '{"event_id":"one"}', '"\\ud800"')),
)
structured = st.builds(
    line_of,
    st.sampled_from(("event_id", escaped("event_id"), "event_i", "xevent_id", "event\\u005fid")),
    values,
    st.sampled_from(("", '"event_id":"one"', "event_id", "é")),
    st.sampled_from((("", ""), ("", " "), (" ", ""), ("\t", "  "))),
    st.sampled_from(("", "", "one", "other")),
)
HOSTILE = (
    b"",
    b"   ",
    b'"event_id"',
    b'"event_id":"one"',
    b'{"message":"m","event_id":',
    b'"one"}',
    b'{"message":"m","event_id":"one"}{"message":"m","event_id":"two"}',
    b'{"message":"m","event_id":"other","event_id":"one"}',
    b'{"message":"m","event_id":"one","event_id":"other"}',
    b'{"message":"m","event_id":"one"} ',
    b'{"event_id":"one"}',
    b'{"message":"\xff","event_id":"one"}',
    b'{"message":"m","event_id":"one\xff"}',
    b'{"message":"m\x00","event_id":"one"}',
    b'{"message":"m","event_id":"numbered","metadata":{"n":"no number"}}',
    b'{"message":"m","event_id":"numbered","metadata":{"n":1}}',
    b'{"message":"a message"}',
    b'{"message":"a message","event_id":"other"}',
    b'{"message":"a message","event_id":"three"}',
    b'{"message":"a message","event_id":"four"}',
    b'{"message":"a long message","event_id":"new"}',
    b'{"message":"a long message","metadata":{"event_id":"new"}}',
    b'{"message":"a m\\u0065ssage","event_id":"new"}',
    b'{"message":"a message","event\\u005fid":"new"}',
    b'{"message":"m","event_id":"f\\u006fur"}',
    b'{"message":"a message","event\\u005fid":"three"}',
    b'{"message":"m","metadata":{"event_id":"other"},"event\\u005fid":"one"}',
    b'{"message":"m","metadata":{"event_id":"one"},"event\\u005fid":"one"}',
    b'{"message":"m","metadata":{"event_id":"\\u0061"},"event\\u005fid":"one"}',
)
lines = st.lists(st.one_of(structured, st.sampled_from(HOSTILE), st.just(b'{"message":"m"}')), max_size=40)
kinds = st.lists(st.sampled_from((One, Two, Odd, Known, Numbered)), min_size=1, max_size=3, unique=True)


def block_of(made: list[bytes], *, torn: bool = False) -> Block:
    data = b"\n".join(made) if torn else b"".join(line + b"\n" for line in made)
    return Block("a", 100, 0, len(made), 7, data, torn)


def standing_before(block: Block, log_format: Format) -> tuple[Delivery, Window]:
    """Make a delivery to which a block comes next, and the block as it is read for it."""
    window = Window.over(block)
    delivery = Delivery(Ledger(), None)
    delivery.read_as(block.node, NodeFormats(log_format))
    delivery.ledger.take(window.row)
    delivery.delivered = block.position
    return delivery, window


def heard(block: Block, wanted: list[type], *others: Interest, log_format: Format = FORMAT) -> list[tuple[Any, ...]]:
    """What a subscriber to `wanted` gets of a block beside subscribers with other interests."""
    delivery, window = standing_before(block, log_format)
    found: list[tuple[Any, ...]] = []

    def take(items: list[Any]) -> None:
        for item in items:
            data = item.reason if isinstance(item, Undecodable) else item.data
            found.append((type(item), item.position, item.node, item.record.id, item.record.text, data))

    interest = [event_type(kind) for kind in wanted]
    delivery.subscribe(Interest(event_types=interest), take, lambda _: None)
    delivery.subscribe(Interest(event_types=interest, kind=Undecodable), take, lambda _: None)
    for other in others:
        delivery.subscribe(other, lambda _: None, lambda _: None)
    delivery.deliver(window.row, lambda _: window)
    assert delivery.delivered == block.position + block.lines
    assert delivery.ledger.cut_off == []
    return [(*entry[:-1], str(entry[-1])) for entry in found]


@given(lines, kinds, st.booleans())
@example([b'{"message":"m","event\\u005fid":"one"}'], [One], False)
@example([b'{"message":"m","event_id":"one"}'] * 40, [One], False)
@example([b'{"message":"m","event_id":"one"} '], [One], True)
@example([b'{"message":"a message","event_id":"new"}', b'{"message":"a message"}'], [Known], False)
def test_what_a_subscriber_gets_does_not_depend_on_what_others_want(
    made: list[bytes], wanted: list[type], torn: bool
) -> None:
    block = block_of(made, torn=torn and bool(made) and bool(made[-1]))
    alone = heard(block, wanted)
    assert alone == heard(block, wanted, Interest())
    assert alone == heard(block, wanted, Interest(kind=Malformed))
    assert alone == heard(block, wanted, Interest(event_types=[event_type(Said)]))
    assert alone == heard(block, wanted, Interest(event_types=[event_type(kind) for kind in (One, Two, Odd, Numbered)]))


def test_a_message_that_needs_an_id_counts_with_any_id_and_in_no_line_without() -> None:
    made = [
        b'{"message":"a message","event_id":"new"}',
        b'{"message":"a good message","event_id":"new"}',
        b'{"message":"m","event_id":"four"}',
        b'{"message":"a message"}',
        b'{"message":"m","event_id":"new"}',
        b"a message",
    ]
    for others in ((), (Interest(),), (Interest(event_types=[event_type(Said)]),)):
        found = heard(block_of(made * 5), [Known], *others)
        assert [position % len(made) for _, position, *_ in found] == [each % len(made) for each in (100, 101, 102)] * 5


@pytest.mark.parametrize("more", ({"ids": "x"}, {"message": "m"}, {"pattern": "p"}), ids=lambda more: next(iter(more)))
def test_a_message_needs_an_id_only_where_there_are_ids_and_messages(more: dict[str, str]) -> None:
    with pytest.raises(EventDefinitionError, match="goes with ids= and message="):
        lucy.event(message_needs_id=True, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "is_one"),
    (
        # journald's, for a text that has colours or other bytes in it: nothing of it stands in the line.
        (b'{"MESSAGE":[108,101,97,100,101,114,32,105,115,32,97,55],"__REALTIME_TIMESTAMP":"1796119200000000"}', True),
        (b'{"MESSAGE":[27,91,49,109,108,101,97,100,101,114,27,91,48,109,32,105,115,32,97,55],"__CURSOR":"c"}', True),
        (b'{"MESSAGE":[108,101,97,100,101,114,32,105,115,32,97,56],"__REALTIME_TIMESTAMP":"1796119200000000"}', False),
        (b'{"MESSAGE":"leader is a7","__REALTIME_TIMESTAMP":"1796119200000000"}', True),
        (b'{"level":"info","msg":"leader is a7"}', True),
        # As Gson and .NET write their lines for web pages.
        (rb'{"level":"info","msg":"leader\u003da7"}', True),
        (rb'{"level":"info","msg":"leader\u002Ba7"}', True),
    ),
)
def test_an_event_by_its_text_is_one_whoever_else_asks(line: bytes, *, is_one: bool) -> None:
    made = [line, *[b'{"level":"info","msg":"nothing"}'] * 20]
    for others in ((), (Interest(),), (Interest(event_types=[event_type(Leads)]),)):
        assert bool(heard(block_of(made), [Leader], *others, log_format=AutoFormat())) is is_one


def test_a_line_that_its_writer_left_unfinished_is_no_event() -> None:
    block = block_of([b"nothing of the kind", b"red alert", b"red alerts"], torn=True)
    for others in ((), (Interest(),)):
        (found,) = heard(block, [Alert], *others, log_format=AutoFormat())
        assert found[1] == block.position + 1


@lucy.event(pattern=r"red (?P<what>alert)")
class Alert(msgspec.Struct):
    what: str


@lucy.event(message="peer $peer banned")
class Banned(msgspec.Struct):
    peer: str


@pytest.mark.parametrize(
    ("line", "wanted", "data"),
    (
        (b"\x1b[31mred\x1b[0m alert", Alert, Alert("alert")),
        (b"\x1b[1mpe\x1b[0mer a7 ban\x1b[31mned\x1b[0m", Banned, Banned("a7")),
        (b"leader \x1b[1mis\x1b[0m a7", Leader, b""),
    ),
)
def test_colours_amid_a_text_hide_no_event(line: bytes, wanted: type, data: object) -> None:
    made = [line, *[b"nothing of the kind"] * 20]
    for others in ((), (Interest(),), (Interest(event_types=[event_type(Leads)]),)):
        (found,) = heard(block_of(made), [wanted], *others, log_format=AutoFormat())
        assert found[-1] == str(data)


@given(lines, st.sets(st.sampled_from([each for each in IDS if each.isalpha()]), min_size=1))
def test_a_search_finds_the_records_that_decoding_finds(made: list[bytes], ids: set[str]) -> None:
    block = block_of(made)
    values = frozenset(b':"' + each.encode() for each in ids)
    batch = search(Window.over(block), Needles(key=b'"event_id"', values=values), FORMAT)
    whole = FORMAT.read_block(block)
    positions = whole.positions or range(100, 100 + len(whole.records))

    def is_spelt(place: int, found: str | None) -> bool:
        line = made[place - 100]
        return found in ids and b"u005f" not in line and b"u0065" not in line and found.encode() in line

    wanted = [
        (place, record.id) for place, record in zip(positions, whole.records, strict=True) if is_spelt(place, record.id)
    ]
    places = batch.positions or range(100, 100 + len(batch.records))
    found = [
        (place, record.id) for place, record in zip(places, batch.records, strict=True) if is_spelt(place, record.id)
    ]
    assert found == wanted
    assert {bad.position: bad.raw for bad in batch.malformed}.items() <= {
        bad.position: bad.raw for bad in whole.malformed
    }.items()


@pytest.mark.parametrize("cut", range(-12, 3))
def test_an_id_is_found_wherever_it_stands_in_a_large_block(cut: int) -> None:
    line = b'{"message":"m","metadata":{"n":%d},"event_id":"numbered"}'
    before = 2 * searching.SPAN + cut - line.index(b'"event_id"') - len(b'{"message":""}\n\n')
    made = [b'{"message":"%s"}' % (b"x" * before), b"", line % 1, *[b'{"message":"m"}'] * 4_000, line % 2]

    assert [each[-1] for each in heard(block_of(made), [Numbered])] == ["Numbered(n=1)", "Numbered(n=2)"]


def test_few_lines_are_decoded_where_few_are_wanted() -> None:
    made = [b'{"message":"m","event_id":"%b"}' % (b"one" if n % 20 == 0 else b"other") for n in range(400)]
    batch = search(Window.over(block_of(made)), Needles((b'"one"',)), FORMAT)
    assert batch.positions == list(range(100, 500, 20))
    assert [record.id for record in batch.records] == ["one"] * 20


@pytest.mark.parametrize("log_format", (FORMAT, AutoFormat()), ids=("envelope", "auto"))
@pytest.mark.parametrize("said", ({"message": "step $n of {}"}, {"pattern": r"step (?P<n>\d+) of {}"}))
def test_few_lines_are_decoded_however_many_types_are_wanted_by_their_text(
    said: dict[str, str], log_format: Format
) -> None:
    ((how, text),) = said.items()
    wanted = [msgspec.defstruct("Step", [("n", int)]) for _ in range(12)]
    for number, kind in enumerate(wanted):
        lucy.event(**{how: text.format(f"task {number:02}")})(kind)  # type: ignore[arg-type]
    made = [b"step %d of %b %02d" % (n, b"task" if n % 20 == 0 else b"nothing", n // 20) for n in range(240)]
    block = block_of(made)
    delivery, window = standing_before(block, log_format)
    found: list[Any] = []
    for kind in wanted:
        delivery.subscribe(Interest(event_types=[event_type(kind)]), found.extend, lambda _: None)
    delivery.deliver(window.row, lambda _: window)
    assert [event.data.n for event in found] == list(range(0, 240, 20))
    assert delivery.ledger.of(block.node).decoded == 12


@pytest.mark.parametrize("log_format", (FORMAT, AutoFormat()), ids=("envelope", "auto"))
def test_lines_that_name_a_type_and_cannot_be_read_are_found_without_reading_all(log_format: Format) -> None:
    nothing = [b'{"message":"m","event_id":"other"}'] * 40
    bad = [
        b'{"message":"m","event_id":"zwei"',
        b'{"message":"m","metadata":{"was":"zwei"},"event_id":"other"',
        b'{"zwei',
    ]
    others = [b'{"message":"m","event_id":"other"', b'{"message":"m","event_id":"one"']
    made = [*nothing, *bad, *nothing, *others, *nothing]
    block = block_of(made)
    delivery, window = standing_before(block, log_format)
    found: list[Malformed] = []
    delivery.subscribe(Interest(event_types=[event_type(Two)], kind=Malformed), found.extend, lambda _: None)
    delivery.subscribe(Interest(event_types=[event_type(One)]), lambda _: None, lambda _: None)
    delivery.deliver(window.row, lambda _: window)
    assert [each.raw for each in found] == bad
    assert delivery.ledger.of(block.node).unread == len(nothing) * 3 + 1  # one of the others names no wanted type


@pytest.mark.parametrize(
    ("kind", "bad"),
    ((Leads, b'{"MESSAGE":[108,101,97,100,115]}'), (Two, b'{"message":"m","event_id":"zw\x1b[1mei"}')),
    ids=("numbers", "colours"),
)
def test_which_unreadable_lines_are_given_does_not_depend_on_what_others_want(kind: type, bad: bytes) -> None:
    nothing = [b'{"message":"m","event_id":"other"}'] * 40
    block = block_of([*nothing, bad, *nothing])
    for others in ((), (Interest(),)):
        delivery, window = standing_before(block, FORMAT)
        found: list[Malformed] = []
        delivery.subscribe(Interest(event_types=[event_type(kind)], kind=Malformed), found.extend, lambda _: None)
        for other in others:
            delivery.subscribe(other, lambda _: None, lambda _: None)
        delivery.deliver(window.row, lambda _, window=window: window)
        assert [each.raw for each in found] == [bad]


def test_an_escaped_id_is_no_id_even_where_all_is_decoded() -> None:
    disguised = b'{"message":"m","event\\u005fid":"one"}'
    disguised_id = b'{"message":"m","event_id":"\\u006fne"}'
    for line in (disguised, disguised_id):
        assert FORMAT.read_block(block_of([line])).records[0].id == "one"
    assert heard(block_of([disguised_id]), [One], Interest()) == heard(block_of([disguised_id]), [One]) == []


@given(st.binary(max_size=200))
def test_newlines_are_counted(data: bytes) -> None:
    assert count_lines(data) == data.count(b"\n")


class Writer:
    def __init__(self, pipeline: Pipeline, node: str, path: Path) -> None:
        self.pipeline, self.node = pipeline, node
        self.fd = os.open(path, os.O_WRONLY)

    async def write(self, *made: bytes) -> None:
        os.write(self.fd, b"".join(line + b"\n" for line in made))
        await self.pipeline.reach(await self.pipeline.drain(self.node))

    def close(self) -> None:
        os.close(self.fd)


GOOD = b'{"message":"m","event_id":"other"}'
WANTED = b'{"message":"m","event_id":"one"}'
BAD = b'{"message":"m","event_id":"other"'


@pytest.mark.anyio
async def test_an_audit_makes_the_ledger_exact(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        writers = [Writer(pipeline, node, await pipeline.open_fifo(node)) for node in ("scanned", "skipped", "read")]
        for interest in (Interest(nodes=["scanned"], event_types=[event_type(One)]), Interest(nodes=["read"])):
            pipeline.subscribe(interest, lambda _: None, lambda _: None)
        for writer in writers:
            await writer.write(GOOD, WANTED, BAD, b"panic!", GOOD)
        scanned, skipped, read = map(pipeline.ledger.of, ("scanned", "skipped", "read"))
        assert (scanned.decoded, scanned.malformed, scanned.unread) == (1, 0, 4)
        assert (skipped.decoded, skipped.malformed, skipped.unread) == (0, 0, 5)
        assert (read.decoded, read.malformed, read.unread) == (4, 1, 0)
        assert "4 not decoded" in str(scanned)
        for _ in range(2):
            await pipeline.audit()
            for account in (scanned, skipped, read):
                assert (account.decoded, account.malformed, account.unread) == (4, 1, 0)
        for writer in writers:
            await writer.write(BAD, WANTED)
        assert (scanned.decoded, scanned.malformed, scanned.unread) == (5, 1, 1)
        assert (skipped.decoded, skipped.malformed, skipped.unread) == (4, 1, 2)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(pipeline.audit)
        for account in (scanned, skipped, read):
            assert (account.decoded, account.malformed, account.unread) == (5, 2, 0)
        for writer in writers:
            await writer.write(BAD)
            writer.close()
    for account in (scanned, skipped, read):  # leaving the pipeline audits too
        assert (account.decoded, account.malformed, account.unread) == (5, 3, 0)


@pytest.mark.anyio
async def test_lines_that_come_during_an_audit_count_once(tmp_path: Path) -> None:
    many = b"".join(line + b"\n" for line in [GOOD, BAD] * 5_000)
    async with Pipeline.record(tmp_path / "run") as pipeline:
        writer = Writer(pipeline, "a", await pipeline.open_fifo("a"))
        pipeline.subscribe(Interest(event_types=[event_type(One)]), lambda _: None, lambda _: None)
        for _ in range(4):
            await writer.write(many[:-1])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pipeline.audit)
            for _ in range(4):
                await writer.write(many[:-1])
                await writer.write(WANTED)
        await pipeline.audit()
        account = pipeline.ledger.of("a")
        assert (account.lines, account.decoded, account.malformed) == (80_004, 40_004, 40_000)
        writer.close()


@pytest.mark.anyio
async def test_a_cancelled_audit_changes_nothing(tmp_path: Path) -> None:
    many = b"".join(line + b"\n" for line in [GOOD] * 20_000)
    async with Pipeline.record(tmp_path / "run") as pipeline:
        writer = Writer(pipeline, "a", await pipeline.open_fifo("a"))
        await writer.write(many[:-1])
        with anyio.CancelScope() as scope:
            scope.cancel()
            await pipeline.audit()
        assert pipeline.ledger.of("a").unread == 20_000
        await pipeline.audit()
        assert pipeline.ledger.of("a").unread == 0
        writer.close()


@pytest.mark.anyio
async def test_without_a_recording_the_ledger_says_what_was_not_decoded(tmp_path: Path) -> None:
    async with Pipeline.pass_through() as pipeline:
        writer = Writer(pipeline, "a", await pipeline.open_fifo("a", tmp_path / "fifo"))
        pipeline.subscribe(Interest(event_types=[event_type(One)]), lambda _: None, lambda _: None)
        await writer.write(GOOD, WANTED, BAD)
        assert pipeline.ledger.of("a").unread == 2
        with pytest.raises(RecordingError, match="keeps no recording"):
            await pipeline.audit()
        writer.close()
