"""The external engine: a network that somebody else runs, Compose for example, captured like one of Lucy's own.

An exported network has a FIFO a node, or one for each of its streams where these are told apart. This engine reads
them and commands nobody, so whatever would is refused by name. A node counts as started from when its pipe is read, and
as stopped when that ends.

Until somebody reads, each node may write what its FIFO holds, and waits then: nothing is lost before the first line is
read. Two readers of one FIFO would each get some of it, so whoever reads holds a lock.
"""

import fcntl
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Never, final

import msgspec

from lucy_core.engine import (
    PIPES,
    Capability,
    Engine,
    EngineNetwork,
    EngineNode,
    EngineOption,
    ExitReport,
    LineCapture,
    NetworkSpec,
    Plan,
    RunPlace,
    run_files,
)
from lucy_core.errors import AttachError, TopologyError, UnsupportedError


@final
class ExternalNode(EngineNode):
    """A node that somebody else commands."""

    async def start(
        self, *, fresh_state: bool, environment: Mapping[str, str], arguments: Sequence[str] | None = None
    ) -> None:
        """Do nothing: it was started, or will be."""

    async def stop(self, *, grace: float) -> None:  # noqa: ARG002  # the contract's
        _refuse("stop")

    async def kill(self) -> None:
        _refuse("kill")


def _refuse(what: str) -> Never:
    raise UnsupportedError(ExternalEngine.name, what)


@final
class ExternalPlan(Plan, msgspec.Struct, frozen=True):
    """What is captured."""

    pipes: dict[tuple[str, str], Path]
    """By node and source."""

    @asynccontextmanager
    async def open(self, capture: LineCapture, on_exit: ExitReport) -> AsyncIterator[EngineNetwork]:  # noqa: ARG002
        """Read the pipes, and hold the lock. Nobody tells of exits.

        Raises:
            AttachError: somebody else has the lock, a pipe is gone, or they are another network's.
        """
        directory = next(iter(self.pipes.values())).parent
        lock = _lock(directory)
        try:
            self._check(directory)
            for (node, source), path in self.pipes.items():
                await capture.open_fifo(node, path, source=source)
            yield EngineNetwork({node: ExternalNode() for node, _ in self.pipes})
        finally:
            os.close(lock)

    def _check(self, directory: Path) -> None:
        """Look at all pipes before one is read: what a failed attempt has read is missing for the next."""
        own = set(self.pipes.values())
        strangers = [path.name for path in directory.iterdir() if path not in own and path.is_fifo()]
        if strangers:
            reason = f"is of another network, with {', '.join(sorted(strangers))}; capture it by `lucy attach`"
            raise AttachError(directory.parent, reason)
        for path in self.pipes.values():
            if not path.is_fifo():
                raise AttachError(path, "is no FIFO; export this network once more, or attach to the one that was")


def _lock(pipes: Path) -> int:
    try:
        lock = os.open(pipes, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise AttachError(pipes, f"can't be read: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise AttachError(pipes.parent, "is captured by another `lucy attach`; end that first") from None
    return lock


@final
class ExternalEngine(Engine):
    """Deploys nothing and controls nothing."""

    name = "external"
    capabilities = frozenset({Capability.STREAMS})
    options = (EngineOption(name="exported", metavar="DIR", help="where the network was exported to"),)

    def plan(self, spec: NetworkSpec, place: RunPlace) -> ExternalPlan:
        """Name the pipes.

        Raises:
            TopologyError: nobody says where they are.
        """
        if "exported" not in place.options:
            reason = "captures a network that somebody else runs; say where by --exported DIR"
            raise TopologyError(f"the {self.name} engine", reason)
        pipes = Path(place.options["exported"]) / PIPES
        return ExternalPlan(
            {
                (node.name, source): pipes / run_files.fifo_name(node.name, source)
                for node in spec.nodes
                for source in node.streams.sources
            }
        )
