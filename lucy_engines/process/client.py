"""Lucy's end of the guardian: starting it, asking it, hearing of exits."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import final

import anyio
import msgspec

from lucy_core.engine import NodeExit
from lucy_core.errors import EngineError


class Exited(msgspec.Struct):
    """How a node's leader ended."""

    name: str
    pid: int
    code: int | None
    signal: str | None
    after: float
    cpu: float
    asked: bool | None = None


class Reply(msgspec.Struct):
    """An answer of the guardian."""

    id: int | None = None
    error: str | None = None
    exited: Exited | None = None
    pid: int = 0
    code: int = 0
    """A command's exit code, or the negative number of the signal that killed it."""
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False


_decode = msgspec.json.Decoder(Reply).decode


@final
class GuardianClient:
    """A running guardian. `listen` has to run for as long as it is used."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._control = ours
        program = Path(__file__).with_name("guardian.py")
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own program
                [sys.executable, "-I", "-S", str(program), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            theirs.close()
        self._pidfd = os.pidfd_open(self._process.pid)
        self._replies: dict[int, Reply | None] = {}
        self._waiting: dict[int, anyio.Event] = {}
        self._running: dict[int, str] = {}
        self._last_id = 0
        self._writing = anyio.Lock()
        self._closed = False
        self.died = False
        self.on_exit: Callable[[int, NodeExit], None] | None = None

    @property
    def pid(self) -> int:
        """The guardian's process id."""
        return self._process.pid

    async def ask(self, op: str, **arguments: object) -> Reply:
        """Send a command and wait for its answer.

        Raises:
            EngineError: the guardian is gone.
        """
        self._last_id += 1
        number = self._last_id
        done = self._waiting[number] = anyio.Event()
        try:
            # The environment may hold bytes that are no UTF-8: `json` writes their surrogates, msgspec refuses them.
            await self._send(json.dumps({"op": op, "id": number, **arguments}).encode() + b"\n")
            await done.wait()
            reply = self._replies.pop(number, None)
        finally:
            del self._waiting[number]
        if reply is None:
            message = f"the guardian (process {self.pid}) is gone, and all nodes with it"
            raise EngineError(message)
        return reply

    async def _send(self, data: bytes) -> None:
        async with self._writing:
            while data and not self.died:
                try:
                    data = data[self._control.send(data) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._control)
                except OSError:
                    break
        if data:
            for event in self._waiting.values():
                event.set()

    async def remove_at_end(self, fifo: Path) -> None:
        """Have it remove a FIFO at its own end."""
        await self.ask("fifo", fifo=str(fifo))

    async def spawn(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], directory: Path, fifo: Path
    ) -> Reply:
        """Start a node's leader; its exit is reported by `on_exit`."""
        return await self.ask(
            "spawn", name=name, argv=argv, environment=environment, cwd=str(directory), fifo=str(fifo)
        )

    async def send_signal(self, pid: int, number: signal.Signals) -> None:
        """Signal a leader and all that came from it."""
        await self.ask("signal", pid=pid, signal=int(number))

    async def begin_end(self) -> None:
        """Take note that all nodes that run now are about to be ended: what one does to another by it is our doing."""
        await self.ask("end")

    async def freeze(self, pid: int, lasting: float) -> None:
        """Stop a leader and all that came from it; the guardian lets it go on after `lasting` seconds."""
        await self.ask("signal", pid=pid, signal=int(signal.SIGSTOP), lasting=lasting)

    async def listen(self) -> None:
        """Hear replies and exits until the guardian is gone."""
        text = b""
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
            *lines, text = (text + chunk).split(b"\n")
            for line in lines:
                self._understand(_decode(line))
        self.died = True
        for event in self._waiting.values():
            event.set()
        if not self._closed:
            for pid, name in tuple(self._running.items()):
                # The kernel killed it when the guardian died.
                self._understand(Reply(exited=Exited(name, pid, None, "SIGKILL", 0.0, 0.0)))

    def _understand(self, reply: Reply) -> None:
        if reply.exited is not None:
            end = reply.exited
            self._running.pop(end.pid, None)
            if self.on_exit is not None:
                exit_of = NodeExit(node=end.name, code=end.code, signal=end.signal, after=end.after, asked=end.asked)
                self.on_exit(end.pid, exit_of)
        elif reply.id in self._waiting:
            self._replies[reply.id] = reply
            self._waiting[reply.id].set()

    def note_running(self, pid: int, name: str) -> None:
        """Remember whom to report should the guardian die."""
        self._running[pid] = name

    async def close(self) -> None:
        """Have it take everything down, and wait until it has; after two seconds, kill it. For a shielded caller."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        with anyio.move_on_after(2):
            await anyio.wait_readable(self._pidfd)

    def dispose(self) -> None:
        """Close all descriptors, and kill it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._control.close()
        os.close(self._pidfd)
