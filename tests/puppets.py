"""Puppeteers as local processes: what the tests of the puppeteer, its relay and its link stand on."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import final

import anyio
import anyio.abc
from places import REPOSITORY

from lucy_core.errors import NodeGoneError
from lucy_engines.docker.plan import supervision
from lucy_engines.docker.plan.inside import HOME
from lucy_engines.supervisor.link import Link, LinkEvent

ENGINES = REPOSITORY / "lucy_engines" / "supervisor"


def works(*command: str) -> bool:
    """Tell whether a shell or interpreter is here, and not just a shim of its name."""
    return (
        shutil.which(command[0]) is not None
        and subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    )


PYTHONS = {"python": sys.executable} | {name: name for name in ("python3.7", "python3.8") if works(name, "-c", "pass")}
SHELLS = {
    name: command
    for name, command in {"dash": ["dash"], "bash": ["bash"], "ash": ["busybox", "sh"]}.items()
    if works(*command, "-c", ":")
}
FORMS = {
    **{name: ([python, "-I", "-S"], "puppeteer.py") for name, python in PYTHONS.items()},
    **{name: (shell, "puppeteer.sh") for name, shell in SHELLS.items()},
}


def supervisor(form: str, directory: Path) -> list[str]:
    """Lay a container's /lucy out below a directory, and return what starts a form of the puppeteer there."""
    home = directory / "home"
    for target, source in supervision.files().items():
        if target.startswith(HOME):
            place = home / target.removeprefix(HOME + "/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source)
    interpreter, name = FORMS[form]
    return [*interpreter, str(home / name)]


@final
class PipeStream:
    """A process's stdin and stdout as the stream that a link runs over."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self._process = process

    async def receive(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.receive()

    async def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send(data)

    async def aclose(self) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.aclose()


@final
class Puppet:
    """A running puppeteer, its FIFO, and what it said."""

    def __init__(self, process: anyio.abc.Process, fifo: int, directory: Path) -> None:
        self.process = process
        self.directory = directory
        self.link = Link(PipeStream(process), "bp")
        self.link.on_event = self._heard
        self.events: list[LinkEvent] = []
        self.text = b""
        self._fifo = fifo
        self._news = anyio.Event()

    def _heard(self, event: LinkEvent) -> None:
        self.events.append(event)
        news, self._news = self._news, anyio.Event()
        news.set()

    def heard(self, event: str) -> list[LinkEvent]:
        return [each for each in self.events if each.event == event]

    async def until(self, event: str, count: int = 1) -> LinkEvent:
        """Wait until an event has come so often, and return the last."""
        with anyio.fail_after(30):
            while len(self.heard(event)) < count:
                await self._news.wait()
        return self.heard(event)[count - 1]

    async def wrote(self, wanted: bytes | Callable[[bytes], bool]) -> bytes:
        """Read the FIFO until this is in it; return all that was ever read."""
        with anyio.fail_after(30):
            while not (wanted(self.text) if callable(wanted) else wanted in self.text):
                await anyio.wait_readable(self._fifo)
                self.text += os.read(self._fifo, 1 << 20)
        return self.text

    def unread(self) -> bytes:
        """Return what the FIFO holds now."""
        try:
            return os.read(self._fifo, 1 << 20)
        except BlockingIOError:
            return b""

    async def end(self) -> int:
        """Wait for the puppeteer's own end."""
        with anyio.fail_after(30):
            return await self.process.wait()


@asynccontextmanager
async def puppet(
    form: str, directory: Path, *argv: str, read: bool = True, **environment: str
) -> AsyncIterator[Puppet]:
    """Run a puppeteer on a daemon."""
    fifo, state = directory / "log", directory / "state"
    os.mkfifo(fifo)
    state.mkdir()
    given = {
        **os.environ,
        "LUCY_LOG": str(fifo),
        "LUCY_STATE": str(state),
        "LUCY_ACTIVE_FILE": str(directory / "active"),
        "TMPDIR": str(directory),
        **environment,
    }
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK) if read else os.open(os.devnull, os.O_RDONLY)
    process = await anyio.open_process([*supervisor(form, directory), "--", *argv], env=given, stderr=None)
    running = Puppet(process, reader, directory)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.link.listen)
            try:
                yield running
            finally:
                # Of a test that failed, too: its daemon would outlive a puppeteer that isn't PID 1.
                with anyio.move_on_after(20, shield=True), contextlib.suppress(NodeGoneError):
                    await running.link.ask("kill")
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            # Its daemon is gone. Not by SIGTERM: bash may hear it a second later, and thirty tests would wait for that.
            if process.returncode is None:
                process.kill()
            await process.aclose()
        os.close(reader)


def alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"
