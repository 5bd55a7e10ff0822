"""The wire between Lucy and her helpers: what is said comes out the same, and nothing that comes ends it."""

import json
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.helpers import channel as channel_module
from lucy_core.helpers.channel import Channel, Malformed, Message, Notice, Reply, Request


class Put(NamedTuple):
    name: str
    data: bytes


class Ring(NamedTuple):
    times: int


def heard(*pieces: bytes) -> list[Message]:
    channel = Channel()
    return [message for piece in pieces for message in channel.feed(piece)]


def test_each_kind_of_message_comes_out_as_it_went_in() -> None:
    lucy, helper = Channel(), Channel()
    number, asked = lucy.ask(Put("a", b"two\nlines\n"), descriptors=3)
    said = helper.feed(asked + lucy.tell(Ring(2)))
    answered = lucy.feed(helper.answer(number, Ring(1)) + helper.refuse(number, "no") + helper.notify(Put("b", b"\n")))

    assert said == [Request(1, "put", {"name": "a"}, b"two\nlines\n", 3), Request(None, "ring", {"times": 2})]
    assert answered == [
        Reply(1, {"times": 1}),
        Reply(1, {}, error="no"),
        Notice("put", {"name": "b"}, b"\n"),
    ]
    assert [lucy.idle, helper.idle] == [True, True]


puts = st.builds(Put, st.text(), st.binary(max_size=30))


@given(st.lists(puts | st.builds(Ring, st.integers())), st.data())
def test_any_chunking_of_the_same_bytes_gives_the_same(forms: list[Put | Ring], data: st.DataObject) -> None:
    whole = b"".join(Channel().tell(form) for form in forms)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))

    pieces = [whole[low:high] for low, high in zip((0, *cuts), (*cuts, len(whole)), strict=True)]
    assert heard(*pieces) == heard(whole)
    assert len(heard(whole)) == len(forms)


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=8))
def test_what_is_no_message_costs_itself_alone(lines: list[bytes]) -> None:
    channel = Channel()
    for line in lines:
        (message,) = channel.feed(line + b"\n")
        assert not isinstance(message, Malformed) or message.reason

    assert channel.feed(channel.tell(Ring(1))) == [Request(None, "ring", {"times": 1})]


@pytest.mark.parametrize(
    ("line", "reason"),
    (
        (b"garbage", "a command is a JSON object, and b'garbage' is none"),
        (b"[" * 100_000, "a command is a JSON object"),
        (b"9" * 5000, "a command is a JSON object"),
        (b"\xff\xfe", "a command is a JSON object"),
        (b"[]", "a command is a JSON object"),
        (b"{}", "is no command: it has no `op`"),
        (b'{"op":["seen"]}', "no command is called ['seen']"),
        (b'{"op":"x","id":"one"}', "a command's id is a number, and 'one' is none"),
        (b'{"op":"x","id":-1}', "a command's id is a number, and -1 is none"),
        (b'{"op":"x","id":true}', "a command's id is a number, and True is none"),
        (b'{"op":"x","bytes":-1}', "announces what can't come behind it"),
        (b'{"op":"x","bytes":1000000000}', "announces what can't come behind it"),
        (b'{"op":"x","fds":"3"}', "announces what can't come behind it"),
    ),
)
def test_what_is_no_message_says_why(line: bytes, reason: str) -> None:
    (message,) = heard(line + b"\n")

    assert isinstance(message, Malformed)
    assert reason in message.reason
    assert len(message.reason) < 250


def test_a_request_that_makes_no_sense_can_still_be_answered_by_its_number() -> None:
    assert heard(b'{"op":5,"id":7}\n') == [Malformed("no command is called 5", 7)]


def test_a_header_without_an_end_is_thrown_away_and_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "HEADER_BYTES", 1000)
    channel = Channel()
    said = [each for _ in range(40) for each in channel.feed(b"x" * 125)]

    assert said == [Malformed("a command has more than 1,000 bytes")]
    assert len(channel._buffer) <= 1000
    assert channel.feed(b'rest\n{"op": "x"}\n') == [Request(None, "x", {})]


def test_what_is_too_much_is_refused_where_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "DATA_BYTES", 10)

    with pytest.raises(ValueError, match="'put' would take 11 bytes, and may take 10"):
        Channel().tell(Put("a", b"x" * 11))


def test_a_reason_is_text_whatever_a_file_is_called() -> None:
    assert json.loads(Channel().refuse(1, "no \udcff"))["error"] == r"no \udcff"
