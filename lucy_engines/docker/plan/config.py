"""A whole network as what is about to be asked of the Engine. Pure: nothing is touched, nobody is asked."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from lucy_core.engine import Layout, NetworkSpec, NodeSpec, RunPlace, is_on, readable_text, run_files
from lucy_core.errors import ArgumentError, OptionError, TopologyError, shown
from lucy_engines.docker.api.endpoint import is_local
from lucy_engines.docker.plan import clock, supervision
from lucy_engines.docker.plan.container import ContainerConfig, Limits, Mount, container_config, layouts
from lucy_engines.docker.plan.inside import DIRECTORY, LOGS, STATE
from lucy_engines.docker.plan.options import read_filter, read_host, read_limits, read_port, read_size

DEFAULT_IMAGE = "lucy-simnode:latest"
ARCHIVE_ROLE = "archive"
IMAGE_PART = r"[A-Za-z0-9_\[][A-Za-z0-9_.:@+\[\]-]*"
"""Between two slashes of an image's name: a registry with its port, a path, a name with tag or digest, an id."""


class DockerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that the engine is about to do, but for the numbers of the published ports."""

    spec: NetworkSpec
    run_id: str
    host: str
    """The Engine's address."""
    directory: Path
    """The run directory, on this machine."""
    network: dict[str, Any]
    """What goes to `POST /networks/create`, but for the labels of the moment."""
    layouts: dict[str, Layout]
    containers: dict[str, ContainerConfig]
    """By node, in the spec's order."""
    limits: Limits
    statistics: bool = False
    clock_library: str | None = None
    """This machine's libfaketime, where nodes' clocks are to be set off."""
    disk_bytes: int = 0
    """The size of each state directory's own disk, where they have one."""
    capture: str = "auto"
    """The way that lines are to take, or `auto`."""
    shared_pipe: bool = False
    capture_filter: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the Engine sees this machine's files; otherwise nodes live in volumes, and files are sent."""
        return is_local(self.host)


def docker_config(spec: NetworkSpec, place: RunPlace) -> DockerConfig:
    """Work out all that is about to be made.

    Raises:
        TopologyError: an option can't be read, or a node refers to what isn't there.
    """
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", place.run_id):
        reason = "can't name containers; use letters, digits, '_', '.' and '-'"
        raise TopologyError(f"run id {shown(place.run_id)}", reason)
    for node in spec.nodes:
        _check_text(node)
    options = place.options
    host = read_host(options)
    limits = read_limits(options)
    first = read_port(options)
    places = layouts(spec)
    disk = read_size(options, "docker_disk_size") or 0
    library = options.get("docker_libfaketime")
    if library and not is_local(host):
        raise OptionError("docker_libfaketime", library, f": the Engine at {host} doesn't see this machine's files")
    containers: dict[str, ContainerConfig] = {}
    for node in spec.nodes:
        _check_logs(node, host, disk=disk)
        containers[node.name] = container_config(
            node,
            places[node.name],
            run_id=place.run_id,
            image=_checked(node.name, node.image or _image(node.role, options)),
            mounts=[
                *(mounts(place, node) if is_local(host) else [_volume(place, node.name)]),
                *([_disk(place, node.name, disk)] if disk else ()),
                *([clock.library_mount(library)] if library else ()),
            ],
            limits=limits,
            first_host_port=first,
            health=options.get("docker_health"),
        )
        first += len(node.ports) if first else 0
    return DockerConfig(
        spec=spec,
        run_id=place.run_id,
        host=host,
        directory=place.directory,
        network={"Name": place.run_id, "Driver": "bridge", "CheckDuplicate": True},
        layouts=places,
        containers=containers,
        limits=limits,
        statistics=is_on(options, "statistics"),
        clock_library=library,
        disk_bytes=disk,
        capture=options.get("capture", "auto"),
        shared_pipe=is_on(options, "shared_pipe"),
        capture_filter=read_filter(options),
    )


def _check_text(node: NodeSpec) -> None:
    """Refuse words that only this machine's file system has: the Engine is spoken to in UTF-8.

    Raises:
        TopologyError: naming node and field.
    """
    words = {f"command[{place}]": word for place, word in enumerate(node.command)}
    words |= {f"environment[{key!r}]": word for key, word in node.environment.items()}
    try:
        for name, word in words.items():
            readable_text(word, name)
    except ArgumentError as error:
        raise TopologyError(f"node {node.name!r}", f": {error}") from None


def _check_logs(node: NodeSpec, host: str, *, disk: int) -> None:
    """Refuse files to follow that aren't on this machine's file systems.

    Raises:
        TopologyError: naming the node and what to leave out.
    """
    if node.logs and not is_local(host):
        reason = f": logs= can't be followed, for the Engine at {host} keeps them on its own machine; leave it out"
        raise TopologyError(f"node {node.name!r}", reason)
    below = f"{PurePosixPath(STATE).name}/"
    if disk and any(pattern.startswith(below) for pattern in node.logs):
        reason = f": logs= can't be followed below {below}, which --docker-disk-size keeps in a volume; leave out one"
        raise TopologyError(f"node {node.name!r}", reason)


def _image(role: str, options: Mapping[str, str]) -> str:
    own = options.get("archive_image") if role == ARCHIVE_ROLE else None
    return own or options.get("mina_image") or DEFAULT_IMAGE


def _checked(node: str, image: str) -> str:
    """Refuse what can't name an image: part of a path of the Engine's, it could lead to something else."""
    if not all(re.fullmatch(IMAGE_PART, part) for part in image.split("/")):
        reason = f": {image!r} can't name an image; give one like 'mina:1.0' or 'registry:5000/mina:1.0'"
        raise TopologyError(f"node {node!r}", reason)
    return image


def mounts(place: RunPlace, node: NodeSpec) -> list[Mount]:
    """Return what a node's container sees of this machine."""
    fifos = [place.directory / run_files.FIFOS / run_files.fifo_name(node.name, each) for each in node.streams.sources]
    return [
        *(Mount(target=target, source=str(source), read_only=True) for target, source in supervision.files().items()),
        *(Mount(target=target, source=str(fifo)) for target, fifo in zip(LOGS, fifos, strict=False)),
        Mount(target=DIRECTORY, source=str(place.directory / run_files.NODES / node.name)),
    ]


def _volume(place: RunPlace, node: str) -> Mount:
    return Mount(target=DIRECTORY, source=f"{place.run_id}-{node}", kind="volume")


def _disk(place: RunPlace, node: str, size: int) -> Mount:
    return Mount(target=STATE, source=f"{place.run_id}-{node}-state", kind="volume", size_bytes=size)
