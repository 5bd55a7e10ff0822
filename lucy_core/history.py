"""The vocabulary's picture of the network, at any place in the run.

It is folded live, once, for everybody. A copy is kept at each mark, so that a wait that starts there folds on from the
nearest copy instead of from the run's beginning; without a copy near by it reads back further, and says the same.
"""

import bisect
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final

import anyio

from lucy_core.events import event_type
from lucy_core.journal import LIFE_EVENTS
from lucy_core.pipeline.hub import Interest
from lucy_core.pipeline.pipeline import Pipeline
from lucy_core.records import Event, Mark
from lucy_core.waiting import Condition, StateFold, Verdict, WaitTracker

COPIES = 64
"""How many copies are kept beside the first."""


class NoState:
    """The picture where there is no vocabulary: nothing. Conditions then fold what they need from their own events."""

    def apply(self, event: Event[Any]) -> None:
        """Do nothing."""

    def copy(self) -> "NoState":
        """Return itself: there is nothing to share."""
        return self


@final
class History:
    """Folds and remembers the state."""

    def __init__(self, pipeline: Pipeline, event_types: tuple[type, ...], state: StateFold | None) -> None:
        self._pipeline = pipeline
        self._event_types = tuple(dict.fromkeys((*event_types, *LIFE_EVENTS)))
        self.state: StateFold = state if state is not None else NoState()
        self._copies: list[tuple[int, StateFold]] = [(0, self.state.copy())]

    async def begin(self) -> None:
        """Fold from the run's first line on."""
        self._pipeline.subscribe(self._interest(()), self._fold, lambda _: None, since=0)
        await self._pipeline.reach(self._pipeline.mark().position)

    def _interest(self, more: tuple[type, ...]) -> Interest:
        kinds = dict.fromkeys((*self._event_types, *more))
        return Interest(event_types=[event_type(kind) for kind in kinds])

    def _fold(self, items: list[Event[Any]]) -> None:
        apply = self.state.apply
        for item in items:
            apply(item)

    def mark(self) -> Mark:
        """Return the place after the last line that has arrived, and keep a copy for whoever starts there."""
        delivered = self._pipeline.delivered
        if self._copies[-1][0] < delivered:
            self._copies.append((delivered, self.state.copy()))
            if len(self._copies) > COPIES + 1:
                del self._copies[1]
        return self._pipeline.mark()

    @asynccontextmanager
    async def track(
        self, condition: Condition[Any], since: Mark | int | None, decided: anyio.Event
    ) -> AsyncIterator[WaitTracker[Any]]:
        """Fold the condition from `since` on; `decided` is set once it is final, or the run has ended."""
        interest = self._interest(condition.event_types)
        if since is None:
            start = self._pipeline.delivered
            tracker = WaitTracker(condition, self.state.copy(), time.monotonic)
        else:
            start = since.position if isinstance(since, Mark) else since
            at = bisect.bisect_right(self._copies, start, key=lambda pair: pair[0]) - 1
            copied, state = self._copies[at]
            tracker = WaitTracker(condition, state.copy(), time.monotonic)

            def bring_up(items: list[Event[Any]]) -> None:
                for item in items:
                    tracker.apply(item)

            await self._pipeline.read_back(interest, bring_up, copied, start)

        def take(items: list[Event[Any]]) -> None:
            for item in items:
                if tracker.apply(item) in (Verdict.TRUE, Verdict.FALSE):
                    decided.set()
                    return

        if tracker.begin() in (Verdict.TRUE, Verdict.FALSE):
            decided.set()
            yield tracker
            return
        handle = self._pipeline.subscribe(interest, take, lambda _: decided.set(), since=start)
        try:
            yield tracker
        finally:
            handle.cancel()
