"""One run, from the first file written to the last: `deploy`, the command line and the pytest plugin are its shells.

`run.json` stands before anything is started, so that a run that was killed can still be told apart; `result.json`,
`junit.xml` and `report.html` stand at the end, whatever the end was, also where no network came to be.

**Whoever opened the run gets the verdict as an exception at its end.** What the block raised comes out as it is, once.
Where it raised nothing, what ended the run from outside does: a node that died, a capture, a fault that could not be
undone. Where nothing did and something is held against the run all the same, a `RunFailedError` says what.

A disk that takes no more result costs the files, never the verdict.
"""

import enum
import secrets
import shlex
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import final

import anyio
import msgspec
from anyio.abc import TaskGroup

from lucy_core.aio import is_cancellation, leaves, one_error
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.engine import Engine, NetworkSpec, Plan, RunPlace
from lucy_core.engine.contract import require_of
from lucy_core.errors import LucyError, RunFailedError, TopologyError, shown
from lucy_core.judging.judgement import said_by
from lucy_core.judging.result import (
    HeldError,
    Outcome,
    RunResult,
    Severity,
    early_outcome,
    exit_code,
    ledger_notes,
    ledger_rows,
)
from lucy_core.network.network import Network
from lucy_core.network.vocabulary import PlainTopology, Topology
from lucy_core.recording.recording import make_run_directory
from lucy_core.records.journal import carriable, encodable
from lucy_core.reports.files import RunFiles
from lucy_core.run.lifetime import lifetime
from lucy_core.run.versions import versions


class When(enum.StrEnum):
    """When a run directory is kept, or a run held before teardown."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"

    def applies(self, outcome: Outcome) -> bool:
        """Tell whether it applies to a run that ended so."""
        return self is When.ALWAYS or (self is When.ON_FAILURE and outcome is not Outcome.PASSED)


def fix(topology: Topology, options: Mapping[str, str]) -> PlainTopology:
    """Describe a network once and for all.

    Raises:
        TopologyError: it makes no sense.
    """
    spec: object = topology.network_spec(options)
    if not isinstance(spec, NetworkSpec):
        reason = f"describes its network by {shown(spec)}, which is no NetworkSpec"
        raise TopologyError(f"the topology {shown(topology)}", reason)
    spec.validate()
    return PlainTopology(spec, topology.vocabulary)


def new_run_id(name: str) -> str:
    """Make an id for a run that no other run has: its network's name, the time, and six random letters."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return f"{name}-{stamp}-{secrets.token_hex(3)}"


class RunOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run, and what becomes of its directory."""

    test: str
    """The test's name, for people."""
    topology: PlainTopology
    engine: Engine
    options: dict[str, str]
    run_id: str
    directory: Path
    """Absolute."""
    again: tuple[str, ...] = ()
    """The command that runs the same once more."""
    keep: When = When.ALWAYS

    def description(self) -> dict[str, object]:
        """Say what is about to be run, as it may be shown: the content of `run.json`."""
        spec = self.topology.spec
        nodes = [node.description() for node in spec.nodes]
        network = {**msgspec.to_builtins(msgspec.structs.replace(spec, nodes=())), "nodes": nodes}
        # A path of this machine may hold what is no UTF-8, and JSON can't.
        return carriable(
            {
                "run_id": self.run_id,
                "test": self.test,
                "engine": self.engine.name,
                "options": self.options,
                "seed": self.options.get("seed"),
                "started": datetime.now(UTC).isoformat(),
                "command": list(self.again),
                "versions": versions(),
                "vocabulary": None if self.topology.vocabulary is None else self.topology.vocabulary.name,
                "network": network,
            }
        )


