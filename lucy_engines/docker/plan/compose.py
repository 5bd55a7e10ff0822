"""A network as a Compose file: what the engine would have asked of the Engine, in Compose's words. Pure.

Made from the very bodies that a deployment sends, so that there is no second description to go wrong. Whatever a body
has and this translation doesn't know is refused: an exported network that silently lacks a limit would be a lie.

What differs, and why. Nobody commands the daemons: the puppeteer starts each at once (`LUCY_AUTOSTART`), and the link
to Lucy is left out. Paths are relative to the file, so that its directory may move. The run's labels stay behind: they
would make `lucy gc` responsible for containers that are Compose's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from lucy_core.engine import run_files
from lucy_core.errors import ExportError
from lucy_engines.docker.plan.config import DockerConfig
from lucy_engines.docker.plan.routes import Route, routed

PIPES = "pipes"
CARRIED = "lucy"
"""The directory of all that is mounted from Lucy's own installation."""
LINK = frozenset({"OpenStdin", "AttachStdin", "AttachStdout", "AttachStderr", "Tty"})
HERE = frozenset(
    {"ExposedPorts", "NetworkingConfig", "Labels", "Env", "Cmd", "Entrypoint", "Healthcheck", "HostConfig"}
)
PLAIN = {
    "Image": "image",
    "Hostname": "hostname",
    "User": "user",
    "WorkingDir": "working_dir",
}
HOST = {"Memory": "mem_limit", "MemorySwap": "memswap_limit"}
HOST_HERE = frozenset({"NanoCpus", "NetworkMode", "Mounts", "PortBindings", "LogConfig"})


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:g}s"


class Composition(msgspec.Struct, frozen=True):
    """A Compose file, and what has to lie beside it."""

    content: dict[str, Any]
    pipes: tuple[str, ...]
    """Relative to the file."""
    carried: dict[str, Path]
    """Files to copy from here, by where they go, relative to the file."""


def compose(config: DockerConfig, about: Mapping[str, str]) -> Composition:
    """Write a network as a Compose file; `about` goes into it, for people.

    Raises:
        ExportError: there is something in a container that can't be written so.
    """
    if config.shared_pipe or config.capture not in ("auto", "fifo"):
        raise ExportError(
            config.spec.name, "an exported network has FIFOs of each node; leave out --capture and --shared-pipe"
        )
    for node in config.spec.nodes:
        if node.logs:
            raise ExportError(node.name, "an exported network has FIFOs and follows no files; leave out logs=")
    carried: dict[str, Path] = {}
    services = {
        node.name: {
            **_service(node.name, config, carried),
            **({"depends_on": {other: {"condition": "service_started"} for other in node.after}} if node.after else {}),
        }
        for node in config.spec.nodes
    }
    pipes = tuple(
        f"{PIPES}/{run_files.fifo_name(node.name, source)}"
        for node in config.spec.nodes
        for source in node.streams.sources
    )
    return Composition({"x-lucy": dict(about), "services": _escaped(services)}, pipes, carried)


def _escaped(value: Any) -> Any:
    """Double every dollar: Compose would put variables of its own in there."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    if isinstance(value, dict):
        return {name: _escaped(each) for name, each in value.items()}
    return value


def _service(node: str, config: DockerConfig, carried: dict[str, Path]) -> dict[str, Any]:
    body = routed(config.containers[node].body, Route(kind="fifo", why=""), keep=config.capture_filter)
    host = body["HostConfig"]
    unknown = (body.keys() - PLAIN.keys() - LINK - HERE) | (host.keys() - HOST.keys() - HOST_HERE)
    if unknown:
        raise ExportError(node, f"its container has {', '.join(sorted(unknown))}, for which there is no word")
    environment = dict(word.partition("=")[::2] for word in body["Env"])
    environment["LUCY_AUTOSTART"] = "1"
    service: dict[str, Any] = {name: body[key] for key, name in PLAIN.items() if key in body}
    service |= {name: host[key] for key, name in HOST.items() if key in host}
    service |= {
        "cpus": host["NanoCpus"] / 1e9 if "NanoCpus" in host else None,
        "entrypoint": body["Entrypoint"],
        "command": body["Cmd"],
        "environment": environment,
        "labels": body["Labels"],
        "volumes": [_volume(node, each, config, carried) for each in host["Mounts"]],
        "ports": [
            f"{one['HostIp']}:{one['HostPort']}:{port.removesuffix('/tcp')}"
            for port, bindings in host["PortBindings"].items()
            for one in bindings
        ],
        "logging": {"driver": host["LogConfig"]["Type"], "options": host["LogConfig"]["Config"]},
        "healthcheck": _health(body["Healthcheck"]) if "Healthcheck" in body else None,
    }
    return {name: value for name, value in service.items() if value not in (None, [], {})}


def _health(check: Mapping[str, Any]) -> dict[str, Any]:
    times = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start_period"}
    found: dict[str, Any] = {name: _seconds(check[key]) for key, name in times.items() if key in check}
    if "Retries" in check:
        found["retries"] = check["Retries"]
    return {"test": check["Test"], **found}


def _size_in_memory(mount: Mapping[str, Any]) -> int:
    """Return the size of a mount that is held in memory, or 0 where it isn't."""
    options = mount.get("VolumeOptions", {}).get("DriverConfig", {}).get("Options", {})
    sizes = [word.removeprefix("size=") for word in options.get("o", "").split(",") if word.startswith("size=")]
    return int(sizes[0]) if sizes else 0


def _volume(node: str, mount: Mapping[str, Any], config: DockerConfig, carried: dict[str, Path]) -> dict[str, Any]:
    kind, target = mount["Type"], mount["Target"]
    size = _size_in_memory(mount)
    if size:
        # A volume that is held in memory is as empty after each stop as this is, but stays when the project is gone.
        return {"type": "tmpfs", "target": target, "tmpfs": {"size": size}}
    if kind != "bind":
        there = f"{target} is a {kind} of the Engine at {config.host}, which doesn't see this machine's files"
        raise ExportError(node, f"{there}; name one of this machine by --docker-host")
    source = Path(mount["Source"])
    if source.parent == config.directory / run_files.FIFOS:
        shown = f"{PIPES}/{source.name}"
    elif source.is_relative_to(config.directory):
        shown = str(source.relative_to(config.directory))
    else:
        shown = f"{CARRIED}/{source.name}"
        if carried.setdefault(shown, source) != source:
            raise ExportError(node, f"{source} and {carried[shown]} would both have to be {shown}")
    return {"type": kind, "source": f"./{shown}", "target": target, "read_only": mount.get("ReadOnly", False)}
