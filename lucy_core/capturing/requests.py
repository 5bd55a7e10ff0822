"""What Lucy and the capture process say to each other, as forms, with the checks of what comes from a user. Bare.

All nodes' lines hang on that process, so nothing that it is told may end it: what can't be is refused before anything
is done. The same checks stand before it, on Lucy's side, where a name or a path comes from a user.
"""

from typing import Annotated, Any, NamedTuple

from lucy_core.capturing.facts import Fact
from lucy_core.helpers.channel import DATA_BYTES
from lucy_core.helpers.forms import is_natural, shown
from lucy_core.records.keys import SLASH

PORTS = 1 << 16
NAME_BYTES = 240
"""A node's name is its log's too, and a file's name has at most 255 bytes."""
UNIX_PATH_BYTES = 107
"""What the kernel takes as the path of a socket."""


def check_node(value: object) -> str:
    """Return the name of a node.

    Raises:
        ValueError: none can be called so.
    """
    if not isinstance(value, str) or not _is_name(value):
        raise ValueError(
            f"a node's name is text that a file can be called by, without '/', of {NAME_BYTES} bytes at most: "
            f"{shown(value)} is none"
        )
    return value


def check_key(value: object) -> str:
    """Return the key of a node's source (`records.keys`).

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        return check_node(value)
    node, slash, source = value.partition(SLASH)
    check_node(node)
    if slash and not all(_is_name(part) for part in source.split(SLASH)):
        raise ValueError(
            f"a source is named like a file below a directory, by parts of {NAME_BYTES} bytes at most: {shown(source)} "
            f"is not"
        )
    return value


def check_path(value: object) -> str:
    """Return a path.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not value or "\0" in value or not _is_utf8(value):
        raise ValueError(f"a path is text in UTF-8 without NUL: {shown(value)} is none")
    return value


def check_address(value: object) -> str | tuple[str, int]:
    """Return an address to listen on: a path, or a host and a port.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str):
        if len(check_path(value).encode()) > UNIX_PATH_BYTES:
            raise ValueError(f"the path of a socket has {UNIX_PATH_BYTES} bytes at most, and {shown(value)} has more")
        return value
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"an address is a path, or a host and a port: {shown(value)} is neither")
    host, port = value
    if not isinstance(host, str) or "\0" in host or not _is_utf8(host):
        raise ValueError(f"a host is text: {shown(host)} is none")
    if not is_natural(port) or port >= PORTS:
        raise ValueError(f"a port is a number below {PORTS}, or 0 for any: {shown(port)} is none")
    return host, port


def check_port(value: object) -> tuple[str, int]:
    """Return a host and a port to listen on.

    Raises:
        ValueError: they are none.
    """
    address = check_address(value)
    if isinstance(address, str):
        raise ValueError(f"{shown(value)} is no host and port")  # noqa: TRY004  # as everything here
    return address


def check_lines(value: bytes) -> bytes:
    """Return whole lines, or nothing.

    Raises:
        ValueError: these are none.
    """
    try:
        value.decode()
    except UnicodeDecodeError:
        is_text = False
    else:
        is_text = True
    if not is_text or (value and not value.endswith(b"\n")):
        raise ValueError(f"what is to be recorded is whole lines in UTF-8, and this is not: {shown(value)}")
    if len(value) > DATA_BYTES:
        raise ValueError(f"what is to be recorded at once has {DATA_BYTES:,} bytes at most, not {len(value):,}")
    return value


def _check_nodes(value: list[str]) -> list[str]:
    if not value:
        raise ValueError("a shared pipe is for nodes, and names none")
    return value


def _check_more(value: dict[str, Any]) -> dict[str, Any]:
    for name, each in value.items():
        right = {
            "reason": isinstance(each, str) and _is_utf8(each),
            "since_ns": is_natural(each),
            "filtered_lines": is_natural(each),
            "filtered_bytes": is_natural(each),
            "filtered_events": is_natural(each),
        }
        if not right.get(name, False):
            raise ValueError(f"a fact says nothing like {shown({name: each})}")
    return value


def _is_name(value: str) -> bool:
    return (
        value not in {"", ".", ".."}
        and "/" not in value
        and "\0" not in value
        and _is_utf8(value)
        and len(value.encode()) <= NAME_BYTES
    )


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


Node = Annotated[str, check_node]
Key = Annotated[str, check_key]
Path = Annotated[str, check_path]


class Seen(NamedTuple):
    """The recording has been read up to here."""

    position: int


class Write(NamedTuple):
    """Record lines as if a node had written them now. Answered by the `Position` of the first."""

    node: Key
    lines: Annotated[bytes, check_lines]


class Note(NamedTuple):
    """Record a fact."""

    fact: Fact
    node: Annotated[str, lambda value: value and check_key(value)]
    """The key of a source; empty where it is about none."""
    more: Annotated[dict[str, Any], _check_more]


class Fifo(NamedTuple):
    """Make a FIFO and drain it from now on."""

    node: Key
    path: Path


class SharedFifo(NamedTuple):
    """Make one for several nodes, or for several sources."""

    nodes: Annotated[list[Key], _check_nodes]
    path: Path


class JoinFifo(NamedTuple):
    """Have more nodes or sources share the FIFO that was made for several at this path."""

    nodes: Annotated[list[Key], _check_nodes]
    path: Path


class File(NamedTuple):
    """Follow a file."""

    node: Key
    path: Path


class Whole(NamedTuple):
    """Read a file to its end, once."""

    node: Node
    path: Path


class LogFiles(NamedTuple):
    """Follow each file below a directory whose path matches, as a source that is called so."""

    node: Node
    directory: Path
    patterns: list[Path]


class Listen(NamedTuple):
    """Take lines over a socket. Answered by `Listening`."""

    node: Node
    address: Annotated[Any, check_address]


class ListenResumably(NamedTuple):
    """Take lines over TCP through connections that may break. Answered by `Listening`."""

    node: Key
    address: Annotated[Any, check_port]


class Listening(NamedTuple):
    """The real address."""

    address: Annotated[Any, check_address]


class Fence(NamedTuple):
    """Say which `Position` comes next."""


class Drain(NamedTuple):
    """Take all that a node has written so far. Answered by `Drained`."""

    node: Node
    ended: bool = False
    """Whether all that wrote it is gone, so that nobody will finish a half line."""


class Drained(NamedTuple):
    """What a node has written is taken."""

    position: int
    """The one after it."""
    peers: int
    """How many connections may bring more."""


class Rest(NamedTuple):
    """Take nothing, and say what a node may yet bring. Answered by `Drained`, whose peers count what is read once."""

    node: Node


class Close(NamedTuple):
    """Take all that is there, say in the recording that it was closed, and end."""


class Position(NamedTuple):
    """A place in the recording."""

    position: int


class Block(NamedTuple):
    """Unasked: what comes past the recording, since the disk has failed."""

    row: bytes
    """The row, as it would stand in the arrivals, and behind its newline the bytes that it is about."""
