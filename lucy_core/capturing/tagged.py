"""The shared, tagged pipe: several writers on one FIFO, each line with its writer's name and a running number. Sans-IO.

    RS node : number : length : checksums : line

A writer's `write` of more than PIPE_BUF (4,096) bytes may be cut by another's, and a line of 20 kB usually is. So a
line starts with RS (0x1E, which JSON can't hold unescaped), says how long it is, and carries two CRC-32: of all of it,
so that what other bytes have got into is always noticed, and of the tag alone, so that a broken line is blamed on
nobody but its writer. Whole lines inside of a broken one are found by their RS. The length counts the line's own
newline, so a line that its daemon never finished stays as unfinished as it was.

Numbers start at 1 and go up by one. One that is missing was lost, one that comes again with the same bytes is a
duplicate; again with other bytes, its writer has begun anew.

A module on its own, for Python 3.7 and later with the standard library alone: a node's supervisor carries it too.
"""

# `list[int]` is news to old interpreters: they must not look at it.
from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

SHARED = "_shared"
"""Whose the bytes are that are no whole line of anybody. No node can be called so."""
REMEMBERED_LINES = 4096
"""How far back a line is known again as a duplicate, a writer."""
REMEMBERED_GAPS = 4096
"""How many gaps may still be filled by lines that come late, a writer."""
_START = b"\x1e"
_HEADER = re.compile(rb"\x1e([^\x1e\n:]{1,255}):([1-9][0-9]{0,18}):([0-9]{1,12}):([0-9a-f]{8})([0-9a-f]{8}):")


class Piece(NamedTuple):
    """Whole lines of one node, as it wrote them, and what there is to count since its last piece."""

    node: str
    data: bytes
    lines: int
    unfinished: bool = False
    """The daemon itself ended in the middle of the line, so it has no newline."""
    torn: int = 0
    """Lines that other bytes got into, or whose writer died."""
    duplicates: int = 0
    lost: int = 0
    """Lines that are missing now; below zero where missing ones came late."""


def tag_line(node: str, number: int, line: bytes) -> bytes:
    """Return what a writer puts into the pipe for a line, in one `write` where it can.

    Args:
        node: the writer's name.
        number: 1 for its first line, one more for each that follows.
        line: with its newline; without one where the daemon ended in its middle.

    Raises:
        ValueError: it holds more than one line, or the name can't be written so.
    """
    if b"\n" in line[:-1]:
        raise ValueError("a tag is for one line, and this holds several")
    tag = b"%b:%d:%d:" % (node.encode(), number, len(line))
    checksum = zlib.crc32(tag)
    whole = b"%b%b%08x%08x:%b" % (_START, tag, checksum, zlib.crc32(line, checksum), line)
    if not _HEADER.match(whole):
        raise ValueError(f"{node!r} and {number} make no tag")
    return whole if line.endswith(b"\n") else whole + b"\n"


class _Line(NamedTuple):
    """A line that is intact."""

    node: str
    number: int
    checksum: bytes
    data: bytes


