"""What anyio lacks: one error out of groups, commands that are carried through, services with an end.

A start that is cancelled in its middle leaves a process that nobody knows of, a stop one that is half dead, and in
both cases a journal that tells something else than what happened. So cancelling waits for the command's end
(`carry_through`). Both kinds of cancelling are met: a scope's, and a task's own (`asyncio.timeout`, Ctrl-C), which no
shield keeps out; that is why the command has a task of its own, which nobody outlives.

A cancelled block still has to be left in order: the last lines are asked for, the nodes are stopped, and each of these
waits for an answer that a task in the background has to read. Were such a task cancelled with the block, leaving it
would wait for ever. So a service (`Services`) is shielded, and ends when it is told to, once nobody needs it any more.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, final

import anyio
import anyio.abc

from lucy_core.errors import CallbackError

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds that a cancelled command gets to end by itself."""


@asynccontextmanager
async def one_error() -> AsyncIterator[None]:
    """Raise the one error that matters in place of the groups that task groups wrap it in; put it around them.

    The first in time comes out, as it is; the others stand on it as notes. An order to end the program
    (KeyboardInterrupt, SystemExit) goes before all. A cancellation beside errors stays in its group: whoever cancelled
    must see it, and the errors are somebody's.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        error, *others = _by_rank(group)
        cancelled = anyio.get_cancelled_exc_class()
        if isinstance(error, cancelled) and not all(isinstance(other, cancelled) for other in others):
            raise
        for other in others:
            error.add_note(f"beside it, {type(other).__name__}: {other}")
        context = error.__context__
        try:
            raise error
        finally:
            # The group would be its context: said twice, and the error's own, if it has one, lost.
            error.__context__ = context
            del error, others, context


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Return the errors in a group, in their order, or a single error itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


def _by_rank(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return orders to end the program, then cancellations, then the other errors, each in their order."""
    cancelled = anyio.get_cancelled_exc_class()

    def rank(error: BaseException) -> int:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return 0
        return 1 if isinstance(error, cancelled) else 2

    return sorted(leaves(group), key=rank)


def as_exception(error: BaseException) -> Exception:
    """Return what a callback raised as an error that any handler may take, and any task may raise."""
    if isinstance(error, Exception):
        return error
    wrapped = CallbackError(error)
    wrapped.__cause__ = error
    return wrapped


def is_cancellation(error: BaseException) -> bool:
    """Tell whether somebody ended the block, and no error."""
    return isinstance(error, asyncio.CancelledError | GeneratorExit)


def out_of_callback(error: BaseException) -> BaseException:
    """Return what a callback raised as what the test may end with: itself, unless it steers a task or a generator.

    A cancellation that nobody asked for, or a `GeneratorExit`, would be swallowed as somebody's own by whatever it
    passes, and the test would pass.
    """
    return as_exception(error) if is_cancellation(error) else error


def is_within_cancelled_scope() -> bool:
    """Tell a scope's cancelling, which all in it hear again and again, from a task's own, which is told but once."""
    return anyio.current_effective_deadline() == -math.inf


async def carry_through(command: Coroutine[Any, Any, T], *, patience: float = PATIENCE) -> T:
    """Run a command to its end, cancelled or not. What it fails with comes even in the place of a cancellation.

    Waiting has an end, for the other side may be dead: after `patience` seconds, or when somebody cancels once more,
    the command is cancelled too.
    """
    task = asyncio.create_task(command)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.wait([task], timeout=patience)
            finally:
                if not task.done():
                    task.cancel()
                    await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error from None
        raise
    return task.result()


@final
class Services:
    """The services of one task group. `stop` has to be called before the group can be left."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self._tasks = tasks
        self._scopes: set[anyio.CancelScope] = set()

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator["Services"]:
        """Have services for the length of a block. One that fails cancels the block, and its error is raised alone."""
        async with one_error(), anyio.create_task_group() as tasks:
            services = cls(tasks)
            try:
                yield services
            finally:
                services.stop()

    def start(self, service: Callable[[], Awaitable[None]]) -> None:
        """Run a service until `stop`."""
        scope = anyio.CancelScope(shield=True)
        self._scopes.add(scope)

        async def run() -> None:
            with scope:
                await service()
            self._scopes.discard(scope)

        self._tasks.start_soon(run)

    def stop(self) -> None:
        """End all services. Again is no error."""
        for scope in tuple(self._scopes):
            scope.cancel()
