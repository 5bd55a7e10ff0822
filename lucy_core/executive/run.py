"""One run of a scenario, from the first file written to the last.

`run.json` stands before anything is started, so that a run that was killed can still be told apart; `result.json`,
`junit.xml` and `report.html` stand at the end, whatever the end was.
"""

import enum
import platform
import shlex
import shutil
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, final

import anyio
import msgspec

from lucy_core.aio import leaves
from lucy_core.deployment import deploy, new_run_id
from lucy_core.engine import Engine, NetworkSpec, load_engine
from lucy_core.errors import LucyError, UsageError
from lucy_core.executive.chronicle import Chronicle
from lucy_core.executive.html_report import html_report
from lucy_core.executive.interruption import Interruption
from lucy_core.executive.junit import junit
from lucy_core.executive.outlets import Outlet, follow, own
from lucy_core.executive.pause import pause
from lucy_core.executive.result import RunResult, early_outcome, exit_code
from lucy_core.executive.scenario import Scenario
from lucy_core.journal import JOURNAL
from lucy_core.judgement import HeldError, Judgement, Outcome, Severity
from lucy_core.network import Network
from lucy_core.vocabulary import Topology, Vocabulary


class When(enum.StrEnum):
    """When a run directory is kept, or a run held before teardown."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"

    def holds(self, outcome: Outcome) -> bool:
        """Tell whether it applies to a run that ended so."""
        return self is When.ALWAYS or (self is When.ON_FAILURE and outcome is not Outcome.PASSED)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    engine: str
    options: dict[str, str]
    directory: Path | None = None
    keep: When = When.ALWAYS
    pause: When = When.NEVER
    again: tuple[str, ...] = ()
    """The command that runs the same once more."""
    lasts_until_interrupted: bool = False
    """Whether Ctrl-C is how such a run ends, and thus no verdict."""


class FixedTopology(msgspec.Struct, frozen=True):
    """A topology whose network has been described, so that what is written down is what is deployed."""

    vocabulary: Vocabulary | None
    spec: NetworkSpec

    def network_spec(self, options: Mapping[str, str]) -> NetworkSpec:  # noqa: ARG002  # they were used before
        """Return what was described."""
        return self.spec


def fix(topology: Topology, options: Mapping[str, str]) -> FixedTopology:
    """Describe a network once and for all.

    Raises:
        TopologyError: it makes no sense.
    """
    spec = topology.network_spec(options)
    spec.validate()
    return FixedTopology(topology.vocabulary, spec)


def versions() -> dict[str, str]:
    """Name what the run depends on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("lucy", "anyio", "msgspec", "reactivex"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def prepare_directory(directory: Path) -> None:
    """Make the run directory, private to its user.

    Raises:
        UsageError: there is something in it. What a run may remove at its end must be its own.
    """
    try:
        if directory.exists() and any(directory.iterdir()):
            message = f"the run directory {directory} is not empty; choose another"
            raise UsageError(message)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    except OSError as error:
        message = f"can't make the run directory {directory}: {error.strerror}"
        raise UsageError(message) from error


def write_json(path: Path, value: Any) -> None:  # whatever msgspec writes
    """Write a value as JSON for people and programs."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2) + b"\n")


def describe_run(
    *, run_id: str, test: str, engine: str, options: Mapping[str, str], spec: NetworkSpec, again: Sequence[str]
) -> dict[str, object]:
    """Say what is about to be run: the content of `run.json`. Files are named with their sizes, not their content."""
    network = msgspec.to_builtins(spec, builtin_types=(bytes,))
    for node in network["nodes"]:
        node["files"] = {path: len(content) for path, content in node["files"].items()}
    return {
        "run_id": run_id,
        "test": test,
        "engine": engine,
        "options": dict(options),
        "seed": options.get("seed"),
        "started": datetime.now(UTC).isoformat(),
        "command": list(again),
        "versions": versions(),
        "network": network,
    }


@final
class Run:
    """One run, and what is known of it so far."""

    def __init__(
        self, scenario: Scenario, order: Order, interruption: Interruption, engine: Engine | None = None
    ) -> None:
        """Check the order; nothing is written or started yet. The engine is the one that the order names, if not given.

        Raises:
            UsageError: the run directory can't be used.
            TopologyError: the network makes no sense.
        """
        self._scenario = scenario
        self._order = order
        self._interruption = interruption
        self.engine: Engine = engine or load_engine(order.engine)
        self.topology = fix(scenario.topology(order.options), order.options)
        self.run_id = new_run_id(scenario.name)
        self.directory = (order.directory or Path("lucy-runs") / self.run_id).absolute()
        self._began = time.monotonic()
        self._started = datetime.now(UTC)
        self._chronicle = Chronicle(time.time_ns())
        self._network: Network | None = None
        self._early: BaseException | None = None
        self._unknown: BaseException | None = None
        self._interrupted = False

    async def perform(self, outlets: Sequence[Outlet]) -> RunResult:
        """Run, write all down, and say what became of it."""
        prepare_directory(self.directory)
        write_json(self.directory / "run.json", self.description())
        async with AsyncExitStack() as stack:
            for outlet in outlets:
                await stack.enter_async_context(outlet.running())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._interruption.watch)
                try:
                    await self._deploy(outlets)
                except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # any end of a run is its result
                    self._ended_by(error)
                tasks.cancel_scope.cancel()
        result = self.result()
        self._write(result)
        return result

    def description(self) -> dict[str, object]:
        """Say what is about to be run."""
        return describe_run(
            run_id=self.run_id,
            test=self._scenario.name,
            engine=self._order.engine,
            options=self._order.options,
            spec=self.topology.spec,
            again=self._order.again,
        )

    async def _deploy(self, outlets: Sequence[Outlet]) -> None:
        async with deploy(
            self.topology,
            engine=self.engine,
            run_directory=self.directory,
            run_id=self.run_id,
            options=self._order.options,
            start=False,
        ) as network:
            self._network = network
            follow(network, own(), self._chronicle.take)
            for outlet in outlets:
                outlet.watch(network)
            try:
                # Inside of the deployment, so that its teardown is never cancelled with the test.
                with self._interruption.scope():
                    await self._test(network)
            except anyio.get_cancelled_exc_class():
                # A node's death: the deployment cancels its block. It may be looked at before the teardown.
                await self._test_over(network, outlets, network.fatal)
                raise
            except Exception as error:
                await self._test_over(network, outlets, error)
                raise
            await self._test_over(network, outlets, None)

    async def _test(self, network: Network) -> None:
        with network.section("start nodes"):
            await network.start_all()
        await self._scenario.run(network)

    async def _test_over(self, network: Network, outlets: Sequence[Outlet], error: BaseException | None) -> None:
        self._interrupted = self._interruption.signal is not None
        if error is not None:
            hold(network.judgement, error)
        self._chronicle.test_over(network)
        for outlet in outlets:
            outlet.test_over()
        if self._order.pause.holds(network.judgement.outcome) and not self._interrupted:
            with self._interruption.scope(shield=True):
                if network.ledger.capture_died is None:
                    # So that nothing of the test is shown below the invitation.
                    await network.pipeline.reach(await network.pipeline.drain(JOURNAL))
                await pause(network)

    def _ended_by(self, error: BaseException) -> None:
        self._unknown = next((each for each in leaves(error) if not isinstance(each, LucyError)), None)
        if self._network is None:
            self._early = next(leaves(error))
        else:
            hold(self._network.judgement, error)

    def _outcome(self) -> tuple[Outcome, BaseException | None]:
        if self._interrupted and not self._order.lasts_until_interrupted:
            return Outcome.INTERRUPTED, None
        if self._network is not None:
            return self._network.judgement.outcome, self._network.judgement.ended_by
        if self._early is not None:
            return early_outcome(self._early), self._early
        return Outcome.INTERRUPTED, None

    def result(self) -> RunResult:
        """Say what became of it."""
        outcome, ended_by = self._outcome()
        seconds = round(time.monotonic() - self._began, 3)
        early = self._early
        result = RunResult(
            run_id=self.run_id,
            scenario=self._scenario.name,
            engine=self._order.engine,
            options=self._order.options,
            outcome=outcome,
            exit_code=exit_code(outcome, ended_by),
            started=self._started.isoformat(),
            seconds=seconds,
            directory=str(self.directory),
            again=shlex.join(self._order.again),
            errors=(HeldError(Severity.HARD, "", type(early).__name__, str(early) or repr(early), seconds),)
            if early is not None
            else (),
            traceback="".join(traceback.format_exception(self._unknown)) if self._unknown else "",
        )
        return self._chronicle.complete(result, self._network) if self._network is not None else result

    def _write(self, result: RunResult) -> None:
        if not self._order.keep.holds(result.outcome):
            shutil.rmtree(self.directory, ignore_errors=True)
        elif self.directory.is_dir():
            write_result(self.directory, result)


def write_result(directory: Path, result: RunResult) -> None:
    """Write a finished run's files."""
    write_json(directory / "result.json", result)
    (directory / "junit.xml").write_bytes(junit(result))
    (directory / "report.html").write_text(html_report(result), encoding="utf-8")


def hold(judgement: Judgement, error: BaseException) -> None:
    """Hold all that a group holds; what is held already adds nothing."""
    for each in leaves(error):
        text = str(each) or type(each).__name__
        if not any(held.kind == type(each).__name__ and held.message == text for held in judgement.errors):
            judgement.hold(each)
