"""What `DOCKER_HOST` may say, and what it leads to: the same for Lucy and for each of her helpers."""

import asyncio
import socket
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from engines import Serving, serving

from lucy_engines.docker.api.caller import Caller, Refusal
from lucy_engines.docker.api.endpoint import USUAL, AddressError, Endpoint, docker_host, is_local, named_host


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "path", "host", "port", "tls", "url"),
    (
        ("unix:///run/my docker.sock", "/run/my docker.sock", "127.0.0.1", 0, False, "unix://localhost"),
        ("tcp://10.0.0.7", None, "10.0.0.7", 2375, False, "http://10.0.0.7:2375"),
        ("tcp://there:99/", None, "there", 99, False, "http://there:99"),
        ("http://there:99", None, "there", 99, False, "http://there:99"),
        ("https://there", None, "there", 2376, True, "https://there:2376"),
        ("tcp://[::1]:99", None, "::1", 99, False, "http://[::1]:99"),
        ("tcp://", None, "127.0.0.1", 2375, False, "http://127.0.0.1:2375"),
    ),
)
def test_an_address_is_understood(text: str, path: str | None, host: str, port: int, tls: bool, url: str) -> None:
    endpoint = Endpoint(text)

    assert (endpoint.path, endpoint.host, endpoint.port, endpoint.tls, endpoint.url) == (path, host, port, tls, url)
    assert is_local(text) == (path is not None)


def test_tcp_is_with_tls_where_docker_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")

    assert (Endpoint("tcp://there").tls, Endpoint("tcp://there").port) == (True, 2376)
    assert not Endpoint("unix:///there").tls


@pytest.mark.parametrize("text", ("", "there", "ssh://me@there", "carrier-pigeon:", "tcp://here:abc", "tcp://[::1"))
def test_what_is_no_address_says_what_is(text: str) -> None:
    with pytest.raises(AddressError, match=r"; give unix:///path, tcp://host:port or https://host:port$"):
        Endpoint(text)


def test_what_is_named_comes_before_the_environment_and_that_before_the_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (named_host(), named_host(""), docker_host()) == (None, None, USUAL)
    monkeypatch.setenv("DOCKER_HOST", "tcp://there")
    assert (docker_host(), named_host(), named_host("tcp://here")) == ("tcp://there", "tcp://there", "tcp://here")


@pytest.mark.blocking
def test_nobody_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"tcp://127.0.0.1:{port}", f"unix://{tmp_path}/nobody"):
        with pytest.raises(OSError, match="refused|No such file"):
            Caller(Endpoint(address)).call("GET", "version")


@pytest.mark.parametrize(
    ("answer", "heard"),
    (
        (b'HTTP/1.0 200 OK\r\n\r\n{"Version": "1"}', {"Version": "1"}),
        (b"HTTP/1.0 204 No Content\r\n\r\n", None),
        (b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "it is gone"}', "it is gone (404)"),
        (b"SSH-2.0-OpenSSH", "no answer of HTTP: b'SSH-2.0-OpenSSH'"),
        (b'HTTP/1.0 200 OK\r\n\r\n{"Versi', "the answer breaks off after 7 bytes, or is no JSON"),
    ),
)
async def test_a_caller_hears_answers_and_refusals(answer: bytes, heard: Any) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()

    async with serving(Serving(serve), None) as server:
        caller = Caller(Endpoint(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        try:
            found = await anyio.to_thread.run_sync(partial(caller.call, "GET", "a/b", filters="{}"))
        except Refusal as refusal:
            found = f"{refusal} ({refusal.status})"
        except OSError as error:
            found = str(error)

    assert asked[0].startswith(b"GET /a/b?filters=%7B%7D HTTP/1.0\r\n")
    assert found == heard or str(found).startswith(str(heard))
