"""The reaper: a process that outlives Lucy and removes what her run made in an Engine, if she couldn't herself.

Standard library only, in a session of its own, before the first thing of the run exists. It has a
pidfd of Lucy's, and costs nothing until she has ended, for which `kill -9` of her, of her process group or of her
session is as good as any reason; what she has forked may live on, and hold all else that she had open. Then it removes
everything that bears the run's label. The kernel can't undo a request that Lucy had under way, so it goes on looking
for a while after the last thing it saw.

All its code is loaded at its start: when it is needed, the virtual environment may be gone.

On the pipe: a line of JSON with the order, then `bye` (all is removed, end) or `sweep` (nothing is under way any more,
remove what is left, once). Whatever else comes is passed over. `lucy gc` removes with the same code.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from typing import Any, final

from lucy_engines.docker.api.caller import Caller
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.garbage.things import find, sweep

SETTLE_SECONDS = 5.0
"""For so long after the last sighting a request of a dead Lucy may still make something."""
GIVE_UP_SECONDS = 600.0
"""An Engine that doesn't answer for so long is left to `lucy gc`."""
LINE_BYTES = 1 << 16
"""What is said is shorter."""


@final
class Reaper:
    """One run's."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._caller = Caller(Endpoint(order["host"]))
        self._label: str = order["label"]
        self._fifos: str | None = order.get("fifos")
        self._log_path: str | None = order.get("log")
        self._said = ""

    def reap(self, *, settle: float) -> bool:
        """Remove all that bears the label, and what comes within `settle` seconds; tell whether nothing is left."""
        now = time.monotonic()
        give_up, seen = now + GIVE_UP_SECONDS, now
        pause = 0.05
        while True:
            trouble = ""
            try:
                things = find(self._caller, self._label)
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
        if self._fifos is not None:
            with contextlib.suppress(OSError):
                for name in os.listdir(self._fifos):
                    os.unlink(f"{self._fifos}/{name}")

    def _say(self, text: str) -> None:
        """Write down what happened where the run's other files are, if they are still there; what repeats, once."""
        if text == self._said or self._log_path is None:
            return
        self._said = text
        moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        with contextlib.suppress(OSError), open(self._log_path, "a", encoding="utf-8") as log:
            log.write(f"{moment} {text}\n")


@final
class Ear:
    """Takes what Lucy says, and finds the order and the last word in it. Sans-IO."""

    __slots__ = ("_left", "order", "word")

    def __init__(self) -> None:
        self._left = b""
        self.order: dict[str, Any] | None = None
        self.word = ""
        """`bye` or `sweep`, once that was said."""

    def hear(self, chunk: bytes) -> None:
        """Take what came next; what is neither an order nor a word is passed over."""
        *lines, self._left = (self._left + chunk).split(b"\n")
        if len(self._left) > LINE_BYTES:
            self._left = b"-"  # the rest of what is too long is no word either
        for line in lines:
            if line in (b"bye", b"sweep"):
                self.word = self.word or line.decode()
            elif self.order is None:
                self.order = _order(line)


def _order(line: bytes) -> dict[str, Any] | None:
    try:
        order = json.loads(line)
    except (ValueError, RecursionError):
        return None
    wanted = isinstance(order, dict) and all(isinstance(order.get(name), str) for name in ("host", "label"))
    return order if wanted else None


def listen(pipe: int, lucy: int) -> Ear:
    """Hear Lucy until she has said her last word or has ended; return what she said."""
    ear = Ear()
    poll = select.poll()
    for descriptor in (pipe, lucy):
        poll.register(descriptor, select.POLLIN)
    while not ear.word:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if pipe in ready:
            # What she said before she ended comes first.
            chunk = os.read(pipe, 1 << 16)
            if not chunk:
                break
            ear.hear(chunk)
        elif lucy in ready:
            break
    return ear


def main(arguments: list[str]) -> None:
    """Wait on two inherited descriptors, a pipe and Lucy's pidfd, and do what the end means."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ear = listen(int(arguments[0]), int(arguments[1]))
    if ear.word == "bye" or ear.order is None:
        return
    reaper = Reaper(ear.order)
    sys.exit(0 if reaper.reap(settle=0.0 if ear.word == "sweep" else SETTLE_SECONDS) else 1)
