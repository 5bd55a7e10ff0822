"""What a user may say to the Docker engine, and what it means."""

import contextlib
import re
from collections.abc import Mapping

from lucy_core.engine import EngineOption
from lucy_core.errors import OptionError
from lucy_core.filters.logproc import Filter, FilterSyntaxError
from lucy_engines.docker.api.endpoint import AddressError, Endpoint, docker_host
from lucy_engines.docker.plan.container import Limits

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

DOCKER_HOST = EngineOption(
    name="docker_host",
    metavar="ADDRESS",
    help="the Engine's address, unix:///path or tcp://host:port (default: $DOCKER_HOST, else the usual socket)",
)
DOCKER_OPTIONS = (
    EngineOption(
        name="mina_image",
        metavar="IMAGE",
        variable="MINA_IMAGE",
        help="run nodes from this image, as `mina`",
    ),
    EngineOption(
        name="archive_image",
        metavar="IMAGE",
        variable="ARCHIVE_IMAGE",
        help="run nodes of the role `archive` from this image",
    ),
    EngineOption(
        name="capture",
        choices=("auto", "fifo", "tcp", "engine"),
        help="how lines leave a container: by a FIFO, by TCP, or through the Engine; auto takes the best that works",
    ),
    EngineOption(
        name="shared_pipe", is_switch=True, help="one pipe for all nodes, each line tagged, in place of one a node"
    ),
    EngineOption(
        name="capture_filter", metavar="FILTER", help="write only lines that pass: a level, or a logproc filter"
    ),
    EngineOption(
        name="docker_log_max_size",
        metavar="SIZE",
        help="limit of a container's own log, which is a fallback and never the truth (default: 10m)",
    ),
    EngineOption(name="docker_memory", metavar="SIZE", help="limit of each container's memory, like 512m"),
    EngineOption(name="docker_cpus", metavar="NUMBER", help="processors that each container may use, like 0.5"),
    EngineOption(
        name="docker_disk_size",
        metavar="SIZE",
        help="give each node's state directory a disk of this size, held in memory; the fault DiskFull takes it",
    ),
    EngineOption(
        name="docker_libfaketime",
        metavar="PATH",
        help="start nodes with this machine's libfaketime.so.1; the fault ClockOffset takes it",
    ),
    EngineOption(
        name="docker_health",
        metavar="COMMAND",
        help="have the Engine run this in each container every two seconds; how it ends is the node's health",
    ),
    EngineOption(
        name="docker_ports",
        metavar="FIRST",
        help="publish the nodes' ports on loopback from this one on, in order (default: free ones)",
    ),
    EngineOption(name="statistics", is_switch=True, help="write what each node uses into the run, once a second"),
    DOCKER_HOST,
)


def read_host(options: Mapping[str, str]) -> str:
    """Read the Engine's address. One of the environment's that is none is told later, as an Engine that can't be used.

    Raises:
        OptionError: saying what to give.
    """
    named = options.get("docker_host")
    try:
        return Endpoint(named).text if named else docker_host()
    except AddressError as error:
        raise OptionError("docker_host", str(named), f": {error}") from None


def read_port(options: Mapping[str, str]) -> int:
    """Read the first port of this machine to publish nodes' ports at; 0 leaves the choice to the Engine.

    Raises:
        OptionError: it is no port.
    """
    text = options.get("docker_ports", "0")
    if not text.isdecimal() or int(text) > 65535:
        raise OptionError("docker_ports", text, "is no port; write one like 31000")
    return int(text)


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
    read_size(options, "docker_log_max_size")
    return Limits(
        memory_bytes=read_size(options, "docker_memory"),
        cpus=_read_processors(options),
        log_max_size=options.get("docker_log_max_size", Limits().log_max_size),
    )


def _read_processors(options: Mapping[str, str]) -> float | None:
    cpus = options.get("docker_cpus")
    if cpus is None:
        return None
    with contextlib.suppress(ValueError):
        if 0 < float(cpus) < float("inf"):
            return float(cpus)
    raise OptionError("docker_cpus", cpus, "is no number of processors; write one like 0.5 or 2")


def read_size(options: Mapping[str, str], option: str) -> int | None:
    """Read a size as Docker writes it, `512m` say, in bytes.

    Raises:
        OptionError: it is none.
    """
    text = options.get(option)
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)([bkmg]?)b?", text.strip().lower())
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    if not size:
        raise OptionError(option, text, "is no size; write one like 512m or 2g")
    return size
