"""What Lucy did and decided, as log lines of its own.

The journal is captured like one more node, called `lucy`: its lines get positions in the same order as everybody's, are
read back like everybody's, and its events are declared like everybody's. So "the node was stopped, then this came" is a
comparison of two positions, live and in a recording.

Only lines of that node are Lucy's events: what a node prints is a program's own word, and one that prints
`lucy.node_exited` has said nothing about its neighbour.
"""

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from lucy_core.errors import EventDefinitionError, shown
from lucy_core.faults import AnyFault
from lucy_core.records.event import EventType, event, event_type
from lucy_core.records.record import Event
from lucy_core.visible import with_texts

T = TypeVar("T")
JOURNAL = "lucy"
"""The name under which Lucy's own journal appears among the nodes."""


_MESSAGES: dict[type, str] = {}
"""What the line of each of Lucy's own events says, by type."""


def _own(event_id: str, message: str) -> Callable[[type[T]], type[T]]:
    """Declare one of Lucy's own events, which no other node's line can be, and what its line says."""

    def declare(kind: type[T]) -> type[T]:
        _MESSAGES[kind] = message
        return event(ids=event_id, writer=JOURNAL)(kind)

    return declare


@_own("lucy.node_started", "$node started")
class NodeStarted(msgspec.Struct, frozen=True):
    """A node's daemon was started."""

    node: str
    """Which."""
    fresh_state: bool = False
    """Whether its state directory was emptied before."""


@_own("lucy.node_start_failed", "$node could not be started: $reason")
class NodeStartFailed(msgspec.Struct, frozen=True):
    """A start that was announced came to nothing: the node doesn't run."""

    node: str
    """Which."""
    reason: str
    """What stood in the way."""


@_own("lucy.node_added", "$node added")
class NodeAdded(msgspec.Struct, frozen=True):
    """A node came into the network while that was up; it isn't started yet."""

    node: str
    """The node."""
    role: str
    """Its role, in the vocabulary's words."""


@_own("lucy.node_removed", "$node removed")
class NodeRemoved(msgspec.Struct, frozen=True):
    """A node left the network for good while that was up; all of its lines have come before."""

    node: str
    """The node."""


@_own("lucy.node_stopped", "$node stopped")
class NodeStopped(msgspec.Struct, frozen=True):
    """A node was stopped or killed because the test asked for it; all of its lines have come before."""

    node: str
    """Which."""
    killed: bool = False
    """Whether by SIGKILL at once."""


@_own("lucy.node_exited", "$node $how")
class NodeExited(msgspec.Struct, frozen=True):
    """A node's daemon ended by itself; all of its lines have come before."""

    node: str
    """Which."""
    how: str
    """In words: `exited with code 1`, `was killed by SIGKILL`."""
    code: int | None = None
    """Its exit status, where it exited."""
    signal: str | None = None
    """`SIGKILL` and the like, where a signal ended it."""
    after: float = 0.0
    """Seconds since its start."""
    expected: bool = False
    """Whether the test had said that it may end."""


@_own("lucy.node_paused", "$node paused")
class NodePaused(msgspec.Struct, frozen=True):
    """A node was frozen."""

    node: str
    """Which."""


@_own("lucy.node_resumed", "$node resumed")
class NodeResumed(msgspec.Struct, frozen=True):
    """A frozen node goes on."""

    node: str
    """Which."""


@_own("lucy.fault_requested", "Fault $fault requested for $lasting s")
class FaultRequested(msgspec.Struct, frozen=True):
    """The test asked for a fault."""

    lease: int
    """The id of its lease."""
    fault: AnyFault
    """What it asked for."""
    lasting: float
    """Seconds after which it ends by itself."""
    parent: int = 0
    """The id of the section or wait that the task was in; 0 for none."""


@_own("lucy.fault_effective", "Fault $fault in effect")
class FaultEffective(msgspec.Struct, frozen=True):
    """A fault is in effect: it came to be between its request and here."""

    lease: int
    """The id of its lease."""
    fault: AnyFault
    """What was asked for."""


@_own("lucy.fault_reverted", "Fault $fault $reason after $seconds s")
class FaultReverted(msgspec.Struct, frozen=True):
    """A fault is no longer in effect, or never came into effect."""

    lease: int
    """The id of its lease."""
    fault: AnyFault
    """What had been asked for."""
    reason: str
    """`ended`, `expired`, `lost` or `failed`."""
    seconds: float
    """For how long it was in effect."""
    detail: str = ""
    """How it was lost, or why it failed."""


