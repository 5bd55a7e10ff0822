"""One node as the body of the Engine's call that creates its container. Pure.

Inside a container the layout is always the same, so a node's words can be filled in before anything exists:
`/lucy/node` is its directory and `/lucy/log` its FIFO, both of the run directory, beside the read-only puppeteer;
`/lucy/log.stderr` is the FIFO of its stderr, where that is told apart.
PID 1 is the puppeteer; the daemon comes and goes below it while the container stays.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from lucy_core.engine import DEFAULT_STOP, Layout, NetworkSpec, NodeSpec, Reach, Streams, fill_in, signal_number
from lucy_engines.docker.plan import labels, supervision
from lucy_engines.docker.plan.inside import DIRECTORY, LOG, STATE, STDERR_LOG

HEALTH_SECONDS = 2
FIRST_PORT = 10_001
"""A node's ports are numbered from here on: each container has all numbers to itself."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What every container may use."""

    memory_bytes: int | None = None
    cpus: float | None = None
    log_max_size: str = "10m"


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a container sees: a file or directory of this machine, or a volume of the Engine's."""

    target: str
    source: str
    kind: str = "bind"
    read_only: bool = False
    size_bytes: int = 0
    """Of a volume: held in memory, with this size; 0 is an ordinary one."""

    def body(self) -> dict[str, Any]:
        """Write it as the Engine takes it. A bind fails where its source is missing, and makes no directory there."""
        body = {"Type": self.kind, "Source": self.source, "Target": self.target, "ReadOnly": self.read_only}
        if not self.size_bytes:
            return body
        options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={self.size_bytes},mode=0700"}
        return {**body, "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": options}}}


class ContainerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One container that is about to be made."""

    name: str
    image: str
    body: dict[str, Any]
    """What goes to `POST /containers/create`, but for the labels of the moment (`created`, `owner`)."""

    def labelled(self, more: dict[str, str]) -> dict[str, Any]:
        """Return the body with labels for the container and for each volume that is made with it."""
        host = self.body["HostConfig"]
        mounts = [
            {**mount, "VolumeOptions": {**mount.get("VolumeOptions", {}), "Labels": more}}
            if mount["Type"] == "volume"
            else mount
            for mount in host["Mounts"]
        ]
        return {**self.body, "Labels": {**more, **self.body["Labels"]}, "HostConfig": {**host, "Mounts": mounts}}


def layouts(spec: NetworkSpec) -> dict[str, Layout]:
    """Say where the nodes are for each other: known before they exist, since names resolve in a network of its own."""
    names = [node.name for node in spec.nodes]
    ports = {node.name: {port: FIRST_PORT + index for index, port in enumerate(node.ports)} for node in spec.nodes}
    layout = Layout(
        directory=DIRECTORY,
        state=STATE,
        bind="0.0.0.0",  # noqa: S104  # inside of the container; published on loopback alone
        hosts={name: name for name in names},
        host_forms=spec.host_forms,
        ports=ports,
    )
    return dict.fromkeys(names, layout)


def container_config(
    node: NodeSpec,
    layout: Layout,
    *,
    run_id: str,
    image: str,
    mounts: Sequence[Mount],
    limits: Limits,
    first_host_port: int = 0,
    health: str | None = None,
) -> ContainerConfig:
    """Describe a node's container.

    Args:
        node: what runs in it.
        layout: what the node's placeholders stand for.
        run_id: the run, which is the network's name too.
        image: the image to run it from.
        mounts: what it sees besides its image.
        limits: what it may use.
        first_host_port: the first port of this machine to publish its ports at, or 0 to have the Engine choose.
        health: a shell command that tells by its status whether the node is healthy; by default what its image says.

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
    if node.streams is Streams.APART:
        environment |= {"LUCY_STREAMS": str(node.streams), "LUCY_STDERR_LOG": STDERR_LOG}
    if node.user is not None:
        environment["LUCY_USER"] = node.user
    if node.stop_signal != DEFAULT_STOP:
        environment["LUCY_STOP_SIGNAL"] = str(signal_number(node.stop_signal))
    if node.stop_signal_to is not Reach.GROUP:
        environment["LUCY_STOP_TO"] = str(node.stop_signal_to)
    ports = [f"{number}/tcp" for number in layout.ports[node.name].values()]
    host_ports = [str(first_host_port + index) if first_host_port else "" for index in range(len(ports))]
    host: dict[str, Any] = {
        "NetworkMode": run_id,
        "Mounts": [mount.body() for mount in mounts],
        "PortBindings": {
            port: [{"HostIp": "127.0.0.1", "HostPort": host_port}]
            for port, host_port in zip(ports, host_ports, strict=True)
        },
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
        # FIFO and files are readable by who runs Lucy alone, and by root.
        "User": "0:0",
        "Entrypoint": supervision.entrypoint(command),
        "Cmd": [],
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
    if health is not None:
        body["Healthcheck"] = {
            "Test": ["CMD-SHELL", fill_in(health, node.name, layout)],
            "Interval": HEALTH_SECONDS * 10**9,
            "Retries": 1,
        }
    return ContainerConfig(name=f"{run_id}-{node.name}", image=image, body=body)
