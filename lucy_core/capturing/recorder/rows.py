"""What the capture process writes: the logs, and the rows that say what is in them. Standard library only.

A block goes into its node's log first, then a row about it into the arrivals: whoever reads a row finds its bytes.
"""

import json
import os
from collections.abc import Mapping
from typing import NamedTuple, final

from lucy_core.capturing import run_files
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.framing import Pieces
from lucy_core.records.keys import SLASH, readable

RESERVE_BYTES = 1 << 14
"""What is kept for the last rows of a recording whose disk is full: some blocks, or one that is larger."""


@final
class Log:
    """One node's file, and what the rows say of it."""

    __slots__ = ("blocked_ns", "fd", "node", "offset", "quoted")

    def __init__(self, node: str, path: str) -> None:
        self.node = node
        self.quoted = json.dumps(node).encode()
        if SLASH in node:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.offset = os.fstat(self.fd).st_size
        self.blocked_ns = 0


@final
class Row(NamedTuple):
    """A line of the arrivals that is yet to be written there."""

    position: int
    text: bytes
    log: Log | None = None
    """Which has its block; a fact has none."""
    offset: int = 0
    size: int = 0

    def data(self) -> bytes:
        return b"" if self.log is None else os.pread(self.log.fd, self.size, self.offset)


def block_row(
    log: Log, position: int, size: int, lines: int, arrived_ns: int, *, torn: bool, counted: Mapping[str, int]
) -> Row:
    """Make the row of a block that is about to be appended, with what it counts beside lines."""
    text = b'{"position":%d,"node":%b,"offset":%d,"bytes":%d,"lines":%d,"arrived_ns":%d,"blocked_ns":%d%b%b}\n' % (
        position,
        log.quoted,
        log.offset,
        size,
        lines,
        arrived_ns,
        log.blocked_ns,
        b',"torn":true' if torn else b"",
        b"".join([b',"%b":%d' % (name.encode(), count) for name, count in counted.items()]) if counted else b"",
    )
    return Row(position, text, log, log.offset, size)


def fact_row(fact: Fact, position: int, arrived_ns: int, node: str, more: Mapping[str, object]) -> Row:
    """Make the row of what the recording says of itself, at a place in it."""
    members = {"position": position, "node": node, "offset": 0, "bytes": 0, "lines": 0, "arrived_ns": arrived_ns}
    told = {
        **members,
        "fact": fact,
        **{name: readable(value) if isinstance(value, str) else value for name, value in more.items()},
    }
    return Row(position, json.dumps(told, separators=(",", ":")).encode() + b"\n")


def write_all(fd: int, pieces: Pieces) -> None:
    """Write all pieces; a short write means a full disk, which the next attempt reports."""
    left: list[bytes | bytearray | memoryview] = list(pieces)
    while left:
        # One call takes at most IOV_MAX buffers: a line that came in a thousand chunks goes in several.
        written = os.writev(fd, left[:1024])
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = memoryview(left[0])[written:]


def keep_reserve(directory: str) -> int:
    """Keep a little of the disk for a recording's last rows; -1 where none can be had."""
    path = f"{directory}/{run_files.RECORDING_RESERVE}"
    fd = -1
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.unlink(path)
        os.posix_fallocate(fd, 0, RESERVE_BYTES)
    except OSError:  # a disk that is full by now tells so by itself, at its first line
        if fd >= 0:
            os.close(fd)
        return -1
    return fd
