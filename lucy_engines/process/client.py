"""Lucy's end of the guardian: starting it, asking it, hearing of exits, and doing its last work should it be killed."""

import contextlib
import fcntl
import math
import os
import struct
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, final, overload

import anyio

from lucy_core.engine import Output, Take, Written, log, one_error
from lucy_core.errors import CommandError, HelperDiedError
from lucy_core.helpers.forms import Done, Form
from lucy_core.helpers.helper import Helper, Refused
from lucy_engines.process import garbage, orders

R = TypeVar("R", bound=Form)
PIECE_BYTES = 1 << 16
CLOSE_SECONDS = 8.0
"""How long it may take to end; it gives up what doesn't end before that."""


@final
class GuardianClient:
    """A running guardian. `listen` has to run for as long as it is used."""

    def __init__(self, on_exit: Callable[[orders.Exited], None], on_death: Callable[[HelperDiedError], None]) -> None:
        """Start it. `on_exit` hears of the end of each leader, `on_death` of its own, unless it was told to end.

        Raises:
            HelperStartError: no process can be started.
        """
        self._helper = Helper(
            "the guardian, with which all nodes of a run end",
            garbage.GUARDIAN,
            directory=".",
            hear={orders.Exited: on_exit, orders.Left: _tell_what_is_left},
        )
        self._fifos: list[Path] = []
        self._on_death = on_death

    @property
    def died(self) -> HelperDiedError | None:
        """That it is gone, where nobody had told it to end."""
        return self._helper.died

    async def remove_at_end(self, fifo: Path) -> None:
        """Have it remove a FIFO at its own end.

        Raises:
            CommandError: it does not.
        """
        self._fifos.append(fifo)
        await self._ask(orders.Fifo(str(fifo)))

    async def spawn(
        self,
        name: str,
        argv: list[str],
        environment: dict[str, str],
        directory: Path,
        fifos: tuple[Path, Path],
        identity: orders.Identity | None = None,
    ) -> int:
        """Start a node's leader and return its process id; its exit is told to `on_exit`.

        `fifos` are those for its stdout and its stderr, which may be one.

        Raises:
            Refused: it can't be started.
        """
        output, errors = map(str, fifos)
        order = orders.Spawn(name, argv, environment, str(directory), output, errors, identity)
        return (await self._helper.ask(order, orders.Spawned)).pid

    async def execute(
        self,
        argv: list[str],
        environment: dict[str, str],
        directory: Path,
        *,
        given: bytes,
        seconds: float,
        take: Take,
        identity: orders.Identity | None = None,
    ) -> orders.Executed:
        """Run a command, with `given` as its input, and hand on what it writes as it comes; its end is the answer.

        What it writes doesn't go through the guardian: Lucy reads the pipes, and the command waits where she doesn't.
        Cancelled, or where `take` raises, it is killed with all that it has started.

        Raises:
            Refused: it can't be run.
        """
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
            call = self._helper.call(orders.Exec(argv, environment, str(directory), seconds, identity), ends)
            theirs.pop_all()  # the helper's from here on
            try:
                async with one_error(), anyio.create_task_group() as tasks:
                    for end, output in outputs:
                        tasks.start_soon(_hand_on, end, output, take)
                    await call.done.wait()
                    tasks.cancel_scope.cancel()
                reply = self._helper.result(call, orders.Executed)
                # All that it wrote lies there by now. Who still holds a pipe may not be killed, and isn't waited for,
                # nor read for as long as it goes on writing.
                for end, output in outputs:
                    (there,) = struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, b"\0" * 4))
                    while there > 0 and (data := _read(end)):
                        there -= len(data)
                        take(Written(output, data))
            except Refused:
                raise
            except BaseException:
                with anyio.CancelScope(shield=True), contextlib.suppress(HelperDiedError):
                    _tell_what_is_left(await self._helper.ask(orders.Cancel(call.number), orders.Executed))
                raise
        return reply

    async def send_signal(
        self, node: str, pid: int, number: int, *, lasting: float = math.inf, alone: bool = False, ends: bool = False
    ) -> str | None:
        """Signal a node's leader and all that came from it; return what the leader is where we may not.

        Args:
            node: the node.
            pid: its leader.
            number: the signal's.
            lasting: after so many seconds the guardian lets them go on, where that stops them.
            alone: to signal the leader alone.
            ends: whether an end that follows is our doing.

        Raises:
            CommandError: it was not done.
        """
        order = orders.Signal(pid, int(number), lasting, alone=alone, ends=ends)
        return (await self._ask(order, node, orders.Signalled)).refused

    async def begin_end(self) -> None:
        """Take note that all nodes that run now are about to be ended: what one does to another by it is our doing.

        Raises:
            CommandError: it was not done.
        """
        await self._ask(orders.End())

    @overload
    async def _ask(self, order: Form, node: str | None = None) -> Done: ...
    @overload
    async def _ask(self, order: Form, node: str | None, reply: type[R]) -> R: ...
    async def _ask(self, order: Form, node: str | None = None, reply: type[Any] = Done) -> Any:
        try:
            return await self._helper.ask(order, reply)
        except Refused as refused:
            raise CommandError(f"the guardian refused {refused.op}: {refused.reason}", node) from refused

    async def listen(self) -> None:
        """Hear exits and answers until the guardian is gone."""
        await self._helper.listen()
        if (death := self._helper.died) is not None:
            garbage.end_what_a_guardian_left(self._helper.pid, self._fifos)
            self._on_death(death)

    async def close(self) -> None:
        """Have it take everything down, and wait until it has; kill it where it doesn't. For a shielded caller."""
        await self._helper.end(CLOSE_SECONDS)
        self._helper.kill()

    def dispose(self) -> None:
        """Close all descriptors, and kill it if it still runs."""
        self._helper.dispose()


def _tell_what_is_left(end: orders.Left | orders.Executed) -> None:
    if end.left:
        log.warning(
            "processes of this run could not be ended, for they are another user's or wait for a disk", left=end.left
        )


async def _hand_on(fd: int, output: Output, take: Take) -> None:
    """Hand on what comes from a pipe, until it is at its end."""
    while True:
        await anyio.wait_readable(fd)
        data = _read(fd)
        if data == b"":
            return
        if data:
            take(Written(output, data))


def _read(fd: int) -> bytes | None:
    """Take what a pipe holds now: nothing at its end, None where it is empty."""
    try:
        return os.read(fd, PIECE_BYTES)
    except BlockingIOError:
        return None
