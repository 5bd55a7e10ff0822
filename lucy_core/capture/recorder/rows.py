"""What the capture process writes: the logs, and the rows that say what is in them. Standard library only.

A block goes into its node's log first, then a row about it into the arrivals: whoever reads a row finds its bytes.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import final

from lucy_core.capture.facts import Fact

RESERVE_BYTES = 1 << 14
"""What is kept for the last rows of a recording whose disk is full: some blocks, or one that is larger."""


@final
class Log:
    """One node's file, and what the rows say of it."""

    __slots__ = ("blocked_ns", "fd", "node", "offset", "quoted")

    def __init__(self, node: str, path: str) -> None:
        self.node = node
        self.quoted = json.dumps(node).encode()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.offset = os.fstat(self.fd).st_size
        self.blocked_ns = 0


@final
class BlockRow:
    """A block that is in its log but not yet in the arrivals."""

    __slots__ = ("arrived_ns", "counted", "lines", "log", "offset", "position", "size", "torn")

    def __init__(
        self,
        log: Log,
        position: int,
        size: int,
        lines: int,
        arrived_ns: int,
        *,
        torn: bool,
        counted: Mapping[str, int],
    ) -> None:
        self.log = log
        self.position = position
        self.offset = log.offset
        self.size = size
        self.lines = lines
        self.arrived_ns = arrived_ns
        self.torn = torn
        self.counted = counted
        """What it counts beside lines."""

    def encode(self) -> bytes:
        return b'{"position":%d,"node":%b,"offset":%d,"bytes":%d,"lines":%d,"arrived_ns":%d,"blocked_ns":%d%b%b}\n' % (
            self.position,
            self.log.quoted,
            self.offset,
            self.size,
            self.lines,
            self.arrived_ns,
            self.log.blocked_ns,
            b',"torn":true' if self.torn else b"",
            b"".join([b',"%b":%d' % (name.encode(), count) for name, count in self.counted.items()]),
        )

    def data(self) -> bytes:
        """Read the block back."""
        return os.pread(self.log.fd, self.size, self.offset)


@final
class FactRow:
    """What the recording says of itself, at a place in it."""

    __slots__ = ("_members", "position")

    def __init__(self, fact: Fact, position: int, arrived_ns: int, node: str, **more: object) -> None:
        self.position = position
        self._members = {
            "position": position,
            "node": node,
            "offset": 0,
            "bytes": 0,
            "lines": 0,
            "arrived_ns": arrived_ns,
            "fact": fact,
            **{name: readable(value) for name, value in more.items()},
        }

    def encode(self) -> bytes:
        return json.dumps(self._members, separators=(",", ":")).encode() + b"\n"

    def data(self) -> bytes:
        """Return nothing: it has no lines."""
        return b""


def readable(value: object) -> object:
    """Return a value as JSON can have it: file names may be no text in any encoding."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def write_all(fd: int, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
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
    path = f"{directory}/.reserve"
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
