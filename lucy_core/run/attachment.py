"""A network that somebody else runs, captured and observed like one of Lucy's own.

An exported network has a FIFO a node and, in `lucy/network.json`, what it is. `attach` reads these FIFOs into a
recording and gives the `Network` that `deploy` gives: the same streams, waits and ledger. Nobody commands the nodes
from here, though, so whatever would is refused by name. A node counts as started from when its pipe is read, and as
stopped when that ends.

Until somebody attaches, each node may write what its FIFO holds, and waits then: nothing is lost before the first line
is read. Two readers of one FIFO would each get some of it, so an attachment holds a lock.
"""

import fcntl
import os
import stat
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Never, Protocol, final, runtime_checkable

import anyio
import msgspec

from lucy_core.arguments import place_of
from lucy_core.engine import (
    Capability,
    LineCapture,
    NetworkConfig,
    NetworkSpec,
    NodeExit,
    NodeSpec,
    Resources,
    RunPlace,
    Take,
)
from lucy_core.errors import AttachError, TopologyError, UnknownPluginError, UnsupportedError
from lucy_core.network.network import Network
from lucy_core.network.vocabulary import Vocabulary, load_vocabulary
from lucy_core.private_files import create_private
from lucy_core.records.event import event
from lucy_core.run.deployment import deploy

DESCRIPTION = Path("lucy") / "network.json"
PIPES = "pipes"
QUIET_SECONDS = 1.0
"""For so long the pipes of ended nodes have to be silent: whoever runs it may start one again."""


@event(puppeteer="node_exited")
class DaemonExited(msgspec.Struct, frozen=True):
    """A line of the puppeteer's: the node's daemon ended, asked to or by itself."""

    code: int | None = None
    signal: str | None = None
    after: float = 0.0


@runtime_checkable
class Exporter(Protocol):
    """An engine that can write a network down for others to run. Optional; `lucy ENGINE SCENARIO --export` asks."""

    def running(self, file: Path) -> str:
        """Say what command runs a network that was written into a file."""
        ...

    def export(self, config: NetworkConfig, file: Path, about: Mapping[str, str]) -> None:
        """Write a file, and beside it what it refers to: among that, a FIFO a node in `pipes/`.

        Args:
            config: made by `expand` for a run in the file's directory.
            file: the file to write.
            about: goes into it, for people.

        Raises:
            ExportError: it can't be written, or would overwrite something.
        """
        ...


class ExportedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """What an exported network is: a topology, read back."""

    spec: NetworkSpec
    vocabulary_name: str | None

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What the network's lines mean, if that is known here."""
        try:
            return None if self.vocabulary_name is None else load_vocabulary(self.vocabulary_name)
        except UnknownPluginError:
            return None

    def network_spec(self, options: Mapping[str, str]) -> NetworkSpec:  # noqa: ARG002  # nothing to choose
        return self.spec


def describe_export(directory: Path, spec: NetworkSpec, vocabulary: Vocabulary | None) -> None:
    """Write down what an exported network is; the content of its files, and the variables' values, stay where they are.

    Raises:
        OSError: it can't be written.
    """
    nodes = tuple(
        msgspec.structs.replace(node, files={}, secrets=(), environment=node.masked(node.environment))
        for node in spec.nodes
    )
    exported = ExportedNetwork(
        spec=msgspec.structs.replace(spec, nodes=nodes),
        vocabulary_name=None if vocabulary is None else vocabulary.name,
    )
    create_private(directory / DESCRIPTION, msgspec.json.format(msgspec.json.encode(exported), indent=2) + b"\n")


def read_export(directory: str | Path) -> ExportedNetwork:
    """Read back what an exported network is.

    Raises:
        AttachError: there is none.
    """
    place = place_of(directory, "directory")
    path = place / DESCRIPTION
    try:
        return msgspec.json.decode(path.read_bytes(), type=ExportedNetwork)
    except OSError as error:
        advice = "make one by `lucy ENGINE SCENARIO --export DIRECTORY/FILE`"
        raise AttachError(place, f"holds no exported network ({DESCRIPTION}: {error.strerror}); {advice}") from error
    except (msgspec.MsgspecError, TopologyError, ValueError) as error:
        raise AttachError(place, f"holds no exported network that can be read: {DESCRIPTION}: {error}") from error


