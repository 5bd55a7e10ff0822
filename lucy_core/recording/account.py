"""The account of one source of lines, and of a node that has several. Sans-IO."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lucy_core.capturing.framing import LINE_BYTES
from lucy_core.records.record import Malformed

MALFORMED_SHOWN = 3
_ADDED = (
    *("bytes", "lines", "torn", "duplicates", "lost", "overlong", "undecodable", "blocked_ns", "strangers"),
    *("filtered_lines", "filtered_bytes", "filtered_events"),
)
"""What the accounts of several sources add up to."""


class Judged(msgspec.Struct):
    """What the lines were that were read: because somebody may have wanted them, or asked for an audit."""

    decoded: int = 0
    """Lines that were read as records."""
    malformed: int = 0
    """Lines that their format can't read."""
    unleveled: int = 0
    """Records that don't say how much they matter, or by a word that nobody knows."""
    found: dict[str, int] = {}
    """How many lines were of which format, where that was to be found out."""
    first_malformed: list[Malformed] = []
    """The first that can't be read, at most `MALFORMED_SHOWN`."""

    def add(self, decoded: int, malformed: list[Malformed], unleveled: int, found: Mapping[str, int]) -> None:
        """Count one more block's."""
        self.decoded += decoded
        self.malformed += len(malformed)
        self.unleveled += unleveled
        for name, count in found.items():
            self.found[name] = self.found.get(name, 0) + count
        if malformed and len(self.first_malformed) < MALFORMED_SHOWN:
            self.first_malformed = [*self.first_malformed, *malformed][:MALFORMED_SHOWN]

    def since(self, earlier: "Judged", *, then: "Judged") -> "Judged":
        """Return what is counted now, had `then` been counted where it was `earlier`."""
        found = {
            name: then.found.get(name, 0) + self.found.get(name, 0) - earlier.found.get(name, 0)
            for name in {**then.found, **self.found}
        }
        shown = {bad.position: bad for bad in (*then.first_malformed, *self.first_malformed)}
        return Judged(
            decoded=then.decoded + self.decoded - earlier.decoded,
            malformed=then.malformed + self.malformed - earlier.malformed,
            unleveled=then.unleveled + self.unleveled - earlier.unleveled,
            found=found,
            first_malformed=[shown[position] for position in sorted(shown)][:MALFORMED_SHOWN],
        )


