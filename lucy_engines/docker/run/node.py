"""A node as a container."""

import contextlib
import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, final

import anyio
import msgspec

from lucy_core.engine import (
    EngineNode,
    EngineNotice,
    ExitReport,
    Layout,
    LineCapture,
    NodeExit,
    NodeSpec,
    Reach,
    Resources,
    Services,
    Take,
    fill_in,
    node_files,
    signal_number,
)
from lucy_core.errors import CaptureDiedError, CommandError, DeployError, EngineError, SupervisorError
from lucy_engines.docker.api import archive, commands, statistics
from lucy_engines.docker.api.client import EngineClient
from lucy_engines.docker.plan.inside import DIRECTORY
from lucy_engines.docker.run import listening
from lucy_engines.docker.run.outflow import Outflow
from lucy_engines.supervisor.link import Link, LinkEvent
from lucy_engines.supervisor.puppeteer import signal_name

ANSWER_SECONDS = 30.0
"""How long a supervisor may take beyond what it was asked for. It is there at once, but for a machine that swaps."""
PING_SECONDS = 3.0
"""How long an Engine may take to say that it is there."""
OOM_SECONDS = 1.0
"""How long after a kill the Engine may take to say that memory was the reason; measured: 30 ms."""

LONGEST_GRACE = 1e9
"""What a supervisor takes a longer grace period for: thirty years."""


def seconds_word(seconds: float) -> str:
    """Write a number of seconds as a supervisor reads it, which may be a shell's: without an exponent, `0` for none."""
    return f"{seconds:g}" if seconds < 1e5 else f"{min(seconds, LONGEST_GRACE):.0f}"


@final
class Reports:
    """To whom a node tells what it hears."""

    def __init__(self, on_exit: ExitReport, capture: LineCapture, outflow: Outflow, services: Services) -> None:
        self.outflow = outflow
        self.on_exit = on_exit
        self.capture = capture
        self.services = services


