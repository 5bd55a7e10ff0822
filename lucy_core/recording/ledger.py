"""The account of what was captured: per node and for the run. Sans-IO.

"Nothing is dropped" is a claim; these are its figures. `complete` is the claim itself: every byte that a node wrote to
its source is accounted for and could be read by whoever asked. It says nothing about malformed lines: these are
captured, counted, and shown.

The ledger is a fold over the recording's rows: `take` is fed each row once, in their order, whether the run is live or
read back, so both come to the same account of what was captured. Only what a reader does isn't in the rows: what was
decoded, how late, and who was cut off. And only a replay misses what went past a recording that had stopped: live it
was delivered.
"""

import bisect
from collections.abc import Mapping
from typing import final

import msgspec

from lucy_core.arguments import text_of
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.framing import LINE_BYTES
from lucy_core.recording.recording import Row
from lucy_core.records.record import Malformed

GAPS_SHOWN = 20
MALFORMED_SHOWN = 3
_ENDS = frozenset({Fact.CLOSED, Fact.DIED, Fact.ORPHANED})
"""Rows that explain why none follows."""


class Gap(msgspec.Struct, frozen=True):
    """Something that nodes wrote and nobody can read: where it is missing, whose it is, and why."""

    position: int
    """Of the first line that may be missing, or of the one behind it."""
    node: str | None
    """Whose lines; None for anybody's."""
    reason: str
    """Why it is missing."""

    def __str__(self) -> str:
        return f"at position {self.position:,}{f', {self.node}' if self.node else ''}: {self.reason}"


class Absence(msgspec.Struct, frozen=True):
    """A time in which capture looked at no source: what was written in it arrived at its end, and nothing is lost."""

    from_ns: int
    """On the clock of arrivals."""
    to_ns: int
    """On the same clock."""
    position: int
    """The position that stood next when it was noticed."""

    def __str__(self) -> str:
        seconds = (self.to_ns - self.from_ns) / 1e9
        return f"capture stood still for {seconds:.1f} s until position {self.position:,}: what came then came late"


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
    """One node's account."""

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


