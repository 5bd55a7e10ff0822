"""Who wants which lines: the subscription index and the delivery of batches. Sans-IO.

What a subscription names (nodes, event types, a level, a position) is compiled into one plan a node, made anew only
when subscriptions change. A line that no plan wants becomes no object beyond its envelope, a node that no plan wants
isn't even decoded, and a payload is decoded once, however many subscribers share it.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, final

import anyio

from lucy_core.arguments import instance_of, names_of, optional, switch_of, text_of, tuple_of
from lucy_core.delivery.decoding import Batch, decode
from lucy_core.delivery.scanning import scan, spelt, without_disguise
from lucy_core.records.event import EventType
from lucy_core.records.journal import is_of
from lucy_core.records.record import Arrived, Block, Event, Level, LogRecord, Malformed, Undecodable

Sink = Callable[[list[Any]], None]
"""Takes a batch's items, in order, synchronously."""


_NO_RECORD = LogRecord(message="")
"""What stands for the record of an event that is no line."""


LEVEL = optional(instance_of(Level, "a level, such as lucy.Level.ERROR"))
"""What may be given as `level=`."""
_TYPES = optional(tuple_of(instance_of(EventType, "an event type"), "(event_type(NodeStarted),)"))
_KIND = instance_of(type, "a type, such as Malformed")


@final
class Interest:
    """What a subscription names. None means any.

    `nodes` are those whose lines are meant; of Lucy's own events, which stand in the journal alone, those that are
    about these nodes. Where it names none, `but` is one whose lines aren't meant all the same. `event_types` gives
    typed events; without it every record is wanted, from `level` up. `kind` asks for the lines that are no records
    (`Malformed`) or no events (`Undecodable`) instead. With `arrivals` an event with an `Arrived` comes before those
    of each block, whatever its lines say.
    """

    __slots__ = ("arrivals", "but", "event_types", "kind", "level", "named", "nodes")

    def __init__(
        self,
        *,
        nodes: Iterable[str] | None = None,
        event_types: Iterable[EventType[Any]] | None = None,
        level: Level | None = None,
        kind: type = Event,
        arrivals: bool = False,
        but: str | None = None,
    ) -> None:
        self.named = None if nodes is None else frozenset(names_of(nodes, "nodes"))
        self.event_types: tuple[EventType[Any], ...] | None = _TYPES(event_types, "event_types")
        self.level: Level | None = LEVEL(level, "level")
        self.kind: type = _KIND(kind, "kind")
        self.arrivals = switch_of(arrivals, "arrivals")
        self.but = None if but is None or nodes is not None else text_of(but, "but")
        self.nodes = self._writers()
        """Whose lines have to be looked at for it, which for Lucy's own events are the journal's."""

    def _writers(self) -> frozenset[str] | None:
        if not self.event_types:
            return self.named
        own = frozenset(kind.writer for kind in self.event_types if kind.writer is not None)
        if self.arrivals or any(kind.writer is None for kind in self.event_types):
            return None if self.named is None else self.named | own
        return own

    def names(self, node: str) -> bool:
        """Tell whether a node's own lines are meant."""
        return node != self.but if self.named is None else node in self.named

    def wants(self, node: str) -> bool:
        """Tell whether a node's lines have to be looked at for it."""
        return node != self.but if self.nodes is None else node in self.nodes

    def types_in(self, node: str) -> tuple[EventType[Any], ...]:
        """Return those of the wished types of which a line of this node can be."""
        return tuple(
            kind
            for kind in self.event_types or ()
            if (self.names(node) if kind.writer is None else kind.writer == node)
        )


@final
class Gate:
    """Says whether a subscriber can take more. Closed, its subscription is set aside until it opens again."""

    __slots__ = ("_reopened", "closed", "opened")

    def __init__(self) -> None:
        self.closed = False
        self.opened = 0
        """How many times it was opened: whether its subscriber takes anything."""
        self._reopened: list[Callable[[], None]] = []

    def when_open(self, call: Callable[[], None]) -> None:
        """Call once at the next `open`, or now where it is open."""
        if self.closed:
            self._reopened.append(call)
        else:
            call()

    def close(self) -> None:
        """Let nothing more through after the batch under way."""
        self.closed = True

    def open(self) -> None:
        """Let through again."""
        self.closed = False
        self.opened += 1
        calls, self._reopened = self._reopened, []
        for call in calls:
            call()


