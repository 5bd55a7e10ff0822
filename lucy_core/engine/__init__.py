"""The contract for authors of engines. `lucy_core.engine.contract` tells what an engine is.

Beside the contract stands what engines are built with: nothing else of the core is theirs to import, but for
`lucy_core.errors` and, for engines with helper processes of their own, `lucy_core.helpers`.
"""

from lucy_core import log
from lucy_core.aio import Services, carry_through, one_error
from lucy_core.arguments import readable_text
from lucy_core.capture import run_files
from lucy_core.capture.sources.fifo import make_fifo
from lucy_core.engine.contract import (
    PIPES,
    Capability,
    Engine,
    EngineNetwork,
    EngineNode,
    ExitReport,
    NodeExit,
    Plan,
    Resources,
    RunPlace,
    engine_names,
    engine_of,
    load_engine,
    require,
)
from lucy_core.engine.execution import ExecResult, Output, Take, Written
from lucy_core.engine.garbage import Collector, Leftover, Remark, Search
from lucy_core.engine.injection import FaultLost, Injection
from lucy_core.engine.intake import LineCapture
from lucy_core.engine.lifecycle import LifeCycle, State
from lucy_core.engine.options import EngineOption, is_on
from lucy_core.engine.spec import HostForm, Layout, NetworkSpec, NodeSpec, fill_in, fill_in_bytes, start_order
from lucy_core.faults import FAULT_KINDS, Disconnect, Fault, MemoryLimit, Pause
from lucy_core.private_files import check_shared, create_private
from lucy_core.records.journal import EngineNotice, NodeMeasured
from lucy_core.removal import make_empty

__all__ = [
    "FAULT_KINDS",
    "PIPES",
    "Capability",
    "Collector",
    "Disconnect",
    "Engine",
    "EngineNetwork",
    "EngineNode",
    "EngineNotice",
    "EngineOption",
    "ExecResult",
    "ExitReport",
    "Fault",
    "FaultLost",
    "HostForm",
    "Injection",
    "Layout",
    "Leftover",
    "LifeCycle",
    "LineCapture",
    "MemoryLimit",
    "NetworkSpec",
    "NodeExit",
    "NodeMeasured",
    "NodeSpec",
    "Output",
    "Pause",
    "Plan",
    "Remark",
    "Resources",
    "RunPlace",
    "Search",
    "Services",
    "State",
    "Take",
    "Written",
    "carry_through",
    "check_shared",
    "create_private",
    "engine_names",
    "engine_of",
    "fill_in",
    "fill_in_bytes",
    "is_on",
    "load_engine",
    "log",
    "make_empty",
    "make_fifo",
    "one_error",
    "readable_text",
    "require",
    "run_files",
    "start_order",
]
