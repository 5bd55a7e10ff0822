"""A `first()` whose `await` is forgotten checks nothing: the end of its block says so, and where it was made."""

from pathlib import Path

import msgspec
import pytest

import lucy_core as lucy
from lucy_core.testing import virtual_network, virtual_time


@lucy.event(ids="test.promises.tick")
class Tick(msgspec.Struct, frozen=True):
    n: int


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return virtual_time.BACKEND


pytestmark = pytest.mark.anyio


async def test_a_first_that_nobody_awaits_is_held_against_the_run_with_its_line() -> None:
    with pytest.raises(lucy.RunFailedError, match=r"Tick\.first\(\), made at test_promises\.py:\d+ was never awaited"):
        async with virtual_network("a") as virtual:
            virtual.network.events(Tick).first(within=5)


async def test_one_that_is_awaited_subscribed_or_part_of_another_is_not() -> None:
    async with virtual_network("a") as virtual:
        ticks = virtual.network.events(Tick)
        awaited, subscribed, inner = ticks.first(within=5), ticks.first(), ticks.first()
        stop = subscribed.subscribe(lambda _: None)
        outer = inner.map(lambda event: event.data.n).first(within=5)
        virtual.log("a", Tick(1))
        assert (await awaited).data.n == 1
        assert await outer == 1
        stop()


async def test_a_block_that_fails_says_that_and_no_more() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with virtual_network("a") as virtual:
            virtual.network.events(Tick).first(within=5)
            raise KeyError("mine")


async def test_one_whose_await_timed_out_was_awaited() -> None:
    async with virtual_network("a") as virtual:
        with pytest.raises(lucy.StreamTimeoutError):
            await virtual.network.events(Tick).first(within=5)


async def test_thousands_are_counted_and_some_named() -> None:
    with pytest.raises(lucy.RunFailedError, match=r"and 995 more were never awaited"):
        async with virtual_network("a") as virtual:
            for _ in range(1000):
                virtual.network.events(Tick).first()


@pytest.mark.parametrize("anyio_backend", ("asyncio",))
async def test_a_pipeline_and_a_replay_raise_it_at_their_end(tmp_path: Path, anyio_backend: object) -> None:

    with pytest.raises(lucy.ForgottenAwaitError, match=r"made at test_promises\.py:\d+ was never awaited"):
        async with lucy.Pipeline.record(tmp_path / "run") as pipeline:
            pipeline.records().first()
    with pytest.raises(lucy.ForgottenAwaitError, match=r"made at test_promises\.py:\d+ was never awaited"):
        async with lucy.replay(tmp_path / "run") as run:
            run.records().first()
