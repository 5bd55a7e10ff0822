"""An engine without processes: a node is whatever its test says of it, or a function that writes its lines.

::

    async def counting(node: FakeNode) -> int:
        node.write(lines)
        await anyio.sleep(1)
        return 0  # its exit code

    async with lucy.deploy(spec, engine=FakeEngine(counting)) as network:
        ...

Everything above the engine is the real thing: capture, journal, verdict.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import final

import anyio
import anyio.abc
import anyio.lowlevel

from lucy_core.engine import (
    Capability,
    Engine,
    EngineNetwork,
    EngineNode,
    ExitReport,
    LineCapture,
    NetworkSpec,
    NodeExit,
    NodeSpec,
    Plan,
    RunPlace,
)


@final
class FakeNode(EngineNode):
    """A node that does nothing but what its test, or its program, says."""

    def __init__(self, spec: NodeSpec, engine: "FakeEngine", capture: LineCapture, on_exit: ExitReport) -> None:
        self.spec = spec
        self.starts = 0
        """How often it was started since its state was fresh."""
        self.running = False
        self._engine = engine
        self._capture = capture
        self._on_exit = on_exit
        self._scope = anyio.CancelScope()

    def write(self, lines: bytes) -> None:
        """Write whole lines, which arrive now."""
        self._capture.inject(self.spec.name, lines)

    def end(self, *, code: int | None = None, signal: str | None = None) -> None:
        """End now, as a process does: with a code, or by a signal. Again does nothing."""
        if self.running:
            self.running = False
            self._scope.cancel()
            self._on_exit(NodeExit(node=self.spec.name, code=code, signal=signal))

    async def start(self, *, fresh_state: bool, environment: Mapping[str, str]) -> None:  # noqa: ARG002
        self.starts = 1 if fresh_state else self.starts + 1
        self.running, self._scope = True, anyio.CancelScope()
        self._engine.tasks.start_soon(self._run, self._scope)
        await anyio.lowlevel.checkpoint()

    async def _run(self, scope: anyio.CancelScope) -> None:
        with scope:
            self.end(code=await self._engine.program(self))

    async def stop(self, *, grace: float) -> None:  # noqa: ARG002  # it ends at once
        self.end(signal="SIGTERM")
        await anyio.lowlevel.checkpoint()

    async def kill(self) -> None:
        self.end(signal="SIGKILL")
        await anyio.lowlevel.checkpoint()

    async def pause(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def resume(self) -> None:
        await anyio.lowlevel.checkpoint()


Program = Callable[[FakeNode], Awaitable[int]]
"""What a fake node does from each start on, until it returns its exit code or is cancelled by the node's end."""


async def rest(_: FakeNode) -> int:
    """Do nothing, as a node does whose test speaks for it."""
    await anyio.sleep_forever()
    return 0


@final
class FakePlan(Plan):
    """Nothing has to be worked out."""

    def __init__(self, engine: "FakeEngine", spec: NetworkSpec) -> None:
        self._engine = engine
        self._spec = spec

    @asynccontextmanager
    async def open(self, capture: LineCapture, on_exit: ExitReport) -> AsyncIterator[EngineNetwork]:
        """Make the nodes; leaving ends them, and their programs with them."""
        engine = self._engine
        async with anyio.create_task_group() as engine.tasks:
            engine.nodes = {spec.name: FakeNode(spec, engine, capture, on_exit) for spec in self._spec.nodes}
            try:
                yield EngineNetwork(engine.nodes)
            finally:
                for node in engine.nodes.values():
                    node.end(signal="SIGKILL")
                engine.tasks.cancel_scope.cancel()


@final
class FakeEngine(Engine):
    """Makes fake nodes, of one network at a time."""

    name = "fake"
    capabilities = frozenset({Capability.PAUSE, Capability.FRESH_STATE})
    tasks: anyio.abc.TaskGroup

    def __init__(self, program: Program = rest) -> None:
        self.program = program
        self.nodes: dict[str, FakeNode] = {}
        """The nodes of the network that is open."""

    def plan(self, spec: NetworkSpec, place: RunPlace) -> FakePlan:  # noqa: ARG002  # it is nowhere
        """Remember the nodes."""
        return FakePlan(self, spec)