@_own("lucy.run_began", "Run $run_id of $test on the $engine engine")
class RunBegan(msgspec.Struct, frozen=True):
    """A run began; all times of its result count from here."""

    run_id: str
    test: str
    engine: str
    nodes: dict[str, str]
    """The role of each node, by name."""


@_own("lucy.run_decided", "Test ended: $outcome")
class RunDecided(msgspec.Struct, frozen=True):
    """The test is over, and its nodes are about to be taken down."""

    outcome: str
    """`passed`, or what the error makes of the run with which the test ended."""
    exit_code: int = 0
    kind: str = ""
    """The type of that error."""
    message: str = ""


@_own("lucy.section_started", "Section $name")
class SectionStarted(msgspec.Struct, frozen=True):
    """The test began a section."""

    id: int
    name: str
    parent: int = 0


@_own("lucy.section_ended", "Section $name: $outcome after $seconds s")
class SectionEnded(msgspec.Struct, frozen=True):
    """The test left a section."""

    id: int
    name: str
    seconds: float
    outcome: str
    """`passed`, `soft errors` or `failed`."""


@_own("lucy.wait_started", "Waiting for $description")
class WaitStarted(msgspec.Struct, frozen=True):
    """The test began to wait."""

    id: int
    description: str
    soft: float | None
    """Seconds; None is no limit, as JSON has no infinity."""
    hard: float | None
    parent: int = 0
    lasting: float | None = None
    """For how many seconds it has to hold, where that is what was asked."""


@_own("lucy.wait_ended", "Waited for $description: $outcome after $seconds s")
class WaitEnded(msgspec.Struct, frozen=True):
    """A wait was decided, or timed out."""

    id: int
    description: str
    seconds: float
    outcome: str
    """`passed`, `late`, `cancelled`, the type of the error, or `unfinished` where the run was over before it."""


@_own("lucy.command_started", "$node is asked: $command")
class CommandStarted(msgspec.Struct, frozen=True):
    """The test asked something of a node: a command, or a call of an API of its own."""

    id: int
    node: str
    command: str
    arguments: str = ""
    left_out: int = 0
    """How many characters of `arguments` were cut off."""
    parent: int = 0


@_own("lucy.command_ended", "$node was asked: $command, $outcome after $seconds s")
class CommandEnded(msgspec.Struct, frozen=True):
    """A node, or its engine, has answered."""

    id: int
    node: str
    command: str
    seconds: float
    outcome: str
    """`done`, `cancelled`, or the type of the error."""
    result: str = ""
    """What it returned, or what the error says."""
    left_out: int = 0
    """How many characters of `result` were cut off."""


@_own("lucy.mark_taken", "Mark at $position")
class MarkTaken(msgspec.Struct, frozen=True):
    """The test took a mark."""

    id: int
    position: int
    parent: int = 0


@_own("lucy.error", "$severity error: $message")
class RunError(msgspec.Struct, frozen=True):
    """Something was held against the run: a soft error, a hard one, or a subscriber that was cut off."""

    severity: str
    message: str
    kind: str = ""
    """The type of a hard error, `check` or the like of a soft one."""
    parent: int = 0
    outcome: str = "failed"
    """What it makes of the run, if it decides."""
    exit_code: int = 1


@_own("lucy.engine_notice", "$node: $what $detail")
class EngineNotice(msgspec.Struct, frozen=True):
    """The engine saw something happen to a node that nobody asked for: `died`, `out of memory`, `health`."""

    node: str
    """To which."""
    what: str
    """A word for what happened."""
    detail: str = ""
    """What there is to say of it; may be empty."""


@_own("lucy.node_measured", "$node uses $memory_bytes bytes")
class NodeMeasured(msgspec.Struct, frozen=True):
    """What a node used at that moment; the processor's seconds count from its start."""

    node: str
    """Which."""
    cpu_seconds: float
    """Processor time since its start."""
    memory_bytes: int
    """Memory that it held."""
    threads: int = 0
    """How many threads it had; 0 where that isn't known."""


@_own("lucy.probed", "$node asked for $probe: $answer")
class Probed(msgspec.Struct, frozen=True):
    """A node was asked whether it answers, and what it answered differs from the time before."""

    node: str
    probe: str
    """What was asked: `web.http/health`."""
    ok: bool
    answer: str


