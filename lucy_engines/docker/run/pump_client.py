"""Lucy's end of the pump: starting it, asking it, hearing how far it is."""

from collections import defaultdict
from pathlib import Path
from typing import final

import anyio

from lucy_core.errors import CarrierDiedError, DeployError, HelperDiedError
from lucy_core.helpers.helper import Helper, Refused
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.run.pump import Broken, Carry, Closed, Passed


@final
class PumpClient:
    """A running pump. `listen` has to run for as long as it is used; `dispose` ends it."""

    def __init__(self) -> None:
        """Start it.

        Raises:
            HelperStartError: no process can be started.
        """
        self._helper = Helper(
            "the pump, which carries nodes' lines",
            "lucy_engines.docker.run.pump",
            hear={Passed: self._heard_mark, Closed: self._closed, Broken: self._broke},
            death=CarrierDiedError,
        )
        self._news = anyio.Event()
        self._marks: dict[str, int] = defaultdict(int)
        self._open: set[str] = set()
        self.broken: dict[str, str] = {}
        """Nodes whose stream made no sense, and why."""

    @property
    def died(self) -> HelperDiedError | None:
        """How it ended, where it did so by itself."""
        return self._helper.died

    async def carry(self, node: str, fifo: Path, endpoint: Endpoint, container: str, token: str) -> None:
        """Carry a container's stderr into a FIFO from now on. Call it before the container is started.

        Raises:
            DeployError: the Engine can't be reached for it, or refused; or the FIFO can't be opened.
            CarrierDiedError: the pump is gone.
        """
        self._open.add(node)
        try:
            await self._helper.ask(Carry(node, str(fifo), endpoint.text, container, token))
        except Refused as refused:
            self._open.discard(node)
            raise DeployError(f"can't carry its container's lines: {refused.reason}", node) from refused

    async def passed(self, node: str, number: int) -> bool:
        """Wait until all that was written before a node's end of this number is in its FIFO. False if it never will."""
        while self._marks[node] < number and node in self._open and not self.died:
            await self._news.wait()
        return self._marks[node] >= number

    async def emptied(self, node: str) -> None:
        """Wait until the container brings no lines of a node any more, and all that came is in its FIFO."""
        while node in self._open and not self.died:
            await self._news.wait()

    async def listen(self) -> None:
        """Hear what it says until it ends; by itself, if nobody has called `dispose`."""
        await self._helper.listen()
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()

    def _heard_mark(self, told: Passed) -> None:
        self._marks[told.node] = told.number
        self._tell()

    def _closed(self, told: Closed) -> None:
        self._open.discard(told.node)
        self._tell()

    def _broke(self, told: Broken) -> None:
        self.broken[told.node] = told.reason
        self._tell()

    def dispose(self) -> None:
        """End it. What it has taken and not yet put into a FIFO is lost: nodes are to be ended first."""
        self._helper.dispose()
