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
from lucy_core.delivery.interests.subscription import Subscription
from lucy_core.delivery.scanning import can_search, nothing_of, search, stands_behind
from lucy_core.formats.contract import Batch, Format
from lucy_core.recording.rows import Window
from lucy_core.records.event import EventType
from lucy_core.records.journal import is_of
from lucy_core.records.record import Arrived, Block, Event, Line, Malformed, Record, Undecodable

_TEXTS = 1024
"""Of how many texts is remembered what they mean: templates and fixed texts recur, and what is filled in doesn't."""
_TEXT_LENGTH = 200
"""How long a text may be that is remembered."""
_NO_RECORD = Record(raw=b"", text="")
"""What stands for the record of an event that is no line."""

Kinds = list[tuple[EventType[Any], list[Subscription]]]
Shares = dict[Subscription, list[Any]]


class Dealt(msgspec.Struct, frozen=True):
    """What a batch comes to."""

    shares: Iterable[tuple[Subscription, list[Any]]]
    """Who gets what, in the order in which it is given."""
    undecodable: list[Undecodable]
    """Payloads that were not of their type, once each."""
    escaped: list[BaseException]
    """What decoders raised that is no mere error of its line: no `Exception`."""


@final
class Plan:
    """All subscriptions to one node, compiled."""

    __slots__ = (
        "_arrivals",
        "_by_fields",
        "_by_id",
        "_by_text",
        "_format",
        "_is_read",
        "_keeps_bytes",
        "_leveled",
        "_lines",
        "_needles",
        "_records",
        "_texts",
        "_typed",
        "_undecodable",
        "_unreadable",
        "gates",
        "subscriptions",
    )

    def __init__(self, node: str, log_format: Format, subscriptions: Iterable[Subscription]) -> None:
        self._format = log_format
        self.subscriptions = tuple(each for each in subscriptions if each.interest.wants(node))
        """Whose lines have to be looked at; for nobody, none is."""
        self.gates = tuple({each.group.gate: None for each in self.subscriptions if each.group.gate is not None})
        self._records: list[Subscription] = []
        self._lines: list[Subscription] = []
        self._unreadable: list[Subscription] = []
        self._undecodable: list[tuple[Subscription, tuple[EventType[Any], ...] | None]] = []
        """Who wants to know of payloads that aren't of their type, and of which types; None for any."""
        self._arrivals = [each for each in self.subscriptions if each.interest.arrivals and each.interest.names(node)]
        wanted: dict[EventType[Any], list[Subscription]] = defaultdict(list)
        for subscription in self.subscriptions:
            interest = subscription.interest
            if interest.kind is Line:
                self._lines.append(subscription)
            elif interest.kind is Malformed:
                self._unreadable.append(subscription)
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
        self._by_id: dict[str | None, Kinds] = defaultdict(list)
        self._by_text: Kinds = []
        """Types that a text may mean."""
        self._texts: dict[str, Kinds] = {}
        """What texts mean that were met, as far as they are remembered."""
        self._by_fields: Kinds = []
        """Types that fields may mean, for which each record has to be asked."""
        for entry in wanted.items():
            kind = entry[0]
            for event_id in kind.ids:
                self._by_id[event_id].append(entry)
            if kind.is_of_text:
                self._by_text.append(entry)
            if kind.fields:
                self._by_fields.append(entry)
        self._typed = bool(wanted)
        self._leveled = any(each.interest.level is not None for takers in wanted.values() for each in takers)
        self._keeps_bytes = bool(self._lines or self._arrivals)
        needles = None if self._records or self._unreadable else log_format.needles(wanted)
        # An envelope's text is looked up for next to nothing.
        by_text = sum(
            bool(kind.patterns or kind.templates or kind.fields or (kind.messages and not log_format.id_key))
            for kind in wanted
        )
        self._needles = needles if can_search(needles, by_text=by_text) else None
        self._is_read = bool(self._records or self._unreadable or wanted)
        """Whether lines are read at all, and not only counted or given as they are."""

    @property
    def is_shut(self) -> bool:
        """Whether one of them can't take more now."""
        return bool(self.gates) and any(gate.closed for gate in self.gates)  # asked for every row; most have no gate

    def read(self, window: Window) -> Batch:
        """Read as much of a block as is wanted; the batch shares no memory with the window."""
        if not self._is_read:
            return nothing_of(window.block(bare=not self._keeps_bytes))
        if self._needles is None:
            return self._format.read_block(window.block())
        return search(window, self._needles, self._format, keeps_bytes=self._keeps_bytes)

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
        if self._typed:
            self._deal_events(batch, shares, failed, escaped)
        if failed:
            for subscription, asked in self._undecodable:
                shares[subscription] = [bad for kind, bad in failed if asked is None or kind in asked]
        for subscription in self._records:
            shares[subscription] = _record_events(batch, subscription.interest)
        if batch.malformed:
            for subscription in self._unreadable:
                shares[subscription] = _malformed_of(batch)
        for subscription, items in shares.items():
            if subscription.next > block.position:
                shares[subscription] = [item for item in items if item.position >= subscription.next]
        return Dealt(_in_line_order(shares), [bad for _, bad in failed], escaped)

    def _deal_events(
        self,
        batch: Batch,
        shares: Shares,
        failed: list[tuple[EventType[Any], Undecodable]],
        escaped: list[BaseException],
    ) -> None:
        """Find the records that are of a wanted type, decode each once, and give it to whom it is for.

        The one loop over all records: what isn't wanted costs a look at its id, and at its text where texts count.
        """
        block = batch.block
        node, arrived, source = block.node, block.arrived_ns, block.source
        by_id, by_text, by_fields = self._by_id, self._by_text, self._by_fields
        at, positions, texts = batch.at, batch.positions, self._texts
        meant: Kinds = []
        spelt: Kinds = []
        hides: bool | None = None
        into: dict[EventType[Any], list[Callable[[Event[Any]], None]]] = {}
        for index, record in enumerate(batch.records):
            kinds = by_id.get(record.id)
            if by_text:
                text = record.text
                meant = found if (found := texts.get(text)) is not None else self._meant_by(text)
            if by_fields:
                raw = at(index).raw
                spelt = [entry for entry in by_fields if entry[0].is_spelt(raw)]
            if not (kinds or meant or spelt):
                continue
            record = at(index)  # noqa: PLW2901  # the same, with its line's bytes
            if hides is None:
                hides = batch.hides_letters
            if meant or spelt or hides or not kinds:
                kinds = self._kinds(record, meant, spelt, hides=hides)
            for kind, all_takers in kinds:
                takers = _at_level(all_takers, record) if self._leveled else all_takers
                if takers is None:
                    continue
                try:
                    data = kind.decode(record)
                except BaseException as error:  # noqa: BLE001  # a decoder may be anybody's; its fault is the line's
                    if not isinstance(error, Exception):
                        escaped.append(error)
                    reason = f"{type(error).__name__}: {error}"
                    bad = Undecodable(node, positions[index], arrived, record, kind.name, reason, source)
                    failed.append((kind, bad))
                    continue
                event = Event(node, positions[index], arrived, record, data, source)
                if kind.writer is not None:
                    takers = _asking_for(takers, event)
                elif not self._leveled:
                    # To the same ones each time.
                    adding = into.get(kind)
                    if adding is None:
                        adding = into[kind] = [shares.setdefault(taker, []).append for taker in takers]
                    for add in adding:
                        add(event)
                    continue
                for taker in takers:
                    shares.setdefault(taker, []).append(event)

    def _meant_by(self, text: str) -> Kinds:
        """Return the types that a text means, if nothing else of its line speaks against it."""
        found = [entry for entry in self._by_text if entry[0].fits(text)]
        if len(self._texts) >= _TEXTS:
            self._texts.clear()
        if len(text) <= _TEXT_LENGTH:
            self._texts[text] = found
        return found

    def _kinds(self, record: Record, meant: Kinds, spelt: Kinds, *, hides: bool) -> Kinds:
        """Return the types that a record is of, each once, if what makes it one is spelt, as a search wants it.

        Args:
            record: whose types.
            meant: the types that its text means.
            spelt: the types for whose fields it may have the values.
            hides: whether it may spell letters by their numbers.
        """
        event_id, key = record.id, self._format.id_key
        if hides and key and event_id is not None and not stands_behind(record.raw, key, event_id):
            event_id = None
        found: Kinds = [entry for entry in self._by_id.get(event_id, ()) if not hides or entry[0].is_spelt(record.raw)]
        for entry in meant:
            kind = entry[0]
            # A text may have been put together, as journald's is, which are bytes by their numbers.
            is_new = event_id not in kind.ids and (event_id is not None or not kind.message_needs_id)
            if is_new and kind.is_spelt(record.raw):
                found.append(entry)
        found += (entry for entry in spelt if entry not in found and entry[0].means(record))
        return found


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


def _at_level(takers: list[Subscription], record: Record) -> list[Subscription] | None:
    """Return those who want a record of this level; None where nobody does, so that nothing is decoded."""
    if not takers:
        return takers
    severity = record.severity
    return [each for each in takers if each.interest.level is None or severity >= each.interest.level] or None


def _asking_for(takers: list[Subscription], event: Event[Any]) -> list[Subscription]:
    """Return those who mean an event of Lucy's own, by the nodes that it is about."""
    return [each for each in takers if each.interest.named is None or is_of(event, each.interest.named)]


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


def _malformed_of(batch: Batch) -> list[Malformed]:
    """Return the lines that can't be read with where they came from, which is no matter of a format's."""
    source = batch.block.source
    if not source:
        return list(batch.malformed)
    return [msgspec.structs.replace(each, source=source) for each in batch.malformed]


def _lines_of(block: Block) -> list[Line]:
    lines = block.data.split(b"\n")
    if not block.torn:
        lines.pop()
    node, arrived, source = block.node, block.arrived_ns, block.source
    return [Line(node, position, arrived, raw, source) for position, raw in enumerate(lines, block.position)]
