"""When RxPY's operators do what they schedule: on the loop, or now.

RxPY's default for time is a thread per timer, with callbacks on that thread; its scheduler for asyncio does even what
is due now a turn later, so that `from_iterable`, `merge`, `concat` and `start_with` subscribe when lines have gone by.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, final

from reactivex import abc, typing
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from lucy_core.delivery.streams.opening import opening, under_way

FAR_SECONDS = 10 * 365 * 86400.0
"""What is due later than this isn't waited for: no loop's timer takes any number there is."""


@final
class LoopScheduler(AsyncIOScheduler):
    """Does at once, in the order of asking, what is due now, and the rest in a turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, raised: Callable[[BaseException], None]) -> None:
        """Make one for a subscription.

        Args:
            loop: whose turns are meant.
            raised: told of what an operator raises in a turn of its own. Nobody else could hear it there.
        """
        super().__init__(loop)
        self._raised = raised
        self._loop_began = super().now - timedelta(seconds=loop.time())

    @property
    def now(self) -> datetime:
        """The machine's time at the subscription, carried on by the loop's clock.

        Operators that compare times (`delay`, `take_last_with_time`) would otherwise compare two clocks, of which one
        may step, or stand still in virtual time.
        """
        return self._loop_began + timedelta(seconds=self._loop.time())

    def schedule(self, action: typing.ScheduledAction[Any], state: Any = None) -> abc.DisposableBase:
        """Do it now, or after what is being done now, but still in this turn and on behalf of the same walk."""
        walk = under_way()

        def on_this_one(_: abc.SchedulerBase, state: Any = None) -> Any:
            with opening(walk):
                return self.invoke_action(action, state)

        return CurrentThreadScheduler.singleton().schedule(on_this_one, state)

    def schedule_relative(
        self, duetime: typing.RelativeTime, action: typing.ScheduledAction[Any], state: Any = None
    ) -> abc.DisposableBase:
        """Do it in a turn of the loop after so many seconds; of 0 and less, in the next turn."""
        inner: list[abc.DisposableBase] = []
        walk = under_way()
        later = None if walk is None else walk.again()

        def act() -> None:
            try:
                with opening(later):
                    inner.append(self.invoke_action(action, state))
            except BaseException as error:  # noqa: BLE001  # of an operator, or of a callback that one called
                self._raised(error)

        seconds = self.to_seconds(duetime)
        timer = self._loop.call_later(min(seconds, FAR_SECONDS), act) if seconds > 0 else self._loop.call_soon(act)

        def dispose() -> None:
            timer.cancel()
            for each in inner:
                each.dispose()

        return Disposable(dispose)
