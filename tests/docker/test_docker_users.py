"""Nodes that run as another user than root in their containers."""

from pathlib import Path

import anyio
import pytest

import lucy_core as lucy

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("docker_engine", "simnode_image")]
SECONDS = 60.0


async def test_a_node_runs_as_its_user_to_whom_its_directory_belongs(tmp_path: Path) -> None:
    script = "id -un; cat keys/own; echo; touch state/file; echo up >/dev/stdout; exec sleep 600"
    node = lucy.NodeSpec(
        name="a",
        role="x",
        command=("sh", "-c", script),
        files={"keys/own": b"key"},
        user="nobody",
        stop_signal="SIGINT",
        stop_signal_to="daemon",  # type: ignore[arg-type]  # text is taken too
    )
    run = tmp_path / "run"
    async with lucy.deploy(
        lucy.NetworkSpec(name="users", nodes=(node,)), engine="docker", run_directory=run
    ) as network:
        a = network["a"]
        with anyio.fail_after(SECONDS):
            while network.ledger.of("a").lines < 3:
                await anyio.sleep(0.01)
        assert (await a.exec(["id", "-un"])).stdout == b"nobody\n"
        await a.write_file("new/file", b"\xff\0")
        assert await a.read_file("new/file") == b"\xff\0"
        show = await a.exec(["stat", "-c", "%U %a", "new", "new/file", "keys/own", "state/file", "."])
        assert show.stdout.decode().split("\n")[:4] == ["nobody 755", "nobody 600", "nobody 600", "nobody 644"]
        await a.stop()
        assert a.last_exit is not None
        assert a.last_exit.signal == "SIGINT"
        await a.start(fresh_state=True)
        with anyio.fail_after(SECONDS):
            while network.ledger.of("a").lines < 6:
                await anyio.sleep(0.01)
    assert (run / "logs/a.ndjson").read_bytes().startswith(b"nobody\nkey\nup\n")


async def test_a_user_whom_the_image_lacks_is_refused_when_the_node_is_started(tmp_path: Path) -> None:
    node = lucy.NodeSpec(name="a", role="x", command=("true",), user="nosuchuser")
    with pytest.raises(lucy.DeployError, match=r"node 'a'.*this image has no user nosuchuser"):
        async with lucy.deploy(
            lucy.NetworkSpec(name="users", nodes=(node,)), engine="docker", run_directory=tmp_path / "run"
        ):
            pass
