"""What Lucy did and decided, as log lines of its own.

The journal is captured like one more node, called `lucy`: its lines get positions in the same order as everybody's, are
read back like everybody's, and its events are declared like everybody's. So "the node was stopped, then this came" is a
comparison of two positions, live and in a recording.
"""

import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from lucy_core.errors import EventDefinitionError
from lucy_core.events import event, event_type
from lucy_core.faults import AnyFault

JOURNAL = "lucy"
"""The name under which Lucy's own journal appears among the nodes."""


@event(ids="lucy.node_started")
class NodeStarted(msgspec.Struct, frozen=True):
    """A node's daemon was started."""

    node: str
    fresh_state: bool = False


@event(ids="lucy.node_stopped")
class NodeStopped(msgspec.Struct, frozen=True):
    """A node was stopped or killed because the test asked for it; all of its lines have come before."""

    node: str
    killed: bool = False


@event(ids="lucy.node_exited")
class NodeExited(msgspec.Struct, frozen=True):
    """A node's daemon ended by itself; all of its lines have come before."""

    node: str
    how: str
    code: int | None = None
    signal: str | None = None
    after: float = 0.0
    expected: bool = False


@event(ids="lucy.node_paused")
class NodePaused(msgspec.Struct, frozen=True):
    """A node was frozen."""

    node: str


@event(ids="lucy.node_resumed")
class NodeResumed(msgspec.Struct, frozen=True):
    """A frozen node goes on."""

    node: str


@event(ids="lucy.fault_requested")
class FaultRequested(msgspec.Struct, frozen=True):
    """The test asked for a fault."""

    lease: int
    """Which of the run's leases, from 1."""
    fault: AnyFault
    lasting: float
    """Seconds after which it ends by itself."""


@event(ids="lucy.fault_effective")
class FaultEffective(msgspec.Struct, frozen=True):
    """A fault is in effect: it came to be between its request and here."""

    lease: int
    fault: AnyFault


@event(ids="lucy.fault_reverted")
class FaultReverted(msgspec.Struct, frozen=True):
    """A fault is no longer in effect, or never came into effect."""

    lease: int
    fault: AnyFault
    reason: str
    """`ended`, `expired`, `lost` or `failed`."""
    seconds: float
    """For how long it was in effect."""
    detail: str = ""
    """How it was lost, or why it failed."""


@event(ids="lucy.section_started")
class SectionStarted(msgspec.Struct, frozen=True):
    """The test began a section."""

    name: str


@event(ids="lucy.section_ended")
class SectionEnded(msgspec.Struct, frozen=True):
    """The test left a section."""

    name: str
    seconds: float
    outcome: str


@event(ids="lucy.wait_started")
class WaitStarted(msgspec.Struct, frozen=True):
    """The test began to wait."""

    description: str
    soft: float | None
    hard: float | None


@event(ids="lucy.wait_ended")
class WaitEnded(msgspec.Struct, frozen=True):
    """A wait was decided, or timed out."""

    description: str
    seconds: float
    outcome: str


@event(ids="lucy.error")
class RunError(msgspec.Struct, frozen=True):
    """Something was held against the run: a soft error, a hard one, or a subscriber that was cut off."""

    severity: str
    message: str


@event(ids="lucy.engine_notice")
class EngineNotice(msgspec.Struct, frozen=True):
    """The engine saw something happen to a node that nobody asked for: `died`, `out of memory`, `health`."""

    node: str
    what: str
    detail: str = ""


@event(ids="lucy.node_measured")
class NodeMeasured(msgspec.Struct, frozen=True):
    """What a node used at that moment; the processor's seconds count from its container's or process's start."""

    node: str
    cpu_seconds: float
    memory_bytes: int
    threads: int = 0


@event(ids="lucy.probed")
class Probed(msgspec.Struct, frozen=True):
    """A node was asked whether it answers, and what it answered differs from the time before."""

    node: str
    probe: str
    """What was asked: `web.http/health`."""
    ok: bool
    answer: str


LIFE_EVENTS: tuple[type, ...] = (NodeStarted, NodeStopped, NodeExited, NodePaused, NodeResumed)
"""What happened to nodes: every vocabulary's state sees these beside its own events."""

FAULT_EVENTS: tuple[type, ...] = (FaultRequested, FaultEffective, FaultReverted)
"""What was done to the network on purpose."""

TEST_EVENTS: tuple[type, ...] = (SectionStarted, SectionEnded, WaitStarted, WaitEnded, RunError)
"""What happened in the test."""

ENGINE_EVENTS: tuple[type, ...] = (EngineNotice, NodeMeasured)
"""What an engine says of nodes unasked."""

_MESSAGES = {
    NodeStarted: "$node started",
    NodeStopped: "$node stopped",
    NodeExited: "$node $how",
    NodePaused: "$node paused",
    NodeResumed: "$node resumed",
    FaultRequested: "Fault $fault requested for $lasting s",
    FaultEffective: "Fault $fault in effect",
    FaultReverted: "Fault $fault $reason after $seconds s",
    SectionStarted: "Section $name",
    SectionEnded: "Section $name: $outcome after $seconds s",
    WaitStarted: "Waiting for $description",
    WaitEnded: "Waited for $description: $outcome after $seconds s",
    RunError: "$severity error: $message",
    EngineNotice: "$node: $what $detail",
    NodeMeasured: "$node uses $memory_bytes bytes",
    Probed: "$node asked for $probe: $answer",
}
_encode = msgspec.json.Encoder().encode


class _Line(msgspec.Struct):
    timestamp: str
    level: str
    message: str
    metadata: Any
    event_id: str


def journal_line(data: msgspec.Struct) -> bytes:
    """Write one of Lucy's own events as a log line, ending in a newline.

    Raises:
        EventDefinitionError: the event isn't Lucy's own.
    """
    kind = type(data)
    if kind not in _MESSAGES:
        message = f"{kind.__name__} is not an event of Lucy's journal"
        raise EventDefinitionError(message)
    stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d %H:%M:%S.%fZ")
    (event_id,) = event_type(kind).ids
    return _encode(_Line(stamp, _level(data), _MESSAGES[kind], data, event_id)) + b"\n"


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
