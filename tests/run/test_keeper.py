"""The keeper: whoever leaves a context, in whatever task, and however it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import pytest

from lucy_core.errors import StrayTaskError
from lucy_core.run.keeper import kept

pytestmark = pytest.mark.anyio


class Steps(list[str]):
    """What happened, in order."""

    @property
    def context(self) -> AbstractAsyncContextManager["Steps"]:
        return kept(self._context)()

    @asynccontextmanager
    async def _context(self) -> AsyncIterator["Steps"]:
        self.failing = anyio.Event()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._fail)
                self.append("entered")
                yield self
                tasks.cancel_scope.cancel()
        finally:
            self.append("left")

    async def _fail(self) -> None:
        await self.failing.wait()
        raise ValueError("from within")


async def test_the_block_and_the_context_take_their_turns() -> None:
    async with Steps().context as steps:
        steps.append("block")

    assert steps == ["entered", "block", "left"]


async def test_it_is_left_in_another_task_than_it_was_entered_in() -> None:
    context = Steps().context

    steps = await asyncio.create_task(context.__aenter__())  # type: ignore[arg-type]
    await asyncio.create_task(context.__aexit__(None, None, None))  # type: ignore[arg-type]

    assert steps == ["entered", "left"]


async def test_an_error_of_the_block_stays_what_it_was_with_no_frame_of_the_keepers() -> None:
    @kept
    @asynccontextmanager
    async def plain() -> AsyncIterator[None]:
        yield

    error = KeyError("the block's")
    with pytest.raises(KeyError) as raised:
        async with plain():
            raise error

    assert raised.value is error
    assert [entry.name for entry in raised.traceback] == [
        "test_an_error_of_the_block_stays_what_it_was_with_no_frame_of_the_keepers"
    ]


async def test_a_failure_from_within_cancels_the_block_and_waits_until_it_is_out() -> None:
    steps = Steps()

    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="from within")):
        async with steps.context:
            steps.failing.set()
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    for _ in range(10):
                        await anyio.lowlevel.checkpoint()
                    steps.append("block is out")

    assert steps == ["entered", "block is out", "left"]


async def test_a_failure_from_within_is_raised_where_it_is_left_if_the_task_that_entered_is_over() -> None:
    steps = Steps()
    context = steps.context

    await asyncio.create_task(context.__aenter__())  # type: ignore[arg-type]
    steps.failing.set()
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    steps.append("block is out")
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="from within")):
        await context.__aexit__(None, None, None)

    assert steps == ["entered", "block is out", "left"]


async def test_a_cancelled_block_is_left_and_stays_cancelled() -> None:
    steps = Steps()

    with anyio.move_on_after(0) as scope:
        async with steps.context:
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert steps in (["entered", "left"], [])


async def test_cancelling_while_it_is_entered_leaves_it() -> None:
    steps = Steps()
    begun = anyio.Event()

    @kept
    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        try:
            begun.set()
            await anyio.sleep_forever()
            yield
        finally:
            steps.append("left")

    async with anyio.create_task_group() as tasks:

        async def enter() -> None:
            async with slow():
                raise AssertionError

        tasks.start_soon(enter)
        await begun.wait()
        tasks.cancel_scope.cancel()

    assert steps == ["left"]


async def test_an_error_on_entering_comes_out() -> None:
    @kept
    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        raise KeyError("on entering")
        yield

    with pytest.raises(KeyError, match="on entering"):
        async with broken():
            raise AssertionError


async def test_an_error_on_leaving_comes_out_with_the_blocks_as_its_context() -> None:
    @kept
    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise KeyError("on leaving")

    with pytest.raises(KeyError, match="on leaving") as raised:
        async with broken():
            raise ValueError("the block's")

    assert isinstance(raised.value.__context__, ValueError)


@pytest.mark.parametrize("kind", (SystemExit, pytest.fail.Exception))
async def test_an_exit_of_the_blocks_ends_the_block_and_not_the_loop(kind: type[BaseException]) -> None:
    @kept
    @asynccontextmanager
    async def plain() -> AsyncIterator[None]:
        yield

    with pytest.raises(kind):
        async with plain():
            raise kind("on purpose")


async def test_leaving_beside_the_task_that_entered_leaves_it_and_is_refused() -> None:
    context = Steps().context
    entered, done = anyio.Event(), anyio.Event()
    steps = Steps()

    async def host() -> None:
        nonlocal steps
        steps = await context.__aenter__()
        entered.set()
        await done.wait()

    task = asyncio.create_task(host())
    await entered.wait()
    with pytest.raises(StrayTaskError, match="which still runs"):
        await context.__aexit__(None, None, None)
    done.set()
    await task

    assert steps == ["entered", "left"]
