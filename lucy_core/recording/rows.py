"""What a recording says of a block or a fact, the block itself, and its bytes where they were read."""

from typing import NamedTuple, final

import msgspec

from lucy_core.capturing.facts import Fact
from lucy_core.records.keys import node_of, source_of
from lucy_core.records.record import Block


class Row(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One block's entry in the arrivals, or one fact's: these have no lines."""

    position: int
    node: str
    """The key of a source: of a node that has but one, its name (`records.keys`)."""
    offset: int
    bytes: int
    lines: int
    arrived_ns: int
    blocked_ns: int = 0
    torn: bool = False
    torn_lines: int = 0
    duplicates: int = 0
    lost: int = 0
    overlong: int = 0
    """The length of a line that is too long to be given: only its last bytes are this row's own, the others stand
    before them in its log, in parts."""
    begun: int = 0
    """Where in the log such a line begins."""
    fact: Fact | None = None
    reason: str = ""
    """Of a fact: why, how, or which."""
    part: int = 0
    """Of a part: its bytes."""
    since_ns: int = 0
    """Of an absence: when it began."""
    peers: int = 0
    """Of a refusal: how many were turned away since the last such row of the node."""
    filtered_lines: int = 0
    filtered_bytes: int = 0
    filtered_events: int = 0


def block_of(row: Row, data: bytes) -> Block:
    """Make the block of a row of its lines, or of the beginning of one that is too long to be given."""
    torn = row.torn or row.overlong > 0
    node, source = node_of(row.node), source_of(row.node)
    return Block(node, row.position, row.offset, row.lines, row.arrived_ns, data, torn, row.overlong, source)


@final
class Window(NamedTuple):
    """The bytes of a row's block where they were read: in memory that is used again, for the next row."""

    row: Row
    data: bytes | bytearray
    start: int
    stop: int

    @classmethod
    def of(cls, row: Row, data: bytes) -> "Window":
        """Make one of bytes that are the block's own."""
        return cls(row, data, 0, len(data))

    @classmethod
    def over(cls, block: Block) -> "Window":
        """Make one of a block that somebody has."""
        row = Row(
            block.position,
            block.key,
            block.offset,
            len(block.data),
            block.lines,
            block.arrived_ns,
            torn=block.torn,
            overlong=block.overlong,
        )
        return cls.of(row, block.data)

    def block(self, *, bare: bool = False) -> Block:
        """Make the block; a bare one lacks its bytes."""
        return block_of(self.row, b"" if bare else bytes(memoryview(self.data)[self.start : self.stop]))
