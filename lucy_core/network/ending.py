"""What ends a run from outside the test: a node that died, a capture that did, a fault that could not be undone.

Whether a death was expected is judged by the node, at once; telling it takes a little longer, since the node's last
lines come before it. Until it is told it is remembered here: a block that ends meanwhile waits for it, and no
cancellation keeps it from being told.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

import anyio
import anyio.abc

from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.engine import NodeExit
from lucy_core.errors import CaptureDiedError, ImpossibleError, NodeExitedError
from lucy_core.network.node import Node
from lucy_core.records.journal import NodeExited


@final
class Ending:
    """Hears of what ends one run, and says so to whoever asked."""

    def __init__(self, pipeline: Pipeline, tasks: anyio.abc.TaskGroup) -> None:
        self._pipeline = pipeline
        self._tasks = tasks
        self._untold = 0
        self._all_told = anyio.Event()

    def exited(self, node: Node, end: NodeExit) -> None:
        """Take note that a node's process ended, and tell it if that was its own doing."""
        if (event := node.exited(end)) is not None:
            self._untold += 1
            self._tasks.start_soon(self._tell, node, end, event, node.awaited)

    async def _tell(self, node: Node, end: NodeExit, event: NodeExited, awaited: str | None) -> None:
        try:
            # Capture answers, or has an end itself: this is over soon, whoever is cancelled.
            with anyio.CancelScope(shield=True):
                await node.settle(event)
            if not event.expected:
                self._pipeline.abort(NodeExitedError(node.name, end.how, end.after, node.last_lines(), awaited=awaited))
        finally:
            self._untold -= 1
            if not self._untold:
                self._all_told.set()
                self._all_told = anyio.Event()

    async def deaths_told(self) -> None:
        """Wait until each death that was heard of stands in the journal, and has ended the run if it has to."""
        while self._untold:
            await self._all_told.wait()

    @asynccontextmanager
    async def named(self) -> AsyncIterator[None]:
        """Raise what has ended the run in the place of a wait that can't come true any more.

        A node's death does both, and which of them is heard first is a matter of luck; the run's exit code must not be.
        """
        try:
            yield
        except ImpossibleError:
            await self.deaths_told()
            if self._pipeline.aborted is not None:
                raise self._pipeline.aborted from None
            raise

    async def settle(self) -> None:
        """Wait until all that has arrived is delivered to whoever subscribes, and each death that is known is told.

        Raises:
            CaptureDiedError: the capture process is gone, so nobody can say what has arrived.
        """
        await self.deaths_told()
        await self._pipeline.reach(await self._pipeline.fence())

    def watch_capture(self) -> None:
        """End the run when its capture dies."""

        def ended(error: Exception | None) -> None:
            if isinstance(error, CaptureDiedError):
                self._pipeline.abort(error)

        self._pipeline.subscribe(Interest(nodes=()), lambda _: None, ended)
