"""Nodes as processes: commands in their places, what they keep, and how they are stopped."""

import os
import resource
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

import lucy_core as lucy
from lucy_core.engine import Output
from lucy_engines.process.client import GuardianClient
from lucy_engines.process.kinship import lives

pytestmark = pytest.mark.anyio

SECONDS = 20.0


def sleeping(name: str = "a", **more: Any) -> lucy.NodeSpec:
    return lucy.NodeSpec(name=name, role="x", command=("sleep", "600"), **more)


@asynccontextmanager
async def deployed(place: Path, *nodes: lucy.NodeSpec, **more: Any) -> AsyncIterator[lucy.Network]:
    spec = lucy.NetworkSpec(name="process", nodes=nodes or (sleeping(),))
    async with lucy.deploy(spec, engine="process", run_directory=place / "run", **more) as network:
        yield network


# --- what the guardian refuses -------------------------------------------------------------------------------------


async def test_what_the_guardian_refuses_is_an_error_of_its_node(tmp_path: Path) -> None:
    guardian = GuardianClient(lambda _: None, lambda _: None)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(guardian.listen)
            no_signal: Any = 0
            with pytest.raises(
                lucy.CommandError, match="node 'a': the guardian refused signal: .*no signal"
            ) as refused:
                await guardian.send_signal("a", 1, no_signal)
            assert refused.value.node == "a"
            with pytest.raises(lucy.CommandError, match="node 'a': the guardian refused signal: "):
                await guardian.send_signal("a", 1, signal.SIGSTOP, lasting=-1.0)
            with pytest.raises(lucy.CommandError, match="the guardian refused fifo: 'fifo' would take"):
                await guardian.remove_at_end(tmp_path / ("x" * (17 << 20)))
            await guardian.begin_end()
            tasks.cancel_scope.cancel()
    finally:
        guardian.dispose()


async def test_a_refused_signal_leaves_the_others_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send_signal = GuardianClient.send_signal

    async def refuse_one(self: GuardianClient, node: str, pid: int, number: Any, **more: Any) -> str | None:
        return await send_signal(self, node, pid, 0 if node == "a" else number, **more)

    script = "trap 'touch told; exit' TERM; touch ready; while :; do sleep 0.01; done"
    other = lucy.NodeSpec(name="b", role="x", command=("sh", "-c", script))
    place = tmp_path / "run/nodes/b"
    with pytest.raises(lucy.CommandError, match="node 'a': the guardian refused signal"):
        async with deployed(tmp_path, sleeping("a"), other):
            with anyio.fail_after(SECONDS):
                while not (place / "ready").exists():
                    await anyio.sleep(0.005)
            monkeypatch.setattr(GuardianClient, "send_signal", refuse_one)
    assert (place / "told").exists()


# --- commands -------------------------------------------------------------------------------------------------------


async def test_a_command_may_write_more_than_memory_holds(tmp_path: Path) -> None:
    taken = dict.fromkeys(Output, 0)
    longest = 0

    def take(written: lucy.Written) -> None:
        nonlocal longest
        taken[written.output] += len(written.data)
        longest = max(longest, len(written.data))

    async with deployed(tmp_path, start=False) as network:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        script = "head -c 300000000 /dev/zero; head -c 1000000 /dev/zero >&2"
        done = await network["a"].exec(["sh", "-c", script], output=take)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert done.code == 0
    assert taken == {Output.STDOUT: 300_000_000, Output.STDERR: 1_000_000}
    assert longest <= 1 << 16
    assert grown < 100_000  # kilobytes


async def test_both_outputs_come_whole_and_the_input_goes_in(tmp_path: Path) -> None:
    given = os.urandom(3_000_000)
    async with deployed(tmp_path, start=False) as network:
        done = await network["a"].exec(["sh", "-c", "cat; echo oops >&2; exit 3"], input=given)

    assert (done.code, done.stdout == given, done.stderr) == (3, True, b"oops\n")


async def test_a_command_with_more_words_than_an_order_may_have_is_refused_and_leaves_nothing_open(
    tmp_path: Path,
) -> None:
    async with deployed(tmp_path, start=False) as network:
        open_before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(lucy.CommandError, match=r"can't run .*: 'exec' would take [\d,]+ bytes, and may take"):
            await network["a"].exec(["echo", "x" * (17 << 20)])
        assert len(os.listdir("/proc/self/fd")) == open_before
        assert (await network["a"].exec(["echo", "on"])).stdout == b"on\n"


