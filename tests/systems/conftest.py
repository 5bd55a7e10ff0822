"""Tests on real software, as its distribution has it. Once each: what they try is the software, not the event loop."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
