"""The run behind one pytest test, or behind all that share a network: what is deployed for it, held against it, told.

The network lives in a task of its own (`keeper`), on the loop that ran when it was deployed, and the task that entered
it is over before the test begins. So nothing that happens to the network interrupts a test: what it awaits next raises
it, and what it awaited nothing of is told when it is over.
"""

import asyncio
import re
import secrets
import shlex
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import final

import anyio

from lucy_core.deployment import deploy, new_run_id
from lucy_core.errors import CaptureDiedError, LucyError, NodeExitedError
from lucy_core.executive.chronicle import Chronicle
from lucy_core.executive.marker import Wanted
from lucy_core.executive.outlets import follow, own
from lucy_core.executive.report import report
from lucy_core.executive.result import RunResult, early_outcome, exit_code
from lucy_core.executive.run import When, describe_run, fix, hold, prepare_directory, write_json, write_result
from lucy_core.journal import JOURNAL
from lucy_core.judgement import Outcome
from lucy_core.lifecycle import State
from lucy_core.network import Network

SETTLING = 10.0
"""Seconds that what has arrived gets to be delivered, when a test is over."""


@final
class MarkedRun:
    """One run, for one test or for all that share a network."""

    def __init__(self, test: str, wanted: Wanted, *, again: tuple[str, ...], directory: Path, keep: When) -> None:
        """Check the network; nothing is written or started yet.

        Raises:
            TopologyError: it makes no sense.
        """
        self._test = test
        self._engine = wanted.engine
        self._options = wanted.options
        self._topology = fix(wanted.topology, wanted.options)
        self.directory = directory
        self._keep = keep
        self._again = again
        self._run_id = new_run_id(self._topology.spec.name)
        self._chronicle = Chronicle(time.time_ns())
        self._started = datetime.now(UTC)
        self._began = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._network: Network | None = None
        self._told: list[BaseException] = []
        self._errors_told = 0
        self._error: BaseException | None = None

    @asynccontextmanager
    async def deployed(self) -> AsyncIterator[Network]:
        """Hold the network, all nodes started, on the loop that runs now. Raises what no test has failed with yet.

        To be entered in a task that is over when a test runs: a network that fails would cancel it.
        """
        prepare_directory(self.directory)
        write_json(self.directory / "run.json", self._description())
        self._loop = asyncio.get_running_loop()
        try:
            async with deploy(
                self._topology,
                engine=self._engine,
                run_directory=self.directory,
                run_id=self._run_id,
                options=self._options,
                start=False,
                interrupt=False,
            ) as network:
                self._network = network
                follow(network, own(), self._chronicle.take)
                await network.start_all()
                yield network
                self._chronicle.test_over(network)
        except (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001  # a callback's pytest.fail or sys.exit too; raised again if news
            self._error = error
        self._finish()
        if self._error is not None and not self._is_told(self._error):
            self.failed(self._error)
            raise self._error

    def settle(self) -> None:
        """Wait until all that has arrived is delivered, and every death that is known is explained."""
        if self._loop is not None and not self._loop.is_closed() and not self._loop.is_running():
            self._loop.run_until_complete(self._settle())

    async def _settle(self) -> None:
        network = self._network
        if network is None or network.ledger.capture_died is not None:
            return
        with anyio.move_on_after(SETTLING):
            dying = True
            while dying:
                try:
                    position = await network.pipeline.drain(JOURNAL)
                except CaptureDiedError:
                    return
                await network.pipeline.reach(position)
                dying = any(node.last_exit and node.state in (State.RUNNING, State.PAUSED) for node in network)

    def verdict(self) -> LucyError | str | None:
        """Give what a test should fail for though it did not: a death, or else what is newly held.

        A node's death is told to one of those that share a network: the others may do without it, or start it again.
        That of the capture ends them all.
        """
        if self._network is None:
            return None
        fatal = self._network.fatal
        if isinstance(fatal, NodeExitedError):
            self._network.fatal = None
        if fatal is None or (isinstance(fatal, NodeExitedError) and self._is_told(fatal)):
            return self.news()
        self.failed(fatal)
        return fatal

    def news(self) -> str | None:
        """Say what is held against the run that nobody was told yet."""
        if self._network is None:
            return None
        news = self._network.judgement.errors[self._errors_told :]
        self._errors_told += len(news)
        lines = [f"  [{error.at:.1f} s] {error.severity} {error.kind}: {error.message}" for error in news]
        what = "error was" if len(news) == 1 else "errors were"
        return "\n".join((f"{len(news)} {what} held against the run:", *lines)) if news else None

    def _is_told(self, error: BaseException) -> bool:
        return any(error is each for each in self._told)

    def _description(self) -> dict[str, object]:
        return describe_run(
            run_id=self._run_id,
            test=self._test,
            engine=self._engine.name,
            options=self._options,
            spec=self._topology.spec,
            again=self._again,
        )

    def failed(self, error: BaseException) -> None:
        """Take note of what a test failed with; the report of it has all else that is held."""
        self._told.append(error)
        if self._network is not None:
            for each in (error, self._network.fatal):
                if each is not None:
                    hold(self._network.judgement, each)
            self._errors_told = len(self._network.judgement.errors)

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
            directory=str(self.directory),
            again=shlex.join(self._again),
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
            write_result(self.directory, result)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


def directory_for(name: str, parent: str | None, temporary: Path) -> Path:
    """Choose where a run's directory stands: in a parent that was asked for, or beside pytest's other files."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name.rpartition("/")[2]).strip("-")[:80]
    place = Path(parent) / f"{plain}-{secrets.token_hex(3)}" if parent else temporary / "lucy-run"
    return place.absolute()
