"""Lucy's pen: whatever happens in a run goes into the result's fold and into the journal, with the same time.

There are no locks: a run is written by the loop that deployed it. Another thread's words would come between the bytes
of a message to capture, and what another loop awaits would never wake it; both are refused here, where it all passes.
"""

import asyncio
import contextlib
import threading
from datetime import datetime
from typing import final

import msgspec

from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import CaptureDiedError, StrayCallError
from lucy_core.judging.fold import Fold
from lucy_core.judging.waiting import Limits
from lucy_core.records.journal import JOURNAL, WaitStarted, carriable, journal_line, moment


@final
class Journal:
    """Writes one run's journal. `fold` has taken in all that was written, whether it is recorded or not."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.fold = Fold()
        self._pipeline = pipeline
        self._loop = _running_loop()
        self._thread = threading.current_thread()

    def check_caller(self) -> None:
        """Tell whether the run is called where it lives; in its thread, while no loop runs, it may be written too.

        Raises:
            StrayCallError: it isn't.
        """
        loop = _running_loop()
        thread = threading.current_thread()
        if thread is not self._thread or (loop is not self._loop and loop is not None):
            raise StrayCallError(thread.name, self._thread.name)

    def now(self) -> datetime:
        """Return the time on the clock that stamps arrivals."""
        return moment(self._pipeline.now_ns())

    def write(self, event: msgspec.Struct) -> None:
        """Write one of Lucy's own events into the run's order."""
        self._pipeline.write_nowait(JOURNAL, self._entry(event))

    async def written(self, event: msgspec.Struct) -> int:
        """Write one, and return its position, once it has it: a mark that is taken then stands behind it.

        A capture that has died is no error here: what happened counts for the result all the same, and the run is over.
        Nothing has a position any more then but what is delivered.
        """
        line = self._entry(event)
        with contextlib.suppress(CaptureDiedError):
            return await self._pipeline.write(JOURNAL, line)
        return self._pipeline.delivered

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
        self.check_caller()
        at = self.now()
        line = journal_line(event, at)
        self.fold.apply(carriable(event), at)  # the result says what the journal will
        return line


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
