"""Contexts that have a task of their own, so that any task may leave them.

A task group, and every cancel scope, belongs to the task that entered it. Who tests doesn't always keep to one:
unittest gives `asyncSetUp`, the test and the clean-up a task each, so does pytest-asyncio with a fixture's two halves,
and a notebook with its cells. A context that holds groups would raise there, having taken nothing down. So a *keeper*,
a task that ends with the context, enters it, waits until it is left, and leaves it.

What is left to the host, the task that entered, is to be cancelled in time: the keeper, cancelled from within the
context, cancels the block. A host that is over can't be cancelled. In both cases nothing is taken down before the block
is left, and what the context ends with is raised there.

A loop that is closed over an open context cancels every task at once, also those that help to leave it: nobody is going
to leave it then, and leaving has to have an end.

`TaskGroup.start` can't do this, for it would need the group that it is about to do without.
"""

import asyncio
import functools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar, final

import anyio

from lucy_core.aio import PATIENCE, is_within_cancelled_scope
from lucy_core.errors import EventLoopError, StrayTaskError

P = ParamSpec("P")
T = TypeVar("T")


def kept(make: Callable[P, AbstractAsyncContextManager[T]]) -> Callable[P, AbstractAsyncContextManager[T]]:
    """Give the contexts that a function makes a keeper each."""

    @functools.wraps(make)
    def make_kept(*args: P.args, **kwargs: P.kwargs) -> AbstractAsyncContextManager[T]:
        return Kept(make(*args, **kwargs))

    return make_kept


@final
class Kept(AbstractAsyncContextManager[T], Generic[T]):
    """A context in the hands of a keeper.

    Raises:
        EventLoopError: on entering, there is no asyncio.
        StrayTaskError: on leaving, the task that entered still runs elsewhere; the context has been left.
    """

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self._context = context
        self._left = asyncio.Event()
        self._block_error: BaseException | None = None
        self._failure: BaseException | None = None

    async def __aenter__(self) -> T:
        host = _current_task()
        entered: asyncio.Future[T] = host.get_loop().create_future()
        self._host = host
        self._scope = anyio.CancelScope()
        self._keeper = asyncio.create_task(self._keep(entered), name=f"keeper of {host.get_name()}")
        try:
            await asyncio.wait((entered, self._keeper), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._keeper.cancel()
            await self._outlast()
            if not isinstance(self._failure, asyncio.CancelledError | None):
                raise self._failure from None
            raise
        if not entered.done():
            assert self._failure is not None  # noqa: S101  # a keeper that ends before it has entered has failed
            raise self._failure
        self._scope.__enter__()
        return entered.result()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        host = _current_task()
        interrupted = host is self._host and bool(self._scope.__exit__(kind, error, trace))
        self._block_error = None if interrupted else error
        self._left.set()
        await self._outlast()
        if error is not None:
            error.__traceback__ = trace  # the keeper, which raised it too, is nothing to look at
        failure = self._failure
        if failure is None and interrupted:
            failure = asyncio.CancelledError()  # by whoever cancelled the keeper
        if failure is not None and failure is not error:
            context = failure.__context__
            try:
                raise failure
            finally:
                failure.__context__ = context
        if host is not self._host and not self._host.done():
            raise StrayTaskError(self._host.get_name(), host.get_name())
        return False

    async def _keep(self, entered: asyncio.Future[T]) -> None:
        """Hold the context until it is left. Never raises: SystemExit would end the loop instead of the block."""
        try:
            async with self._context as value:
                entered.set_result(value)
                await self._until_left()
        except BaseException as error:  # noqa: BLE001  # raised again where the context is left
            self._failure = error

    async def _until_left(self) -> None:
        try:
            await self._left.wait()
        except asyncio.CancelledError:
            if not is_within_cancelled_scope():  # the task's own cancelling: the loop is closed
                self._hurry_from(PATIENCE)
                raise
            if not self._host.done():
                self._scope.cancel()
            await self._until_left_at_last()
            if self._block_error is None:
                raise
        if self._block_error is not None:
            raise self._block_error

    async def _until_left_at_last(self) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._left.wait()
            except asyncio.CancelledError:
                self._hurry_from(PATIENCE)
                raise

    def _hurry_from(self, seconds: float) -> None:
        """Cancel the keeper after that time, and again and again: not every step on the way out gives up at once."""
        if not self._keeper.done():
            self._host.get_loop().call_later(seconds, self._hurry)

    def _hurry(self) -> None:
        self._keeper.cancel()
        self._hurry_from(1.0)

    async def _outlast(self) -> None:
        """Wait for the keeper's end. A task's own cancellation, which no shield keeps out, is passed on to it."""
        cancelled: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not self._keeper.done():
                try:
                    await asyncio.wait((self._keeper,))
                except asyncio.CancelledError as error:
                    cancelled = error
                    self._keeper.cancel()
        if cancelled is not None and not isinstance(self._failure, Exception):
            raise cancelled


def _current_task() -> "asyncio.Task[object]":
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is None:
        raise EventLoopError
    return task