@final
class Group:
    """Subscriptions that are behind together or live together: those of one chain of operators, with one gate.

    They read back as one, so that what several of them get from the past comes in the order of arrival, as it does
    live. Whoever is alone is a group of its own.
    """

    __slots__ = ("_plans", "_waiting", "behind", "gate", "members", "next", "reading")

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate
        self.members: list[Subscription] = []
        self.behind = False
        """Whether they read back, or wait to."""
        self.reading = False
        """Whether somebody is reading for them: nobody can join who stands further back."""
        self.next = 0
        """While they are behind: the position before which each of them has seen everything."""
        self._plans: dict[str, _Plan] = {}
        self._waiting: list[tuple[int, Subscription | None, anyio.Event]] = []

    @property
    def is_shut(self) -> bool:
        """Whether its subscriber can't take more now."""
        return self.gate is not None and self.gate.closed

    def when_open(self, call: Callable[[], None]) -> None:
        """Call once its subscriber can take more, or now if it can."""
        if self.gate is None:
            call()
        else:
            self.gate.when_open(call)

    def wants(self, node: str) -> bool:
        """Whether a block of this node is worth reading."""
        return any(each.wants(node) for each in self.members)

    def plan(self, node: str) -> "_Plan":
        """Return what they want of a node, compiled."""
        plan = self._plans.get(node)
        if plan is None:
            plan = self._plans[node] = _Plan(node, [each for each in self.members if each.wants(node)], live=False)
        return plan

    def drop(self, subscription: "Subscription") -> None:
        """Forget one of them. Again is no error."""
        if subscription in self.members:
            self.members.remove(subscription)
            self._plans.clear()
            self.tell_who_waits()

    def has_read(self, position: int) -> None:
        """Take note that all before a position has been read."""
        self.next = position
        for each in self.members:
            each.next = max(each.next, position)
        self.tell_who_waits()

    async def wait_for(self, position: int, subscription: "Subscription | None") -> None:
        """Wait until all before a position was read, or nothing more comes.

        Args:
            position: what is waited for.
            subscription: on whose behalf. On nobody's (None), one that is shut is not waited for: nobody may ever open
                it.
        """
        if not self._lets_go(position, subscription):
            event = anyio.Event()
            self._waiting.append((position, subscription, event))
            await event.wait()

    def _lets_go(self, position: int, subscription: "Subscription | None") -> bool:
        if not self.behind or not self.members or self.next >= position:
            return True
        return self.is_shut if subscription is None else not subscription.active

    def tell_who_waits(self) -> None:
        """Let go whose wait is over."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for position, subscription, event in waiting:
                if self._lets_go(position, subscription):
                    event.set()
                else:
                    self._waiting.append((position, subscription, event))


@final
class Subscription:
    """One subscriber's place in the run. `next` is the first position that it hasn't seen."""

    __slots__ = ("active", "caused_ns", "gate", "group", "interest", "next", "number", "on_end", "sink")
    _made = itertools.count()

    def __init__(
        self,
        interest: Interest,
        sink: Sink,
        on_end: Callable[[Exception | None], None],
        start: int,
        group: Group,
    ) -> None:
        self.interest = interest
        self.sink = sink
        self.on_end = on_end
        self.next = start
        self.group = group
        self.gate = group.gate
        self.active = True
        self.caused_ns = 0
        """When the line arrived in whose delivery it subscribed: what follows from that line didn't come before it,
        though it be read back from further back."""
        self.number = next(self._made)

    def wants(self, node: str) -> bool:
        """Whether lines of this node have to be looked at."""
        return self.interest.wants(node)


@final
class _Plan:
    """All subscriptions to one node, compiled."""

    __slots__ = (
        "arrivals",
        "by_id",
        "by_message",
        "by_puppeteer",
        "leveled",
        "live",
        "records",
        "scanned_ids",
        "subscriptions",
        "typed",
        "undecodable",
        "unreadable",
    )

    def __init__(self, node: str, subscriptions: list[Subscription], *, live: bool) -> None:
        self.live = live
        self.subscriptions = tuple(subscriptions)
        self.records: list[Subscription] = []
        self.unreadable: list[Subscription] = []
        self.undecodable: list[tuple[Subscription, tuple[EventType[Any], ...] | None]] = []
        """Who wants to know of payloads that aren't of their type, and of which types; None for any."""
        self.arrivals = [each for each in subscriptions if each.interest.arrivals and each.interest.names(node)]
        wanted: dict[EventType[Any], list[Subscription]] = defaultdict(list)
        for subscription in subscriptions:
            interest = subscription.interest
            if interest.kind is Malformed:
                self.unreadable.append(subscription)
            elif interest.kind is Undecodable:
                asked = interest.types_in(node)
                self.undecodable.append((subscription, asked if interest.event_types else None))
                for kind in asked:
                    wanted[kind]  # asked for, so that failures of it are found
            elif interest.event_types is None:
                self.records.append(subscription)
            else:
                for kind in interest.types_in(node):
                    wanted[kind].append(subscription)
        self.by_id: dict[str, list[tuple[EventType[Any], list[Subscription]]]] = defaultdict(list)
        self.by_message: dict[str, list[tuple[EventType[Any], list[Subscription]]]] = defaultdict(list)
        self.by_puppeteer: dict[str | None, list[tuple[EventType[Any], list[Subscription]]]] = defaultdict(list)
        for kind, takers in wanted.items():
            for event_id in kind.ids:
                self.by_id[event_id].append((kind, takers))
            for message in kind.messages:
                self.by_message[message].append((kind, takers))
            for name in kind.puppeteer:
                self.by_puppeteer[name].append((kind, takers))
        self.typed = bool(wanted)
        self.leveled = any(each.interest.level is not None for takers in wanted.values() for each in takers)
        by_id_alone = not (self.records or self.unreadable or self.by_message or self.by_puppeteer)
        self.scanned_ids = frozenset(map(spelt, self.by_id)) if by_id_alone else None

    def read(self, block: Block) -> Batch:
        """Decode as much of a block as this plan needs."""
        return decode(block) if self.scanned_ids is None else scan(block, self.scanned_ids)

    def hits(self, batch: Batch) -> Iterable[tuple[int, LogRecord]]:
        """Find the records that some wanted type may mean, with their positions."""
        found = self._hits(batch.records)
        if not found:
            return ()
        positions = batch.positions
        first = batch.block.position
        places = [first + index if positions is None else positions[index] for index, _ in found]
        records = [record for _, record in found]
        if not batch.searched and self.by_id:
            records = without_disguise(batch.block, places, records)
        return zip(places, records, strict=True)

    def _hits(self, records: list[LogRecord]) -> list[tuple[int, LogRecord]]:
        """The one loop over all records."""
        ids = self.by_id
        if self.by_message or self.by_puppeteer:
            messages = self.by_message
            puppeteer = self.by_puppeteer
            return [
                (index, record)
                for index, record in enumerate(records)
                if record.event_id in ids or record.message in messages or record.puppeteer_event_type in puppeteer
            ]
        return [(index, record) for index, record in enumerate(records) if record.event_id in ids]

    def kinds(self, record: LogRecord) -> list[tuple[EventType[Any], list[Subscription]]]:
        """Return the types that a record is of, each once."""
        found = list(self.by_id.get(record.event_id, ())) if record.event_id is not None else []
        for kind, takers in self.by_message.get(record.message, ()):
            if record.event_id not in kind.ids:
                found.append((kind, takers))
        if record.puppeteer_event_type is not None:
            found += self.by_puppeteer.get(record.puppeteer_event_type, ())
        return found


