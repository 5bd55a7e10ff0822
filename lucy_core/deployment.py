"""Deploying a network for the length of a block."""

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from lucy_core.engine import Engine, NetworkSpec, RunPlace, load_engine
from lucy_core.errors import LucyError
from lucy_core.keeper import kept
from lucy_core.network import Network
from lucy_core.pipeline.pipeline import Pipeline
from lucy_core.vocabulary import PlainTopology, Topology


def new_run_id(name: str) -> str:
    """Make an id for a run that no other run has: its network's name, the time, and six random letters."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return f"{name}-{stamp}-{secrets.token_hex(3)}"


@kept
@asynccontextmanager
async def deploy(
    topology: Topology | NetworkSpec,
    *,
    engine: str | Engine = "process",
    run_directory: str | Path | None = None,
    run_id: str | None = None,
    options: Mapping[str, str] | None = None,
    start: bool = True,
    interrupt: bool = True,
) -> AsyncIterator[Network]:
    """Deploy a network, start its nodes, and destroy it on the way out, however and in whatever task that is taken.

    Args:
        topology: what to deploy.
        engine: which engine deploys it, by name or itself.
        run_directory: where the recording goes; by default `lucy-runs/<run id>` in the working directory.
        run_id: the run's name among all runs.
        options: the run's options, for the topology and the engine.
        start: whether to start all nodes.
        interrupt: whether a node's unexpected death cancels the block at once. Otherwise the next wait raises it.

    Raises:
        EventLoopError: this is no asyncio.
        StrayTaskError: the task that entered the block still ran, elsewhere, when the block was left.
        TopologyError: the network makes no sense; nothing was started.
        UnknownEngineError: no engine is called so.
        DeployError: it could not be deployed.
        NodeExitedError: a node died that should be running, in place of what the block was doing.
    """
    chosen = PlainTopology(topology) if isinstance(topology, NetworkSpec) else topology
    spec = chosen.network_spec(options or {})
    spec.validate()
    engine = load_engine(engine) if isinstance(engine, str) else engine
    run_id = run_id or new_run_id(spec.name)
    directory = Path(run_directory) if run_directory is not None else Path("lucy-runs") / run_id
    place = RunPlace(run_id=run_id, directory=directory.absolute(), options=dict(options or {}))
    config = engine.expand(spec, place)
    async with (
        _one_error(),
        Pipeline.record(place.directory) as pipeline,
        anyio.create_task_group() as tasks,
        _cancelled_after(tasks),
        engine.open(config) as (manager, log_engine),
    ):
        network = Network(
            run_id=run_id, spec=spec, engine=engine, pipeline=pipeline, vocabulary=chosen.vocabulary, tasks=tasks
        )
        await manager.create()
        try:
            await log_engine.attach(pipeline)
            await network.bring_up(manager)
            with anyio.CancelScope() as body:
                if interrupt:
                    network.on_fatal.append(body.cancel)
                try:
                    if start:
                        await network.start_all()
                    yield network
                except LucyError as error:
                    network.judgement.hold(error)
                    raise
            if network.fatal is not None:
                network.judgement.hold(network.fatal)
                raise network.fatal
        finally:
            network.on_fatal.clear()
            with anyio.CancelScope(shield=True):
                await network.take_down(manager)
                await manager.cleanup()


@asynccontextmanager
async def _cancelled_after(tasks: TaskGroup) -> AsyncIterator[None]:
    """Cancel a task group after the block, and no earlier.

    An await on the way out of the block would raise the cancellation in place of the block's own error, and the group
    would take it for its own and swallow it.
    """
    try:
        yield
    finally:
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _one_error() -> AsyncIterator[None]:
    """Take a single error out of the groups that task groups wrap it in."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from error.__cause__
