"""Exact figures about lines that nobody asked for, and the judge of searches.

Lines that only went past a search, or past nobody, are captured and not judged (see `scanning`). Judging them costs
what decoding costs, which is why it isn't done on their way; whoever wants the figures pays for it when they ask, and
the recording has all that it takes.

Where every line is read, it shows what a search has missed: an event that nobody was given. It is held against the run
as a gap, so that nothing that was decided without it passes for conclusive.
"""

import contextlib
import copy
from collections import defaultdict
from collections.abc import Iterable
from typing import final

import anyio

from lucy_core.capturing import searching
from lucy_core.delivery.delivery import Delivery
from lucy_core.delivery.searched import Check, Ground
from lucy_core.errors import RecordingError
from lucy_core.formats.contract import Batch, Format
from lucy_core.recording.account import Judged
from lucy_core.recording.ledger import gap_of
from lucy_core.recording.recording import Recording
from lucy_core.recording.walk import Walk
from lucy_core.records.record import Block

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
        self._grounds: list[Ground] = []
        """What was searched and isn't judged."""

    async def run(self) -> None:
        """Make what was `judged` exact for all lines that are delivered now.

        Cancelled, it makes nothing exact; but of the searches whose lines it has read, it says what they have missed.

        Raises:
            RecordingError: the recording lacks lines, or can't be read.
        """
        async with self._lock:
            nodes, stop = self._delivery.ledger.nodes, self._delivery.delivered
            # What the ledger says at this place; by the time the recording is read it will have gone on.
            said = {node: copy.deepcopy(account.judged) for node, account in nodes.items()}
            unread = {node for node, account in nodes.items() if account.unread}
            if self._delivery.searched is not None:
                self._grounds += self._delivery.searched.take()
            checks = [Check(ground) for ground in self._grounds]
            try:
                found = await self._read(unread, checks, stop)
                for check in checks:
                    check.close()
            finally:
                self._grounds = [ground for ground in self._grounds if ground.stretches]
                self._tell(checks)
            for node, judged in found.items():
                nodes[node].judged = nodes[node].judged.since(said[node], then=judged)
            self._counted = {**said, **found}
            self._position = stop

    async def finish(self) -> None:
        """Run at a run's end, for a while; the ledger names what was too much, or couldn't be read."""
        with anyio.move_on_after(FINISH_SECONDS), contextlib.suppress(RecordingError):
            await self.run()

    def _tell(self, checks: Iterable[Check]) -> None:
        """Have the ledger hold what searches have missed, or made up."""
        for check in checks:
            for position, events, count in check.missed:
                reason = (
                    f"a search by {searching.chosen().name} found {events:,} events where reading every line finds "
                    f"{count:,}: run it with {searching.VARIABLE}={searching.BYTES.name}, and report it as Lucy's fault"
                )
                self._delivery.ledger.miss(gap_of(position, check.ground.key, reason))

    async def _read(self, unread: Iterable[str], checks: Iterable[Check], stop: int) -> dict[str, Judged]:
        """Count what the lines of some sources before `stop` are, and what was searched."""
        counted = {node: copy.deepcopy(self._counted.get(node, Judged())) for node in unread}
        formats = {node: self._delivery.formats.of(node) for node in unread}  # whatever is chosen meanwhile
        by_source: dict[str, list[Check]] = defaultdict(list)
        position = self._position if counted else stop
        for check in checks:
            by_source[check.ground.key].append(check)
            position = min(position, check.ground.stretches[0].position)
        walk = Walk(self._recording, position, turn_bytes=TURN_BYTES)
        while position < stop:
            if not await walk.turn():
                reason = f"ends at position {position}, {stop} were captured: the rest was live only"
                raise RecordingError("the recording", reason)
            for row in walk.blocks():
                if row.position >= stop:
                    break
                position = row.position + row.lines
                asking = [check for check in by_source.get(row.node, ()) if check.asks_for(row)]
                counts = row.node in counted and row.position >= self._position
                if not (asking or counts):
                    continue
                block = self._recording.block(row)
                batches: dict[int, Batch] = {}
                if counts:
                    batch = _read_once(block, formats[row.node], batches)
                    counted[row.node].add(len(batch.records), batch.malformed, batch.unleveled, batch.found)
                for check in asking:
                    check.take(_read_once(block, check.ground.log_format, batches))
                walk.spend(row.bytes * len(batches))
        return counted


def _read_once(block: Block, log_format: Format, batches: dict[int, Batch]) -> Batch:
    """Read a block, unless it was read in this format."""
    batch = batches.get(id(log_format))
    if batch is None:
        batch = batches[id(log_format)] = log_format.read_block(block)
    return batch
