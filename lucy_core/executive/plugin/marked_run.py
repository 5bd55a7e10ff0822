"""The run behind one pytest test, or behind all that share a network: what is deployed for it, held against it, told.

The network lives in a task of its own (`keeper`), on the loop that ran when it was deployed, and the task that entered
it is over before the test begins. So nothing that happens to the network interrupts a test: what it awaits next raises
it, and what it awaited nothing of is told when it is over. What a callback of the test's own raises that means the test
as a whole (`pytest.fail`) does: the test ends there and then, whatever it awaits.
"""

import asyncio
import functools
import re
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar, final

import anyio
import pytest

from lucy_core import log
from lucy_core.arguments import new_place_of
from lucy_core.errors import CaptureDiedError, NodeExitedError, RunFailedError
from lucy_core.executive.performance import prepare_directory
from lucy_core.executive.plugin.marker import Wanted
from lucy_core.network.network import Network
from lucy_core.reports.text import report
from lucy_core.run.keeper import Kept
from lucy_core.run.lifetime import report_forgotten
from lucy_core.run.options import Options, options_of_all_engines
from lucy_core.run.run import Run, RunOrder, When, fix, new_run_id

P = ParamSpec("P")
T = TypeVar("T")
SETTLING = 10.0
"""Seconds that what has arrived gets to be delivered, when a test is over."""


