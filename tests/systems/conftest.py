"""Tests on real software, as its distribution has it. Once each: what they try is the software, not the event loop."""

import shutil

import pytest

PROGRAMS = {
    "test_etcd": ("etcd", "etcdctl"),
    "test_redis": ("redis-server", "redis-sentinel", "redis-cli"),
}
"""What each module needs. The modules themselves are what their users would write, who have it."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _programs_are_there(request: pytest.FixtureRequest) -> None:
    """Skip by name what isn't."""
    if missing := [program for program in PROGRAMS[request.module.__name__] if shutil.which(program) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
