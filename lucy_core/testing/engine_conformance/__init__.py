"""The suite that every engine has to pass. For authors of engines; needs pytest.

::

    import pytest
    from lucy_core.testing.engine_conformance import EngineConformance
    from my_engine import MyEngine

    class TestMyEngine(EngineConformance):
        python = "python3"  # the interpreter, in the place where the engine puts nodes
        captures = {"pipe": {}, "socket": {"capture": "tcp"}}  # its ways to take lines: a name, and the options

        @pytest.fixture
        def engine(self):
            return MyEngine()

It runs real scripted nodes: all that they need is a Python 3.7 in the place where your engine puts them. What your
engine lacks (`Engine.capabilities`, `Engine.faults`) is refused by name, and the suite checks that in place of the
effect. After each way to end a run it asks `Engine.leftovers`. The engine's class must be importable by name, since
some tests end a Lucy that runs in a process of its own.
"""

import pytest

# Before they are imported: a failed assertion shows its values.
_PARTS = (
    *("suite", "life_cycle", "control", "daemons", "deaths", "members"),
    *("completeness", "sources", "faults", "cleanup"),
)
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from lucy_core.testing.engine_conformance.cleanup import CleanupConformance as CleanupConformance  # noqa: E402
from lucy_core.testing.engine_conformance.completeness import CompletenessConformance as CompletenessConformance  # noqa: E402
from lucy_core.testing.engine_conformance.control import ControlConformance as ControlConformance  # noqa: E402
from lucy_core.testing.engine_conformance.daemons import DaemonConformance as DaemonConformance  # noqa: E402
from lucy_core.testing.engine_conformance.deaths import DeathConformance as DeathConformance  # noqa: E402
from lucy_core.testing.engine_conformance.faults import FaultConformance as FaultConformance  # noqa: E402
from lucy_core.testing.engine_conformance.life_cycle import LifeCycleConformance as LifeCycleConformance  # noqa: E402

from lucy_core.testing.engine_conformance.members import MemberConformance as MemberConformance  # noqa: E402
from lucy_core.testing.engine_conformance.sources import SourceConformance as SourceConformance  # noqa: E402


class EngineConformance(
    LifeCycleConformance,
    ControlConformance,
    DaemonConformance,
    DeathConformance,
    MemberConformance,
    CompletenessConformance,
    SourceConformance,
    FaultConformance,
    CleanupConformance,
):
    """Everything that an engine has to hold. Subclass it, and define the fixture `engine`."""
