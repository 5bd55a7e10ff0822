"""When a node is ready: what its spec may say of that, who waits for it, and what is told where it never is.

That engines start and stop nodes in order is the conformance suite's to test.
"""

import re
import sys
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

import lucy_core as lucy
from lucy_core.engine import State
from lucy_core.judging.result import ExitCode
from lucy_core.testing.scripted_node import Told, scripted_node

pytestmark = pytest.mark.anyio


def network(tmp_path: Path, *nodes: lucy.NodeSpec, **more: Any) -> Any:
    return lucy.deploy(lucy.NetworkSpec(name="ready", nodes=nodes), run_directory=tmp_path / "run", **more)


def script(name: str, *steps: str, **more: Any) -> lucy.NodeSpec:
    return scripted_node(name, *steps, python=sys.executable, **more)


def waits_file(name: str = "a", **more: Any) -> lucy.NodeSpec:
    """Describe a node that says that it is open once it has a file called `go`."""
    return script(name, "wait:go", "print:open for all", "rest", **more)


def is_open(event: lucy.Event[Told]) -> bool:
    return event.data.what == "listening"


LISTEN = "listen:{bind}:{port:p}"


@pytest.mark.parametrize(
    "ready",
    (
        "open for",
        re.compile(r"^open \w+ all$"),
        re.compile(rb"open.*all"),
        lucy.logged("open for all"),
        lucy.logged("open for all", nodes=("a",)),
        lucy.seen(Told, where=is_open),
        lucy.port_open("a", "p"),
        lucy.all_of(lucy.port_open("a", "p"), lucy.logged("open for")),
        lucy.any_of(lucy.http_ok("a", "p"), lucy.seen(Told, where=is_open)),
    ),
)
async def test_a_start_returns_once_the_node_is_ready(tmp_path: Path, ready: object) -> None:
    a = script("a", "wait:go", LISTEN, "print:open for all", "rest", ports=("p",), ready=ready)
    # What another node says and opens tells nothing of this one.
    b = script("b", LISTEN, "print:open for all", "rest", ports=("p",))
    done: list[str] = []
    async with network(tmp_path, a, b, start=False) as running, anyio.create_task_group() as tasks:

        async def start() -> None:
            await running["a"].start()
            done.append("a")

        tasks.start_soon(start)
        await running["b"].start()
        await running["a"].events(Told, since=0).first(lambda event: event.data.what == "waiting", within=20)
        await running["b"].events(Told, since=0).first(is_open, within=20)
        await running.wait_for(lucy.port_open("b", "p"))
        assert done == []
        await running["a"].write_file("go", b"")
        await running["a"].until_ready()
    assert done == ["a"]


async def test_an_http_answer_makes_a_node_ready(tmp_path: Path) -> None:
    command = (sys.executable, "-u", "-m", "http.server", "--bind", "{bind}", "{port:http}")
    web = lucy.NodeSpec(name="web", role="web", command=command, ports=("http",), ready=lucy.http_ok("web", "http"))
    async with network(tmp_path, web) as running:
        (wait,) = running.judgement.waits
        assert wait.description == "web to be ready: / on port http of web to answer 200 to 299"
        assert wait.outcome == "passed"


async def test_a_node_of_one_task_is_ready_once_that_is_done(tmp_path: Path) -> None:
    setup = script("setup", "say:1000", "exit:0", wait_for_exit=True, ready=lucy.NodeExited)
    async with network(tmp_path, setup, script("a", "tick", after=("setup",))) as running:
        ended = await running.events(lucy.NodeExited, since=0).first(within=20)
        started = (
            await running.events(lucy.NodeStarted, since=0).filter(lambda each: each.data.node == "a").first(within=20)
        )
        assert ended.position < started.position


async def test_a_node_waits_for_those_alone_that_it_is_started_after(tmp_path: Path) -> None:
    nodes = (waits_file("slow", ready="open for"), script("quick", "rest"), script("next", "tick", after=("quick",)))
    async with network(tmp_path, *nodes, start=False) as running, anyio.create_task_group() as tasks:
        tasks.start_soon(running.start_all)
        await running["next"].events(Told, since=0).first(within=20)
        await running["slow"].write_file("go", b"")


