"""The process engine passes the suite that every engine has to pass."""

import sys
from typing import Any, ClassVar

import pytest

from lucy_core.testing.engine_conformance import EngineConformance
from lucy_engines.process import ProcessEngine


class TestProcessEngine(EngineConformance):
    python = sys.executable
    captures: ClassVar = {"fifo": {}}
    restarts_under_flood = 25
    checkpoints = tuple(range(0, 60, 3))

    @pytest.fixture
    def engine(self) -> ProcessEngine:
        return ProcessEngine()

    @pytest.fixture(
        params=(
            pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
            pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        ),
    )
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        return request.param
