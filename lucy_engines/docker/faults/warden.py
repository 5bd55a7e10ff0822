"""The warden: the process that makes faults in containers, and ends them whatever becomes of Lucy.

Lucy asks, the warden does. So what was done and what has to be undone is known in one place only, by a process that
has nothing else to wait for: a fault ends after its time though Lucy's loop is blocked or her process stopped, and when
she ends, for which `kill -9` is as good as any reason, or closes the connection, all faults end and the warden with
them. It has a pidfd of hers, since what she has forked holds the connection open. What needs no Engine is undone first
then, for the Engine may be hung.

What it is told, and says, are the forms of `orders.py`. Standard library only.
"""

import contextlib
import select
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import final

from lucy_core.helpers.server import Server, reason_of
from lucy_engines.docker.api.caller import Caller
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.faults.orders import Inject, Injected, Lost, Revert, Reverted
from lucy_engines.docker.faults.place import Machine, Place
from lucy_engines.docker.faults.tools import Trouble, Unable, check, has_netem
from lucy_engines.docker.faults.wanted import Made, Wanted, disconnected, wanted

ENGINE_SECONDS = 15.0
AGAIN_SECONDS = 1.0
LONGEST_POLL = 3600.0


@final
class Effect:
    """A fault, from when it was made until somebody has asked what became of it."""

    __slots__ = ("began", "deadline", "fault", "seconds")

    def __init__(self, fault: Made, lasting: float) -> None:
        self.fault = fault
        self.began = time.monotonic()
        self.deadline = self.began + lasting
        self.seconds: float | None = None
        """For how long it was in effect, once it is no more."""


@final
class Warden:
    """The loop: one thread, no locks."""

    def __init__(self, control: socket.socket, lucy: int, host: str, chain: str) -> None:
        """Serve who is at the other end of `control`, for as long as Lucy lives, of whom `lucy` is a pidfd."""
        self._server = Server(control, {Inject: self._inject, Revert: self._revert}, _reason)
        self._lucy = lucy
        self._machine = Machine(Caller(Endpoint(host), ENGINE_SECONDS), chain, has_netem())
        self._effects: dict[int, Effect] = {}
        self._places: dict[str, Place] = {}

    def run(self) -> None:
        """Serve until Lucy ends or closes her end of the socket, then undo everything; also where it fails itself."""
        try:
            self._serve_all()
        finally:
            self._end()

    def _serve_all(self) -> None:
        while True:
            poll = select.poll()
            poll.register(self._server.fileno(), self._server.awaited)
            poll.register(self._lucy, select.POLLIN)
            watched = {place.pidfd: place for place in self._places.values() if place.pidfd >= 0}
            for pidfd in watched:
                poll.register(pidfd, select.POLLIN)
            deadline = min((each.deadline for each in self._active()), default=None)
            # Not for ever: `poll` takes no more milliseconds than 32 bits hold, and a fault may last for longer.
            left = LONGEST_POLL if deadline is None else max(0.0, deadline - time.monotonic())
            ready = {fd for fd, _ in poll.poll(min(left, LONGEST_POLL) * 1000 + 1)}
            if self._lucy in ready:
                return
            for pidfd in ready & set(watched):
                self._lose(watched[pidfd])
            if self._server.fileno() in ready and not self._server.serve():
                return
            self._expire()

    def _active(self) -> list[Effect]:
        return [effect for effect in self._effects.values() if effect.seconds is None]

    def _inject(self, order: Inject) -> Injected:
        if order.number in self._effects:
            raise Trouble(f"a fault has the number {order.number} already")
        try:
            self._make(order)
        except Unable as unable:
            return Injected(str(unable))
        return Injected()

    def _make(self, order: Inject) -> None:
        fault = Made(order.kind, order.nodes, order.others, order.amounts)
        check(fault.kind)
        for name in fault.members:
            if name not in self._places and name not in order.places:
                raise Trouble(f"nobody has said where {name} is")
        try:
            for name in fault.members:
                if name not in self._places:
                    self._places[name] = Place(self._machine, name, order.places[name])
            for name in fault.members if fault.others else fault.nodes:
                self._places[name].check(fault.kind)
            effect = self._effects[order.number] = Effect(fault, order.lasting)
            self._settle()
        except Exception:
            self._effects.pop(order.number, None)
            with contextlib.suppress(Trouble):
                self._settle()
            raise
        effect.began = time.monotonic()
        effect.deadline = effect.began + order.lasting

    def _revert(self, order: Revert) -> Reverted:
        effect = self._effects.get(order.number)
        if effect is None:
            raise Trouble(f"no fault has the number {order.number}")
        seconds = self._undo(effect)
        del self._effects[order.number]
        return Reverted(seconds)

    def _undo(self, effect: Effect) -> float:
        """End a fault that is in effect; return for how long it was."""
        if effect.seconds is None:
            effect.seconds = time.monotonic() - effect.began
            try:
                self._settle()
            except Trouble:
                effect.seconds = None
                effect.deadline = time.monotonic() + AGAIN_SECONDS
                raise
        return effect.seconds

    def _expire(self) -> None:
        now = time.monotonic()
        for effect in self._active():
            if effect.deadline <= now:
                with contextlib.suppress(Trouble):  # Lucy, who asks next, is told; and it is tried again
                    self._undo(effect)

    def _lose(self, place: Place) -> None:
        """Forget a container that has ended, and end the faults that named it."""
        del self._places[place.name]
        with contextlib.suppress(Trouble):
            place.settle_here(Wanted())  # its network may be somebody else's too, and live on
        place.close()
        for number, effect in self._effects.items():
            if effect.seconds is None and place.name in effect.fault.members:
                effect.seconds = time.monotonic() - effect.began
                self._server.notify(Lost(number, f"the container of {place.name} has ended"))
        with contextlib.suppress(Trouble):
            self._settle()

    def _settle(self) -> None:
        """Bring all places to the condition that the faults in effect leave them in; let go of those that have none."""
        faults = [effect.fault for effect in self._active()]
        troubles: list[Trouble] = []

        def attempt(act: Callable[[], object]) -> None:
            try:
                act()
            except Trouble as trouble:
                troubles.append(trouble)

        for place in self._places.values():
            attempt(partial(place.connect, connected=not disconnected(place.name, faults)))
        addresses = {place.name: place.addresses for place in self._places.values()}
        for place in self._places.values():
            goal = wanted(place.name, faults, addresses)
            attempt(partial(place.settle_here, goal))
            attempt(partial(place.settle_there, goal))
        if troubles:
            raise troubles[0]
        named = {name for fault in faults for name in fault.members}
        for name in set(self._places) - named:
            self._places.pop(name).close()

    def _end(self) -> None:
        """Undo everything: what needs no Engine first."""
        places = self._places.values()
        acts: list[Callable[[], object]] = [
            *(partial(place.settle_here, Wanted()) for place in places),
            *(partial(place.connect, connected=True) for place in places),
            *(partial(place.settle_there, Wanted()) for place in places),
        ]
        for act in acts:
            with contextlib.suppress(Trouble):  # the container may be gone, by whoever removes the run
                act()
        for place in self._places.values():
            place.close()


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, Trouble) else reason_of(error)


def main(control: socket.socket, lucy: int, host: str, chain: str) -> None:
    """Be the warden of one run, on an Engine's address; `chain` is what chains of iptables are called."""
    Warden(control, lucy, host, chain).run()
