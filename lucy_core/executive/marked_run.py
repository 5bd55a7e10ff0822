"""The run behind one pytest test: what its marker asked for, and what is told when it fails.

The network is deployed by a task of its own, which never raises. anyio runs a test and its fixtures in one task, and
waits in it for the next of them: a task group that is cancelled then would take the whole test runner along.
"""

import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast, final

import anyio

from lucy_core.deployment import deploy, new_run_id
from lucy_core.engine import Engine, NetworkSpec, engine_names, load_engine
from lucy_core.errors import UsageError
from lucy_core.executive.chronicle import Chronicle
from lucy_core.executive.outlets import follow, own
from lucy_core.executive.report import report
from lucy_core.executive.result import RunResult, early_outcome, exit_code
from lucy_core.executive.run import When, describe_run, fix, hold, prepare_directory, write_json, write_result
from lucy_core.executive.scenario import unknown
from lucy_core.judgement import Outcome
from lucy_core.network import Network
from lucy_core.vocabulary import PlainTopology, Topology

ACCEPTED = ("topology", "engine", "options")


class Marker(Protocol):
    """What is needed of a `pytest.Mark`."""

    @property
    def args(self) -> tuple[Any, ...]:
        """Its positional arguments."""
        ...

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Its keyword arguments."""
        ...


def check_marker(test: str, marker: Marker | None) -> Mapping[str, Any]:
    """Return the marker's arguments.

    Raises:
        UsageError: it isn't there, or its arguments are not the right ones.
    """
    example = "@pytest.mark.lucy(topology=…)"
    if marker is None:
        message = f"{test} uses lucy_network and has no marker: add {example}"
        raise UsageError(message)
    if marker.args:
        message = f"{test}: the marker lucy takes keyword arguments alone: {example}"
        raise UsageError(message)
    for name in marker.kwargs:
        if name not in ACCEPTED:
            message = f"{test}: {unknown('argument of the marker lucy', name, ACCEPTED)}"
            raise UsageError(message)
    if "topology" not in marker.kwargs:
        message = f"{test}: the marker lucy lacks its topology: {example}"
        raise UsageError(message)
    return marker.kwargs


def check_topology(test: str, topology: Any) -> Topology:  # whatever stands in the marker
    """Return the topology, made by its function if it is one.

    Raises:
        UsageError: it is none.
    """
    if callable(topology) and not hasattr(topology, "network_spec"):
        topology = topology()
    if isinstance(topology, NetworkSpec):
        return PlainTopology(topology)
    if isinstance(topology, type) or not (hasattr(topology, "network_spec") and hasattr(topology, "vocabulary")):
        message = (
            f"{test}: topology={topology!r} in the marker lucy is neither a topology, a NetworkSpec nor a function"
        )
        raise UsageError(message)
    return cast("Topology", topology)


def check_engine(test: str, engine: Any) -> Engine:  # whatever stands in the marker
    """Return the engine.

    Raises:
        UsageError: there is none of that name, or it is none.
    """
    if isinstance(engine, str):
        if engine not in engine_names():
            message = f"{test}: {unknown('engine', engine, engine_names())}"
            raise UsageError(message)
        return load_engine(engine)
    if isinstance(engine, type) or not isinstance(engine, Engine):
        message = f"{test}: engine={engine!r} in the marker lucy is neither an engine nor the name of one"
        raise UsageError(message)
    return engine


def check_options(test: str, options: Any) -> dict[str, str]:  # whatever stands in the marker
    """Return the options.

    Raises:
        UsageError: they are not text by text.
    """
    if not isinstance(options, Mapping) or not all(isinstance(each, str) for pair in options.items() for each in pair):
        message = f"{test}: options={options!r} in the marker lucy is not a mapping of text to text"
        raise UsageError(message)
    return dict(options)


@final
class MarkedRun:
    """One test's run."""

    def __init__(
        self, *, test: str, topology: Topology, engine: Engine, options: dict[str, str], directory: Path, keep: When
    ) -> None:
        self._test = test
        self._engine = engine
        self._options = options
        self._topology = fix(topology, options)
        self._directory = directory
        self._keep = keep
        self._run_id = new_run_id(self._topology.spec.name)
        self._chronicle = Chronicle(time.time_ns())
        self._started = datetime.now(UTC)
        self._began = time.monotonic()
        self._network: Network | None = None
        self._told: list[BaseException] = []
        self._error: BaseException | None = None

    @classmethod
    def of(
        cls, test: str, marker: Marker | None, *, engine: str | None, directory: str | None, tmp_path: Path, keep: str
    ) -> "MarkedRun":
        """Read the marker.

        Raises:
            UsageError: naming what is wrong with it.
            TopologyError: the network makes no sense.
        """
        arguments = check_marker(test, marker)
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", test.rpartition("/")[2]).strip("-")[:80]
        place = Path(directory) / f"{name}-{secrets.token_hex(3)}" if directory else tmp_path / "lucy-run"
        return cls(
            test=test,
            topology=check_topology(test, arguments["topology"]),
            engine=check_engine(test, engine or arguments.get("engine", "process")),
            options=check_options(test, arguments.get("options", {})),
            directory=place.absolute(),
            keep=When(keep),
        )

    @asynccontextmanager
    async def deployed(self) -> AsyncIterator[Network]:
        """Hold the network for the length of the test. Raises what deploying and taking down raised."""
        prepare_directory(self._directory)
        write_json(self._directory / "run.json", self._description())
        ready, done = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hold, ready, done)
            await ready.wait()
            if self._network is not None and self._error is None:
                try:
                    yield self._network
                finally:
                    done.set()
        self._finish()
        # What the test has failed with already has been told.
        if self._error is not None and self._error not in self._told:
            raise self._error

    def _description(self) -> dict[str, object]:
        return describe_run(
            run_id=self._run_id,
            test=self._test,
            engine=self._engine.name,
            options=self._options,
            spec=self._topology.spec,
            again=("pytest", self._test),
        )

    async def _hold(self, ready: anyio.Event, done: anyio.Event) -> None:
        try:
            async with deploy(
                self._topology,
                engine=self._engine,
                run_directory=self._directory,
                run_id=self._run_id,
                options=self._options,
                start=False,
                interrupt=False,
            ) as network:
                self._network = network
                follow(network, own(), self._chronicle.take)
                await network.start_all()
                ready.set()
                await done.wait()
                self._chronicle.test_over(network)
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # raised again by `deployed`
            self._error = error
        except BaseException as error:
            # `pytest.fail` in a callback ends the run with that, and is raised again by `deployed` too.
            if self._network is None or error is not self._network.fatal:
                raise
            self._error = error
        finally:
            ready.set()

    def failed(self, error: BaseException) -> None:
        """Take note of what the test failed with."""
        self._told.append(error)
        if self._network is not None:
            hold(self._network.judgement, error)

    def complaint(self) -> str | None:
        """Say what the test should fail for, though it did not."""
        if self._network is None or self._told:
            return None
        errors = self._network.judgement.errors
        lines = [f"  [{error.at:.1f} s] {error.severity} {error.kind}: {error.message}" for error in errors]
        what = "error was" if len(errors) == 1 else "errors were"
        return "\n".join((f"{len(errors)} {what} held against the run:", *lines)) if errors else None

    def _result(self) -> RunResult:
        outcome: Outcome = Outcome.PASSED
        ended_by: BaseException | None = None
        if self._network is not None:
            outcome, ended_by = self._network.judgement.outcome, self._network.judgement.ended_by
        elif self._error is not None:
            outcome, ended_by = early_outcome(self._error), self._error
        result = RunResult(
            run_id=self._run_id,
            scenario=self._test,
            engine=self._engine.name,
            options=self._options,
            outcome=outcome,
            exit_code=exit_code(outcome, ended_by),
            started=self._started.isoformat(),
            seconds=round(time.monotonic() - self._began, 3),
            directory=str(self._directory),
            again=f"pytest '{self._test}'",
        )
        return self._chronicle.complete(result, self._network) if self._network is not None else result

    def explain(self) -> str:
        """Tell the run so far, for pytest's report."""
        result = self._result()
        return report(result, coloured=False, kept=self._keep.holds(result.outcome)).strip("\n")

    def _finish(self) -> None:
        if self._error is not None and self._network is not None:
            hold(self._network.judgement, self._error)
        result = self._result()
        if self._keep.holds(result.outcome):
            write_result(self._directory, result)
        else:
            shutil.rmtree(self._directory, ignore_errors=True)
