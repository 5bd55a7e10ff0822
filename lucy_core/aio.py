"""What anyio lacks: one error out of groups, and errors that no task takes for its own end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio

from lucy_core.errors import CallbackError


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


def out_of_callback(error: BaseException) -> BaseException:
    """Return what a callback raised as what the test may end with: itself, unless it steers a task or a generator.

    A cancellation that nobody asked for, or a `GeneratorExit`, would be swallowed as somebody's own by whatever it
    passes, and the test would pass.
    """
    return as_exception(error) if isinstance(error, asyncio.CancelledError | GeneratorExit) else error
