"""The Docker engine passes the very tests that the process engine passes."""

from typing import ClassVar

import pytest

from lucy_core.testing.engine_conformance import EngineConformance
from lucy_engines.docker import DockerEngine


@pytest.mark.usefixtures("docker_engine", "simnode_image")
class TestDockerEngine(EngineConformance):
    captures: ClassVar = {
        "fifo": {"capture": "fifo"},
        "shared": {"shared_pipe": "1"},
        "tcp": {"capture": "tcp"},
        "attach": {"capture": "attach"},
    }
    checkpoints = (0, 10, 40, 200)

    @pytest.fixture
    def engine(self) -> DockerEngine:
        return DockerEngine()
