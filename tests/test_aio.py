"""What anyio lacks: one error out of groups, and none lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio
import pytest

import lucy_core as lucy
from lucy_core.aio import one_error
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.testing import scripted_node


async def fail(error: BaseException) -> None:
    raise error


async def raised_together(*errors: BaseException) -> BaseException:
    """What comes out where errors came together."""
    with pytest.raises(BaseException) as caught:  # any, that is the question
        async with one_error():
            raise BaseExceptionGroup("together", errors)
    return caught.value


@pytest.mark.anyio
async def test_the_first_error_comes_out_and_the_others_stand_on_it() -> None:
    with pytest.raises(lucy.DeployError, match="no room for a") as caught:
        async with one_error(), anyio.create_task_group() as tasks:
            tasks.start_soon(fail, lucy.DeployError("no room for a"))
            tasks.start_soon(fail, lucy.DeployError("no room for b"))

    assert caught.value.__notes__ == ["beside it, DeployError: no room for b"]


@pytest.mark.anyio
async def test_an_error_keeps_its_cause_and_its_context() -> None:
    async def fail_twice() -> None:
        try:
            {}["first"]
        except KeyError:
            raise ValueError("second")  # noqa: B904  # the context is what is asked for

    with pytest.raises(ValueError, match="second") as caught:
        async with one_error(), anyio.create_task_group() as tasks:
            tasks.start_soon(fail_twice)

    assert isinstance(caught.value.__context__, KeyError)
    assert not caught.value.__suppress_context__


@pytest.mark.anyio
@pytest.mark.parametrize("order", (KeyboardInterrupt, SystemExit))
async def test_an_order_to_end_the_program_is_never_a_note(order: type[BaseException]) -> None:
    error = await raised_together(ValueError("mine"), ExceptionGroup("inner", [OSError("x")]), order())
    assert type(error) is order
    assert error.__notes__ == ["beside it, ValueError: mine", "beside it, OSError: x"]


@pytest.mark.anyio
async def test_a_cancellation_beside_an_error_stays_where_both_are_seen() -> None:
    cancelled, mine = asyncio.CancelledError(), ValueError("mine")
    error = await raised_together(mine, cancelled)
    assert isinstance(error, BaseExceptionGroup)
    assert error.exceptions == (mine, cancelled)
    assert await raised_together(cancelled, asyncio.CancelledError()) is cancelled


@contextlib.asynccontextmanager
async def replayed(directory: Path) -> AsyncIterator[Pipeline]:
    async with Pipeline.record(directory):
        pass
    async with Pipeline.replay(directory) as pipeline:
        yield pipeline


WAYS: dict[str, Callable[[Path], AbstractAsyncContextManager[object]]] = {
    "record": Pipeline.record,
    "pass_through": lambda _: Pipeline.pass_through(),
    "replay": replayed,
    "deploy": lambda directory: lucy.deploy(
        lucy.NetworkSpec(name="x", nodes=(scripted_node("a", "rest"),)), run_directory=directory
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("way", WAYS)
async def test_the_error_of_a_block_comes_out_as_it_is(way: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="^mine$"):
        async with WAYS[way](tmp_path / "one"):
            raise AssertionError("mine")
    with pytest.raises(pytest.fail.Exception, match="^mine$"):
        async with WAYS[way](tmp_path / "two"):
            pytest.fail("mine")


@pytest.mark.anyio
async def test_of_nodes_that_cannot_start_the_first_is_told_and_the_others_noted(tmp_path: Path) -> None:
    nodes = tuple(
        lucy.NodeSpec(name=name, role="any", command=(str(tmp_path / f"no-such-program-{name}"),)) for name in "ab"
    )
    with pytest.raises(lucy.DeployError, match="no-such-program-a") as caught:
        async with lucy.deploy(lucy.NetworkSpec(name="x", nodes=nodes), run_directory=tmp_path / "run"):
            pass
    (note,) = caught.value.__notes__
    assert "beside it, UnknownProgramError" in note
    assert "no-such-program-b" in note


@pytest.mark.anyio
async def test_a_cancelled_block_is_cancelled(tmp_path: Path) -> None:
    node = scripted_node("a", "rest")
    with anyio.CancelScope() as scope:
        async with lucy.deploy(lucy.NetworkSpec(name="x", nodes=(node,)), run_directory=tmp_path / "run"):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
