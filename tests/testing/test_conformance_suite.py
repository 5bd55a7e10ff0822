"""The suite for engines, tested: an author's engine can run it, and each broken promise fails it by name."""

import os
import re
import signal
import sys
import textwrap

import pytest

from lucy_core.testing import engine_conformance

pytest_plugins = ["pytester"]
ALONE = ("-p", "no:cacheprovider", "-p", "no:asyncio")

# An engine that an author might write: by delegation, so that each defect below is one line.
MY_ENGINE = """
import os, subprocess
from contextlib import asynccontextmanager
from lucy_core.engine import Engine, EngineNetwork, NodeExit, Plan
from lucy_engines.process import ProcessEngine
import msgspec

class Delegate:
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)

class MyPlan(Plan):
    node = Delegate
    def __init__(self, inner, place):
        self.inner = inner
        self.place = place
    @asynccontextmanager
    async def open(self, capture, on_exit):
        async with self.inner.open(capture, on_exit) as network:
            yield EngineNetwork({name: self.node(node) for name, node in network.nodes.items()})

class Able(Engine):
    name = "able"
    capabilities = ProcessEngine.capabilities
    my_plan = MyPlan
    def plan(self, spec, place):
        return self.my_plan(ProcessEngine().plan(spec, place), place)
    async def leftovers(self, run_id):
        return await ProcessEngine().leftovers(run_id)

class MyEngine(Able):
    "Can start and stop nodes, and nothing else."
    name = "my-engine"
    capabilities = frozenset()
"""

BROKEN = """
from my_engine import *

class KeepsState(Able):
    class my_plan(MyPlan):
        class node(Delegate):
            async def start(self, *, fresh_state, environment):
                await self.inner.start(fresh_state=False, environment=environment)

class DropsEnvironment(Able):
    class my_plan(MyPlan):
        class node(Delegate):
            async def start(self, *, fresh_state, environment):
                await self.inner.start(fresh_state=fresh_state, environment={})

class KillsAtOnce(Able):
    class my_plan(MyPlan):
        class node(Delegate):
            async def stop(self, *, grace):
                await self.inner.kill()

class NeverPauses(Able):
    class my_plan(MyPlan):
        class node(Delegate):
            async def pause(self):
                pass

class HidesDeaths(Able):
    class my_plan(MyPlan):
        def open(self, capture, on_exit):
            return super().open(capture, lambda end: None)

class LiesAboutDeaths(Able):
    class my_plan(MyPlan):
        def open(self, capture, on_exit):
            return super().open(capture, lambda end: on_exit(msgspec.structs.replace(end, code=0, signal=None)))

class LosesALine(Able):
    def plan(self, spec, place):
        lose = ("sh", "-c", '"$@" | sed -u 700d', "sh")
        nodes = tuple(msgspec.structs.replace(node, command=(*lose, *node.command)) for node in spec.nodes)
        return super().plan(msgspec.structs.replace(spec, nodes=nodes), place)

class DoublesALine(LosesALine):
    def plan(self, spec, place):
        double = ("sh", "-c", '"$@" | sed -u 700p', "sh")
        nodes = tuple(msgspec.structs.replace(node, command=(*double, *node.command)) for node in spec.nodes)
        return Able.plan(self, msgspec.structs.replace(spec, nodes=nodes), place)

class LeavesAProcess(Able):
    class my_plan(MyPlan):
        @asynccontextmanager
        async def open(self, capture, on_exit):
            environment = {**os.environ, "LUCY_RUN": self.place.run_id}
            subprocess.Popen(["sh", "-c", "sleep 600 & echo $! >> left"], env=environment).wait()
            async with super().open(capture, on_exit) as network:
                yield network
"""

