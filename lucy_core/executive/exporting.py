"""`lucy ENGINE SCENARIO --export FILE`: writes a scenario's network down for others to run."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from lucy_core.arguments import new_place_of
from lucy_core.engine import PIPES, Capability, RunPlace
from lucy_core.engine.contract import load_engine, require_of
from lucy_core.errors import ExportError, UsageError
from lucy_core.executive.scenario import load_scenario
from lucy_core.judging.result import ExitCode
from lucy_core.run.exported import describe_export
from lucy_core.run.options import Options
from lucy_core.run.run import fix
from lucy_core.run.versions import versions


def export(engine_name: str, scenario_name: str, options: Mapping[str, str], file: Path) -> int:
    """Write the network of a scenario, and say how to run and to read it; return the exit code.

    Raises:
        UsageError: the engine can't.
        ExportError: it could not be written.
    """
    engine = load_engine(engine_name)
    if Capability.EXPORT not in engine.capabilities:
        raise UsageError(
            "--export", f"is in vain: the {engine_name} engine can't write a network down for others; leave it out"
        )
    scenario = load_scenario(scenario_name)
    given = Options(options)
    topology = fix(scenario.topology(given), given)
    given.check(engine)
    file = new_place_of(file, "--export")
    directory = file.parent
    place = RunPlace(run_id=scenario.name, directory=directory, options=given.given)
    require_of(engine, topology.spec.nodes)
    plan = engine.plan(topology.spec, place)
    first = f"{PIPES}/{topology.spec.nodes[0].name}"
    run = plan.running(file)
    read = f"lucy attach {shlex.quote(str(directory))}"
    about = {
        "network": f"{scenario.name}, written by lucy {versions()['lucy']}",
        "run": run,
        "read": f"{read}, or a single node by cat {first}; until then each node waits once its pipe is full",
    }
    plan.export(file, about)
    try:
        describe_export(directory, topology.spec, topology.vocabulary)
    except OSError as error:
        raise ExportError(str(error.filename or directory), f"can't be written: {error.strerror}") from error
    sys.stdout.write(
        f"wrote {file}, for you alone to read, since it has the values of the nodes' variables, "
        f"and beside it what it mounts\n  to run   {run}\n  to read  {read}\n"
        f"           (or one node: cat {shlex.quote(str(directory / first))})\n"
    )
    return ExitCode.PASSED
