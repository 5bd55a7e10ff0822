"""An engine without processes: a node is whatever its test says of it, or a function that writes its lines.

::

    async def joining(node: FakeNode) -> int:
        node.write(lines)
        await anyio.sleep(1)
        return 0  # its exit code

    async with lucy.deploy(spec, engine=FakeEngine(joining)) as network: ...

Everything above the engine is the real thing: capture, journal, verdict.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import final

import anyio
import anyio.abc
from anyio.lowlevel import checkpoint

from lucy_core import engine as contract
from lucy_core.engine import Capability, LineCapture, NetworkSpec, NodeExit, NodeSpec, RunPlace


@final
class FakeNode(contract.EngineNode):
    """A node that does nothing but what its test, or its program, says."""

    def __init__(self, spec: NodeSpec, engine: "FakeEngine", capture: LineCapture, report: contract.ExitReport) -> None:
        self.spec = spec
        self.starts = 0
        """How often it was started since its state was fresh."""
        self.running = False
        self._engine, self._capture, self._report = engine, capture, report
        self._scope = anyio.CancelScope()
        self._held: list[bytes] | None = None

    def write(self, lines: bytes) -> None:
        """Write whole lines, which arrive now or, of a paused node, once it is resumed."""
        if self._held is None:
            self._capture.write_nowait(self.spec.name, lines)
        else:
            self._held.append(lines)

    def end(self, *, code: int | None = None, signal: str | None = None) -> None:
        """End now, as a process does: with a code, or by a signal. Again does nothing."""
        if self.running:
            self.running, self._held = False, None
            self._scope.cancel()
            self._report(NodeExit(node=self.spec.name, code=code, signal=signal))

    async def start(self, *, fresh_state: bool, environment: Mapping[str, str]) -> None:  # noqa: ARG002
        self.starts = 1 if fresh_state else self.starts + 1
        self.running, self._scope = True, anyio.CancelScope()
        self._engine.tasks.start_soon(self._run, self._scope)
        await checkpoint()

    async def _run(self, scope: anyio.CancelScope) -> None:
        with scope:
            self.end(code=await self._engine.program(self))

    async def stop(self, *, grace: float) -> None:  # noqa: ARG002  # it ends at once
        self.end(signal="SIGTERM")
        await checkpoint()

    async def kill(self) -> None:
        self.end(signal="SIGKILL")
        await checkpoint()

    async def pause(self) -> None:
        self._held = []
        await checkpoint()

    async def resume(self) -> None:
        held, self._held = self._held, None
        for lines in held or ():
            self.write(lines)
        await checkpoint()


async def rest(_: FakeNode) -> int:
    """Do nothing, as a node does whose test speaks for it."""
    await anyio.sleep_forever()
    return 0


@final
class FakeEngine(contract.Engine, contract.Plan):
    """Makes fake nodes, of one network at a time; its own plan, since there is nothing to work out."""

    name = "fake"
    capabilities = frozenset({Capability.PAUSE, Capability.FRESH_STATE})
    tasks: anyio.abc.TaskGroup

    def __init__(self, program: Callable[[FakeNode], Awaitable[int]] = rest) -> None:
        """`program` is what each node does from each start on, until it returns its exit code or the node is ended."""
        self.program = program
        self.nodes: dict[str, FakeNode] = {}
        """Those of the network that is open."""
        self._specs: tuple[NodeSpec, ...] = ()

    def plan(self, spec: NetworkSpec, place: RunPlace) -> "FakeEngine":  # noqa: ARG002  # it is nowhere
        self._specs = spec.nodes
        return self

    @asynccontextmanager
    async def open(self, capture: LineCapture, on_exit: contract.ExitReport) -> AsyncIterator[contract.EngineNetwork]:
        async with anyio.create_task_group() as self.tasks:
            self.nodes = {spec.name: FakeNode(spec, self, capture, on_exit) for spec in self._specs}
            try:
                yield contract.EngineNetwork(self.nodes)
            finally:
                for node in self.nodes.values():
                    node.end(signal="SIGKILL")
                self.tasks.cancel_scope.cancel()
