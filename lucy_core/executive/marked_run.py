"""The run behind one pytest test: what its marker asked for, and what is told when it fails.

The network is deployed by a task of its own, which never raises. anyio runs a test and its fixtures in one task, and
waits in it for the next of them: a task group that is cancelled then would take the whole test runner along.
"""

import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, cast, final

import anyio

from lucy_core.engine import Engine, NetworkSpec, engine_names, load_engine
from lucy_core.errors import RunFailedError, UsageError
from lucy_core.executive.performance import prepare_directory
from lucy_core.executive.scenario import unknown
from lucy_core.network import Network
from lucy_core.reports.text import report
from lucy_core.run import Run, RunOrder, When, fix, new_run_id
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
        fixed = fix(topology, options)
        self._run = Run(
            RunOrder(
                test=test,
                topology=fixed,
                engine=engine,
                options=options,
                run_id=new_run_id(fixed.spec.name),
                directory=directory,
                again=("pytest", test),
                keep=keep,
            )
        )
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
        prepare_directory(self._run.order.directory)
        ready, done = anyio.Event(), anyio.Event()
        network: list[Network] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hold, network, ready, done)
            await ready.wait()
            if network:
                try:
                    yield network[0]
                finally:
                    done.set()
        # What the test has failed with already has been told.
        if self._error is not None and self._error not in self._told:
            raise self._error

    async def _hold(self, network: list[Network], ready: anyio.Event, done: anyio.Event) -> None:
        try:
            async with self._run.opened(interrupt=False) as opened:
                network.append(opened)
                ready.set()
                await done.wait()
        except RunFailedError:
            pass  # `complaint` says it
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # raised again by `deployed`
            self._error = error
        except BaseException as error:
            # `pytest.fail` in a callback ends the run with that, and is raised again by `deployed` too.
            if not network or error is not network[0].fatal:
                raise
            self._error = error
        finally:
            ready.set()

    def failed(self, error: BaseException) -> None:
        """Take note of what the test failed with."""
        self._told.append(error)
        if self._run.network is not None:
            self._run.network.judgement.decide(error)

    def complaint(self) -> str | None:
        """Say what the test should fail for, though it did not."""
        if self._run.network is None or self._told:
            return None
        errors = self._run.network.judgement.errors
        lines = [f"  {error}" for error in errors]
        what = "error was" if len(errors) == 1 else "errors were"
        return "\n".join((f"{len(errors)} {what} held against the run:", *lines)) if errors else None

    def explain(self) -> str:
        """Tell the run so far, for pytest's report."""
        return report(self._run.result(), coloured=False, kept=self._run.kept).strip("\n")
