"""Deploying a network for the length of a block."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from lucy_core import log
from lucy_core.arguments import new_place_of, switch_of, text_of, title_of
from lucy_core.engine import Engine, NetworkSpec
from lucy_core.engine.contract import engine_of
from lucy_core.network.network import Network
from lucy_core.network.vocabulary import Topology, topology_of
from lucy_core.run.keeper import kept
from lucy_core.run.options import Options, options_of_all_engines
from lucy_core.run.run import Run, RunOrder, fix, new_run_id


@kept
@asynccontextmanager
async def deploy(
    topology: Topology | NetworkSpec,
    *,
    engine: str | Engine = "process",
    run_directory: str | Path | None = None,
    run_id: str | None = None,
    test: str | None = None,
    options: Mapping[str, str] | None = None,
    start: bool = True,
    interrupt: bool = True,
) -> AsyncIterator[Network]:
    """Deploy a network, start its nodes, and destroy it on the way out, however and in whatever task that is taken.

    The run directory holds the recording, and in the end `result.json`, `junit.xml` and `report.html`.

    Args:
        topology: what to deploy.
        engine: which engine deploys it, by name or itself.
        run_directory: where the recording goes; by default `lucy-runs/<run id>` in the working directory.
        run_id: the run's name among all runs.
        test: what the run's result is called; by default as the network.
        options: the run's options, for the topology and the engine.
        start: whether to start all nodes.
        interrupt: whether a node's unexpected death cancels the block at once. Otherwise the next wait raises it.

    Raises:
        EventLoopError: this is no asyncio.
        StrayTaskError: the task that entered the block still ran, elsewhere, when the block was left.
        TopologyError: the network makes no sense, or is none; nothing was started.
        UsageError: an option is no text, or nobody knows it; nothing was started.
        ArgumentError: another argument is of no use; nothing was started.
        UnknownEngineError: no engine is called so.
        UnsupportedError: the engine lacks what a node asks for; nothing was started.
        DeployError: it could not be deployed.
        NodeExitedError: a node died that should be running, in place of what the block was doing.
        RunFailedError: the block raised nothing, but something is held against the run: a soft error, say.
    """
    chosen = topology_of(topology)
    deploying = engine_of(engine)
    given = Options(options)
    fixed = fix(chosen, given)
    given.check(deploying, also=options_of_all_engines)
    run_id = new_run_id(fixed.spec.name) if run_id is None else title_of(run_id, "run_id")
    order = RunOrder(
        test=fixed.spec.name if test is None else text_of(test, "test"),
        topology=fixed,
        engine=deploying,
        options=given.given,
        run_id=run_id,
        directory=new_place_of(Path("lucy-runs") / run_id if run_directory is None else run_directory, "run_directory"),
    )
    switch_of(start, "start")
    switch_of(interrupt, "interrupt")
    run = Run(order)
    try:
        async with run.opened(start=start, interrupt=interrupt) as network:
            yield network
    finally:
        if run.unwritten is not None:
            log.warning(run.unwritten)
