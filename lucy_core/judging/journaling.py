"""Lucy's pen: whatever happens in a run goes into the result's fold and into the journal, with the same time."""

import contextlib
from datetime import datetime
from typing import final

import msgspec

from lucy_core.errors import CaptureDiedError
from lucy_core.journal import JOURNAL, WaitStarted, journal_line, moment
from lucy_core.judging.fold import Fold
from lucy_core.judging.waiting import Limits
from lucy_core.pipeline.pipeline import Pipeline


@final
class Journal:
    """Writes one run's journal. `fold` has taken in all that was written, whether it is recorded or not."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.fold = Fold()
        self._pipeline = pipeline

    def now(self) -> datetime:
        """Return the time on the clock that stamps arrivals."""
        return moment(self._pipeline.now_ns())

    def write(self, event: msgspec.Struct) -> None:
        """Write one of Lucy's own events into the run's order."""
        self._pipeline.inject(JOURNAL, self._entry(event))

    async def written(self, event: msgspec.Struct) -> None:
        """Write one, and return once it has its place: a mark that is taken then stands behind it.

        A capture that has died is no error here: what happened counts for the result all the same, and the run is over.
        """
        line = self._entry(event)
        with contextlib.suppress(CaptureDiedError):
            await self._pipeline.write(JOURNAL, line)

    async def begin_wait(self, number: int, description: str, limits: Limits, parent: int) -> int:
        """Write that a wait begins, and return the position of that: everything before it had arrived by then.

        Raises:
            CaptureDiedError: the capture process is gone.
        """
        soft, hard = limits.seconds(limits.soft_ns), limits.seconds(limits.hard_ns)
        line = self._entry(WaitStarted(number, description, soft, hard, parent, hard if limits.lasting else None))
        if self._pipeline.ended:
            return self._pipeline.delivered
        return await self._pipeline.write(JOURNAL, line)

    def _entry(self, event: msgspec.Struct) -> bytes:
        at = self.now()
        self.fold.apply(event, at)
        return journal_line(event, at)
