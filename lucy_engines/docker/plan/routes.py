"""By which way a node's lines come to Lucy, with this Engine. Pure.

A FIFO is the fastest by far and needs one thing: that the container's kernel is Lucy's, and sees her files. Docker
Desktop runs containers in a virtual machine, which shows them this machine's files but no FIFOs of it, and a remote
Engine shows them nothing. For the first, TCP: the machine is one hop away, at a name of its own. For the second, the
Engine's attach stream, over the connection that is there anyhow: TCP would need a way back to Lucy, which firewalls
like to close. Both are forced with `--capture`.

Where a node's stdout and stderr are told apart, each has a FIFO or a port of its own. A FIFO that nodes share, and the
Engine's attach stream, whose other half is the link, bring both: there each line is tagged with the stream that it was
written to.
"""

import sys
from collections.abc import Sequence
from typing import Any, Literal, final

import msgspec

from lucy_core.engine import Streams
from lucy_core.errors import InapplicableError
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.plan.inside import LOG, LOGS, STDERR_LOG

Kind = Literal["fifo", "shared", "tcp", "engine"]
DESKTOP = "host.docker.internal"
"""The name by which containers of Docker Desktop reach loopback of the machine that it runs on."""


class EngineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of an Engine before a way can be chosen."""

    endpoint: Endpoint
    operating_system: str = ""
    """As `GET /info` has it: `Docker Desktop`, or a distribution's name."""
    gateway: str = ""
    """This machine's address in the run's network, where the Engine runs here."""
    own_address: str = ""
    """The address that this machine has towards a remote Engine."""
    platform: str = sys.platform
    """Lucy's own: `linux`, `darwin`."""

    @property
    def is_desktop(self) -> bool:
        """Whether containers run in a virtual machine on this one."""
        return self.endpoint.path is not None and (
            self.platform != "linux" or "docker desktop" in self.operating_system.lower()
        )

    @property
    def is_here(self) -> bool:
        """Whether containers share Lucy's kernel and files."""
        return self.endpoint.path is not None and not self.is_desktop


@final
class Route(msgspec.Struct, frozen=True, kw_only=True):
    """The way that was chosen."""

    kind: Kind
    why: str
    """For who reads the journal."""
    listen: str = ""
    """With TCP: where Lucy listens."""
    reach: str = ""
    """With TCP: by which name containers reach that."""

    @property
    def mounts_fifo(self) -> bool:
        """Whether the container itself writes into a FIFO of this machine's."""
        return self.kind in {"fifo", "shared"}

    def needs_relay(self, streams: Streams) -> bool:
        """Tell whether a node's lines pass through its supervisor, filter or not, and may die with that."""
        return self.kind in {"tcp", "shared"} or (self.kind == "engine" and streams is Streams.APART)


def choose_route(facts: EngineFacts, *, wanted: str = "auto", shared: bool = False) -> Route:
    """Choose.

    Args:
        facts: of the Engine.
        wanted: `fifo`, `tcp` or `engine` to force one, or `auto`.
        shared: whether nodes are to share one FIFO.

    Raises:
        InapplicableError: what is forced can't work with this Engine; says what can.
    """
    kind = wanted
    why = f"--capture {wanted}"
    if wanted == "auto":
        if facts.is_here:
            kind, why = "fifo", "the Engine runs on this machine"
        elif facts.is_desktop:
            kind, why = "tcp", "Docker Desktop's virtual machine shows no FIFO of this one"
        else:
            kind, why = "engine", f"the Engine at {facts.endpoint.text} is remote"
    if kind == "fifo" and not facts.is_here:
        reason = f"a FIFO can't reach into containers of {facts.endpoint.text}; leave it out, or use --capture engine"
        raise InapplicableError("--capture fifo", f": {reason}")
    if shared and kind != "fifo":
        reason = f"needs FIFOs, and lines come by way of {kind} here ({why}); leave it out"
        raise InapplicableError("--shared-pipe", reason)
    if kind == "tcp":
        return _tcp(facts, why)
    if kind == "engine":
        return Route(kind="engine", why=why)
    return Route(kind="shared" if shared else "fifo", why=f"{why}; --shared-pipe" if shared else why)


def _tcp(facts: EngineFacts, why: str) -> Route:
    if facts.is_desktop:
        return Route(kind="tcp", why=why, listen="127.0.0.1", reach=DESKTOP)
    address = facts.gateway if facts.is_here else facts.own_address
    if not address:
        reason = "needs an address of this machine that containers can reach, and there is none; use --capture engine"
        raise InapplicableError("--capture tcp", reason)
    return Route(kind="tcp", why=why, listen=address, reach=address)


def routed(
    body: dict[str, Any], route: Route, *, log: str = "", ports: Sequence[int] = (), token: str = "", keep: str = ""
) -> dict[str, Any]:
    """Return a container's body with the way its lines are to take.

    Args:
        body: as `container_config` made it, for a FIFO of its own.
        route: the way.
        log: the FIFO to mount, where it is another one.
        ports: where Lucy listens, with TCP, for each source of the node.
        token: the run's, which only who writes into no FIFO has to know.
        keep: the capture filter, or nothing.
    """
    given: dict[str, str] = {"LUCY_CAPTURE": route.kind}
    if not route.mounts_fifo:
        given["LUCY_TOKEN"] = token
    if route.kind == "tcp":
        addresses = ("LUCY_ADDRESS", "LUCY_STDERR_ADDRESS")
        given |= {name: f"{route.reach}:{port}" for name, port in zip(addresses, ports, strict=False)}
    if keep:
        given["LUCY_CAPTURE_FILTER"] = keep
    others = [each for each in body["Env"] if each.partition("=")[0] not in given]
    host = body["HostConfig"]
    unmounted = {"fifo": (), "shared": (STDERR_LOG,)}.get(route.kind, LOGS)
    mounts = [
        {**mount, "Source": log or mount["Source"]} if mount["Target"] == LOG else mount
        for mount in host["Mounts"]
        if mount["Target"] not in unmounted
    ]
    environment = [*others, *(f"{name}={value}" for name, value in given.items())]
    return {**body, "Env": environment, "HostConfig": {**host, "Mounts": mounts}}
