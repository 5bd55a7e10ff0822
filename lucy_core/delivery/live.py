"""Blocks to those who are live. The one place where a position is reached. Sans-IO.

`delivered` is the position up to which every live subscriber has seen what it wants.

How a subscription ends is said to it once, by `on_end`: with None at the end of what it names, with an error where
there is more that it can't have, and with its own error where it raised and is cut off.
"""

import time
from collections.abc import Callable

import anyio
import anyio.lowlevel

from lucy_core.aio import as_exception
from lucy_core.delivery.interests.hub import Hub
from lucy_core.delivery.interests.plan import Dealt, Plan
from lucy_core.delivery.interests.subscription import Subscription
from lucy_core.delivery.run_end import RunEnd
from lucy_core.delivery.searched import Searched
from lucy_core.formats.choice import Formats, NodeFormats, as_written
from lucy_core.formats.contract import Batch
from lucy_core.recording.account import NodeLedger
from lucy_core.recording.ledger import Ledger
from lucy_core.recording.rows import Row, Window
from lucy_core.records.keys import node_of
from lucy_core.records.record import Block


def read_epoch_ns() -> int:
    """Read when the monotonic clock began, for a run's clocks: the machine's may step, and a lag must not."""
    return time.time_ns() - time.monotonic_ns()


def clock_since(epoch_ns: int) -> Callable[[], int]:
    """Make the clock that stamps arrivals: nanoseconds since the epoch, at the monotonic clock's pace."""
    return lambda: epoch_ns + time.monotonic_ns()