class NodeLedger(msgspec.Struct):
    """The account of one source of lines, or of all of a node's."""

    bytes: int = 0
    """What it wrote."""
    lines: int = 0
    """What it wrote."""
    judged: Judged = msgspec.field(default_factory=Judged)
    """What its lines were, as far as they were read. Of the others, `unread`, nobody knows."""
    format: str = ""
    """What was chosen as its lines' format, as a recording has it; empty where it is found out."""
    torn: int = 0
    """Lines whose writer ended in their middle, or that others on a shared pipe wrote into."""
    duplicates: int = 0
    """Lines that came over a shared pipe again, and were suppressed."""
    lost: int = 0
    """Lines that the node wrote into a shared pipe and that never came whole."""
    overlong: int = 0
    """Lines that were too long to be read as records; they are among the malformed."""
    undecodable: int = 0
    """Events whose payload was not of their type."""
    blocked_ns: int = 0
    """How long the node may have waited for capture: the time for which its full pipe was left alone, at most. Counts
    pipes alone: over TCP a node waits for its connection, whoever is to blame."""
    lag_ns: int = 0
    """From arrival to delivery, for the last block."""
    lag_max_ns: int = 0
    """The greatest of these so far."""
    failures: list[str] = []
    """What went wrong at its sources: those that broke, which left a gap each, and the first stranger at a port."""
    strangers: int = 0
    """Peers that came to its port without the run's token, and were turned away."""
    waiting: str | None = None
    """Why a source had to wait, with what it holds kept by the kernel."""
    capture: str = ""
    """The way its lines come, as its engine calls it: `fifo`, `shared`, `tcp`, `engine`."""
    filtered_lines: int = 0
    """Lines that a capture filter left out, before they were written: nobody can have seen them."""
    filtered_bytes: int = 0
    """What these lines came to."""
    filtered_events: int = 0
    """Those of them that said they were events."""
    filtered_at: int | None = None
    """The position at which this was first told."""

    _stranger: str = ""

    def turn_away(self, peers: int, reason: str) -> None:
        if not self.strangers:
            self._stranger = f"a stranger at its port that {reason}"
            self.failures.append(self._stranger)
        self.strangers += peers

    @property
    def format_name(self) -> str:
        """What the chosen format is called; empty where none was chosen."""
        return str(msgspec.json.decode(self.format)["name"]) if self.format else ""

    @property
    def decoded(self) -> int:
        """Lines that were read as records, because somebody may have wanted them or asked for an audit."""
        return self.judged.decoded

    @property
    def malformed(self) -> int:
        """Lines that were read and that their format can't read."""
        return self.judged.malformed

    @property
    def unread(self) -> int:
        """Lines that were captured and not decoded, since nobody could have wanted them. An audit makes it 0."""
        return self.lines - self.decoded - self.malformed

    def __str__(self) -> str:
        bad = "".join(
            f", {count:,} {name}"
            for name, count in (
                ("malformed", self.malformed),
                ("torn", self.torn),
                ("duplicates suppressed", self.duplicates),
                ("LOST", self.lost),
                (f"longer than {LINE_BYTES >> 20} MiB", self.overlong),
                ("undecodable", self.undecodable),
                ("of unknown severity", self.judged.unleveled),
                ("not decoded", self.unread),
            )
            if count
        )
        failed = "".join(f", SOURCE FAILED: {reason}" for reason in self.failures if reason != self._stranger)
        failed += f", WAITED: {self.waiting}" if self.waiting else ""
        if self.strangers:
            failed += f", {self.strangers:,} turned away, the first being {self._stranger}"
        way = f" by {self.capture}" if self.capture else ""
        if self.judged.found:
            most_first = sorted(self.judged.found.items(), key=lambda pair: -pair[1])
            way += f", read as {', '.join(f'{name} ({count:,})' for name, count in most_first)}"
        if self.filtered_lines:
            bad += (
                f", {self.filtered_lines:,} lines ({self.filtered_bytes / 1e6:,.1f} MB, "
                f"{self.filtered_events:,} events) left out by the capture filter, first told at position "
                f"{self.filtered_at or 0:,}"
            )
        return (
            f"{self.lines:,} lines{way}, {self.bytes / 1e6:,.1f} MB{bad}, lag {self.lag_max_ns / 1e6:,.0f} ms at most, "
            f"blocked {self.blocked_ns / 1e6:,.0f} ms at most{failed}"
        )


def together(accounts: Sequence[NodeLedger]) -> NodeLedger:
    """Add the accounts of several sources up, for their node. What is greatest, or first, in one is so in all."""
    judged = Judged(found={})
    for each in accounts:
        nothing = Judged()
        judged = each.judged.since(nothing, then=judged)
    added: dict[str, Any] = {name: sum(getattr(each, name) for each in accounts) for name in _ADDED}
    ways = dict.fromkeys(each.capture for each in accounts if each.capture)
    first_told = [each.filtered_at for each in accounts if each.filtered_at is not None]
    return NodeLedger(
        **added,
        judged=judged,
        format=next((each.format for each in accounts if each.format), ""),
        lag_ns=max(each.lag_ns for each in accounts),
        lag_max_ns=max(each.lag_max_ns for each in accounts),
        failures=[failure for each in accounts for failure in each.failures],
        waiting=next((each.waiting for each in accounts if each.waiting), None),
        capture=", ".join(ways),
        filtered_at=min(first_told, default=None),
        _stranger=next((each._stranger for each in accounts if each._stranger), ""),  # noqa: SLF001  # its own kind
    )