@final
class DockerNode(EngineNode):
    """One node: a container whose first process, the puppeteer, starts and ends the daemon at Lucy's word."""

    def __init__(
        self,
        spec: NodeSpec,
        layout: Layout,
        directory: Path | None,
        client: EngineClient,
        reports: Reports,
        *,
        limited: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.spec = spec
        self._layout = layout
        self._directory = directory
        self._client = client
        self._reports = reports
        self._link: Link | None = None
        self._running = False
        self._paused = False
        self._daemon: int | None = None
        """The daemon's process id in the container, while it runs."""
        self._environment = environment or {}
        self._ending = 0
        self._started = 0.0
        self._oom = anyio.Event()
        self._settled = anyio.Event()
        self._last_words: list[str] = []
        self._published: dict[int, int] = {}
        self.memory_is_limited = limited
        """Whether a kill may have been for memory. Set it with a limit."""
        self.frozen = False
        """Whether a fault froze it; that may have ended by itself meanwhile."""
        self.container = ""
        """The container's id, once there is one."""
        self.host_pid = 0
        """The host's id of the container's first process, where the Engine is of this machine."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def directory(self) -> Path | None:
        return self._directory

    @property
    def pid(self) -> int | None:
        return self._daemon if self._running else None

    @property
    def running(self) -> bool:
        """Whether its daemon runs, as far as is known."""
        return self._running

    def files(self) -> dict[str, bytes]:
        """Return the spec's files as they are to be in the node, by path below its directory."""
        return node_files(self.spec, self._layout)

    def moved(self, layout: Layout) -> None:
        """Take note of where all nodes are, now that there is one more."""
        self._layout = layout

    # What is heard of it

    def linked(self, link: Link) -> None:
        self._link = link
        link.on_event = self._hear

    def _hear(self, event: LinkEvent) -> None:
        if event.event == "log":
            self._last_words.append(event.line)
        elif event.event == "started":
            self._daemon = event.pid
        elif event.event == "exited":
            self._reports.services.start(functools.partial(self._settle, event, asked=self._ending > 0))
        elif event.event == "filtered":
            self._reports.outflow.note(self.name, event)
        elif event.event == "complaint":
            self._reports.capture.note(EngineNotice(self.name, "complaint", f"its supervisor says: {event.text}"))

    async def _settle(self, event: LinkEvent, *, asked: bool) -> None:
        """Take the daemon's last bytes, put the supervisor's words about its end behind them, and report it."""
        end = NodeExit(node=self.name, code=event.code, signal=event.signal, after=event.after)
        await self._reports.outflow.passed(self.name, event)
        self._reports.outflow.note(self.name, event)
        lines, self._last_words = self._last_words, []
        with contextlib.suppress(CaptureDiedError):  # whoever watches the capture says so
            # It may have left half a line, which must not grow together with the next.
            await self._reports.capture.drain(self.name, ended=True)
            words = "".join(f"{line}\n" for line in lines if self.spec.fits_in(line)).encode()
            self._reports.capture.write_nowait(self.name, words, source=self.spec.streams.sources[0])
        if end.signal == "SIGKILL" and self.memory_is_limited and not asked:
            # Whether it was for want of memory comes another way, and may be late.
            with anyio.move_on_after(OOM_SECONDS):
                await self._oom.wait()
            end = msgspec.structs.replace(end, out_of_memory=self._oom.is_set())
        self._gone(end)

    def _gone(self, end: NodeExit) -> None:
        self._daemon = None
        if self._running:
            self._running = False
            self._settled.set()
            self._reports.on_exit(end)

    def ran_out_of_memory(self) -> None:
        """Take note that the kernel killed something in it for want of memory."""
        self._oom.set()

    def container_died(self, status: int) -> None:
        """Take note that its container has ended, and the daemon with it."""
        if self._running:
            self._reports.services.start(functools.partial(self._bury, status))

    async def _bury(self, status: int) -> None:
        with contextlib.suppress(CaptureDiedError):  # whoever watches the capture says so
            await self._reports.outflow.emptied(self.name)
            await self._reports.capture.drain(self.name, ended=True)
        code, name = (status, None) if status <= 128 else (None, signal_name(status - 128))
        after = time.monotonic() - self._started
        self._gone(NodeExit(node=self.name, code=code, signal=name, out_of_memory=self._oom.is_set(), after=after))

    async def look(self) -> None:
        """Learn what the Engine has chosen: published ports, the first process. Again after its network changed.

        Raises:
            EngineUnavailableError: the Engine is gone.
            DeployError: the container is gone.
        """
        with self._client.calling(f"look at the container of {self.name}"):
            shown: dict[str, Any] = await self._client.container(self.container).show()
        self.host_pid = shown["State"]["Pid"]
        self._published = {
            int(port.partition("/")[0]): int(bindings[0]["HostPort"])
            for port, bindings in (shown["NetworkSettings"]["Ports"] or {}).items()
            if bindings
        }

    # The contract

    async def start(
        self, *, fresh_state: bool, environment: Mapping[str, str], arguments: Sequence[str] | None = None
    ) -> None:
        words = (["fresh"] if fresh_state else []) + (["other"] if arguments is not None else [])
        words += [f"{name}={value}" for name, value in {**self._environment, **environment}.items()]
        self._oom, self._settled = anyio.Event(), anyio.Event()
        self._running = True
        self._started = time.monotonic()
        try:
            if arguments is not None:
                await self._ask("arguments", *(f"+{fill_in(word, self.name, self._layout)}" for word in arguments))
            await self._ask("start", *words)
        except EngineError as error:
            self._running = False
            raise DeployError(f"can't be started: {getattr(error, 'reason', error)}", self.name) from error

    async def stop(self, *, grace: float) -> None:
        await self._end("stop", seconds_word(grace), seconds=grace + ANSWER_SECONDS)

    async def kill(self) -> None:
        await self._end("kill", seconds=ANSWER_SECONDS)

    async def end_soon(self, grace: float, seconds: float) -> None:
        """Stop it on the way out: an Engine that doesn't answer is not waited for longer than `seconds`."""
        await self._end("stop", seconds_word(grace), seconds=seconds)

    async def _end(self, *words: str, seconds: float) -> None:
        if not self._running:
            return
        self._ending += 1  # a command, and the end of the network in its middle
        try:
            # The supervisor is frozen too, and a frozen process can't act on a TERM.
            if self._paused:
                await self.resume()
            elif self.frozen:
                with contextlib.suppress(DeployError):
                    await self.resume()
            await self._ask(*words, seconds=seconds)
            with anyio.move_on_after(seconds):
                await self._settled.wait()
                return
            raise SupervisorError(self.name, words[0], f"its last lines did not arrive within {seconds:g} s")
        finally:
            self._ending -= 1

    async def _ask(self, verb: str, *words: str, seconds: float = ANSWER_SECONDS) -> None:
        if self._client.dead is not None:
            raise self._client.dead
        if self._link is None:
            raise SupervisorError(self.name, verb, "it has no container yet")
        try:
            with anyio.fail_after(seconds):
                await self._link.ask(verb, *words)
        except TimeoutError as error:
            with self._client.calling(f"say that it lives, while {self.name} doesn't", seconds=PING_SECONDS):
                await self._client.ping()
            raise SupervisorError(self.name, verb, f"its supervisor did not answer within {seconds:g} s") from error

    async def signal(self, signal: str, *, to: Reach) -> None:
        words = "signal", str(signal_number(signal)), str(to)
        if self._running and self._link is not None and (self._paused or self.frozen):
            await self._link.tell(*words)  # the supervisor is frozen too
        elif self._running:
            await self._ask(*words)

    async def pause(self) -> None:
        with self._client.calling(f"pause {self.name}"):
            await self._client.container(self.container).pause()
        self._paused = True

    async def resume(self) -> None:
        with self._client.calling(f"resume {self.name}"):
            await self._client.container(self.container).unpause()
        self._paused = False

    async def exec(self, command: Sequence[str], *, input: bytes, timeout: float, take: Take) -> int:  # noqa: A002, ASYNC109
        return await commands.run_command(
            self._client,
            self.container,
            self.name,
            [fill_in(word, self.name, self._layout) for word in command],
            directory=self._layout.directory,
            user=self.spec.user or "",
            given=input,
            seconds=timeout,
            take=take,
        )

    async def give(self, user: str, *paths: str, seconds: float = ANSWER_SECONDS, whole: bool = False) -> None:
        """Have files belong to a user, as root in the container.

        Raises:
            CommandError: it can't be done.
        """
        told: list[bytes] = []
        owner = f"{user}:" if ":" not in user and not user.isdecimal() else user
        code = await commands.run_command(
            self._client,
            self.container,
            self.name,
            ["chown", *(["-R"] if whole else []), "-h", owner, *paths],
            directory="/",
            given=b"",
            seconds=seconds,
            take=lambda written: told.append(written.data),
        )
        if code:
            reason = b"".join(told).decode(errors="replace").strip()
            raise CommandError(f"its files can't be given to {user}: {reason}", self.name)

    async def read_file(self, path: str) -> bytes:
        place = archive.absolute(self._layout.directory, path)
        return await archive.read_file(self._client, self.container, self.name, place)

    async def write_file(self, path: str, content: bytes) -> None:
        place = archive.absolute(self._layout.directory, path)
        await archive.write_files(self._client, self.container, self.name, {place: content})
        if self.spec.user is not None:
            # What the archive makes is root's: the file, and the directories on the way to it that weren't there.
            above = [str(each) for each in PurePosixPath(place).parents if each.is_relative_to(DIRECTORY)]
            await self.give(self.spec.user, place, *above)

    def address(self, port: str) -> tuple[str, int]:
        number = self._layout.ports[self.name][port]
        if number not in self._published:
            raise CommandError(f"port {port!r} is not published now: its container is off the network", self.name)
        return self._client.endpoint.host, self._published[number]

    async def listens(self, port: str) -> bool:
        number = self._layout.ports[self.name][port]
        return await listening.listens(self._client, self.container, self.name, number, seconds=ANSWER_SECONDS)

    async def resources(self) -> Resources | None:
        if not self._running:
            return None
        with self._client.calling(f"measure {self.name}"):
            return await statistics.measure(self._client, self.container)

    async def aclose(self) -> None:
        if self._link is not None:
            await self._link.aclose()
