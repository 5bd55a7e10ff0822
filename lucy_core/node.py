"""One node as a test sees it: its life, its lines, its place.

The engine does the primitive thing; here a call at the wrong moment is refused by name, and what was done is written
into the journal after all that the node had written before.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar, final

import anyio
import msgspec

from lucy_core.commands import PATIENCE, carry_through
from lucy_core.engine import (
    Capability,
    Engine,
    EngineNode,
    ExecResult,
    LifeCycle,
    NodeExit,
    NodeSpec,
    Resources,
    State,
    require,
)
from lucy_core.errors import CommandError, DeployError
from lucy_core.journal import NodeExited, NodePaused, NodeResumed, NodeStarted, NodeStopped
from lucy_core.pipeline.pipeline import Pipeline
from lucy_core.records import Event, Level, LogRecord, Mark
from lucy_core.spec import unfit
from lucy_core.streams import Stream

T = TypeVar("T")
STOP_GRACE = 10.0
"""Seconds that a node gets to end by itself before it is killed."""


class Home(Protocol):
    """What a node needs of the network that it is part of."""

    engine: Engine
    pipeline: Pipeline

    def journal(self, event: msgspec.Struct) -> None:
        """Write one of Lucy's own events into the run's order."""
        ...

    def events(
        self, kind: type[T], *others: type[T], nodes: Iterable[str] | None = None, since: Mark | int | None = None
    ) -> Stream[Event[T]]:
        """Stream events of one or more types."""
        ...

    def records(
        self, *, nodes: Iterable[str] | None = None, level: Level | None = None, since: Mark | int | None = None
    ) -> Stream[Event[LogRecord]]:
        """Stream records."""
        ...


@final
class Node:
    """One node. Calls on one node take turns; calls on different nodes don't wait for each other.

    A command that has begun is carried through: cancelling waits for its end.
    """

    def __init__(self, network: Home, spec: NodeSpec, engine_node: EngineNode) -> None:
        self._network = network
        self.spec = spec
        self._engine_node = engine_node
        self._life = LifeCycle.of_node(spec.name)
        self._turn = anyio.Lock()
        self._leaving = False
        self._exit_expected = spec.wait_for_exit
        self.started_at: float | None = None
        """When it was started last, on the monotonic clock."""
        self.last_exit: NodeExit | None = None

    def __repr__(self) -> str:
        return f"<node {self.name}, {self.state}>"

    @property
    def name(self) -> str:
        """Its name in the network."""
        return self.spec.name

    @property
    def role(self) -> str:
        """Its role, in the vocabulary's words."""
        return self.spec.role

    @property
    def state(self) -> State:
        """Where it stands: deployed, running, paused, stopped or destroyed."""
        return self._life.state

    @property
    def directory(self) -> Path | None:
        """Where its files are on this machine, if they are."""
        return self._engine_node.directory

    def address(self, port: str) -> tuple[str, int]:
        """Return host and port at which a port of the spec is reached from here."""
        return self._engine_node.address(port)

    async def start(self, *, fresh_state: bool = False, environment: Mapping[str, str] | None = None) -> None:
        """Start the daemon; returns once it runs, which is before it is ready.

        Raises:
            LifeCycleError: it runs already.
            UnsupportedError: the engine can't give it a fresh state, or an environment.
            DeployError: it could not be started.
        """
        async with self._turn:
            self._life.check("start")
            await carry_through(self._start(fresh_state=fresh_state, environment=environment))

    async def _start(self, *, fresh_state: bool, environment: Mapping[str, str] | None) -> None:
        if fresh_state:
            require(self._network.engine, Capability.FRESH_STATE)
        if environment:
            require(self._network.engine, Capability.ENVIRONMENT)
            if reason := unfit((), environment):
                message = f"node {self.name!r} can't be started: {reason}"
                raise DeployError(message)
        self.last_exit = None
        # Into the journal before its first line: whoever sees that line has seen that it was started.
        self._network.journal(NodeStarted(self.name, fresh_state))
        await self._engine_node.start(fresh_state=fresh_state, environment=environment or {})
        self.started_at = time.monotonic()
        self._life.move("start")

    async def stop(self, *, grace: float = STOP_GRACE) -> None:
        """Ask it to end, make it end after `grace` seconds, and take its last lines.

        Raises:
            LifeCycleError: it doesn't run.
        """
        async with self._turn:
            self._life.check("stop")
            ended = self._leave("stop", lambda: self._engine_node.stop(grace=grace), NodeStopped(self.name))
            await carry_through(ended, patience=grace + PATIENCE)

    async def kill(self) -> None:
        """End it with SIGKILL, and take its last lines.

        Raises:
            LifeCycleError: it doesn't run.
        """
        async with self._turn:
            self._life.check("kill")
            ended = self._leave("kill", self._engine_node.kill, NodeStopped(self.name, killed=True))
            await carry_through(ended)

    async def _leave(self, move: str, end: Callable[[], Awaitable[None]], event: NodeStopped) -> None:
        self._leaving = True
        try:
            await end()
        finally:
            self._leaving = False
        await self._network.pipeline.drain(self.name)
        self._network.journal(event)
        self._life.move(move)

    async def restart(
        self,
        *,
        fresh_state: bool = False,
        environment: Mapping[str, str] | None = None,
        grace: float = STOP_GRACE,
    ) -> None:
        """Stop it if it runs, and start it. Raises as `stop` and `start` do."""
        if self.state in (State.RUNNING, State.PAUSED):
            await self.stop(grace=grace)
        await self.start(fresh_state=fresh_state, environment=environment)

    async def pause(self) -> None:
        """Freeze it: it keeps its memory and connections, and does nothing.

        Raises:
            LifeCycleError: it doesn't run.
            UnsupportedError: the engine can't.
        """
        require(self._network.engine, Capability.PAUSE)
        async with self._turn:
            self._life.check("pause")
            await carry_through(self._pause())

    async def _pause(self) -> None:
        await self._engine_node.pause()
        self._life.move("pause")
        self._network.journal(NodePaused(self.name))

    async def resume(self) -> None:
        """Let a frozen node go on.

        Raises:
            LifeCycleError: it isn't paused.
        """
        async with self._turn:
            self._life.check("resume")
            await carry_through(self._resume())

    async def _resume(self) -> None:
        self._network.journal(NodeResumed(self.name))
        await self._engine_node.resume()
        self._life.move("resume")

    def check_pausable(self) -> None:
        """Tell whether it may be frozen now.

        Raises:
            LifeCycleError: it doesn't run.
        """
        self._life.check("pause")

    def was_paused(self) -> None:
        """Take note that a fault froze it."""
        self._life.move("pause")
        self._network.journal(NodePaused(self.name))

    def was_resumed(self) -> None:
        """Take note that a fault that froze it has ended; whatever else ended its pause meanwhile stands."""
        if self.state is State.PAUSED:
            self._life.move("resume")
            self._network.journal(NodeResumed(self.name))

    async def exec(self, command: Sequence[str], *, input: bytes = b"", timeout: float = 60.0) -> ExecResult:  # noqa: A002, ASYNC109
        """Run a command in the node's place. Its exit code is a result, not an error.

        Raises:
            UnsupportedError: the engine can't.
            CommandError: it could not be started, or did not end in `timeout` seconds.
        """
        require(self._network.engine, Capability.EXEC)
        if reason := unfit(command, {}):
            message = f"node {self.name!r}: {reason}"
            raise CommandError(message)
        return await self._engine_node.exec(command, input=input, timeout=timeout)

    async def read_file(self, path: str) -> bytes:
        """Return what a file of the node holds, running or not; a relative path starts at its directory.

        Raises:
            UnsupportedError: the engine can't.
            CommandError: there is no such file.
        """
        require(self._network.engine, Capability.FILES)
        return await self._engine_node.read_file(path)

    async def write_file(self, path: str, content: bytes) -> None:
        """Put a file into the node, running or not, making directories on the way.

        Raises:
            UnsupportedError: the engine can't.
            CommandError: it can't be written.
        """
        require(self._network.engine, Capability.FILES)
        await self._engine_node.write_file(path, content)

    async def resources(self) -> Resources | None:
        """Measure what it uses now; None while it doesn't run.

        Raises:
            UnsupportedError: the engine can't.
        """
        require(self._network.engine, Capability.RESOURCES)
        return await self._engine_node.resources()

    @contextmanager
    def expecting_exit(self) -> Iterator[None]:
        """Let it end by itself in this block without ending the test."""
        before, self._exit_expected = self._exit_expected, True
        try:
            yield
        finally:
            self._exit_expected = before

    def exited(self, end: NodeExit) -> bool:
        """Take note that its process ended; return whether that was its own doing."""
        self.last_exit = end
        return not self._leaving and self.state is not State.DESTROYED

    def settle_exit(self, end: NodeExit) -> NodeExited:
        """Move to stopped after its own end, and say what happened."""
        if self.state in (State.RUNNING, State.PAUSED):
            self._life.move("exit")
        expected = self._exit_expected and (not self.spec.wait_for_exit or end.code == 0)
        return NodeExited(self.name, end.how, end.code, end.signal, round(end.after, 3), expected)

    def destroyed(self) -> None:
        """Take note that it is gone for good."""
        if self.state is not State.DESTROYED:
            self._life.move("destroy")

    def events(self, kind: type[T], *others: type[T], since: Mark | int | None = None) -> Stream[Event[T]]:
        """Stream this node's events of one or more types; completes when the node is gone for good."""
        return self._network.events(kind, *others, nodes=(self.name,), since=since)

    def records(self, *, level: Level | None = None, since: Mark | int | None = None) -> Stream[Event[LogRecord]]:
        """Stream this node's records; completes when the node is gone for good."""
        return self._network.records(nodes=(self.name,), level=level, since=since)
