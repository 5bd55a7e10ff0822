"""The bell by which capture tells that there is something to read."""

import asyncio
import os
from collections.abc import Iterator

import anyio
import pytest

from lucy_core.recording.bell import Bell

pytestmark = pytest.mark.anyio


@pytest.fixture
def eventfd() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    yield fd
    os.close(fd)


async def test_a_ring_ends_one_wait(eventfd: int) -> None:
    bell = Bell(eventfd)
    with bell.heard():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bell.wait)
            await anyio.wait_all_tasks_blocked()
            os.eventfd_write(eventfd, 1)
        with anyio.move_on_after(0) as again:
            await bell.wait()
    assert again.cancelled_caught


async def test_rings_before_a_wait_are_one(eventfd: int) -> None:
    os.eventfd_write(eventfd, 1)
    bell = Bell(eventfd)
    with bell.heard():
        os.eventfd_write(eventfd, 1)
        await bell.wait()
        with anyio.move_on_after(0) as again:
            await bell.wait()
    assert again.cancelled_caught


async def test_a_cancelled_wait_loses_no_ring(eventfd: int) -> None:
    bell = Bell(eventfd)
    with bell.heard():
        with anyio.move_on_after(0):
            await bell.wait()
        os.eventfd_write(eventfd, 1)
        await bell.wait()


async def test_nobody_listens_behind_the_block(eventfd: int) -> None:
    with Bell(eventfd).heard():
        pass
    assert not asyncio.get_running_loop().remove_reader(eventfd)
