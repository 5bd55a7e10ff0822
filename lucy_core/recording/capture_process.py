"""The test's end of the capture process: starting it, asking it, hearing from it.

Nothing here is on the way of a line, except after the disk has failed.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import final

import anyio
import msgspec

from lucy_core.errors import CaptureDiedError, RecordingError
from lucy_core.helpers.helper import own_pidfd
from lucy_core.recording.recording import Row
from lucy_core.records.journal import JOURNAL

_HEAP = {"MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
"""For glibc, which would hand the memory of each 256 KiB read back to the kernel and fault it in anew for the next."""
SEEN_LINES = 10_000
"""How often it hears how far its recording has been read: so seldom that it costs nothing."""
_BOOT = (
    # The façade of the package would cost 300 ms of imports that capture has no use for: an empty module with the
    # package's path stands in for it, so that its own modules have their real names.
    "import sys, types; shell = types.ModuleType('lucy_core'); shell.__path__ = [sys.argv.pop(1)]; "
    "sys.modules['lucy_core'] = shell; from lucy_core.capture.loop import main; main(sys.argv[1:])"
)
CLOSE_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""How long it may be silent with a question open. After that nobody can say any more what arrives, and it is killed."""
LOOKS = 10
"""How often it is looked at meanwhile: a loop that was blocked finds its timer run out before it has read the answer
that lies there, and costs the capture one look then, not all."""
QUEUE_BYTES = 8 << 20
"""What may wait here once the disk has failed; more stays in the socket, then in the capture, then with the nodes."""


class _Message(msgspec.Struct):
    """Anything that the capture process says."""

    id: int | None = None
    error: str | None = None
    position: int | None = None
    capacity: int | None = None
    address: str | tuple[str, int] | None = None
    block: Row | None = None


_decode = msgspec.json.Decoder(_Message).decode


@final
class _Request:
    __slots__ = ("done", "reply")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.reply: _Message | None = None