# Which promise each breaks, beside one that it keeps.
CAUGHT = {
    "KeepsState": ["a_stopped_node_keeps_its_state_and_a_fresh_start_has_none"],
    "DropsEnvironment": ["a_node_has_the_environment_of_its_spec_and_of_its_start"],
    "KillsAtOnce": ["a_stop_lets_a_node_say_goodbye_and_takes_its_last_line"],
    "NeverPauses": ["a_paused_node_is_silent_until_it_is_resumed"],
    "HidesDeaths": ["a_node_that_dies_ends_the_test_with_its_last_lines[exit:3-exited with code 3]"],
    "LiesAboutDeaths": ["a_node_that_dies_ends_the_test_with_its_last_lines[die:SIGKILL-was killed by SIGKILL]"],
    "LosesALine": ["every_line_of_a_flood_arrives_once_and_in_order"],
    "DoublesALine": ["every_line_of_a_flood_arrives_once_and_in_order"],
    "LeavesAProcess": ["nothing_is_left_after_a_normal_end"],
}
KEPT = "wrong_moves_are_refused_by_name_and_do_nothing"


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory of an author's own, with an engine in it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(pytester.path), *filter(None, sys.path))))
    monkeypatch.setenv("LUCY_CONFORMANCE_SECONDS", "12")
    pytester.makefile(".ini", pytest="[pytest]\nfilterwarnings = error\n")
    pytester.makepyfile(my_engine=MY_ENGINE)
    return pytester


def outcomes(result: pytest.RunResult, word: str) -> set[str]:
    found = (re.match(rf"{word} [^:]+::(\w+)::test_(\w+(\[exit.*?\]|\[die.*?\])?)", line) for line in result.outlines)
    return {f"{match[1]} {match[2]}" for match in found if match}


@pytest.mark.slow
def test_an_engine_of_few_abilities_passes_by_refusing_the_others(session: pytest.Pytester) -> None:
    """The example of the package's docstring, as it stands: all of the suite, every capability refused by its name."""
    assert engine_conformance.__doc__ is not None
    (example,) = re.findall(r"::\n\n(.*?)\n\n\S", engine_conformance.__doc__, re.DOTALL)
    session.makepyfile(test_my_engine=textwrap.dedent(example).replace('"python3"', repr(sys.executable)))

    result = session.runpytest_subprocess("-q", *ALONE)

    counted = result.parseoutcomes()
    assert set(counted) == {"passed"}, result.stdout.str()
    assert counted["passed"] > 40


@pytest.mark.slow
def test_each_broken_promise_fails_the_suite_by_its_name(session: pytest.Pytester) -> None:
    session.makepyfile(broken=BROKEN)
    suites = [
        f"class Test{name}(EngineConformance):\n"
        f"    python = {sys.executable!r}\n"
        f"    engine = pytest.fixture(lambda self: broken.{name}())\n"
        for name in CAUGHT
    ]
    head = "import broken, pytest\nfrom lucy_core.testing.engine_conformance import EngineConformance\n"
    session.makepyfile(test_broken=head + "\n".join(suites))
    chosen = [f"test_broken.py::Test{name}::test_{test}" for name, tests in CAUGHT.items() for test in (*tests, KEPT)]

    # A broken promise shows by waiting in vain: side by side, that costs little.
    try:
        result = session.runpytest_subprocess("-q", "-rA", "-n", "6", *ALONE, "--tb=short", *chosen)
    finally:
        for pid in (session.path / "left").read_text().split():
            os.kill(int(pid), signal.SIGKILL)

    assert outcomes(result, "FAILED") == {f"Test{name} {test}" for name, tests in CAUGHT.items() for test in tests}
    assert outcomes(result, "PASSED") >= {f"Test{name} {KEPT}" for name in CAUGHT}, result.stdout.str()


def test_a_suite_without_an_engine_says_what_is_missing(session: pytest.Pytester) -> None:
    session.makepyfile(
        "from lucy_core.testing.engine_conformance import LifeCycleConformance\n"
        "class TestNothing(LifeCycleConformance): ...\n"
    )

    result = session.runpytest_subprocess("-q", *ALONE, "-k", "keeps_the_contract")

    result.stdout.fnmatch_lines("*TestNothing must define a fixture `engine` that returns its engine*")
