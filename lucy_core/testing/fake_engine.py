"""An engine without processes: a node is whatever its test says of it, or a function that writes its lines.

::

    async def joining(node: FakeNode) -> int:
        node.write(lines)
        await anyio.sleep(1)
        return 0  # its exit code

    async with lucy.deploy(spec, engine=FakeEngine(joining)) as network: ...

Everything above the engine is the real thing: capture, journal, verdict.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
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

    def __init__(
        self,
        spec: NodeSpec,
        program: "Program",
        tasks: anyio.abc.TaskGroup,
        capture: LineCapture,
        report: contract.ExitReport,
        pids: Iterator[int],
    ) -> None:
        self.spec = spec
        """What it was made from, with the user as whom it is said to run."""
        self.starts = 0
        """How often it was started since its state was fresh."""
        self.running = False
        """Whether its program runs."""
        self.arguments: tuple[str, ...] = spec.command[1:]
        """What followed the program at the last start."""
        self.signals: list[tuple[str, contract.Reach]] = []
        """The signals that it was sent, and to whom of it."""
        self._program, self._tasks, self._capture, self._report = program, tasks, capture, report
        self._scope = anyio.CancelScope()
        self._held: list[bytes] | None = None
        self._pids, self._pid = pids, 0

    @property
    def pid(self) -> int | None:
        """A number for each start, in the place of a process id; None while it doesn't run."""
        return self._pid if self.running else None

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

    async def start(
        self, *, fresh_state: bool, environment: Mapping[str, str], arguments: Sequence[str] | None = None
    ) -> None:
        del environment
        self.arguments = self.spec.command[1:] if arguments is None else tuple(arguments)
        self.starts = 1 if fresh_state else self.starts + 1
        self.running, self._scope, self._pid = True, anyio.CancelScope(), next(self._pids)
        self._tasks.start_soon(self._run, self._scope)
        await checkpoint()

    async def _run(self, scope: anyio.CancelScope) -> None:
        with scope:
            code = await self._program(self)
            if not scope.cancel_called:  # else it was ended, and may have been started again
                self.end(code=code)

    async def stop(self, *, grace: float) -> None:  # noqa: ARG002  # it ends at once
        self.end(signal=self.spec.stop_signal)
        await checkpoint()

    async def signal(self, signal: str, *, to: contract.Reach) -> None:
        self.signals.append((signal, to))
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


Program = Callable[[FakeNode], Awaitable[int]]


async def rest(_: FakeNode) -> int:
    """Do nothing, as a node does whose test speaks for it."""
    await anyio.sleep_forever()
    return 0


@final
class FakeNetwork(contract.EngineNetwork):
    """The nodes of one network, which come and go as it is told."""

    def __init__(self, make: Callable[[NodeSpec], FakeNode], specs: Iterable[NodeSpec]) -> None:
        self.nodes: dict[str, FakeNode] = {spec.name: make(spec) for spec in specs}
        self._make = make

    async def add(self, spec: NodeSpec) -> FakeNode:
        node = self.nodes[spec.name] = self._make(spec)
        await checkpoint()
        return node

    async def remove(self, name: str) -> None:
        del self.nodes[name]
        await checkpoint()


@final
class FakePlan(contract.Plan):
    """The nodes of one network."""

    def __init__(self, spec: NetworkSpec, engine: "FakeEngine") -> None:
        self._spec, self._engine = spec, engine

    @asynccontextmanager
    async def open(self, capture: LineCapture, on_exit: contract.ExitReport) -> AsyncIterator[contract.EngineNetwork]:
        async with anyio.create_task_group() as tasks:
            program, pids = self._engine.program, itertools.count(1)

            def make(spec: NodeSpec) -> FakeNode:
                return FakeNode(spec, program, tasks, capture, on_exit, pids)

            network = FakeNetwork(make, self._spec.nodes)
            nodes = self._engine.nodes = network.nodes
            try:
                yield network
            finally:
                for wave in reversed(contract.start_order([node.spec for node in nodes.values()])):
                    for spec in wave:
                        nodes[spec.name].end(signal="SIGKILL")
                tasks.cancel_scope.cancel()


@final
class FakeEngine(contract.Engine):
    """Makes fake nodes."""

    name = "fake"
    """Its name."""
    capabilities = frozenset(
        {
            Capability.PAUSE,
            Capability.FRESH_STATE,
            Capability.ARGUMENTS,
            Capability.MEMBERS,
            Capability.SIGNAL,
            Capability.STOP_SIGNAL,
            Capability.PID,
            Capability.USER,
        }
    )
    """What it can do."""

    def __init__(self, program: Program = rest) -> None:
        """`program` is what each node does from each start on, until it returns its exit code or the node is ended."""
        self.program = program
        """What each node does."""
        self.nodes: dict[str, FakeNode] = {}
        """Those of the network that was opened last."""

    def plan(self, spec: NetworkSpec, place: RunPlace) -> FakePlan:  # noqa: ARG002  # it is nowhere
        return FakePlan(spec, self)
