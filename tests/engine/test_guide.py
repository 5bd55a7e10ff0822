"""The guide for authors of engines, `docs/engines.md`: its engine runs, and keeps what the guide says that it keeps."""

import os
import re
import sys

import pytest
from places import REPOSITORY

pytest_plugins = ["pytester"]


def code_of_the_guide() -> list[str]:
    text = (REPOSITORY / "docs" / "engines.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


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
