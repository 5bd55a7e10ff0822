"""The ends of a chain: a callback, an iterator.

Whatever a callback raises ends here and goes no further up: an operator that others share, and the root whose batch is
under way, never see it. The subscription is cut off, its owner is told by `on_error`, once, and the run hears of it.
Where no run stands behind a chain (`from_items`), the error goes to whoever pushes, which is the caller.

Whoever waits, rather than being called, also ends when the run does: with its error where one ended it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, final

import anyio
from reactivex import Observable, abc
from reactivex.scheduler import CurrentThreadScheduler

from lucy_core.aio import as_exception
from lucy_core.answers import refuse_coroutine
from lucy_core.delivery.feed import Feed
from lucy_core.delivery.interests.subscription import Gate, Group
from lucy_core.delivery.streams.opening import Opening, opening, subscribe_within
from lucy_core.delivery.streams.scheduling import LoopScheduler
from lucy_core.errors import CallbackError

T = TypeVar("T")


@final
class End(abc.ObserverBase[Any]):
    """One subscription of somebody's callbacks."""

    def __init__(
        self,
        name: str,
        feed: Feed | None,
        on_next: Callable[[Any], None],
        on_error: Callable[[Exception], None] | None,
        on_completed: Callable[[], None] | None,
        on_batch: Callable[[list[Any]], None] | None = None,
    ) -> None:
        self.on_batch = on_batch
        """Takes all items of a batch, for who comes right behind a root; None where each goes through `on_next`.

        It doesn't raise.
        """
        self._name = name
        self._feed = feed
        self._take = on_next
        self._fail = on_error
        self._complete = on_completed
        self._held: abc.DisposableBase | None = None
        self._opened = False
        self._refused: Exception | None = None
        """The error with which the chain ended while it was subscribed to, where nobody else was to be told."""
        self.over = False

    def open(self, observable: "Observable[Any]", walk: Opening) -> None:
        """Subscribe to a chain.

        Raises:
            Exception: it refused, and nobody else was to be told.
        """
        scheduler = LoopScheduler(asyncio.get_running_loop(), self.cut_off)

        def start(_: abc.SchedulerBase | None = None, __: Any = None) -> None:
            self._held = subscribe_within(observable, self, scheduler)

        trampoline = CurrentThreadScheduler.singleton()
        with opening(walk):
            try:
                if trampoline.schedule_required():
                    trampoline.schedule(start)
                else:
                    start()
            except BaseException as error:
                if self.over or self._fail is None or not isinstance(error, Exception):
                    self.over = True  # the caller hears of it, and the callbacks of nothing: half a chain may stand
                    raise
                self.on_error(error)
        self._opened = True
        if self.over:
            self.dispose()
        if self._refused is not None:
            raise self._refused

    def dispose(self) -> None:
        """Take nothing more. Again is no error."""
        self.over = True
        if self._held is not None:
            self._held.dispose()

    def on_next(self, value: Any) -> None:
        if self.over:
            return
        try:
            answer: object = self._take(value)  # whatever a lambda returns
            if answer is not None:
                refuse_coroutine(answer, f"the callback of {self._name} returned")
        except BaseException as error:  # noqa: BLE001  # it must not reach the others, whatever it is
            self.cut_off(error)

    def on_error(self, error: Exception) -> None:
        """Tell of the chain's end with an error; where nobody is to be told, the run hears of it."""
        if self.over:
            return
        self.dispose()
        if self._fail is None:
            self._report(error)
        else:
            self._tell(self._fail, error)

    def on_completed(self) -> None:
        if self.over:
            return
        self.dispose()
        if self._complete is not None:
            self._tell(self._complete)

    def cut_off(self, error: BaseException) -> None:
        """Give nothing more to a callback that raised; have that heard, and tell who waits for the end."""
        was_over = self.over
        self.dispose()
        try:
            self._report(error)
        finally:
            if self._fail is not None and not was_over:
                self._tell(self._fail, as_exception(error))

    def _tell(self, callback: Callable[..., None], *errors: Exception) -> None:
        try:
            callback(*errors)
        except BaseException as raised:  # noqa: BLE001  # it must not reach the others, whatever it is
            self._report(raised)

    def _report(self, error: BaseException) -> None:
        if not self._opened and isinstance(error, Exception) and (self._fail is None or self._feed is None):
            # Not raised here: operators that give items while they are subscribed to would swallow it.
            self._refused = self._refused or error
        elif self._feed is None:
            raise error
        else:
            self._feed.report(self._name, error)


