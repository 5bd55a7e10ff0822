"""A Lucy in a process of its own, for tests to end: deploys a network, says `up`, and waits. Run by its path.

Where it is asked to, it forks before that, as a pool of processes does, and says the child's process id too. The child
has inherited all that was open, and lives on until somebody ends it.
"""

import importlib
import json
import os
import signal
import sys
from typing import Any

import anyio

from lucy_core.engine import NetworkSpec
from lucy_core.run.deployment import deploy
from lucy_core.testing.scripted_node import Told, scripted_node


async def main(order: dict[str, Any]) -> None:
    """Deploy what was ordered, until the end."""
    module, _, name = order["engine"].partition(":")
    python = order["python"]
    nodes = (scripted_node("a", "spawn", "tick", python=python), scripted_node("b", "tick", python=python))
    async with deploy(
        NetworkSpec(name="conformance", nodes=nodes),
        engine=getattr(importlib.import_module(module), name)(),
        run_id=order["run_id"],
        run_directory=order["directory"],
        options=order["options"],
    ) as network:
        await network["a"].events(Told, since=0).first(lambda event: event.data.what == "orphan", within=60)
        child = os.fork() if order["forks"] else None
        if child == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            while True:
                signal.pause()
        sys.stdout.write(f"up {child or ''}\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    try:
        anyio.run(main, json.loads(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
