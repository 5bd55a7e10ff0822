"""Ctrl-C under pytest: quiet, with pytest's own exit code, and a result that says so, whatever was going on."""

import importlib
import json
import os
import sys

import pytest
from pytest_sessions import Session

import lucy_core
from lucy_core.executive.plugin.keyboard import stands_in_machinery

pytest_plugins = ("pytester",)

TESTS = """
import sys, time
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from lucy_engines.process import ProcessEngine

CTRL_C = f"kill -INT {os.getpid()}; "

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

@pytest.mark.lucy(topology=topology)
async def test_waiting(lucy_network):
    asyncio.get_running_loop().call_later(0, interrupt)
    await lucy_network.wait_for(never(60))

@pytest.mark.lucy(topology=topology)
async def test_asleep(lucy_network):
    asyncio.get_running_loop().call_later(0, interrupt)
    await anyio.sleep_forever()

@pytest.mark.lucy(topology=topology)
async def test_blocking(lucy_network):
    interrupt()
    time.sleep(60)

@asynccontextmanager
async def opened(plan, what_then, *rest):
    async with plan.open(*rest):
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        await what_then()
        yield

class Odd(ProcessEngine):
    def __init__(self, what_then):
        super().__init__()
        self.what_then = what_then

    def plan(self, *rest):
        return SimpleNamespace(open=partial(opened, super().plan(*rest), self.what_then))

async def fail():
    raise OSError("no room")

@pytest.mark.lucy(topology=topology, engine=Odd(anyio.sleep_forever))
async def test_deploying(lucy_network):
    await anyio.sleep_forever()

@pytest.mark.lucy(topology=topology, engine=Odd(fail))
async def test_beginning(lucy_network):
    await anyio.sleep_forever()

@pytest.mark.lucy(topology=topology(f"trap '{CTRL_C} exit' TERM; {TICK.split(';')[0]}; while :; do sleep 0.05; done"))
async def test_leaving(lucy_network):
    await lucy_network.events(Tick, since=0).first(within=20)

@pytest.fixture
def after_the_network(lucy_network):
    interrupt()

@pytest.mark.lucy(topology=topology)
async def test_between_setups(lucy_network, after_the_network):
    await anyio.sleep_forever()

@pytest.mark.lucy(topology=topology)
async def test_just_over(lucy_network):
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)

@pytest.mark.lucy(topology=topology)
async def test_ending(lucy_network):
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
    await asyncio.sleep(0)

@pytest.mark.lucy(topology=topology)
async def test_failing(lucy_network):
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
    await asyncio.sleep(0)
    assert False
"""


@pytest.mark.parametrize(
    ("test", "loop", "outcome"),
    (
        ("waiting", "asyncio", "interrupted"),
        ("waiting", "uvloop", "interrupted"),
        ("asleep", "asyncio", "interrupted"),
        ("blocking", "asyncio", "interrupted"),
        ("deploying", "asyncio", "interrupted"),
        ("beginning", "asyncio", "interrupted"),
        ("between_setups", "asyncio", "interrupted"),
        ("just_over", "asyncio", "interrupted"),
        ("ending", "asyncio", "interrupted"),
        ("failing", "asyncio", "interrupted"),
        ("leaving", "asyncio", "passed"),
    ),
)
def test_ctrl_c_is_quiet_and_leaves_a_result(
    session: Session, pytester: pytest.Pytester, test: str, loop: str, outcome: str
) -> None:
    result = session(TESTS, "-k", f"{test} and {loop}", "--lucy-run-dir", str(pytester.path / "runs"))

    said = result.stdout.str() + result.stderr.str()
    results = [json.loads(each.read_bytes()) for each in (pytester.path / "runs").glob("*/result.json")]
    assert [each["outcome"] for each in results] == [outcome], said
    assert result.ret == pytest.ExitCode.INTERRUPTED, said
    assert "Traceback" not in said
    assert "! KeyboardInterrupt !" in said


