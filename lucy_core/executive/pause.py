"""Holding a run before its network is taken down, so that somebody can look at it."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack

import anyio

from lucy_core.errors import EngineError
from lucy_core.network.network import Network
from lucy_core.network.node import Node


def invitation(network: Network) -> str:
    """Say where the network can be found."""
    lines = ("", f"Paused before teardown. Run directory: {network.directory}", *places(network))
    return "\n".join((*lines, "Press Enter to go on."))


def places(network: Network) -> list[str]:
    """Say of each node how it is, and where its ports are, a line each."""
    lines = []
    for node in network:
        where = [f"{port} {_place(node, port)}" for port in node.spec.ports]
        lines.append(f"  {node.name:<12} {node.state:<9} {'  '.join(where)}".rstrip())
    return lines


def _place(node: Node, port: str) -> str:
    try:
        return "%s:%d" % node.address(port)  # noqa: UP031  # host:port
    except EngineError:  # the engine has no addresses, or the node has none any more
        return "unreachable"


async def pause(network: Network, say: Callable[[str], None]) -> None:
    """Wait for Enter, or the end of standard input. Nodes may end meanwhile, as somebody is looking at them."""
    say(invitation(network))
    with ExitStack() as stack:
        for node in network:
            stack.enter_context(node.expecting_exit())
        if sys.__stdin__ is not None:
            await enter_pressed(sys.__stdin__.fileno())


async def enter_pressed(descriptor: int) -> None:
    """Wait until a line, or the end, comes on a descriptor."""
    while True:
        try:
            await anyio.wait_readable(descriptor)
        except PermissionError:
            return  # a file or /dev/null: nobody is typing
        except (OSError, ValueError):
            return  # closed
        got = os.read(descriptor, 4096)
        if not got or b"\n" in got:
            return
