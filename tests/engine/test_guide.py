"""The guide for authors of engines, `docs/engines.md`: its engine runs, and keeps what the guide says that it keeps."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from places import REPOSITORY

import lucy_core as lucy

pytest_plugins = ["pytester"]


def code_of_the_guide() -> list[str]:
    text = (REPOSITORY / "docs" / "engines.md").read_text(encoding="utf-8")
    return re.findall(r"```python[^\n]*\n(.*?)```", text, re.DOTALL)


@pytest.mark.slow
def test_the_engine_of_the_guide_keeps_every_promise_but_the_one_that_it_names(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    little, suite = code_of_the_guide()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(pytester.path), *filter(None, sys.path))))
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makepyfile(little=little)
    chosen = f"    python = {sys.executable!r}\n    checkpoints = (0, 10, 40)\n    restarts_under_flood = 2\n"
    pytester.makepyfile(test_little=suite.replace("(EngineConformance):\n", f"(EngineConformance):\n{chosen}"))

    result = pytester.runpytest_subprocess(
        "-q", "-n", "3", "-p", "no:cacheprovider", "-p", "no:asyncio", "-k", "not kill-9"
    )

    counted = result.parseoutcomes()
    assert set(counted) == {"passed"}, result.stdout.str()
    assert counted["passed"] >= 40


@pytest.fixture
def little() -> Any:
    """The guide's engine, as a module."""
    module = ModuleType("little")
    exec(code_of_the_guide()[0], module.__dict__)
    return module


SPEC = lucy.NetworkSpec(
    name="n", nodes=tuple(lucy.NodeSpec(name=name, role="x", command=("sleep", "600")) for name in ("a", "b"))
)


async def test_the_guides_engine_ends_a_node_again_while_what_it_left_is_being_ended(
    little: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = [ended.pid]  # as one that ends between the search and the signal
    async with lucy.deploy(SPEC, engine=little.LittleEngine(), run_directory=tmp_path / "run") as network:
        search = little.marked
        monkeypatch.setattr(little, "marked", lambda text: left or search(text))
        node = network["a"]._engine_node
        with network["a"].expecting_exit(), anyio.fail_after(20):
            process = node.process
            process.kill()
            await process.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(node.kill)
                await anyio.lowlevel.checkpoint()
                assert node.process is process
                left.clear()
        assert node.process is None


async def test_the_guides_engine_takes_all_nodes_away_though_one_makes_trouble(little: Any, tmp_path: Path) -> None:
    engine = little.LittleEngine()
    with pytest.raises(FileNotFoundError):
        async with lucy.deploy(SPEC, engine=engine, run_directory=tmp_path / "run", run_id="guide-1") as network:
            for node in network:
                node._engine_node.fifo.unlink()
    assert await engine.leftovers("guide-1") == []
