"""What a network is, before any engine has given it a place: nodes, their commands, files and ports."""

import fnmatch
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec

from lucy_core.arguments import (
    Rule,
    bytes_of,
    fit,
    instance_of,
    mapping_of,
    moment_of,
    name_of,
    optional,
    readable_text,
    relative_path,
    some_seconds,
    switch_of,
    text_of,
    title_of,
    tuple_of,
    word_of,
)
from lucy_core.engine.layout import HostForm, Layout, fill_in, fill_in_bytes
from lucy_core.engine.signals import DEFAULT_STOP, Reach, reach_of, signal_of
from lucy_core.engine.sources import Streams, log_files, streams_of
from lucy_core.errors import ArgumentError, EventDefinitionError, TopologyError, shown
from lucy_core.formats.choice import chosen, formats_of
from lucy_core.judging.conditions.combinations import conditions
from lucy_core.judging.conditions.condition import AnyCondition
from lucy_core.judging.conditions.logged import logged, sought_of
from lucy_core.judging.conditions.probes import probes_of
from lucy_core.records.journal import JOURNAL

_KINDS = ("file", "port", "host")
HIGHEST_ID = 2**32 - 2
"""The kernel's highest number of a user or a group; the next one means none."""
MASK = "(masked)"
"""What stands in place of a value that nobody is to see."""


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One node, as its vocabulary describes it and before any engine has given it a place.

    Text in `command`, `environment` and `files` may hold placeholders that each engine fills in with its own truth:

    - `{directory}` the node's directory, `{state}` the part of it that a fresh start empties;
    - `{file:keys/own}` the path of a file from `files`;
    - `{port:rest}` a port of this node, `{port:seed.external}` one of another node;
    - `{host:seed}` the name or address at which nodes reach a node, and the same in the network's `host_forms`;
    - `{bind}` the address to listen on so that the others, and Lucy, get through.
    """

    name: str
    """What it is called in the network: lower-case letters, digits, `-`, `_` and `.`, at most 63."""
    role: str
    """What it is there for, in your words: shown with it, and of no meaning to Lucy."""
    command: tuple[str, ...]
    """The daemon: a program and its arguments, a word each. No shell reads it."""
    environment: dict[str, str] = {}
    """Variables of the daemon's, beside those that the engine gives it."""
    files: dict[str, bytes] = {}
    """Path below the node's directory to content; readable by its owner alone."""
    ports: tuple[str, ...] = ()
    """Names of the ports that it listens on. The engine chooses the numbers."""
    after: tuple[str, ...] = ()
    """Nodes that must have been started before this one and, where they say what that is, be ready. At the end they are
    stopped after it."""
    ready: Any = None
    """What tells that it is ready; None where its start does. A text that stands in a line of it, or a `re.Pattern`
    that finds something in one; an event type; or a condition, such as `port_open("db", "sql")`, `http_ok(…)` or
    `all_of(…)`. A condition that names no node means this one."""
    ready_within: float = 60.0
    """Seconds from its start within which it has to be."""
    log_format: Any = None
    """In which format its lines are read: the name of one, or a `Format`, such as `log_format("json", message="msg")`.
    For sources apart one for each, by what it is called: `{"stderr": "klog", "data/log/*.log": "postgresql"}`; `""` is
    for the others. None finds out what each line is."""
    logs: tuple[str, ...] = ()
    """Files below its directory that it writes, followed from their beginnings beside its output, through rotation:
    `data/log/*.log`, with `*`, `?` and `[…]` as in a shell. Each is a source of its own, called by the path that it
    had when it was first seen (`event.source`), with its own log and account. A copy that matches too is a new file,
    whose lines come twice."""
    streams: Streams = Streams.TOGETHER
    """Whether its stdout and stderr are one source, `"together"`, or two, `"apart"`, each with its own log."""
    image: str | None = None
    """What engines that need one run the node from; None for the run's default."""
    wait_for_exit: bool = False
    """A one-shot node: its exit with status 0 is expected."""
    harmless: tuple[str, ...] = ()
    """Variables whose values may be shown. Of all others, in `environment` or given to a start, whatever Lucy writes
    down or says has the name alone; nodes, and an exported network that somebody is to run, have the values."""
    secrets: tuple[str, ...] = ()
    """Files of `files` that nobody is to see, private keys say. What a test reads of them stays out of the journal."""
    user: str | None = None
    """As whom the daemon runs, and whose its directory is: `postgres`, `postgres:ssl-cert`, `26:26`. None is whom the
    engine takes."""
    stop_signal: str = DEFAULT_STOP
    """What asks it to end: `SIGINT` is PostgreSQL's fast shutdown."""
    stop_signal_to: Reach = Reach.GROUP
    """Whom that goes to: `"group"` is the daemon and all that came from it, `"daemon"` the daemon alone, for one that
    ends its own, as PostgreSQL does."""

    def __post_init__(self) -> None:
        """Take lists for tuples, and refuse what is of no use in a field.

        Raises:
            TopologyError: naming node and field, and what to give.
        """
        fit(self, NODE_RULES, lambda reason: TopologyError(f"node {shown(self.name)}", f": {reason}"))

    def fits_in(self, line: str) -> bool:
        """Tell whether a line of an engine's own may stand in the node's output: it says there how much it matters.

        Any other would be taken for the daemon's, and whether that logged an error nobody could say from then on.
        """
        if self.log_format is None:
            return True
        speaks = formats_of(self.log_format, "log_format").of(self.streams.sources[0])
        try:
            return not speaks.read(line.encode()).is_unleveled
        except (ValueError, RecursionError):
            return False

    def masked(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return variables as they may be shown: with their values where these are harmless."""
        return {name: value if name in self.harmless else MASK for name, value in environment.items()}

    def is_secret(self, path: str) -> bool:
        """Tell whether a path, below the node's directory or absolute, is that of a file that nobody is to see."""
        plain = posixpath.normpath(path)
        return any(plain == secret or plain.endswith(f"/{secret}") for secret in map(posixpath.normpath, self.secrets))

    def description(self) -> dict[str, Any]:
        """Say what it is as it may be shown: files with their sizes alone, variables without their values."""
        told: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(self, ready=None), builtin_types=(bytes,))
        files = {path: len(content) for path, content in self.files.items()}
        ready = None if self.ready is None else self.ready.description
        return {**told, "files": files, "environment": self.masked(self.environment), "ready": ready}

    def __repr__(self) -> str:
        # A traceback, a failed assertion and a debugger show it too.
        return f"NodeSpec({', '.join(f'{name}={value!r}' for name, value in self.description().items())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list(self.description().items())


class NetworkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A whole network: what an engine deploys."""

    name: str
    """What the network is called: in its run's id and its reports."""
    nodes: tuple[NodeSpec, ...]
    """All of its nodes, each with a name of its own."""
    units: dict[str, float] = {}
    """Units of time of the vocabulary's own: the length of each in seconds, by its plural (`rounds`)."""
    counted_from: float | None = None
    """When the first of each unit begins, in seconds since 1970."""
    host_forms: dict[str, HostForm] = {}
    """Placeholders of the vocabulary's own for where nodes are, by name: `{address:seed}`."""

    def __post_init__(self) -> None:
        """Take lists for tuples, and refuse what is of no use in a field.

        Raises:
            TopologyError: naming the field, and what to give.
        """
        fit(self, NETWORK_RULES, lambda reason: TopologyError(f"network {shown(self.name)}", f": {reason}"))

    def validate(self) -> None:
        """Check how its nodes go together, before anything is started.

        Raises:
            TopologyError: naming the node and what is wrong with it.
        """
        names = [node.name for node in self.nodes]
        if not names:
            raise TopologyError(f"network {self.name!r}", "has no nodes")
        for node in self.nodes:
            self.check(node)
        start_order(self.nodes)

    def check(self, node: NodeSpec) -> None:
        """Check how one of its nodes goes together with the others.

        Raises:
            TopologyError: naming the node and what is wrong with it.
        """
        names = [each.name for each in self.nodes]
        if not re.fullmatch(r"[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?", node.name):
            reason = "must be lower-case letters, digits, '-', '_', '.' (at most 63)"
            raise TopologyError(f"node name {shown(node.name)}", reason)
        if node.name == JOURNAL:
            raise TopologyError(f"node name {JOURNAL!r}", "is Lucy's own; choose another")
        if names.count(node.name) > 1:
            reason = f"is used {names.count(node.name)} times; give each node its own"
            raise TopologyError(f"node name {node.name!r}", reason)
        for secret in node.secrets:
            if secret not in node.files:
                held = ", ".join(node.files) or "none"
                reason = f": secrets= names {secret!r}, and no file is called so; it has {held}"
                raise TopologyError(f"node {node.name!r}", reason)
        for other in node.after:
            if other not in names:
                reason = f"is to start after {shown(other)}, which is not in the network"
                raise TopologyError(f"node {node.name!r}", reason)
        _check_placeholders(node, self)
        _check_ready(node, self)
        _check_sources(node)


