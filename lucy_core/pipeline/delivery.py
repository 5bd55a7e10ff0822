"""From blocks to subscribers: the one place where a position is reached. Sans-IO but for reading back.

`delivered` is the position up to which every live subscriber has seen what it wants. A subscription that starts
earlier, or whose subscriber can't take more, is not live: it reads the recording by itself (`catch_up`) until it stands
exactly where `delivered` stands, and becomes live in the same turn of the loop. So past and present are one stream, in
which no line is missing and none comes twice.
"""

import time
from collections.abc import Callable
from typing import Any, final

import anyio
import anyio.lowlevel
import structlog

from lucy_core.errors import RecordingError
from lucy_core.pipeline.decoding import Batch, decode
from lucy_core.pipeline.hub import Gate, Hub, Interest, Sink, Subscription
from lucy_core.pipeline.ledger import Ledger
from lucy_core.pipeline.recording import Recording, Row
from lucy_core.records import Block, Undecodable

TURN_BYTES = 1 << 19
"""What is delivered in one turn of the loop, so that the test's own tasks get theirs: half a millisecond of work."""
LAST_READ_SECONDS = 10.0
"""What those who are behind get at the end of the run to read what they have not read."""
ROW_COST = 2048
"""What a block weighs in a turn beside its bytes: its row, its read, its calls."""


@final
class Handle:
    """A subscription, as its owner holds it."""

    __slots__ = ("_delivery", "_subscription")

    def __init__(self, delivery: "Delivery", subscription: Subscription) -> None:
        self._delivery = delivery
        self._subscription = subscription

    def cancel(self) -> None:
        """Deliver nothing more, not even of a batch under way; `on_end` isn't called. Again is no error."""
        self._delivery.cancel(self._subscription)

    async def reach(self, position: int) -> None:
        """Wait until it has seen all that it wants before `position`, or gets nothing more. Always a checkpoint."""
        await self._delivery.reach_with(self._subscription, position)


