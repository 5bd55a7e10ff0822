"""The warden: the process that makes faults in containers, and ends them whatever becomes of Lucy.

Lucy asks, the warden does. So what was done and what has to be undone is known in one place only, by a process that
has nothing else to wait for: a fault ends after its time though Lucy's loop is blocked or her process stopped, and when
she ends, for which `kill -9` is as good as any reason, or closes the connection, all faults end and the warden with
them. It has a pidfd of hers, since what she has forked holds the connection open. What needs no Engine is undone first
then, for the Engine may be hung.

Standard library only; in a session of its own, deaf to a terminal's Ctrl-C. The wire: a JSON line a message. In:
`{"op": "inject" | "revert", "id": …}`; out: a reply with the same id, and `{"lost": lease, …}` when a container ends
under a fault. What is no such command is answered by an error, and ends nothing.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, final

from lucy_engines.docker.api.caller import Caller
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.faults.place import Machine, Place
from lucy_engines.docker.faults.tools import Trouble, Unable, check, has_netem
from lucy_engines.docker.faults.wanted import Made, Wanted, disconnected, wanted
from lucy_engines.orders import CommandReader

ENGINE_SECONDS = 15.0
AGAIN_SECONDS = 1.0
LONGEST_POLL = 3600.0


@final
class Lease:
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
        self._control = control
        self._lucy = lucy
        self._machine = Machine(Caller(Endpoint(host), ENGINE_SECONDS), chain, has_netem())
        self._leases: dict[int, Lease] = {}
        self._places: dict[str, Place] = {}
        self._commands = CommandReader()

    def run(self) -> None:
        """Serve until Lucy ends or closes her end of the socket, then undo everything; also where it fails itself."""
        try:
            self._serve_all()
        finally:
            self._end()

    def _serve_all(self) -> None:
        while True:
            poll = select.poll()
            for own in (self._control.fileno(), self._lucy):
                poll.register(own, select.POLLIN)
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
            if self._control.fileno() in ready and not self._serve():
                return
            self._expire()

    def _active(self) -> list[Lease]:
        return [lease for lease in self._leases.values() if lease.seconds is None]

    def _serve(self) -> bool:
        try:
            chunk = self._control.recv(1 << 16)
        except OSError:
            return False
        for command in self._commands.feed(chunk):
            number = None if isinstance(command, str) else command.get("id")
            self._say({"id": number, **self._obey(command)})
        return bool(chunk)

    def _obey(self, command: dict[str, Any] | str) -> dict[str, Any]:
        try:
            match command:
                case str():
                    return {"error": command}
                case {"op": "inject"}:
                    return self._inject(command)
                case {"op": "revert"}:
                    return self._revert(command)
                case _:
                    return {"error": f"no command is called {command['op']!r}"}
        except Unable as error:
            return {"unable": str(error)}
        except Trouble as error:
            return {"error": str(error)}
        except KeyError as error:
            return {"error": f"the command lacks {error}, or names what isn't there"}
        except Exception as error:  # noqa: BLE001  # what makes no sense costs itself, and ends no other fault
            return {"error": f"{error} ({type(error).__name__})"}

    def _inject(self, command: dict[str, Any]) -> dict[str, Any]:
        fault = Made(command["kind"], tuple(command["nodes"]), tuple(command["others"]), command["amounts"])
        lease_number, lasting = command["lease"], float(command["lasting"])
        if not isinstance(lease_number, int) or lease_number in self._leases or not lasting >= 0:
            message = f"no fault can have the number {lease_number!r} and last {lasting!r} s"
            raise Trouble(message)
        check(fault.kind)
        try:
            for name in fault.members:
                if name not in self._places:
                    told = command["places"][name]
                    self._places[name] = Place(self._machine, name, told["container"], told)
            for name in fault.members if fault.others else fault.nodes:
                self._places[name].check(fault.kind)
            lease = self._leases[lease_number] = Lease(fault, lasting)
            self._settle()
        except Exception:
            self._leases.pop(lease_number, None)
            with contextlib.suppress(Trouble):
                self._settle()
            raise
        lease.began = time.monotonic()
        lease.deadline = lease.began + lasting
        return {}

    def _revert(self, command: dict[str, Any]) -> dict[str, Any]:
        lease = self._leases[command["lease"]]
        self._undo(lease)
        del self._leases[command["lease"]]
        return {"seconds": lease.seconds}

    def _undo(self, lease: Lease) -> None:
        if lease.seconds is None:
            lease.seconds = time.monotonic() - lease.began
            try:
                self._settle()
            except Trouble:
                lease.seconds = None
                lease.deadline = time.monotonic() + AGAIN_SECONDS
                raise

    def _expire(self) -> None:
        now = time.monotonic()
        for lease in self._active():
            if lease.deadline <= now:
                with contextlib.suppress(Trouble):  # Lucy, who asks next, is told; and it is tried again
                    self._undo(lease)

    def _lose(self, place: Place) -> None:
        """Forget a container that has ended, and end the faults that named it."""
        del self._places[place.name]
        with contextlib.suppress(Trouble):
            place.settle_here(Wanted())  # its network may be somebody else's too, and live on
        place.close()
        for number, lease in self._leases.items():
            if lease.seconds is None and place.name in lease.fault.members:
                lease.seconds = time.monotonic() - lease.began
                self._say({"lost": number, "why": f"the container of {place.name} has ended"})
        with contextlib.suppress(Trouble):
            self._settle()

    def _settle(self) -> None:
        """Bring all places to the condition that the faults in effect leave them in; let go of those that have none."""
        faults = [lease.fault for lease in self._active()]
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

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps(message).encode() + b"\n")


def main(arguments: list[str]) -> None:
    """Run the warden; the arguments: a socket, Lucy's pidfd, the Engine, chains' name."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    descriptor, lucy, host, chain = arguments
    control = socket.socket(fileno=int(descriptor))
    os.set_inheritable(control.fileno(), False)
    os.set_inheritable(int(lucy), False)
    Warden(control, int(lucy), host, chain).run()


if __name__ == "__main__":
    main(sys.argv[1:])
