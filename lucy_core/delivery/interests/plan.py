"""What several subscriptions want of one node, compiled: what of a block is read, and who gets what of it. Sans-IO.

A line that no plan wants becomes no object beyond its envelope, a block of which nobody wants anything isn't even read,
and a payload is decoded once, however many subscribers share it.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, final

import msgspec

from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.matching import Matcher
from lucy_core.delivery.interests.subscription import Subscription
from lucy_core.delivery.scanning import nothing_of, search
from lucy_core.formats.contract import Batch, Format
from lucy_core.recording.rows import Window
from lucy_core.records.event import EventType
from lucy_core.records.journal import is_of
from lucy_core.records.record import Arrived, Block, Event, Line, Malformed, Record, Undecodable

_NO_RECORD = Record(raw=b"", text="")
"""What stands for the record of an event that is no line."""

Shares = dict[Subscription, list[Any]]


class Dealt(msgspec.Struct, frozen=True):
    """What a batch comes to."""

    shares: Iterable[tuple[Subscription, list[Any]]]
    """Who gets what, in the order in which it is given."""
    undecodable: list[Undecodable]
    """Payloads that were not of their type, once each."""
    escaped: list[BaseException]
    """What decoders raised that is no mere error of its line: no `Exception`."""
    events: int
    """How often a line was of a wanted type."""


@final
class Plan:
    """All subscriptions to one node, compiled."""

    __slots__ = (
        "_arrivals",
        "_format",
        "_keeps_bytes",
        "_leveled",
        "_lines",
        "_reads_all",
        "_records",
        "_takers",
        "_undecodable",
        "_unreadable",
        "gates",
        "matcher",
        "subscriptions",
    )

    def __init__(self, node: str, log_format: Format, subscriptions: Iterable[Subscription]) -> None:
        self._format = log_format
        self.subscriptions = tuple(each for each in subscriptions if each.interest.wants(node))
        """Whose lines have to be looked at; for nobody, none is."""
        self.gates = tuple({each.group.gate: None for each in self.subscriptions if each.group.gate is not None})
        self._records: list[Subscription] = []
        self._lines: list[Subscription] = []
        self._unreadable: list[tuple[Subscription, tuple[EventType[Any], ...] | None]] = []
        """Who wants lines that can't be read: those that may be of these types; None for all."""
        self._undecodable: list[tuple[Subscription, tuple[EventType[Any], ...] | None]] = []
        """Who wants to know of payloads that aren't of their type, and of which types; None for any."""
        self._arrivals = [each for each in self.subscriptions if each.interest.arrivals and each.interest.names(node)]
        wanted: dict[EventType[Any], list[Subscription]] = defaultdict(list)
        for subscription in self.subscriptions:
            interest = subscription.interest
            if interest.kind is Line:
                self._lines.append(subscription)
            elif interest.kind is Malformed:
                asked = interest.types_in(node)
                self._unreadable.append((subscription, asked if interest.event_types else None))
                for kind in asked:
                    wanted[kind]  # asked for, so that its lines are found, whether they can be read or not
            elif interest.kind is Undecodable:
                asked = interest.types_in(node)
                self._undecodable.append((subscription, asked if interest.event_types else None))
                for kind in asked:
                    wanted[kind]  # asked for, so that failures of it are found
            elif interest.event_types is None:
                self._records.append(subscription)
            else:
                for kind in interest.types_in(node):
                    wanted[kind].append(subscription)
        self._takers = dict(wanted)
        """Who wants events of which type."""
        self.matcher = Matcher(wanted, log_format, as_they_stand=bool(self._unreadable))
        self._leveled = any(each.interest.level is not None for takers in wanted.values() for each in takers)
        self._keeps_bytes = bool(self._lines or self._arrivals)
        reads_all = self._records or any(types is None for _, types in self._unreadable)
        self._reads_all = bool(reads_all or (wanted and self.matcher.needles is None))
        """Whether every line is read, whatever it is."""

    @property
    def is_shut(self) -> bool:
        """Whether one of them can't take more now."""
        return bool(self.gates) and any(gate.closed for gate in self.gates)  # asked for every row; most have no gate

    @property
    def searches(self) -> bool:
        """Whether its lines are searched for, and not all of them read."""
        return bool(self._takers) and not self._reads_all

    def read(self, window: Window) -> Batch:
        """Read as much of a block as is wanted; the batch shares no memory with the window."""
        if self._reads_all:
            return self._format.read_block(window.block())
        needles = self.matcher.needles
        if not self._takers or needles is None:  # lines are only counted, or given as they are
            return nothing_of(window.block(bare=not self._keeps_bytes))
        return search(window, needles, self._format, keeps_bytes=self._keeps_bytes)

    def deal(self, batch: Batch) -> Dealt:
        """Say who gets what of a batch, each subscriber in the order of lines."""
        block = batch.block
        node, arrived, source = block.node, block.arrived_ns, block.source
        shares: Shares = {}
        failed: list[tuple[EventType[Any], Undecodable]] = []
        escaped: list[BaseException] = []
        for subscription in self._arrivals:
            everything = Arrived(block.lines, block.data)
            shares[subscription] = [Event(node, block.position, arrived, _NO_RECORD, everything, source)]
        if self._lines:
            lines = _lines_of(block)
            for subscription in self._lines:
                shares[subscription] = list(lines)
        events = self._deal_events(batch, shares, failed, escaped) if self._takers else 0
        if failed:
            for subscription, asked in self._undecodable:
                shares[subscription] = [bad for kind, bad in failed if asked is None or kind in asked]
        for subscription in self._records:
            shares[subscription] = _record_events(batch, subscription.interest)
        if batch.malformed:
            for subscription, asked in self._unreadable:
                shares[subscription] = _malformed_of(batch, asked)
        for subscription, items in shares.items():
            if subscription.next > block.position:
                shares[subscription] = [item for item in items if item.position >= subscription.next]
        return Dealt(_in_line_order(shares), [bad for _, bad in failed], escaped, events)

    def _deal_events(
        self,
        batch: Batch,
        shares: Shares,
        failed: list[tuple[EventType[Any], Undecodable]],
        escaped: list[BaseException],
    ) -> int:
        """Decode each record of a wanted type once, and give it to whom it is for; return how many there are."""
        block = batch.block
        node, arrived, source = block.node, block.arrived_ns, block.source
        positions, all_takers, leveled = batch.positions, self._takers, self._leveled
        into: dict[EventType[Any], list[Callable[[Event[Any]], None]]] = {}
        count = 0
        for index, record, kinds in self.matcher.found(batch):
            for kind in kinds:
                count += 1
                if leveled and not _is_asked_for(all_takers[kind], record):
                    continue
                try:
                    event = Event(node, positions[index], arrived, record, kind.decode(record), source)
                except BaseException as error:  # noqa: BLE001  # a decoder may be anybody's; its fault is the line's
                    if not isinstance(error, Exception):
                        escaped.append(error)
                    reason = f"{type(error).__name__}: {error}"
                    bad = Undecodable(node, positions[index], arrived, record, kind.name, reason, source)
                    failed.append((kind, bad))
                    continue
                adding = into.get(kind)
                if adding is None:
                    adding = into[kind] = _adding(all_takers[kind], kind, shares, leveled=leveled)
                for add in adding:
                    add(event)
        return count