@final
class Hub:
    """The index of live subscriptions. Everything happens on the caller's thread, in the caller's turn."""

    def __init__(
        self,
        cut_off: Callable[[Subscription, BaseException], None],
        undecodable: Callable[[list[Undecodable]], None],
        escaped: Callable[[BaseException], None],
    ) -> None:
        """Make an empty hub.

        Args:
            cut_off: told of a subscriber that raised; it gets nothing more.
            undecodable: told of payloads that were not of their type, once each.
            escaped: told of what a decoder raised that is no mere error of its line: no `Exception`.
        """
        self._cut_off = cut_off
        self._count_undecodable = undecodable
        self._escaped = escaped
        self.arriving_ns: int | None = None
        """When what is being delivered arrived; None between deliveries."""
        self.arriving_before: int | None = None
        """The position after the block that is being delivered."""
        self._subscriptions: list[Subscription] = []
        self._plans: dict[str, _Plan] = {}

    def add(self, subscription: Subscription) -> None:
        """Deliver to it from the next batch on."""
        self._subscriptions.append(subscription)
        self._plans = {}

    def remove(self, subscription: Subscription) -> None:
        """Deliver nothing more to it, not even of a batch under way. Again is no error."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._plans = {}

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """All live ones."""
        return tuple(self._subscriptions)

    def _plan(self, node: str) -> _Plan:
        plan = self._plans.get(node)
        if plan is None:
            wanting = [each for each in self._subscriptions if each.wants(node)]
            plan = self._plans[node] = _Plan(node, wanting, live=True)
        return plan

    def wants(self, node: str) -> bool:
        """Whether a block of this node is worth reading and decoding."""
        return bool(self._plan(node).subscriptions)

    def closed(self, node: str) -> list[Subscription]:
        """Return the node's subscribers that can't take more now."""
        return [each for each in self._plan(node).subscriptions if each.gate is not None and each.gate.closed]

    def read(self, block: Block) -> Batch:
        """Decode as much of a block as its node's subscribers need."""
        return self._plan(block.node).read(block)

    def deliver(self, batch: Batch) -> None:
        """Give everybody what they want of a batch, each subscriber in the order of lines."""
        self._deliver(self._plan(batch.block.node), batch)

    def deliver_to(self, group: Group, block: Block) -> None:
        """Give those who read back together what they want of a block."""
        plan = group.plan(block.node)
        self._deliver(plan, plan.read(block))

    def _deliver(self, plan: _Plan, batch: Batch) -> None:
        block = batch.block
        first = block.position
        before = self.arriving_ns, self.arriving_before
        self.arriving_ns, self.arriving_before = block.arrived_ns, first + block.lines
        out: dict[Subscription, list[Any]] = {}
        for subscription in plan.arrivals:
            out[subscription] = [Event(block.node, first, block.arrived_ns, _NO_RECORD, Arrived(block.lines))]
        if plan.typed:
            failed: list[tuple[EventType[Any], Undecodable]] = []
            for position, record in plan.hits(batch):
                for kind, all_takers in plan.kinds(record):
                    takers = _at_level(all_takers, record) if plan.leveled else all_takers
                    if takers is None:
                        continue
                    try:
                        data = kind.decode(record)
                    except BaseException as error:  # noqa: BLE001  # a decoder may be anybody's; its fault is the line's
                        if not isinstance(error, Exception):
                            self._escaped(error)
                        reason = f"{type(error).__name__}: {error}"
                        bad = Undecodable(block.node, position, block.arrived_ns, record, kind.name, reason)
                        failed.append((kind, bad))
                        continue
                    event = Event(block.node, position, block.arrived_ns, record, data)
                    for taker in takers if kind.writer is None else _asking_for(takers, event):
                        out.setdefault(taker, []).append(event)
            if failed:
                if plan.live:
                    self._count_undecodable([bad for _, bad in failed])
                for subscription, asked in plan.undecodable:
                    out[subscription] = [bad for kind, bad in failed if asked is None or kind in asked]
        for subscription in plan.records:
            out[subscription] = _record_events(batch, subscription.interest.level)
        if batch.malformed:
            for subscription in plan.unreadable:
                out[subscription] = list(batch.malformed)
        self._hand_over(plan, out, block)
        self.arriving_ns, self.arriving_before = before

    def _hand_over(self, plan: _Plan, out: dict[Subscription, list[Any]], block: Block) -> None:
        """Give each subscriber its items of a block, but none that it has seen."""
        first, after = block.position, block.position + block.lines
        for subscription, items in list(out.items()):
            if subscription.next > first:
                out[subscription] = [item for item in items if item.position >= subscription.next]
        for subscription in plan.subscriptions:
            subscription.next = max(subscription.next, after)
        for subscription, items in _in_line_order(out):
            if items and subscription.active:
                self.arriving_ns = max(block.arrived_ns, subscription.caused_ns)
                try:
                    subscription.sink(items)
                except BaseException as error:  # noqa: BLE001  # a subscriber's fault must not reach the others
                    self._cut_off(subscription, error)