class Live:
    """Hands blocks to the live ones, and tells the ledger, which knows of them, what was decoded and how late."""

    def __init__(self, ledger: Ledger, now_ns: Callable[[], int] | None = None) -> None:
        self.ledger = ledger
        self.now_ns = clock_since(read_epoch_ns()) if now_ns is None else now_ns
        """The clock that stamps arrivals, in nanoseconds since the epoch."""
        self.run_end = RunEnd(ledger)
        self.delivered = 0
        self.arriving_ns: int | None = None
        """When what is being delivered arrived; None between deliveries."""
        self.arriving_before: int | None = None
        """The position after the block that is being delivered."""
        self.ended = False
        """Whether nothing comes any more. The past can still be read."""
        self.last_arrival_ns = 0
        self.formats = Formats()
        """In which format each node's lines are read."""
        self.searched: Searched | None = None
        """What searches found, where somebody can hold it against the lines: where they are recorded."""
        self._hub = Hub(self.formats)
        self._end_error: Exception | None = None
        self._reached: list[tuple[int, anyio.Event]] = []
        self._ending: dict[str, int] = {}
        """From where on nothing comes of a node, while that isn't delivered."""
        self._gone: set[str] = set()
        self._joined = False
        """Whether somebody has become live who may be about nothing but nodes that are gone."""

    @property
    def live(self) -> int:
        return len(self._hub)

    def _deliver(self, plan: Plan, row: Row, read: Callable[[Row], Window]) -> int:
        """Deliver the block of a row, reading it only if somebody wants a line of it; return how much was read."""
        if plan.subscriptions:
            batch = plan.read(read(row))
            self._note_search(plan, row, batch, self._take(plan, batch))
            return row.bytes
        self.delivered = row.position + row.lines
        self._arrived(self.ledger.nodes[row.node], row.arrived_ns)
        return 0

    def _note_search(self, plan: Plan, row: Row, batch: Batch, events: int) -> None:
        if self.searched is not None and plan.searches:
            is_whole = len(batch.records) + len(batch.malformed) == row.lines
            self.searched.add(row, plan.matcher, events, is_whole=is_whole)

    def deliver_whole(self, block: Block) -> None:
        """Decode all of a block that nobody can read again, and deliver it."""
        self._take(self._hub.plan(block.key), self.formats.of(block.key).read_block(block))

    def read_as(self, key: str, chosen: NodeFormats) -> None:
        """Read the lines of a node, or of one of its sources, in this format, from the next block on."""
        self.formats.choose(key, chosen)
        self._hub.forget_plans(node_of(key))

    def read_as_recorded(self) -> None:
        """Read the lines of a finished run in the formats that were chosen for them. Raises as `as_written`."""
        for node, account in self.ledger.nodes.items():
            if account.format:
                self.read_as(node, as_written(account.format))

    def _take(self, plan: Plan, batch: Batch) -> int:
        """Account for a block and give everybody their share; return how often a line was of a wanted type."""
        block = batch.block
        account = self.ledger.nodes[block.key]
        account.judged.add(len(batch.records), batch.malformed, batch.unleveled, batch.found)
        dealt = plan.deal(batch)
        account.undecodable += len(dealt.undecodable)
        # Moved before anybody is called: who subscribes in a callback starts after this block.
        self.delivered = block.position + block.lines
        self._give(dealt, block)
        self._arrived(account, block.arrived_ns)
        return dealt.events

    def _arrived(self, account: NodeLedger, arrived_ns: int) -> None:
        self.last_arrival_ns = arrived_ns
        account.lag_ns = max(0, self.now_ns() - arrived_ns)
        account.lag_max_ns = max(account.lag_max_ns, account.lag_ns)
        if self._reached and self._reached[0][0] <= self.delivered:
            self._announce()
        if self._ending or self._joined:
            self._complete_nodes()

    def _give(self, dealt: Dealt, block: Block) -> None:
        """Give everybody their share of a block."""
        before = self.arriving_ns, self.arriving_before
        self.arriving_before = block.position + block.lines
        for error in dealt.escaped:
            self.run_end.escape(error)
        for subscription, items in dealt.shares:
            if items and subscription.active:
                self.arriving_ns = max(block.arrived_ns, subscription.caused_ns)
                try:
                    subscription.sink(items)
                except BaseException as error:  # noqa: BLE001  # a subscriber's fault must not reach the others
                    self._cut_off(subscription, error)
        self.arriving_ns, self.arriving_before = before

    def stand_at_end(self, arrived_ns: int) -> None:
        """Say that the run is finished: all that the ledger has taken is past, and its last line came then."""
        self.delivered = self.ledger.position
        self.last_arrival_ns = arrived_ns
        self.ended = True

    def _go_live(self, subscription: Subscription) -> None:
        self._hub.add(subscription)
        self._joined = bool(self._gone)

    def _leave_group(self, subscription: Subscription) -> None:
        subscription.group.leave(subscription)

    def _finish(self, subscription: Subscription, error: Exception | None) -> None:
        if subscription.active:
            subscription.active = False
            self._hub.remove(subscription)
            try:
                subscription.on_end(error)
            except BaseException as raised:  # noqa: BLE001  # a subscriber's fault must not reach the others
                self.run_end.report(subscription.interest.name, raised)
            self._leave_group(subscription)

    def _cut_off(self, subscription: Subscription, error: BaseException) -> None:
        """End a subscription whose sink raised, and tell it so."""
        self.run_end.report(subscription.interest.name, error)
        with self.run_end.reported(error):
            self._finish(subscription, as_exception(error))

    def end_node(self, node: str, position: int) -> None:
        """Say that nothing of this node comes from `position` on."""
        self._gone.discard(node)
        self._ending[node] = position
        self._complete_nodes()

    def _complete_nodes(self) -> None:
        """Complete those who are about nothing but nodes that are gone."""
        self._joined = False
        self._gone.update(node for node, position in self._ending.items() if position <= self.delivered)
        for node in self._gone.intersection(self._ending):
            del self._ending[node]
        for subscription in self._hub.subscriptions if self._gone else ():
            nodes = subscription.interest.nodes
            if nodes is not None and nodes <= self._gone:
                self._finish(subscription, None)

    def end(self, error: Exception | None = None) -> None:
        """Say that nothing comes any more; complete every live subscriber, and let waiters go.

        With an error, there was more: whoever subscribes later and has read the past is told so too.
        """
        self.ended = True
        self._end_error = error
        for subscription in self._hub.subscriptions:
            self._finish(subscription, error)
        self._announce(everybody=True)
        if error is not None:
            self.run_end.abort(error)

    async def reach_live(self, position: int) -> None:
        """Wait until all lines before `position` are delivered to the live ones, or nothing more comes."""
        if self.delivered >= position or self.ended:
            await anyio.lowlevel.checkpoint()
            return
        event = anyio.Event()
        self._reached.append((position, event))
        self._reached.sort(key=lambda pair: pair[0])
        await event.wait()

    def _announce(self, *, everybody: bool = False) -> None:
        while self._reached and (everybody or self._reached[0][0] <= self.delivered):
            self._reached.pop(0)[1].set()
