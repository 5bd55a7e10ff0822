"""Lucy: run a network of real nodes, capture every line they log, and test over those lines as typed streams.

This is the public face: what it lists is public, what it doesn't isn't. Mina's vocabulary is `lucy_core.mina`, support
for tests of tests `lucy_core.testing`, and the contract for authors of engines `lucy_core.engine`.
"""

from lucy_core.deployment import deploy
from lucy_core.engine import NetworkSpec, NodeSpec
from lucy_core.errors import (
    CaptureDiedError,
    CheckFailedError,
    CommandError,
    DeployError,
    EngineError,
    EventDefinitionError,
    ImpossibleError,
    InconclusiveError,
    JudgementError,
    LifeCycleError,
    LucyError,
    NodeApiError,
    NodeExitedError,
    NodeRefusedError,
    NodeUnreachableError,
    PipelineError,
    RecordingError,
    SourceBusyError,
    SourceClosedError,
    StreamEmptyError,
    StreamError,
    TopologyError,
    UnknownEngineError,
    UnknownNodeError,
    UnsupportedError,
    UsageError,
    WaitTimeoutError,
)
from lucy_core.events import EventType, event, event_type
from lucy_core.journal import NodeExited, NodePaused, NodeResumed, NodeStarted, NodeStopped
from lucy_core.judgement import Outcome
from lucy_core.network import Network
from lucy_core.node import Node
from lucy_core.pipeline.hub import Interest
from lucy_core.pipeline.ledger import Ledger, NodeLedger
from lucy_core.pipeline.pipeline import Pipeline
from lucy_core.records import Event, Level, LogRecord, Malformed, Mark, Undecodable
from lucy_core.streams import Stream, from_items, merge
from lucy_core.waiting import Clock, Condition, Duration, Progress, Verdict, WaitOutcome, epochs, seconds, slots

__all__ = [
    "CaptureDiedError",
    "CheckFailedError",
    "Clock",
    "CommandError",
    "Condition",
    "DeployError",
    "Duration",
    "EngineError",
    "Event",
    "EventDefinitionError",
    "EventType",
    "ImpossibleError",
    "InconclusiveError",
    "Interest",
    "JudgementError",
    "Ledger",
    "Level",
    "LifeCycleError",
    "LogRecord",
    "LucyError",
    "Malformed",
    "Mark",
    "Network",
    "NetworkSpec",
    "Node",
    "NodeApiError",
    "NodeExited",
    "NodeExitedError",
    "NodeLedger",
    "NodePaused",
    "NodeRefusedError",
    "NodeResumed",
    "NodeSpec",
    "NodeStarted",
    "NodeStopped",
    "NodeUnreachableError",
    "Outcome",
    "Pipeline",
    "PipelineError",
    "Progress",
    "RecordingError",
    "SourceBusyError",
    "SourceClosedError",
    "Stream",
    "StreamEmptyError",
    "StreamError",
    "TopologyError",
    "Undecodable",
    "UnknownEngineError",
    "UnknownNodeError",
    "UnsupportedError",
    "UsageError",
    "Verdict",
    "WaitOutcome",
    "WaitTimeoutError",
    "deploy",
    "epochs",
    "event",
    "event_type",
    "from_items",
    "merge",
    "seconds",
    "slots",
]
