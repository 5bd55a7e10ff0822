"""Lucy's end of the guardian: starting it, asking it, hearing of exits, and doing its last work should it be killed."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import final

import anyio
import msgspec

import lucy_engines
from lucy_core import log
from lucy_core.aio import one_error
from lucy_core.engine import NodeExit, Output, Take
from lucy_core.errors import EngineError, HelperDiedError
from lucy_core.helpers import LastWords, how_it_ended, own_pidfd
from lucy_engines.process import garbage

_BOOT = (
    # The engine's package would cost half a second of imports that the guardian has no use for: empty modules with the
    # packages' paths stand in for it.
    "import sys, types\n"
    "root = sys.argv.pop(1)\n"
    "for name in ('lucy_engines', 'lucy_engines.process'):\n"
    "    shell = sys.modules[name] = types.ModuleType(name)\n"
    "    shell.__path__ = ['/'.join((root, *name.split('.')[1:]))]\n"
    "from lucy_engines.process.guardian import main\n"
    "main(sys.argv[1:])\n"
)
PIECE_BYTES = 1 << 16
CLOSE_SECONDS = 8.0
"""How long it may take to end; it gives up what doesn't end before that."""


class Exited(msgspec.Struct):
    """How a node's leader ended."""

    name: str
    pid: int
    code: int | None
    signal: str | None
    after: float
    asked: bool
    left: tuple[str, ...] = ()


class Reply(msgspec.Struct):
    """Anything that the guardian says."""

    id: int | None = None
    error: str | None = None
    exited: Exited | None = None
    pid: int = 0
    refused: str | None = None
    """The leader, described, where it may not be signalled."""
    code: int = 0
    """A command's exit code, or the negative number of the signal that killed it."""
    timed_out: bool = False
    left: tuple[str, ...] = ()
    """Processes, described, that could not be ended."""


_decode = msgspec.json.Decoder(Reply).decode