async def test_a_program_that_the_system_does_not_take_is_named_at_a_start_and_by_a_command_alike(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x00no program")
    program.chmod(0o755)
    odd = lucy.NodeSpec(name="a", role="x", command=(str(program),))
    async with deployed(tmp_path, odd, start=False) as network:
        for call in (network["a"].start, lambda: network["a"].exec([str(program)])):
            with pytest.raises(lucy.UnrunnableError, match="Exec format error") as refusal:
                await call()
            assert (refusal.value.node, refusal.value.program) == ("a", str(program))


async def test_a_command_ends_at_its_time_out_whatever_it_writes_meanwhile(tmp_path: Path) -> None:
    async with deployed(tmp_path, start=False) as network:
        with anyio.fail_after(SECONDS), pytest.raises(lucy.CommandTimeoutError):
            await network["a"].exec(["sh", "-c", "yes"], timeout=0.3, output=lambda _: None)
        with anyio.fail_after(SECONDS), pytest.raises(lucy.OutputLimitError):
            await network["a"].exec(["sh", "-c", "yes"], limit=1000)


async def test_a_command_whose_output_nobody_wants_or_that_is_cancelled_is_killed(tmp_path: Path) -> None:
    pids: list[int] = []
    script = "sleep 600 & echo $!; wait"

    def refuse(written: lucy.Written) -> None:
        pids.append(int(written.data))
        raise ValueError("mine")

    async with deployed(tmp_path, start=False) as network:
        with anyio.fail_after(SECONDS), pytest.raises(ValueError, match="mine"):
            await network["a"].exec(["sh", "-c", script], output=refuse)
        assert not lives(pids[0])

        with anyio.CancelScope() as scope:

            def cancel(written: lucy.Written) -> None:
                pids.append(int(written.data))
                scope.cancel()

            await network["a"].exec(["sh", "-c", script], output=cancel)
        assert scope.cancelled_caught
        assert not lives(pids[1])
        assert (await network["a"].exec([sys.executable, "-c", "print(1)"])).stdout == b"1\n"


# --- places ---------------------------------------------------------------------------------------------------------


def shell(script: str) -> lucy.NodeSpec:
    return lucy.NodeSpec(name="a", role="x", command=("sh", "-c", script))


async def logged(network: lucy.Network, count: int) -> list[str]:
    """Wait until a node has written so many lines."""
    log = Path(str(network.directory)) / "logs" / "a.ndjson"
    with anyio.fail_after(SECONDS):
        while len(lines := log.read_text().splitlines()) < count:
            await anyio.sleep(0.005)
    return lines


@pytest.mark.parametrize("path", ("../b/file", "..", "deep/../../file", "./../../../../outside"))
async def test_a_relative_path_doesnt_leave_the_nodes_directory(path: str, tmp_path: Path) -> None:
    async with deployed(tmp_path, start=False) as network:
        for asked in (network["a"].write_file(path, b"x"), network["a"].read_file(path)):
            with pytest.raises(lucy.ArgumentError, match="leaves the node's directory"):
                await asked
        await network["a"].write_file("deep/../file", b"x")
        await network["a"].write_file(str(tmp_path / "elsewhere"), b"y")
        assert await network["a"].read_file("file") == b"x"
    assert (tmp_path / "elsewhere").read_bytes() == b"y"


async def test_a_fresh_start_leaves_alone_what_a_link_in_place_of_the_state_leads_to(tmp_path: Path) -> None:
    precious = tmp_path / "bigger disk"
    precious.mkdir()
    (precious / "file").write_text("mine")
    node = shell(f"rmdir {{state}}; ln -s '{precious}' {{state}}; echo linked; exec sleep 600")
    async with deployed(tmp_path, node) as network:
        await logged(network, 1)
        await network["a"].restart(fresh_state=True)
        await logged(network, 2)

    assert (precious / "file").read_text() == "mine"


@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
async def test_a_state_that_cannot_be_emptied_is_an_error_that_names_what_is_in_the_way(tmp_path: Path) -> None:
    state = tmp_path / "run" / "nodes" / "a" / "state"
    async with deployed(tmp_path, start=False) as network:
        (state / "disk").mkdir()
        await anyio.run_process(["mount", "-t", "tmpfs", "none", str(state / "disk")])
        try:
            with pytest.raises(
                lucy.DeployError, match=r"node 'a': its state can't be emptied, for .*/disk can't be.*busy"
            ):
                await network["a"].start(fresh_state=True)
        finally:
            await anyio.run_process(["umount", str(state / "disk")])
        await network["a"].start(fresh_state=True)


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="drops privileges")
async def test_a_node_that_drops_its_privileges_may_open_its_stdout_again(tmp_path: Path) -> None:
    """As web servers do: /dev/stdout asks for the mode of the FIFO, whoever holds it open."""
    inner = "echo dropped >/dev/stdout; echo so >>/dev/stderr; exec sleep 600"
    async with deployed(
        tmp_path, shell(f"exec setpriv --reuid 65534 --regid 65534 --clear-groups sh -c '{inner}'")
    ) as network:
        assert await logged(network, 2) == ["dropped", "so"]


async def test_a_signal_to_a_node_that_a_fault_froze_leaves_the_fault_its_end(tmp_path: Path) -> None:
    node = shell("trap 'echo heard >>heard' HUP; touch ready; while :; do sleep 0.01; done")
    async with deployed(tmp_path, node) as network:
        a = network["a"]
        place = tmp_path / "run/nodes/a"
        with anyio.fail_after(SECONDS):
            while not (place / "ready").exists():
                await anyio.sleep(0.005)
            async with network.faults.inject(lucy.Pause(nodes=("a",)), lasting=0.3) as lease:
                await a.signal("SIGHUP")
                assert not (place / "heard").exists()
                await lease.ended()
                while not (place / "heard").exists():
                    await anyio.sleep(0.005)


async def test_a_node_that_dies_long_after_a_signal_has_died_by_itself(tmp_path: Path) -> None:
    node = shell("trap 'touch heard' HUP; touch ready; until [ -e end ]; do sleep 0.01; done; exit 3")
    place = tmp_path / "run/nodes/a"
    with anyio.fail_after(SECONDS), pytest.raises(lucy.NodeExitedError, match="exited with code 3"):
        async with deployed(tmp_path, node) as network:
            while not (place / "ready").exists():
                await anyio.sleep(0.005)
            await network["a"].signal(signal.SIGHUP)
            while not (place / "heard").exists():
                await anyio.sleep(0.005)
            (place / "end").touch()
            await anyio.sleep_forever()