def _in_line_order(shares: Shares) -> Iterable[tuple[Subscription, list[Any]]]:
    """Order what several subscribers get of a block by line, so that merged streams keep the order of the log.

    Each run of lines for one subscriber stays one call; of one line, the earlier subscription hears first.
    """
    if len(shares) <= 1:
        return shares.items()
    earlier_first = sorted(shares.items(), key=lambda share: share[0].number)
    every = [(item.position, subscription, item) for subscription, items in earlier_first for item in items]
    every.sort(key=itemgetter(0))  # stable: of one line, in the order of subscriptions
    return [
        (subscription, [item for _, _, item in run]) for subscription, run in itertools.groupby(every, itemgetter(1))
    ]


def _adding(
    takers: list[Subscription], kind: EventType[Any], shares: Shares, *, leveled: bool
) -> list[Callable[[Event[Any]], None]]:
    """Return what to call with each event of a type, for those who want it to have it among their shares."""
    if kind.writer is None and not leveled:
        return [shares.setdefault(taker, []).append for taker in takers]

    def add(event: Event[Any]) -> None:
        for taker in takers:
            named = None if kind.writer is None else taker.interest.named  # whom an event of Lucy's own is about
            if _is_at_level(taker, event.record) and (named is None or is_of(event, named)):
                shares.setdefault(taker, []).append(event)

    return [add]


def _is_asked_for(takers: list[Subscription], record: Record) -> bool:
    """Tell whether somebody wants an event of this level; what nobody wants isn't decoded, but for its failures."""
    return not takers or any(_is_at_level(taker, record) for taker in takers)


def _is_at_level(taker: Subscription, record: Record) -> bool:
    level = taker.interest.level
    return level is None or record.severity >= level


def _record_events(batch: Batch, interest: Interest) -> list[Event[Record]]:
    node, arrived, source = batch.block.node, batch.block.arrived_ns, batch.block.source
    level = interest.level
    if level is None:
        placed: Iterable[tuple[int, Record]] = zip(batch.positions, batch.whole(), strict=True)
    else:
        at, positions = batch.at, batch.positions
        unleveled = interest.unleveled
        placed = (
            (positions[index], at(index))
            for index, record in enumerate(batch.records)
            if (severity := record.severity) >= level or (unleveled and not severity and record.is_unleveled)
        )
    return [Event(node, position, arrived, record, record, source) for position, record in placed]


def _malformed_of(batch: Batch, kinds: tuple[EventType[Any], ...] | None) -> list[Malformed]:
    """Return the lines that can't be read, with where they came from, which is no matter of a format's.

    Where types are given, those that may be of one of them.
    """
    source = batch.block.source
    return [
        msgspec.structs.replace(each, source=source) if source else each
        for each in batch.malformed
        if kinds is None or any(kind.is_spelt(each.raw) for kind in kinds)
    ]


def _lines_of(block: Block) -> list[Line]:
    lines = block.data.split(b"\n")
    if not block.torn:
        lines.pop()
    node, arrived, source = block.node, block.arrived_ns, block.source
    return [Line(node, position, arrived, raw, source) for position, raw in enumerate(lines, block.position)]
