"""Each way in which a Docker Engine can fail is one sentence that says what was found and what to do."""

import asyncio
import json
import socket
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from engines import VERSION, Serving, fake_engine, serving

from lucy_core.errors import DeployError, EngineUnavailableError
from lucy_engines.docker.api import client as docker_client
from lucy_engines.docker.api import hijack
from lucy_engines.docker.api.client import connect, unreachable
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.run.network import remove_all


async def test_no_engine_is_told_with_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match=r"no such socket; start it .*--docker-host"):
        async with connect(f"unix://{tmp_path}/docker.sock"):
            pass


async def test_an_engine_that_has_ended_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(f"{tmp_path}/docker.sock")

        with pytest.raises(EngineUnavailableError, match=r"nobody answers there; start it"):
            async with connect(f"unix://{tmp_path}/docker.sock"):
                pass


def test_an_engine_that_lets_nobody_in_is_told_with_its_group() -> None:
    # Root is let in everywhere, so this error is made and not met.
    found, advice = unreachable(PermissionError(13, "Permission denied"), "say its version")

    assert (found, "usermod -aG docker" in advice) == ("its socket refuses you", True)


async def test_an_old_engine_is_told_with_both_versions(tmp_path: Path) -> None:
    old = {**VERSION, "Version": "19.03.15", "ApiVersion": "1.40"}
    async with fake_engine(tmp_path / "docker.sock", {"/version": (200, old)}) as address:
        with pytest.raises(
            EngineUnavailableError, match=r"its API is 1\.40 \(Docker 19\.03\.15\), and Lucy needs 1\.41"
        ):
            async with connect(address):
                pass


async def test_what_is_no_engine_is_told(tmp_path: Path) -> None:
    async with fake_engine(tmp_path / "docker.sock", {"/version": (200, {"hello": "world"})}) as address:
        with pytest.raises(EngineUnavailableError, match="see that it is a Docker Engine"):
            async with connect(address):
                pass


async def test_a_hung_engine_is_given_up_and_never_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_client, "PING_SECONDS", 0.2)
    async with fake_engine(tmp_path / "docker.sock", None) as address:
        with pytest.raises(EngineUnavailableError, match=r"it did not say its version within 0\.2 s; it hangs"):
            async with connect(address):
                pass


async def test_an_engine_found_dead_is_not_asked_again(tmp_path: Path) -> None:
    async with (
        fake_engine(tmp_path / "docker.sock", {"/version": (200, VERSION)}) as address,
        connect(address) as client,
    ):
        (tmp_path / "docker.sock").unlink()
        # Connections that are open already would still be answered.
        with pytest.raises(EngineUnavailableError), client.calling("list", seconds=0.0):
            await client.docker.containers.list()
        asked = False
        with pytest.raises(EngineUnavailableError, match="did not list within 0 s"), client.calling("list again"):
            asked = True
        assert not asked


@pytest.mark.parametrize(
    ("status", "said", "sentence"),
    (
        (404, "No such image: mina:9", "has no image mina:9; pull or build it, or name another with --mina-image"),
        (500, "write /var/lib/docker/x: no space left on device", "disk is full.*make room"),
        (500, "Bind for 127.0.0.1:80 failed: port is already allocated", "a port is taken.*end what uses it"),
        (500, "could not find an available, non-overlapping IPv4 address pool", "no addresses left; `lucy gc`"),
        (500, "something else", r"can't make it: the Docker Engine refuses: something else \(status 500\)"),
    ),
)
async def test_what_an_engine_refuses_is_told(tmp_path: Path, status: int, said: str, sentence: str) -> None:
    answers = {"/version": (200, VERSION), "/create": (status, {"message": said})}
    async with fake_engine(tmp_path / "docker.sock", answers) as address, connect(address) as client:
        with pytest.raises(DeployError, match=sentence), client.calling("make it"):
            await client.docker.networks.create({})

        assert client.dead is None


async def test_an_address_of_no_known_kind_is_refused() -> None:
    with pytest.raises(EngineUnavailableError, match="give unix:///path, tcp://host:port"):
        async with connect("ssh://me@there"):
            pass


@pytest.mark.parametrize("address", ("tcp://here:abc", "tcp://here:99999", "tcp://[::1"))
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(EngineUnavailableError, match="this is no address .*; give unix:///path, tcp://host:port"):
        async with connect(address):
            pass


async def test_an_engine_at_an_address_of_ipv6_is_reached() -> None:
    with socket.socket(socket.AF_INET6) as taken:
        try:
            taken.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")
        # Bound and not listening: whoever comes is refused, and not told that there is no such address.
        with pytest.raises(EngineUnavailableError, match="nobody answers there"):
            async with connect(f"tcp://[::1]:{taken.getsockname()[1]}"):
                pass


async def test_who_hangs_up_on_tls_is_told() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with serving(Serving(hang_up), None) as server:
        endpoint = Endpoint(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(EngineUnavailableError, match="it hung up on TLS|can't be reached"):
            await hijack.attach(endpoint, "c" * 64)


async def test_a_container_that_somebody_else_has_just_removed_is_removed(tmp_path: Path) -> None:
    """Between the Engine's word that its removal goes on and the question when it is over."""
    answers = {
        "/version": (200, VERSION),
        "/containers/json": (200, [{"Id": "c"}]),
        "/containers/c": (409, {"message": "removal of container c is already in progress"}),
        "/containers/c/wait": (404, {"message": "No such container: c"}),
        "/networks": (200, []),
        "/volumes": (200, {"Volumes": None}),
    }
    async with fake_engine(tmp_path / "docker.sock", answers) as address, connect(address) as client:
        await remove_all(client, "r")


@pytest.mark.parametrize("call", ("show", "lines", "refused"))
async def test_a_call_that_is_cancelled_in_its_answer_leaves_no_connection_open(tmp_path: Path, call: str) -> None:
    half = {"show": (200, b'{"Id": '), "lines": (200, b'{"a": 1}\n{"a"'), "refused": (500, b'{"message": "no')}[call]
    hung_up, answered = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"/version" in await reader.readuntil(b"\r\n\r\n"):
            body = json.dumps(VERSION).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n%b" % half)
        await writer.drain()
        answered.set()
        await reader.read()
        hung_up.set()

    async def ask(client: docker_client.EngineClient) -> None:
        if call == "lines":
            async with aclosing(client.lines("events")) as lines:
                async for _ in lines:
                    pass
        else:
            await client.container("c").show()

    async with (
        serving(Serving(serve), tmp_path / "docker.sock"),
        connect(f"unix://{tmp_path}/docker.sock") as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(ask, client)
        await answered.wait()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True), anyio.fail_after(20):
            await hung_up.wait()
