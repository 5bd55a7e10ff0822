"""Exact figures about lines that nobody asked for, and the judge of searches.

Lines that only went past a search, or past nobody, are captured and not judged (see `scanning`). Judging them costs
what decoding costs, which is why it isn't done on their way; whoever wants the figures pays for it when they ask, and
the recording has all that it takes.

Where every line is read, it shows what a search has missed: an event that nobody was given. It is held against the run
as a gap, so that nothing that was decided without it passes for conclusive.
"""

import contextlib
import copy
from collections.abc import Mapping
from typing import final

import anyio

from lucy_core.capturing import searching
from lucy_core.delivery.delivery import Delivery
from lucy_core.delivery.searched import Check, Stretch
from lucy_core.errors import RecordingError
from lucy_core.recording.account import Judged
from lucy_core.recording.ledger import gap_of
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
        self._stretches: dict[str, list[Stretch]] = {}
        """What was searched and not yet read."""

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
            self._take_stretches()
            checks = {key: Check(self._stretches.get(key, []), self._delivery.formats.of(key)) for key in unread}
            try:
                found = await self._read(checks, stop) if unread else {}
                for check in checks.values():
                    check.close()
            finally:
                self._stretches = {key: check.left for key, check in checks.items()}
                self._tell(checks)
            for node, judged in found.items():
                nodes[node].judged = nodes[node].judged.since(said[node], then=judged)
            self._counted = {**said, **found}
            self._position = stop

    async def finish(self) -> None:
        """Run at a run's end, for a while; the ledger names what was too much, or couldn't be read."""
        with anyio.move_on_after(FINISH_SECONDS), contextlib.suppress(RecordingError):
            await self.run()

    def _take_stretches(self) -> None:
        if self._delivery.searched is not None:
            for key, stretches in self._delivery.searched.take().items():
                self._stretches.setdefault(key, []).extend(stretches)

    def _tell(self, checks: Mapping[str, Check]) -> None:
        """Have the ledger hold what searches have missed, or made up."""
        for key, check in checks.items():
            for position, events, count in check.missed:
                reason = (
                    f"a search by {searching.chosen().name} found {events:,} events where reading every line finds "
                    f"{count:,}: run it with {searching.VARIABLE}={searching.BYTES.name}, and report it as Lucy's fault"
                )
                self._delivery.ledger.miss(gap_of(position, key, reason))

    async def _read(self, checks: Mapping[str, Check], stop: int) -> dict[str, Judged]:
        """Count what the lines of some sources before `stop` are."""
        counted = {node: copy.deepcopy(self._counted.get(node, Judged())) for node in checks}
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
                check = checks.get(row.node)
                if check is not None:
                    block = self._recording.block(row)
                    batch = check.log_format.read_block(block)
                    counted[row.node].add(len(batch.records), batch.malformed, batch.unleveled, batch.found)
                    check.take(row, block, batch)
                    walk.spend(row.bytes)
        return counted
