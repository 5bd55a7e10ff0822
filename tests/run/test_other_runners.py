"""Networks under other runners than ours: unittest, bare loops, threads, notebooks."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
import unittest
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvloop

import lucy_core as lucy
from lucy_core.testing import scripted_node
from lucy_core.testing.scripted_node import Numbered

SPEC = lucy.NetworkSpec(name="small", nodes=(scripted_node("a", "tick:0.05"),))


async def first_number(network: lucy.Network) -> int:
    return (await network.events(Numbered, since=0).first(within=20)).data.n


async def use(directory: Path) -> int:
    async with lucy.deploy(SPEC, run_directory=directory / "run") as network:
        await network["a"].restart()
        return await first_number(network)


def in_a_thread(directory: Path) -> int:
    numbers: list[int] = []
    thread = threading.Thread(target=lambda: numbers.append(anyio.run(use, directory)))
    thread.start()
    thread.join(60)
    return numbers[0]


@pytest.mark.parametrize(
    "run",
    (
        pytest.param(lambda place: asyncio.run(use(place)), id="asyncio.run"),
        pytest.param(lambda place: asyncio.run(use(place), debug=True), id="debug"),
        pytest.param(lambda place: uvloop.run(use(place)), id="uvloop.run"),
        pytest.param(lambda place: anyio.run(use, place), id="anyio.run"),
        pytest.param(in_a_thread, id="thread"),
    ),
)
def test_a_network_runs_on_any_loop_of_asyncios(run: Callable[[Path], int], tmp_path: Path) -> None:
    assert run(tmp_path) == 1


def test_trio_is_refused_in_one_sentence_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(lucy.EventLoopError, match=r"without backend='trio'") as refused:
        anyio.run(use, tmp_path, backend="trio")

    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_unittest_enters_a_network_in_its_set_up(tmp_path: Path) -> None:
    class InSetUp(unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self) -> None:
            deployment = lucy.deploy(SPEC, run_directory=tmp_path / self._testMethodName)
            self.network = await self.enterAsyncContext(deployment)

        async def test_a_passes(self) -> None:
            assert await first_number(self.network) == 1

        async def test_b_fails(self) -> None:
            self.fail("on purpose")

        async def test_c_loses_a_node(self) -> None:
            os.kill(self.network["a"]._engine_node.pid, signal.SIGKILL)
            with pytest.raises(lucy.NodeExitedError):
                await self.network.wait_for(never_true())

    result = unittest.TextTestRunner(stream=io.StringIO()).run(
        unittest.defaultTestLoader.loadTestsFromTestCase(InSetUp)
    )

    assert result.testsRun == 3
    assert [case._testMethodName for case, _ in result.failures] == ["test_b_fails"]
    ((case, trace),) = result.errors
    assert case._testMethodName == "test_c_loses_a_node"
    assert "NodeExitedError: a was killed by SIGKILL" in trace


def never_true() -> lucy.Condition[Any]:
    limit = lucy.seconds(20)
    return lucy.Condition(
        name="never_true",
        description="what never comes",
        soft=limit,
        hard=limit,
        check=lambda *_: lucy.Progress(have=0, need=1),
        event_types=(Numbered,),
    )


# --- a notebook: one loop, each cell a task of its own --------------------------------------------------------------


@contextmanager
def notebook() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    with asyncio.Runner() as runner:
        yield runner.run


def test_a_notebook_enters_in_one_cell_and_leaves_in_another(tmp_path: Path) -> None:
    deployment = lucy.deploy(SPEC, run_directory=tmp_path / "run")
    with notebook() as cell:
        network = cell(deployment.__aenter__())
        assert cell(first_number(network)) == 1
        cell(deployment.__aexit__(None, None, None))

    assert network["a"].state == "destroyed"
    assert network.ledger.complete


def test_a_death_between_cells_is_raised_by_the_next_wait_and_at_the_end(tmp_path: Path) -> None:
    async def lose_the_node(network: lucy.Network) -> None:
        os.kill(network["a"]._engine_node.pid, signal.SIGKILL)
        while network.fatal is None:
            await asyncio.sleep(0.01)

    deployment = lucy.deploy(SPEC, run_directory=tmp_path / "run")
    with notebook() as cell:
        network = cell(deployment.__aenter__())
        cell(lose_the_node(network))
        with pytest.raises(lucy.NodeExitedError, match="a was killed by SIGKILL"):
            cell(network.wait_for(never_true()))
        with pytest.raises(lucy.NodeExitedError, match="a was killed by SIGKILL"):
            cell(deployment.__aexit__(None, None, None))


def test_an_error_of_the_last_cells_comes_out_of_the_network(tmp_path: Path) -> None:
    deployment = lucy.deploy(SPEC, run_directory=tmp_path / "run")
    error = ValueError("the cell's own")
    with notebook() as cell:
        network = cell(deployment.__aenter__())
        assert not cell(deployment.__aexit__(ValueError, error, None))

    assert network["a"].state == "destroyed"


def test_leaving_beside_the_task_that_entered_is_refused_once_the_network_is_down(tmp_path: Path) -> None:
    async def main() -> lucy.Network:
        deployment = lucy.deploy(SPEC, run_directory=tmp_path / "run")
        network = await deployment.__aenter__()
        with pytest.raises(lucy.StrayTaskError, match="enter and leave it in one task"):
            await asyncio.create_task(deployment.__aexit__(None, None, None))  # type: ignore[arg-type]
        return network

    assert asyncio.run(main())["a"].state == "destroyed"


NEVER_LEFT = """
import asyncio, sys
import lucy_core as lucy

async def main():
    global deployment
    node = lucy.NodeSpec(name="a", role="node", command=("sh", "-c", "exec sleep 600"))
    deployment = lucy.deploy(lucy.NetworkSpec(name="small", nodes=(node,)), run_directory=sys.argv[1])
    network = await deployment.__aenter__()
    print(network["a"]._engine_node.pid, flush=True)

asyncio.run(main())
"""


def test_a_loop_that_is_closed_over_an_open_network_ends_and_leaves_no_node(tmp_path: Path) -> None:
    words = [sys.executable, "-c", NEVER_LEFT, str(tmp_path / "run")]

    ended = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)

    with pytest.raises(ProcessLookupError):
        os.kill(int(ended.stdout), 0)
