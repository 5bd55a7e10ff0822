"""Asking nodes whether they answer, for the conditions of `lucy_core.judging.conditions.probes`."""

from collections.abc import Mapping
from typing import final

import anyio

from lucy_core.errors import CommandError, UnknownPortError
from lucy_core.judging.conditions.probes import Probe
from lucy_core.network.node import Node
from lucy_core.records.journal import Probed

ANSWER_SECONDS = 5.0
"""How long a node gets for one answer."""


@final
class NodeProber:
    """Asks the nodes of a network, at the addresses at which they are reached from here."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes

    async def __call__(self, probe: Probe) -> Probed:
        """Ask once.

        Raises:
            UnknownPortError: the node has no such port.
            UnsupportedError: its ports can't be reached from here at all.
        """
        node = self._nodes[probe.node]
        try:
            host, port = node.address(probe.port)
            with anyio.fail_after(ANSWER_SECONDS):
                ok, answer = await (
                    _connect(host, port, node, probe) if probe.path is None else _get(host, port, probe)
                )
        except TimeoutError:
            ok, answer = False, f"no answer in {ANSWER_SECONDS:g} s"
        except UnknownPortError:
            raise
        except CommandError as error:
            ok, answer = False, str(error)  # off the network, for now
        except OSError as error:
            ok, answer = False, f"{type(error).__name__}: {error.strerror or error}"
        return Probed(probe.node, str(probe), ok, answer)


async def _connect(host: str, port: int, node: Node, probe: Probe) -> tuple[bool, str]:
    stream = await anyio.connect_tcp(host, port)
    await stream.aclose()
    if not await node.listens(probe.port):
        return False, "nobody listens there, though something before it takes connections"
    return True, "it takes connections"


async def _get(host: str, port: int, probe: Probe) -> tuple[bool, str]:
    import aiohttp

    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{probe.path}"
    try:
        async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as response:
            first, last = probe.statuses
            return first <= response.status <= last, f"HTTP {response.status}"
    except aiohttp.ClientError as error:
        return False, f"{type(error).__name__}: {error}"