def _port_name(value: Any, name: str) -> str:
    text = readable_text(value, name)
    if not re.fullmatch(r"[^\s{}.:]+", text):
        raise ArgumentError(name, value, "can't name a port; take letters, digits, '-' and '_'")
    return text


def _placeholder_name(value: Any, name: str) -> str:
    text = text_of(value, name)
    if not re.fullmatch(r"\w+", text) or text in _KINDS:
        raise ArgumentError(name, value, f"can't name a placeholder; take letters and '_', and none of {_KINDS}")
    return text


def _different(rule: Rule) -> Rule:
    def take(value: Any, name: str) -> tuple[str, ...]:
        found: tuple[str, ...] = rule(value, name)
        for each in found:
            if found.count(each) > 1:
                raise ArgumentError(name, value, f"has {each!r} {found.count(each)} times; leave one")
        return found

    return take


def _command(value: Any, name: str) -> tuple[str, ...]:
    words: tuple[str, ...] = tuple_of(word_of, "('sleep', '100')")(value, name)
    if not words or not words[0]:
        raise ArgumentError(name, value, "is an empty command; give a program and its arguments")
    return words


def _files(value: Any, name: str) -> dict[str, bytes]:
    files: dict[str, bytes] = mapping_of(relative_path, bytes_of, "{'config/node.json': b'{}'}")(value, name)
    for path in files:
        for above in PurePosixPath(path).parents:
            if str(above) in files:
                raise ArgumentError(name, value, f"has both {str(above)!r} and {path!r}; a file is no directory")
    return files


def _user(value: Any, name: str) -> str:
    text = readable_text(value, name)
    if not re.fullmatch(r"[^\s:/]+(:[^\s:/]+)?", text) or not text.isprintable():
        raise ArgumentError(name, value, "can't name a user; give one like 'postgres', 'postgres:ssl-cert' or '26:26'")
    for part in text.split(":"):
        if part.isdecimal() and int(part) > HIGHEST_ID:
            raise ArgumentError(name, value, f"holds {part}, and no user's or group's number is above {HIGHEST_ID}")
    return text


def _image(value: Any, name: str) -> str:
    text = readable_text(value, name)
    if not text or not text.isprintable() or " " in text:
        raise ArgumentError(name, value, "can't name an image; give one like 'node:1.0'")
    return text


def _ready(value: Any, name: str) -> AnyCondition:
    if isinstance(value, (str, re.Pattern)):
        return logged(sought_of(value, name))
    try:
        (found,) = conditions(name, (value,))
    except (TypeError, EventDefinitionError) as error:
        advice = "give a text of a line, an event type, or a condition, like lucy.port_open('db', 'sql')"
        raise ArgumentError(name, value, f"tells of no node that it is ready ({error}); {advice}") from None
    if found.must_hold:
        raise ArgumentError(name, value, "has to hold, and never comes true for good; give what comes true")
    return found