LIFE_EVENTS: tuple[type, ...] = (
    NodeAdded,
    NodeStarted,
    NodeStartFailed,
    NodeStopped,
    NodeExited,
    NodePaused,
    NodeResumed,
    NodeRemoved,
)
"""What happened to nodes: every vocabulary's state sees these beside its own events."""

FAULT_EVENTS: tuple[type, ...] = (FaultRequested, FaultEffective, FaultReverted)
"""What was done to the network on purpose."""

TEST_EVENTS: tuple[type, ...] = (
    RunBegan,
    RunDecided,
    SectionStarted,
    SectionEnded,
    WaitStarted,
    WaitEnded,
    CommandStarted,
    CommandEnded,
    MarkTaken,
    RunError,
)
"""What happened in the test."""

ENGINE_EVENTS: tuple[type, ...] = (EngineNotice, NodeMeasured)
"""What an engine says of nodes unasked."""


def about(event: Event[Any]) -> tuple[str, ...]:
    """Return of which nodes an event tells: a node's line of that node, an event of Lucy's of those that it names.

    An event of the run as a whole (a section, a mark) is about none.
    """
    data = event.data
    if event.node != JOURNAL or type(data) not in _MESSAGES:
        return (event.node,)
    match data:
        case FaultRequested() | FaultEffective() | FaultReverted():
            return data.fault.members
        case _:
            node: str | None = getattr(data, "node", None)
            return () if node is None else (node,)


def is_of(event: Event[Any], nodes: Collection[str]) -> bool:
    """Tell whether somebody who asks for these nodes means this event: it is about one of them, or written by one.

    So `lucy`, whose name no node can have, means all that stands in the journal.
    """
    return event.node in nodes or any(node in nodes for node in about(event))


def tells_of_nodes(kind: EventType[Any]) -> bool:
    """Tell whether events of a type are about nodes, so that one may ask for those of some."""
    if kind.data_type not in _MESSAGES:
        return True
    return not {"node", "fault"}.isdisjoint(kind.data_type.__struct_fields__)


_encode = msgspec.json.Encoder().encode


class _Line(msgspec.Struct):
    timestamp: str
    level: str
    message: str
    metadata: Any
    event_id: str


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(at_ns: int) -> datetime:
    """Return a time in nanoseconds since the epoch as a line can carry it: to the microsecond, exactly."""
    return EPOCH + timedelta(microseconds=at_ns // 1000)


def encodable(text: str) -> str:
    """Return a text with what no JSON can carry replaced: a name from the file system may hold such."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def carriable(data: T) -> T:
    """Return an event, or a value in one, that a line can carry: what it is, its texts made `encodable`."""
    return with_texts(data, encodable)


TEXT_LIMIT = 2048
"""How many characters of an answer the journal keeps: enough to recognise it, and a file of a node may be large."""


def bounded(value: object) -> tuple[str, int]:
    """Return a value as a text for the journal, and how many characters of it were left out."""
    match value:
        case None:
            text = ""
        case str():
            text = value
        case bytes():
            text = value.decode(errors="backslashreplace")
        case _:
            try:
                text = msgspec.json.encode(value, enc_hook=shown).decode()
            except (ValueError, TypeError, OverflowError, RecursionError):  # a name that is no UTF-8, a huge number
                text = shown(value)
    return encodable(text[:TEXT_LIMIT]), max(0, len(text) - TEXT_LIMIT)


def journal_line(data: msgspec.Struct, at: datetime | None = None) -> bytes:
    """Write one of Lucy's own events as a log line, ending in a newline; it happened now unless `at` says when.

    Raises:
        EventDefinitionError: the event isn't Lucy's own.
    """
    kind = type(data)
    if kind not in _MESSAGES:
        raise EventDefinitionError(kind.__name__, "is not an event of Lucy's journal")
    stamp = (at or moment(time.time_ns())).strftime("%Y-%m-%d %H:%M:%S.%fZ")
    (event_id,) = event_type(kind).ids
    return _encode(_Line(stamp, _level(data), _MESSAGES[kind], carriable(data), event_id)) + b"\n"


def _level(data: msgspec.Struct) -> str:
    match data:
        case RunError() | NodeExited(expected=False):
            return "Error"
        case EngineNotice():
            return "Warn"
        case NodeMeasured():
            return "Debug"
        case _:
            return "Info"