@final
class Delivery:
    """Hands blocks to subscribers, and tells the ledger, which knows of them already, what was decoded and how late."""

    def __init__(self, ledger: Ledger, recording: Recording | None) -> None:
        self.ledger = ledger
        # Read once, for whoever stamps arrivals too: the machine's clock may step, and a lag is no matter of that.
        epoch_ns = time.time_ns() - time.monotonic_ns()
        self.now_ns: Callable[[], int] = lambda: epoch_ns + time.monotonic_ns()
        """The clock that stamps arrivals, in nanoseconds since the epoch."""
        self.hub = Hub(self._cut_off, self._undecodable)
        self.delivered = 0
        self.ended = False
        self.last_arrival_ns = 0
        self.on_cut_off: Callable[[str], None] | None = None
        self._recording = recording
        self._reached: list[tuple[int, anyio.Event]] = []
        self._ended_nodes: dict[str, int] = {}
        self._waiting: list[Subscription] = []
        self._behind: set[Subscription] = set()
        self._all_caught_up = anyio.Event()
        self._catch_up_wanted = anyio.Event()
        self._log = structlog.get_logger()

    # Taking blocks in

    def skip(self, row: Row) -> None:
        """Go past a block that nobody wants."""
        self._arrive(row.position + row.lines, self.ledger.of(row.node), row.arrived_ns)

    def take(self, block: Block) -> None:
        """Decode what is wanted of a block, and deliver it."""
        self._take(block, self.hub.read(block))

    def take_whole(self, block: Block) -> None:
        """Decode all of a block that nobody can read again, and deliver it."""
        self._take(block, decode(block))

    def _take(self, block: Block, batch: Batch) -> None:
        account = self.ledger.of(block.node)
        account.decoded += len(batch.records)
        account.malformed += len(batch.malformed)
        # Moved before the delivery: a subscriber that subscribes in its own callback starts after this block.
        self.delivered = block.position + block.lines
        self.hub.deliver(batch)
        self._arrive(self.delivered, account, block.arrived_ns)

    def _arrive(self, position: int, account: Any, arrived_ns: int) -> None:
        self.delivered = position
        self.last_arrival_ns = arrived_ns
        account.lag_ns = max(0, self.now_ns() - arrived_ns)
        account.lag_max_ns = max(account.lag_max_ns, account.lag_ns)
        if self._reached and self._reached[0][0] <= position:
            self._announce()
        if self._ended_nodes:
            self._complete_nodes()

    def set_aside(self, node: str, position: int) -> None:
        """Take those out of the live ones who can't take more; they come back by reading the recording."""
        for subscription in self.hub.closed(node):
            self.hub.remove(subscription)
            subscription.next = max(subscription.next, position)
            self._when_open(subscription)

    def _when_open(self, subscription: Subscription) -> None:
        self._behind.add(subscription)

        def wanted() -> None:
            self._read_back(subscription)

        assert subscription.gate is not None  # noqa: S101  # only gates close
        subscription.gate.when_open(wanted)

    def _read_back(self, subscription: Subscription) -> None:
        self._behind.add(subscription)
        self._waiting.append(subscription)
        self._catch_up_wanted.set()

    # Subscribing

    def subscribe(
        self,
        interest: Interest,
        sink: Sink,
        on_end: Callable[[Exception | None], None],
        *,
        since: int | None = None,
        gate: Gate | None = None,
    ) -> Handle:
        """Deliver to `sink` what `interest` names from position `since` on (None: from what is delivered next).

        Nothing is delivered before this returns.

        Raises:
            RecordingError: the past is wanted, and nothing was recorded.
        """
        start = self.delivered if since is None else since
        subscription = Subscription(interest, sink, on_end, start, gate)
        if start < self.delivered or self.ended:
            if self._recording is None:
                message = f"position {start} is past (now {self.delivered}) and this pipeline keeps no recording"
                raise RecordingError(message)
            self._read_back(subscription)
        else:
            self.hub.add(subscription)
        return Handle(self, subscription)

    def cancel(self, subscription: Subscription) -> None:
        """Deliver nothing more to it. For its handle."""
        subscription.active = False
        self.hub.remove(subscription)
        self._no_longer_behind(subscription)
        subscription.tell_who_waits()

    async def serve_late_comers(self) -> None:
        """Read back for those who are behind, for as long as it runs."""
        async with anyio.create_task_group() as tasks:
            while True:
                await self._catch_up_wanted.wait()
                self._catch_up_wanted = anyio.Event()
                waiting, self._waiting = self._waiting, []
                for subscription in waiting:
                    tasks.start_soon(self.catch_up, subscription)

    async def catch_up(self, subscription: Subscription) -> None:
        """Read the recording for one subscription until it is live, ended, or can't take more."""
        try:
            await self._catch_up(subscription)
        except RecordingError as error:
            self._finish(subscription, error)
        if not (subscription.active and subscription.gate is not None and subscription.gate.closed):
            self._no_longer_behind(subscription)

    def _no_longer_behind(self, subscription: Subscription) -> None:
        self._behind.discard(subscription)
        if not self._behind:
            self._all_caught_up.set()

    async def finish_late_comers(self) -> None:
        """Let those who are behind read to the run's end. One who takes nothing more is told that there was more."""
        with anyio.move_on_after(LAST_READ_SECONDS):
            while self._behind:
                self._all_caught_up = anyio.Event()
                await self._all_caught_up.wait()
        for subscription in tuple(self._behind):
            self._finish(subscription, RecordingError(f"closed before all was read; {self._missing(subscription)}"))

    async def _catch_up(self, subscription: Subscription) -> None:
        recording = self._recording
        assert recording is not None  # noqa: S101  # nobody is behind without one
        cursor = recording.cursor_at(subscription.next)
        weight = 0
        while subscription.active:
            rows = recording.rows(cursor) if subscription.next < self.delivered else []
            if not rows and not self._join(subscription):
                # What is delivered and not in the rows came past the recording, whose disk has failed.
                self._finish(subscription, RecordingError(self._missing(subscription)))
                return
            if not rows:
                return
            for row in rows:
                if subscription.next >= self.delivered:
                    break
                if row.position + row.lines <= subscription.next:
                    continue
                if subscription.gate is not None and subscription.gate.closed:
                    self._when_open(subscription)
                    return
                if subscription.wants(row.node):
                    self.hub.deliver_to(subscription, recording.block(row))
                    weight += row.bytes
                else:
                    subscription.next = row.position + row.lines
                subscription.tell_who_waits()
                weight += ROW_COST
                if weight > TURN_BYTES * 2:  # more than the live ones get in a turn, or it would never reach them
                    weight = 0
                    await anyio.lowlevel.checkpoint()
                if self._is_over(subscription):
                    return

    async def read_back(self, interest: Interest, sink: Sink, start: int, stop: int) -> None:
        """Give `sink` what `interest` names from `start` to just before `stop`, waiting for `stop` to be delivered.

        Raises:
            RecordingError: it is past, and nothing was recorded.
        """
        await self.reach(stop)
        if start >= stop:
            return
        if self._recording is None:
            message = f"positions {start} to {stop} are past and this pipeline keeps no recording"
            raise RecordingError(message)

        def before_stop(items: list[Any]) -> None:
            sink([item for item in items if item.position < stop])

        reader = Subscription(interest, before_stop, lambda _: None, start, None)
        cursor = self._recording.cursor_at(start)
        while reader.next < stop and reader.active:
            rows = self._recording.rows(cursor)
            if not rows:
                raise RecordingError(self._missing(reader))
            for row in rows:
                if reader.next >= stop:
                    break
                if reader.wants(row.node):
                    self.hub.deliver_to(reader, self._recording.block(row))
                reader.next = max(reader.next, row.position + row.lines)
            await anyio.lowlevel.checkpoint()

    @staticmethod
    def _is_over(subscription: Subscription) -> bool:
        return not subscription.active

    def _join(self, subscription: Subscription) -> bool:
        """Make a subscription live, if it stands where the live ones stand."""
        if subscription.next < self.delivered:
            return False
        if self.ended:
            self._finish(subscription, None)
        else:
            self.hub.add(subscription)
            self._complete_nodes()
        subscription.tell_who_waits()
        return True

    def _missing(self, subscription: Subscription) -> str:
        return f"read up to position {subscription.next} of {self.delivered}"

    def _finish(self, subscription: Subscription, error: Exception | None) -> None:
        if subscription.active:
            subscription.active = False
            self.hub.remove(subscription)
            try:
                subscription.on_end(error)
            except Exception as raised:  # noqa: BLE001  # a subscriber's fault must not reach the others
                self._cut_off(subscription, raised)
            subscription.tell_who_waits()

    # Ends

    def end_node(self, node: str, position: int) -> None:
        """Say that nothing of this node comes from `position` on."""
        self._ended_nodes[node] = position
        self._complete_nodes()

    def _complete_nodes(self) -> None:
        gone = {node for node, position in self._ended_nodes.items() if position <= self.delivered}
        if not gone:
            return
        for subscription in self.hub.subscriptions:
            nodes = subscription.interest.nodes
            if nodes is not None and nodes <= gone:
                self._finish(subscription, None)

    def end(self, error: Exception | None = None) -> None:
        """Say that nothing comes any more; complete every live subscriber, and let waiters go."""
        self.ended = True
        for subscription in self.hub.subscriptions:
            self._finish(subscription, error)
        self._announce(everybody=True)

    async def reach(self, position: int) -> None:
        """Wait until all lines before `position` are delivered, or the run has ended."""
        if self.delivered >= position or self.ended:
            await anyio.lowlevel.checkpoint()
            return
        event = anyio.Event()
        self._reached.append((position, event))
        self._reached.sort(key=lambda pair: pair[0])
        await event.wait()

    async def reach_with(self, subscription: Subscription, position: int) -> None:
        """Wait until one subscription has seen all that it wants before `position`. For its handle."""
        await self.reach(position)
        if subscription.active and subscription in self._behind and subscription.next < position:
            event = anyio.Event()
            subscription.awaited.append((position, event))
            await event.wait()

    def _announce(self, *, everybody: bool = False) -> None:
        while self._reached and (everybody or self._reached[0][0] <= self.delivered):
            self._reached.pop(0)[1].set()

    # Faults

    def _cut_off(self, subscription: Subscription, error: Exception) -> None:
        names = ", ".join(kind.name for kind in subscription.interest.event_types or ()) or "records"
        text = f"a subscriber to {names} raised {type(error).__name__}: {error}"
        self.ledger.cut_off.append(text)
        self._log.error("subscriber cut off", reason=text, exc_info=error)
        subscription.active = False
        if self.on_cut_off is not None:
            self.on_cut_off(text)

    def _undecodable(self, items: list[Undecodable]) -> None:
        self.ledger.of(items[0].node).undecodable += len(items)