@final
class CaptureProcess:
    """A running capture process. Built by `start`; `listen` has to run for as long as it is used."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, bell: int, errors: int) -> None:
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._control = control
        self._errors = errors
        self.bell = bell
        """An eventfd that rings when there is something new to read, in the recording or in `direct`."""
        self.direct: deque[tuple[Row, bytes]] = deque()
        """Blocks and facts that came past the recording, since the disk has failed."""
        self.died: str | None = None
        """How it ended, unless it was told to."""
        self._direct_bytes = 0
        self._room = anyio.Event()
        self._stuck = anyio.Event()
        self._requests: dict[int, _Request] = {}
        self._last_id = 0
        self._outgoing = bytearray()
        self._closing_id = 0
        self._closed = False
        self._seen = 0
        self._signs = 0
        """Of its being at work: what it said, and rows of its that were read."""
        self._gave_up: str | None = None

    @classmethod
    def start(cls, directory: Path, token: str, epoch_ns: int) -> "CaptureProcess":
        """Start it on a run directory. It runs at once; its first answer comes some 30 ms later.

        Args:
            directory: where to record.
            token: what a peer over TCP has to know.
            epoch_ns: when the monotonic clock read zero; what arrives is stamped by counting from there.
        """
        ours, theirs = socket.socketpair()
        bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        errors = os.memfd_create("capture-errors")
        package = str(Path(__file__).parent.parent)
        arguments = [str(theirs.fileno()), str(bell), str(directory), JOURNAL, str(epoch_ns)]
        try:
            with own_pidfd() as lucy:
                process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own program
                    [sys.executable, "-I", "-S", "-c", _BOOT, package, *arguments, str(lucy)],
                    pass_fds=(theirs.fileno(), bell, lucy),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                    env={**_HEAP, **os.environ, "LUCY_TOKEN": token},
                )
        except OSError as error:
            for fd in (bell, errors):
                os.close(fd)
            ours.close()
            message = f"the capture process can't be started: {error.strerror}"
            raise RecordingError(message) from error
        finally:
            theirs.close()
        ours.setblocking(False)
        return cls(process, ours, bell, errors)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, op: str, **arguments: object) -> None:
        """Send a command without waiting; commands are obeyed in order."""
        self._outgoing += msgspec.json.encode({"op": op, **arguments}) + b"\n"
        self._flush()

    def saw(self, position: int) -> None:
        """Let it know now and then up to where the recording has been read, so that it can give up memory."""
        self._signs += 1
        if position >= self._seen + SEEN_LINES:
            self._seen = position
            self.tell("seen", position=position)

    async def ask(self, op: str, **arguments: object) -> _Message:
        """Send a command and wait for its answer.

        Raises:
            RecordingError: it refused, saying why.
            CaptureDiedError: it is gone, or has given no sign of life for so long that it was killed.
        """
        if (why := self.died or self._gave_up) is not None:
            raise CaptureDiedError(why)
        self._last_id += 1
        number = self._last_id
        request = self._requests[number] = _Request()
        try:
            self.tell(op, id=number, **arguments)
            await self._answered(op, request)
        finally:
            del self._requests[number]
        if request.reply is None:
            raise CaptureDiedError(self._why())
        if request.reply.error is not None:
            message = f"capture refused {op}: {request.reply.error}"
            raise RecordingError(message)
        return request.reply

    async def _answered(self, op: str, request: _Request) -> None:
        """Wait for an answer, and give the capture up where it shows by nothing that it is at work on it."""
        silent = 0
        while silent < LOOKS and not request.done.is_set():
            signs = self._signs
            with anyio.move_on_after(ANSWER_SECONDS / LOOKS):
                await request.done.wait()
            # What we haven't taken off the socket, because a subscriber can't take more, is no silence of its.
            silent = silent + 1 if self._signs == signs and self._direct_bytes < QUEUE_BYTES else 0
        if request.done.is_set():
            return
        self._gave_up = f"for {ANSWER_SECONDS:g} s it did not answer {op!r}, nor record anything, and was killed"
        self._process.kill()
        raise CaptureDiedError(self._gave_up)

    def _why(self) -> str:
        return self.died or self._gave_up or "it was closed"

    def _flush(self) -> None:
        try:
            while self._outgoing:
                sent = self._control.send(self._outgoing)
                del self._outgoing[:sent]
        except BlockingIOError:
            self._stuck.set()  # `listen` goes on with it
        except OSError:
            self._outgoing.clear()  # `listen` sees the end too, and says so

    def take_direct(self) -> tuple[Row, bytes] | None:
        """Return the next row that came past the recording, with its lines."""
        if not self.direct:
            return None
        row, data = self.direct.popleft()
        self._direct_bytes -= len(data)
        if self._direct_bytes < QUEUE_BYTES:
            self._room.set()
        return row, data

    async def listen(self) -> None:
        """Hear what it says, until it ends."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send_rest)
                await self._hear()
                tasks.cancel_scope.cancel()
        finally:
            for request in self._requests.values():
                request.done.set()

    async def _send_rest(self) -> None:
        while True:
            await self._stuck.wait()
            self._stuck = anyio.Event()
            await anyio.wait_writable(self._control)
            self._flush()

    async def _hear(self) -> None:
        text = bytearray()
        while True:
            await anyio.wait_readable(self._control)
            try:
                chunk = self._control.recv(1 << 18)
            except BlockingIOError:
                continue
            except OSError:
                chunk = b""
            if not chunk:
                break
            text += chunk
            self._signs += 1
            await self._understand(text)
        if not self._closed:
            await anyio.wait_readable(self._pidfd)
            code = self._process.wait()
            os.lseek(self._errors, 0, os.SEEK_SET)
            said = os.read(self._errors, 1 << 16).decode(errors="replace").strip().split("\n")[-1]
            self.died = self._gave_up or f"status {code}" + (f", {said}" if said else "")
            self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):
            os.eventfd_write(self.bell, 1)

    async def _understand(self, text: bytearray) -> None:
        """Take the whole messages off the front of `text`; a block's bytes follow its message."""
        at = 0
        while (end := text.find(b"\n", at)) >= 0:
            message = _decode(text[at:end])
            if message.block is not None:
                row = message.block
                if len(text) < end + 1 + row.bytes:
                    break
                data = bytes(text[end + 1 : end + 1 + row.bytes])
                end += row.bytes
                self.direct.append((row, data))
                self._direct_bytes += len(data)
                self._ring()
            elif message.id is not None:
                self._closed |= message.id == self._closing_id
                request = self._requests.get(message.id)
                if request is not None:
                    request.reply = message
                    request.done.set()
            at = end + 1
        del text[:at]
        while self._direct_bytes >= QUEUE_BYTES:
            self._room = anyio.Event()
            await self._room.wait()

    async def close(self) -> None:
        """Have it take the last lines of every source, say in the recording that it was closed, and end.

        Shielded by the caller. A process that doesn't answer in time is killed, and has then died like any other.
        """
        self._closing_id = self._last_id + 1
        with anyio.move_on_after(CLOSE_SECONDS) as limit, contextlib.suppress(CaptureDiedError):
            await self.ask("close")
            await anyio.wait_readable(self._pidfd)
        if limit.cancelled_caught:
            self._process.kill()

    def dispose(self) -> None:
        """Close all descriptors, and kill it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._control.close()
        for fd in (self._pidfd, self.bell, self._errors):
            os.close(fd)
