"""Event types: what an unreadable line may have been."""

import re

import msgspec
import pytest

import lucy_core as lucy
from lucy_core.formats.auto import AutoFormat
from lucy_core.records.event import event_type
from lucy_core.records.journal import JOURNAL, NodeExited
from lucy_core.records.record import plain_record


@lucy.event(ids=("plum.1", "plum.2"), message='A "$plum" fell', fields={"puppeteer_event_type": "plum_fell"})
class PlumFell(msgspec.Struct, frozen=True):
    plum: str = ""


@pytest.mark.parametrize(
    "raw",
    (
        b'{"message":"x","event_id":"plum.1","level":5}',
        b'{"event_id":"plum.2","metadata":{"n":1}{"message":"other"}',
        rb'{"message":"A \"$plum\" fell","metadata":[[[[',
        b'{"puppeteer_event_type":"plum_fell"',
    ),
)
def test_an_unreadable_line_that_names_a_type_may_be_of_it(raw: bytes) -> None:
    assert event_type(PlumFell).may_be(raw, "a")


@pytest.mark.parametrize("raw", (b"", b'{"event_id":"plum.3"', b"plum in plain text", b'{"message":"A plum lay"'))
def test_an_unreadable_line_that_names_no_type_is_of_none(raw: bytes) -> None:
    assert not event_type(PlumFell).may_be(raw, "a")


def test_a_line_of_another_node_than_the_one_that_writes_it_is_of_no_type() -> None:
    raw = b'{"event_id":"lucy.node_exited","metadata":{"no'
    assert event_type(NodeExited).may_be(raw, JOURNAL)
    assert not event_type(NodeExited).may_be(raw, "a")


@pytest.mark.parametrize(
    ("pattern", "line", "needles"),
    (
        (re.compile(r"lost (?P<plum>\w+)", re.IGNORECASE), b"LOST it", None),
        (re.compile(r"lost \s (?P<plum> \w+)  # a remark", re.VERBOSE), b"lost it", (b"lost",)),
        (re.compile(r"lost.(?P<plum>\w+)", re.DOTALL), "lost\u2028it".encode(), (b"lost",)),
    ),
)
def test_an_expression_that_is_compiled_keeps_its_flags(
    pattern: re.Pattern[str], line: bytes, needles: tuple[bytes, ...] | None
) -> None:
    kind = event_type(lucy.event(pattern=pattern)(msgspec.defstruct("Lost", [("plum", str)])))
    assert kind.needles == needles
    assert kind.variables(plain_record(line)) == {"plum": "it"}
    assert kind.means(plain_record(line))


@pytest.mark.parametrize(
    ("pattern", "needles"),
    (
        (r"lost|gone for good|\d+ away", (b"lost", b"gone for good", b" away")),
        (r"(?P<what>peer|node) (?:was|is) (?P<how>lost|gone)", (b"peer", b"node")),
        (r"^(?P<how>lost|gone)$", (b"lost", b"gone")),
        (r"(?P<what>peer|node) lost|gone", (b" lost", b"gone")),
        (r"lost|\d+", None),
        (r"lost|", None),
        (r"(?:lost|gone)?", None),
        (r"(?i:lost|gone)", None),
        (r"(?i)lost|gone", None),
        (r"(?!lost|gone)\d", None),
    ),
)
def test_one_of_several_texts_is_searched_for_where_an_expression_has_one_of_them(
    pattern: str, needles: tuple[bytes, ...] | None
) -> None:
    assert event_type(lucy.event(pattern=pattern)(msgspec.defstruct("Lost", []))).needles == needles


@pytest.mark.parametrize(
    ("line", "fields"),
    (
        # What is the record's text, its severity or its id, and no field of it, stands in the line all the same.
        (b'{"peer":"a7","event":"peer_banned","level":"warning"}', {"event": "peer_banned", "peer": "a7"}),
        (b'{"level":"error","time":"2026-12-01T10:00:00Z","msg":"lost"}', {"level": "error", "msg": "lost"}),
        (b'web-1  | {"event":"peer_banned","level":"info"}', {"event": "peer_banned", "wrapper.compose.name": "web-1"}),
        (b'{"jsonPayload":{"message":"paid"},"severity":"INFO"}', {"jsonPayload.message": "paid"}),
        (b"level=warn msg=low left=3", {"level": "warn", "left": "3"}),
    ),
)
def test_an_event_is_known_by_what_the_line_itself_calls_its_values(line: bytes, fields: dict[str, str]) -> None:
    kind = event_type(lucy.event(fields=fields)(msgspec.defstruct("Known", [])))
    record = AutoFormat().read(line)
    assert kind.means(record)
    assert kind.is_spelt(line)
    assert not event_type(lucy.event(fields={**fields, "other": "x"})(msgspec.defstruct("Other", []))).means(record)
