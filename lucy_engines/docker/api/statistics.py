"""What a container uses, out of the Engine's own measurements."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import aiohttp
from aiodocker.exceptions import DockerError

from lucy_core.engine import Resources
from lucy_engines.docker.api.client import EngineClient
from lucy_engines.docker.api.endpoint import api_path


def resources_of(sample: dict[str, Any]) -> Resources | None:
    """Read one measurement, or return None where the container didn't run.

    Memory is without what the kernel may drop at once, as `docker stats` has it; the name differs between the two
    versions of control groups.
    """
    usage = sample.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)
    memory = sample.get("memory_stats", {})
    if not memory.get("usage"):
        return None
    details = memory.get("stats", {})
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return Resources(
        cpu_seconds=usage / 1e9,
        memory_bytes=max(0, memory["usage"] - cache),
        threads=sample.get("pids_stats", {}).get("current", 0),
    )


async def measure(client: EngineClient, container: str) -> Resources | None:
    """Take one measurement. With `one-shot` the Engine doesn't wait a second for a second one."""
    return resources_of(
        await client.get(api_path("containers", container, "stats"), **{"stream": "false", "one-shot": "true"})
    )


async def follow(client: EngineClient, container: str, hear: Callable[[Resources], None]) -> None:
    """Hear a measurement a second, for as long as the container and the Engine live."""
    try:
        async with aclosing(client.lines(api_path("containers", container, "stats"), stream="true")) as samples:
            async for sample in samples:
                used = resources_of(sample)
                if used is not None:
                    hear(used)
    except (DockerError, aiohttp.ClientError, OSError):
        return  # whoever watches the Engine says what became of it
