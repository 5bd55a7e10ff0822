"""What is said while a run is held before its network is taken down."""

from pathlib import Path

import lucy_core as lucy
from lucy_core.executive.pause import invitation
from lucy_core.testing import FakeEngine


async def test_a_port_that_has_no_address_is_said_to_be_unreachable_and_ends_no_run(tmp_path: Path) -> None:
    node = lucy.NodeSpec(name="a", role="node", command=("program",), ports=("rest",))
    network = lucy.NetworkSpec(name="n", nodes=(node,))
    async with lucy.deploy(network, engine=FakeEngine(), run_directory=tmp_path / "run") as deployed:
        said = invitation(deployed)

    assert "a            running   rest unreachable" in said