def end_of_run(feed: Feed | None, error: Exception | None) -> BaseException | None:
    """Return what a waiter has to raise: what ended the run, where its own end follows from that."""
    aborted = None if feed is None else feed.aborted
    ended_by = aborted.raised if isinstance(aborted, CallbackError) else aborted
    if error is None or (isinstance(error, CallbackError) and error.raised is ended_by):
        return aborted
    return error


@final
class _Turn(Generic[T]):
    """One task that waits for an item."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        self.items: list[T] = []
        """The item that it was given, if it was."""

    def take(self, item: T) -> None:
        self.items.append(item)
        self.over.set()


@final
class Items(Generic[T]):
    """The pulling end of a pushed stream.

    `__anext__` waits only where nothing is held: a receive that always yielded would take one item a turn, while a
    batch of hundreds comes in one. Several tasks may pull: an item goes to the one that has waited longest, the end to
    all. It is handed over, not left to be found: whoever runs first would take those of the others as well.
    """

    def __init__(self, feed: Feed | None, limit: int) -> None:
        self.gate = Gate()
        self._feed = feed
        self._limit = limit
        self._held: deque[T] = deque()
        self._waiting: deque[_Turn[T]] = deque()
        """Who waits, the longest first; nobody while something is held."""
        self._error: Exception | None = None
        self._completed = False
        self.peak = 0

    @asynccontextmanager
    async def open(self, name: str, observable: "Observable[T]") -> AsyncIterator[AsyncIterator[T]]:
        """Be subscribed for the length of a block; its end is one for whoever still pulls."""
        end = End(name, self._feed, self._put, self._fail, self._complete, self._put_all)
        forget = self._feed.when_aborted(self._wake) if self._feed is not None else None
        try:
            end.open(observable, Opening(Group(self.gate), is_later=False))
            yield self
        finally:
            end.dispose()
            self.gate.open()  # whoever was held up by it waits for nobody
            if forget is not None:
                forget()
            self._complete()

    def _put(self, item: T) -> None:
        self._put_all([item])

    def _put_all(self, items: list[T]) -> None:
        """Hand items over to those who wait, one to each, and hold the others."""
        given = 0
        while self._waiting and given < len(items):
            self._waiting.popleft().take(items[given])
            given += 1
        self._held.extend(items[given:] if given else items)
        held = len(self._held)
        self.peak = max(self.peak, held)
        if held >= self._limit:
            self.gate.close()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._complete()

    def _complete(self) -> None:
        self._completed = True
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            self._waiting.popleft().over.set()

    def __aiter__(self) -> "Items[T]":
        return self

    async def __anext__(self) -> T:
        while not self._held:
            if self.gate.closed:
                self.gate.open()
            aborted = None if self._feed is None else self._feed.aborted
            if self._completed or aborted is not None:
                break
            if given := await self._wait():
                return given[0]
        if self._held:
            item = self._held.popleft()
            if self.gate.closed and len(self._held) <= self._limit // 2:
                self.gate.open()
            return item
        error = end_of_run(self._feed, self._error)
        if error is not None and not (self._completed and self._error is None):
            raise error
        raise StopAsyncIteration

    async def _wait(self) -> list[T]:
        """Wait for an item, or for nothing where the end comes first. A cancelled one leaves its item to the others."""
        turn: _Turn[T] = _Turn()
        self._waiting.append(turn)
        try:
            await turn.over.wait()
        except BaseException:
            if turn in self._waiting:
                self._waiting.remove(turn)
            for item in turn.items:
                if self._waiting:
                    self._waiting.popleft().take(item)
                else:
                    self._held.appendleft(item)
            raise
        return turn.items
