"""The account of what was captured: per node and for the run. Sans-IO.

"Nothing is dropped" is a claim; these are its figures. `complete` is the claim itself: every byte that a node wrote to
its source is accounted for and could be read by whoever asked. It says nothing about malformed lines: these are
captured, counted, and shown.
"""

from typing import final

import msgspec


class NodeLedger(msgspec.Struct):
    """One node's account."""

    bytes: int = 0
    lines: int = 0
    decoded: int = 0
    """Lines that were read as records, because somebody may have wanted them or asked for an audit."""
    malformed: int = 0
    """Lines that were read and are no records. Of those that were not read, `unread`, nobody knows."""
    torn: int = 0
    """Lines whose writer ended in their middle, or that others on a shared pipe wrote into."""
    duplicates: int = 0
    """Lines that came over a shared pipe again, and were suppressed."""
    lost: int = 0
    """Lines that the node wrote into a shared pipe and that never came whole."""
    undecodable: int = 0
    """Events whose payload was not of their type."""
    blocked_ns: int = 0
    """How long the node may have waited for capture: the time for which its full pipe was left alone, at most."""
    lag_ns: int = 0
    """From arrival to delivery, for the last block."""
    lag_max_ns: int = 0
    failures: list[str] = []
    """Sources that broke."""
    waiting: str | None = None
    """Why a source had to wait, with what it holds kept by the kernel."""
    capture: str = ""
    """The way its lines come, as its engine calls it: `fifo`, `shared`, `tcp`, `attach`."""
    filtered_lines: int = 0
    """Lines that a capture filter left out, before they were written: nobody can have seen them."""
    filtered_bytes: int = 0
    filtered_events: int = 0
    """Those of them that said they were events."""

    def count_filtered(self, *, lines: int, bytes: int, events: int) -> None:  # noqa: A002  # the field's own name
        """Add what a capture filter left out."""
        self.filtered_lines += lines
        self.filtered_bytes += bytes
        self.filtered_events += events

    def count_shared(self, *, torn: int, duplicates: int, lost: int) -> None:
        """Add what was found in a shared pipe."""
        self.torn += torn
        self.duplicates += duplicates
        self.lost += lost

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
                ("undecodable", self.undecodable),
                ("not decoded", self.unread),
            )
            if count
        )
        failed = "".join(f", SOURCE FAILED: {reason}" for reason in self.failures)
        failed += f", WAITED: {self.waiting}" if self.waiting else ""
        way = f" by {self.capture}" if self.capture else ""
        if self.filtered_lines:
            bad += (
                f", {self.filtered_lines:,} lines ({self.filtered_bytes / 1e6:,.1f} MB, "
                f"{self.filtered_events:,} events) left out by the capture filter"
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
        self.recording_stopped: tuple[int, str] | None = None
        """From which position on the recording lacks lines, and why; live subscribers still got them."""
        self.recording_deleted: int | None = None
        """At which position the run directory was found deleted; it was readable until the run's end."""
        self.capture_died: str | None = None
        self.cut_off: list[str] = []
        """Subscribers that raised."""

    def of(self, node: str) -> NodeLedger:
        """Return a node's account, opening it at its first mention."""
        account = self.nodes.get(node)
        if account is None:
            account = self.nodes[node] = NodeLedger()
        return account

    @property
    def lines(self) -> int:
        """Lines captured in all."""
        return sum(account.lines for account in self.nodes.values())

    @property
    def bytes(self) -> int:
        """Bytes captured in all."""
        return sum(account.bytes for account in self.nodes.values())

    @property
    def complete(self) -> bool:
        """Whether all that the nodes wrote was captured and delivered."""
        return self.capture_died is None and not any(
            account.failures or account.lost for account in self.nodes.values()
        )

    @property
    def filtered_lines(self) -> int:
        """Lines that a capture filter left out."""
        return sum(account.filtered_lines for account in self.nodes.values())

    @property
    def filtered_events(self) -> int:
        """Events that a capture filter left out."""
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
        if self.capture_died is not None:
            rows["capture"] = f"DIED: {self.capture_died}; the log is incomplete"
        return rows
