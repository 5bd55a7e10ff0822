"""The public face: what `lucy_core` itself shows. Imported by it when the first of these names is used.

This is the one list: `as` itself is how type checkers are told that a name is meant for others.
"""

from lucy_core.delivery.interests.interest import Interest as Interest
from lucy_core.delivery.pipeline import Pipeline as Pipeline
from lucy_core.delivery.streams import Stream as Stream, from_items as from_items, merge as merge
from lucy_core.engine import NetworkSpec as NetworkSpec, NodeSpec as NodeSpec, Reach as Reach, Streams as Streams
from lucy_core.engine.execution import ExecResult as ExecResult, Output as Output, Written as Written
from lucy_core.errors import (
    AboutNoNodeError as AboutNoNodeError,
    ArgumentError as ArgumentError,
    AttachError as AttachError,
    BrokenPluginError as BrokenPluginError,
    CallbackError as CallbackError,
    CaptureDiedError as CaptureDiedError,
    CarrierDiedError as CarrierDiedError,
    CheckFailedError as CheckFailedError,
    CommandError as CommandError,
    CommandLineError as CommandLineError,
    CommandTimeoutError as CommandTimeoutError,
    ConditionError as ConditionError,
    CutOffError as CutOffError,
    DeployError as DeployError,
    EngineError as EngineError,
    EngineUnavailableError as EngineUnavailableError,
    EventDefinitionError as EventDefinitionError,
    EventLoopError as EventLoopError,
    ExportError as ExportError,
    FaultError as FaultError,
    FilterError as FilterError,
    ForgottenAwaitError as ForgottenAwaitError,
    HelperDiedError as HelperDiedError,
    HelperStartError as HelperStartError,
    ImpossibleError as ImpossibleError,
    InapplicableError as InapplicableError,
    IncompleteError as IncompleteError,
    InconclusiveError as InconclusiveError,
    JudgementError as JudgementError,
    LifeCycleError as LifeCycleError,
    LimitError as LimitError,
    MalformedLineError as MalformedLineError,
    LucyError as LucyError,
    NoNodesError as NoNodesError,
    NodeApiError as NodeApiError,
    NodeExitedError as NodeExitedError,
    NodeFileError as NodeFileError,
    NodeGoneError as NodeGoneError,
    NodeRefusedError as NodeRefusedError,
    NodeUnreachableError as NodeUnreachableError,
    NotReadyError as NotReadyError,
    OperatorError as OperatorError,
    OptionError as OptionError,
    OutputLimitError as OutputLimitError,
    PipelineError as PipelineError,
    PlaceError as PlaceError,
    PortsTakenError as PortsTakenError,
    RecordingError as RecordingError,
    RefusedError as RefusedError,
    RunFailedError as RunFailedError,
    RunOverError as RunOverError,
    StateError as StateError,
    StrayCallError as StrayCallError,
    StrayTaskError as StrayTaskError,
    StreamEmptyError as StreamEmptyError,
    StreamError as StreamError,
    StreamTimeoutError as StreamTimeoutError,
    SupervisorError as SupervisorError,
    SystemRefusedError as SystemRefusedError,
    TopologyError as TopologyError,
    UnknownEngineError as UnknownEngineError,
    UnknownNameError as UnknownNameError,
    UnknownNodeError as UnknownNodeError,
    UnknownPortError as UnknownPortError,
    UnknownProgramError as UnknownProgramError,
    UnrunnableError as UnrunnableError,
    UnsupportedError as UnsupportedError,
    UsageError as UsageError,
    ViolationError as ViolationError,
    WaitTimeoutError as WaitTimeoutError,
)
from lucy_core.faults import (
    AnyFault as AnyFault,
    Bandwidth as Bandwidth,
    ClockOffset as ClockOffset,
    CpuLimit as CpuLimit,
    Disconnect as Disconnect,
    DiskFull as DiskFull,
    Drop as Drop,
    Fault as Fault,
    Latency as Latency,
    Loss as Loss,
    MemoryLimit as MemoryLimit,
    Pause as Pause,
    Reset as Reset,
)
from lucy_core.filters.predicate import LogFilter as LogFilter, logproc as logproc
from lucy_core.judging.conditions.combinations import (
    all_of as all_of,
    any_of as any_of,
    each_node as each_node,
    in_order as in_order,
)
from lucy_core.judging.conditions.condition import (
    AnyCondition as AnyCondition,
    Condition as Condition,
    Machine as Machine,
    Progress as Progress,
    Start as Start,
    StateFold as StateFold,
    Verdict as Verdict,
)
from lucy_core.judging.conditions.lives import Life as Life, Lives as Lives
from lucy_core.judging.conditions.logged import logged as logged
from lucy_core.judging.conditions.probes import http_ok as http_ok, port_open as port_open
from lucy_core.judging.conditions.sightings import never as never, quiet as quiet, seen as seen
from lucy_core.judging.durations import Clock as Clock, Duration as Duration, seconds as seconds
from lucy_core.judging.result import Outcome as Outcome
from lucy_core.judging.waiting import WaitOutcome as WaitOutcome
from lucy_core.network.leases import Faults as Faults, Lease as Lease, LeaseEnd as LeaseEnd
from lucy_core.network.network import Network as Network
from lucy_core.formats.choice import log_format as log_format
from lucy_core.formats.contract import Batch as Batch, Format as Format, Needles as Needles, Strictness as Strictness
from lucy_core.formats.json import json_lines as json_lines
from lucy_core.network.node import Node as Node
from lucy_core.recording.account import NodeLedger as NodeLedger
from lucy_core.recording.ledger import Absence as Absence, Gap as Gap, Ledger as Ledger
from lucy_core.records.event import EventType as EventType, event as event, event_type as event_type
from lucy_core.records.journal import (
    FaultEffective as FaultEffective,
    FaultRequested as FaultRequested,
    FaultReverted as FaultReverted,
    NodeAdded as NodeAdded,
    NodeExited as NodeExited,
    NodePaused as NodePaused,
    NodeRemoved as NodeRemoved,
    NodeResumed as NodeResumed,
    NodeStarted as NodeStarted,
    NodeStartFailed as NodeStartFailed,
    NodeStopped as NodeStopped,
)
from lucy_core.records.record import (
    Arrived as Arrived,
    Event as Event,
    Line as Line,
    Malformed as Malformed,
    Mark as Mark,
    Record as Record,
    Undecodable as Undecodable,
)
from lucy_core.records.severity import Severity as Severity
from lucy_core.run.deployment import deploy as deploy
from lucy_core.run.exported import attach as attach
from lucy_core.run.replaying import Replay as Replay, replay as replay
from lucy_core.sources.capture import capture as capture
from lucy_core.sources.source import (
    Source as Source,
    fifo as fifo,
    file as file,
    journald as journald,
    process as process,
    socket as socket,
)
