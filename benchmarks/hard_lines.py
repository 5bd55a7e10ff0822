"""A corpus in which a node also writes what readers stumble over, and what each reader made of it.

Lines of pino, numbered; the hard ones, ten of a kind, stand before the last twentieth, so that whoever gives up at the
first of them has read nearly all.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec

from benchmarks.json_layouts import LAYOUTS
from benchmarks.layout import EVENT_EVERY, EVENT_ID, Entry, entries
from lucy_core.records.severity import Severity

LAYOUT = next(layout for layout in LAYOUTS if layout.name == "json (pino)")
OVERLONG_BYTES = 2_000_000
ORDINARY = "ordinary"
ESCAPED = "escaped"
_OF_A_KIND = 10


class HardLine(NamedTuple):
    """One line, and what is true of it."""

    n: int
    kind: str
    """Why it is hard; empty where it isn't."""
    data: bytes
    is_event: bool
    is_readable: bool = True
    """Whether it is an object of JSON."""


def _line(entry: Entry) -> bytes:
    return LAYOUT.write(entry).encode()


def _spaced(entry: Entry) -> bytes:
    return msgspec.json.format(_line(entry), indent=0)


def _accented(entry: Entry) -> bytes:
    return _line(entry).replace(b'"msg":"peer p', rb'"msg":"peer \u00e9')


def _escaped(entry: Entry) -> bytes:
    line = _line(entry).replace(b'"event_id"', rb'"\u0065vent_id"').replace(b'"msg"', rb'"\u006dsg"')
    return line.replace(EVENT_ID.encode(), EVENT_ID.replace("e", r"\u0065").encode()).replace(
        b"banned", rb"\u0062anned"
    )


def _overlong(entry: Entry) -> bytes:
    return _line(entry).replace(b'"msg"', b'"stack":"' + b"frame " * (OVERLONG_BYTES // 6) + b'","msg"')


def _set_back(entry: Entry) -> bytes:
    return _line(msgspec.structs.replace(entry, at=entry.at - timedelta(hours=9)))


def _quoting(entry: Entry) -> bytes:
    return b'{"level":30,"n":%d,"msg":"gave up","cause":%s}' % (entry.n, _line(entry))


def _torn(entry: Entry) -> bytes:
    return _line(entry)[:-1]


def _text(entry: Entry) -> bytes:
    return b"Traceback (most recent call last): n=%d" % entry.n


def _binary(entry: Entry) -> bytes:
    return b"\0\0\xff\xfe n=%d" % entry.n


class _Kind(NamedTuple):
    make: Callable[[Entry], bytes]
    is_event: bool = True
    is_readable: bool = True
    many: int = _OF_A_KIND


KINDS = {
    "spaced": _Kind(_spaced),
    "accented": _Kind(_accented),
    ESCAPED: _Kind(_escaped),
    "2 MB": _Kind(_overlong, many=2),
    "set back": _Kind(_set_back),
    "quoting": _Kind(_quoting, is_event=False),
    "torn": _Kind(_torn, is_event=False, is_readable=False),
    "text": _Kind(_text, is_event=False, is_readable=False),
    "binary": _Kind(_binary, is_event=False, is_readable=False),
}
"""Events laid out with spaces, with a letter that is no ASCII as an escape, with what makes them events spelt so (which
no writer does), very long, or from before the clock was set back; a line that quotes an event; an event that lacks its
last byte; and what is no JSON at all."""


def hard_lines(seed: int, count: int) -> list[HardLine]:
    """Write about `count` ordinary lines, a twentieth of them events, the last too, and the hard ones among them."""
    written = entries(seed, count // EVENT_EVERY * EVENT_EVERY + 1)
    ordinary = [HardLine(entry.n, "", _line(entry), is_event=bool(entry.peer)) for entry in written]
    cut = len(ordinary) * 19 // 20
    hard: list[HardLine] = []
    for name, kind in KINDS.items():
        for _ in range(kind.many):
            n = len(ordinary) + len(hard)
            text = f"peer p{n} banned after 3 strikes"
            data = kind.make(Entry(n, written[cut].at, Severity.WARN, text, f"p{n}", 3))
            hard.append(HardLine(n, name, data, kind.is_event, kind.is_readable))
    return [*ordinary[:cut], *hard, *ordinary[cut:]]


class Told(NamedTuple):
    """What a reader made of the lines that it was asked for."""

    wanted: int
    missed: Counter[str]
    """How many, by kind."""
    took: Counter[str]
    """How many that aren't wanted."""
    doubled: int
    in_order: bool

    @property
    def found(self) -> int:
        return self.wanted - self.missed.total()

    def __str__(self) -> str:
        """Say what is wrong with it; nothing where all is right."""
        wrong = [
            f"{verb} {', '.join(f'{count} {kind or ORDINARY}' for kind, count in kinds.items())}"
            for verb, kinds in (("missed", self.missed), ("took", self.took))
            if kinds
        ]
        wrong += [f"told {self.doubled} twice"] * bool(self.doubled)
        wrong += ["changed their order"] * (not self.in_order)
        return "; ".join(wrong)


def judge(lines: Sequence[HardLine], numbers: Sequence[int], *, events: bool) -> Told:
    """Hold the numbers that a reader told, in its order, against what was written: its events, or all that is JSON."""
    told = set(numbers)
    wanted = {line.n for line in lines if (line.is_event if events else line.is_readable)}
    missed, took = wanted - told, told - wanted
    place = {line.n: index for index, line in enumerate(lines)}
    went = [place[n] for n in numbers]
    return Told(
        len(wanted),
        Counter(line.kind for line in lines if line.n in missed),
        Counter(line.kind for line in lines if line.n in took),
        len(numbers) - len(told),
        went == sorted(went),
    )
