"""From blocks to subscribers: the one place where a position is reached. Sans-IO but for reading back.

`delivered` is the position up to which every live subscriber has seen what it wants. A subscription that starts
earlier, or whose subscriber can't take more, is not live: it reads the recording by itself (`catch_up`), together with
the others of its group, until it stands exactly where `delivered` stands, and becomes live in the same turn of the
loop. So past and present are one stream, in which no line is missing and none comes twice.

How a subscription ends is said to it once, by `on_end`: with None at the end of what it names, with an error where
there is more that it can't have, and with its own error where it raised and is cut off. What a callback raises never
reaches the pump, which would be everybody's end. An `Exception` is reported and the run goes on. All else *escapes*:
`SystemExit`, `KeyboardInterrupt` and the outcomes of a test framework (`pytest.fail`, `pytest.skip`) mean the test as a
whole, so they end the run and come out where it was opened, while the delivery to the others goes on. So does a
cancellation that nobody asked for, or a `GeneratorExit`, as the cause of a `CallbackError`: bare, the next task group
would take it for its own, swallow it, and the test would pass.

The run may be over for whoever waits while lines still come (a node died, and one wants to read how): `abort` tells
those who registered with `when_aborted`, and delivers on.
"""

import time
from collections.abc import Callable, Coroutine
from typing import Any, final

import anyio
import anyio.lowlevel

from lucy_core import log
from lucy_core.aio import as_exception, out_of_callback
from lucy_core.delivery.decoding import Batch, decode
from lucy_core.delivery.hub import Gate, Group, Hub, Interest, Sink, Subscription
from lucy_core.errors import RecordingError
from lucy_core.recording.ledger import Ledger
from lucy_core.recording.recording import Recording, Row
from lucy_core.records.record import Block, Undecodable

