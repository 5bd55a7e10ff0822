"""Support for tests, tested: virtual time, scripted nodes, the leak check."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest
import reactivex
from reactivex import operators

import lucy_core as lucy
from lucy_core import testing
from lucy_core.testing import Dialled, Numbered, Told, no_leaks, scripted_node

# --- virtual time -----------------------------------------------------------------------------------------------------


def test_an_hour_of_waiting_takes_no_time_and_the_clock_shows_it() -> None:
    async def wait() -> float:
        with anyio.move_on_after(3600):
            await anyio.sleep_forever()
        await anyio.sleep(0.25)
        return asyncio.get_running_loop().time()

    assert testing.run(wait) == 3600.25


def test_timers_fire_in_their_order_however_far_apart() -> None:
    async def wait() -> list[tuple[str, float]]:
        fired: list[tuple[str, float]] = []

        async def at(name: str, seconds: float) -> None:
            await anyio.sleep(seconds)
            fired.append((name, anyio.current_time()))

        async with anyio.create_task_group() as tasks:
            for name, seconds in (("year", 3.2e7), ("soon", 0.001), ("later", 60)):
                tasks.start_soon(at, name, seconds)
        return fired

    assert testing.run(wait) == [("soon", 0.001), ("later", 60), ("year", 3.2e7)]


def test_a_streams_limits_count_virtual_seconds() -> None:
    async def wait() -> float:
        silent = lucy.from_items([1]).pipe(operators.concat(reactivex.never())).filter(lambda item: item > 1)
        with pytest.raises(TimeoutError):
            await silent.first(within=600)
        return anyio.current_time()

    assert testing.run(wait) == pytest.approx(600)


def test_what_comes_from_outside_is_waited_for_while_no_timer_runs() -> None:
    given, taken = os.pipe2(os.O_NONBLOCK)
    asked, ask = os.pipe()
    os.set_blocking(ask, False)

    def answer() -> None:
        os.read(asked, 1)
        os.write(taken, b"from a thread")

    async def read() -> bytes:
        os.write(ask, b"?")
        await anyio.wait_readable(given)
        return os.read(given, 100)

    # Started and joined beside the loop: either waits for a lock, which on a busy machine blocks the loop.
    thread = threading.Thread(target=answer)
    thread.start()
    try:
        assert testing.run(read) == b"from a thread"
    finally:
        os.close(ask)  # lets go a thread that was never asked
        thread.join()
        for each in (given, taken, asked):
            os.close(each)


@pytest.mark.parametrize("anyio_backend", (pytest.param(testing.BACKEND, id="virtual"),))
async def test_the_backend_serves_anyios_plugin(anyio_backend: object) -> None:
    began = time.monotonic()
    await anyio.sleep(10_000)
    assert time.monotonic() - began < 100


# --- leaks ------------------------------------------------------------------------------------------------------------


def test_a_block_that_leaves_nothing_passes() -> None:
    with no_leaks():
        subprocess.run(["true"], check=True)
        Path("/dev/null").read_bytes()


def test_what_a_block_leaves_is_named() -> None:
    stop = threading.Event()
    left = []

    def leave() -> None:
        left.append(os.open("/dev/null", os.O_RDONLY))
        left.append(subprocess.Popen(["sleep", "600"]))
        left.append(threading.Thread(target=stop.wait, name="the-forgotten-thread"))
        left[2].start()

    try:
        with pytest.raises(AssertionError) as caught, no_leaks(grace=0):
            leave()
    finally:
        os.close(left[0])
        left[1].kill()
        left[1].wait()
        stop.set()
        left[2].join()
    text = str(caught.value)
    assert f"child process {left[1].pid}: sleep 600" in text
    assert f"descriptor {left[0]}: /dev/null" in text
    assert "thread the-forgotten-thread" in text


def test_a_block_that_raises_has_told_its_story() -> None:
    kept = []
    with pytest.raises(ValueError, match="mine"), no_leaks(grace=0):
        kept.append(os.open("/dev/null", os.O_RDONLY))
        raise ValueError("mine")
    os.close(kept[0])


# --- scripted nodes ---------------------------------------------------------------------------------------------------


async def test_scripted_nodes_do_as_they_are_told(tmp_path: Path) -> None:
    """The example of the module's docstring."""
    nodes = (
        scripted_node("a", "listen:{bind}:{port:p}", "tick", ports=("p",), python=sys.executable),
        scripted_node("b", "dial:{host:a}:{port:a.p}", python=sys.executable),
        scripted_node("c", "show:WORD", "say:1000", "exit:3", environment={"WORD": "yes"}, python=sys.executable),
    )
    network_spec = lucy.NetworkSpec(name="small", nodes=nodes)
    async with lucy.deploy(network_spec, run_directory=tmp_path / "run", start=False) as network:
        with network["c"].expecting_exit():
            await network.start_all()
            exited = network.events(lucy.NodeExited, since=0).first(within=30)
            assert ((await exited).data.node, (await exited).data.code) == ("c", 3)
        dialled = await network["b"].events(Dialled, since=0).first(lambda e: not e.data.problem, within=30)
        assert (dialled.data.host, dialled.data.start) == (network["a"].address("p")[0], 1)
        said = network["c"].events(Numbered, since=0).first(lambda e: e.data.n == 1000, within=30)
        assert (await said).data == Numbered(start=1, n=1000)
        shown = network["c"].events(Told, since=0).first(lambda e: e.data.what == "WORD", within=30)
        assert (await shown).data.value == "yes"
