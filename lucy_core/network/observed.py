"""What may be asked of a run, whether it is live or a recording: its streams, what came so far, its waits."""

import abc
from collections.abc import Iterable
from typing import Any, TypeVar, overload

from lucy_core.arguments import names_of
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.delivery.streams.lines import Lines
from lucy_core.errors import UnknownNodeError
from lucy_core.judging.conditions.condition import AnyCondition
from lucy_core.judging.conditions.sightings import Seen
from lucy_core.judging.durations import Clock, Duration
from lucy_core.judging.history import History
from lucy_core.judging.waiting import WaitOutcome
from lucy_core.network.vocabulary import Vocabulary
from lucy_core.recording.ledger import Ledger
from lucy_core.records.journal import JOURNAL
from lucy_core.records.record import Mark

T = TypeVar("T")


class Observed(Lines):
    """A run that is asked: a `Network`, or a `Replay`, whose `since=` of None is the run's beginning."""

    def __init__(self, pipeline: Pipeline, vocabulary: Vocabulary | None, clock: Clock) -> None:
        self.pipeline = pipeline
        """What brings the lines."""
        self.vocabulary = vocabulary
        """What the lines mean; None where that is nobody's business."""
        self.clock = clock
        """What the network's own units of time last."""
        self.history = History(
            pipeline, vocabulary.event_types if vocabulary else (), vocabulary.new_state() if vocabulary else None
        )
        """What the run's events add up to, at any position."""

    @property
    def _feed(self) -> Pipeline:
        return self.pipeline

    @property
    @abc.abstractmethod
    def node_names(self) -> tuple[str, ...]:
        """All nodes' names."""

    @property
    def ledger(self) -> Ledger:
        """The account of what was captured."""
        return self.pipeline.ledger

    @property
    def state(self) -> Any:  # each vocabulary has its own
        """The vocabulary's picture of the network, up to what is delivered. Read it; don't keep or change it."""
        return self.history.state

    @overload
    async def wait_for(
        self,
        condition: Seen[T] | type[T],
        *,
        since: Mark | int | None = None,
        soft: Duration | float | None = None,
        hard: Duration | float | None = None,
    ) -> WaitOutcome[T]: ...
    @overload
    async def wait_for(
        self,
        condition: AnyCondition,
        *,
        since: Mark | int | None = None,
        soft: Duration | float | None = None,
        hard: Duration | float | None = None,
        lasting: Duration | float | None = None,
    ) -> WaitOutcome[Any]: ...
    async def wait_for(
        self,
        condition: AnyCondition | type,
        *,
        since: Mark | int | None = None,
        soft: Duration | float | None = None,
        hard: Duration | float | None = None,
        lasting: Duration | float | None = None,
    ) -> WaitOutcome[Any]:
        """Wait until a condition is decided; return what decided it.

        Limits count from the call, by the arrival of lines and not by when this loop looks at them; a bare number is
        seconds. Those given in units of the network's own begin when these do, if that is yet to come.

        Args:
            condition: what to wait for; an event type is short for `seen` of it.
            since: from where on events count; by default from now, all that has arrived by now being folded.
            soft: after this the run has a soft error, and the wait goes on. Where `hard` alone is given there is none.
            hard: after this the wait is over.
            lasting: for how long a condition has to hold that is never true for good: `never(…)`.

        Raises:
            WaitTimeoutError: the hard limit has passed.
            ImpossibleError: it can't come true any more.
            ViolationError: it had to hold, and was broken.
            ConditionError: the condition's own code failed.
            InconclusiveError: the log has a gap, so nobody can say.
            NodeExitedError: a node died that should be running. What else ends the run is raised too.
            UnknownNodeError: it names a node that the network doesn't have.
            LimitError, PlaceError: a limit, or `since`, makes no sense here.
            StrayCallError: it is called from another thread or loop than the network's.
        """
        return await self._wait(condition, since=since, soft=soft, hard=hard, lasting=lasting)

    @abc.abstractmethod
    async def _wait(
        self, condition: AnyCondition | type, *, since: Mark | int | None, **limits: Duration | float | None
    ) -> WaitOutcome[Any]: ...

    @property
    def _known_names(self) -> tuple[str, ...]:
        """All names that lines may be of."""
        return self.node_names

    def check_nodes(self, names: Iterable[str]) -> None:
        """Refuse names that the network doesn't have.

        Raises:
            UnknownNodeError: naming the first, and those that there are.
        """
        for name in names_of(names, "names"):
            if name not in self._known_names:
                raise UnknownNodeError(name, self._known_names)

    def _known(self, nodes: Iterable[str]) -> frozenset[str]:
        names = frozenset(names_of(nodes, "nodes"))
        self.check_nodes(sorted(names - {JOURNAL}))
        return names