@final
class GuardianClient:
    """A running guardian. `listen` has to run for as long as it is used."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._control = ours
        self._words = LastWords()
        root = Path(lucy_engines.__file__).parent
        try:
            with own_pidfd() as lucy:
                # The path is for people, and for `lucy gc`: by it they know what this process is.
                arguments = (str(root / "process" / garbage.GUARDIAN), str(theirs.fileno()), str(lucy))
                self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own program
                    [sys.executable, "-I", "-S", "-c", _BOOT, str(root), *arguments],
                    pass_fds=(theirs.fileno(), lucy),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._words.fileno(),
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            self._words.close()
            message = f"the guardian, which takes nodes along however Lucy ends, does not start: {error.strerror}"
            raise EngineError(message) from error
        finally:
            theirs.close()
        self._pidfd = os.pidfd_open(self._process.pid)
        self._replies: dict[int, Reply] = {}
        self._waiting: dict[int, anyio.Event] = {}
        self._fifos: list[Path] = []
        self._last_id = 0
        self._writing = anyio.Lock()
        self._gone = anyio.Event()
        self._closed = False
        self.died: HelperDiedError | None = None
        """That it is gone, where nobody had told it to end."""
        self.on_exit: Callable[[int, NodeExit], None] | None = None
        self.on_death: Callable[[HelperDiedError], None] | None = None

    @property
    def pid(self) -> int:
        """The guardian's process id."""
        return self._process.pid

    async def ask(self, op: str, **arguments: object) -> Reply:
        """Send an order and wait for its answer.

        Raises:
            HelperDiedError: the guardian is gone.
        """
        return await self._ask(self._new_id(), op, (), **arguments)

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    async def _ask(self, number: int, op: str, descriptors: Sequence[int], **arguments: object) -> Reply:
        done = self._waiting[number] = anyio.Event()
        try:
            # The environment may hold bytes that are no UTF-8: `json` writes their surrogates, msgspec refuses them.
            order = json.dumps({"op": op, "id": number, **arguments}).encode() + b"\n"
            try:
                # Half an order would be read as one with the next: cancelling waits, for the guardian never does.
                with anyio.CancelScope(shield=True):
                    await self._send(order, descriptors)
            finally:
                for fd in descriptors:
                    os.close(fd)
            if self.died is None:
                await done.wait()
            reply = self._replies.pop(number, None)
        finally:
            del self._waiting[number]
        if reply is None:
            raise self.died or self._death("was told to end")
        return reply

    def _death(self, how: str) -> HelperDiedError:
        what = "the guardian, with which all nodes of a run end"
        return HelperDiedError(what, self.pid, how, self._words.last_line())

    async def _send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        async with self._writing:
            while data and self.died is None:
                try:
                    # They go with the first byte that does, and belong to the order that it begins.
                    data = data[socket.send_fds(self._control, [data], descriptors) :]
                    descriptors = ()
                except BlockingIOError:
                    await anyio.wait_writable(self._control)
                except OSError:
                    return  # `listen` hears of its end, and says so to whoever waits

    async def remove_at_end(self, fifo: Path) -> None:
        """Have it remove a FIFO at its own end."""
        self._fifos.append(fifo)
        await self.ask("fifo", fifo=str(fifo))

    async def spawn(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], directory: Path, fifo: Path
    ) -> Reply:
        """Start a node's leader; its exit is reported by `on_exit`."""
        return await self.ask(
            "spawn", name=name, argv=argv, environment=environment, cwd=str(directory), fifo=str(fifo)
        )

    async def execute(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        *,
        given: bytes,
        seconds: float,
        take: Take,
    ) -> Reply:
        """Run a command, with `given` as its input, and hand on what it writes as it comes; its end is the answer.

        What it writes doesn't go through the guardian: Lucy reads the pipes, and the command waits where she doesn't.
        Cancelled, or where `take` raises, it is killed with all that it has started.
        """
        number = self._new_id()
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            given_input = os.memfd_create("input", os.MFD_CLOEXEC)
            theirs.callback(os.close, given_input)
            left = memoryview(given)
            while left:
                left = left[os.write(given_input, left) :]
            os.lseek(given_input, 0, os.SEEK_SET)
            ends = [given_input]
            outputs: list[tuple[int, Output]] = []
            for output in (Output.STDOUT, Output.STDERR):
                end, their_end = os.pipe2(os.O_CLOEXEC)
                ours.callback(os.close, end)
                theirs.callback(os.close, their_end)
                os.set_blocking(end, False)
                ends.append(their_end)
                outputs.append((end, output))
            theirs.pop_all()  # asking closes them
            reply: Reply | None = None
            try:
                async with one_error(), anyio.create_task_group() as tasks:
                    for end, output in outputs:
                        tasks.start_soon(_hand_on, end, output, take)
                    reply = await self._ask(
                        number,
                        "exec",
                        ends,
                        argv=argv,
                        environment=environment,
                        cwd=str(directory),
                        timeout=seconds,
                    )
                    tasks.cancel_scope.cancel()
                # All that it wrote lies there by now. Who still holds a pipe may not be killed, and isn't waited for,
                # nor read for as long as it goes on writing.
                for end, output in outputs:
                    (there,) = struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, b"\0" * 4))
                    while there > 0 and (data := _read(end)):
                        there -= len(data)
                        take(output, data)
            except BaseException:
                with anyio.CancelScope(shield=True), contextlib.suppress(HelperDiedError):
                    await self.ask("cancel", order=number)
                raise
        assert reply is not None  # noqa: S101  # an invariant: the group was left without an error
        return reply

    async def send_signal(self, pid: int, number: signal.Signals) -> str | None:
        """Signal a leader and all that came from it; return what the leader is where we may not."""
        return (await self.ask("signal", pid=pid, signal=int(number))).refused

    async def begin_end(self) -> None:
        """Take note that all nodes that run now are about to be ended: what one does to another by it is our doing."""
        await self.ask("end")

    async def freeze(self, pid: int, lasting: float) -> None:
        """Stop a leader and all that came from it; the guardian lets it go on after `lasting` seconds."""
        await self.ask("signal", pid=pid, signal=int(signal.SIGSTOP), lasting=lasting)

    async def listen(self) -> None:
        """Hear replies and exits until the guardian is gone."""
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
            searched = len(text)
            text += chunk
            # Only what is new is searched: the answer of a command that has said much comes in a thousand chunks.
            if (end := text.rfind(b"\n", searched) + 1) > 0:
                lines = bytes(text[:end])
                del text[:end]
                for line in lines.splitlines():
                    self._understand(_decode(line))
        await anyio.wait_readable(self._pidfd)
        self.died = self._death(how_it_ended(self._process.wait()))
        if not self._closed:
            garbage.end_what_a_guardian_left(self.pid, self._fifos)
            if self.on_death is not None:
                self.on_death(self.died)
        for event in self._waiting.values():
            event.set()
        self._gone.set()

    def _understand(self, reply: Reply) -> None:
        if reply.exited is not None:
            end = reply.exited
            if self.on_exit is not None:
                exit_of = NodeExit(
                    node=end.name, code=end.code, signal=end.signal, after=end.after, asked=end.asked, left=end.left
                )
                self.on_exit(end.pid, exit_of)
        elif reply.id in self._waiting:
            self._replies[reply.id] = reply
            self._waiting[reply.id].set()
        elif reply.left:
            log.warning(
                "processes of this run could not be ended, for they are another user's or wait for a disk",
                left=reply.left,
            )

    async def close(self) -> None:
        """Have it take everything down, and wait until it has; kill it where it doesn't. For a shielded caller."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        with anyio.move_on_after(CLOSE_SECONDS) as limit:
            await self._gone.wait()
        if limit.cancelled_caught:
            self._process.kill()

    def dispose(self) -> None:
        """Close all descriptors, and kill it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._control.close()
        self._words.close()
        os.close(self._pidfd)


async def _hand_on(fd: int, output: Output, take: Take) -> None:
    """Hand on what comes from a pipe, until it is at its end."""
    while True:
        await anyio.wait_readable(fd)
        data = _read(fd)
        if data == b"":
            return
        if data:
            take(output, data)


def _read(fd: int) -> bytes | None:
    """Take what a pipe holds now: nothing at its end, None where it is empty."""
    try:
        return os.read(fd, PIECE_BYTES)
    except BlockingIOError:
        return None
