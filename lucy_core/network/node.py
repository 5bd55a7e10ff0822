"""One node as a test sees it: its life, its lines, its place.

The engine does the primitive thing; here a call at the wrong moment is refused by name, and what was done is written
into the journal after all that the node had written before. Each command stands there too, with what it returned.

**Whose doing an end was** is judged at the moment at which the engine tells of it, and by the moment at which it
happened: a node that died before `stop` was called, or before the network was taken down, has died by itself, however
late that is heard. `NodeExit.after` counts from somewhere inside of the start, so the end is put at the latest moment
that it can have had; what we end ourselves is never taken for a death.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, final

import anyio

from lucy_core import log
from lucy_core.aio import PATIENCE, carry_through, out_of_callback
from lucy_core.arguments import (
    bytes_of,
    count_of,
    function_of,
    node_path,
    optional,
    readable_text,
    seconds_of,
    switch_of,
    text_of,
)
from lucy_core.delivery.streams import Stream
from lucy_core.engine import Capability, EngineNode, NodeExit, NodeSpec, Resources, State
from lucy_core.engine.contract import require
from lucy_core.engine.execution import OUTPUT_BYTES, ExecResult, Take, Transcript
from lucy_core.engine.lifecycle import LifeCycle
from lucy_core.engine.signals import Reach, reach_of, signal_of
from lucy_core.engine.spec import ARGUMENTS, COMMAND, MASK, VARIABLES
from lucy_core.errors import (
    ArgumentError,
    CallbackError,
    CaptureDiedError,
    CommandError,
    CommandTimeoutError,
    DeployError,
    ImpossibleError,
    NotReadyError,
    UnknownPortError,
    UnsupportedError,
    WaitTimeoutError,
)
from lucy_core.judging.conditions.readiness import readiness
from lucy_core.network.asking import Answer, NodeHome, asking
from lucy_core.records.journal import (
    EngineNotice,
    NodeExited,
    NodePaused,
    NodeResumed,
    NodeStarted,
    NodeStartFailed,
    NodeStopped,
)
from lucy_core.records.record import Event, Line, Malformed, Mark, Record, Undecodable
from lucy_core.records.severity import Severity

T = TypeVar("T")
STOP_GRACE = 10.0
"""Seconds that a node gets to end by itself before it is killed."""
LONGEST_TIMEOUT = 1e9
"""Seconds, thirty years: what is longer than that, `math.inf` too, is no limit, and no engine has to count further."""
LAST_LINES = 5
"""How many lines of a node are shown where it did not do what it should."""
COARSENESS = 0.02
"""By how many seconds `NodeExit.after` may be too small: a shell counts hundredths."""


@final
class Node:
    """One node. Calls on one node take turns; calls on different nodes don't wait for each other.

    A command that has begun is carried through: cancelling waits for its end.
    """

    def __init__(self, network: NodeHome, spec: NodeSpec, engine_node: EngineNode) -> None:
        self._network = network
        self.spec = spec
        """What it was deployed from, placeholders included."""
        self._engine_node = engine_node
        self._life = LifeCycle.of_node(spec.name)
        self._turn = anyio.Lock()
        self._ended_since = float("inf")
        """From when on its end is the doing of a command to it, on the monotonic clock."""
        self._leaving_since = float("inf")
        """From when on it is, for good, that of the network's end. A command that ends meanwhile takes nothing back."""
        self._expecting = 0
        self._settled = anyio.Event()
        self._settled.set()
        self._readiness = None if spec.ready is None else readiness(spec.name, spec.ready)
        self._began: int | None = None
        """Where its last start stands in the run's order, while it wasn't ended by a command."""
        self.awaited: str | None = None
        """What somebody waits for now, to know that it is ready."""
        self.started_at: float | None = None
        """When it was started last, on the monotonic clock."""
        self.last_exit: NodeExit | None = None
        """How its process ended last, whoever ended it; None while it runs."""

    def __repr__(self) -> str:
        return f"<node {self.name}, {self.state}>"

    @property
    def name(self) -> str:
        """What its spec calls it."""
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
        """Return host and port at which a port of the spec is reached from here.

        Raises:
            CommandError: the spec has no such port, or it can't be reached now.
            UnsupportedError: the engine's nodes can't be reached from here.
        """
        text_of(port, "port")
        if port not in self.spec.ports:
            raise UnknownPortError(self.name, port, self.spec.ports)
        try:
            return self._engine_node.address(port)
        except NotImplementedError:
            raise UnsupportedError(self._network.engine.name, "address") from None

    async def listens(self, port: str) -> bool:
        """Tell whether somebody listens at a port to which a connection was just made, for `port_open`.

        Raises:
            CommandError: it can't be found out now.
        """
        return await self._engine_node.listens(port)

    @property
    def pid(self) -> int | None:
        """The daemon's process id, or None while it doesn't run.

        It is the id that a command of `exec` would see, in the node's place.

        Raises:
            UnsupportedError: the engine can't tell.
        """
        require(self._network.engine, Capability.PID)
        return self._engine_node.pid

    async def start(
        self,
        *,
        fresh_state: bool = False,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] | None = None,
        until_ready: bool = True,
    ) -> None:
        """Start the daemon; returns once it is ready or, where its spec doesn't say what that is, once it runs.

        Cancelled before it is ready, it runs on.

        Args:
            fresh_state: whether all that earlier starts left in its state directory is gone first.
            environment: variables for this start alone, beside the spec's.
            arguments: what follows the program, for this start alone, in the place of `spec.command[1:]`, and with the
                same placeholders: `(*node.spec.command[1:], "--force-new-cluster")` are some more.
            until_ready: whether to wait until it is ready; `until_ready()` does so later.

        Raises:
            LifeCycleError: it runs already.
            UnsupportedError: the engine can't give it a fresh state, an environment or other arguments.
            DeployError: it could not be started, or `environment` or `arguments` are none.
            NotReadyError: it did not become ready in time; it runs on.
            NodeExitedError: it died before.
        """
        switch_of(fresh_state, "fresh_state")
        switch_of(until_ready, "until_ready")
        try:
            variables = VARIABLES({} if environment is None else environment, "environment")
            words = optional(ARGUMENTS)(arguments, "arguments")
        except ArgumentError as error:
            raise DeployError(f"can't be started: {error}", self.name) from None
        if fresh_state:
            require(self._network.engine, Capability.FRESH_STATE)
        more: dict[str, Any] = {"fresh_state": fresh_state, "environment": variables}
        if variables:
            require(self._network.engine, Capability.ENVIRONMENT)
        asked = {**more, "environment": self.spec.masked(variables)}
        if words is not None:
            require(self._network.engine, Capability.ARGUMENTS)
            more["arguments"] = asked["arguments"] = words
        with self.asking("start", asked):
            async with self._turn:
                await self._settled.wait()
                self._life.check("start")
                # From here on, for it may die before it is waited for.
                self.awaited = self._readiness.part.description if self._readiness and until_ready else None
                await carry_through(self._start(more))
            if until_ready and self._readiness is not None:
                await self.until_ready()

    async def until_ready(self) -> None:
        """Wait until it is ready, as its spec says, by what has come since its last start.

        Returns at once where the spec doesn't say what that is. The limit, `ready_within`, counts from the call.

        Raises:
            LifeCycleError: it was not started, or stopped since.
            NotReadyError: it did not become ready in time, or was stopped meanwhile.
            NodeExitedError: it died before.
        """
        if self._began is None:
            self._life.check("await")
        if self._readiness is None:
            return
        self.awaited = awaited = self._readiness.part.description
        limit = self.spec.ready_within
        try:
            await self._network.wait_for(self._readiness, since=self._began, hard=limit)
        except WaitTimeoutError as error:
            reason = f"nothing told so within {limit:g} s (give it longer by ready_within=)"
            raise NotReadyError(self.name, reason, awaited, self.last_lines(), error.explanation) from error
        except ImpossibleError as error:
            raise NotReadyError(self.name, error.reason, awaited, self.last_lines(), error.explanation) from error
        finally:
            self.awaited = None

    def last_lines(self) -> list[str]:
        """Return the last few lines that it wrote, as text, oldest first; long ones are cut."""
        recording = self._network.pipeline.recording
        return recording.last_lines(self.name, LAST_LINES) if recording else []

    async def _start(self, more: Mapping[str, Any]) -> None:
        # Into the journal before its first line: whoever sees that line has seen that it was started.
        self._began = await self._network.journaled(NodeStarted(self.name, more["fresh_state"]))
        before = self._life.state
        # It may end while the engine is still busy starting it, so it counts as running from here.
        self._life.move("start")
        self.last_exit = None
        self.started_at = time.monotonic()
        try:
            await self._engine_node.start(**more)
        except BaseException as error:
            if self.state is State.RUNNING:  # else its end was told meanwhile, and stands
                self._life.state = before
            await self._network.journaled(NodeStartFailed(self.name, str(error) or type(error).__name__))
            raise
        self.started_at = time.monotonic()

    async def stop(self, *, grace: float = STOP_GRACE) -> None:
        """Ask it to end by its `stop_signal`, make it end after `grace` seconds, and take its last lines.

        Raises:
            ArgumentError: `grace` is no number of seconds.
            LifeCycleError: it doesn't run.
        """
        grace = seconds_of(grace, "grace")
        with self.asking("stop", {"grace": grace}):
            async with self._turn:
                self._life.check("stop")
                await self._stop(grace)

    async def _stop_if_it_runs(self, grace: float) -> None:
        # Asked once it is this call's turn: it may end by itself at any moment before.
        with self.asking("stop", {"grace": grace}):
            async with self._turn:
                if self.state in (State.RUNNING, State.PAUSED):
                    await self._stop(grace)

    async def _stop(self, grace: float) -> None:
        ended = self._leave("stop", lambda: self._engine_node.stop(grace=grace), NodeStopped(self.name))
        await carry_through(ended, patience=grace + PATIENCE)

    async def kill(self) -> None:
        """End it with SIGKILL, and take its last lines.

        Raises:
            LifeCycleError: it doesn't run.
        """
        with self.asking("kill"):
            async with self._turn:
                self._life.check("kill")
                ended = self._leave("kill", self._engine_node.kill, NodeStopped(self.name, killed=True))
                await carry_through(ended)

    async def _leave(self, move: str, end: Callable[[], Awaitable[None]], event: NodeStopped) -> None:
        self._ended_since = time.monotonic()
        self._began = None
        try:
            await end()
        finally:
            self._ended_since = float("inf")
        if self.state is State.STOPPED:
            await self._settled.wait()
            return  # it had died before: that is what the journal says of it
        self._life.move(move)
        try:
            await self._network.pipeline.drain(self.name)
        finally:
            await self._network.journaled(event)

    async def restart(
        self,
        *,
        fresh_state: bool = False,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] | None = None,
        grace: float = STOP_GRACE,
        until_ready: bool = True,
    ) -> None:
        """Stop it if it runs, and start it. Takes what `start` does, and raises as `stop` and `start` do."""
        grace = seconds_of(grace, "grace")
        with self.asking("restart"):
            if self.state in (State.RUNNING, State.PAUSED):
                await self._stop_if_it_runs(grace)
            await self.start(
                fresh_state=fresh_state, environment=environment, arguments=arguments, until_ready=until_ready
            )

    async def signal(self, signal: str | int, *, to: Reach | str = Reach.DAEMON) -> None:
        """Send it a signal; returns once it is sent, whatever the daemon does about it.

        An end that follows is the node's own doing, and ends the test unless it is expected (`expecting_exit`).

        Args:
            signal: which: `"SIGHUP"`, `signal.SIGHUP`. Those that kill, freeze and thaw are `kill`, `pause`, `resume`.
            to: `"daemon"`, the process that was started, or `"group"`, that and all that came from it.

        Raises:
            ArgumentError: it is no signal, or `to` nobody.
            LifeCycleError: it doesn't run.
            UnsupportedError: the engine can't.
            CommandError: it could not be sent.
        """
        name, reach = signal_of(signal, "signal"), reach_of(to, "to")
        require(self._network.engine, Capability.SIGNAL)
        with self.asking("signal", {"signal": name, "to": reach}):
            async with self._turn:
                self._life.check("signal")
                await carry_through(self._engine_node.signal(name, to=reach))

    async def pause(self) -> None:
        """Freeze it: it keeps its memory and connections, and does nothing.

        Raises:
            LifeCycleError: it doesn't run.
            UnsupportedError: the engine can't.
        """
        require(self._network.engine, Capability.PAUSE)
        with self.asking("pause"):
            async with self._turn:
                self._life.check("pause")
                await carry_through(self._pause())

    async def _pause(self) -> None:
        await self._engine_node.pause()
        if self.state is State.RUNNING:  # it may have died meanwhile
            self._life.move("pause")
            await self._network.journaled(NodePaused(self.name))

    async def resume(self) -> None:
        """Let a frozen node go on.

        Raises:
            LifeCycleError: it isn't paused.
        """
        with self.asking("resume"):
            async with self._turn:
                self._life.check("resume")
                await carry_through(self._resume())

    async def _resume(self) -> None:
        await self._network.journaled(NodeResumed(self.name))
        await self._engine_node.resume()
        if self.state is State.PAUSED:  # it may have died meanwhile
            self._life.move("resume")

    def check_pausable(self) -> None:
        """Tell whether it may be frozen now.

        Raises:
            LifeCycleError: it doesn't run.
        """
        self._life.check("pause")

    def was_paused(self) -> None:
        """Take note that a fault froze it, unless it has died meanwhile."""
        if self.state is State.RUNNING:
            self._life.move("pause")
            self._network.journal(NodePaused(self.name))

    def was_resumed(self) -> None:
        """Take note that a fault that froze it has ended; whatever else ended its pause meanwhile stands."""
        if self.state is State.PAUSED:
            self._life.move("resume")
            self._network.journal(NodeResumed(self.name))

    async def exec(
        self,
        command: Sequence[str],
        *,
        input: bytes = b"",  # noqa: A002
        timeout: float = 60.0,  # noqa: ASYNC109
        output: Take | None = None,
        limit: int = OUTPUT_BYTES,
    ) -> ExecResult:
        """Run a command in the node's place. Its exit code is a result, not an error.

        Args:
            command: the program and its words, with the placeholders of the spec.
            input: its stdin.
            timeout: seconds, after which it is killed with all that it has started.
            output: called on the loop with each piece of what it writes, as it comes.
                The command waits meanwhile; what it raises kills the command and comes out here.
            limit: how many bytes are kept where there is no `output`, of stdout and stderr together; 64 MiB.

        Raises:
            UnsupportedError: the engine can't.
            ArgumentError: an argument is of no use.
            CommandTimeoutError: it did not end in `timeout` seconds.
            OutputLimitError: it wrote more than `limit` bytes.
            CommandError: it is none, or could not be started.
        """
        require(self._network.engine, Capability.EXEC)
        try:
            words = COMMAND(command, "command")
        except ArgumentError as error:
            raise CommandError(str(error), self.name) from None
        bytes_of(input, "input")
        timeout = min(seconds_of(timeout, "timeout"), LONGEST_TIMEOUT)
        optional(function_of)(output, "output")
        count_of(limit, "limit")
        transcript = Transcript(self.name, words, limit=limit, hand_on=output)
        with self.asking("exec", {"command": words, "timeout": timeout}) as answer:
            try:
                code = await self._engine_node.exec(words, input=input, timeout=timeout, take=transcript.take)
            except CallbackError as error:
                raise out_of_callback(error.raised) from error.raised.__cause__
            except CommandTimeoutError as error:
                said = transcript.last_words
                raise CommandTimeoutError(self.name, words[0], timeout, said, left=error.left) from error
            answer.value = transcript.summary(code)
            answer.beyond = transcript.unsaid
            return transcript.result(code)

    async def read_file(self, path: str | Path) -> bytes:
        """Return what a file of the node holds, running or not; a relative path starts at its directory.

        Raises:
            UnsupportedError: the engine can't.
            ArgumentError: `path` can't be one, or is relative and leaves the directory.
            CommandError: there is no such file.
        """
        require(self._network.engine, Capability.FILES)
        path = node_path(path, "path")
        with self.asking("read_file", {"path": path}) as answer:
            content = await self._engine_node.read_file(path)
            answer.value = MASK if self.spec.is_secret(path) else content
            return content

    async def write_file(self, path: str | Path, content: bytes) -> None:
        """Put a file into the node, running or not, making directories on the way.

        Raises:
            UnsupportedError: the engine can't.
            ArgumentError: `path` can't be one, or is relative and leaves the directory; or `content` isn't bytes.
            CommandError: it can't be written.
        """
        require(self._network.engine, Capability.FILES)
        path = node_path(path, "path")
        bytes_of(content, "content")
        with self.asking("write_file", {"path": path, "bytes": len(content)}):
            await self._engine_node.write_file(path, content)

    async def resources(self) -> Resources | None:
        """Measure what it uses now; None while it doesn't run.

        Raises:
            UnsupportedError: the engine can't.
        """
        require(self._network.engine, Capability.RESOURCES)
        with self.asking("resources") as answer:
            answer.value = used = await self._engine_node.resources()
            return used

    @contextmanager
    def asking(self, command: str, arguments: object = None) -> Iterator[Answer]:
        """Have the journal tell that this node is asked something, and what comes of it.

        Its own commands do so; whoever speaks to an API of the node's does it alike.

        Args:
            command: what is asked.
            arguments: with what; written as JSON, or as it is if it is text.
        """
        readable_text(command, "command")
        with asking(self._network, self.name, command, arguments) as answer:
            yield answer

    @contextmanager
    def expecting_exit(self) -> Iterator[None]:
        """Let it end by itself in this block without ending the test."""
        self._expecting += 1
        try:
            yield
        finally:
            self._expecting -= 1

    async def remove(self, take_away: Callable[[], Awaitable[None]], *, grace: float) -> int:
        """Stop it if it runs, have it taken away for good, and return where its last line ends. For `Network`."""
        if self.state in (State.RUNNING, State.PAUSED):
            await self._stop_if_it_runs(grace)
        async with self._turn:
            await self._settled.wait()
            self._life.move("destroy")
            await take_away()
            return await self._network.pipeline.drain(self.name, ended=True)

    def leaving(self) -> None:
        """Take note that from now on its end is our doing."""
        self._leaving_since = time.monotonic()

    def exited(self, end: NodeExit) -> NodeExited | None:
        """Take note that its process ended, and judge it at once; None where that was our doing."""
        self.last_exit = end
        for each in end.left:
            self._network.journal(EngineNotice(self.name, "left running", f"{each} may not be ended; end it by hand"))
            log.warning(f"node {self.name!r} left {each}, which may not be ended; end it by hand")
        if self._was_ended(end) or self.state not in (State.RUNNING, State.PAUSED):
            return None
        self._life.move("exit")
        self._settled = anyio.Event()
        expected = self._expecting > 0 or (self.spec.wait_for_exit and end.code == 0)
        return NodeExited(self.name, end.how, end.code, end.signal, round(end.after, 3), expected)

    def _was_ended(self, end: NodeExit) -> bool:
        ended_since = min(self._ended_since, self._leaving_since)
        if time.monotonic() < ended_since:
            return False
        if end.asked is not None:
            return end.asked
        if self.started_at is None or end.after <= 0:
            return True
        return self.started_at + end.after + COARSENESS >= ended_since

    async def settle(self, event: NodeExited) -> None:
        """Take its last lines and write its end behind them. It can't be started before that."""
        try:
            with contextlib.suppress(CaptureDiedError):  # whoever watches the capture says so
                await self._network.pipeline.drain(self.name)
            await self._network.journaled(event)
        finally:
            self._settled.set()

    def destroyed(self) -> None:
        """Take note that it is gone for good."""
        if self.state is not State.DESTROYED:
            self._life.move("destroy")

    def events(self, kind: type[T], *others: type[T], since: Mark | int | None = None) -> Stream[Event[T]]:
        """Stream this node's events of one or more types; completes when the node is gone for good."""
        return self._network.pipeline.events(kind, *others, nodes=(self.name,), since=since)

    def records(
        self, *, level: Severity | None = None, since: Mark | int | None = None, joined: bool = False
    ) -> Stream[Event[Record]]:
        """Stream this node's records; completes when the node is gone for good."""
        return self._network.pipeline.records(nodes=(self.name,), level=level, since=since, joined=joined)

    def lines(self, *, since: Mark | int | None = None) -> Stream[Line]:
        """Stream this node's lines as they are, unread; completes when the node is gone for good."""
        return self._network.pipeline.lines(nodes=(self.name,), since=since)

    def malformed(self, *, since: Mark | int | None = None) -> Stream[Malformed]:
        """Stream this node's lines that its format can't read; completes when the node is gone for good."""
        return self._network.pipeline.malformed(nodes=(self.name,), since=since)

    def undecodable(self, *kinds: type, since: Mark | int | None = None) -> Stream[Undecodable]:
        """Stream this node's records whose payload isn't of the type they claim; completes when it is gone for good."""
        return self._network.pipeline.undecodable(*kinds, nodes=(self.name,), since=since)
