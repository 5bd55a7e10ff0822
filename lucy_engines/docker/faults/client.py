"""Lucy's end of the warden: starting it with the first fault, asking it, hearing what was lost."""

import contextlib
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import anyio
import msgspec

import lucy_engines
from lucy_core.aio import Services
from lucy_core.errors import FaultError, UnsupportedError
from lucy_core.faults import Fault
from lucy_core.helpers.helper import LastWords, how_it_ended, own_pidfd, until_ended

_BOOT = (
    # The engine's package would cost a second of imports that the warden has no use for: empty modules with the
    # packages' paths stand in for it.
    "import sys, types\n"
    "root = sys.argv.pop(1)\n"
    "for name in ('lucy_engines', 'lucy_engines.docker', 'lucy_engines.docker.faults'):\n"
    "    shell = sys.modules[name] = types.ModuleType(name)\n"
    "    shell.__path__ = ['/'.join((root, *name.split('.')[1:]))]\n"
    "from lucy_engines.docker.faults.warden import main\n"
    "main(sys.argv[1:])\n"
)
END_SECONDS = 20.0
"""How long the end of a run waits for faults to be undone; the warden goes on by itself if it takes longer."""


class Told(msgspec.Struct):
    """Anything that the warden says."""

    id: int | None = None
    error: str | None = None
    unable: str | None = None
    seconds: float = 0.0
    lost: int | None = None
    why: str = ""


_decode = msgspec.json.Decoder(Told).decode


class FaultPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A node, as the warden has to know it."""

    container: str
    clock: str | None = None
    """The file on this machine that the node's clock follows, where it has such a one."""
    disk: str | None = None
    """The path in the container of a disk with a size of its own."""


@final
class WardenClient:
    """The warden of one run. Costs nothing until the first fault."""

    def __init__(self, host: str, services: Services) -> None:
        self._host = host
        self._services = services
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._replies: dict[int, Told | None] = {}
        self._waiting: dict[int, anyio.Event] = {}
        self._on_lost: dict[int, Callable[[str], None]] = {}
        self._last_id = 0
        self._writing = anyio.Lock()
        self._died = False
        self._closing = False
        self._gone = "the warden, the process that makes and ends faults, was told to end"

    @property
    def pid(self) -> int | None:
        """The warden's process id, once there is one."""
        return self._process.pid if self._process else None

    async def inject(
        self, fault: Fault, places: Mapping[str, FaultPlace], *, lasting: float, on_lost: Callable[[str], None]
    ) -> int:
        """Have a fault made; return the number under which it is known.

        Raises:
            UnsupportedError: this machine can't do it.
            FaultError: it could not be made.
        """
        if self._process is None:
            self._start()
        lease = self._last_id + 1
        self._on_lost[lease] = on_lost
        amounts = msgspec.to_builtins(fault)
        reply = await self._ask(
            "inject",
            fault,
            lease=lease,
            kind=amounts.pop("type"),
            nodes=amounts.pop("nodes"),
            others=amounts.pop("others", ()),
            amounts=amounts,
            lasting=lasting,
            places={name: msgspec.to_builtins(place) for name, place in places.items()},
        )
        if reply.unable is not None or reply.error is not None:
            del self._on_lost[lease]
        if reply.unable is not None:
            raise UnsupportedError("docker", fault.kind, reply.unable)
        if reply.error is not None:
            raise FaultError(fault.kind, f"it could not be made: {reply.error}")
        return lease

    async def revert(self, fault: Fault, lease: int) -> float:
        """Have a fault undone; return for how many seconds it was in effect.

        Raises:
            FaultError: it could not be undone.
        """
        reply = await self._ask("revert", fault, lease=lease)
        if reply.error is not None or reply.unable is not None:
            raise FaultError(
                fault.kind, f"it could not be undone: {reply.error or reply.unable}; `docker rm -f` ends it"
            )
        self._on_lost.pop(lease, None)
        return reply.seconds

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        root = str(Path(lucy_engines.__file__).parent)
        place = (self._host, f"LUCY-{secrets.token_hex(4)}")
        self._words = LastWords()
        try:
            with own_pidfd() as lucy:
                descriptors = (theirs.fileno(), lucy)
                self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own program
                    [sys.executable, "-I", "-S", "-c", _BOOT, root, *map(str, descriptors), *place],
                    pass_fds=descriptors,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._words.fileno(),
                    start_new_session=True,
                    cwd="/",
                )
        except OSError as error:
            ours.close()
            self._words.close()
            raise FaultError("any", f"the process that makes faults does not start: {error.strerror}") from error
        finally:
            theirs.close()
        self._control = ours
        self._services.start(self._listen)

    async def _ask(self, op: str, fault: Fault, **arguments: Any) -> Told:
        self._last_id += 1
        number = self._last_id
        done = self._waiting[number] = anyio.Event()
        try:
            await self._send(msgspec.json.encode({"op": op, "id": number, **arguments}) + b"\n")
            if not self._died:
                await done.wait()
            reply = self._replies.pop(number, None)
        finally:
            del self._waiting[number]
        if reply is None:
            raise FaultError(fault.kind, self._gone)
        return reply

    async def _send(self, data: bytes) -> None:
        assert self._control is not None  # noqa: S101  # an invariant: started by `inject`
        async with self._writing:
            while data and not self._died:
                try:
                    data = data[self._control.send(data) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._control)
                except OSError:
                    self._died = True

    async def _listen(self) -> None:
        assert self._control is not None  # noqa: S101  # as above
        text = b""
        while True:
            try:
                await anyio.wait_readable(self._control)
                chunk = self._control.recv(1 << 16)
            except BlockingIOError:
                continue
            except (OSError, anyio.ClosedResourceError):
                chunk = b""
            if not chunk:
                break
            *lines, text = (text + chunk).split(b"\n")
            for line in lines:
                self._understand(_decode(line))
        self._died = True
        if (process := self._process) is not None and not self._closing:
            await until_ended(process)
            how = how_it_ended(process.wait(), self._words.last_line())
            self._gone = f"the warden, the process that makes and ends faults ({process.pid}), {how}"
        for event in self._waiting.values():
            event.set()
        for call in tuple(self._on_lost.values()):
            call(f"{self._gone}; it may still be in effect")

    def _understand(self, told: Told) -> None:
        if told.lost is not None and told.lost in self._on_lost:
            self._on_lost[told.lost](told.why)
        elif told.id in self._waiting:
            self._replies[told.id] = told
            self._waiting[told.id].set()

    async def close(self) -> None:
        """Have all faults undone and the warden end. For a shielded caller; again does nothing."""
        if self._process is None or self._control is None:
            return
        process, control = self._process, self._control
        self._closing = True
        self._on_lost.clear()
        with contextlib.suppress(OSError):
            control.shutdown(socket.SHUT_WR)
        with anyio.move_on_after(END_SECONDS):
            await until_ended(process)
        if process.poll() is None:
            # It goes on undoing by itself. A child that nobody waits for would be complained about when collected.
            process.returncode = 0
        anyio.notify_closing(control)
        control.close()
        self._words.close()
        self._process = None
