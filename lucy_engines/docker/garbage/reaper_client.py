"""Lucy's end of the reaper: starting it, and sending it home once all is removed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

import anyio

from lucy_core.engine import carry_through, log, run_files
from lucy_core.errors import HelperStartError
from lucy_core.helpers.helper import Helper
from lucy_engines.docker.garbage.reaper import Bye, Order, Sweep
from lucy_engines.docker.plan.labels import run_label

WHAT = "the reaper, which removes this run should Lucy be killed"
SWEEP_SECONDS = 10.0
"""How long the end of a run waits for the reaper to do what the run itself could not."""
REPLACEMENTS = 3
"""How many reapers may take another's place: whoever kills so many means it, or this machine can run none."""


@final
class Guard:
    """A reaper at its post. Dismiss it when all is removed."""

    def __init__(self, order: Order, run_id: str) -> None:
        """Start it.

        Raises:
            HelperStartError: no process can be started.
        """
        self._order = order
        self._run_id = run_id
        self._helper = _start(order)
        self.dismissed = False
        self.abandoned = False

    def abandon(self) -> None:
        """Take note that the Engine is dead: the reaper goes on alone, and removes all once there is one again."""
        self.abandoned = True

    def dismiss(self) -> None:
        """Take note that there is nothing left to remove."""
        self.dismissed = True

    async def watch(self) -> None:
        """See that there is one: have another take the place of one that ends, say so, and give up after some."""
        replaced = 0
        while True:
            await self._helper.ended()
            pid, how = self._helper.pid, self._helper.how
            if replaced == REPLACEMENTS:
                rest = f"and so did {replaced} before it; there is none now: `lucy gc` would remove the run"
                log.warning(f"{WHAT}, {how}, {rest}", run=self._run_id, reaper=pid)
                return
            try:
                self._replace()
            except HelperStartError as error:
                log.warning(f"{WHAT}, {how}, and no other takes its place: {error}", run=self._run_id, reaper=pid)
                return
            replaced += 1
            log.warning(f"{WHAT}, {how}; another takes its place", run=self._run_id, reaper=pid)

    def _replace(self) -> None:
        helper = _start(self._order)
        self._helper.dispose()
        self._helper = helper

    async def aclose(self) -> None:
        """Send it home, having it remove first what is left, where there is."""
        if self._helper.code is not None and not self.dismissed:
            self._replace()  # somebody killed it, and nobody has watched since
        self._helper.tell(Bye() if self.dismissed else Sweep())
        seconds = 0.0 if self.abandoned else SWEEP_SECONDS
        # A task's own cancellation passes through shields, and a child has to be waited for all the same.
        ended = _end(self._helper, self._run_id, dismissed=self.dismissed, seconds=seconds)
        await carry_through(ended, patience=seconds)


@asynccontextmanager
async def guarded(host: str, run_id: str, *, run_directory: Path | None = None) -> AsyncIterator[Guard]:
    """Keep a reaper for the length of a block; enter it before the run's first thing is created.

    Left with the guard dismissed, the reaper just ends. Left otherwise, for what the block had to remove it could not,
    it removes all that bears the run's label, and is waited for. Should Lucy die, it does so alone.

    Raises:
        HelperStartError: no process can be started.
    """
    order = Order(
        host=host,
        label=run_label(run_id),
        fifos=None if run_directory is None else str(run_directory / run_files.FIFOS),
        log=None if run_directory is None else str(run_directory / run_files.REAPER_LOG),
    )
    guard = Guard(order, run_id)
    try:
        yield guard
    finally:
        with anyio.CancelScope(shield=True):
            await guard.aclose()


def _start(order: Order) -> Helper:
    # The label is for people, who look at the processes.
    helper = Helper(WHAT, "lucy_engines.docker.garbage.reaper", order.label)
    # Far less than a socket holds, so that the reaper knows its order however soon Lucy dies.
    helper.tell(order)
    return helper


async def _end(helper: Helper, run_id: str, *, dismissed: bool, seconds: float) -> None:
    await helper.end(seconds)
    if helper.code != 0 and not dismissed:
        log.warning(
            "things of this run may be left in the Engine; `lucy gc` removes them", run=run_id, reaper=helper.pid
        )
    helper.leave()
