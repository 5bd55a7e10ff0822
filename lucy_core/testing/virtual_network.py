"""A network without nodes, for tests in virtual time: of conditions, of waits, of tests.

Everything above capture is the real thing: recording, delivery, streams, waits, journal, verdict. In the place of the
capture process stands an object that writes the same recording, stamped by the loop's clock, and in the place of nodes
what the test says of them::

    async def test_a_block_in_time():
        async with virtual_network("a", "b") as virtual:
            virtual.log("a", BlockProduced(...))
            await virtual.network.wait_for(seen(BlockProduced), since=0)

    virtual_time.run(test_a_block_in_time)

`pass_unseen` lets time pass while the loop stands still, as a test that blocks does; what is logged meanwhile arrives
all the same.
"""

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast, final

import anyio
import anyio.lowlevel
import msgspec

from lucy_core.capturing.facts import Fact
from lucy_core.capturing.intake import Intake
from lucy_core.capturing.recorder.recorder import Recorder
from lucy_core.capturing.requests import Position
from lucy_core.capturing.searching import count_lines
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.engine import NetworkSpec, NodeSpec
from lucy_core.errors import CaptureDiedError
from lucy_core.helpers.forms import Done, Form
from lucy_core.judging.durations import NS
from lucy_core.network.network import Network
from lucy_core.network.vocabulary import PlainTopology, Vocabulary
from lucy_core.recording.capture_process import CaptureProcess
from lucy_core.recording.recording import make_run_directory
from lucy_core.records.event import event_type
from lucy_core.records.journal import JOURNAL
from lucy_core.run.run import Run, RunOrder, When
from lucy_core.testing.fake_engine import FakeEngine
from lucy_core.testing.virtual_time import VirtualTimeLoop

SHARED_MEMORY = "/dev/shm"  # noqa: S108  # a directory of its own in it, private and gone with the block


@final
class VirtualCapture:
    """What the capture process is to a pipeline, on the loop's own clock and without sources."""

    pid = 0

    def __init__(self, directory: Path, now_ns: Callable[[], int]) -> None:
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.died: str | None = None
        self._recorder = Recorder(str(directory), JOURNAL, self.bell, now_ns=now_ns, send=lambda _: None)
        self.token = secrets.token_urlsafe(24)
        self._intake = Intake(self._recorder, self.token)

    @property
    def position(self) -> int:
        """The position after the last line that has arrived."""
        return self._recorder.position

    def dispose(self) -> None:
        """Close all descriptors; nothing is recorded any more."""
        self.died = self.died or "it was closed"
        self._intake.drain.close()
        self._recorder.close()
        os.close(self.bell)

    def append(self, node: str, data: bytes) -> int:
        """Have lines of a node arrive now; return the position of the first."""
        position = self._recorder.position
        self._recorder.put(node, [data], count_lines(data))
        self._recorder.publish()
        return position

    # What a pipeline asks

    def tell(self, form: Form) -> None:
        """Obey without an answer."""
        self._obey(form)

    async def ask(self, form: Form, reply: type[Any] = Done) -> Any:  # noqa: ARG002  # the form says what is replied
        """Obey and answer, a turn of the loop later, as a process does at the earliest.

        Raises:
            CaptureDiedError: it has died.
        """
        if self.died is not None:
            raise CaptureDiedError(self.died)
        answer = self._obey(form)
        await anyio.lowlevel.checkpoint()
        return answer

    def _obey(self, form: Form) -> Any:
        answer = self._intake.obey(form) if self.died is None else Position(self.position)
        self._recorder.publish()
        return answer

    def saw(self, position: int) -> None:
        """Nothing is given up here."""

    def take_unrecorded(self) -> None:
        """Nothing comes past the recording."""

    async def close(self) -> None:
        if self.died is None:
            self._recorder.note(Fact.CLOSED)
            self._recorder.publish()


@final
class VirtualNetwork:
    """A network, and what its test has its nodes do. Made by `virtual_network`."""

    def __init__(self, network: Network, capture: VirtualCapture, engine: FakeEngine) -> None:
        self.network = network
        """The network, as any test sees it."""
        self.capture = capture
        """Where its lines are put."""
        self._engine = engine

    def log(self, node: str, *events: msgspec.Struct) -> int:
        """Have a node write a line for each event, which arrive now; return the position of the first."""
        return self.capture.append(node, b"".join(map(line_of, events)))

    def write(self, node: str, lines: bytes) -> int:
        """Have a node write lines as they are, which arrive now; return the position of the first."""
        return self.capture.append(node, lines)

    def exit(self, node: str, *, code: int = 1) -> None:
        """Have a node end by itself, now."""
        self._engine.nodes[node].end(code=code)

    def pass_unseen(self, seconds: float) -> None:
        """Let time pass while the loop stands still, as a test does that blocks."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)  # noqa: S101  # the module's docstring asks for one
        loop.jump(seconds)


def line_of(data: msgspec.Struct) -> bytes:
    """Write an event as the line that is decoded into it: its type needs an id, and no decoder of its own."""
    (event_id, *_) = event_type(type(data)).ids
    return msgspec.json.encode({"message": type(data).__name__, "event_id": event_id, "metadata": data}) + b"\n"


@asynccontextmanager
async def virtual_network(
    *names: str,
    vocabulary: Vocabulary | None = None,
    directory: Path | None = None,
    start: bool = True,
    interrupt: bool = True,
) -> AsyncIterator[VirtualNetwork]:
    """Have a network of virtual nodes for a block. What ends the run raises where it is awaited, and at the end.

    Args:
        names: the nodes.
        vocabulary: what their lines mean.
        directory: where the recording goes; by default it is gone with the block.
        start: whether to start all nodes.
        interrupt: whether an unexpected death cancels the block at once. Otherwise the next wait raises it.
    """
    clock = asyncio.get_running_loop().time
    now_ns = lambda: round(clock() * NS)  # noqa: E731
    captures: list[VirtualCapture] = []
    engine = FakeEngine()

    @asynccontextmanager
    async def record(place: Path) -> AsyncIterator[Pipeline]:
        make_run_directory(place)
        capture = VirtualCapture(place, now_ns)
        captures.append(capture)
        try:
            capture.append(JOURNAL, b"")
            async with Pipeline.over(cast("CaptureProcess", capture), place, now_ns) as pipeline:
                yield pipeline
        finally:
            capture.dispose()

    spec = NetworkSpec(
        name="virtual", nodes=tuple(NodeSpec(name=name, role="virtual", command=("true",)) for name in names)
    )
    in_memory = SHARED_MEMORY if directory is None and Path(SHARED_MEMORY).is_dir() else None
    with tempfile.TemporaryDirectory(prefix="lucy-virtual-", dir=in_memory) as own:
        order = RunOrder(
            test="virtual",
            topology=PlainTopology(spec, vocabulary),
            engine=engine,
            options={},
            run_id="virtual",
            directory=(directory or Path(own) / "run").absolute(),
            keep=When.ALWAYS if directory else When.NEVER,
        )
        async with Run(order, record).opened(start=start, interrupt=interrupt) as network:
            yield VirtualNetwork(network, captures[0], engine)
