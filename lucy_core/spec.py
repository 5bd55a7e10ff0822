"""What a network is, before any engine has given it a place: nodes, their commands, files and ports."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from lucy_core.errors import TopologyError
from lucy_core.journal import JOURNAL


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One node, as its vocabulary describes it and before any engine has given it a place.

    Text in `command`, `environment` and `files` may hold placeholders that each engine fills in with its own truth:

    - `{directory}` the node's directory, `{state}` the part of it that a fresh start empties;
    - `{file:keys/libp2p}` the path of a file from `files`;
    - `{port:rest}` a port of this node, `{port:seed.external}` one of another node;
    - `{host:seed}` the name or address at which nodes reach a node, `{multiaddr:seed}` the same as `/ip4/…`, `/dns4/…`;
    - `{bind}` the address to listen on so that the others, and Lucy, get through.
    """

    name: str
    role: str
    command: tuple[str, ...]
    environment: dict[str, str] = {}
    files: dict[str, bytes] = {}
    """Path below the node's directory to content; readable by its owner alone."""
    ports: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """Nodes that must have been started before this one."""
    image: str | None = None
    """For engines of containers: the image to run, or None for the run's default."""
    wait_for_exit: bool = False
    """A one-shot node: its exit with status 0 is expected."""


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A whole network: what an engine deploys."""

    name: str
    nodes: tuple[NodeSpec, ...]
    genesis_time: float | None = None
    """Seconds since the epoch at which slot 0 begins, where the network counts slots."""
    slot_seconds: float | None = None
    slots_per_epoch: int | None = None

    def validate(self) -> None:
        """Check what can be checked before anything is started.

        Raises:
            TopologyError: naming the node and what is wrong with it.
        """
        names = [node.name for node in self.nodes]
        if not names:
            message = f"network {self.name!r} has no nodes"
            raise TopologyError(message)
        for node in self.nodes:
            if not re.fullmatch(r"[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?", node.name):
                message = f"node name {node.name!r} must be lower-case letters, digits, '-', '_', '.' (at most 63)"
                raise TopologyError(message)
            if names.count(node.name) > 1:
                message = f"node name {node.name!r} is used {names.count(node.name)} times; give each node its own"
                raise TopologyError(message)
            if node.name == JOURNAL:
                message = f"node name {JOURNAL!r} is Lucy's own; choose another"
                raise TopologyError(message)
            if not node.command:
                message = f"node {node.name!r} has an empty command"
                raise TopologyError(message)
            if reason := unfit(node.command, node.environment):
                message = f"node {node.name!r}: {reason}"
                raise TopologyError(message)
            for other in node.after:
                if other not in names:
                    message = f"node {node.name!r} is to start after {other!r}, which is not in the network"
                    raise TopologyError(message)
        start_order(self.nodes)


def unfit(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Say why no program can be given these words and variables, or return nothing.

    The kernel takes them as texts that a NUL ends. A shell or a language's runtime would cut them there, or leave
    them out, each in its own way.
    """
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name:
            return f"{name!r} can't name an environment variable; take letters, digits and '_'"
        if "\0" in value:
            return f"environment variable {name!r} has a NUL in its value, which no program can be given; leave it out"
    for word in command:
        if "\0" in word:
            return f"the word {word!r} of a command has a NUL in it, which no program can be given; leave it out"
    return ""


def start_order(nodes: Sequence[NodeSpec]) -> list[list[NodeSpec]]:
    """Group nodes into waves: all of a wave may start at once, each wave after the one before.

    Raises:
        TopologyError: nodes wait for each other in a circle.
    """
    waves: list[list[NodeSpec]] = []
    started: set[str] = set()
    left = list(nodes)
    while left:
        wave = [node for node in left if started.issuperset(node.after)]
        if not wave:
            circle = ", ".join(node.name for node in left)
            message = f"these nodes wait for each other to start: {circle}"
            raise TopologyError(message)
        waves.append(wave)
        started.update(node.name for node in wave)
        left = [node for node in left if node.name not in started]
    return waves


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine has put one node: what the placeholders of its `NodeSpec` stand for."""

    directory: str
    state: str
    bind: str
    hosts: dict[str, str]
    multiaddrs: dict[str, str]
    ports: dict[str, dict[str, int]]


_PLACEHOLDER = re.compile(r"\{(directory|state|bind|(?:file|port|host|multiaddr):[^{}]+)\}")


def fill_in(text: str, node: str, layout: Layout) -> str:
    """Replace a text's placeholders; braces of any other kind (JSON, say) stay as they are.

    Raises:
        TopologyError: a placeholder names a node or port that isn't there.
    """

    def value(match: re.Match[str]) -> str:
        kind, _, name = match[1].partition(":")
        try:
            match kind:
                case "directory":
                    return layout.directory
                case "state":
                    return layout.state
                case "bind":
                    return layout.bind
                case "file":
                    return f"{layout.directory}/{name}"
                case "host":
                    return layout.hosts[name]
                case "multiaddr":
                    return layout.multiaddrs[name]
                case _:
                    owner, dot, port = name.rpartition(".")
                    return str(layout.ports[owner if dot else node][port])
        except KeyError as missing:
            message = f"node {node!r} refers to {match[0]}, but there is no {missing.args[0]!r}"
            raise TopologyError(message) from None

    return _PLACEHOLDER.sub(value, text)
