"""The Docker engine passes the very tests that the process engine passes."""

import contextlib
import subprocess
from typing import Any, ClassVar

import pytest

import lucy_core as lucy
from lucy_core.testing.engine_conformance import ControlConformance, EngineConformance
from lucy_core.testing.engine_conformance.suite import WITHIN, Deploy, Script, said
from lucy_engines.docker import DockerEngine


@pytest.mark.usefixtures("docker_engine", "simnode_image")
class TestDockerEngine(EngineConformance):
    captures: ClassVar = {
        "fifo": {"capture": "fifo"},
        "shared": {"shared_pipe": "1"},
        "tcp": {"capture": "tcp"},
        "engine": {"capture": "engine"},
    }
    checkpoints = (0, 10, 40, 200)

    @pytest.fixture
    def engine(self) -> DockerEngine:
        return DockerEngine()

    async def test_containers_that_somebody_kills_at_once_are_each_told(self, deploy: Deploy, script: Script) -> None:
        names = ("a", "b", "c", "d")
        async with deploy(*(script(name, "tick") for name in names)) as network:
            stack = contextlib.ExitStack()
            for node in network:
                await said(node)
                stack.enter_context(node.expecting_exit())
            containers = [f"{network.run_id}-{name}" for name in names]
            subprocess.run(["docker", "kill", *containers], check=True, capture_output=True)
            for name in names:
                exits = network.events(lucy.NodeExited, since=0).filter(
                    lambda event, name=name: event.data.node == name
                )
                exited = (await exits.first(within=WITHIN)).data
                assert (exited.signal, exited.code) == ("SIGKILL", None)
                assert exited.after > 0


@pytest.mark.usefixtures("docker_engine", "simnode_image")
class TestDockerEngineOnUvloop(ControlConformance):
    """What goes over connections of our own, on the other loop."""

    @pytest.fixture
    def anyio_backend(self) -> Any:
        return ("asyncio", {"use_uvloop": True})

    @pytest.fixture
    def engine(self) -> DockerEngine:
        return DockerEngine()
