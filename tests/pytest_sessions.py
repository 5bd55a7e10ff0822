"""Sessions of pytest, each in a process of its own, on a test file that is given as text. See `session`."""

import os
from collections.abc import Callable
from importlib.metadata import entry_points

import pytest
from places import REPOSITORY

from lucy_core.engine.contract import engine_names

INI = """
[pytest]
anyio_mode = auto
filterwarnings = error
addopts = -p no:asyncio
"""

CONFTEST = """
import pytest

@pytest.fixture(
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)
def anyio_backend(request):
    return request.param
"""

HEAD = """
import asyncio, os, signal
import anyio, msgspec, pytest
import lucy_core as lucy

@lucy.event(ids="tick")
class Tick(msgspec.Struct, frozen=True):
    n: int

TICK = '''echo '{"message":"tick","event_id":"tick","metadata":{"n":1}}'; exec sleep 600'''

def topology(program=TICK):
    return lucy.NetworkSpec(
        name="small", nodes=(lucy.NodeSpec(name="one", role="node", command=("sh", "-c", program)),))

def never(seconds):
    limit = lucy.seconds(seconds)
    return lucy.Condition(name="never", description="what never comes", soft=limit, hard=limit,
                          check=lambda *_: lucy.Progress(have=0, need=1), event_types=(Tick,))
"""

Session = Callable[..., pytest.RunResult]


def prepared_session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Runs pytest on a test file, in a process of its own, on both loops."""
    site = pytester.mkdir("site")
    information = site / "plugin_of_tests-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-tests\nVersion: 1\n")
    points = "[lucy.engines]\nbroken = nowhere:Nothing\n"
    if "process" not in engine_names():
        points += "process = lucy_engines.process:ProcessEngine\n"
    if not entry_points(group="pytest11", name="lucy"):
        points += "[pytest11]\nlucy = lucy_core.executive.plugin.plugin\n"
    (information / "entry_points.txt").write_text(points)
    # In a gate pytest says errors whole in its summary once more, and these tests count how often one is said.
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{site}")
    pytester.makeini(INI)
    pytester.makeconftest(CONFTEST)

    def run(text: str, *words: str) -> pytest.RunResult:
        pytester.makepyfile(HEAD + text)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *words, timeout=60)

    return run
