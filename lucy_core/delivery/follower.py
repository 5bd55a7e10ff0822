"""Lucy's end of a recording that grows: reads its rows as they come, and has their blocks delivered.

What comes past the recording, since the disk has failed, is taken the same way. It ends with the row that says that the
run was closed, or with the death of capture, which it writes down itself: nobody else is left to do so.
"""

from typing import final

import anyio
import anyio.lowlevel

from lucy_core.capturing.facts import Fact
from lucy_core.delivery.delivery import Delivery
from lucy_core.errors import CaptureDiedError, RecordingError
from lucy_core.recording.bell import Bell
from lucy_core.recording.capture_process import CaptureProcess
from lucy_core.recording.ledger import Gap
from lucy_core.recording.recording import Recording
from lucy_core.recording.rows import Row, block_of
from lucy_core.recording.walk import Walk


@final
class Follower:
    """Follows one recording from its first row to its last."""

    def __init__(self, capture: CaptureProcess, recording: Recording, delivery: Delivery) -> None:
        self.done = anyio.Event()
        """Set once all that capture had to say is delivered."""
        self._capture = capture
        self._recording = recording
        self._delivery = delivery
        self._ledger = delivery.ledger
        self._walk = Walk(recording)

    async def follow(self) -> None:
        """Deliver until capture has closed the run or is dead; of its death every subscriber is told."""
        capture, bell = self._capture, Bell(self._capture.bell)
        try:
            with bell.heard():
                while not self._ledger.closed:
                    if await self._deliver_rows() or await self._deliver_unrecorded():
                        continue
                    if capture.died is not None:
                        await self._write_death(capture.died)
                        self._delivery.end(CaptureDiedError(capture.died))
                        return
                    await bell.wait()
        except RecordingError as error:
            self._ledger.capture_died = str(error)
            self._ledger.miss(Gap(self._delivery.delivered, None, str(error)))
            self._delivery.end(error)
        finally:
            self.done.set()

    async def _deliver_rows(self) -> bool:
        deliver, read = self._delivery.deliver, self._recording.window
        walk = self._walk
        if not await walk.turn():
            return False
        self._capture.saw(self._delivery.delivered)
        for row in walk.rows():
            self._ledger.take(row)
            if row.fact is None:
                walk.spend(deliver(row, read))
        return True

    async def _deliver_unrecorded(self) -> bool:
        taken = self._capture.take_unrecorded()
        if taken is None:
            return False
        row, data = taken
        if row.fact is not None:
            self._ledger.take(row)
            return True
        await self._delivery.gather(row.node)
        self._ledger.take(row)
        self._delivery.deliver_whole(block_of(row, data.removesuffix(b"\n") if row.overlong else data))
        await anyio.lowlevel.checkpoint()
        return True

    async def _write_death(self, reason: str) -> None:
        """Say in the recording that capture has died; a disk that takes no more can't keep us from knowing."""
        row = Row(self._delivery.delivered, "", 0, 0, 0, self._delivery.now_ns(), fact=Fact.DIED, reason=reason)
        try:
            self._recording.append(row)
        except RecordingError:
            self._ledger.take(row)
        else:
            while await self._walk.turn():
                for written in self._walk.rows():
                    self._ledger.take(written)