@final
class MarkedRun:
    """One run, for one test or for all that share a network."""

    def __init__(self, test: str, wanted: Wanted, *, again: tuple[str, ...], directory: Path, keep: When) -> None:
        """Check the network; nothing is written or started yet.

        Raises:
            TopologyError: it makes no sense.
            UsageError: nobody knows an option of its.
            UnsupportedError: the engine lacks what a node asks for.
        """
        options = Options(wanted.options)
        fixed = fix(wanted.topology, options)
        options.check(wanted.engine, also=options_of_all_engines)
        self._run = Run(
            RunOrder(
                test=test,
                topology=fixed,
                engine=wanted.engine,
                options=options.given,
                run_id=new_run_id(fixed.spec.name),
                directory=directory,
                again=again,
                keep=keep,
            )
        )
        self._start = wanted.start
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: Callable[[BaseException], None] | None = None
        self._told: list[BaseException] = []
        self._errors_told = 0

    @property
    def directory(self) -> Path:
        return self._run.order.directory

    @property
    def exit_code(self) -> int:
        """What a command that was this run alone would exit with, as far as it has come."""
        return self._run.result().exit_code

    @property
    def _network(self) -> Network | None:
        return self._run.network

    @asynccontextmanager
    async def deployed(self) -> AsyncIterator[Network]:
        """Hold the network, its nodes started as wanted, on the loop that runs now.

        Raises what no test has failed with yet.

        To be entered in a task that is over when a test runs: a network that fails would cancel it.
        """
        prepare_directory(self.directory)
        self._loop = asyncio.get_running_loop()
        failure: BaseException | None = None
        try:
            async with Kept(self._run.opened(start=self._start, interrupt=False)) as network:
                yield network
        except (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError):
            raise
        except RunFailedError:
            pass  # `news` says what no test was told
        except BaseException as error:  # noqa: BLE001  # a callback's pytest.fail or sys.exit too; raised again if news
            failure = error
        finally:
            if self._run.unwritten is not None:
                log.warning(self._run.unwritten)
        if failure is not None and not self._is_told(failure):
            self.failed(failure)
            raise failure

    def settle(self) -> None:
        """Wait until all that has arrived is delivered, and every death that is known is told."""
        if self._loop is not None and not self._loop.is_closed() and not self._loop.is_running():
            self._loop.run_until_complete(self._settle())

    async def _settle(self) -> None:
        network = self._network
        if network is not None and not network.pipeline.is_closed:
            with anyio.move_on_after(SETTLING):
                try:
                    await network.settle()
                except CaptureDiedError:
                    return

    def verdict(self) -> BaseException | str | None:
        """Give what a test should fail for though it did not: what ended the run, or else what is newly held.

        A node's death is told to one of those that share a network: the others may do without it, or start it again.
        So is what a callback raised, which is cut off. That of the capture ends them all. A test that awaited the
        network and took the death well has heard of it.
        """
        if self._network is None:
            return None
        report_forgotten(self._network)
        fatal = self._network.fatal
        if isinstance(fatal, NodeExitedError) or self._network.pipeline.escaped is not None:
            self._network.pipeline.go_on()
        if fatal is None or (isinstance(fatal, NodeExitedError) and self._is_told(fatal)):
            return self.news()
        if isinstance(fatal, NodeExitedError) and fatal.__traceback__ is not None:
            self._told.append(fatal)  # nobody raises it but what a test awaits
            return self.news()
        news = self.news()
        self.failed(fatal)
        return news if news is not None and isinstance(fatal, pytest.skip.Exception) else fatal

    def interruptible(self, test: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Return a test's function that is left as soon as a callback ends the run, and raises what that raised."""

        @functools.wraps(test)
        async def until_escape(*arguments: P.args, **words: P.kwargs) -> T:
            network = self._network
            if network is None:
                return await test(*arguments, **words)
            escaped: list[BaseException] = []

            def leave(error: BaseException) -> None:
                escaped.append(error)
                scope.cancel()

            def leave_if_escaped() -> None:
                if network.pipeline.escaped is not None:
                    leave(network.pipeline.escaped)

            with anyio.CancelScope() as scope:
                forget = network.when_fatal(leave_if_escaped)
                self._leave = leave
                try:
                    return await test(*arguments, **words)
                finally:
                    self._leave = None
                    forget()
            raise escaped[0]  # nothing else cancels the scope

        return until_escape

    def leave_test(self, error: BaseException) -> bool:
        """Have the test that runs end with an error, where it waits; tell whether one does. From any signal handler."""
        leave = self._leave
        if leave is None or self._loop is None:
            return False
        self._loop.call_soon_threadsafe(leave, error)
        return True

    def interrupted(self) -> None:
        """Take note that somebody ended the session before the run was over."""
        if self._network is not None and not self._network.pipeline.is_closed:
            self._network.judgement.interrupt(signal.SIGINT.name)

    def news(self) -> str | None:
        """Say what is held against the run that nobody was told yet."""
        if self._network is None:
            return None
        news = self._network.judgement.errors[self._errors_told :]
        self._errors_told += len(news)
        what = "error was" if len(news) == 1 else "errors were"
        return (
            "\n".join((f"{len(news)} {what} held against the run:", *(f"  {each}" for each in news))) if news else None
        )

    def _is_told(self, error: BaseException) -> bool:
        return any(error is each for each in self._told)

    def failed(self, error: BaseException) -> None:
        """Take note of what a test failed with; the report of it has all else that is held."""
        self._told.append(error)
        if self._network is not None:
            self._network.pipeline.promises.forgotten()  # a test that has failed need not await it
            for each in (error, self._network.fatal):
                if each is not None:
                    self._network.judgement.record(each)
            self._errors_told = len(self._network.judgement.errors)

    def explain(self) -> str:
        """Tell the run so far, for pytest's report."""
        return report(self._run.result(), coloured=False, kept=self._run.kept).strip("\n")


def judge(runs: Sequence[MarkedRun]) -> None:
    """Raise what a test fails for that raised nothing itself."""
    for run in runs:
        run.settle()
    verdicts = [verdict for run in runs if (verdict := run.verdict()) is not None]
    for verdict in verdicts:
        if isinstance(verdict, str):
            pytest.fail(verdict, pytrace=False)
        raise verdict from None


def directory_for(name: str, parent: str | None, temporary: Path) -> Path:
    """Choose where a run's directory stands: in a parent that was asked for, or beside pytest's other files."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name.rpartition("/")[2]).strip("-")[:80]
    place = Path(parent) / f"{plain}-{secrets.token_hex(3)}" if parent else temporary / "lucy-run"
    return new_place_of(place, "the run directory")
