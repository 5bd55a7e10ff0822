"""Nodes that are added to a network of containers, and what can't be."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

import lucy_core as lucy

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.blocking,
    pytest.mark.usefixtures("docker_engine", "simnode_image"),
]


def resting(name: str, **more: Any) -> lucy.NodeSpec:
    return lucy.NodeSpec(name=name, role="x", command=("sleep", "600"), **more)


ONE = lucy.NetworkSpec(name="members", nodes=(resting("a"),))


def containers(network: lucy.Network) -> list[str]:
    found = subprocess.run(
        ["docker", "ps", "-a", "--filter", f"name={network.run_id}", "--format", "{{.Names}}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(name.removeprefix(f"{network.run_id}-") for name in found.stdout.split())


async def test_a_container_comes_and_goes_with_its_node(tmp_path: Path) -> None:
    async with lucy.deploy(ONE, engine="docker", run_directory=tmp_path / "run") as network:
        with pytest.raises(lucy.DeployError, match="look for image nowhere"):
            await network.add(resting("b", image="nowhere:1"))
        assert [node.name for node in network] == containers(network) == ["a"]
        await network.add(resting("b"))
        assert containers(network) == ["a", "b"]
        await network.remove("a")
        assert containers(network) == ["b"]


async def test_nodes_that_share_a_pipe_are_joined_by_no_other(tmp_path: Path) -> None:
    shared = {"shared_pipe": "1"}
    async with lucy.deploy(ONE, engine="docker", run_directory=tmp_path / "run", options=shared) as network:
        with pytest.raises(lucy.DeployError, match="node 'b'.* can't be added: all nodes share one pipe; leave out"):
            await network.add(resting("b"))
        assert [node.name for node in network] == containers(network) == ["a"]
