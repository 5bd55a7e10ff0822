"""Ctrl-C under pytest: quiet, with pytest's own exit code, and a result that says so, whatever was going on."""

import json

import pytest
from pytest_sessions import Session

from lucy_core.executive.plugin.keyboard import stands_in_machinery

pytest_plugins = ("pytester",)

TESTS = """
import sys, time

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

@pytest.mark.lucy(topology=topology(CTRL_C + TICK))
async def test_deploying(lucy_network):
    await anyio.sleep_forever()

@pytest.mark.lucy(topology=topology(f"trap '{CTRL_C} exit' TERM; {TICK.split(';')[0]}; while :; do sleep 0.05; done"))
async def test_leaving(lucy_network):
    await lucy_network.events(Tick, since=0).first(within=20)
"""


@pytest.mark.parametrize(
    ("test", "loop", "outcome"),
    (
        ("waiting", "asyncio", "interrupted"),
        ("waiting", "uvloop", "interrupted"),
        ("asleep", "asyncio", "interrupted"),
        ("blocking", "asyncio", "interrupted"),
        ("deploying", "asyncio", "interrupted"),
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
