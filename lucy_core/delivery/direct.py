"""Sources read on the test's own loop, for a pipeline that keeps no recording.

The same source objects as in the capture process; here each has a task that waits for its descriptor. A subscriber
that can't take more holds its node up, since there is nothing to read back from.
"""

import contextlib
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, final

import anyio
import anyio.abc
import anyio.lowlevel
import msgspec

from lucy_core.capture.facts import Fact
from lucy_core.capture.fifo import FifoSource
from lucy_core.capture.files.follow import FileSource
from lucy_core.capture.framing import LINE_BYTES, Framer, LongLine, count_lines
from lucy_core.capture.sockets import Listener
from lucy_core.capture.sources import Source
from lucy_core.capture.tagged import SHARED, Demultiplexer, Piece
from lucy_core.delivery.delivery import TURN_BYTES, Delivery
from lucy_core.errors import RecordingError
from lucy_core.recording.recording import Row, overlong_block
from lucy_core.records.record import Block

LOOK_SECONDS = 1.0
"""How often a file is looked at though nobody told of it."""
BEAT_SECONDS = 0.1
"""How often the loop shows that it runs; after idleness a node's time blocked is overstated by twice as much."""


@final
class _Reading:
    __slots__ = ("awaited", "framer", "last_ns", "node", "sharers", "source", "split")

    def __init__(self, node: str, source: Source, sharers: Sequence[str] = ()) -> None:
        self.node = node
        self.source = source
        self.framer = Framer()
        self.sharers = (*sharers, node)
        self.split = Demultiplexer(sharers) if sharers else None
        self.last_ns = time.monotonic_ns()
        self.awaited = False
        """Whether its task was waiting for the descriptor, and for nothing else."""


