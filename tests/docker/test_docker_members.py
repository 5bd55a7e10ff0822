"""Nodes that are added to a network of containers, and taken away."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

import lucy_core as lucy
from lucy_core.testing.engine_conformance.sources import lines

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


@pytest.mark.parametrize("streams", lucy.Streams)
async def test_a_node_that_is_added_shares_the_pipe_of_the_others(streams: lucy.Streams, tmp_path: Path) -> None:
    shared = {"shared_pipe": "1"}
    script = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo $i; echo -$i >&2; done; echo done; exec sleep 600"
    added = lucy.NodeSpec(name="b", role="x", command=("sh", "-c", script), streams=streams, ready="done")
    async with lucy.deploy(ONE, engine="docker", run_directory=tmp_path / "run", options=shared) as network:
        with pytest.raises(lucy.DeployError, match="look for image nowhere"):
            await network.add(resting("c", image="nowhere:1"))
        await network.add(added)
        await network["b"].restart()
        await network.remove("b")
        said = await lines(network, "b")
        assert [int(line) for line in said[streams.sources[-1]] if line[:1] == b"-"] == [*range(-1, -2001, -1)] * 2
        assert [int(line) for line in said[streams.sources[0]] if line.isdigit()] == [*range(1, 2001)] * 2
        assert network.ledger.of("b").capture == "shared"
        assert network.ledger.complete, network.ledger.summary()
