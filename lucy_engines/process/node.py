"""A node as a local process."""

import math
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, final

import anyio

from lucy_core.engine import (
    EngineNode,
    ExitReport,
    Layout,
    NodeExit,
    NodeSpec,
    Reach,
    Resources,
    Take,
    fill_in,
    make_empty,
    node_files,
    signal_number,
    write_node_files,
)
from lucy_core.errors import (
    CommandError,
    CommandTimeoutError,
    DeployError,
    NodeFileError,
    UnknownProgramError,
    UnrunnableError,
)
from lucy_core.helpers.helper import Refused
from lucy_engines.process.client import GuardianClient
from lucy_engines.process.garbage import RUN_VARIABLE
from lucy_engines.process.kinship import descendants, session_of, stat_of
from lucy_engines.process.orders import Exited, Identity
from lucy_engines.process.user_place import UserPlace
from lucy_engines.process.users import User

END_SECONDS = 10.0
"""How long what was killed may take to end; longer only where it waits for a disk."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def find_program(word: str) -> str | None:
    """Look for a program as a shell does, and beside the interpreter, where a virtual environment has its own."""
    beside = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{Path(sys.executable).parent}"
    return shutil.which(word, path=beside)


class Place(NamedTuple):
    """Where a node is: its run, and the directory of that."""

    run_id: str
    directory: Path


@final
class ProcessNode(EngineNode):
    """One node: a directory, ports, and, while it runs, a process in a session of its own."""

    def __init__(
        self,
        spec: NodeSpec,
        layout: Layout,
        guardian: GuardianClient,
        on_exit: ExitReport,
        run: Place,
        user: User | None,
    ) -> None:
        self.spec = spec
        self._layout = layout
        self._guardian = guardian
        self.fifos = (Path(), Path())
        """Where its stdout and its stderr go in, once these are open; one for both, or one for each."""
        self._on_exit = on_exit
        self._run = run
        self._user = user
        self._theirs = None if user is None else UserPlace(spec.name, self.directory, user, guardian, run.directory)
        """Its directory, where that is another user's."""
        self._pid: int | None = None
        self._gone = anyio.Event()
        self._early: Exited | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def directory(self) -> Path:
        return Path(self._layout.directory)

    @property
    def pid(self) -> int | None:
        return self._pid

    async def prepare(self) -> None:
        """Make the directory and the files, readable by their owner alone.

        Raises:
            DeployError: naming the one that can't be made, or where another user's way to them ends.
        """
        try:
            write_node_files(self.directory, node_files(self.spec, self._layout))
        except OSError as error:
            raise DeployError(f"{error.filename or self.directory}: {error.strerror}", self.name) from error
        if self._theirs is not None:
            await self._theirs.hand_over()

    def _command(self, command: Sequence[str]) -> list[str]:
        argv = [fill_in(word, self.name, self._layout) for word in command]
        program = find_program(argv[0])
        if program is None:
            raise UnknownProgramError(self.name, argv[0])
        return [program, *argv[1:]]

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        own = {name: fill_in(value, self.name, self._layout) for name, value in self.spec.environment.items()}
        whose = {} if self._user is None else self._user.variables
        return {**os.environ, **whose, **own, **more, RUN_VARIABLE: self._run.run_id}

    @property
    def _identity(self) -> Identity | None:
        return None if self._user is None else self._user.identity

    async def start(
        self, *, fresh_state: bool, environment: Mapping[str, str], arguments: Sequence[str] | None = None
    ) -> None:
        own = self.spec.command
        argv = self._command(own if arguments is None else (own[0], *arguments))
        if fresh_state:
            await self._empty_state()
        self._gone = anyio.Event()
        words = self._environment(environment)
        try:
            pid = self._pid = await self._guardian.spawn(
                self.name, argv, words, self.directory, self.fifos, self._identity
            )
        except Refused as refused:
            raise UnrunnableError(self.name, argv[0], refused.reason) from refused
        early, self._early = self._early, None
        if early is not None and early.pid == pid:
            self.exited(early)

    async def _empty_state(self) -> None:
        if self._theirs is not None:
            await self._theirs.make_empty(self._layout.state)
            return
        try:
            make_empty(Path(self._layout.state))
        except OSError as error:
            reason = f"its state can't be emptied, for {error.filename} can't be removed: {error.strerror}"
            raise DeployError(f"{reason}; remove it, or start the node without fresh_state", self.name) from error

    def exited(self, end: Exited) -> None:
        """Take note that a leader ended; it may be heard of before `start` has heard its pid."""
        if end.pid != self._pid:
            self._early = end
            return
        self._pid = None
        self._gone.set()
        how = NodeExit(node=end.name, code=end.code, signal=end.signal, after=end.after, asked=end.asked, left=end.left)
        self._on_exit(how)

    def lost(self) -> None:
        """Take note that its leader is gone with the guardian, of which others tell."""
        self._pid = None
        self._gone.set()

    async def stop(self, *, grace: float) -> None:
        pid = self._pid
        if pid is None:
            return
        number = signal_number(self.spec.stop_signal)
        await self._end(pid, number, alone=self.spec.stop_signal_to is Reach.DAEMON)
        # A frozen process can't act on a TERM.
        await self._guardian.send_signal(self.name, pid, signal.SIGCONT)
        with anyio.move_on_after(grace):
            await self._gone.wait()
            return
        await self.kill()

    async def kill(self) -> None:
        pid = self._pid
        if pid is None:
            return
        await self._end(pid, signal.SIGKILL)
        with anyio.move_on_after(END_SECONDS):
            await self._gone.wait()
            return
        reason = f"process {pid} was killed {END_SECONDS:g} s ago and hasn't ended; look at its disk"
        raise CommandError(reason, self.name)

    async def signal(self, signal: str, *, to: Reach) -> None:
        if self._pid is not None:
            await self._send(self._pid, signal_number(signal), alone=to is Reach.DAEMON)

    async def _end(self, pid: int, number: int, *, alone: bool = False) -> None:
        await self._send(pid, number, alone=alone, ends=True)

    async def _send(self, pid: int, number: int, *, alone: bool, ends: bool = False) -> None:
        refused = await self._guardian.send_signal(self.name, pid, number, alone=alone, ends=ends)
        if refused is not None:
            raise CommandError(f"{refused} may not be signalled, and goes on running; end it by hand", self.name)

    async def pause(self) -> None:
        await self.freeze(lasting=math.inf)

    async def resume(self) -> None:
        if self._pid is not None:
            await self._guardian.send_signal(self.name, self._pid, signal.SIGCONT)

    async def freeze(self, *, lasting: float) -> None:
        """Freeze it for `lasting` seconds; `resume` ends that before."""
        if self._pid is not None:
            await self._guardian.send_signal(self.name, self._pid, signal.SIGSTOP, lasting=lasting)

    async def exec(self, command: Sequence[str], *, input: bytes, timeout: float, take: Take) -> int:  # noqa: A002, ASYNC109
        try:
            argv = self._command(command)
        except DeployError as error:
            raise CommandError(error.reason, self.name) from error
        try:
            reply = await self._guardian.execute(
                argv,
                self._environment({}),
                self.directory,
                given=input,
                seconds=timeout,
                take=take,
                identity=self._identity,
            )
        except Refused as refused:
            raise UnrunnableError(self.name, argv[0], refused.reason) from refused
        if reply.timed_out:
            raise CommandTimeoutError(self.name, command[0], timeout, left=reply.left)
        return reply.code

    async def read_file(self, path: str) -> bytes:
        if self._theirs is not None:
            return await self._theirs.read(path)
        try:
            return (self.directory / path).read_bytes()
        except OSError as error:
            raise self._no_file("read", path, error) from error

    async def write_file(self, path: str, content: bytes) -> None:
        if self._theirs is not None:
            await self._theirs.write(path, content)
            return
        try:
            write_node_files(self.directory, {path: content})
        except OSError as error:
            raise self._no_file("write", path, error) from error

    def _no_file(self, action: str, path: str, error: OSError) -> NodeFileError:
        return NodeFileError(self.name, action, path, f"{error.strerror} ({self.directory / path})")

    def address(self, port: str) -> tuple[str, int]:
        return "127.0.0.1", self._layout.ports[self.name][port]

    async def resources(self) -> Resources | None:
        pid = self._pid
        if pid is None:
            return None
        cpu, memory, threads = 0.0, 0, 0
        for each in {pid, *(one for one in descendants(pid) if session_of(one) is not None)}:
            if stat := stat_of(each):
                cpu += (int(stat[11]) + int(stat[12])) / _TICKS
                threads += int(stat[17])
                memory += int(stat[21]) * _PAGE
        return Resources(cpu, memory, threads)
