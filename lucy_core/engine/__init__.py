"""The contract for authors of engines. `contract` tells what an engine is; `docs/engines.md` builds one from nothing.

Beside the contract stands what engines are built with. Of the rest of the core they import `lucy_core.errors`;
`lucy_core.helpers`, where they have helper processes of their own; and `lucy_core.filters.logproc` and
`lucy_core.capturing.tagged`, where they filter or tag lines before capture has them.
"""

from lucy_core import log as log
from lucy_core.aio import Services as Services, carry_through as carry_through, one_error as one_error
from lucy_core.arguments import readable_text as readable_text
from lucy_core.capturing import run_files as run_files
from lucy_core.capturing.sources.fifo import make_fifo as make_fifo
from lucy_core.engine.capability import Capability as Capability
from lucy_core.engine.contract import (
    PIPES as PIPES,
    Engine as Engine,
    EngineNetwork as EngineNetwork,
    EngineNode as EngineNode,
    ExitReport as ExitReport,
    NodeExit as NodeExit,
    Plan as Plan,
    Resources as Resources,
    RunPlace as RunPlace,
)
from lucy_core.engine.execution import Output as Output, Take as Take, Written as Written
from lucy_core.engine.files import node_files as node_files, write_node_files as write_node_files
from lucy_core.engine.garbage import Collector as Collector, Leftover as Leftover, Remark as Remark, Search as Search
from lucy_core.engine.injection import FaultLost as FaultLost, Injection as Injection
from lucy_core.engine.line_capture import LineCapture as LineCapture
from lucy_core.engine.lifecycle import State as State
from lucy_core.engine.options import EngineOption as EngineOption, is_on as is_on
from lucy_core.engine.signals import DEFAULT_STOP as DEFAULT_STOP, Reach as Reach, signal_number as signal_number
from lucy_core.engine.layout import HostForm as HostForm, Layout as Layout, fill_in as fill_in
from lucy_core.engine.sources import Streams as Streams
from lucy_core.engine.spec import NetworkSpec as NetworkSpec, NodeSpec as NodeSpec, start_order as start_order
from lucy_core.faults import (
    FAULT_KINDS as FAULT_KINDS,
    Disconnect as Disconnect,
    Fault as Fault,
    MemoryLimit as MemoryLimit,
    Pause as Pause,
)
from lucy_core.private_files import (
    check_shared as check_shared,
    create_private as create_private,
    let_through as let_through,
)
from lucy_core.records.journal import EngineNotice as EngineNotice, NodeMeasured as NodeMeasured
from lucy_core.removal import make_empty as make_empty
