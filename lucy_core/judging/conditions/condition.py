"""What a test may wait for: conditions, and the machines that judge them. Sans-IO.

A *condition* is a value that says what is meant; `begin` makes a *machine* of it, which follows one wait. A machine
takes events in the run's order and, where time alone matters (`quiet`), the news that time has passed; it has no clock,
no pipeline and no task, so the same condition judges a live network, a recording and a run in virtual time. It is asked
for nothing but its progress, and is fed nothing once its verdict is final.
"""

import enum
from collections.abc import Callable
from typing import Any, Generic, Protocol, Self, TypeVar, final

import msgspec

from lucy_core.arguments import Rule, fit, function_of, instance_of, switch_of, text_of, tuple_of
from lucy_core.errors import ArgumentError
from lucy_core.judging.durations import Duration, checked
from lucy_core.records.record import Event


class Verdict(enum.StrEnum):
    """What a condition says of a run: for ever (`TRUE`, `FALSE`), or as far as it has come (the presumable ones)."""

    TRUE = "true"
    """It is true, whatever comes."""
    PRESUMABLY_TRUE = "presumably true"
    """It holds so far, and may still be broken."""
    PRESUMABLY_FALSE = "presumably false"
    """It isn't true yet."""
    FALSE = "false"
    """It can't come true any more."""

    @property
    def is_final(self) -> bool:
        """Whether nothing that comes can change it."""
        return self in (Verdict.TRUE, Verdict.FALSE)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How near a condition is: `have` of `need`, what is `missing`, or why it is `impossible`."""

    have: float
    """How much there is."""
    need: float
    """How much is wanted."""
    missing: tuple[str, ...] = ()
    """What is still wanted, a line each, naming its node: `b: at height 3, 5 wanted`."""
    impossible: str | None = None
    """Why it can't come true any more, or what broke it."""
    holds: bool = False
    """Whether it has enough so far and may still be broken: for conditions that are judged when their time is over."""

    def __post_init__(self) -> None:
        """Refuse what is no measure: a comparison with it would say anything."""
        measures: tuple[tuple[str, object], ...] = (("have", self.have), ("need", self.need))
        for name, value in measures:
            if not isinstance(value, int | float) or value != value:  # noqa: PLR0124  # NaN alone isn't itself
                raise ArgumentError(name, value, "measures no progress; give a number")

    @property
    def verdict(self) -> Verdict:
        """True or false for good, or as it looks now."""
        if self.impossible is not None:
            return Verdict.FALSE
        if self.have < self.need:
            return Verdict.PRESUMABLY_FALSE
        return Verdict.PRESUMABLY_TRUE if self.holds else Verdict.TRUE


class StateFold(Protocol):
    """A vocabulary's picture of the network, folded from events. Mutable and single-owner; `copy` shares nothing."""

    def apply(self, event: Event[Any]) -> None:
        """Take one event in. Called in the run's order, with events of the vocabulary's types and Lucy's own."""
        ...

    def copy(self) -> Self:
        """Return an independent picture of the same moment."""
        ...


class Start(msgspec.Struct, frozen=True):
    """Where a machine begins."""

    state: Any
    """The picture of the network there. It goes on: each event is folded into it before the machine gets it."""
    at_ns: int
    """When that was, on the clock that stamps arrivals."""
    nodes: tuple[str, ...] = ()
    """All nodes of the network."""


class Machine(Protocol):
    """One condition as it is judged. It may raise: that ends the wait with an error that names the condition."""

    @property
    def progress(self) -> Progress:
        """How near it is now."""
        ...

    @property
    def evidence(self) -> tuple[Event[Any], ...]:
        """The events that it rests on, in the run's order."""
        ...

    @property
    def due_ns(self) -> int | None:
        """When the passing of time alone changes something, on the clock that stamps arrivals; None for never."""
        ...

    def step(self, event: Event[Any]) -> None:
        """Take one event in: one of the condition's types, or of Lucy's own about nodes."""
        ...

    def pass_time(self, now_ns: int) -> None:
        """Take note that all that arrived up to `now_ns` has been told."""
        ...


