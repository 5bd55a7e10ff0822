"""Sources read on the test's own loop, for a pipeline that keeps no recording.

The drain is the capture process's own. Here a task waits for its epoll, and blocks go straight to delivery. A
subscriber that can't take more holds its nodes up, since there is nothing to read back from.
"""

import time
from functools import partial
from typing import Any, final

import anyio
import anyio.lowlevel

from lucy_core.capturing.draining import Reading
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.framing import LongLine, Pieces
from lucy_core.capturing.intake import Intake, reason
from lucy_core.delivery.delivery import Delivery
from lucy_core.errors import RecordingError
from lucy_core.helpers.forms import Done, Form, verb
from lucy_core.recording.rows import Row, Window
from lucy_core.recording.walk import TURN_BYTES

LOOK_SECONDS = 1.0
"""How often sources are looked at of which nobody tells."""
BEAT_SECONDS = 0.1
"""How often the loop shows that it runs; after idleness a node's time blocked is overstated by twice as much."""


@final
class DirectSources:
    """All sources of one pipeline, asked like a `CaptureProcess`, and the `Sink` of what they give."""

    pid = died = None

    def __init__(self, delivery: Delivery, token: str) -> None:
        self.token = token
        self._delivery = delivery
        self._intake = Intake(self, token)
        self._drain = self._intake.drain
        self._offsets: dict[str, int] = {}
        self._blocked_ns: dict[str, int] = {}
        self._idle: anyio.CancelScope | None = None
        """What is cancelled where a source has something to do of which no descriptor tells."""
        self._beat_ns = time.monotonic_ns()

    def close(self) -> None:
        """Close all sources."""
        self._drain.close()

    async def run(self) -> None:
        """Read all sources, for as long as it runs."""
        weight = 0
        while True:
            taken = sum(self._serve(fd) for fd, _ in self._drain.poll(0))
            weight += taken
            if not taken:
                weight = 0
                with anyio.CancelScope() as self._idle:
                    await anyio.wait_readable(self._drain.epoll.fileno())
                self._idle = None
            elif weight > TURN_BYTES:
                weight = 0
                await anyio.lowlevel.checkpoint()

    def _serve(self, fd: int) -> int:
        reading = self._drain.readings.get(fd)
        if reading is None or self._is_held_up(reading):
            return 0
        taken = self._drain.serve(fd)
        self._is_held_up(reading)  # at once: what its node waits for from now on, it waits for a subscriber
        return taken

    def _is_held_up(self, reading: Reading) -> bool:
        """Hold a source back while a subscriber to its lines can't take more; return whether one can't."""
        gate = next(self._delivery.shut_gates(reading.sharers), None)
        if gate is None:
            return False
        self._drain.suspend(reading)
        gate.when_open(partial(self._release, reading))
        return True

    def _release(self, reading: Reading) -> None:
        self._drain.resume(reading)
        self._wake()

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()

    def park(self, *, parked: bool) -> None:
        """Read no source for now, or all again."""
        self._drain.park(parked)
        self._wake()

    async def beat(self) -> None:
        """Look at the sources now and then, and take note that the loop runs: what a blocked one costs is counted."""
        look_at = 0.0
        while True:
            self.beat_nowait()
            if anyio.current_time() >= look_at:
                look_at = anyio.current_time() + LOOK_SECONDS
                self._drain.tick()
                self._wake()
            await anyio.sleep(BEAT_SECONDS)

    def beat_nowait(self) -> None:
        if self._idle is not None:
            # Had there been anything at the beat before, the loop would have read it by now.
            self._drain.found_empty(self._beat_ns)
        self._beat_ns = time.monotonic_ns()

    def tell(self, form: Form) -> None:
        self._intake.obey(form)

    async def ask(self, form: Form, reply: type[Any] = Done) -> Any:  # noqa: ARG002  # the form says what is replied
        """Do what is asked, and answer.

        Raises:
            RecordingError: it is refused, and why.
        """
        try:
            answer = self._intake.obey(form)
        except (OSError, ValueError) as error:
            raise RecordingError(f"capture refused {verb(type(form))}", f": {reason(error)}") from error
        self._wake()
        return answer

    def finish(self) -> None:
        """Take what all sources hold, at the run's end."""
        self._drain.finish()

    @property
    def position(self) -> int:
        return self._delivery.delivered

    def begin(self, node: str) -> None:
        self._delivery.ledger.account(node)

    def owns(self, path: str) -> bool:  # noqa: ARG002  # the sink's
        """Nothing is written."""
        return False

    def put(self, node: str, pieces: Pieces, lines: int, *, torn: bool = False, **counted: int) -> None:
        """Do with a block what is done with a recording's: account for it, then deliver it."""
        row = self._row(node, sum(map(len, pieces)), lines, torn=torn, **counted)
        self._offsets[node] = row.offset + row.bytes
        self._delivery.ledger.take(row)
        if lines:
            joined = self._drain.buffer.joined
            self._delivery.deliver(row, lambda row: Window(row, *joined(pieces)))

    def begin_long(self, node: str) -> LongLine:  # noqa: ARG002  # the sink's
        return LongLine(0)

    def put_part(self, node: str, pieces: Pieces, size: int) -> None:
        """Pass over it: nobody can be given it."""

    def end_long(self, node: str, line: LongLine, end: bytes, *, torn: bool) -> None:  # noqa: ARG002  # the sink's
        self.put(node, [line.head], 1, torn=torn, overlong=line.size)

    def add_blocked(self, node: str, waited_ns: int) -> None:
        self._blocked_ns[node] = self._blocked_ns.get(node, 0) + waited_ns
        self._delivery.ledger.take(self._row(node))

    def note(self, fact: Fact, node: str, **more: str | int) -> None:
        """Take a fact about the capture into account."""
        self._delivery.ledger.take(self._row(node, fact=fact, **more))

    def _row(self, node: str, size: int = 0, lines: int = 0, /, **more: Any) -> Row:
        return Row(
            position=self._delivery.delivered,
            node=node,
            offset=self._offsets.get(node, 0),
            bytes=size,
            lines=lines,
            arrived_ns=self._delivery.now_ns(),
            blocked_ns=self._blocked_ns.get(node, 0),
            **more,
        )
