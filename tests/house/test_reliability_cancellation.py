"""Cancelled at any await, an operation leaves nothing behind: no task, process, descriptor or thread, and no debt.

An operation is run again and again, and cancelled at its first checkpoint, at its second, and so on until it ends by
itself. The gate looks at a sample of them, the first and the last among it; LUCY_EVERY_CHECKPOINT=1 looks at all.
"""

import asyncio
import os
import shutil
import sys
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from ticking import TICKER, Tick, ticks

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.engine import State
from lucy_core.testing import Held
from lucy_engines.docker import DockerEngine

pytestmark = pytest.mark.anyio

SAMPLE = 6
Operation = Callable[[Path], Coroutine[Any, Any, None]]


@types.coroutine
def stepping(operation: Coroutine[Any, Any, None], at_checkpoint: Callable[[], None]) -> Generator[Any, Any, None]:
    """Run a coroutine, and call at each place where it gives way to others, just before it does."""
    answer: Any = None
    failure: BaseException | None = None
    while True:
        try:
            waits_for = operation.send(answer) if failure is None else operation.throw(failure)
        except StopIteration:
            return
        at_checkpoint()
        answer = failure = None
        try:
            answer = yield waits_for
        except BaseException as error:  # noqa: BLE001  # it is the operation's to handle
            failure = error


async def by_scope(operation: Coroutine[Any, Any, None], number: int) -> int:
    """Cancel the scope around an operation at its checkpoint of that number; return how many it came to."""
    count = 0
    with anyio.CancelScope() as scope:

        def at_checkpoint() -> None:
            nonlocal count
            count += 1
            if count == number:
                scope.cancel()

        await stepping(operation, at_checkpoint)
    return count


async def by_task(operation: Coroutine[Any, Any, None], number: int) -> int:
    """Cancel the task that runs an operation, as Ctrl-C does and asyncio's own tools: once, and not again."""
    count = 0

    def at_checkpoint() -> None:
        nonlocal count
        count += 1
        if count == number:
            asyncio.get_running_loop().call_soon(task.cancel)

    async def run() -> None:
        await stepping(operation, at_checkpoint)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
    return count


def checkpoints_of(total: int, sample: int) -> Iterator[int]:
    if os.environ.get("LUCY_EVERY_CHECKPOINT") == "1":
        yield from range(1, total + 1)
    else:
        yield from sorted({1 + round((total - 1) * step / (sample - 1)) for step in range(sample)})


async def nothing_is_left(before: Held, tasks: set[asyncio.Task[Any]], number: int) -> None:
    with anyio.move_on_after(10):
        while Held.now().beyond(before) or asyncio.all_tasks() - tasks:
            await anyio.sleep(0.005)
    left = [*Held.now().beyond(before), *(repr(task) for task in asyncio.all_tasks() - tasks)]
    assert left == [], f"cancelled at checkpoint {number}"


async def open_what_the_loop_keeps() -> None:
    """Have libuv open its spare descriptor now, which it does with a loop's first stream and keeps for the loop."""
    reading, writing = os.pipe()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(asyncio.Protocol, os.fdopen(reading, "rb"))
    transport.close()
    os.close(writing)
    await anyio.lowlevel.checkpoint()


Cancel = Callable[[Coroutine[Any, Any, None], int], Awaitable[int]]


async def cancelled_at_each_checkpoint(operation: Operation, place: Path, cancel: Cancel, sample: int = SAMPLE) -> None:
    await open_what_the_loop_keeps()
    before, tasks = Held.now(), asyncio.all_tasks()
    total = await cancel(operation(place / "whole"), 0)
    await nothing_is_left(before, tasks, 0)
    assert total > 1
    for number in checkpoints_of(total, sample):
        directory = place / str(number)
        with anyio.fail_after(60):
            await cancel(operation(directory), number)
        await nothing_is_left(before, tasks, number)
        shutil.rmtree(directory, ignore_errors=True)


def network() -> lucy.NetworkSpec:
    return lucy.NetworkSpec(
        name="scripted",
        nodes=tuple(
            lucy.NodeSpec(name=name, role="scripted", command=(sys.executable, "-I", "-S", "-c", TICKER))
            for name in ("a", "b")
        ),
    )


async def deploy(place: Path) -> None:
    async with lucy.deploy(network(), run_directory=place):
        await anyio.lowlevel.checkpoint()


async def command(place: Path) -> None:
    async with lucy.deploy(network(), run_directory=place, start=False) as deployed:
        node = deployed["a"]
        await node.start()
        await node.pause()
        await node.resume()
        await node.exec(["true"])
        await node.restart(fresh_state=True)
        await node.kill()


async def wait(place: Path) -> None:
    async with lucy.deploy(network(), run_directory=place) as deployed:
        await deployed.wait_for(ticks(3))
        await deployed.wait_for(ticks(3), since=0)


