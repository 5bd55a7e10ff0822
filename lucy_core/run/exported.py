"""A network that was written down for others to run: what it is, read back, and captured while somebody runs it.

Beside the engine's file lies, in `lucy/network.json`, what the network is. `attach` reads that and has the engine
`external` read the nodes' FIFOs; it gives the `Network` that `deploy` gives: the same streams, waits and ledger.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec

from lucy_core.arguments import place_of
from lucy_core.engine import NetworkSpec
from lucy_core.errors import AttachError, TopologyError, UnknownNameError
from lucy_core.network.network import Network
from lucy_core.network.vocabulary import Vocabulary, load_vocabulary
from lucy_core.private_files import create_private
from lucy_core.records.event import event
from lucy_core.run.deployment import deploy

DESCRIPTION = Path("lucy") / "network.json"
ENGINE = "external"
"""Which engine captures it."""
QUIET_SECONDS = 1.0
"""For so long the pipes of ended nodes have to be silent: whoever runs it may start one again."""


@event(fields={"puppeteer_event_type": "node_exited"})
class DaemonExited(msgspec.Struct, frozen=True):
    """A node's daemon ended, asked to or by itself: the line that `Plan.export` has the node write then.

    A JSON object with a `message`, `"puppeteer_event_type": "node_exited"`, and these fields as its `metadata`.
    """

    code: int | None = None
    signal: str | None = None
    after: float = 0.0


class ExportedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """What an exported network is: a topology, read back."""

    spec: NetworkSpec
    vocabulary_name: str | None

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What the network's lines mean, if that is known here."""
        try:
            return None if self.vocabulary_name is None else load_vocabulary(self.vocabulary_name)
        except UnknownNameError:
            return None

    def network_spec(self, options: Mapping[str, str]) -> NetworkSpec:  # noqa: ARG002  # nothing to choose
        return self.spec


def describe_export(directory: Path, spec: NetworkSpec, vocabulary: Vocabulary | None) -> None:
    """Write down what an exported network is; the content of its files, and the variables' values, stay where they are.

    Raises:
        OSError: it can't be written.
    """
    nodes = tuple(
        msgspec.structs.replace(node, files={}, secrets=(), ready=None, environment=node.masked(node.environment))
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


def where(directory: str | Path) -> dict[str, str]:
    """Say as the engine's option where the exported network is."""
    return {"exported": str(place_of(directory, "directory"))}


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
    exported, options = read_export(directory), where(directory)
    async with deploy(exported, engine=ENGINE, options=options, run_directory=run_directory, run_id=run_id) as network:
        yield network


async def all_ended(network: Network) -> None:
    """Wait until the supervisors of all nodes have told that their daemons ended, and nothing has come since."""
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
