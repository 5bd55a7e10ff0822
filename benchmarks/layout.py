"""How software lays its lines out, and today's reader of each: what one writes by hand to get text, severity and time.

A layout writes an entry as a line; its corpus is seeded and numbered, its lines vary in length. The reader by hand is
orjson, look-ups and a table of words where lines are JSON, and one regular expression for this one layout where they
are text: less than a format has to know, which is the price to compare with.
"""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from lucy_core.records.severity import Severity

EVENT_EVERY = 20
EVENT_ID = "64e2d3e86c37c09b15efdaf7470ce879"
REASON = "equivocation"
REASONED = {"reason": REASON}
"""By which fields events are known, where lines have them so."""
MESSAGE = "peer $peer banned after $strikes strikes"
_BEGINNING = datetime(2026, 11, 3, 10, tzinfo=UTC)
_WORDS = ("applied", "entry", "snapshot", "of", "the", "raft", "log", "leader", "sends", "block", "to", "replica")
Said = tuple[str, Severity, datetime]
Reader = Callable[[bytes], Said]


class Entry(msgspec.Struct, frozen=True):
    """What software has to say at one time."""

    n: int
    at: datetime
    level: Severity
    text: str
    peer: str = ""
    """Whom an event is about; empty in other lines."""
    strikes: int = 0

    @property
    def more(self) -> dict[str, Any]:
        """What it says besides, by name."""
        return {"n": self.n, "peer": self.peer, "reason": REASON} if self.peer else {"n": self.n}


class Layout(NamedTuple):
    """One kind of lines."""

    name: str
    format: str
    """Which of Lucy's formats reads it."""
    write: Callable[[Entry], str]
    by_hand: Reader
    options: Mapping[str, Any] = {}
    has_ids: bool = False
    """Whether an event's line has its id."""
    fields: Mapping[str, str] = {}
    """By which fields events are known; empty where the layout has none of its own."""
    message: str = MESSAGE
    pattern: str = r"peer (?P<peer>\S+) banned after"


def entries(seed: int, count: int) -> list[Entry]:
    """Make what a node says in `count` lines, a twentieth of them events."""
    draw = random.Random(seed)  # noqa: S311  # noise, not secrets
    made = []
    for n in range(count):
        # As in the corpus of Mina's lines: nine in ten are short, a few are very long.
        words = draw.randrange(2, 30) if draw.random() < 0.995 else draw.randrange(300, 3_000)
        text = f"{' '.join(draw.choices(_WORDS, k=words))} {n}"
        levels = (Severity.DEBUG, Severity.INFO, Severity.WARN, Severity.ERROR)
        level = draw.choices(levels, (30, 60, 7, 3))[0]
        at = _BEGINNING + timedelta(microseconds=1_000_003 * n)
        if n % EVENT_EVERY:
            made.append(Entry(n, at, level, text))
        else:
            strikes = draw.randrange(1, 9)
            made.append(Entry(n, at, level, f"peer p{n} banned after {strikes} strikes", f"p{n}", strikes))
    return made


def corpus(layout: Layout, seed: int, count: int) -> bytes:
    """Write what a node says, as the layout has it."""
    return b"".join(layout.write(entry).encode() + b"\n" for entry in entries(seed, count))


# Times and levels, as several have them


def iso(at: datetime, digits: int = 6, *, between: str = "T", point: str = ".", zone: str = "Z") -> str:
    whole = at.strftime(f"%Y-%m-%d{between}%H:%M:%S")
    return f"{whole}{point}{at.microsecond:06d}"[: len(whole) + 1 + digits] + zone if digits else whole + zone


def utc(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC)


def parsed(spelling: str) -> Callable[[str], datetime]:
    return lambda stamp: datetime.strptime(stamp, spelling).replace(tzinfo=UTC)


def this_year(spelling: str) -> Callable[[str], datetime]:
    """Read times without a year: the last such one, give or take a day."""

    def read(stamp: str) -> datetime:
        now = datetime.now(UTC)
        found = datetime.strptime(f"{now.year} {stamp}", f"%Y {spelling}").replace(tzinfo=UTC)
        return found if found <= now + timedelta(days=1) else found.replace(year=now.year - 1)

    return read


def named(debug: str, info: str, warn: str, error: str) -> dict[Severity, str]:
    return {Severity.DEBUG: debug, Severity.INFO: info, Severity.WARN: warn, Severity.ERROR: error}


SMALL = named("debug", "info", "warn", "error")
LARGE = named("DEBUG", "INFO", "WARN", "ERROR")
LETTERS = named("D", "I", "W", "E")
TITLES = named("Debug", "Info", "Warn", "Error")


def meant(words: Mapping[Severity, str]) -> dict[str, Severity]:
    return {word: level for level, word in words.items()}
