"""One node as the body of the Engine's call that creates its container. Pure.

Inside a container the layout is always the same, so a node's words can be filled in before anything exists:
`/lucy/node` is its directory and `/lucy/log` its FIFO, both of the run directory, beside the read-only puppeteer.
PID 1 is the puppeteer; the daemon comes and goes below it while the container stays.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from lucy_core.engine import Layout, NetworkSpec, NodeSpec, fill_in
from lucy_engines.docker import labels

HOME = "/lucy"
DIRECTORY = f"{HOME}/node"
STATE = f"{DIRECTORY}/state"
LOG = f"{HOME}/log"
PUPPETEER = f"{HOME}/puppeteer.py"
FIRST_PORT = 10_001
"""A node's ports are numbered from here on: each container has all numbers to itself."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What every container may use."""

    memory_bytes: int | None = None
    cpus: float | None = None
    log_max_size: str = "10m"


class ContainerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One container that is about to be made."""

    node: str
    name: str
    image: str
    body: dict[str, Any]
    """What goes to `POST /containers/create`, but for the labels of the moment (`created`, `owner`)."""


def layouts(spec: NetworkSpec) -> dict[str, Layout]:
    """Say where the nodes are for each other: known before they exist, since names resolve in a network of its own."""
    names = [node.name for node in spec.nodes]
    ports = {node.name: {port: FIRST_PORT + index for index, port in enumerate(node.ports)} for node in spec.nodes}
    layout = Layout(
        directory=DIRECTORY,
        state=STATE,
        bind="0.0.0.0",  # noqa: S104  # inside of the container; published on loopback alone
        hosts={name: name for name in names},
        multiaddrs={name: f"/dns4/{name}" for name in names},
        ports=ports,
    )
    return dict.fromkeys(names, layout)


def container_config(
    node: NodeSpec, layout: Layout, *, run_id: str, image: str, binds: Mapping[str, Path], limits: Limits
) -> ContainerConfig:
    """Describe a node's container.

    Args:
        node: what runs in it.
        layout: what the node's placeholders stand for.
        run_id: the run, which is the network's name too.
        image: the image to run it from.
        binds: paths in the container, and what of this machine is to be seen there; the puppeteer is read-only.
        limits: what it may use.

    Raises:
        TopologyError: a placeholder names nothing.
    """
    command = [fill_in(word, node.name, layout) for word in node.command]
    environment = {name: fill_in(value, node.name, layout) for name, value in node.environment.items()}
    environment |= {
        "LUCY_NODE": node.name,
        "LUCY_CAPTURE": "fifo",
        "LUCY_LOG": LOG,
        "LUCY_STATE": STATE,
        "LUCY_NODE_DIRECTORY": DIRECTORY,
    }
    ports = [f"{number}/tcp" for number in layout.ports[node.name].values()]
    host: dict[str, Any] = {
        "NetworkMode": run_id,
        "Mounts": [
            {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": target == PUPPETEER}
            for target, source in binds.items()
        ],
        # An empty host port: the Engine chooses a free one, and is asked which.
        "PortBindings": {port: [{"HostIp": "127.0.0.1", "HostPort": ""}] for port in ports},
        "LogConfig": {"Type": "local", "Config": {"max-size": limits.log_max_size, "max-file": "2"}},
    }
    if limits.memory_bytes is not None:
        # Swap would turn a limit into slowness.
        host |= {"Memory": limits.memory_bytes, "MemorySwap": limits.memory_bytes}
    if limits.cpus is not None:
        host["NanoCpus"] = int(limits.cpus * 1e9)
    body = {
        "Image": image,
        "Hostname": node.name,
        "Entrypoint": ["python3", PUPPETEER, "--"],
        "Cmd": command,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "WorkingDir": DIRECTORY,
        "Labels": {labels.NODE: node.name, labels.ROLE: node.role},
        "ExposedPorts": {port: {} for port in ports},
        "OpenStdin": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {run_id: {"Aliases": [node.name]}}},
    }
    return ContainerConfig(node=node.name, name=f"{run_id}-{node.name}", image=image, body=body)
