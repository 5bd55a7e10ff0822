"""Limits in time, judged by arrival.

What counts is when a line arrived, not when the loop got round to it: an item whose line came after the limit is too
late although the loop was blocked and no timer has fired, and one that came in time counts although its timer has. So
the timer alone decides nothing. When it fires, everything that has arrived by then is delivered to the chain first (a
fence), and only then is the stream late.
"""

import asyncio
import math
from typing import Any, final

import anyio
import msgspec
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from lucy_core.aio import as_exception
from lucy_core.delivery.feed import Feed
from lucy_core.delivery.streams.opening import current, opening, subscribe_within
from lucy_core.delivery.streams.scheduling import FAR_SECONDS, LoopScheduler
from lucy_core.delivery.streams.watching import Watch
from lucy_core.errors import StreamTimeoutError
from lucy_core.records.described import described


@final
class Limited(Observable[Any]):
    """A chain that has to complete in time, from its subscription on."""

    def __init__(self, source: "Observable[Any]", feed: Feed | None, seconds: float, *, name: str, what: str) -> None:
        super().__init__()
        self.source = source
        self.feed = feed
        self.seconds = seconds
        self.name = name
        self.what = what

    def _subscribe_core(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        if math.isinf(self.seconds):
            return subscribe_within(self.source, observer, scheduler)
        if scheduler is None:  # somebody subscribes to the bare observable
            scheduler = LoopScheduler(asyncio.get_running_loop(), lambda error: observer.on_error(as_exception(error)))
        return _Run(self, observer).start(scheduler)


@final
class _Run(abc.ObserverBase[Any]):
    """One subscription with a limit."""

    def __init__(self, limited: Limited, observer: abc.ObserverBase[Any]) -> None:
        self._limited = limited
        self._observer = observer
        self._feed = limited.feed
        self._watch = Watch()
        self._over = False
        self._held: list[abc.DisposableBase] = []
        self._limit_ns = 0

    def start(self, scheduler: abc.SchedulerBase) -> abc.DisposableBase:
        walk = current()
        opened_ns = walk.opened_ns
        if self._feed is not None:
            now_ns = self._feed.now_ns()
            self._limit_ns = now_ns + int(min(self._limited.seconds, FAR_SECONDS) * 1e9)
            opened_ns = now_ns if opened_ns is None else opened_ns
        with opening(msgspec.structs.replace(walk, watches=(*walk.watches, self._watch), opened_ns=opened_ns)):
            self._keep(self._limited.source.subscribe(self, scheduler=scheduler))
        if not self._over:
            self._keep(scheduler.schedule_relative(self._limited.seconds, self._due))
        return Disposable(self._stop)

    def _keep(self, held: abc.DisposableBase) -> None:
        if self._over:
            held.dispose()
        else:
            self._held.append(held)

    def _stop(self) -> None:
        self._over = True
        for each in self._held:
            each.dispose()
        self._held.clear()

    def on_next(self, value: Any) -> None:
        if self._over:
            return
        if self._feed is not None:
            arrived = self._feed.arriving_ns
            late_ns = (self._feed.now_ns() if arrived is None else arrived) - self._limit_ns
            if late_ns > 0:
                self._watch.other = f"came {late_ns / 1e9:.3f} s too late: {described(value)}"
                self.on_error(self._late())
                return
        self._observer.on_next(value)

    def on_error(self, error: Exception) -> None:
        if not self._over:
            self._stop()
            self._observer.on_error(error)

    def on_completed(self) -> None:
        if not self._over:
            self._stop()
            self._observer.on_completed()

    def _late(self) -> StreamTimeoutError:
        explanation = "" if self._feed is None else self._watch.explain(self._feed)
        return StreamTimeoutError(self._limited.name, self._limited.what, self._limited.seconds, explanation)

    def _due(self, _: abc.SchedulerBase, __: Any = None) -> None:
        if self._feed is None or self._feed.is_closed:
            self.on_error(self._late())
        else:
            self._feed.run(self._decide)

    async def _decide(self) -> None:
        """Let all that has arrived by the limit be delivered, then be late."""
        feed = self._feed
        assert feed is not None  # noqa: S101  # asked before
        try:
            if (left := self._limit_ns - feed.now_ns()) > 0:  # a loop's timer may fire a millisecond early
                await anyio.sleep(left / 1e9 + 0.001)
            fence = await feed.fence()
            for handle in tuple(self._watch.handles):
                await handle.reach(fence)
            if not self._over:
                await self._watch.look_elsewhere(feed, fence)
            error: Exception = self._late()
        except Exception as failed:  # noqa: BLE001  # the chain's: raised here, it would end all who read back
            error = failed
        try:
            self.on_error(error)
        except BaseException as raised:  # noqa: BLE001  # of an operator below: this is its turn of the loop
            feed.report(self._limited.name, raised)
