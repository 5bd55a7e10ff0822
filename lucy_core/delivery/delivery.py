"""Past and present as one stream: who is live, and who reads back to become so.

A subscription that starts earlier than what is delivered, or whose subscriber can't take more, is not live: it reads
the recording by itself, together with the others of its group, until it stands exactly where `delivered` stands, and
becomes live in the same turn of the loop. So no line is missing, and none comes twice.
"""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, final

import anyio

from lucy_core.delivery.interests.hub import Hub
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.plan import Plan
from lucy_core.delivery.interests.subscription import Gate, Group, Sink, Subscription
from lucy_core.delivery.live import Live
from lucy_core.delivery.searched import Searched
from lucy_core.errors import CutOffError, RecordingError
from lucy_core.recording.ledger import Ledger
from lucy_core.recording.recording import Recording
from lucy_core.recording.rows import Row, Window
from lucy_core.recording.walk import TURN_BYTES, Walk

CATCH_UP_BYTES = TURN_BYTES * 2
"""What is read back in one turn: more than the live ones get in theirs, or who is behind would never reach them."""
LAST_READ_SECONDS = 10.0
"""What those who are behind get at the end of the run to read what they have not read."""
HELD_UP_SECONDS = 20.0
"""How long those who can't take more hold up the others where nothing can be read back: less than a wait's patience."""

Job = Callable[[], Coroutine[Any, Any, None]]


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
        await self._delivery.reach_live(position)
        await self._subscription.group.wait_for(position, self._subscription)