@final
class DirectSources:
    """All sources of one pipeline, and their tasks."""

    def __init__(self, delivery: Delivery) -> None:
        self.tasks: anyio.abc.TaskGroup | None = None
        self._delivery = delivery
        self._readings: list[_Reading] = []
        self._offsets: dict[str, int] = {}
        self._blocked_ns: dict[str, int] = {}
        self._beaten_ns = self._beats_ns = 0

    async def beat(self) -> None:
        """Take note that the loop runs, as long as it does: what a blocked one costs nodes is accounted for."""
        while True:
            self.beat_nowait()
            await anyio.sleep(BEAT_SECONDS)

    def beat_nowait(self) -> None:
        """Take note that the loop runs now."""
        self._beaten_ns, self._beats_ns = self._beats_ns, time.monotonic_ns()

    def __enter__(self) -> "DirectSources":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reading in self._readings:
            reading.source.close()

    def open_fifo(self, node: str, path: Path) -> None:
        """Make and read a FIFO."""
        try:
            self._add(node, FifoSource(str(path)))
        except OSError as error:
            message = f"the FIFO {path} can't be opened: {error.strerror}"
            raise RecordingError(message) from error

    def open_shared_fifo(self, nodes: Sequence[str], path: Path) -> None:
        """Make and read a FIFO whose lines are tagged."""
        try:
            self._add(SHARED, FifoSource(str(path)), nodes)
        except OSError as error:
            message = f"the FIFO {path} can't be opened: {error.strerror}"
            raise RecordingError(message) from error

    def follow_file(self, node: str, path: Path) -> None:
        """Follow a file."""
        try:
            self._add(node, FileSource(str(path)))
        except OSError as error:
            message = f"{path} can't be followed: {error.strerror}"
            raise RecordingError(message) from error

    def listen(self, node: str, address: str | tuple[str, int]) -> str | tuple[str, int]:
        """Listen; on loopback, so no token is asked for."""
        try:
            listener = Listener(address, None)
        except OSError as error:
            message = f"can't listen on {address}: {error.strerror}"
            raise RecordingError(message) from error
        self._add(node, listener)
        return listener.address

    def inject(self, node: str, lines: bytes) -> None:
        """Deliver lines as if the node had written them."""
        self._deliver(node, lines)

    def drain(self, node: str) -> None:
        """Take what the node's sources hold, and give up on an unfinished line."""
        done: set[_Reading] = set()
        while left := [each for each in self._readings if node in each.sharers and each not in done]:
            for reading in left:
                done.add(reading)
                self._drain_source(reading, node)

    def _drain_source(self, reading: _Reading, node: str) -> None:
        if isinstance(reading.source, FileSource):
            reading.source.look()
        while reading in self._readings and self._step(reading):
            pass
        self._tear(reading, node)

    def _add(self, node: str, source: Source, sharers: Sequence[str] = ()) -> None:
        reading = _Reading(node, source, sharers)
        self._readings.append(reading)
        for sharer in reading.sharers:
            self._delivery.ledger.of(sharer)
        assert self.tasks is not None  # noqa: S101  # set before anything can be opened
        self.tasks.start_soon(self._read, reading)

    async def _read(self, reading: _Reading) -> None:
        weight = 0
        while reading in self._readings:
            for subscription in chain.from_iterable(map(self._delivery.hub.closed, reading.sharers)):
                if subscription.gate is not None:
                    opened = anyio.Event()
                    subscription.gate.when_open(opened.set)
                    await opened.wait()
            taken = self._step(reading)
            weight += taken
            if not taken:
                weight = 0
                reading.awaited = True
                await self._wait(reading.source)
            elif weight > TURN_BYTES:
                weight = 0
                await anyio.lowlevel.checkpoint()

    async def _wait(self, source: Source) -> None:
        """Wait until there may be something to read; of a file that isn't always told."""
        if not isinstance(source, FileSource):
            await anyio.wait_readable(source.fileno())
            return
        with anyio.move_on_after(LOOK_SECONDS) as limit:
            await anyio.wait_readable(source.fileno())
        if limit.cancelled_caught:
            with contextlib.suppress(OSError):  # told by the read that follows
                source.look()

    def _step(self, reading: _Reading) -> int:
        """Take one chunk; return how much there was."""
        source = reading.source
        try:
            found = source.accept()
            if found is not None:
                self._add(reading.node, found)
                return 1
            chunk = source.read()
        except OSError as error:
            self.note(Fact.SOURCE_FAILED, reading.node, reason=str(error))
            chunk = None
        if chunk is None:
            self._tear(reading)
            self._readings.remove(reading)
            source.close()
            return 1
        if isinstance(source, FileSource):
            for framer in source.take_torn():
                self._give_up(framer, reading.node)
            for reason in source.take_doubts():
                self.note(Fact.DOUBT, reading.node, reason=reason)
            reading.framer = source.framer
        now = time.monotonic_ns()
        if source.blocked():
            # An upper bound, as in capture: had there been anything, the loop would have come here before it beat.
            waited_ns = now - (max(reading.last_ns, self._beaten_ns) if reading.awaited else reading.last_ns)
            for sharer in reading.sharers:
                self._blocked_ns[sharer] = self._blocked_ns.get(sharer, 0) + waited_ns
                self._delivery.ledger.take(self._row(sharer))
        reading.last_ns = now
        reading.awaited = False
        if not chunk:
            return 0
        size = len(chunk)
        if reading.framer.long is not None or reading.framer.exceeds(chunk, LINE_BYTES):
            chunk = self._take_long(reading.framer, reading.node, chunk)
        pieces = reading.framer.feed(chunk)
        if pieces:
            data = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
            if reading.split is None:
                self._deliver(reading.node, data)
            else:
                self._deal_out(reading.split.feed(data))
        return size

    def _tear(self, reading: _Reading, node: str | None = None) -> None:
        if isinstance(reading.source, FileSource):
            for framer in reading.source.framers():
                self._give_up(framer, reading.node)
            return
        if reading.split is None or (reading.framer.long is not None and node in (None, SHARED)):
            self._give_up(reading.framer, reading.node)
            return
        tail = reading.framer.flush()
        if not tail:
            return
        if node in (None, SHARED) or reading.split.is_alone(tail, str(node)):
            self._deal_out(reading.split.flush(tail))
        else:
            reading.framer.feed(tail)

    def _give_up(self, framer: Framer, node: str) -> None:
        """Take an unfinished line for what there will ever be of it."""
        if framer.long is not None:
            self._end_long(framer.long, node, torn=True)
            framer.long = None
        elif tail := framer.flush():
            self._deliver(node, tail, torn=True)

    def _take_long(self, framer: Framer, node: str, chunk: bytes) -> bytes:
        """Pass over what belongs to a line that is too long to be given; return what follows it."""
        if framer.long is None:
            framer.long = LongLine(0)
            framer.long.take(framer.flush())
        line, newline, rest = chunk.partition(b"\n")
        framer.long.take(line)
        if not newline:
            return b""
        self._end_long(framer.long, node, torn=False)
        framer.long = None
        return rest

    def _end_long(self, line: LongLine, node: str, *, torn: bool) -> None:
        self._take(msgspec.structs.replace(self._row(node, line.head, 1, torn=torn), overlong=line.size), line.head)

    def _deal_out(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            row = msgspec.structs.replace(
                self._row(piece.node, piece.data, piece.lines, torn=piece.unfinished),
                torn_lines=piece.torn,
                duplicates=piece.duplicates,
                lost=piece.lost,
            )
            self._take(row, piece.data)

    def _deliver(self, node: str, data: bytes, *, torn: bool = False) -> None:
        self._take(self._row(node, data, 1 if torn else count_lines(data), torn=torn), data)

    def _take(self, row: Row, data: bytes) -> None:
        """Do with a block what is done with a recording's: account for it, then deliver it."""
        delivery = self._delivery
        self._offsets[row.node] = row.offset + row.bytes
        delivery.ledger.take(row)
        if not row.lines:
            return
        if row.overlong:
            block = overlong_block(row, data)
        else:
            block = Block(row.node, row.position, row.offset, row.lines, row.arrived_ns, data, row.torn)
        if delivery.hub.wants(row.node):
            delivery.take(block)
        else:
            delivery.skip(row)

    def _row(self, node: str, data: bytes = b"", lines: int = 0, *, torn: bool = False) -> Row:
        return Row(
            position=self._delivery.delivered,
            node=node,
            offset=self._offsets.get(node, 0),
            bytes=len(data),
            lines=lines,
            arrived_ns=self._delivery.now_ns(),
            blocked_ns=self._blocked_ns.get(node, 0),
            torn=torn,
        )

    def note(self, fact: Fact, node: str, **more: Any) -> None:
        """Take a fact about the capture into account."""
        self._delivery.ledger.take(msgspec.structs.replace(self._row(node), fact=fact, **more))
