"""A whole network as what is about to be asked of the Engine. Pure: nothing is touched, nobody is asked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from lucy_core.engine import Layout, NetworkSpec, NodeSpec, RunPlace, is_on, readable_text, run_files
from lucy_core.errors import ArgumentError, OptionError, TopologyError, shown
from lucy_core.filters.logproc import Filter, FilterSyntaxError
from lucy_engines.docker.api.endpoint import AddressError, Endpoint, docker_host
from lucy_engines.docker.plan import clock, supervision
from lucy_engines.docker.plan.container import (
    ContainerConfig,
    Limits,
    Mount,
    container_config,
    layouts,
)
from lucy_engines.docker.plan.inside import DIRECTORY, LOG, STATE

DEFAULT_IMAGE = "lucy-simnode:latest"
ARCHIVE_ROLE = "archive"
CAPTURE_KINDS = ("auto", "fifo", "tcp", "attach")
IMAGE_PART = r"[A-Za-z0-9_\[][A-Za-z0-9_.:@+\[\]-]*"
"""Between two slashes of an image's name: a registry with its port, a path, a name with tag or digest, an id."""
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


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
    host = docker_host(named := options.get("docker_host"))
    if named:
        _check_host(named)
    limits = read_limits(options)
    first = read_port(options)
    places = layouts(spec)
    disk = read_size("docker_disk_size", options["docker_disk_size"]) if "docker_disk_size" in options else 0
    library = options.get("docker_libfaketime")
    if library and not is_local(host):
        raise OptionError("docker_libfaketime", library, f": the Engine at {host} doesn't see this machine's files")
    containers: dict[str, ContainerConfig] = {}
    for node in spec.nodes:
        containers[node.name] = container_config(
            node,
            places[node.name],
            run_id=place.run_id,
            image=_checked(node.name, node.image or _image(node.role, options)),
            mounts=[
                *(mounts(place, node.name) if is_local(host) else [_volume(place, node.name)]),
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
        capture=read_capture(options),
        shared_pipe=is_on(options, "shared_pipe"),
        capture_filter=read_filter(options),
    )


def _check_text(node: NodeSpec) -> None:
    """Refuse words that only this machine's file system has: the Engine is spoken to in UTF-8.

    Raises:
        TopologyError: naming node and field.
    """
    words = {f"command[{place}]": word for place, word in enumerate(node.command)}
    try:
        for name, word in {
            **words,
            **{f"environment[{key!r}]": word for key, word in node.environment.items()},
        }.items():
            readable_text(word, name)
    except ArgumentError as error:
        raise TopologyError(f"node {node.name!r}", f": {error}") from None


def _image(role: str, options: Mapping[str, str]) -> str:
    own = options.get("archive_image") if role == ARCHIVE_ROLE else None
    return own or options.get("mina_image") or DEFAULT_IMAGE


def _checked(node: str, image: str) -> str:
    """Refuse what can't name an image: part of a path of the Engine's, it could lead to something else."""
    if not all(re.fullmatch(IMAGE_PART, part) for part in image.split("/")):
        reason = f": {image!r} can't name an image; give one like 'mina:1.0' or 'registry:5000/mina:1.0'"
        raise TopologyError(f"node {node!r}", reason)
    return image


def _check_host(host: str) -> None:
    """Refuse an option that is no address. One of the environment's is told as what keeps the Engine from being used.

    Raises:
        OptionError: saying what to give.
    """
    try:
        Endpoint(host)
    except AddressError as error:
        raise OptionError("docker_host", host, f": {error}") from None


def is_local(host: str) -> bool:
    """Tell whether an Engine sees this machine's files."""
    return host.startswith("unix://")


def mounts(place: RunPlace, node: str) -> list[Mount]:
    """Return what a node's container sees of this machine."""
    return [
        *(Mount(target=target, source=str(source), read_only=True) for target, source in supervision.files().items()),
        Mount(target=LOG, source=str(place.directory / run_files.FIFOS / node)),
        Mount(target=DIRECTORY, source=str(place.directory / run_files.NODES / node)),
    ]


def _volume(place: RunPlace, node: str) -> Mount:
    return Mount(target=DIRECTORY, source=f"{place.run_id}-{node}", kind="volume")


def _disk(place: RunPlace, node: str, size: int) -> Mount:
    return Mount(target=STATE, source=f"{place.run_id}-{node}-state", kind="volume", size_bytes=size)


def read_port(options: Mapping[str, str]) -> int:
    """Read the first port of this machine to publish nodes' ports at; 0 leaves the choice to the Engine.

    Raises:
        OptionError: it is no port.
    """
    text = options.get("docker_ports", "0")
    if not text.isdecimal() or int(text) > 65535:
        raise OptionError("docker_ports", text, "is no port; write one like 31000")
    return int(text)


def read_capture(options: Mapping[str, str]) -> str:
    """Read the way that lines are to take.

    Raises:
        OptionError: there is none of that name.
    """
    kind = options.get("capture") or "auto"
    if kind not in CAPTURE_KINDS:
        raise OptionError("capture", kind, f"is no way for lines to take; say one of {', '.join(CAPTURE_KINDS)}")
    return kind


def read_filter(options: Mapping[str, str]) -> str:
    """Read the capture filter, so that a wrong one is found before anything is made.

    Raises:
        OptionError: it is none; says where.
    """
    text = options.get("capture_filter", "")
    if text:
        try:
            Filter(text)
        except FilterSyntaxError as error:
            raise OptionError("capture_filter", text, f"is no filter: {error}") from error
    return text


def read_limits(options: Mapping[str, str]) -> Limits:
    """Read what containers may use from the run's options.

    Raises:
        OptionError: saying what it should look like.
    """
    memory = options.get("docker_memory")
    cpus = options.get("docker_cpus")
    log_max_size = options.get("docker_log_max_size", Limits().log_max_size)
    read_size("docker_log_max_size", log_max_size)
    try:
        number = None if cpus is None else float(cpus)
    except ValueError:
        number = 0.0
    if cpus is not None and number is not None and not 0 < number < float("inf"):
        raise OptionError("docker_cpus", cpus, "is no number of processors; write one like 0.5 or 2")
    return Limits(
        memory_bytes=None if memory is None else read_size("docker_memory", memory),
        cpus=number,
        log_max_size=log_max_size,
    )


def read_size(option: str, text: str) -> int:
    """Read a size as Docker writes it, `512m` say, in bytes.

    Raises:
        OptionError: it is none.
    """
    match = re.fullmatch(r"(\d+)([bkmg]?)b?", text.strip().lower())
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    if not size:
        raise OptionError(option, text, "is no size; write one like 512m or 2g")
    return size
