"""A network as a fixture holds it: deployed and taken down on a loop that nobody else drives meanwhile."""

import asyncio
from typing import final

import pytest

from lucy_core.executive.plugin.keyboard import entered, left
from lucy_core.executive.plugin.marked_run import MarkedRun
from lucy_core.network.network import Network


@final
class Holding:
    """The network of one run."""

    def __init__(self, run: MarkedRun, loop: asyncio.AbstractEventLoop, alive: list[MarkedRun]) -> None:
        """Have `run` stand in `alive` while its network is up. Whoever takes it out has broken off the tests."""
        self._run, self._loop, self._alive = run, loop, alive
        self._deployment = run.deployed()
        self._is_up = False

    def deploy(self) -> Network:
        """Give the network, all nodes started.

        Raises:
            KeyboardInterrupt: Ctrl-C came; the network may be up, and wants to be taken down.
        """
        return entered(self._loop, self._deploy())

    async def _deploy(self) -> Network:
        network = await self._deployment.__aenter__()
        self._alive.append(self._run)
        self._is_up = True
        return network

    def take_down(self) -> None:
        """Take down what is up, and fail for what is held against the run that no test was told. Again does nothing."""
        if not self._is_up:
            return
        self._is_up = False
        if not (was_broken_off := self._run not in self._alive):
            self._alive.remove(self._run)
        try:
            if left(self._loop, self._deployment.__aexit__(None, None, None)) and not was_broken_off:
                raise KeyboardInterrupt
        except SystemExit as error:
            # Of a callback. pytest itself would not survive it here, where other fixtures have still to be torn down.
            pytest.fail(f"SystemExit: {error}", pytrace=False)
        if not was_broken_off and (news := self._run.news()) is not None:
            pytest.fail(news, pytrace=False)
