"""Who listens in a container, by the kernel's tables, and where a program of the image's is missing."""

from pathlib import Path

import pytest

import lucy_core as lucy
from lucy_engines.docker.run import listening

TABLES = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 020011AC:1F91 010011AC:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000001000000:0BB9 00000000000000000000000000000000:0000 0A 00000000:00000000
"""


def test_who_listens_for_itself_alone_or_is_connected_does_not_count() -> None:
    assert listening.listening_ports(TABLES) == {8080, 3000}


@pytest.mark.anyio
@pytest.mark.usefixtures("docker_engine", "simnode_image")
async def test_any_program_that_the_image_has_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_READERS", (("nosuchprogram",), listening._READERS[1]))
    command = ("python3", "-m", "http.server", "--bind", "{bind}", "{port:p}")
    web = lucy.NodeSpec(name="web", role="x", command=command, ports=("p",), ready=lucy.port_open("web", "p"))
    mute = lucy.NodeSpec(name="mute", role="x", command=("sleep", "600"), ports=("p",))
    spec = lucy.NetworkSpec(name="listening", nodes=(web, mute))
    async with lucy.deploy(spec, engine="docker", run_directory=tmp_path / "run") as network:
        with pytest.raises(lucy.WaitTimeoutError, match="nobody listens there, though something before it"):
            await network.wait_for(lucy.port_open("mute", "p"), hard=1)