async def listen(place: Path) -> None:
    async with Pipeline.record(place) as pipeline:
        fifo = await pipeline.open_fifo("a")
        writer = os.open(fifo, os.O_WRONLY)
        os.write(writer, b"".join(b'{"message":"tick","metadata":{"n":%d}}\n' % n for n in range(30)))
        os.close(writer)
        await pipeline.reach(await pipeline.drain("a"))
        ticking = pipeline.events(Tick, since=0)
        assert (await ticking.first(within=20)).data.n == 0
        async with ticking.aiter(limit=10) as items:
            async for item in items:
                await anyio.lowlevel.checkpoint()
                if item.data.n == 29:
                    break


async def record(place: Path) -> None:
    async with Pipeline.record(place) as pipeline:
        await pipeline.open_fifo("a")
        await pipeline.open_shared_fifo(("b", "c"))
        await pipeline.listen("d", ("127.0.0.1", 0))
        await pipeline.follow_file("e", place / "e.log")
        pipeline.write_nowait("a", b'{"message":"tick","metadata":{"n":1}}\n')
        await pipeline.reach(await pipeline.drain("a"))


async def replay(place: Path) -> None:
    await record(place)
    async with Pipeline.replay(place) as pipeline:
        assert (await pipeline.events(Tick).first(within=20)).data.n == 1


async def pass_through(place: Path) -> None:
    place.mkdir()
    async with Pipeline.pass_through() as pipeline:
        await pipeline.open_fifo("a", place / "fifo")
        await pipeline.listen("b", str(place / "socket"))
        pipeline.write_nowait("a", b'{"message":"tick","metadata":{"n":1}}\n')
        await pipeline.reach(await pipeline.drain("a"))


@pytest.mark.slow
@pytest.mark.parametrize("cancel", (by_scope, by_task))
@pytest.mark.parametrize("operation", (deploy, command, wait, listen, record, replay, pass_through))
async def test_cancelled_at_any_checkpoint_it_leaves_nothing(
    operation: Operation, cancel: Cancel, tmp_path: Path
) -> None:
    await cancelled_at_each_checkpoint(operation, tmp_path, cancel)


@pytest.mark.slow
@pytest.mark.usefixtures("simnode_image")
@pytest.mark.parametrize("cancel", (by_scope, by_task))
async def test_a_deployment_in_containers_cancelled_at_any_checkpoint_leaves_none(
    cancel: Cancel, tmp_path: Path
) -> None:
    engine = DockerEngine()
    command = ("python3", "-I", "-S", "-c", TICKER)
    spec = lucy.NetworkSpec(name="c", nodes=(lucy.NodeSpec(name="a", role="scripted", command=command),))

    async def deploy(place: Path) -> None:
        run_id = f"c-{os.getpid()}-{abs(hash(place)) % 10**8}"
        try:
            async with lucy.deploy(spec, engine=engine, run_directory=place, run_id=run_id) as deployed:
                await deployed["a"].events(Tick, since=0).first(within=20)
        finally:
            with anyio.CancelScope(shield=True):
                assert await engine.leftovers(run_id) == []

    await cancelled_at_each_checkpoint(deploy, tmp_path, cancel, sample=3)


def processes_of(directory: Path) -> list[str]:
    """The processes that work in a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == directory:
                found.append(entry.name)
        except OSError:
            continue
    return found


async def start(node: lucy.Node) -> None:
    await node.start()


async def stop(node: lucy.Node) -> None:
    await node.stop()


async def kill(node: lucy.Node) -> None:
    await node.kill()


async def restart(node: lucy.Node) -> None:
    await node.restart()


async def pause(node: lucy.Node) -> None:
    await node.pause()
    await node.resume()


@pytest.mark.slow
@pytest.mark.parametrize("cancel", (by_scope, by_task))
@pytest.mark.parametrize("order", (start, stop, kill, restart, pause))
async def test_a_command_cancelled_at_any_checkpoint_leaves_a_node_that_can_be_commanded(
    order: Callable[[lucy.Node], Coroutine[Any, Any, None]], cancel: Cancel, tmp_path: Path
) -> None:
    async with lucy.deploy(network(), run_directory=tmp_path / "run", start=False) as deployed:
        node = deployed["a"]
        assert node.directory is not None

        async def prepare() -> None:
            if order is not start and node.state is not State.RUNNING:
                await node.start()
            elif order is start and node.state is State.RUNNING:
                await node.stop()

        await prepare()
        total = await cancel(order(node), 0)
        for number in checkpoints_of(total, SAMPLE):
            await prepare()
            with anyio.fail_after(30):
                await cancel(order(node), number)
                running = processes_of(node.directory)
                assert (node.state in (State.RUNNING, State.PAUSED)) == bool(running), (number, node.state, running)
                assert len(running) <= 1
                if node.state is State.PAUSED:
                    await node.resume()
                if node.state is not State.RUNNING:
                    await node.start()
                await deployed.pipeline.drain("a")
                await node.events(Tick, since=deployed.mark()).first(within=20)
                assert len(processes_of(node.directory)) == 1, number
