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
from typing import final

import msgspec

from lucy_core.arguments import text_of
from lucy_core.capturing.facts import Fact
from lucy_core.recording.account import NodeLedger, together
from lucy_core.recording.rows import Row
from lucy_core.records.keys import SLASH, key_of, node_of, source_of

GAPS_SHOWN = 20
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
    source: str = ""
    """Which of several sources of the node."""

    def __str__(self) -> str:
        whose = f", {key_of(self.node, self.source)}" if self.node else ""
        return f"at position {self.position:,}{whose}: {self.reason}"


def gap_of(position: int, key: str, reason: str) -> Gap:
    """Say what is missing of one source; of none in particular where the key is empty."""
    return Gap(position, node_of(key) or None, reason, source_of(key))


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


@final
class Ledger:
    """The run's account."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeLedger] = {}
        """An account for each node, by name; Lucy's own journal is `lucy`. Of a node with several sources each has its
        own, called `db/stderr`."""
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
        """Return a node's account, opening it at its first mention; of one with several sources, what they add up to.

        The account of one source is that of `db/stderr`.
        """
        text_of(node, "node")
        accounts = [account for key, account in self.nodes.items() if key == node or node_of(key) == node]
        return together(accounts) if len(accounts) > 1 else (accounts[0] if accounts else self.account(node))

    def account(self, key: str) -> NodeLedger:
        """Return the account of one source alone, opening it at its first mention."""
        account = self.nodes.get(key)
        if account is None:
            account = self.nodes[key] = NodeLedger()
        return account

    @property
    def accounts(self) -> dict[str, NodeLedger]:
        """The accounts that say something: that of a node is empty where all of its lines came from named sources."""
        parents = {node_of(key) for key in self.nodes if SLASH in key}
        return {key: each for key, each in self.nodes.items() if each.lines or each.failures or key not in parents}

    def take(self, row: Row) -> None:
        """Take the next row into account, of lines or of a fact."""
        self._last = row.fact
        if row.fact is not None:
            self._learn(row, row.fact)
            return
        account = self.account(row.node)
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
            places.append(gap_of(row.position, row.node, f"{row.lost:,} lines got lost in the shared pipe"))
            self.miss(places[-1])
        elif account.lost <= 0:
            self.gaps = [gap for gap in self.gaps if gap not in places]
            places.clear()

    def _learn(self, row: Row, fact: Fact) -> None:
        """Take in what the recording says of itself."""
        match fact:
            case Fact.WAY:
                self.account(row.node).capture = row.reason
            case Fact.FORMAT:
                self.account(row.node).format = row.reason
            case Fact.FILTERED:
                account = self.account(row.node)
                account.filtered_at = row.position if account.filtered_at is None else account.filtered_at
                account.filtered_lines += row.filtered_lines
                account.filtered_bytes += row.filtered_bytes
                account.filtered_events += row.filtered_events
            case Fact.SOURCE_FAILED:
                self.account(row.node).failures.append(row.reason)
                self.miss(gap_of(row.position, row.node, f"its source failed: {row.reason}"))
            case Fact.DOUBT:
                self.miss(gap_of(row.position, row.node, row.reason))
            case Fact.REFUSED:
                self.account(row.node).turn_away(row.peers, row.reason)
            case Fact.SOURCE_WAITS:
                self.account(row.node).waiting = row.reason
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
        rows = {key: str(account) for key, account in self.accounts.items()}
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
