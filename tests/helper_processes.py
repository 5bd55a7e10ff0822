"""Processes that Lucy starts for herself: what the tests of several of them stand on."""

import os
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from lucy_engines.docker.run.pump_client import PumpClient

SECONDS = 60


def ended(pid: int) -> bool:
    """Wait for the end of a process that need not be a child of ours, and tell whether it came."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], SECONDS)[0])
    finally:
        os.close(pidfd)


@asynccontextmanager
async def pumping() -> AsyncIterator[PumpClient]:
    """A pump, and who listens to it."""
    pump = PumpClient()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump.listen)
            yield pump
            tasks.cancel_scope.cancel()
    finally:
        pump.dispose()