@final
class Delivery(Live):
    """Hands blocks to subscribers: live ones as they come, others from the recording."""

    def __init__(
        self,
        ledger: Ledger,
        recording: Recording | None,
        now_ns: Callable[[], int] | None = None,
    ) -> None:
        """Make one to which nobody has subscribed yet.

        Args:
            ledger: takes note of what is delivered.
            recording: what can be read back, if anything can.
            now_ns: the clock that stamps arrivals, in nanoseconds since the epoch; the machine's unless given.
        """
        super().__init__(ledger, now_ns)
        self.closed = False
        """Whether the recording is closed too."""
        self._recording = recording
        self.searched = None if recording is None else Searched()
        self._jobs: list[Job] = []
        self._work_wanted = anyio.Event()
        self._when_first: Callable[[], None] | None = None
        self._behind: set[Group] = set()
        self._all_caught_up = anyio.Event()

    def deliver(self, row: Row, read: Callable[[Row], Window]) -> int:
        """Deliver the block of a row that the ledger has taken; return how much of it was read, in bytes.

        It is read only if somebody wants a line of it.
        """
        plan = self._hub.plan(row.node)
        if plan.is_shut and self._recording is not None:
            self._set_aside(plan)
            plan = self._hub.plan(row.node)
        return self._deliver(plan, row, read)

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
        """See `Feed.subscribe`; without `since` it begins with what is delivered next."""
        start = self.delivered if since is None else since
        is_past = start < self.delivered
        if is_past:
            self._readable(f"position {start} is past (now {self.delivered})")
        if group is None or group.reading:
            group = Group(gate if group is None else group.gate)
        subscription = Subscription(interest, sink, on_end, start, group)
        subscription.caused_ns = self.arriving_ns or 0
        if self.closed or (self.ended and self._recording is None):
            self._finish(subscription, self._end_error)
            return Handle(self, subscription)
        group.join(subscription)
        if self._when_first is not None:
            call, self._when_first = self._when_first, None
            call()
        if is_past or self.ended:
            if not group.behind:
                self._leave_behind(group)
                self._read_back(group)
        elif not group.behind:
            self._go_live(subscription)
        return Handle(self, subscription)

    def when_first(self, call: Callable[[], None]) -> None:
        """Call once somebody subscribes."""
        self._when_first = call

    def _readable(self, what: str) -> Recording:
        if self._recording is not None and not self.closed:
            return self._recording
        why = "this pipeline keeps no recording" if self._recording is None else "its recording is closed: replay it"
        raise RecordingError(what, f"and {why}")

    def cancel(self, subscription: Subscription) -> None:
        """Deliver nothing more to it. For its handle."""
        subscription.active = False
        self._hub.remove(subscription)
        self._leave_group(subscription)

    def _leave_group(self, subscription: Subscription) -> None:
        super()._leave_group(subscription)
        if not subscription.group.members:
            self._no_longer_behind(subscription.group)

    def run(self, job: Job) -> None:
        """Run something beside delivery, until it is closed. It must not raise."""
        self._jobs.append(job)
        self._work_wanted.set()

    async def serve(self) -> None:
        """Run what is to run beside delivery, for as long as this runs.

        Whoever asks for it may be in no task, or amid subscribing to a chain, whose context is no matter of the job's.
        """
        async with anyio.create_task_group() as tasks:
            while True:
                await self._work_wanted.wait()
                self._work_wanted = anyio.Event()
                jobs, self._jobs = self._jobs, []
                for job in jobs:
                    tasks.start_soon(job)

    def _set_aside(self, plan: Plan) -> None:
        """Take those out of the live ones who can't take more; they come back by reading the recording."""
        for subscription in plan.subscriptions:
            group = subscription.group
            if group.is_shut and not group.behind:
                self._leave_behind(group)
                self._read_when_open(group)

    def _leave_behind(self, group: Group) -> None:
        """Have a group read back from where its members stand: those who were live have seen all that is delivered."""
        for member in group.members:
            if member in self._hub:
                self._hub.remove(member)
                member.next = max(member.next, self.delivered)
        group.fall_behind()
        self._behind.add(group)

    def _read_when_open(self, group: Group) -> None:
        if group.gate is not None:
            group.gate.when_open(partial(self._read_back, group))
        group.tell_who_waits()

    def _read_back(self, group: Group) -> None:
        self.run(partial(self._catch_up, group))

    async def _catch_up(self, group: Group) -> None:
        """Read the recording for a group until it is live, ended, or can't take more."""
        group.reading = True
        try:
            is_set_aside = await self._read_for(group)
        except RecordingError as error:
            is_set_aside = False
            self._finish_all(group, error)
        group.reading = False
        if not is_set_aside:
            self._no_longer_behind(group)

    async def _read_for(self, group: Group) -> bool:
        """Read the recording for a group; tell whether it was set aside on the way."""
        recording = self._recording
        assert recording is not None  # noqa: S101  # nobody is behind without one
        walk = Walk(recording, group.next, turn_bytes=CATCH_UP_BYTES)
        hub = Hub(self.formats, group.members)
        while group.members:
            if group.next >= self.delivered or not await walk.turn():
                if not self._join(group):
                    # What is delivered and not in the rows came past the recording, whose disk has failed.
                    self._finish_all(group, self._missing(group.next))
                return False
            for row in walk.blocks():
                if group.next >= self.delivered:
                    break
                after = row.position + row.lines
                if after <= group.next:
                    continue
                if group.is_shut:
                    self._read_when_open(group)
                    return True
                if len(hub) != len(group.members):
                    hub = Hub(self.formats, group.members)
                plan = hub.plan(row.node)
                if plan.subscriptions:
                    batch = plan.read(recording.window(row))
                    dealt = plan.deal(batch)
                    self._note_search(plan, row, batch, dealt.events)
                    self._give(dealt, batch.block)
                    walk.spend(row.bytes)
                group.has_read(after)
                if not group.members:
                    return False
        return False

    def _join(self, group: Group) -> bool:
        """Make a group live, if it stands where the live ones stand."""
        if group.next < self.delivered:
            return False
        if self.ended:
            self._finish_all(group, self._end_error)
        else:
            group.catch_up()
            for member in group.members:
                self._go_live(member)
            self._complete_nodes()
        return True

    def _no_longer_behind(self, group: Group) -> None:
        group.catch_up()
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
            self._finish_all(group, self._missing(group.next, "closed before all was read"))
            self._no_longer_behind(group)

    async def gather(self, node: str) -> None:
        """Have everybody live, and able to take more of a node, before lines are delivered that nobody can read again.

        Whoever can't take more holds everybody up, nodes at last, but not for ever: it may be the very test that waits
        for those lines. One that has taken nothing for `HELD_UP_SECONDS` is told why there is more that it can't have.
        """
        while self._behind or self._hub.plan(node).is_shut:
            behind = [group.gate for group in self._behind if group.gate is not None and group.gate.closed]
            opened = {gate: gate.opened for gate in (*behind, *self.shut_gates((node,)))}
            with anyio.move_on_after(HELD_UP_SECONDS) as held_up:
                await self._caught_up()
                for gate in list(self.shut_gates((node,))):
                    await gate.wait()
            if held_up.cancelled_caught:
                self._give_up({gate for gate, times in opened.items() if gate.closed and gate.opened == times})

    def shut_gates(self, nodes: Iterable[str]) -> Iterator[Gate]:
        """The closed gates among live subscribers to these nodes."""
        for node in nodes:
            for gate in self._hub.plan(node).gates:
                if gate.closed:
                    yield gate

    def _give_up(self, gates: set[Gate]) -> None:
        why = f"it took nothing more for {HELD_UP_SECONDS:g} s"
        for group in tuple(self._behind):
            if group.gate in gates:
                self._finish_all(group, self._missing(group.next, why))
                self._no_longer_behind(group)
        for each in self._hub.subscriptions:
            if each.group.gate in gates:
                self._finish(each, self._missing(max(each.next, self.delivered), why))

    async def read_back(self, asked: Mapping[Interest, Sink], start: int, stop: int) -> None:
        """See `Feed.read_all_back`."""
        await self.reach_live(stop)
        if start >= stop:
            return
        recording = self._readable(f"positions {start} to {stop} are past")
        group = Group()
        takers = (Subscription(interest, sink, lambda _: None, start, group) for interest, sink in asked.items())
        hub = Hub(self.formats, takers)
        walk = Walk(recording, start, turn_bytes=CATCH_UP_BYTES)
        position = start
        while position < stop:
            if not await walk.turn():
                raise self._missing(position)
            for row in walk.blocks():
                if position >= stop:
                    break
                plan = hub.plan(row.node)
                if plan.subscriptions:
                    batch = plan.read(recording.window(row))
                    dealt = plan.deal(batch)
                    self._note_search(plan, row, batch, dealt.events)
                    for error in dealt.escaped:
                        self.run_end.escape(error)
                    for taker, share in dealt.shares:
                        if items := [item for item in share if item.position < stop]:
                            taker.sink(items)
                    walk.spend(row.bytes)
                position = max(position, row.position + row.lines)

    def _missing(self, position: int, why: str = "") -> CutOffError:
        return CutOffError(position, self.delivered, why, self.ledger.recording_stopped)

    def _finish_all(self, group: Group, error: Exception | None) -> None:
        for member in tuple(group.members):
            self._finish(member, error)

    def close(self) -> None:
        """Say that nothing can be read back any more. Whoever subscribes from now on is told of the end at once."""
        self.closed = self.ended = True
        self._finish_behind()

    async def reach(self, position: int) -> None:
        """See `Feed.reach`."""
        await self.reach_live(position)
        for group in tuple(self._behind):
            await group.wait_for(position, None)
