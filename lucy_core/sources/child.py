"""A program that runs no longer than it is captured.

Its stdout and its stderr are a FIFO each: on a shared one a buffered half line of the one would be torn by the other.
Both are without a name as soon as the program has them, so nothing stays of them, however this process ends.

What it starts stands in its group. The group is signalled while the program itself, ended or not, was not waited for:
until then its number is nobody else's. Should this process be killed, the kernel kills the program.
"""

import contextlib
import ctypes
import functools
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import final

import anyio

from lucy_core.errors import DeployError, UnknownProgramError, UnrunnableError
from lucy_core.helpers.helper import how_it_ended
from lucy_core.records.journal import NodeExited, NodeStarted, NodeStartFailed
from lucy_core.sources.source import Process

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, of SIGKILL too, before anything else is run in it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)


@final
class Child:
    """A running program, or one that has ended."""

    def __init__(self, node: str, asked: Process, outputs: tuple[int, int]) -> None:
        """Start it. It writes to the descriptors in `outputs`, which stay the caller's.

        Raises:
            UnknownProgramError: it isn't there.
            UnrunnableError: it can't be run.
        """
        self.node = node
        self.is_told = False
        """Whether its end stands in the journal."""
        self._asked = asked
        self._began = time.monotonic()
        self._after = 0.0
        program = asked.command[0]
        try:
            self._process = subprocess.Popen(  # noqa: S603  # what was asked for
                asked.command,
                stdin=subprocess.DEVNULL,
                stdout=outputs[0],
                stderr=outputs[1],
                cwd=asked.directory,
                env={**os.environ, **asked.environment},
                start_new_session=True,
                preexec_fn=functools.partial(_die_with, os.getpid()),  # noqa: PLW1509  # calls of the kernel alone
            )
        except FileNotFoundError as error:
            if error.filename == program:
                raise UnknownProgramError(node, program) from error
            raise UnrunnableError(node, program, f"{error.strerror}: {error.filename}") from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise UnrunnableError(node, program, reason or str(error)) from error
        self._pidfd = os.pidfd_open(self._process.pid)

    @property
    def is_over(self) -> bool:
        """Whether it has ended and was waited for."""
        return self._process.returncode is not None

    async def ended(self) -> None:
        """Wait until it has ended, and kill what it left running. Cancelled, it leaves all as it is."""
        if not self.is_over:
            await anyio.wait_readable(self._pidfd)
            self._reap()

    async def stop(self) -> bool:
        """Ask it to end, and kill it where it doesn't; return whether it had to be killed. For a shielded caller."""
        self._signal(self._asked.stop_signal)
        with anyio.move_on_after(self._asked.grace) if self._asked.grace < math.inf else anyio.CancelScope() as grace:
            await self.ended()
        if grace.cancelled_caught:
            self._signal(signal.SIGKILL)
            await self.ended()
        return grace.cancelled_caught

    def dispose(self) -> None:
        """Kill it if it still runs. Again is no error."""
        if not self.is_over:
            self._signal(signal.SIGKILL)
            self._reap()

    def exited(self) -> NodeExited:
        """Say how it ended, once it has."""
        code = self._process.returncode
        try:
            name = signal.Signals(-code).name if code < 0 else None
        except ValueError:
            name = str(-code)
        return NodeExited(
            node=self.node,
            how=how_it_ended(code),
            code=code if code >= 0 else None,
            signal=name,
            after=self._after,
        )

    def _reap(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._after = time.monotonic() - self._began
        os.close(self._pidfd)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left in it, or another user's alone
            os.killpg(self._process.pid, number)


async def start(
    node: str,
    asked: Process,
    open_fifo: Callable[[str, Path], Awaitable[Path]],
    tell: Callable[[NodeStarted | NodeStartFailed], None],
) -> Child:
    """Start a program, with FIFOs that `open_fifo` has drained for the node. Raises as `Child`, and as `open_fifo`.

    That it was started is told before it can say anything.
    """
    with tempfile.TemporaryDirectory(prefix="lucy-") as place:
        outputs: list[int] = []
        try:
            for name in ("stdout", "stderr"):
                path = await open_fifo(node, Path(place) / name)
                outputs.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))  # its reader is there: nothing to wait for
            tell(NodeStarted(node))
            return Child(node, asked, (outputs[0], outputs[1]))
        except DeployError as error:
            tell(NodeStartFailed(node, str(error)))
            raise
        finally:
            for output in outputs:
                os.close(output)