async def test_a_node_that_runs_and_is_not_ready_yet_is_waited_for_by_those_after_it(tmp_path: Path) -> None:
    nodes = (waits_file("slow", ready="open for"), script("next", "rest", after=("slow",)))
    async with network(tmp_path, *nodes, start=False) as running:
        await running["slow"].start(until_ready=False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.start_all)
            await running["slow"].events(Told, since=0).first(lambda event: event.data.what == "waiting", within=20)
            assert running["next"].state is State.DEPLOYED
            await running["slow"].write_file("go", b"")
        (opened,) = [event for event in await running.so_far(nodes=("slow",)) if b"open for" in event.record.raw]
        (started,) = [event for event in await running.so_far(lucy.NodeStarted) if event.data.node == "next"]
        assert opened.position < started.position


async def test_a_node_that_is_removed_while_it_waits_for_another_is_not_started(tmp_path: Path) -> None:
    nodes = (waits_file("slow", ready="open for"), script("next", "rest", after=("slow",)))
    async with network(tmp_path, *nodes, start=False) as running:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.start_all)
            await running["slow"].events(Told, since=0).first(lambda event: event.data.what == "waiting", within=20)
            await running.remove("next")
            await running["slow"].write_file("go", b"")
        assert [node.name for node in running] == ["slow"]


async def test_what_an_earlier_start_said_does_not_count(tmp_path: Path) -> None:
    async with network(tmp_path, waits_file(ready="open for", ready_within=4), start=False) as running:
        await running["a"].write_file("go", b"")
        await running["a"].start()
        await running["a"].exec(["rm", "go"])
        with pytest.raises(lucy.NotReadyError, match=r"not become ready: nothing told so within 4 s") as caught:
            with anyio.fail_after(60):
                await running["a"].restart()
        assert "a line with 'open for' of a" in str(caught.value)
        assert running["a"].state is State.RUNNING
        await running["a"].write_file("go", b"")
        await running["a"].until_ready()


async def test_a_start_need_not_wait(tmp_path: Path) -> None:
    async with network(tmp_path, waits_file(ready="open for"), start=False) as running:
        a = running["a"]
        with pytest.raises(lucy.LifeCycleError, match="can't await node a: it is deployed; now possible: start"):
            await a.until_ready()
        await a.start(until_ready=False)
        await a.restart(until_ready=False)
        await a.write_file("go", b"")
        await a.until_ready()
        await a.until_ready()
        await a.stop()
        with pytest.raises(lucy.LifeCycleError, match="can't await node a: it is stopped"):
            await a.until_ready()


async def test_a_stop_meanwhile_ends_the_wait(tmp_path: Path) -> None:
    async with (
        network(tmp_path, waits_file(ready="open for"), start=False) as running,
        anyio.create_task_group() as tasks,
    ):

        async def start() -> None:
            with pytest.raises(lucy.NotReadyError, match="a was killed before"):
                await running["a"].start()

        tasks.start_soon(start)
        await running["a"].events(Told, since=0).first(within=20)
        await running["a"].kill()


async def test_an_expected_death_before_it_is_ready_is_told_as_that(tmp_path: Path) -> None:
    dying = script("a", "print:no disk", "exit:3", ready="open for")
    async with network(tmp_path, dying, start=False) as running:
        with running["a"].expecting_exit(), pytest.raises(lucy.NotReadyError) as caught:
            await running["a"].start()
        for part in ("node 'a' did not become ready: a exited with code 3 before", "'open for'", "\n    no disk"):
            assert part in str(caught.value)


async def test_a_run_whose_nodes_are_not_ready_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(lucy.NotReadyError):
        async with network(tmp_path, waits_file(ready="open for", ready_within=0.5)):
            raise AssertionError
    result = msgspec.json.decode((tmp_path / "run" / "result.json").read_bytes())
    assert (result["outcome"], result["exit_code"]) == ("failed", ExitCode.NOT_READY)
    described = msgspec.json.decode((tmp_path / "run" / "run.json").read_bytes())
    assert described["network"]["nodes"][0]["ready"] == "a line with 'open for'"