@final
class Run:
    """One run, and what is known of it so far."""

    def __init__(
        self, order: RunOrder, record: Callable[[Path], AbstractAsyncContextManager[Pipeline]] = Pipeline.record
    ) -> None:
        """Have the engine work out what it is going to do; nothing is written or started yet.

        Args:
            order: what is to be run.
            record: opens a pipeline that records into a directory; another one in virtual time.

        Raises:
            TopologyError: the engine can't make such a network, or an option of its own makes no sense.
            UnsupportedError: it lacks what a node asks for.
        """
        require_of(order.engine, order.topology.spec.nodes)
        self.order = order
        place = RunPlace(run_id=order.run_id, directory=order.directory, options=order.options)
        self._plan = Plan()
        self._early: BaseException | None = None
        try:
            self._plan = order.engine.plan(order.topology.spec, place)
        except TopologyError:
            raise
        except Exception as error:  # noqa: BLE001  # the engine's own failure: the run has a result, which tells it
            self._early = error
        self._record = record
        self.network: Network | None = None
        """The network, from when it is about to be deployed."""
        self._files = RunFiles(order.directory)
        self._began = time.monotonic()
        self._started = datetime.now(UTC)
        self._seconds: float | None = None
        self._unknown: BaseException | None = None
        self._has_directory = False
        self._cut_short: BaseException | None = None
        """A cancellation of the block's task, where that isn't this one: a group here would take it for its own."""

    def foresee(self) -> None:
        """Refuse a network that can't be started here, as far as the engine can tell; nothing is written yet.

        Raises:
            TopologyError: naming the node and what it lacks.
        """
        self._plan.foresee()

    @asynccontextmanager
    async def opened(self, *, start: bool = True, interrupt: bool = True) -> AsyncIterator[Network]:
        """Hold the deployed network for the block, take it down, write all down, and raise what became of it.

        Args:
            start: whether to start all nodes.
            interrupt: whether what ends the run from outside cancels the block at once. Otherwise the next wait raises.

        Raises:
            RunFailedError: the block raised nothing, and something is held against the run.
        """
        failure: BaseException | None = None
        try:
            make_run_directory(self.order.directory)
            self._has_directory = True
            self._files.write_description(self.order.description())
            self._files.reserve()
            async with one_error(), self._deployed(start=start, interrupt=interrupt) as network:
                yield network
        except BaseException as error:  # noqa: BLE001  # raised again below
            failure = error
        failure = failure or self._cut_short
        result = self._ended(failure)
        if failure is not None:
            raise failure
        if result.outcome is not Outcome.PASSED:
            held = tuple(map(str, result.errors))
            cause = None if self.network is None else self.network.judgement.ended_by
            raise RunFailedError(result.outcome, held, self.order.directory) from cause

    @asynccontextmanager
    async def _deployed(self, *, start: bool, interrupt: bool) -> AsyncIterator[Network]:
        order = self.order
        if self._early is not None:
            raise self._early
        async with (
            self._record(order.directory) as pipeline,
            anyio.create_task_group() as tasks,
            _cancelled_after(tasks),
        ):
            network = self.network = Network(
                run_id=order.run_id,
                spec=order.topology.spec,
                engine=order.engine,
                pipeline=pipeline,
                vocabulary=order.topology.vocabulary,
                tasks=tasks,
            )
            network.begin(order.test)
            try:
                async with lifetime(network, self._plan, start=start, interrupt=interrupt):
                    yield network
            except BaseException as error:
                self._cut_short = error if is_cancellation(error) else None
                raise

    def _ended(self, failure: BaseException | None) -> RunResult:
        self._seconds = round(time.monotonic() - self._began, 3)
        if failure is not None and not is_cancellation(failure):
            errors = [each for each in leaves(failure) if isinstance(each, Exception)]
            self._unknown = next((each for each in errors if not isinstance(each, LucyError)), None)
            if self.network is not None:
                self.network.judgement.record(failure)
        elif failure is not None and self.network is not None:
            self.network.judgement.cut_short()
        if self.network is None:
            self._early = failure
        else:
            self.network.judgement.close()
        result = self.result()
        if not self._has_directory:
            return result
        if self.order.keep.applies(result.outcome):
            self._files.write_result(result)
        else:
            self._files.remove()
        return result

    @property
    def unwritten(self) -> str | None:
        """Which of its files could not be written and why, as a sentence; for whoever opened it to tell."""
        return self._files.unwritten

    @property
    def kept(self) -> bool:
        return self.order.keep.applies(self.result().outcome)

    def result(self) -> RunResult:
        """Say what became of it, as far as it has come."""
        order, network, early = self.order, self.network, self._early
        seconds = round(time.monotonic() - self._began, 3) if self._seconds is None else self._seconds
        outcome = Outcome.PASSED
        if early is not None:
            outcome = Outcome.INTERRUPTED if is_cancellation(early) else early_outcome(next(leaves(early)))
        result = RunResult(
            run_id=order.run_id,
            scenario=encodable(order.test),
            engine=order.engine.name,
            options=carriable(order.options),
            outcome=outcome,
            exit_code=exit_code(outcome, early),
            started=self._started.isoformat(),
            seconds=seconds,
            directory=str(order.directory),
            again=encodable(shlex.join(order.again)),
            errors=()
            if early is None or is_cancellation(early)
            else tuple(
                HeldError(Severity.HARD, "", type(each).__name__, said_by(each), seconds) for each in leaves(early)
            ),
            traceback=encodable("".join(traceback.format_exception(self._unknown))) if self._unknown else "",
        )
        if network is None:
            return result
        findings = network.judgement.findings()
        return msgspec.structs.replace(
            result,
            outcome=findings.outcome,
            exit_code=findings.exit_code,
            decided_by=findings.decided_by,
            sections=findings.sections,
            waits=findings.waits,
            errors=findings.errors,
            nodes=findings.nodes,
            ledger=ledger_rows(network.ledger),
            ledger_notes=ledger_notes(network.ledger),
        )


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
