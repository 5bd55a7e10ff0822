"""A scenario, performed: the command line's shell around a `Run` shows it, and ends it at a signal."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import final

import anyio
import msgspec

from lucy_core.arguments import new_place_of
from lucy_core.engine.contract import load_engine
from lucy_core.errors import UsageError
from lucy_core.executive.interruption import Interruption
from lucy_core.executive.pause import pause
from lucy_core.executive.scenario import Scenario
from lucy_core.executive.showing.views import View
from lucy_core.judging.result import RunResult
from lucy_core.network.network import Network
from lucy_core.private_files import make_private
from lucy_core.records.journal import JOURNAL
from lucy_core.run.lifetime import report_forgotten
from lucy_core.run.options import Options
from lucy_core.run.run import Run, RunOrder, When, fix, new_run_id


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


def prepare_directory(directory: Path) -> None:
    """Make the run directory, private to its user.

    Raises:
        UsageError: there is something in it, or it isn't ours. What a run may remove at its end must be its own.
    """
    try:
        if directory.exists() and any(directory.iterdir()):
            raise UsageError(f"the run directory {directory}", "is not empty; choose another")
        make_private(directory)
    except OSError as error:
        raise UsageError(f"the run directory {directory}", f"can't be made: {error.strerror}") from error


@final
class Performance:
    """One scenario's run."""

    def __init__(
        self, scenario: Scenario, order: Order, interruption: Interruption, say: Callable[[str], None]
    ) -> None:
        """Check the order; nothing is written or started yet. `say` tells people something.

        Raises:
            TopologyError: the network makes no sense.
            UsageError: an option is known to nobody, or the run directory is none.
        """
        self._scenario = scenario
        self._order = order
        self._interruption = interruption
        self._say = say
        engine = load_engine(order.engine)
        run_id = new_run_id(scenario.name)
        options = Options(order.options)
        fixed = fix(scenario.topology(options), options)
        options.check(engine)
        directory = new_place_of(order.directory or Path("lucy-runs") / run_id, "--run-dir")
        self.run = Run(
            RunOrder(
                test=scenario.name,
                topology=fixed,
                engine=engine,
                options=options.given,
                run_id=run_id,
                directory=directory,
                again=order.again,
                keep=order.keep,
            )
        )
        self.run.foresee()

    async def perform(self, views: Sequence[View], report: Callable[[Run], None]) -> RunResult:
        """Run, and say what became of it: whatever ends a run is its result, and the caller's exit code.

        Args:
            views: where it is shown.
            report: called once all is over and written down; after it views show what they have not shown yet.

        Raises:
            UsageError: the run directory can't be used.
        """
        prepare_directory(self.run.order.directory)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._interruption.watch)
            with anyio.CancelScope() as showing:
                async with AsyncExitStack() as stack:
                    for view in views:
                        await stack.enter_async_context(view.running())
                    # What comes while the network is deployed gives the deployment up.
                    with self._interruption.scope() as deploying:
                        await self._perform_in(deploying, views)
                    self._interruption.over(self.run.result().exit_code)
                    for view in views:
                        view.test_over()  # where there was none
                    report(self.run)
                    if self._interruption.name is None:
                        # A reader may take his time now, but nobody has to wait for him.
                        self._interruption.cancels(showing)
            tasks.cancel_scope.cancel()
        return self.run.result()

    async def _perform_in(self, deploying: anyio.CancelScope, views: Sequence[View]) -> None:
        try:
            await self._perform(deploying, views)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException:  # noqa: BLE001, S110  # the run has it, and its result tells it
            pass

    async def _perform(self, deploying: anyio.CancelScope, views: Sequence[View]) -> None:
        async with self.run.opened(start=False) as network:
            self._interruption.spare(deploying)
            for view in views:
                view.watch(network)
            try:
                # Inside of the deployment, so that its teardown is never cancelled with the test.
                with self._interruption.scope():
                    await self._test(network)
            except anyio.get_cancelled_exc_class():
                # A node's death: the run cancels its block. It may be looked at before the teardown.
                await self._test_over(network, views, network.fatal)
                raise
            except BaseException as error:
                await self._test_over(network, views, error)
                raise
            await self._test_over(network, views, None)

    async def _test(self, network: Network) -> None:
        with network.section("start nodes"):
            await network.start_all()
        await self._scenario.run(network)
        report_forgotten(network)

    async def _test_over(self, network: Network, views: Sequence[View], error: BaseException | None) -> None:
        signal = self._interruption.name
        if signal is not None and not self._order.lasts_until_interrupted:
            network.judgement.interrupt(signal)
        else:
            network.judgement.decide(error)
        for view in views:
            view.test_over()
        if self._order.pause.applies(network.judgement.outcome) and signal is None:
            with self._interruption.scope(shield=True):
                if network.ledger.capture_died is None:
                    # So that nothing of the test is shown below the invitation.
                    await network.pipeline.reach(await network.pipeline.drain(JOURNAL))
                await pause(network, self._say)
