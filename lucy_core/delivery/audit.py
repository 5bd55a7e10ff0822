"""Exact figures about lines that nobody asked for.

Lines that only went past a search, or past nobody, are captured and not judged (see `scanning`). Judging them costs
what decoding costs, which is why it isn't done on their way; whoever wants the figures pays for it when they ask, and
the recording has all that it takes.
"""

import contextlib
import copy
from typing import final

import anyio

from lucy_core.delivery.delivery import Delivery
from lucy_core.errors import RecordingError
from lucy_core.recording.account import Judged
from lucy_core.recording.recording import Recording
from lucy_core.recording.walk import Walk

TURN_BYTES = 1 << 18
"""What is decoded in one turn of the loop."""
FINISH_SECONDS = 5.0
"""What it may take at a run's end, some 4 GB."""


@final
class Audit:
    """Reads a recording once more for its ledger: each line at most once, however often it is asked."""

    def __init__(self, recording: Recording, delivery: Delivery) -> None:
        self._recording = recording
        self._delivery = delivery
        self._lock = anyio.Lock()
        self._position = 0
        self._counted: dict[str, Judged] = {}

    async def run(self) -> None:
        """Make what was `judged` exact for all lines that are delivered now. Cancelled, it changes nothing.

        Raises:
            RecordingError: the recording lacks lines, or can't be read.
        """
        async with self._lock:
            nodes, stop = self._delivery.ledger.nodes, self._delivery.delivered
            # What the ledger says at this place; by the time the recording is read it will have gone on.
            said = {node: copy.deepcopy(account.judged) for node, account in nodes.items()}
            unread = {node for node, account in nodes.items() if account.unread}
            found = await self._read(unread, stop) if unread else {}
            for node, judged in found.items():
                nodes[node].judged = nodes[node].judged.since(said[node], then=judged)
            self._counted = {**said, **found}
            self._position = stop

    async def finish(self) -> None:
        """Run at a run's end, for a while; the ledger names what was too much, or couldn't be read."""
        with anyio.move_on_after(FINISH_SECONDS), contextlib.suppress(RecordingError):
            await self.run()

    async def _read(self, nodes: set[str], stop: int) -> dict[str, Judged]:
        """Count what the lines of these nodes before `stop` are."""
        counted = {node: copy.deepcopy(self._counted.get(node, Judged())) for node in nodes}
        formats = self._delivery.formats
        walk = Walk(self._recording, self._position, turn_bytes=TURN_BYTES)
        position = self._position
        while position < stop:
            if not await walk.turn():
                reason = f"ends at position {position}, {stop} were captured: the rest was live only"
                raise RecordingError("the recording", reason)
            for row in walk.blocks():
                if row.position >= stop:
                    break
                position = row.position + row.lines
                if row.node in counted:
                    batch = formats.of(row.node).read_block(self._recording.block(row))
                    counted[row.node].add(len(batch.records), batch.malformed, batch.unleveled, batch.found)
                    walk.spend(row.bytes)
        return counted
