"""A finished run, asked again: the same streams, waits and ledger on its recording, without a node.

What was awaited live is judged here by the same conditions and the same arrival times. The recording is asked for
nothing but what it has: where it lacks lines, waits that rest on them are inconclusive, as they were or would have been
live.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, final

import msgspec

from lucy_core.arguments import place_of
from lucy_core.capturing import run_files
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import RecordingError, UnknownNameError
from lucy_core.judging import waits
from lucy_core.judging.conditions.condition import AnyCondition
from lucy_core.judging.conditions.probes import Prober
from lucy_core.judging.durations import Clock, Duration
from lucy_core.judging.fold import replayed
from lucy_core.judging.result import Findings
from lucy_core.judging.waiting import WaitOutcome
from lucy_core.network.observed import Observed
from lucy_core.network.vocabulary import Vocabulary, load_vocabulary
from lucy_core.records.journal import JOURNAL
from lucy_core.records.keys import node_of
from lucy_core.records.record import Mark

T = TypeVar("T")


class _Node(msgspec.Struct):
    name: str


class _Network(msgspec.Struct):
    nodes: tuple[_Node, ...] = ()
    units: dict[str, float] = {}
    counted_from: float | None = None


class _Description(msgspec.Struct):
    """As much of `run.json` as is needed here."""

    network: _Network = msgspec.field(default_factory=_Network)
    vocabulary: str | None = None


@final
class Replay(Observed):
    """A finished run. Made by `replay`.

    A `since=` of None is its beginning, and a wait's limits count from when `since` arrived. What neither came true nor
    ran into its limit before the run's end is an `ImpossibleError`.
    """

    fatal = None
    """None: whatever ended the run is in its past."""
    prober: Prober | None = None
    """None: nobody is there to be asked."""

    def __init__(self, pipeline: Pipeline, description: _Description, vocabulary: Vocabulary | None) -> None:
        network = description.network
        super().__init__(pipeline, vocabulary, Clock(network.units, network.counted_from))
        recorded = [node_of(key) for key in pipeline.ledger.nodes if key != JOURNAL]
        self._node_names = tuple(dict.fromkeys((*(node.name for node in network.nodes), *recorded)))
        self.soft_errors: tuple[str, ...] = ()
        """What waits on the replay would have held against a run."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """All nodes' names, as `run.json` has them."""
        return self._node_names

    def mark(self) -> Mark:
        return self.pipeline.mark()

    async def findings(self) -> Findings:
        """Return what became of the run when it was live, by its journal: sections, waits, errors, outcome."""
        return await replayed(self.pipeline)

    async def _wait(
        self, condition: AnyCondition | type, *, since: Mark | int | None, **limits: Duration | float | None
    ) -> WaitOutcome[Any]:
        waiting = waits.prepare(self, condition, since=since or 0, **limits)
        return await waiting.decide(waiting.start or 0)

    # What a wait needs of its run

    def when_fatal(self, call: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002  # nothing can come any more
        """Nothing ends a replay from outside."""
        return lambda: None

    def soft_error(self, message: str, kind: str = "check") -> None:  # noqa: ARG002  # told apart by its words
        """Remember that a wait was late."""
        self.soft_errors = (*self.soft_errors, message)

    def journal(self, event: msgspec.Struct) -> None:
        """A finished run's journal is finished."""


def _read_description(directory: Path) -> _Description:
    path = directory / run_files.RUN
    if not path.exists():
        return _Description()
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Description)
    except (OSError, ValueError) as error:
        raise RecordingError(str(path), f"can't be read: {getattr(error, 'strerror', None) or error}") from error


def _find_vocabulary(name: str | None) -> Vocabulary | None:
    if name is None:
        return None
    try:
        return load_vocabulary(name)
    except UnknownNameError as error:
        reason = f"are in the vocabulary {name!r}, which isn't installed here: give vocabulary="
        raise RecordingError("this run's lines", reason) from error


@asynccontextmanager
async def replay(directory: str | Path, *, vocabulary: Vocabulary | None = None) -> AsyncIterator[Replay]:
    """Open a finished run for the length of a block.

    Args:
        directory: the run directory, wherever it has been copied to.
        vocabulary: what its lines mean; by default what its run was told, if that is installed here.

    Raises:
        RecordingError: there is no recording, its `run.json` can't be read, or its vocabulary isn't installed here.
        Exception: the block raised nothing, and a callback did.
    """
    place = place_of(directory, "directory")
    description = _read_description(place)
    async with Pipeline.replay(place) as pipeline:
        chosen = vocabulary if vocabulary is not None else _find_vocabulary(description.vocabulary)
        run = Replay(pipeline, description, chosen)
        await run.history.begin()
        yield run
        if pipeline.cut_off:  # nobody judges a replay but its block
            raise pipeline.cut_off[0]
