"""A network from when its engine opens it until its last lines are taken.

The order is the same however the block ends: the deaths that were heard of are told, the verdict stands, faults are
undone, the engine takes the nodes down, and then their last lines are taken. What failed the test is raised before any
trouble that the taking down has made, and a cancellation before both; what isn't raised stands in the journal.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import anyio

from lucy_core.aio import is_cancellation, is_within_cancelled_scope, leaves, one_error
from lucy_core.engine import Plan
from lucy_core.errors import LucyError, SystemRefusedError
from lucy_core.judging.result import early_outcome
from lucy_core.network.network import Network


@asynccontextmanager
async def lifetime(network: Network, plan: Plan, *, start: bool, interrupt: bool) -> AsyncIterator[None]:
    """Have a planned network up for the length of a block; see `Run.opened` for `start` and `interrupt`."""
    failure: BaseException | None = None
    troubles: list[BaseException] = []
    is_up = was_cut_by_scope = False
    try:
        async with one_error(), AsyncExitStack() as stack:
            with _deciding_early(network):
                deployed = await stack.enter_async_context(plan.open(network.pipeline, network.exited))
                await network.bring_up(deployed)
            is_up = True
            try:
                with anyio.CancelScope() as body:
                    if interrupt:
                        network.when_fatal(body.cancel)
                    if start:
                        await network.start_all()
                    yield
                    report_forgotten(network)
            except BaseException as error:  # noqa: BLE001  # raised again below
                failure = error
                was_cut_by_scope = is_within_cancelled_scope()
            # No shield keeps out the cancelling of its own task, which Ctrl-C does too: it stands in the journal.
            with anyio.CancelScope(shield=True):
                await network.ending.deaths_told()
                is_decided = failure is not None and not is_cancellation(failure)
                network.judgement.decide(failure if is_decided else network.fatal or failure)
                failure = failure or network.fatal
                try:
                    await network.release()
                except LucyError as error:
                    troubles.append(error)
    except BaseException as error:
        if not is_up:
            raise
        troubles.append(error)
    if (trouble := _gravest(troubles)) is not None and not is_within_cancelled_scope():
        if was_cut_by_scope:
            failure = None  # the engine had cut the block itself: the trouble says what failed of it
        elif is_cancellation(trouble):
            failure = trouble  # the task's own, which is told but once
    with anyio.CancelScope(shield=True):
        try:
            await network.take_last_lines()
        except Exception as error:  # noqa: BLE001  # raised, unless the test has failed already
            troubles.append(error)
        except asyncio.CancelledError as error:
            troubles.append(error)
            failure = error
        finally:
            network.judgement.end_waits()
    for each in troubles:
        if isinstance(each, Exception):
            network.judgement.record(each)
        else:
            network.judgement.cut_short()
    if network.fatal is not None:  # told since, of a node that had died before
        network.judgement.record(network.fatal)
    if (reason := failure or _gravest(troubles) or network.fatal) is not None:
        raise reason


def _gravest(troubles: list[BaseException]) -> BaseException | None:
    """Choose what is raised: an order to end goes first, since whoever gave it has to hear of it."""
    return next((each for each in troubles if not isinstance(each, Exception)), next(iter(troubles), None))


def report_forgotten(network: Network) -> None:
    """Hold it against a run whose test has ended well that it never awaited what it made to be awaited."""
    if (error := network.pipeline.promises.forgotten()) is not None:
        network.soft_error(str(error), kind="forgotten await")


@contextmanager
def _deciding_early(network: Network) -> Iterator[None]:
    """Judge what keeps a network from coming to be: no test has begun, so nothing is in doubt about it."""
    try:
        yield
    except BaseException as error:
        failure = _said_of_system(next(leaves(error)))
        network.judgement.decide(failure or error, early_outcome(failure or next(leaves(error))))
        if failure is not None:
            raise failure from error
        raise


def _said_of_system(error: BaseException) -> SystemRefusedError | None:
    """Say of an error of the operating system what to do about it: it is nobody's slip, and frames say nothing."""
    if not isinstance(error, OSError):
        return None
    advice = {errno.EMFILE: "raise the limit of open files (`ulimit -n`)"}.get(error.errno or 0, "")
    return SystemRefusedError(error, advice)
