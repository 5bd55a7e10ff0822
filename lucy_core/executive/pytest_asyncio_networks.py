"""The fixtures of `pytest_plugin` that pytest-asyncio runs, on each loop that a test can have there.

Registered where pytest-asyncio is, whose name for the loop has to be known when a fixture is defined: one for each pair
of a network's scope and the scope of a loop that lasts as long.
"""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from lucy_core.executive.pytest_plugin import LOOP_SCOPES, NETWORKS, held_network

if TYPE_CHECKING:
    from lucy_core.network import Network


def _on_loop(scope: Any, loop_scope: Any) -> Callable[..., object]:
    @pytest_asyncio.fixture(scope=scope, loop_scope=loop_scope, name=f"_lucy_{scope}_network_on_{loop_scope}_loop")
    async def network(
        request: pytest.FixtureRequest,
        lucy_engine: Any,  # noqa: ARG001  # the network goes when it changes
    ) -> "AsyncIterator[Network]":
        async with held_network(request) as held:
            yield held

    return network


for _scope in NETWORKS.values():
    for _loop in LOOP_SCOPES[: LOOP_SCOPES.index(_scope) + 1]:
        globals()[f"_{_scope}_network_on_{_loop}_loop"] = _on_loop(_scope, _loop)