@final
class Ledger:
    """The run's account."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeLedger] = {}
        """An account for each node, by name; Lucy's own journal is `lucy`."""
        self.position = 0
        """The position after the last line that was taken in."""
        self.gaps: list[Gap] = []
        """What is missing, in the order of places."""
        self.absences: list[Absence] = []
        """When capture stood still, in order. None makes the account incomplete."""
        self.recording_stopped: tuple[int, str] | None = None
        """From which position on the recording lacks lines, and why; live subscribers still got them."""
        self.recording_deleted: int | None = None
        """At which position the run directory was found deleted; it was readable until the run's end."""
        self.capture_died: str | None = None
        """How the capture process ended, where it did before its time."""
        self.cut_off: list[str] = []
        """Subscribers that raised."""
        self._lost: dict[str, list[Gap]] = {}
        self._last: Fact | None = None

    @property
    def closed(self) -> bool:
        """Whether the last row taken in says that the run was closed in order."""
        return self._last is Fact.CLOSED

    def of(self, node: str) -> NodeLedger:
        """Return a node's account, opening it at its first mention."""
        account = self.nodes.get(text_of(node, "node"))
        if account is None:
            account = self.nodes[node] = NodeLedger()
        return account

    def take(self, row: Row) -> None:
        """Take the next row into account, of lines or of a fact."""
        self._last = row.fact
        if row.fact is not None:
            self._learn(row, row.fact)
            return
        account = self.of(row.node)
        account.lines += row.lines
        account.bytes += row.overlong + 1 - row.torn if row.overlong else row.bytes
        account.overlong += bool(row.overlong)
        account.blocked_ns = row.blocked_ns
        account.torn += row.torn + row.torn_lines
        account.duplicates += row.duplicates
        if row.lost:
            self._lose(row, account)
        if row.position != self.position:
            self.miss(Gap(self.position, None, f"the rows from here to position {row.position:,} are missing"))
        self.position = row.position + row.lines

    def _lose(self, row: Row, account: NodeLedger) -> None:
        """Count lines that are missing from a shared pipe, or that came after all.

        Which ones came late no row says: the places stand until none is missing.
        """
        account.lost += row.lost
        places = self._lost.setdefault(row.node, [])
        if row.lost > 0:
            places.append(Gap(row.position, row.node, f"{row.lost:,} lines got lost in the shared pipe"))
            self.miss(places[-1])
        elif account.lost <= 0:
            self.gaps = [gap for gap in self.gaps if gap not in places]
            places.clear()

    def _learn(self, row: Row, fact: Fact) -> None:
        """Take in what the recording says of itself."""
        match fact:
            case Fact.WAY:
                self.of(row.node).capture = row.reason
            case Fact.FORMAT:
                self.of(row.node).format = row.reason
            case Fact.FILTERED:
                account = self.of(row.node)
                account.filtered_at = row.position if account.filtered_at is None else account.filtered_at
                account.filtered_lines += row.filtered_lines
                account.filtered_bytes += row.filtered_bytes
                account.filtered_events += row.filtered_events
            case Fact.SOURCE_FAILED:
                self.of(row.node).failures.append(row.reason)
                self.miss(Gap(row.position, row.node, f"its source failed: {row.reason}"))
            case Fact.DOUBT:
                self.miss(Gap(row.position, row.node or None, row.reason))
            case Fact.REFUSED:
                self.of(row.node).turn_away(row.peers, row.reason)
            case Fact.SOURCE_WAITS:
                self.of(row.node).waiting = row.reason
            case Fact.ABSENT:
                self.absences.append(Absence(row.since_ns, row.arrived_ns, row.position))
            case Fact.STOPPED:
                self.recording_stopped = (row.position, row.reason)
            case Fact.DELETED:
                self.recording_deleted = row.position
            case Fact.DIED:
                self.capture_died = row.reason
                self.miss(Gap(row.position, None, f"the capture process is gone ({row.reason})"))
            case Fact.ORPHANED:
                reason = "Lucy ended without closing the run; its nodes' lines were taken for a moment more"
                self.miss(Gap(row.position, None, reason))
            case Fact.PART | Fact.CLOSED:
                pass

    def miss(self, gap: Gap) -> None:
        """Hold that something is missing."""
        bisect.insort(self.gaps, gap, key=lambda each: each.position)

    def miss_unrecorded(self) -> None:
        """Hold that what comes behind the recording's end is missing. For a replay, once all rows were taken."""
        if self.recording_stopped is not None:
            position, reason = self.recording_stopped
            self.miss(Gap(position, None, f"the recording stopped: {reason}"))
        elif self._last not in _ENDS:
            reason = "the run was not closed in order: its last row doesn't say so, and what came later is missing"
            self.miss(Gap(self.position, None, reason))

    @property
    def lines(self) -> int:
        """What all nodes wrote."""
        return sum(account.lines for account in self.nodes.values())

    @property
    def bytes(self) -> int:
        """What all nodes wrote."""
        return sum(account.bytes for account in self.nodes.values())

    @property
    def complete(self) -> bool:
        """Whether all that the nodes wrote was captured and delivered: no gap, and nothing left out by a filter."""
        return not self.gaps and not self.filtered_lines

    @property
    def filtered_lines(self) -> int:
        """What capture filters left out."""
        return sum(account.filtered_lines for account in self.nodes.values())

    @property
    def filtered_events(self) -> int:
        """What capture filters left out and said that it was an event."""
        return sum(account.filtered_events for account in self.nodes.values())

    @property
    def recorded(self) -> bool:
        """Whether all that was captured is in the recording too."""
        return self.recording_stopped is None and self.recording_deleted is None

    def summary(self) -> dict[str, str]:
        """Give a line for each node, and for each thing that went wrong."""
        rows = {node: str(account) for node, account in self.nodes.items()}
        if self.recording_stopped is not None:
            position, reason = self.recording_stopped
            rows["recording"] = f"STOPPED at position {position:,}: {reason}; later lines were delivered live only"
        if self.recording_deleted is not None:
            rows["recording"] = f"DELETED by somebody at position {self.recording_deleted:,}"
        for number, gap in enumerate(self.gaps[:GAPS_SHOWN], 1):
            rows[f"gap {number}"] = f"INCOMPLETE {gap}"
        if len(self.gaps) > GAPS_SHOWN:
            rows["gaps"] = f"{len(self.gaps) - GAPS_SHOWN:,} more, the last {self.gaps[-1]}"
        for number, absence in enumerate(self.absences[:GAPS_SHOWN], 1):
            rows[f"absence {number}"] = str(absence)
        if len(self.absences) > GAPS_SHOWN:
            rows["absences"] = f"{len(self.absences) - GAPS_SHOWN:,} more, the last: {self.absences[-1]}"
        return rows
