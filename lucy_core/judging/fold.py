"""The journal, folded into what became of the run: sections, waits, errors, nodes' lives, outcome.

There is one such fold, and it is fed with the journal's events alone. Live, an event goes in as it is written, before
it has left for the capture process, so that a verdict survives a capture that died or a disk that is full. Afterwards
the same events come out of the recording, with the times that stand in their lines, and give the same findings: a
report is never more than what the recording says.

**A journal that may lack something can't acquit.** Read back, it may end before the test did, or have a gap: what was
held against the run may stand where nothing can be read. Such a run has not passed, it is inconclusive, and the
findings say why. A failure that can be read stays one: nothing that is missing could take it back.

**Which error decides.** The one with which the test ended, if it ended with one (`RunDecided`). Otherwise the first
hard one: a section that was soft has swallowed it, or it came with the teardown. Soft errors alone fail the run.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, final

import msgspec

from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.subscription import Sink
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import InconclusiveError
from lucy_core.judging.result import (
    ExitCode,
    Findings,
    HeldError,
    NodeResult,
    OpenWait,
    Outcome,
    SectionResult,
    Severity,
    WaitResult,
    exit_code,
)
from lucy_core.records import journal
from lucy_core.records.event import EventType, event_type
from lucy_core.records.record import Event, Malformed, Undecodable

JUDGED = (*journal.LIFE_EVENTS, *journal.FAULT_EVENTS, *journal.TEST_EVENTS)
"""The events that findings are made of."""

_STATES: dict[type, str] = {
    journal.NodeAdded: "deployed",
    journal.NodeStarted: "running",
    journal.NodeStopped: "stopped",
    journal.NodeExited: "stopped",
    journal.NodePaused: "paused",
    journal.NodeResumed: "running",
    journal.NodeRemoved: "removed",
}


@final
class Fold:
    """What the journal has said so far. `apply` takes its events in their order."""

    def __init__(self) -> None:
        self._run = journal.RunBegan("", "", "", {})
        self._began: datetime | None = None
        self._last = 0.0
        self._parents: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._troubled: set[int] = set()
        self._open_sections: dict[int, float] = {}
        self._open_waits: dict[int, OpenWait] = {}
        self._roles: dict[str, str] = {}
        self._states: dict[str, str] = {}
        self._before_start: dict[str, str] = {}
        self._states_at_end: dict[str, str] | None = None
        self._life: dict[str, list[str]] = defaultdict(list)
        self._decision: journal.RunDecided | None = None
        self._first_hard: tuple[HeldError, journal.RunError] | None = None
        self._sections: list[SectionResult] = []
        self.waits: list[WaitResult] = []
        self.errors: list[HeldError] = []

    def seconds(self, at: datetime) -> float:
        """Return a time in seconds since the run began."""
        return 0.0 if self._began is None else max(0.0, (at - self._began).total_seconds())

    def apply(self, data: Any, at: datetime) -> None:  # any of the journal's events
        """Take one event in; one that says nothing of the result changes nothing."""
        if self._began is None:
            self._began = at
        when = self._last = self.seconds(at)
        match data:
            case journal.RunBegan():
                self._run = data
                self._roles = dict(data.nodes)
                self._states = dict.fromkeys(data.nodes, "deployed")
            case journal.RunDecided():
                # One that comes later was made on the way out, and can only make less of the run.
                if self._decision is None or self.verdict()[0] is Outcome.PASSED:
                    self._decision = data
                self._states_at_end = self._states_at_end or dict(self._states)
            case journal.SectionStarted():
                outer = self.section_of(data.parent)
                self._parents[data.id] = data.parent
                self._names[data.id] = f"{self._names[outer]} / {data.name}" if outer else data.name
                self._open_sections[data.id] = when
            case journal.SectionEnded():
                self._section_ended(data, when)
            case journal.WaitStarted():
                self._parents[data.id] = data.parent
                inside = self.section_of(data.parent)
                self._open_waits[data.id] = OpenWait(
                    id=data.id,
                    description=data.description,
                    section=self._names.get(inside, ""),
                    inside=inside,
                    started=when,
                    soft=data.soft,
                    hard=data.hard,
                    lasting=data.lasting,
                )
            case journal.WaitEnded() if data.id in self._open_waits:
                self._wait_ended(data)
            case journal.RunError():
                self._record(data, when)
            case journal.FaultEffective() | journal.FaultReverted():
                for node in data.fault.members:
                    self._life[node].append(f"{fault_in_words(data)} at {when:.1f} s")
            case journal.CommandStarted():
                self._parents[data.id] = data.parent
            case journal.CommandEnded():
                self._parents.pop(data.id, None)
            case _ if isinstance(data, journal.LIFE_EVENTS):
                self._live_on(data)
                self._life[data.node].append(f"{life_in_words(data)} at {when:.1f} s")  # type: ignore[attr-defined]

    def _live_on(self, data: Any) -> None:  # any of LIFE_EVENTS
        if isinstance(data, journal.NodeStartFailed):
            self._states[data.node] = self._before_start.get(data.node, "deployed")
            return
        if isinstance(data, journal.NodeAdded):
            self._roles[data.node] = data.role
        if isinstance(data, journal.NodeStarted):
            self._before_start[data.node] = self._states.get(data.node, "deployed")
        self._states[data.node] = _STATES[type(data)]

    def section_of(self, number: int) -> int:
        """Return the innermost section around something, itself included; 0 outside of all."""
        while number and number not in self._names:
            number = self._parents.get(number, 0)
        return number

    def is_troubled(self, section: int) -> bool:
        """Tell whether an error was held against a section, or a section in it."""
        return section in self._troubled

    def name_of(self, section: int) -> str:
        """Return a section's name after those around it; empty outside of all."""
        return self._names.get(section, "")

    def _section_ended(self, data: journal.SectionEnded, when: float) -> None:
        started = self._open_sections.pop(data.id, when - data.seconds)
        parent = self.section_of(self._parents.get(data.id, 0))
        self._sections.append(
            SectionResult(self._names.get(data.id, data.name), started, data.seconds, data.outcome, data.id, parent)
        )

    def _wait_ended(self, data: journal.WaitEnded) -> None:
        self._parents.pop(data.id, None)
        wait = msgspec.structs.asdict(self._open_waits.pop(data.id))
        self.waits.append(WaitResult(**wait, seconds=data.seconds, outcome=data.outcome))

    def _record(self, data: journal.RunError, when: float) -> None:
        inside = self.section_of(data.parent)
        error = HeldError(Severity(data.severity), self._names.get(inside, ""), data.kind, data.message, when, inside)
        self.errors.append(error)
        if error.severity is Severity.HARD and self._first_hard is None:
            self._first_hard = error, data
        while inside:
            self._troubled.add(inside)
            inside = self.section_of(self._parents.get(inside, 0))

    @property
    def sections(self) -> tuple[SectionResult, ...]:
        """The sections that are over, in the order in which they began."""
        return tuple(sorted(self._sections, key=lambda each: each.id))

    @property
    def open_sections(self) -> tuple[str, ...]:
        """The names of those that aren't, the same way."""
        return tuple(self._names[number] for number in self._open_sections)

    @property
    def open_waits(self) -> tuple[OpenWait, ...]:
        """What the test waits for, the longest-running first."""
        return tuple(self._open_waits.values())

    def verdict(self) -> tuple[Outcome, int, HeldError | None]:
        """Say what became of the run as far as it has come, with the exit code and the error that decided it."""
        decision = self._decision
        if decision is not None and decision.outcome != Outcome.PASSED:
            said = (decision.kind, decision.message)
            deciding = next((error for error in reversed(self.errors) if (error.kind, error.message) == said), None)
            return Outcome(decision.outcome), decision.exit_code, deciding
        if self._first_hard is not None:
            error, data = self._first_hard
            return Outcome(data.outcome), data.exit_code, error
        if self.errors:
            return Outcome.FAILED, ExitCode.FAILED, self.errors[0]
        return Outcome.PASSED, ExitCode.PASSED, None

    def doubt(self, reason: str) -> None:
        """Take note that not all of the journal could be read, so that nobody can say that the run has passed."""
        if self.verdict()[0] is Outcome.PASSED:
            outcome = Outcome.INCONCLUSIVE
            error = journal.RunError(
                Severity.HARD, reason, InconclusiveError.__name__, 0, outcome, exit_code(outcome, None)
            )
            self._record(error, self._last)

    @property
    def is_decided(self) -> bool:
        """Whether the test was over, and what it came to was written down."""
        return self._decision is not None

    def findings(self) -> Findings:
        outcome, code, decided_by = self.verdict()
        states = self._states_at_end or self._states
        return Findings(
            run_id=self._run.run_id,
            test=self._run.test,
            engine=self._run.engine,
            outcome=outcome,
            exit_code=int(code),
            decided_by=decided_by,
            sections=self.sections,
            open_sections=self.open_sections,
            waits=tuple(self.waits),
            open_waits=self.open_waits,
            errors=tuple(self.errors),
            nodes=tuple(
                NodeResult(name, role, states.get(name, "deployed"), tuple(self._life.get(name, ())))
                for name, role in self._roles.items()
            ),
        )


