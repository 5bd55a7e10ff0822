"""Nodes with several sources of lines: the two streams of their output, and files that they write themselves."""

import sys
from pathlib import Path
from typing import Any

import pytest
from captures import write

import lucy_core as lucy
from lucy_core.testing import FakeEngine

pytestmark = pytest.mark.anyio

LOGGING = """
import os, sys

def log(name, text):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "a") as file:
        file.write(text + "\\n")

print("out 1", flush=True)
print("err 1", file=sys.stderr, flush=True)
log("data/log/first.log", "first 1")
log("data/log/second.log", "second 1")
log("data/log/other.txt", "no log")
"""


def node(name: str, program: str, **more: Any) -> lucy.NodeSpec:
    return lucy.NodeSpec(name=name, role="any", command=(sys.executable, "-u", "-c", program), **more)


def deploy(tmp_path: Path, *nodes: lucy.NodeSpec, **more: Any) -> Any:
    return lucy.deploy(lucy.NetworkSpec(name="sources", nodes=nodes), run_directory=tmp_path / "run", **more)


async def seen(run: Any, name: str = "a") -> dict[str, list[str]]:
    """Return what each source of a node has said."""
    found: dict[str, list[str]] = {}
    lines: list[lucy.Line] = []
    stop = run.lines(nodes=(name,), since=0).subscribe(lines.append)
    await run.pipeline.reach(run.pipeline.mark().position)
    stop()
    for line in lines:
        found.setdefault(line.source, []).append(line.raw.decode())
    return found


async def test_streams_that_are_told_apart_and_files_are_sources_of_one_node(tmp_path: Path) -> None:
    once = node("a", LOGGING, wait_for_exit=True, streams="apart", logs=("data/log/*.log",), ready=lucy.NodeExited)
    said = {
        "stdout": ["out 1"],
        "stderr": ["err 1"],
        "data/log/first.log": ["first 1"],
        "data/log/second.log": ["second 1"],
    }
    async with deploy(tmp_path, once) as network:
        assert await seen(network) == said
        assert {event.source for event in await network.so_far(nodes=("a",))} == set(said)
        assert network.ledger.of("a").lines == 4
        assert network.ledger.of("a/stderr").lines == 1
        assert network.ledger.complete
    logs = tmp_path / "run" / "logs"
    assert (logs / "a" / "stderr.ndjson").read_bytes() == b"err 1\n"
    assert (logs / "a" / "data" / "log" / "first.log.ndjson").read_bytes() == b"first 1\n"
    async with lucy.replay(tmp_path / "run") as run:
        assert await seen(run) == said
        assert run.node_names == ("a",)
        assert run.ledger.of("a").lines == 4


ROTATING = """
import os, signal, sys
os.makedirs("log")
file = open("log/server.log", "a", buffering=1)

def rotate(*_):
    global file
    os.rename("log/server.log", "log/server-1.log")
    file.write("written after the renaming\\n")
    file = open("log/server.log", "a", buffering=1)
    file.write("written anew\\n")
    print("rotated", flush=True)

signal.signal(signal.SIGHUP, rotate)
file.write("begun\\n")
print("ready", flush=True)
while True:
    signal.pause()
"""


async def test_a_file_is_followed_through_rotation_and_restarts_and_may_say_that_its_node_is_ready(
    tmp_path: Path,
) -> None:
    rotating = node("a", ROTATING.replace('"log")', '"log", exist_ok=True)'), logs=("log/*.log",), ready="begun")
    async with deploy(tmp_path, rotating) as network:
        await network.wait_for(lucy.logged("ready"), since=0)
        mark = network.mark()
        await network["a"].signal("SIGHUP")
        both = lucy.all_of(lucy.logged("written anew", nodes=("a",)), lucy.logged("rotated", nodes=("a",)))
        await network.wait_for(both, since=mark)
        mark = network.mark()
        await network["a"].restart()
        outcome = await network.wait_for(lucy.logged("begun"), since=mark)
        assert outcome.event.source == "log/server.log"
        await network["a"].stop()
        said = await seen(network)
        assert said["log/server.log"] == ["begun", "written after the renaming", "written anew", "begun"]
        assert said[""] == ["ready", "rotated", "ready"]
        assert set(said) == {"", "log/server.log"}
        assert network.ledger.complete


async def test_a_death_is_told_with_the_last_lines_of_each_source(tmp_path: Path) -> None:
    dying = node("a", "import sys; print('fine'); sys.exit('no disk')", streams="apart", ready="never said")
    with pytest.raises(lucy.NodeExitedError) as caught:
        async with deploy(tmp_path, dying):
            raise AssertionError
    assert caught.value.last_lines == ("stderr: no disk", "stdout: fine")


async def test_a_source_may_have_a_format_of_its_own(tmp_path: Path) -> None:
    async with lucy.Pipeline.record(tmp_path / "run") as pipeline:
        pipeline.read_as("a", "text", source="log")
        pipeline.read_as("a", "json")
        paths = {source: await pipeline.open_fifo("a", source=source) for source in ("", "log")}
        records: list[lucy.Event[lucy.Record]] = []
        malformed: list[lucy.Malformed] = []
        pipeline.records(nodes=("a",)).subscribe(records.append)
        pipeline.malformed(nodes=("a",)).subscribe(malformed.append)
        for path in paths.values():
            await write(path, b'{"msg": 1\n')
        await pipeline.reach(await pipeline.drain("a"))
        assert [(record.source, record.record.text) for record in records] == [("log", '{"msg": 1')]
        assert [(bad.source, bad.raw) for bad in malformed] == [("", b'{"msg": 1')]


@pytest.mark.parametrize(("more", "said"), (({"logs": ("a.log",)}, "logs="), ({"streams": "apart"}, "streams='apart'")))
async def test_an_engine_that_cannot_says_so_by_name(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    (asked,) = more
    with pytest.raises(lucy.UnsupportedError, match=f"the fake engine has no capability '{asked}'.*{said}"):
        async with deploy(tmp_path, node("a", "", **more), engine=FakeEngine()):
            raise AssertionError
