"""The loops of pytest-asyncio, as fixtures that `plugin` asks for.

Registered where pytest-asyncio is, whose name for the loop has to be known when a fixture is defined: one for each pair
of a network's scope and the scope of a loop that lasts as long.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest_asyncio

from lucy_core.executive.plugin.scopes import LOOP_SCOPES, NETWORKS


def _loop(scope: Any, loop_scope: Any) -> Callable[..., object]:
    @pytest_asyncio.fixture(scope=scope, loop_scope=loop_scope, name=f"_lucy_{loop_scope}_loop_for_{scope}")
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    return loop


for _scope in NETWORKS.values():
    for _loop_scope in LOOP_SCOPES[: LOOP_SCOPES.index(_scope) + 1]:
        globals()[f"_{_loop_scope}_loop_for_{_scope}"] = _loop(_scope, _loop_scope)
