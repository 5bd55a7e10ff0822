"""What the command line says, and to whom: readers who are slow, gone, or behind a full disk."""

import errno
import io
import os
import sys
from collections.abc import Iterator

import pytest

from lucy_core.executive.showing.voice import PATIENCE_BYTES, Failure, Hand, Voice, Way


@pytest.fixture
def hand() -> Iterator[Hand]:
    hand = Hand()
    yield hand
    hand.close()


class Disk:
    """A disk in place of `os.write`: full from a number of bytes on, until there is room again."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.held = b""

    def write(self, _descriptor: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.held += taken
        return len(taken)


def test_what_is_said_is_written_in_its_order(hand: Hand) -> None:
    reader, writer = os.pipe()
    one, other = Way(writer, "stdout", hand), Way(writer, "stderr", hand)

    one.put(b"first\n")
    other.put(b"second\n")
    one.put(b"third\n")
    hand.rest()

    assert os.read(reader, 100) == b"first\nsecond\nthird\n"
    assert (one.loss, other.loss) == (None, None)
    os.close(reader)
    os.close(writer)


def test_a_reader_who_went_away_has_seen_enough_and_is_told_of_elsewhere(hand: Hand) -> None:
    reader, writer = os.pipe()
    way = Way(writer, "stdout", hand)
    os.close(reader)

    way.put(b"nobody reads this\n")
    hand.rest()
    way.put(b"nor this\n")

    assert way.is_gone
    assert way.loss == "stdout: its reader went away; not all was shown there"
    os.close(writer)


def test_a_disk_that_has_room_again_is_written_to_again_on_a_new_line(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(room=3)
    monkeypatch.setattr(os, "write", disk.write)
    way = Way(99, "stdout", hand)

    for _ in range(2):
        way.put(b"a line\n")
        hand.rest()
    disk.room = 100
    way.put(b"another\n")
    hand.rest()

    assert disk.held == b"a l\nanother\n"
    assert way.loss == "stdout: No space left on device; not all was shown there"


def test_a_descriptor_that_somebody_made_non_blocking_loses_nothing(hand: Hand) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    way = Way(writer, "stdout", hand)
    sent = b"x" * 300_000  # more than a pipe holds

    way.put(sent)
    got = b""
    while len(got) < len(sent):
        got += os.read(reader, 65536)

    assert got == sent
    assert way.loss is None
    os.close(reader)
    os.close(writer)


def test_nobody_waits_for_a_reader_who_is_slow_but_a_print_does(hand: Hand) -> None:
    reader, writer = os.pipe()
    way = Way(writer, "stdout", hand)
    flood = b"x" * (2 * PATIENCE_BYTES)

    way.put(flood)
    way.put_in_passing(b"left out")
    assert way.loss == "stdout: its reader was slow; not all was shown there"

    way.give_up()
    way.wait()
    way.put_patiently(b"a print")
    os.close(reader)  # lets the hand go on
    hand.rest()
    os.close(writer)


def test_text_that_an_encoding_lacks_is_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    ascii_terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "__stderr__", ascii_terminal)
    hand = Hand()
    way = Way(writer, "stderr", hand)

    print("\N{MULTIPLICATION SIGN} FAILED … ✓ \N{EN DASH} ☃ é", file=(stream := way.text_stream()))
    hand.rest()

    assert os.read(reader, 100) == b"x FAILED ... + - \\u2603 \\xe9\n"
    assert stream.encoding == "ascii"
    hand.close()
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("closed", (frozenset(), frozenset({1})))
def test_a_closed_descriptor_takes_what_it_is_given_and_says_so(closed: frozenset[int]) -> None:
    voice = Voice(closed)

    voice.out.put(b"" if not closed else b"lines")

    assert voice.new_losses() == (["stdout: it is closed; not all was shown there"] if closed else [])
    assert voice.new_losses() == []
    voice.out.hand.close()
    voice.err.hand.close()


def test_a_failure_of_the_showing_is_told_once() -> None:
    voice = Voice()
    voice.failed(Failure("the live view", ValueError("no idea")))

    assert voice.new_losses() == ["the live view failed, and the run went on: ValueError: no idea"]
    assert voice.new_losses() == []


@pytest.mark.parametrize(("variables", "coloured"), (({}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, False)))
def test_only_a_terminal_that_has_colours_gets_them(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    voice = Voice()
    monkeypatch.setattr(os, "isatty", lambda descriptor: descriptor == 2)

    assert voice.is_coloured is coloured
