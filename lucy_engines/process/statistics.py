"""What nodes use, written into the run once a second."""

from collections.abc import Mapping

import anyio

from lucy_core.engine import LineCapture, NodeMeasured
from lucy_engines.process.node import ProcessNode

SECONDS = 1.0


async def follow(nodes: Mapping[str, ProcessNode], capture: LineCapture) -> None:
    """Measure all nodes that run, once a second, for ever. One look into /proc takes a fifth of a millisecond."""
    while True:
        for name, node in tuple(nodes.items()):
            used = await node.resources()
            if used is not None:
                capture.note(NodeMeasured(name, round(used.cpu_seconds, 6), used.memory_bytes, used.threads))
        await anyio.sleep(SECONDS)
