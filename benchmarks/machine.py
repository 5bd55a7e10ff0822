"""The machine that figures were measured on: a figure without it means nothing."""

import http.client
import json
import os
import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

DOCKER_SOCKET = "/var/run/docker.sock"


class Machine(msgspec.Struct):
    """What stands under every table."""

    cores: int
    processor: str
    memory_gib: float
    system: str
    kernel: str
    python: str
    docker_engine: str | None
    libraries: dict[str, str]
    load_before: float
    """How many processes wanted to run in the last minute: where others keep the cores busy, figures mean little."""
    load_after: float = 0.0

    def __str__(self) -> str:
        engine = f"Docker Engine {self.docker_engine}" if self.docker_engine else "no Docker Engine"
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gib:.0f} GiB, {self.system}, Linux {self.kernel}, "
            f"Python {self.python}, {engine}; load {self.load_before:.1f} before and {self.load_after:.1f} after"
        )


def look() -> Machine:
    """Look at this machine."""
    information = dict(
        line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if line.count(":") >= 1
    )
    processor = {key.strip(): value.strip() for key, value in information.items()}.get("model name", platform.machine())
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=processor,
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30),
        system=_system(),
        kernel=platform.release(),
        python=platform.python_version(),
        docker_engine=engine_version(),
        libraries={name: _version(name) for name in ("lucy-core", "msgspec", "anyio", "reactivex", "uvloop", "orjson")},
        load_before=os.getloadavg()[0],
    )


def engine_version() -> str | None:
    """The version of the Docker Engine behind the usual socket, or None where none answers."""
    connection = http.client.HTTPConnection("docker", timeout=5)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(5)
        connection.sock.connect(DOCKER_SOCKET)
        connection.request("GET", "/version")
        return str(json.loads(connection.getresponse().read())["Version"])
    except (OSError, KeyError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()
