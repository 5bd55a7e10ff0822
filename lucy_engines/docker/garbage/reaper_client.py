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

import lucy_engines
from lucy_core.engine import carry_through, log, run_files
from lucy_core.errors import EngineError, HelperStartError
from lucy_core.helpers.helper import LastWords, how_it_ended, own_pidfd, until_ended
from lucy_engines.docker.plan.labels import run_filter

SWEEP_SECONDS = 10.0
"""How long the end of a run waits for the reaper to do what the run itself could not."""
REPLACEMENTS = 3
"""How many reapers may take another's place: whoever kills so many means it, or this machine can run none."""


_BOOT = (
    # The façade of the engine would cost 300 ms of imports that the reaper has no use for: an empty module with its
    # path stands in for it.
    "import sys, types\n"
    f"sys.path.append({str(Path(lucy_engines.__file__).parent.parent)!r})\n"
    "import lucy_engines\n"
    "shell = sys.modules['lucy_engines.docker'] = types.ModuleType('lucy_engines.docker')\n"
    "shell.__path__ = [lucy_engines.__path__[0] + '/docker']\n"
    "from lucy_engines.docker.garbage.reaper import main; main(sys.argv[1:])"
)


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

    def __init__(self, order: ReaperOrder, run_id: str) -> None:
        """Start it.

        Raises:
            EngineError: no process can be started.
        """
        self._order = order
        self._run_id = run_id
        self._words = LastWords()
        try:
            self._process, self._control = _start(order, self._words)
        except EngineError:
            self._words.close()
            raise
        self.dismissed = False
        self.abandoned = False

    @property
    def pid(self) -> int:
        """Its process id; another's, once it was killed and another took its place."""
        return self._process.pid

    def abandon(self) -> None:
        """Take note that the Engine is dead: the reaper goes on alone, and removes all once there is one again."""
        self.abandoned = True

    def dismiss(self) -> None:
        """Take note that there is nothing left to remove."""
        self.dismissed = True

    async def watch(self) -> None:
        """See that there is one: have another take the place of one that ends, say so, and give up after some."""
        what, replaced = "the reaper, which removes this run should Lucy be killed", 0
        while True:
            await until_ended(self._process)
            pid, how = self._process.pid, how_it_ended(self._process.wait(), self._words.last_line())
            if replaced == REPLACEMENTS:
                rest = f"and so did {replaced} before it; there is none now: `lucy gc` would remove the run"
                log.warning(f"{what}, {how}, {rest}", run=self._run_id, reaper=pid)
                return
            os.close(self._control)
            self._control = -1
            try:
                self._process, self._control = _start(self._order, self._words)
            except EngineError as error:
                log.warning(f"{what}, {how}, and no other takes its place: {error}", run=self._run_id, reaper=pid)
                return
            replaced += 1
            log.warning(f"{what}, {how}; another takes its place", run=self._run_id, reaper=pid)

    async def aclose(self) -> None:
        """Send it home, having it remove first what is left, where there is; again is no error."""
        if self._control >= 0:
            if self._process.poll() is not None and not self.dismissed:
                # Somebody killed it, and nobody has watched since.
                os.close(self._control)
                self._process, self._control = _start(self._order, self._words)
            with contextlib.suppress(BrokenPipeError):  # somebody killed it now
                os.write(self._control, b"bye\n" if self.dismissed else b"sweep\n")
            os.close(self._control)
            self._control = -1
        self._words.close()
        seconds = 0.0 if self.abandoned else SWEEP_SECONDS
        # A task's own cancellation passes through shields, and a child has to be waited for all the same.
        ended = _end(self._process, self._run_id, dismissed=self.dismissed, seconds=seconds)
        await carry_through(ended, patience=seconds)


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
        fifos=None if run_directory is None else str(run_directory / run_files.FIFOS),
        log=None if run_directory is None else str(run_directory / "reaper.log"),
    )
    guard = Guard(order, run_id)
    try:
        yield guard
    finally:
        with anyio.CancelScope(shield=True):
            await guard.aclose()


def _start(order: ReaperOrder, words: LastWords) -> tuple[subprocess.Popen[bytes], int]:
    theirs = ours = -1
    try:
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        with own_pidfd() as lucy:
            descriptors = [str(theirs), str(lucy)]
            process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own program
                # The label is for people, who look at the processes.
                [sys.executable, "-I", "-S", "-c", _BOOT, *descriptors, order.label],
                pass_fds=(theirs, lucy),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words.fileno(),
                # Neither a terminal's Ctrl-C nor a signal to Lucy's group is meant for it, and it holds no directory
                # busy.
                start_new_session=True,
                cwd="/",
            )
    except OSError as error:
        if ours >= 0:
            os.close(ours)
        raise HelperStartError("the reaper, which removes a run that Lucy can't", error) from error
    finally:
        if theirs >= 0:
            os.close(theirs)
    os.set_blocking(ours, False)
    # Far less than a pipe holds, so this never waits, and the reaper knows its order however soon Lucy dies.
    os.write(ours, msgspec.json.encode(order) + b"\n")
    return process, ours


async def _end(process: subprocess.Popen[bytes], run_id: str, *, dismissed: bool, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await until_ended(process)
    code = process.poll()
    if code is None:
        # It goes on trying by itself. A child that nobody waits for would be complained about when collected.
        process.returncode = 0
    if code != 0 and not dismissed:
        log.warning(
            "things of this run may be left in the Engine; `lucy gc` removes them", run=run_id, reaper=process.pid
        )
