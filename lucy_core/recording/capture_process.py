"""The test's end of the capture process: starting it, asking it, hearing from it.

Nothing here is on the way of a line, except after the disk has failed.
"""

import contextlib
import os
from collections import deque
from pathlib import Path
from typing import Any, TypeVar, final, overload

import anyio
import msgspec

from lucy_core.capturing import run_files, searching
from lucy_core.capturing.requests import Block, Close, Seen
from lucy_core.errors import CaptureDiedError, HelperDiedError, HelperStartError, RecordingError
from lucy_core.helpers.calls import Call
from lucy_core.helpers.channel import Reply
from lucy_core.helpers.forms import Done, Form, verb
from lucy_core.helpers.helper import Helper, Refused
from lucy_core.recording.rows import Row
from lucy_core.records.journal import JOURNAL

R = TypeVar("R", bound=Form)
_HEAP = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
"""For glibc, which would hand the memory of each 256 KiB read back to the kernel and fault it in anew for the next."""
SEEN_LINES = 10_000
"""How often it hears how far its recording has been read: so seldom that it costs nothing."""
CLOSE_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""How long it may be silent with a question open. After that nobody can say any more what arrives, and it is killed."""
LOOKS = 10
"""How often it is looked at meanwhile: a loop that was blocked finds its timer run out before it has read the answer
that lies there, and costs the capture one look then, not all."""
QUEUE_BYTES = 8 << 20
"""What may wait here once the disk has failed; more stays in the socket, then in the capture, then with the nodes."""

_decode_row = msgspec.json.Decoder(Row).decode


@final
class CaptureProcess:
    """A running capture process. `listen` has to run for as long as it is used; `dispose` ends it."""

    def __init__(self, directory: Path, token: str, epoch_ns: int) -> None:
        """Start it on a run directory. It runs at once; its first answer comes some 30 ms later.

        Args:
            directory: where to record.
            token: what a peer over TCP has to know.
            epoch_ns: when the monotonic clock read zero; what arrives is stamped by counting from there.

        Raises:
            RecordingError: it can't be started.
        """
        self.token = token
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Rings when there is something new to read, in the recording or in `unrecorded`."""
        try:
            self._helper = Helper(
                "capture, which takes nodes' lines",
                run_files.CAPTURE,
                *(str(self.bell), str(directory), JOURNAL, str(epoch_ns), searching.location()),
                keep=[self.bell],
                environment={**_HEAP, **os.environ, "LUCY_TOKEN": token},
                directory=".",
                hear={Block: self._take},
            )
        except HelperStartError as error:
            os.close(self.bell)
            raise RecordingError("the capture process", f"can't be started: {error.error.strerror}") from error
        self._helper.before_reading = self._until_there_is_room
        self.unrecorded: deque[tuple[Row, bytes]] = deque()
        """Blocks and facts that came past the recording, since the disk has failed."""
        self._unrecorded_bytes = 0
        self._room = anyio.Event()
        self._seen = 0
        self._rows_read = 0
        self._gave_up: str | None = None
        self._closing: Call[Reply] | None = None

    @property
    def pid(self) -> int:
        return self._helper.pid

    @property
    def died(self) -> str | None:
        """How it ended, unless it was told to."""
        died = self._helper.died
        closed = self._closing and self._closing.answer
        if died is None or (closed is not None and closed.error is None):
            return None
        return self._gave_up or died.how + (f", saying: {died.last_words}" if died.last_words else "")

    def tell(self, form: Form) -> None:
        """Send a request without waiting; requests are obeyed in order."""
        self._helper.tell(form)

    def saw(self, position: int) -> None:
        """Let it know now and then up to where the recording has been read, so that it can give up memory."""
        self._rows_read += 1
        if position >= self._seen + SEEN_LINES:
            self._seen = position
            self.tell(Seen(position))

    @overload
    async def ask(self, form: Form) -> Done: ...
    @overload
    async def ask(self, form: Form, reply: type[R]) -> R: ...
    async def ask(self, form: Form, reply: type[Any] = Done) -> Any:
        """Send a request and wait for its answer.

        Raises:
            RecordingError: it refused, saying why.
            CaptureDiedError: it is gone, or has given no sign of life for so long that it was killed.
        """
        if (why := self.died or self._gave_up) is not None:
            raise CaptureDiedError(why)
        try:
            call = self._helper.call(form)
            await self._answered(verb(type(form)), call.done)
            return self._helper.result(call, reply)
        except Refused as refused:
            raise RecordingError(f"capture refused {refused.op}", f": {refused.reason}") from refused
        except HelperDiedError as error:
            raise CaptureDiedError(self.died or self._gave_up or "it was closed") from error

    @property
    def _signs(self) -> int:
        """Of its being at work: what it said, and rows of its that were read."""
        return self._helper.signs + self._rows_read

    async def _answered(self, op: str, done: anyio.Event) -> None:
        """Wait for an answer, and give the capture up where it shows by nothing that it is at work on it."""
        silent = 0
        while silent < LOOKS and not done.is_set():
            signs = self._signs
            with anyio.move_on_after(ANSWER_SECONDS / LOOKS):
                await done.wait()
            # What we haven't taken off the socket, because a subscriber can't take more, is no silence of its.
            silent = silent + 1 if self._signs == signs and self._unrecorded_bytes < QUEUE_BYTES else 0
        if done.is_set():
            return
        self._gave_up = f"for {ANSWER_SECONDS:g} s it did not answer {op!r}, nor record anything, and was killed"
        self._helper.kill()
        raise CaptureDiedError(self._gave_up)

    def take_unrecorded(self) -> tuple[Row, bytes] | None:
        """Return the next row that came past the recording, with its lines."""
        if not self.unrecorded:
            return None
        row, data = self.unrecorded.popleft()
        self._unrecorded_bytes -= len(data)
        if self._unrecorded_bytes < QUEUE_BYTES:
            self._room.set()
        return row, data

    async def listen(self) -> None:
        await self._helper.listen()
        if self.died is not None:
            self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):
            os.eventfd_write(self.bell, 1)

    def _take(self, block: Block) -> None:
        row, _, data = block.row.partition(b"\n")
        self.unrecorded.append((_decode_row(row), data))
        self._unrecorded_bytes += len(data)
        self._ring()

    async def _until_there_is_room(self) -> None:
        while self._unrecorded_bytes >= QUEUE_BYTES:
            self._room = anyio.Event()
            await self._room.wait()

    async def close(self) -> None:
        """Have it take the last lines of every source, say in the recording that it was closed, and end.

        Shielded by the caller. A process that doesn't answer in time is killed, and has then died like any other.
        """
        with anyio.move_on_after(CLOSE_SECONDS) as limit, contextlib.suppress(CaptureDiedError):
            self._closing = self._helper.call(Close())
            await self._answered("close", self._closing.done)
            await self._helper.ended()
        if limit.cancelled_caught:
            self._helper.kill()

    def dispose(self) -> None:
        """Close all descriptors, and kill it if it still runs."""
        self._helper.dispose()
        os.close(self.bell)
