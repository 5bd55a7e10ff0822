"""What a killed guardian leaves: Lucy removes it while she lives, and `lucy gc` where she was killed too."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from helper_processes import ended

import lucy_core as lucy
from lucy_core.engine.garbage import Leftover, Search
from lucy_core.judging.fold import replayed
from lucy_engines.process.garbage import ProcessCollector

SECONDS = 20.0
# What a node starts and the kernel doesn't take along: one with the guardian's mark that says nothing, and one with an
# environment of its own that can write into the node's log. Each says who it is into a file.
STARTED = (
    "setsid sh -c 'echo $$ > silent; exec sleep 600 >/dev/null 2>&1' & "
    "env -i PATH=$PATH setsid sh -c 'echo $$ > clean; exec sleep 600' & "
    "until [ -s silent ] && [ -s clean ]; do :; done; echo '{}'; exec sleep 600"
)
SPEC = lucy.NetworkSpec(name="small", nodes=(lucy.NodeSpec(name="a", role="node", command=("sh", "-c", STARTED)),))
LUCY = """
import sys, anyio
import lucy_core as lucy
sys.path[:0] = sys.argv[1:]
from test_process_garbage import SPEC
async def main():
    async with lucy.deploy(SPEC) as network:
        while not network.ledger.of("a").bytes:
            await anyio.sleep(0.01)
        print(network["a"]._engine_node._guardian._helper.pid, network.pipeline.capture_pid, flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""


def started_by(node: Path) -> list[int]:
    return [int((node / name).read_text()) for name in ("silent", "clean")]


def guardian_of(network: lucy.Network) -> int:
    engine_node: Any = network["a"]._engine_node
    return engine_node._guardian._helper.pid


@pytest.mark.anyio
@pytest.mark.blocking
async def test_the_guardians_death_is_told_as_such_and_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "run"
    with anyio.fail_after(SECONDS), pytest.raises(lucy.HelperDiedError, match="guardian.* was killed by SIGKILL"):
        async with lucy.deploy(SPEC, run_directory=place) as network:
            while not network.ledger.of("a").bytes:
                await anyio.sleep(0.01)
            os.kill(guardian_of(network), signal.SIGKILL)
            await network["a"].events(lucy.NodeExited).first(within=600)

    assert [ended(pid) for pid in started_by(place / "nodes" / "a")] == [True, True]
    assert list((place / "fifos").iterdir()) == []
    async with lucy.Pipeline.replay(place) as pipeline:
        found = await replayed(pipeline)
    assert (found.outcome, found.exit_code) == (lucy.Outcome.INFRASTRUCTURE, 4)
    assert [error.kind for error in found.errors] == ["HelperDiedError"]


@pytest.mark.anyio
async def test_a_command_to_a_node_whose_guardian_is_killed_says_so(tmp_path: Path) -> None:
    with anyio.fail_after(SECONDS), pytest.raises(lucy.HelperDiedError, match="was killed by SIGKILL"):
        async with lucy.deploy(SPEC, run_directory=tmp_path / "run", interrupt=False) as network:
            os.kill(guardian_of(network), signal.SIGKILL)
            await network["a"].exec(["sleep", "600"])


@pytest.mark.anyio
async def test_the_guardians_last_words_are_told(tmp_path: Path) -> None:
    with anyio.fail_after(SECONDS), pytest.raises(lucy.HelperDiedError, match="exited with code 1.*MemoryError"):
        async with lucy.deploy(SPEC, run_directory=tmp_path / "run") as network:
            resource.prlimit(guardian_of(network), resource.RLIMIT_AS, (1 << 20, 1 << 20))
            # More than it can take in, as it is now.
            await network["a"].exec(["true", "x" * 1_000_000])


@pytest.mark.anyio
@pytest.mark.blocking
async def test_gc_removes_what_is_left_where_lucy_and_her_guardian_were_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [sys.executable, "-c", LUCY, *map(str, Path(__file__).parents[:2])]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    guardian, capture = map(int, process.stdout.readline().split())
    (run,) = (tmp_path / "lucy-runs").iterdir()
    search = Search(run_id=run.name)
    assert await ProcessCollector().find(search) == []
    process.send_signal(signal.SIGSTOP)
    os.kill(guardian, signal.SIGKILL)
    process.kill()
    process.communicate()
    assert ended(guardian)
    assert ended(capture)

    found = await ProcessCollector().find(search)
    listed = await ProcessCollector().find(Search())
    others = await ProcessCollector().find(Search(run_id="another"))
    troubles = await ProcessCollector().remove(found)

    silent, clean = started_by(run / "nodes" / "a")
    assert others == []
    assert troubles == [None] * len(found)
    assert {(each.kind, each.key) for each in found if each.kind != "cgroup"} == {
        ("process", str(silent)),
        ("process", str(clean)),
        ("fifo", str(run / "fifos" / "a")),
    }
    assert all(run.name == each.run_id for each in found)
    assert {each for each in found if each.kind != "fifo"} <= set(listed)
    assert ended(silent)
    assert ended(clean)
    assert list((run / "fifos").iterdir()) == []
    assert await ProcessCollector().find(search) == []


async def found_of(place: Path, variables: dict[str, str], run_id: str | None) -> list[Leftover]:
    """What is found of a process that works there and bears a dead guardian's mark."""
    process = subprocess.Popen(
        ["sleep", "600"], cwd=place, env={"PATH": os.environ["PATH"], "LUCY_PROCESS": "4194200-1", **variables}
    )
    try:
        found = await ProcessCollector().find(Search(run_id=run_id))
        return [each for each in found if each.key == str(process.pid)]
    finally:
        process.kill()
        process.wait()


@pytest.mark.anyio
@pytest.mark.blocking
async def test_a_run_below_a_directory_called_nodes_is_known_by_its_own_name(tmp_path: Path) -> None:
    place = tmp_path / "nodes" / "ci" / "run-1" / "nodes" / "a" / "nodes" / "deeper"
    place.mkdir(parents=True)

    named = await found_of(place, {"LUCY_RUN": "run-1"}, "run-1")
    by_id = await found_of(place, {"LUCY_RUN": "small-2"}, "small-2")
    (place.parents[3] / "run.json").touch()
    by_directory = await found_of(place, {}, "run-1")
    others = await found_of(place, {"LUCY_RUN": "run-1"}, "ci")

    assert [each.run_id for each in (*named, *by_id, *by_directory)] == ["run-1", "small-2", "run-1"]
    assert others == []
    shutil.rmtree(tmp_path / "nodes")