COMMAND: Rule = _command
"""What a command may be."""
ARGUMENTS = tuple_of(word_of, "('--verbose',)")
"""What may follow a program."""
VARIABLES = mapping_of(name_of, word_of, "{'PORT': '8080'}")
"""What an environment may be."""
NODE_RULES: dict[str, Rule] = {
    "name": text_of,
    "role": readable_text,
    "command": COMMAND,
    "environment": VARIABLES,
    "files": _files,
    "ports": _different(tuple_of(_port_name, "('rest',)")),
    "after": tuple_of(text_of, "('seed',)"),
    "ready": optional(_ready),
    "ready_within": some_seconds,
    "log_format": optional(chosen),
    "logs": _different(tuple_of(log_files, "('data/log/*.log',)")),
    "streams": streams_of,
    "image": optional(_image),
    "wait_for_exit": switch_of,
    "harmless": tuple_of(name_of, "('LANG',)"),
    "secrets": tuple_of(relative_path, "('keys/own',)"),
    "user": optional(_user),
    "stop_signal": signal_of,
    "stop_signal_to": reach_of,
}
NETWORK_RULES: dict[str, Rule] = {
    "name": title_of,
    "nodes": tuple_of(instance_of(NodeSpec, "NodeSpec(…)"), "(NodeSpec(…),)"),
    "units": mapping_of(text_of, some_seconds, "{'rounds': 2.5}"),
    "counted_from": optional(moment_of),
    "host_forms": mapping_of(_placeholder_name, instance_of(HostForm, "HostForm(…)"), "{'url': HostForm(…)}"),
}


def start_order(nodes: Sequence[NodeSpec]) -> list[list[NodeSpec]]:
    """Group nodes into waves: all of a wave may start at once, each wave after the one before. They end from the last.

    A node that isn't among them, and that others are to be started after, is started already.

    Raises:
        TopologyError: nodes wait for each other in a circle.
    """
    waves: list[list[NodeSpec]] = []
    left = list(nodes)
    started = {other for node in left for other in node.after}.difference(node.name for node in left)
    while left:
        wave = [node for node in left if started.issuperset(node.after)]
        if not wave:
            circle = ", ".join(node.name for node in left)
            raise TopologyError("these nodes", f"wait for each other to start: {circle}")
        waves.append(wave)
        started.update(node.name for node in wave)
        left = [node for node in left if node.name not in started]
    return waves


def _check_ready(node: NodeSpec, network: NetworkSpec) -> None:
    """Refuse what nobody could ever say of this network: of a node, or of a port, that isn't there."""
    if node.ready is None:
        return
    ports = {each.name: each.ports for each in network.nodes}
    for name in node.ready.nodes:
        if name not in ports:
            reason = f": ready= is about {shown(name)}, which is not in the network; there is {', '.join(ports)}"
            raise TopologyError(f"node {node.name!r}", reason)
    for probe in probes_of(node.ready):
        if probe.port not in ports[probe.node]:
            known = ", ".join(ports[probe.node]) or "none"
            reason = f": ready= asks port {shown(probe.port)} of {probe.node!r}, which has {known}"
            raise TopologyError(f"node {node.name!r}", reason)


def _check_sources(node: NodeSpec) -> None:
    """Refuse patterns that may find a file of a stream's name, for the two would be one source."""
    if node.streams is not Streams.APART:
        return
    for pattern in node.logs:
        for name in Streams.APART.sources:
            if fnmatch.fnmatchcase(name, pattern):
                reason = f": logs= has {pattern!r}, which may find a file {name!r}, and a stream that is told apart is"
                raise TopologyError(f"node {node.name!r}", f"{reason} called so; give a narrower one, like '*.log'")


def _check_placeholders(node: NodeSpec, network: NetworkSpec) -> None:
    """Refuse placeholders that name what isn't in the network. Every engine fills in the same names."""
    names = [each.name for each in network.nodes]
    anywhere = Layout(
        directory="/",
        state="/",
        bind="",
        hosts=dict.fromkeys(names, ""),
        host_forms=network.host_forms,
        ports={each.name: dict.fromkeys(each.ports, 0) for each in network.nodes},
    )
    for word in (*node.command, *node.environment.values()):
        fill_in(word, node.name, anywhere)
    for content in node.files.values():
        fill_in_bytes(content, node.name, anywhere)