class AnyCondition(Protocol):
    """A condition as a wait sees it. The ready-made ones and `Condition` are; anybody may write more."""

    @property
    def name(self) -> str:
        """Its kind, the same for every wait of that kind: `blocks_produced`."""
        ...

    @property
    def description(self) -> str:
        """What is awaited, to finish the sentence "waiting for …"."""
        ...

    @property
    def event_types(self) -> tuple[type, ...]:
        """The events that its machine has to see."""
        ...

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that it names; a network that lacks one refuses it at once."""
        ...

    @property
    def soft(self) -> Duration:
        """After this a wait that was told no other limit leaves a soft error."""
        ...

    @property
    def hard(self) -> Duration:
        """After this a wait that was told no other limit is over."""
        ...

    @property
    def must_hold(self) -> bool:
        """Whether it is never true for good and so has to be given a time for which to hold (`lasting=`)."""
        ...

    @property
    def needs_all_lines(self) -> bool:
        """Whether its being true rests on something *not* having come: then no line may be missing."""
        ...

    def begin(self, start: Start) -> Machine:
        """Make a machine that judges from `start` on."""
        ...


class Timeless:
    """What machines have in common that no passing of time changes; `Wait` knows when a limit is over."""

    due_ns = None

    def pass_time(self, now_ns: int) -> None:
        """Nothing follows from it."""


S = TypeVar("S")


class Condition(msgspec.Struct, Generic[S], frozen=True, kw_only=True):
    """A condition that compares two pictures of the network: as it was at the wait's start, and as it is.

    `check` is pure. It is called once at the start, then after each event whose data is one of `event_types` (and after
    Lucy's own about nodes). What it must know stands in the vocabulary's state; where there is none it gets
    `Lives`, which knows the nodes' lives alone. A condition with a memory of its own is a class
    with `begin` (`AnyCondition`).
    """

    name: str
    """The condition's kind, the same for every wait of that kind: `blocks_produced`."""
    description: str
    """What is awaited, to finish the sentence "waiting for …"."""
    check: Callable[[S, S], Progress]
    """Compares the picture at the start with that of now. Pure; may raise, which ends the wait."""
    event_types: tuple[type, ...]
    """The events after which it is asked."""
    soft: Duration
    """After this a wait that was told no other limit leaves a soft error."""
    hard: Duration
    """After this a wait that was told no other limit is over."""
    nodes: tuple[str, ...] = ()
    """The nodes that it names; a network that lacks one refuses it at once."""
    must_hold: bool = False
    """Whether it is never true for good, so that a wait needs `lasting=`."""
    needs_all_lines: bool = False
    """Whether it rests on something not having come, so that no line may be missing."""
    is_readiness: bool = False
    """Whether nodes are awaited that a test needs to begin: `lucy` has an exit code for their never being ready."""

    def __post_init__(self) -> None:
        """Refuse limits that are none, and what is of no use in another field. Raises LimitError, ArgumentError."""
        checked("soft", self.soft)
        checked("hard", self.hard)
        fit(self, CONDITION_RULES)

    def with_timeouts(self, *, soft: Duration | None = None, hard: Duration | None = None) -> Self:
        """Return the same condition with other timeouts."""
        return msgspec.structs.replace(
            self,
            soft=self.soft if soft is None else checked("soft", soft),
            hard=self.hard if hard is None else checked("hard", hard),
        )

    def begin(self, start: Start) -> Machine:
        """Take the picture at the start, and look for the first time."""
        return _Comparison(self.check, start.state, self.event_types)


CONDITION_RULES: dict[str, Rule] = {
    "name": text_of,
    "description": text_of,
    "check": function_of,
    "event_types": tuple_of(instance_of(type, "an event type"), "(NodeStarted,)"),
    "nodes": tuple_of(text_of, "('a',)"),
    "must_hold": switch_of,
    "needs_all_lines": switch_of,
    "is_readiness": switch_of,
}
RELATED_EVENTS = 8
"""How many of the last events are kept where nothing tells which of them mattered."""


@final
class _Comparison(Timeless, Generic[S]):
    """Judges a `Condition`."""

    def __init__(self, check: Callable[[S, S], Progress], state: Any, event_types: tuple[type, ...]) -> None:
        self._check = check
        self._before = state.copy()
        self._now = state
        self._event_types = event_types
        self.evidence: tuple[Event[Any], ...] = ()
        self.progress = check(self._before, self._now)

    def step(self, event: Event[Any]) -> None:
        if isinstance(event.data, self._event_types):
            self.evidence = (*self.evidence[1 - RELATED_EVENTS :], event)
        self.progress = self._check(self._before, self._now)
