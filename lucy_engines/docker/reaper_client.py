"""Lucy's end of the reaper: starting it, and sending it home once all is removed."""

import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

import anyio
import msgspec

from lucy_core import log
from lucy_core.commands import carry_through
from lucy_core.errors import EngineError
from lucy_engines.docker.labels import run_filter

SWEEP_SECONDS = 10.0
"""How long the end of a run waits for the reaper to do what the run itself could not."""


class ReaperOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to remove, and where."""

    host: str
    """The Engine, as `DOCKER_HOST` has it."""
    label: str
    fifos: str | None = None
    """A directory of FIFOs that nobody needs any more then."""
    log: str | None = None


@final
class Guard:
    """A reaper at its post. Dismiss it when all is removed."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.dismissed = False
        self.abandoned = False

    def abandon(self) -> None:
        """Take note that the Engine is dead: the reaper goes on alone, and removes all once there is one again."""
        self.abandoned = True

    def dismiss(self) -> None:
        """Take note that there is nothing left to remove."""
        self.dismissed = True


@asynccontextmanager
async def guarded(host: str, run_id: str, *, run_directory: Path | None = None) -> AsyncIterator[Guard]:
    """Keep a reaper for the length of a block; enter it before the run's first thing is created.

    Left with the guard dismissed, the reaper just ends. Left otherwise, for what the block had to remove it could not,
    it removes all that bears the run's label, and is waited for. Should Lucy die, it does so alone.

    Raises:
        EngineError: no process can be started.
    """
    order = ReaperOrder(
        host=host,
        label=run_filter(run_id)["label"][0],
        fifos=None if run_directory is None else str(run_directory / "fifos"),
        log=None if run_directory is None else str(run_directory / "reaper.log"),
    )
    process, control = _start(order)
    guard = Guard(process.pid)
    try:
        yield guard
    finally:
        with anyio.CancelScope(shield=True):
            with contextlib.suppress(BrokenPipeError):  # somebody killed it
                os.write(control, b"bye\n" if guard.dismissed else b"sweep\n")
            os.close(control)
            seconds = 0.0 if guard.abandoned else SWEEP_SECONDS
            # A task's own cancellation passes through shields, and a child has to be waited for all the same.
            await carry_through(_end(process, run_id, dismissed=guard.dismissed, seconds=seconds), patience=seconds)


def _start(order: ReaperOrder) -> tuple[subprocess.Popen[bytes], int]:
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    try:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own program
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py")), str(theirs), order.label],
            pass_fds=(theirs,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Neither a terminal's Ctrl-C nor a signal to Lucy's group is meant for it, and it holds no directory busy.
            start_new_session=True,
            cwd="/",
        )
    except OSError as error:
        os.close(ours)
        message = f"the reaper, which removes a run that Lucy can't, does not start: {error.strerror}"
        raise EngineError(message) from error
    finally:
        os.close(theirs)
    os.set_blocking(ours, False)
    # Far less than a pipe holds, so this never waits, and the reaper knows its order however soon Lucy dies.
    os.write(ours, msgspec.json.encode(order) + b"\n")
    return process, ours


async def _end(process: subprocess.Popen[bytes], run_id: str, *, dismissed: bool, seconds: float) -> None:
    pidfd = os.pidfd_open(process.pid)
    try:
        with anyio.move_on_after(seconds):
            await anyio.wait_readable(pidfd)
    finally:
        os.close(pidfd)
    code = process.poll()
    if code is None:
        # It goes on trying by itself. A child that nobody waits for would be complained about when collected.
        process.returncode = 0
    if code != 0 and not dismissed:
        log.warning(
            "things of this run may be left in the Engine; `lucy gc` removes them", run=run_id, reaper=process.pid
        )
