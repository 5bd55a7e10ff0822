"""The reaper: a process that outlives Lucy and removes what her run made in an Engine, if she couldn't herself.

Standard library only, in a session of its own, started before the first thing of the run exists. It has a pidfd of
Lucy's, and costs nothing until she has ended, for which `kill -9` of her, of her process group or of her session is as
good as any reason; what she has forked may live on, and hold all else that she had open. Then it removes everything
that bears the run's label. The kernel can't undo a request that Lucy had under way, so it goes on looking for a while
after the last thing it saw.

All its code is loaded at its start: when it is needed, the virtual environment may be gone. `lucy gc` removes with the
same code.
"""

import contextlib
import os
import select
import socket
import sys
import time
from typing import NamedTuple, final

from lucy_core.helpers.server import Server
from lucy_engines.docker.api.caller import Caller
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.garbage.things import find, sweep

SETTLE_SECONDS = 5.0
"""For so long after the last sighting a request of a dead Lucy may still make something."""
GIVE_UP_SECONDS = 600.0
"""An Engine that doesn't answer for so long is left to `lucy gc`."""


class Order(NamedTuple):
    """What to remove, and where: the first that it is told."""

    host: str
    """The Engine, as `DOCKER_HOST` has it."""
    label: str
    fifos: str | None = None
    """A directory of FIFOs that nobody needs any more then."""
    log: str | None = None
    """A file for what is done."""


class Bye(NamedTuple):
    """All is removed: end."""


class Sweep(NamedTuple):
    """Nothing is under way any more: remove what is left, once, and end."""


@final
class Reaper:
    """One run's."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._caller = Caller(Endpoint(order.host))
        self._said = ""

    def reap(self, *, settle: float) -> bool:
        """Remove all that bears the label, and what comes within `settle` seconds; tell whether nothing is left."""
        now = time.monotonic()
        give_up, seen = now + GIVE_UP_SECONDS, now
        pause = 0.05
        while True:
            trouble = ""
            try:
                things = find(self._caller, self._order.label)
                for thing, why, remark in sweep(self._caller, things):
                    said = f"left {thing.kind} {thing.name}: {why}" if why else f"removed {thing.kind} {thing.name}"
                    self._say(f"{said}; {remark}" if remark else said)
            except Exception as error:  # noqa: BLE001  # whatever it was: there is nobody else to try again
                things, trouble = [], str(error)
                self._say(f"the Engine at {self._caller.endpoint.text}: {error}")
            now = time.monotonic()
            if things:
                seen, pause = now, 0.05
            elif trouble:
                seen = now
            elif now - seen >= settle:
                self._remove_fifos()
                return True
            if now > give_up:
                self._say("giving up; `lucy gc` removes what is left")
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _remove_fifos(self) -> None:
        if (fifos := self._order.fifos) is not None:
            with contextlib.suppress(OSError):
                for name in os.listdir(fifos):
                    os.unlink(f"{fifos}/{name}")

    def _say(self, text: str) -> None:
        """Write down what happened where the run's other files are, if they are still there; what repeats, once."""
        if text == self._said or self._order.log is None:
            return
        self._said = text
        moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with contextlib.suppress(OSError), open(self._order.log, "a", encoding="utf-8") as log:
            log.write(f"{moment} {text}\n")


@final
class Ear:
    """Hears Lucy: whose things they are, and whether she has removed them herself."""

    def __init__(self, control: socket.socket) -> None:
        self.server = Server(control, {Order: self._order, Bye: self._hear_last, Sweep: self._hear_last})
        self.reaper: Reaper | None = None
        """Ready, so that nothing has to be found or loaded once it is needed."""
        self.word: Bye | Sweep | None = None

    def _order(self, order: Order) -> None:
        if self.reaper is None:
            self.reaper = Reaper(order)

    def _hear_last(self, word: Bye | Sweep) -> None:
        if self.word is None:
            self.word = word

    def listen(self, lucy: int) -> None:
        """Hear her until she has said her last word or has ended."""
        poll = select.poll()
        for descriptor in (self.server.fileno(), lucy):
            poll.register(descriptor, select.POLLIN)
        while self.word is None:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.server.fileno() in ready:
                # What she said before she ended comes first.
                if not self.server.serve():
                    break
            elif lucy in ready:
                break


def main(control: socket.socket, lucy: int, label: str) -> None:  # noqa: ARG001  # the label is for who looks at processes
    """Wait for Lucy's end, and do what it means."""
    ear = Ear(control)
    ear.listen(lucy)
    if ear.reaper is not None and not isinstance(ear.word, Bye):
        settle = 0.0 if isinstance(ear.word, Sweep) else SETTLE_SECONDS
        sys.exit(0 if ear.reaper.reap(settle=settle) else 1)
