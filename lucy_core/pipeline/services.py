"""Tasks that others depend on until the very end.

A cancelled block still has to be left in order: the last lines are asked for, the nodes are stopped, and each of these
waits for an answer that a task in the background has to read. Were such a task cancelled with the block, leaving it
would wait for ever. So a service is shielded, and ends when it is told to, once nobody needs it any more.
"""

from collections.abc import Awaitable, Callable
from typing import final

import anyio
import anyio.abc


@final
class Services:
    """The services of one task group. `stop` has to be called before the group can be left."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self._tasks = tasks
        self._scopes: list[anyio.CancelScope] = []

    def start(self, service: Callable[[], Awaitable[None]]) -> None:
        """Run a service until `stop`."""
        scope = anyio.CancelScope(shield=True)
        self._scopes.append(scope)

        async def run() -> None:
            with scope:
                await service()

        self._tasks.start_soon(run)

    def stop(self) -> None:
        """End all services. Again is no error."""
        for scope in self._scopes:
            scope.cancel()
