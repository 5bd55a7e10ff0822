"""The vocabulary's picture of the network, at any place in the run.

It is folded live, once, for everybody. A copy is kept at each mark, so that a wait that starts there folds on from the
nearest copy instead of from the run's beginning; without a copy near by it reads back further, and says the same.
"""

import bisect
from typing import Any, final

from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import StateError
from lucy_core.judging.conditions.condition import StateFold
from lucy_core.judging.conditions.lives import Lives
from lucy_core.records.event import event_type
from lucy_core.records.journal import LIFE_EVENTS
from lucy_core.records.record import Arrived, Event, Mark

COPIES = 64
"""How many copies are kept beside the first."""


@final
class History:
    """Folds and remembers the state."""

    def __init__(self, pipeline: Pipeline, event_types: tuple[type, ...], state: StateFold | None) -> None:
        self._pipeline = pipeline
        self._event_types = tuple(dict.fromkeys((*event_types, *LIFE_EVENTS)))
        self._state: StateFold = state if state is not None else Lives()
        self._copies: list[tuple[int, StateFold]] = [(0, self._state.copy())]
        self._broken: Exception | None = None

    async def begin(self) -> None:
        """Fold from the run's first line on; return once all that has arrived is folded."""
        handle = self._pipeline.subscribe(self.interest(()), self._fold, self._ended, since=0)
        await handle.reach(self._pipeline.mark().position)

    def interest(self, more: tuple[type, ...]) -> Interest:
        """Name what the state is folded from, and more."""
        kinds = dict.fromkeys((*self._event_types, *more))
        return Interest(
            event_types=[event_type(kind) for kind in kinds if kind is not Arrived], arrivals=Arrived in kinds
        )

    @property
    def state(self) -> StateFold:
        """The picture as far as lines are delivered.

        Raises:
            StateError: the vocabulary's own code failed at an event; from there on nobody can say.
        """
        if self._broken is not None:
            raise StateError(type(self._state).__name__, self._broken)
        return self._state

    def _fold(self, items: list[Event[Any]]) -> None:
        apply = self._state.apply
        for item in items:
            apply(item)

    def _ended(self, error: Exception | None) -> None:
        self._broken = error

    def mark(self) -> Mark:
        """Return the place after the last line that has arrived, and keep a copy for whoever starts there.

        None is kept while a block is being delivered: then the picture is half folded.
        """
        delivered = self._pipeline.delivered
        if self._copies[-1][0] < delivered and self._broken is None and self._pipeline.arriving_ns is None:
            self._copies.append((delivered, self._state.copy()))
            if len(self._copies) > COPIES + 1:
                del self._copies[1]
        return self._pipeline.mark()

    def copy_before(self, start: int) -> tuple[int, StateFold]:
        """Return the latest picture that is known and not after `start`, for the caller to fold on, with its position.

        Raises:
            StateError: the vocabulary's own code failed.
        """
        state, delivered = self.state, self._pipeline.delivered
        if delivered <= start and not self._pipeline.ended:
            return delivered, state.copy()
        at = bisect.bisect_right(self._copies, start, key=lambda pair: pair[0]) - 1
        position, copy = self._copies[at]
        return position, copy.copy()
