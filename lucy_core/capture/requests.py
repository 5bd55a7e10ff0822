"""What the capture process can be asked, and what it refuses. Sans-IO; standard library only, since it loads this.

All nodes' lines hang on that process, so nothing that it is told may end it: a command is looked at whole, before
anything is done. The same checks stand before it, on Lucy's side, where a name or a path comes from a user.

A command is a line of JSON: `{"op": …, "id": …}` and what the operation needs. One without an id wants no answer.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from lucy_core.capture.facts import Fact

WRITING = frozenset({"inject", "note"})
"""Commands that write something down: where one is refused, that is missing."""
PORTS = 1 << 16
NUMBERS = 1 << 63
NAME_BYTES = 240
"""A node's name is its log's too, and a file's name has at most 255 bytes."""
UNIX_PATH_BYTES = 107
"""What the kernel takes as the path of a socket."""
_SHOWN = 60


class RefusedRequest(ValueError):  # noqa: N818  # an answer, as much as an error
    """It is no command, or asks for what can't be; the text says what to do.

    Attributes:
        number: which command it was, as far as that could be read.
        op: what it asked for, if that is anything.
        node: whose, as far as that could be read.
    """

    def __init__(self, reason: str, number: int | None = None, op: str = "", node: str = "") -> None:
        self.number = number
        self.op = op
        self.node = node
        super().__init__(reason)


def read_request(line: bytes) -> dict[str, Any]:
    """Read a command.

    Raises:
        RefusedRequest: it is none, or not whole, or something in it can't be.
    """
    try:
        command = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RefusedRequest(f"a command is a JSON object, and {_show(line)} is none: {error}") from error
    if not isinstance(command, dict):
        raise RefusedRequest(f"a command is a JSON object, and {_show(line)} is none")
    number = command.get("id")
    if number is not None and not _is_natural(number):
        raise RefusedRequest(f"a command's id is a number, and {_show(number)} is none")
    op = command.get("op")
    fields = _FIELDS.get(op) if isinstance(op, str) else None
    if fields is None:
        raise RefusedRequest(f"no command is called {_show(op)}", number)
    node = command.get("node")
    try:
        for name, check in fields.items():
            check(command.get(name))
    except ValueError as error:
        node = node if isinstance(node, str) and _is_name(node) else ""
        raise RefusedRequest(str(error), number, str(op), node) from error
    return command


def check_node(value: object) -> str:
    """Return the name of a node.

    Raises:
        ValueError: none can be called so.
    """
    if not isinstance(value, str) or not _is_name(value):
        raise ValueError(
            f"a node's name is text that a file can be called by, without '/', of {NAME_BYTES} bytes at most: "
            f"{_show(value)} is none"
        )
    return value


def check_path(value: object) -> str:
    """Return a path.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not value or "\0" in value or not _is_utf8(value):
        raise ValueError(f"a path is text in UTF-8 without NUL: {_show(value)} is none")
    return value


def check_address(value: object) -> str | tuple[str, int]:
    """Return an address to listen on: a path, or a host and a port.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str):
        if len(check_path(value).encode()) > UNIX_PATH_BYTES:
            raise ValueError(f"the path of a socket has {UNIX_PATH_BYTES} bytes at most, and {_show(value)} has more")
        return value
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"an address is a path, or a host and a port: {_show(value)} is neither")
    host, port = value
    if not isinstance(host, str) or "\0" in host or not _is_utf8(host):
        raise ValueError(f"a host is text: {_show(host)} is none")
    if not _is_natural(port) or port >= PORTS:
        raise ValueError(f"a port is a number below {PORTS}, or 0 for any: {_show(port)} is none")
    return host, port


def check_port(value: object) -> tuple[str, int]:
    """Return a host and a port to listen on.

    Raises:
        ValueError: they are none.
    """
    address = check_address(value)
    if isinstance(address, str):
        raise ValueError(f"{_show(value)} is no host and port")  # noqa: TRY004  # as everything here
    return address


def check_lines(value: object) -> str:
    """Return whole lines, or nothing.

    Raises:
        ValueError: these are none.
    """
    if not isinstance(value, str) or not _is_utf8(value) or (value and not value.endswith("\n")):
        raise ValueError(f"what is to be recorded is whole lines in UTF-8, and this is not: {_show(value)}")
    return value


def _check_any_node(value: object) -> None:
    if value != "":
        check_node(value)


def _check_nodes(value: object) -> None:
    if not isinstance(value, list) or not value:
        raise ValueError(f"a shared pipe is for a list of nodes: {_show(value)} is none")
    for each in value:
        check_node(each)


def _check_fact(value: object) -> None:
    if value not in Fact.__members__.values():
        raise ValueError(f"no fact is called {_show(value)}")


def _check_position(value: object) -> None:
    if not _is_natural(value):
        raise ValueError(f"a position is a number, and {_show(value)} is none")


def _check_more(value: object) -> None:
    for name, each in value.items() if isinstance(value, dict) else (("", value),):
        right = {
            "reason": isinstance(each, str) and _is_utf8(each),
            "since_ns": _is_natural(each),
            "filtered_lines": _is_natural(each),
            "filtered_bytes": _is_natural(each),
            "filtered_events": _is_natural(each),
        }
        if not right.get(name, False):
            raise ValueError(f"a fact says nothing like {_show({name: each})}")


def _is_name(value: str) -> bool:
    return (
        value not in {"", ".", ".."}
        and "/" not in value
        and "\0" not in value
        and _is_utf8(value)
        and len(value.encode()) <= NAME_BYTES
    )


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < NUMBERS


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _show(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a number of thousands of digits; what doesn't like to be shown
        text = f"a {type(value).__name__} that can't be shown"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_FIELDS: Mapping[str, Mapping[str, Callable[[object], object]]] = {
    "seen": {"position": _check_position},
    "inject": {"node": check_node, "text": check_lines},
    "note": {"fact": _check_fact, "node": _check_any_node, "more": _check_more},
    "fifo": {"node": check_node, "path": check_path},
    "shared_fifo": {"nodes": _check_nodes, "path": check_path},
    "file": {"node": check_node, "path": check_path},
    "listen": {"node": check_node, "address": check_address},
    "listen_resumably": {"node": check_node, "address": check_port},
    "fence": {},
    "drain": {"node": check_node},
    "close": {},
}
