"""What is raised where a test, its engine, or whoever cancels both have something to say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

import lucy_core as lucy
from lucy_core.engine import Engine, Plan, Services
from lucy_core.testing import FakeEngine

SPEC = lucy.NetworkSpec(name="n", nodes=(lucy.NodeSpec(name="a", role="x", command=("anything",)),))


class Failing(Engine, Plan):
    """A fake engine of which something fails: on the way out, or under the block when it is told to."""

    name = "failing"

    faults = frozenset({lucy.MemoryLimit})

    def __init__(
        self,
        *,
        leaving: Exception | None = None,
        under: Exception | None = None,
        undoing: Exception | None = None,
        cancelled: bool = False,
    ) -> None:
        self._leaving, self._under, self._undoing, self._cancelled = leaving, under, undoing, cancelled
        self.fail = anyio.Event()

    def plan(self, spec: lucy.NetworkSpec, place: Any) -> Plan:
        self._inner = FakeEngine().plan(spec, place)
        return self

    async def _serve(self) -> None:
        await self.fail.wait()
        raise self._under

    @asynccontextmanager
    async def open(self, capture: Any, on_exit: Any) -> AsyncIterator[Any]:
        async with Services.running() as services, self._inner.open(capture, on_exit) as network:
            if self._under is not None:
                services.start(self._serve)
            network.inject = self._inject
            yield network
            if self._cancelled:  # as Ctrl-C does
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await anyio.sleep_forever()
            if self._leaving is not None:
                raise self._leaving

    async def _inject(self, *_: Any, **__: Any) -> Any:
        return self

    async def revert(self) -> float:
        if self._undoing is not None:
            raise self._undoing
        return 1.0


TROUBLE = lucy.EngineError("it can't be taken away")


async def test_trouble_of_leaving_fails_a_test_that_has_passed(tmp_path: Path) -> None:
    with pytest.raises(lucy.EngineError) as caught:
        async with lucy.deploy(SPEC, engine=Failing(leaving=TROUBLE), run_directory=tmp_path / "run") as network:
            pass
    assert caught.value is TROUBLE
    assert network.judgement.outcome is not lucy.Outcome.PASSED


async def test_a_tests_own_failure_goes_before_the_trouble_of_leaving_which_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with lucy.deploy(SPEC, engine=Failing(leaving=TROUBLE), run_directory=tmp_path / "run") as network:
            raise ValueError("mine")
    assert [each.message for each in network.judgement.findings().errors] == ["mine", "it can't be taken away"]


async def test_what_fails_of_the_engine_under_a_block_is_raised_in_place_of_the_cancelling_that_it_makes(
    tmp_path: Path,
) -> None:
    engine = Failing(under=TROUBLE)
    with anyio.fail_after(20), pytest.raises(lucy.EngineError) as caught:
        async with lucy.deploy(SPEC, engine=engine, run_directory=tmp_path / "run") as network:
            engine.fail.set()
            await anyio.sleep_forever()
    assert caught.value is TROUBLE
    assert [each.message for each in network.judgement.findings().errors] == ["it can't be taken away"]


async def test_who_cancels_hears_of_it_though_leaving_makes_trouble(tmp_path: Path) -> None:
    with anyio.fail_after(20), anyio.CancelScope() as scope:
        async with lucy.deploy(SPEC, engine=Failing(leaving=TROUBLE), run_directory=tmp_path / "run") as network:
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert "it can't be taken away" in [each.message for each in network.judgement.findings().errors]


async def test_a_task_that_is_cancelled_is_cancelled_though_leaving_makes_trouble(tmp_path: Path) -> None:
    up = anyio.Event()

    async def run() -> None:
        async with lucy.deploy(SPEC, engine=Failing(leaving=TROUBLE), run_directory=tmp_path / "run"):
            up.set()
            await anyio.sleep_forever()

    task = asyncio.create_task(run())
    await up.wait()
    task.cancel()
    with anyio.fail_after(20), pytest.raises(asyncio.CancelledError):
        await task


UNDONE = lucy.FaultError("memory limit", "it can't be undone")


async def leave_a_fault(network: lucy.Network) -> None:
    """Have a fault that can't be undone: the network's end tries once more."""
    with pytest.raises(lucy.FaultError):
        async with network.faults.inject(lucy.MemoryLimit(nodes=("a",), bytes=64 << 20), lasting=60):
            pass


async def test_of_two_things_that_fail_of_the_end_the_first_is_raised_and_both_are_told(tmp_path: Path) -> None:
    engine = Failing(undoing=UNDONE, leaving=TROUBLE)
    with pytest.raises(lucy.FaultError) as caught:
        async with lucy.deploy(SPEC, engine=engine, run_directory=tmp_path / "run") as network:
            await leave_a_fault(network)
    assert caught.value is UNDONE
    assert [each.message for each in network.judgement.findings().errors] == [str(UNDONE), str(TROUBLE)]


async def test_who_cancels_while_the_network_is_taken_down_hears_of_it_though_a_fault_was_not_undone(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        engine = Failing(undoing=UNDONE, cancelled=True)
        async with lucy.deploy(SPEC, engine=engine, run_directory=tmp_path / "run") as network:
            networks.append(network)
            await leave_a_fault(network)

    networks: list[lucy.Network] = []
    with anyio.fail_after(20), pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(run())
    assert [each.message for each in networks[0].judgement.findings().errors] == [str(UNDONE)]