IN_PYTEST = """
import sys
from pathlib import Path

def interrupt(frame, event, _):
    if event == "return" and frame.f_code.co_name == {function!r} and {where}:
        sys.setprofile(None)
        Path("trapped").read_bytes()
        signal.raise_signal(signal.SIGINT)

@pytest.fixture
def watched():
    sys.setprofile(interrupt)

PLACE = os.getcwd()

@pytest.mark.lucy(
    topology=topology(f"cd {{PLACE}}; trap 'sleep 0.5; touch left; exit' TERM; :>trapped; while :; do sleep 0.05; done")
)
async def test_asleep(watched, lucy_network):
    await anyio.sleep_forever()
"""


@pytest.mark.parametrize(
    ("function", "where"),
    (
        ("entered", "'keyboard' in frame.f_code.co_filename"),
        ("_network", "True"),
        ("call_fixture_func", "frame.f_locals['request'].fixturename == 'lucy_network'"),
    ),
)
def test_ctrl_c_where_neither_a_test_nor_lucy_works_takes_the_network_down(
    session: Session, pytester: pytest.Pytester, function: str, where: str
) -> None:
    os.mkfifo(pytester.path / "trapped")
    text = IN_PYTEST.format(function=function, where=where)
    result = session(text, "-k", "asyncio", "--lucy-run-dir", str(pytester.path / "runs"))

    said = result.stdout.str() + result.stderr.str()
    assert result.ret == pytest.ExitCode.INTERRUPTED, said
    assert "Traceback" not in said
    [record] = (pytester.path / "runs").glob("*/result.json")
    assert json.loads(record.read_bytes())["outcome"] == "interrupted"
    assert (pytester.path / "left").exists()  # the node was given the time to leave


BROKEN_OFF = """
@pytest.mark.lucy(topology=topology)
async def test_exit(lucy_network):
    pytest.exit("enough", returncode=7)

@pytest.mark.lucy(topology=topology)
async def test_mistake(lucy_network, request):
    class Plugin:
        def pytest_runtest_logreport(self, report):
            raise RuntimeError("a mistake")

    request.config.pluginmanager.register(Plugin())
"""


@pytest.mark.parametrize(("test", "code"), (("exit", 7), ("mistake", pytest.ExitCode.INTERNAL_ERROR)))
def test_a_session_that_is_broken_off_leaves_no_run_that_passed(
    session: Session, pytester: pytest.Pytester, test: str, code: int
) -> None:
    result = session(BROKEN_OFF, "-k", f"{test} and asyncio", "--lucy-run-dir", str(pytester.path / "runs"))

    assert result.ret == code
    [record] = (pytester.path / "runs").glob("*/result.json")
    assert json.loads(record.read_bytes())["outcome"] == "interrupted"


def test_a_tests_own_code_is_interrupted_where_it_is_and_the_machinery_is_not() -> None:
    import asyncio
    import sys
    from bisect import bisect

    seen: list[bool] = []

    def look(_: object = None) -> int:
        seen.append(stands_in_machinery(sys._getframe(1)))
        return 0

    async def in_a_callback() -> None:
        asyncio.get_running_loop().call_soon(look)
        await asyncio.sleep(0)

    look()
    bisect([0], 0, key=look)
    asyncio.run(in_a_callback())

    assert seen == [False, False, True]


def test_an_import_is_its_importers_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of one that Lucy makes broke off her taking down, and with it the result."""
    found: list[bool] = []

    class Finder:
        def find_spec(self, *_: object) -> None:
            frame = sys._getframe().f_back  # the interpreter's own code, which is frozen into it
            assert frame is not None
            assert frame.f_code.co_filename.startswith("<frozen ")
            found.append(stands_in_machinery(frame))

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(AttributeError):
        _ = lucy_core.no_such_room
    with pytest.raises(ImportError):
        importlib.import_module("no_such_module")
    assert found == [True, False]
