"""A subscriber's place in the run, the gate that it can shut, and the group with which it reads back. Sans-IO."""

import itertools
from collections.abc import Callable
from typing import Any, final

import anyio

from lucy_core.delivery.interests.interest import Interest

Sink = Callable[[list[Any]], None]
"""Takes a batch's items, in order, synchronously."""


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

    async def wait(self) -> None:
        """Wait until it is opened. No checkpoint where it is open."""
        if self.closed:
            opened = anyio.Event()
            self._reopened.append(opened.set)
            await opened.wait()

    def close(self) -> None:
        """Let nothing more through after the batch under way."""
        self.closed = True

    def open(self) -> None:
        self.closed = False
        self.opened += 1
        calls, self._reopened = self._reopened, []
        for call in calls:
            call()


@final
class Subscription:
    """One subscriber's place in the run."""

    __slots__ = ("active", "caused_ns", "group", "interest", "next", "number", "on_end", "sink")
    _made = itertools.count()

    def __init__(
        self,
        interest: Interest,
        sink: Sink,
        on_end: Callable[[Exception | None], None],
        start: int,
        group: "Group",
    ) -> None:
        self.interest = interest
        self.sink = sink
        self.on_end = on_end
        self.next = start
        """Nothing before this position is for it: where it starts, or how far it had come when it was last behind.
        Not moved by each block, which would cost a step for every subscriber."""
        self.group = group
        self.active = True
        self.caused_ns = 0
        """When the line arrived in whose delivery it subscribed: what follows from that line didn't come before it,
        though it be read back from further back."""
        self.number = next(self._made)


@final
class Group:
    """Subscriptions that are behind together or live together: those of one chain of operators, with one gate.

    They read back as one, so that what several of them get from the past comes in the order of arrival, as it does
    live. Whoever is alone is a group of its own.
    """

    __slots__ = ("_waiting", "behind", "gate", "members", "next", "reading")

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate
        self.members: list[Subscription] = []
        self.behind = False
        """Whether they read back, or wait to."""
        self.reading = False
        """Whether somebody is reading for them: nobody can join who stands further back."""
        self.next = 0
        """While they are behind: the position before which each of them has seen everything."""
        self._waiting: list[tuple[int, Subscription | None, anyio.Event]] = []

    @property
    def is_shut(self) -> bool:
        """Whether its subscriber can't take more now."""
        return self.gate is not None and self.gate.closed

    def join(self, subscription: Subscription) -> None:
        """Take one more in. While they are behind, what the others have seen isn't given to them again."""
        self._hold_places()
        self.members.append(subscription)
        self.next = min(self.next, subscription.next)

    def leave(self, subscription: Subscription) -> None:
        """Forget one of them. Again is no error."""
        if subscription in self.members:
            self.members.remove(subscription)
            self.tell_who_waits()

    def fall_behind(self) -> None:
        """Begin to read back, from where the one stands who has seen least."""
        self.behind = True
        self.next = min(member.next for member in self.members)

    def has_read(self, position: int) -> None:
        """Take note that all before a position has been read."""
        self.next = position
        self.tell_who_waits()

    def catch_up(self) -> None:
        """Go on live, or not at all."""
        self._hold_places()
        self.behind = False
        self.tell_who_waits()

    def _hold_places(self) -> None:
        if self.behind:
            for each in self.members:
                each.next = max(each.next, self.next)

    async def wait_for(self, position: int, subscription: Subscription | None) -> None:
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

    def _lets_go(self, position: int, subscription: Subscription | None) -> bool:
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
