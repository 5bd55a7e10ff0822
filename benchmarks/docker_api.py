"""The little of the Engine's API that a benchmark needs, over its socket and as cheap as it gets.

Not aiodocker, nor Lucy's own client: what stands beside Lucy should be the best that can be done without it. A stream
is asked for by HTTP 1.0, so that the Engine sends it without chunks around every frame.
"""

import http.client
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import msgspec

from benchmarks.machine import DOCKER_SOCKET, engine_version
from benchmarks.measurement import BenchmarkError, cpu_seconds
from lucy_engines.docker.plan import labels

IMAGE = "lucy-simnode:latest"
VERSION = "v1.41"
ENGINE_PROCESSES = frozenset({"dockerd", "containerd", "containerd-shim"})
QUIET_SECONDS = 20.0
"""A stream that says nothing for so long has nothing more to say."""


class LogOptions(msgspec.Struct, frozen=True):
    """What the Engine does with a container's output."""

    driver: str
    max_size: str = ""
    max_file: int = 3

    def body(self) -> dict[str, Any]:
        options = {"max-size": self.max_size, "max-file": str(self.max_file)} if self.max_size else {}
        return {"Type": self.driver, "Config": options}


def why_no_docker() -> str | None:
    """Say why nothing can be measured in containers here, or None where it can."""
    if engine_version() is None:
        return f"no Docker Engine answers behind {DOCKER_SOCKET}; .ci/docker-engine start"
    status, _ = call("GET", f"/images/{IMAGE}/json")
    return None if status == http.client.OK else f"there is no image {IMAGE}; .ci/simnode-image"


def _connect() -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(60)
    connection.connect(DOCKER_SOCKET)
    return connection


def call(method: str, path: str, body: object = None) -> tuple[int, bytes]:
    """Call the API; return status and content."""
    connection = http.client.HTTPConnection("docker")
    connection.sock = _connect()
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, f"/{VERSION}{path}", content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def demand(method: str, path: str, body: object = None) -> Any:
    """Call the API; return the JSON of its answer.

    Raises:
        BenchmarkError: it refused.
    """
    status, content = call(method, path, body)
    if status >= http.client.BAD_REQUEST:
        message = f"the Docker Engine refused {method} {path}: {status} {content.decode(errors='replace').strip()}"
        raise BenchmarkError(message)
    return json.loads(content) if content.strip() else None


@contextmanager
def container(command: list[str], place: Path, log: LogOptions) -> Iterator[str]:
    """Create a container with `place` at /bench, without network, and remove it; `start` starts it."""
    name = f"lucy-bench-{secrets.token_hex(4)}"
    body = {
        "Image": IMAGE,
        "Entrypoint": command[:1],
        "Cmd": command[1:],
        "Labels": labels.run_labels(name),
        "AttachStdout": True,
        "HostConfig": {
            "Binds": [f"{place}:/bench"],
            "NetworkMode": "none",
            "LogConfig": log.body(),
            "Init": True,
        },
    }
    try:
        yield demand("POST", f"/containers/create?name={name}", body)["Id"]
    finally:
        with suppress(OSError):
            call("DELETE", f"/containers/{name}?force=1&v=1")


def start(identity: str) -> None:
    """Start a container."""
    demand("POST", f"/containers/{identity}/start")


@contextmanager
def following(identity: str) -> Iterator["RawStream"]:
    """Follow a container's log from its first line."""
    path = f"/containers/{identity}/logs?follow=1&stdout=1&stderr=1"
    with RawStream(f"GET /{VERSION}{path} HTTP/1.0\r\nHost: docker\r\n\r\n") as stream:
        yield stream


@contextmanager
def attached(identity: str) -> Iterator["RawStream"]:
    """Attach to a container that hasn't started: its output, past the log."""
    path = f"/containers/{identity}/attach?stream=1&stdout=1&stderr=1"
    request = f"POST /{VERSION}{path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    with RawStream(request) as stream:
        yield stream


class RawStream:
    """The bytes of a container's framed stream."""

    def __init__(self, request: str) -> None:
        self._socket = _connect()
        self._socket.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = self._socket.recv(4096)
            if not more:
                break
            head += more
        head, _, self._first = head.partition(b"\r\n\r\n")
        status = head.split(b"\r\n")[0].decode(errors="replace")
        if status.split()[1:2] not in (["200"], ["101"]):
            self._socket.close()
            message = f"the Docker Engine refused a stream: {status} {self._first.decode(errors='replace')}"
            raise BenchmarkError(message)
        self._socket.settimeout(QUIET_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def read(self) -> bytes:
        """Return what there is, waiting for something; nothing at the end, or when the stream has fallen silent."""
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            return self._socket.recv(1 << 18)
        except TimeoutError:
            return b""


class EngineCpu:
    """CPU of the Engine's own processes since `__init__`: dockerd, containerd and the shims.

    Whoever else uses the Engine meanwhile is counted too.
    """

    def __init__(self) -> None:
        self._before = self._look()

    @staticmethod
    def _look() -> dict[int, float]:
        found = {}
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                with suppress(OSError):
                    # The kernel keeps fifteen characters of a name.
                    if (place / "comm").read_text().strip() in ENGINE_PROCESSES:
                        found[int(place.name)] = cpu_seconds(int(place.name))
        return found

    def used(self) -> float:
        return sum(cpu - self._before.get(pid, 0.0) for pid, cpu in self._look().items())
