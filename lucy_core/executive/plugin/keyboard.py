"""Ctrl-C under pytest: it ends a test and takes its network down in good order, and the session as pytest does.

Python raises KeyboardInterrupt wherever the program stands. In a test's own code that is right. In Lucy's, or in the
event loop's, it would end a part of her while the rest goes on: lines undelivered, nodes left to time limits, and a
test that still waits while its network is taken down. So there the first Ctrl-C is taken between two steps of the loop:
a deployment is given up, a test is left, a taking down is finished first. The second is raised where it comes.
"""

import asyncio
import functools
import inspect
import selectors
import signal
import sysconfig
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import anyio
import pytest

from lucy_core.executive.plugin.marked_run import MarkedRun

P = ParamSpec("P")
T = TypeVar("T")

STANDARD = Path(sysconfig.get_path("stdlib"))
MACHINERY = (
    Path(__file__).parents[2],
    Path(__file__).parents[3] / "lucy_engines",
    Path(asyncio.__file__).parent,
    Path(str(anyio.__file__)).parent,
    Path(selectors.__file__),
)
"""Lucy and the event loop. Of the rest of the standard library it depends on who called it."""


def stands_in_machinery(frame: FrameType | None) -> bool:
    """Tell whether it is Lucy or the event loop that works in a frame, and not a test."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen "):  # an import on the way, which has no file
            frame = frame.f_back
            continue
        path = Path(frame.f_code.co_filename)
        if any(path == place or place in path.parents for place in MACHINERY):
            return True
        if STANDARD not in path.parents or "site-packages" in path.parts:
            return False
        frame = frame.f_back
    return False


@contextmanager
def heeded(take: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Have the first Ctrl-C of the block given to `take`; give what tells whether it was taken.

    Any other raises, also where `take` refuses and where a test's own code works. Where somebody else has a handler of
    his own, Ctrl-C is his.
    """
    taken = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal taken
        if taken or not stands_in_machinery(frame) or not take():
            signal.default_int_handler(number, frame)
        taken = True

    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if is_ours:
        signal.signal(signal.SIGINT, hear)
    try:
        yield lambda: taken
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def obeyed(take: Callable[[], bool]) -> Iterator[None]:
    """Have the first Ctrl-C given to `take`, which ends the block in good order; the block then raises it.

    Also where it had ended, or failed, by itself when it was to be ended: nobody else would hear of that Ctrl-C.
    """
    with heeded(take) as heard:
        try:
            yield
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or not heard():
                raise
            raise KeyboardInterrupt from (None if isinstance(error, asyncio.CancelledError) else error)
        if heard():
            raise KeyboardInterrupt


def entered(loop: asyncio.AbstractEventLoop, deploying: Coroutine[Any, Any, T]) -> T:
    """Have a network deployed on a loop that nobody else drives. Ctrl-C gives it up.

    Raises:
        KeyboardInterrupt: it was given up, and what there was of it is gone; or it was up already when Ctrl-C came.
    """
    task = loop.create_task(deploying)

    def give_up() -> bool:
        loop.call_soon_threadsafe(task.cancel)
        return True

    with obeyed(give_up):
        return loop.run_until_complete(task)


def left(loop: asyncio.AbstractEventLoop, leaving: Coroutine[Any, Any, object]) -> bool:
    """Have a network taken down on a loop that nobody else drives; tell whether Ctrl-C came meanwhile."""
    with heeded(lambda: True) as heard:
        loop.run_until_complete(leaving)
        return heard()


class _LeftError(Exception):
    """A test was left by a KeyboardInterrupt, which anyio's runner raises twice if it sees it."""

    def __init__(self, interrupt: KeyboardInterrupt) -> None:
        super().__init__()
        self.interrupt = interrupt


@contextmanager
def interruptible(item: pytest.Item, runs: Sequence[MarkedRun]) -> Iterator[None]:
    """Have the test that runs in the block left where it waits, at Ctrl-C or where a callback says so."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):  # of hypothesis' it is none
        for run in runs:
            item.obj = run.interruptible(item.obj)
        item.obj = _carried(item.obj)
    with obeyed(lambda: any(run.leave_test(KeyboardInterrupt()) for run in runs)):
        try:
            yield
        except _LeftError as error:
            raise error.interrupt from None


def _carried(test: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    @functools.wraps(test)
    async def carried(*arguments: P.args, **words: P.kwargs) -> T:
        try:
            return await test(*arguments, **words)
        except KeyboardInterrupt as error:
            raise _LeftError(error) from None

    return carried