async def replayed(pipeline: Pipeline) -> Findings:
    """Fold the journal of a recording, up to what has arrived; it passes no run of whose journal something is missing.

    Raises:
        RecordingError: nothing was recorded.
    """
    events: list[Event[Any]] = []
    unread: list[Undecodable | Malformed] = []
    end = pipeline.mark().position
    types: list[EventType[Any]] = [event_type(kind) for kind in JUDGED]
    # Of the journal alone: a node may print a line that looks like one of Lucy's.
    asked: dict[Interest, Sink] = {
        Interest(nodes=(journal.JOURNAL,), event_types=types): events.extend,
        Interest(nodes=(journal.JOURNAL,), event_types=types, kind=Undecodable): unread.extend,
        Interest(nodes=(journal.JOURNAL,), kind=Malformed): unread.extend,
    }
    await pipeline.read_all_back(asked, 0, end)
    fold = Fold()
    for event in events:
        fold.apply(event.data, event.timestamp or journal.moment(event.arrived_ns))
    if (reason := _missing(pipeline, fold, unread)) is not None:
        fold.doubt(reason)
    return fold.findings()


def _missing(pipeline: Pipeline, fold: Fold, unread: Sequence[Undecodable | Malformed]) -> str | None:
    """Say why the journal may lack something that would count."""
    if unread:
        first = unread[0]
        return f"{len(unread):,} lines of the journal can't be read, the first at position {first.position:,}"
    gaps = [gap for gap in pipeline.ledger.gaps if gap.node in (None, journal.JOURNAL)]
    if gaps:
        return f"what was held against the run may be missing: the journal has a gap {gaps[0]}"
    if not fold.is_decided:
        return "the journal doesn't say what the test came to: it ends before the test did"
    return None


def fault_in_words(data: journal.FaultEffective | journal.FaultReverted) -> str:
    """Say what became of a fault."""
    return f"{data.fault} {'in effect' if isinstance(data, journal.FaultEffective) else data.reason}"


def life_in_words(data: Any) -> str:  # any of LIFE_EVENTS
    """Say what happened to a node, without its name."""
    match data:
        case journal.NodeAdded():
            return "added"
        case journal.NodeRemoved():
            return "removed"
        case journal.NodeStarted():
            return "started with fresh state" if data.fresh_state else "started"
        case journal.NodeStartFailed():
            return f"could not be started ({data.reason})"
        case journal.NodeStopped():
            return "killed" if data.killed else "stopped"
        case journal.NodePaused():
            return "paused"
        case journal.NodeResumed():
            return "resumed"
        case journal.NodeExited():
            return data.how if data.expected else f"{data.how} BY ITSELF"
        case _:
            return repr(data)