def _in_line_order(out: dict[Subscription, list[Any]]) -> Iterable[tuple[Subscription, list[Any]]]:
    """Order what several subscribers get of a block by line, so that merged streams keep the order of the log.

    Each run of lines for one subscriber stays one call; of one line, the earlier subscription hears first.
    """
    if len(out) <= 1:
        return out.items()
    every = [
        (item.position, rank, subscription, item)
        for rank, (subscription, items) in enumerate(sorted(out.items(), key=lambda pair: pair[0].number))
        for item in items
    ]
    every.sort(key=lambda entry: entry[:2])
    runs: list[tuple[Subscription, list[Any]]] = []
    for _, _, subscription, item in every:
        if runs and runs[-1][0] is subscription:
            runs[-1][1].append(item)
        else:
            runs.append((subscription, [item]))
    return runs


def _at_level(takers: list[Subscription], record: LogRecord) -> list[Subscription] | None:
    """Return those who want a record of this level; None where nobody does, so that nothing is decoded."""
    if not takers:
        return takers
    severity = record.severity
    return [each for each in takers if each.interest.level is None or severity >= each.interest.level] or None


def _asking_for(takers: list[Subscription], event: Event[Any]) -> list[Subscription]:
    """Return those who mean an event of Lucy's own, by the nodes that it is about."""
    return [each for each in takers if each.interest.named is None or is_of(event, each.interest.named)]


def _record_events(batch: Batch, level: Level | None) -> list[Event[LogRecord]]:
    node, arrived = batch.block.node, batch.block.arrived_ns
    positions = batch.positions or range(batch.block.position, batch.block.position + len(batch.records))
    pairs = zip(positions, batch.records, strict=True)
    if level is None:
        return [Event(node, position, arrived, record, record) for position, record in pairs]
    return [Event(node, position, arrived, record, record) for position, record in pairs if record.severity >= level]