TURN_BYTES = 1 << 19
"""What is delivered in one turn of the loop, so that the test's own tasks get theirs: half a millisecond of work."""
LAST_READ_SECONDS = 10.0
"""What those who are behind get at the end of the run to read what they have not read."""
HELD_UP_SECONDS = 20.0
"""How long those who can't take more hold up the others where nothing can be read back: less than a wait's patience."""
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

    def caused_at(self, at_ns: int) -> None:
        """Say that it was subscribed because of what came then: what it gives has not come before."""
        self._subscription.caused_ns = max(self._subscription.caused_ns, at_ns)

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
        self.hub = Hub(self._cut_off, self._undecodable, self._escape)
        self.delivered = 0
        self.ended = False
        """Whether nothing comes any more. The past can still be read."""
        self.closed = False
        """Whether the recording is closed too."""
        self.last_arrival_ns = 0
        self.on_cut_off: Callable[[str], None] | None = None
        self.on_escape: Callable[[BaseException], None] | None = None
        self.escapes: list[BaseException] = []
        """What callbacks raised that ends the run; the first comes out of it."""
        self.cut_off: list[Exception] = []
        """What else they raised."""
        self._left = False
        self.aborted: BaseException | None = None
        """Why the run is over for whoever waits."""
        self._when_aborted: dict[object, Callable[[], None]] = {}
        self._end_error: Exception | None = None
        self._cutting: BaseException | None = None
        self._recording = recording
        self._reached: list[tuple[int, anyio.Event]] = []
        self._ended_nodes: dict[str, int] = {}
        self._jobs: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._behind: set[Group] = set()
        self._all_caught_up = anyio.Event()
        self._work_wanted = anyio.Event()

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
            group = subscription.group
            if not group.behind:
                self._leave_behind(group, position)
                self._when_open(group)

    def _leave_behind(self, group: Group, position: int) -> None:
        """Have a group read back from where its members stand: those who were live have seen all before `position`."""
        for member in group.members:
            if member in self.hub.subscriptions:
                self.hub.remove(member)
                member.next = max(member.next, position)
        group.behind = True
        group.next = min(member.next for member in group.members)
        self._behind.add(group)

    def _when_open(self, group: Group) -> None:
        def wanted() -> None:
            self._read_back(group)

        group.when_open(wanted)
        group.tell_who_waits()

    def _read_back(self, group: Group) -> None:
        async def catch_up() -> None:
            await self.catch_up(group)

        self.run(catch_up)

    # Subscribing

    def subscribe(
        self,
        interest: Interest,
        sink: Sink,
        on_end: Callable[[Exception | None], None],
        *,
        since: int | None = None,
        gate: Gate | None = None,
        group: Group | None = None,
    ) -> Handle:
        """Deliver to `sink` what `interest` names from position `since` on (None: from what is delivered next).

        Nothing is delivered before this returns; only after the run's end may `on_end` come that early.

        Args:
            interest: what is wanted.
            sink: takes it, a batch at a time. What it raises cuts it off.
            on_end: called once, when nothing more comes: with the error if there is more, or if the sink raised one.
            since: where it starts.
            gate: lets the subscriber say that it can't take more.
            group: those with whom it reads back, all of whom subscribe in one turn of the loop; it brings the gate.

        Raises:
            RecordingError: the past is wanted, and nothing was recorded, or the recording is closed.
        """
        start = self.delivered if since is None else since
        is_past = start < self.delivered
        if is_past:
            self._readable(f"position {start} is past (now {self.delivered})")
        if group is None or group.reading:
            group = Group(gate if group is None else group.gate)
        subscription = Subscription(interest, sink, on_end, start, group)
        subscription.caused_ns = self.hub.arriving_ns or 0
        if self.closed or (self.ended and self._recording is None):
            self._finish(subscription, self._end_error)
            return Handle(self, subscription)
        group.members.append(subscription)
        if group.behind:
            group.next = min(group.next, start)
        elif is_past or self.ended:
            self._leave_behind(group, self.delivered)
            self._read_back(group)
        else:
            self.hub.add(subscription)
        return Handle(self, subscription)

    def _readable(self, what: str) -> Recording:
        if self._recording is not None and not self.closed:
            return self._recording
        why = "this pipeline keeps no recording" if self._recording is None else "its recording is closed: replay it"
        message = f"{what} and {why}"
        raise RecordingError(message)

    def cancel(self, subscription: Subscription) -> None:
        """Deliver nothing more to it. For its handle."""
        subscription.active = False
        self.hub.remove(subscription)
        self._leave_group(subscription)

    def _leave_group(self, subscription: Subscription) -> None:
        group = subscription.group
        group.drop(subscription)
        if not group.members:
            self._no_longer_behind(group)

    def run(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something beside delivery, until the pipeline is closed. It must not raise."""
        self._jobs.append(job)
        self._work_wanted.set()

    async def serve_late_comers(self) -> None:
        """Read back for those who are behind, for as long as it runs."""
        async with anyio.create_task_group() as tasks:
            while True:
                await self._work_wanted.wait()
                self._work_wanted = anyio.Event()
                jobs, self._jobs = self._jobs, []
                for job in jobs:
                    tasks.start_soon(job)

    async def catch_up(self, group: Group) -> None:
        """Read the recording for one group until it is live, ended, or can't take more."""
        group.reading = True
        try:
            is_set_aside = await self._catch_up(group)
        except RecordingError as error:
            is_set_aside = False
            self._finish_all(group, error)
        group.reading = False
        if not is_set_aside:
            self._no_longer_behind(group)

    def _no_longer_behind(self, group: Group) -> None:
        group.behind = False
        group.tell_who_waits()
        self._behind.discard(group)
        if not self._behind:
            self._all_caught_up.set()

    async def finish_late_comers(self) -> None:
        """Let those who are behind read to the run's end. One who takes nothing more is told that there was more."""
        with anyio.move_on_after(LAST_READ_SECONDS):
            await self._caught_up()
        self._finish_behind()

    async def _caught_up(self) -> None:
        while self._behind:
            if self._all_caught_up.is_set():
                self._all_caught_up = anyio.Event()
            await self._all_caught_up.wait()

    def _finish_behind(self) -> None:
        for group in tuple(self._behind):
            self._finish_all(group, RecordingError(f"closed before all was read; {self._missing(group)}"))
            self._no_longer_behind(group)

    async def gather(self, node: str) -> None:
        """Have everybody live, and able to take more of a node, before lines are delivered that nobody can read again.

        Whoever can't take more holds everybody up, nodes at last, but not for ever: it may be the very test that waits
        for those lines. One that has taken nothing for `HELD_UP_SECONDS` is told why there is more that it can't have.
        """
        while self._behind or self.hub.closed(node):
            opened = {gate: gate.opened for gate in self._gates(node)}
            with anyio.move_on_after(HELD_UP_SECONDS) as held_up:
                await self._caught_up()
                for gate in self._gates(node):
                    is_open = anyio.Event()
                    gate.when_open(is_open.set)
                    await is_open.wait()
            if held_up.cancelled_caught:
                self._give_up({gate for gate, times in opened.items() if gate.closed and gate.opened == times})

    def _gates(self, node: str) -> list[Gate]:
        """Return the gates for which lines of a node would have to wait."""
        groups = (*self._behind, *(each.group for each in self.hub.closed(node)))
        return [group.gate for group in groups if group.gate is not None]

    def _give_up(self, gates: set[Gate]) -> None:
        why = f"it took nothing more for {HELD_UP_SECONDS:g} s; "
        for group in tuple(self._behind):
            if group.gate in gates:
                self._finish_all(group, RecordingError(f"{why}{self._missing(group)}"))
                self._no_longer_behind(group)
        for each in self.hub.subscriptions:
            if each.gate in gates:
                self._finish(each, RecordingError(f"{why}{self._missing(each)}"))

    def close(self) -> None:
        """Say that nothing can be read back any more. Whoever subscribes from now on is told of the end at once."""
        self.closed = self.ended = True
        self._finish_behind()

    async def _catch_up(self, group: Group) -> bool:
        """Read the recording for a group; tell whether it was set aside on the way."""
        recording = self._recording
        assert recording is not None  # noqa: S101  # nobody is behind without one
        cursor = recording.cursor_at(group.next)
        weight = 0
        while group.members:
            rows = recording.rows(cursor) if group.next < self.delivered else []
            if not rows:
                if not self._join(group):
                    # What is delivered and not in the rows came past the recording, whose disk has failed.
                    self._finish_all(group, RecordingError(self._missing(group)))
                return False
            for row in rows:
                if group.next >= self.delivered:
                    break
                after = row.position + row.lines
                if after <= group.next:
                    continue
                if group.is_shut:
                    self._when_open(group)
                    return True
                if group.wants(row.node):
                    self.hub.deliver_to(group, recording.block(row))
                    weight += row.bytes
                group.has_read(after)
                weight += ROW_COST
                if weight > TURN_BYTES * 2:  # more than the live ones get in a turn, or it would never reach them
                    weight = 0
                    await anyio.lowlevel.checkpoint()
                if not group.members:
                    return False
        return False

    async def read_back(self, interest: Interest, sink: Sink, start: int, stop: int) -> None:
        """Give `sink` what `interest` names from `start` to just before `stop`, waiting for `stop` to be delivered.

        Raises:
            RecordingError: it is past, and nothing was recorded, not all of it, or the recording is closed.
            Exception: what `sink` raised.
        """
        await self.reach_live(stop)
        if start >= stop:
            return
        recording = self._readable(f"positions {start} to {stop} are past")

        def before_stop(items: list[Any]) -> None:
            if raised:
                return
            try:
                sink([item for item in items if item.position < stop])
            except BaseException as error:  # noqa: BLE001  # raised again below: here it would be a subscriber's
                raised.append(error)

        raised: list[BaseException] = []
        group = Group()
        group.next = start
        group.members.append(Subscription(interest, before_stop, lambda _: None, start, group))
        cursor = recording.cursor_at(start)
        while group.next < stop:
            rows = recording.rows(cursor)
            if not rows:
                raise RecordingError(self._missing(group))
            for row in rows:
                if group.next >= stop:
                    break
                if group.wants(row.node):
                    self.hub.deliver_to(group, recording.block(row))
                group.has_read(max(group.next, row.position + row.lines))
            if raised:
                raise raised[0]
            await anyio.lowlevel.checkpoint()

    def _join(self, group: Group) -> bool:
        """Make a group live, if it stands where the live ones stand."""
        if group.next < self.delivered:
            return False
        if self.ended:
            self._finish_all(group, self._end_error)
        else:
            for member in group.members:
                self.hub.add(member)
            self._complete_nodes()
        return True

    def _missing(self, reader: Group | Subscription) -> str:
        read = f"read up to position {reader.next} of {self.delivered}"
        if self.ledger.recording_stopped is None:
            return read
        position, reason = self.ledger.recording_stopped
        return f"{read}: the recording stopped at {position} ({reason}), and what came since can't be read back"

    def _finish_all(self, group: Group, error: Exception | None) -> None:
        for member in tuple(group.members):
            self._finish(member, error)

    def _finish(self, subscription: Subscription, error: Exception | None) -> None:
        if subscription.active:
            subscription.active = False
            self.hub.remove(subscription)
            try:
                subscription.on_end(error)
            except BaseException as raised:  # noqa: BLE001  # a subscriber's fault must not reach the others
                self.report(_names(subscription), raised)
            self._leave_group(subscription)

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
        """Say that nothing comes any more; complete every live subscriber, and let waiters go.

        With an error, there was more: whoever subscribes later and has read the past is told so too.
        """
        self.ended = True
        self._end_error = error
        for subscription in self.hub.subscriptions:
            self._finish(subscription, error)
        self._announce(everybody=True)
        if error is not None:
            self.abort(error)

    def abort(self, error: BaseException) -> None:
        """Say that the run is over for whoever waits. Lines are delivered on. Again changes nothing."""
        if self.aborted is None:
            self.aborted = error
            calls, self._when_aborted = self._when_aborted, {}
            for call in calls.values():
                call()

    def when_aborted(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call once the run is over for whoever waits, or now if it is; return what takes that back."""
        if self.aborted is not None:
            call()
            return lambda: None
        key = object()
        self._when_aborted[key] = call

        def forget() -> None:
            self._when_aborted.pop(key, None)

        return forget

    async def reach(self, position: int) -> None:
        """Wait until all who subscribe now have seen what they want before `position`, or nothing more comes.

        Those who are reading back are waited for as well. Only one who can't take more, whose gate is closed, isn't:
        whether it opens again is its owner's business, who may be the very task that waits here.
        """
        await self.reach_live(position)
        for group in tuple(self._behind):
            await group.wait_for(position, None)

    async def reach_live(self, position: int) -> None:
        """Wait until all lines before `position` are delivered to the live ones, or nothing more comes."""
        if self.delivered >= position or self.ended:
            await anyio.lowlevel.checkpoint()
            return
        event = anyio.Event()
        self._reached.append((position, event))
        self._reached.sort(key=lambda pair: pair[0])
        await event.wait()

    async def reach_with(self, subscription: Subscription, position: int) -> None:
        """Wait until one subscription has seen all that it wants before `position`. For its handle."""
        await self.reach_live(position)
        await subscription.group.wait_for(position, subscription)

    def _announce(self, *, everybody: bool = False) -> None:
        while self._reached and (everybody or self._reached[0][0] <= self.delivered):
            self._reached.pop(0)[1].set()

    # Faults

    def _cut_off(self, subscription: Subscription, error: BaseException) -> None:
        """End a subscription whose sink raised, and tell it so."""
        self.report(_names(subscription), error)
        before, self._cutting = self._cutting, error
        self._finish(subscription, as_exception(error))
        self._cutting = before

    def report(self, subscriber: str, error: BaseException) -> None:
        """Have what a callback raised heard: by the ledger and the run, or, where it ends the run, by its owner.

        What has cut a subscription off and comes back as its end has been reported already.
        """
        if self._cutting is not None and self._cutting in (error, error.__cause__):
            return
        text = f"a subscriber to {subscriber} raised {type(error).__name__}: {error}"
        self.ledger.cut_off.append(text)
        if isinstance(error, Exception):
            self.cut_off.append(error)
            log.error("subscriber cut off", error, reason=text)
            if self.on_cut_off is not None:
                self.on_cut_off(text)
        self._escape(error)

    def _escape(self, error: BaseException) -> None:
        if not isinstance(error, Exception):
            if self._left:  # in a turn that an operator took later: only the loop can tell of it
                raise error
            escape = out_of_callback(error)
            self.escapes.append(escape)
            self.abort(escape)
            if self.on_escape is not None:
                self.on_escape(escape)

    def leave(self) -> None:
        """Take note that nobody hears any more of what ends the run, and raise what has.

        Raises:
            BaseException: what a callback raised that ends the run.
        """
        self._left = True
        if self.escapes:
            raise self.escapes[0]

    def _undecodable(self, items: list[Undecodable]) -> None:
        self.ledger.of(items[0].node).undecodable += len(items)


def _names(subscription: Subscription) -> str:
    return ", ".join(kind.name for kind in subscription.interest.event_types or ()) or "records"
