"""An Engine that is reached over TCP, with and without TLS: it sees none of this machine's files, and no FIFO."""

import ssl
import subprocess
from pathlib import Path

import anyio
import pytest
from remote_engine import engine_over_tcp

import lucy_core as lucy
from lucy_core.engine import NetworkSpec
from lucy_core.testing.scripted_node import Numbered, Told, scripted_node

pytestmark = [pytest.mark.anyio, pytest.mark.blocking, pytest.mark.usefixtures("docker_engine", "simnode_image")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def captured_whole(directory: Path, address: str) -> None:
    node = scripted_node("a", "say:2000:300", "rest")
    spec = NetworkSpec(name="remote", nodes=(node,))
    options = {"docker_host": address}
    async with lucy.deploy(spec, engine="docker", run_directory=directory / "run", options=options) as network:
        a = network["a"]
        with anyio.fail_after(60):
            await a.events(Numbered, since=0).filter(lambda event: event.data.n == 2000).first()
        await a.kill()
        await a.start()
        with anyio.fail_after(60):
            await a.events(Told, since=0).filter(lambda event: event.data.start == 2).first()
        assert network.ledger.of("a").capture == "engine"
        await a.stop()
        lines = (directory / "run/logs/a.ndjson").read_bytes().splitlines()
        assert sum(b"lucy.scripted.numbered" in line for line in lines) >= 2000
        assert network.ledger.complete


async def test_lines_of_a_remote_engine_come_through_that_engine(docker_engine: str, tmp_path: Path) -> None:
    with engine_over_tcp(docker_engine.removeprefix("unix://")) as port:
        await captured_whole(tmp_path, f"tcp://127.0.0.1:{port}")


async def test_over_tls_too(docker_engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=engine")
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem")
    subprocess.run([*made, *names], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "ca.pem").write_bytes((tmp_path / "cert.pem").read_bytes())
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    with engine_over_tcp(docker_engine.removeprefix("unix://"), context) as port:
        await captured_whole(tmp_path, f"tcp://127.0.0.1:{port}")