class _Writer:
    """What is known of one writer's numbers."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.next = 1
        self.torn: set[int] = set()
        self.gaps: list[tuple[int, int]] = []
        self.checksums: OrderedDict[int, bytes] = OrderedDict()

    def take(self, number: int, checksum: bytes) -> int | None:
        """Judge an intact line: how many lines more are missing since, or None for a duplicate."""
        if number < self.next:
            if self.checksums.get(number) == checksum:
                return None
            if self._fill(number):
                self._remember(number, checksum)
                return -1
            self._begin()
        lost = number - self.next - (number in self.torn)
        self.torn.discard(number)
        if number > self.next:
            counted = {each for each in self.torn if each < number}
            lost -= len(counted)
            self.torn -= counted
            self.gaps.append((self.next, number))
            del self.gaps[:-REMEMBERED_GAPS]
        self.next = number + 1
        self._remember(number, checksum)
        return lost

    def tear(self, number: int) -> int:
        """Take note of a broken line; return how many lines more are missing since."""
        if number < self.next or number in self.torn:
            return 0
        self.torn.add(number)
        return 1

    def _fill(self, number: int) -> bool:
        at = bisect_right(self.gaps, (number, 1 << 63)) - 1
        if at < 0 or not self.gaps[at][0] <= number < self.gaps[at][1]:
            return False
        start, stop = self.gaps[at]
        self.gaps[at : at + 1] = [(a, b) for a, b in ((start, number), (number + 1, stop)) if a < b]
        return True

    def _remember(self, number: int, checksum: bytes) -> None:
        self.checksums[number] = checksum
        if len(self.checksums) > REMEMBERED_LINES:
            self.checksums.popitem(last=False)


class Demultiplexer:
    """Takes what came through a shared pipe, and gives each node's lines back as they were written."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self._names: dict[bytes, str] = {}
        self._writers: dict[str, _Writer] = {}
        self.join(nodes)

    def join(self, nodes: Iterable[str]) -> None:
        """Take the lines of more nodes from now on. One whose lines are taken already goes on as it was."""
        for node in nodes:
            self._names[node.encode()] = node
            self._writers.setdefault(node, _Writer())

    def feed(self, block: bytes) -> list[Piece]:
        """Take whole framed lines; return pieces in the order of lines. No byte of any line vanishes.

        What is no line of anybody comes as a piece of `SHARED`, a line for each that was broken.
        """
        pieces: list[Piece] = []
        run: list[bytes] = []
        owner = ""
        lost = 0
        for text in block.splitlines(True) if b"\r" not in block else _lines(block):
            line = self._read(text)
            if line is None:
                found = self._salvage(text)
            else:
                missing = self._writers[line.node].take(line.number, line.checksum)
                if missing is None:
                    found = [Piece(line.node, b"", 0, duplicates=1)]
                elif not line.data.endswith(b"\n"):
                    found = [Piece(line.node, line.data, 1, unfinished=True, lost=missing)]
                else:
                    if line.node != owner and run:
                        pieces.append(Piece(owner, b"".join(run), len(run), lost=lost))
                        run, lost = [], 0
                    owner = line.node
                    run.append(line.data)
                    lost += missing
                    continue
            if run:
                pieces.append(Piece(owner, b"".join(run), len(run), lost=lost))
                run, lost = [], 0
            pieces += found
        if run:
            pieces.append(Piece(owner, b"".join(run), len(run), lost=lost))
        return pieces

    def flush(self, tail: bytes) -> list[Piece]:
        """Take the last bytes of a pipe, which no newline ends: nobody is left to finish them."""
        return self._salvage(tail) if tail else []

    @staticmethod
    def is_alone(tail: bytes, node: str) -> bool:
        """Tell whether an unfinished line is this node's alone, of any of its sources: nobody else can finish it."""
        name = _START + node.encode()
        return tail.startswith((name + b":", name + b"/")) and tail.count(_START) == 1

    def _read(self, text: bytes, start: int = 0) -> _Line | None:
        """Read the line that starts there, or None where none does, or not the whole of it."""
        header = self._tag(text, start)
        if header is None:
            return None
        name, number, length, tagged, checksum = header.groups()
        node, end = self._names.get(name), header.end() + int(length)
        # Lengths first: a broken line of many starts must not be copied and summed up from each of them.
        if node is None or end not in (len(text), len(text) - text.endswith(b"\n")):
            return None
        data = text[header.end() : end]
        if b"%08x" % zlib.crc32(data, int(tagged, 16)) != checksum:
            return None
        return _Line(node, int(number), checksum, data)

    @staticmethod
    def _tag(text: bytes, start: int) -> re.Match[bytes] | None:
        """Read the tag that starts there, or None where none does, or other bytes have got into it."""
        header = _HEADER.match(text, start)
        if header is None or b"%08x" % zlib.crc32(text[start + 1 : header.end(3) + 1]) != header.group(4):
            return None
        return header

    def _salvage(self, text: bytes) -> list[Piece]:
        """Take a broken line apart: a whole line may end it, and each RS before that began one that is torn."""
        torn: list[Piece] = []
        at = text.find(_START)
        while at >= 0 and self._read(text, at) is None:
            torn.append(self._blame(self._tag(text, at)))
            at = text.find(_START, at + 1)
        debris, whole = (text, b"") if at < 0 else (text[:at], text[at:])
        if debris:
            torn.append(Piece(SHARED, debris if debris.endswith(b"\n") else debris + b"\n", 1))
        return torn + self.feed(whole) if whole else torn

    def _blame(self, header: re.Match[bytes] | None) -> Piece:
        node = self._names.get(header.group(1)) if header else None
        if header is None or node is None:
            return Piece(SHARED, b"", 0, torn=1, lost=1)
        return Piece(node, b"", 0, torn=1, lost=self._writers[node].tear(int(header.group(2))))


def _lines(block: bytes) -> list[bytes]:
    """Cut at newlines alone: `splitlines` takes a carriage return for one too."""
    lines = [line + b"\n" for line in block.split(b"\n")]
    last = lines.pop()
    return lines if last == b"\n" else [*lines, last[:-1]]
