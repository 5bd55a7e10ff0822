"""A command that has begun is carried through.

A start that is cancelled in its middle leaves a process that nobody knows of, a stop one that is half dead, and in
both cases a journal that tells something else than what happened. So cancelling waits for the command's end. Both kinds
of cancelling are met: a scope's, and a task's own (`asyncio.timeout`, Ctrl-C), which no shield keeps out; that is why
the command has a task of its own, which nobody outlives.

Waiting has an end, for the other side may be dead: after `patience` seconds, or when somebody cancels once more, the
command is cancelled too.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds that a cancelled command gets to end by itself."""


async def carry_through(command: Coroutine[Any, Any, T], *, patience: float = PATIENCE) -> T:
    """Run a command to its end, cancelled or not. What it fails with comes even in the place of a cancellation."""
    task = asyncio.create_task(command)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.wait([task], timeout=patience)
            finally:
                if not task.done():
                    task.cancel()
                    await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error from None
        raise
    return task.result()