@asynccontextmanager
async def attach(
    directory: str | Path, *, run_directory: str | Path | None = None, run_id: str | None = None
) -> AsyncIterator[Network]:
    """Capture an exported network for the length of a block, whoever runs it.

    Args:
        directory: where it was exported to.
        run_directory: where the recording goes; by default `lucy-runs/<run id>` in the working directory.
        run_id: the run's name among all runs.

    Raises:
        AttachError: there is no exported network, its pipes are gone, or somebody else captures them.
    """
    exported = read_export(directory)
    engine = AttachedEngine(place_of(directory, "directory"))
    async with deploy(exported, engine=engine, run_directory=run_directory, run_id=run_id) as network:
        yield network


async def all_ended(network: Network) -> None:
    """Wait until the puppeteers of all nodes have told that their daemons ended, and nothing has come since."""
    ended: set[str] = set()
    async with network.events(DaemonExited, since=0).aiter() as exits:
        async for each in exits:
            ended.add(each.node)
            if len(ended) < len(network.nodes):
                continue
            for node in network.nodes:
                await network.pipeline.drain(node)
            before = {node: network.ledger.of(node).lines for node in network.nodes}
            await anyio.sleep(QUIET_SECONDS)
            ended = {node for node in network.nodes if network.ledger.of(node).lines == before[node]}
            if len(ended) == len(network.nodes):
                return


@final
class AttachedNode:
    """A node that somebody else commands."""

    directory = None

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    async def start(self, *, fresh_state: bool, environment: Mapping[str, str]) -> None:
        """Do nothing: it was started, or will be."""

    async def stop(self, *, grace: float) -> None:  # noqa: ARG002  # the contract's
        _refuse("stop")

    async def kill(self) -> None:
        _refuse("kill")

    async def pause(self) -> None:
        _refuse(Capability.PAUSE)

    async def resume(self) -> None:
        _refuse(Capability.PAUSE)

    async def exec(self, command: Sequence[str], *, input: bytes, timeout: float, take: Take) -> int:  # noqa: A002, ARG002, ASYNC109
        _refuse(Capability.EXEC)

    async def read_file(self, path: str) -> bytes:  # noqa: ARG002  # the contract's
        _refuse(Capability.FILES)

    async def write_file(self, path: str, content: bytes) -> None:  # noqa: ARG002  # the contract's
        _refuse(Capability.FILES)

    def address(self, port: str) -> tuple[str, int]:  # noqa: ARG002  # the contract's
        _refuse("address")

    async def resources(self) -> Resources | None:
        _refuse(Capability.RESOURCES)


def _refuse(what: str) -> Never:
    raise UnsupportedError(AttachedEngine.name, what)


class AttachedConfig(msgspec.Struct, frozen=True):
    """What is captured."""

    spec: NetworkSpec


@final
class _Attachment:
    """Manager, log engine and network of an attached network: there is next to nothing to do."""

    def __init__(self, nodes: Sequence[NodeSpec], directory: Path) -> None:
        self._pipes = {node.name: directory / PIPES / node.name for node in nodes}
        self.nodes = {node.name: AttachedNode(node.name) for node in nodes}

    async def create(self) -> None:
        for path in self._pipes.values():
            if not path.exists() or not stat.S_ISFIFO(path.stat().st_mode):
                raise AttachError(path, "is no FIFO; export the network once more")

    async def attach(self, capture: LineCapture) -> None:
        for node, path in self._pipes.items():
            await capture.open_fifo(node, path)

    async def deploy(self, on_exit: Callable[[NodeExit], None]) -> "_Attachment":  # noqa: ARG002  # nobody tells us
        return self

    async def destroy(self) -> None:
        """Nothing was made."""

    async def cleanup(self) -> None:
        """Nothing was made."""


@final
class AttachedEngine:
    """The engine of networks that somebody else runs. It deploys nothing and controls nothing."""

    name = "attach"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def expand(self, spec: NetworkSpec, place: RunPlace) -> AttachedConfig:  # noqa: ARG002  # the contract's
        """There is nothing to work out."""
        return AttachedConfig(spec)

    @asynccontextmanager
    async def open(self, config: Any) -> AsyncIterator[tuple[_Attachment, _Attachment]]:  # AttachedConfig
        """Hold the lock.

        Raises:
            AttachError: somebody else has it.
        """
        lock = _lock(self._directory)
        try:
            attachment = _Attachment(config.spec.nodes, self._directory)
            yield attachment, attachment
        finally:
            os.close(lock)


def _lock(directory: Path) -> int:
    try:
        lock = os.open(directory / PIPES, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise AttachError(directory / PIPES, f"can't be read: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise AttachError(directory, "is captured by another `lucy attach`; end that first") from None
    return lock
