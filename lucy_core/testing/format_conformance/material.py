"""What the suite for formats reads: hostile lines, blocks of lines, kinds of events; and what was read, as values."""

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from lucy_core.capturing.framing import Framer
from lucy_core.formats.contract import Batch
from lucy_core.records.event import EventType, event, event_type
from lucy_core.records.record import Block, Record
from lucy_core.records.wording import safe_run

FIRST = 1000
"""The position of every block's first line."""
HOSTILE: Sequence[bytes] = (
    *(
        b"",
        b" ",
        b"\t",
        b"\r",
        b"\0",
        b"\x00\x01\x02\x7f",
        b"\x1b[31m",
        b"\x1b[31mred\x1b[0m",
        b"\xff\xfe{",
        b"\xef\xbb\xbf",
    ),
    *(b"{", b"}", b"{}", b"[", b"[]", b"[1]", b'"', b'""', b"null", b"3", b"{{}}", b"{]", b"{} {}", b"{}{}", b"  {}  "),
    *(b'{"a":1,"a":2}', b'{"":""}', b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1e999}', b'{"a":' + b"9" * 5000 + b"}"),
    *(b'{"a":"\\ud800"}', b'{"a":"\xff"}', b'{"\xff":1}', b'{"a":"\\u0000"}', b'{"a":"\x1b[0m"}', b'{"a":1,}'),
    *(b'{"a":' + b"[" * 100_000, b"[" * 100_000, b'{"a":' + b'{"a":' * 3000 + b"1" + b"}" * 3001, b"a" * 100_000),
    *(
        b'{"message":null,"level":null,"time":null}',
        b'{"msg":{"a":[1]},"level":[],"ts":{}}',
        b'{"message":7,"time":-1}',
    ),
    *(b'{"message":true,"severity":false,"timestamp":true}', b'{"level":1e300,"time":1e300,"msg":""}'),
    *(
        b"=",
        b"a=",
        b"=b",
        b'a="',
        b'a="\\',
        b"level=info msg=",
        b"a=b c",
        b"[]",
        b"[[",
        b"<>",
        b"<999>",
        b"< >",
        b"::",
        b" | ",
    ),
    *(b"%s %d %n", b"$", b"${", b"\\", b"\xe2\x80\xa8", b"\xc2\x85", "\u0130\u0131\ufeff".encode(), b"\xed\xa0\x80"),
    *(
        b"Traceback (most recent call last):",
        b'  File "a.py", line 1, in f',
        b"goroutine 1 [running]:",
        b"\tat a.B(C.java:1)",
    ),
    *(
        b"99999999999999999999",
        b"2026-13-45T99:99:99Z x",
        b"Foo 99 99:99:99 host x",
        b"I9999 99:99:99.999999 1 a.go:1] x",
    ),
)
"""Lines that no format should stumble over, for bytes in logs are anybody's."""


class Seen(NamedTuple):
    """What was read of a line, or why nothing was."""

    position: int
    raw: bytes
    reason: str = ""
    """Why it is malformed; empty for a record."""
    said: Any = None
    """What its record says."""


def block_of(lines: Sequence[bytes], *, torn: bool = False, position: int = FIRST) -> Block:
    """Make one block of lines; the last is torn on request."""
    data = b"\n".join(lines) if torn else b"".join(line + b"\n" for line in lines)
    return Block("node", position, 0, len(lines), 7, data, torn)


def cut_blocks(lines: Sequence[bytes], chance: random.Random) -> Iterator[Block]:
    """Cut the bytes of lines anywhere, and make blocks of them as capture does."""
    left = b"".join(line + b"\n" for line in lines)
    framer, position = Framer(), FIRST
    while left:
        size = chance.randint(1, max(1, len(left) // chance.choice((1, 2, 5, 20))))
        data = b"".join(framer.feed(left[:size]))
        left = left[size:]
        if data:
            count = data.count(b"\n")
            yield Block("node", position, 0, count, 7, data)
            position += count


def broken(lines: Sequence[bytes], chance: random.Random, count: int) -> list[bytes]:
    """Make lines of lines: cut, doubled, mixed with each other, with bytes that don't belong there."""
    made: list[bytes] = []
    for _ in range(count):
        line, other = bytearray(chance.choice(lines)), chance.choice(lines)
        for _ in range(chance.randint(1, 3)):
            at = chance.randint(0, len(line))
            match chance.randrange(5):
                case 0:
                    del line[at : at + chance.randint(1, 8)]
                case 1:
                    line[at:at] = chance.randbytes(chance.randint(1, 3))
                case 2:
                    line[at:at] = chance.choice(
                        (b'"', b"{", b"}", b"\\", b" ", b"=", b"[", b"]", b":", b"\xff", b"\x1b[0m")
                    )
                case 3:
                    del line[at:]
                case _:
                    line[at:] = other[chance.randint(0, len(other)) :]
        made.append(bytes(line).replace(b"\n", b" "))
    return made


def seen(*batches: Batch) -> list[Seen]:
    """Return all that was read, in the order of positions."""
    found: list[Seen] = []
    for batch in batches:
        found += (
            Seen(position, batch.at(index).raw, said=said(batch.at(index)))
            for index, position in enumerate(batch.positions)
        )
        found += (Seen(bad.position, bad.raw, bad.reason) for bad in batch.malformed)
    return sorted(found, key=lambda each: each.position)


def said(record: Record) -> Any:
    """Return all that a record says, as values that can be compared."""
    return (
        *(
            type(record).__name__,
            record.kind,
            record.text,
            record.id,
            record.severity,
            record.severity_text,
            record.time,
        ),
        *(tried(record, part) for part in ("fields", "extra", "document")),
        *(record.continues, record.is_unleveled),
    )


def tried(record: Record, part: str) -> Any:
    """Return what a part of a record has, which may show only now that it can't be read."""
    try:
        return repr(dict(getattr(record, part)))
    except (ValueError, RecursionError) as error:
        return type(error)


class _Wanted(msgspec.Struct, frozen=True):
    """What the events of the suite are made into."""


def kinds_of(record: Record) -> Iterator[tuple[str, EventType[Any]]]:
    """Declare types of events that mean a record, each by something that it says."""
    if record.text:
        yield "message", _kind(message=record.text.replace("$", "$$"))
        words = re.findall(r"\w{3,}", record.text)
        if words:
            yield "template", _kind(message=record.text.replace("$", "").replace(words[0], "$word", 1))
            yield "pattern", _kind(pattern=rf"{re.escape(words[-1])}")
            yield "pattern with a group", _kind(pattern=rf"(?P<word>{re.escape(words[0][:2])}\w+)")
        yield "any text", _kind(pattern=r"(?s).")
    if record.id is not None and safe_run(record.id) == record.id:
        yield "id", _kind(ids=record.id)
    for place in (record.fields, record.extra):
        for name, value in place.items():
            if isinstance(value, str | int | float | bool) and value == value:  # noqa: PLR0124  # NaN is nothing equal
                yield f"field {name}", _kind(fields={name: value})


def _kind(**declared: Any) -> EventType[Any]:
    return event_type(event(**declared)(msgspec.defstruct("Wanted", [], frozen=True)))
