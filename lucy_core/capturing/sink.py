"""The contract of whoever takes what is drained: the recording, or a delivery without one. Bare."""

from typing import Protocol

from lucy_core.capturing.facts import Fact
from lucy_core.capturing.framing import LongLine, Pieces


class Sink(Protocol):
    """Where blocks and facts go, in the order in which they arrive."""

    @property
    def position(self) -> int:
        """The position of the next line."""
        ...

    def begin(self, node: str) -> None:
        """Make ready for a node's lines.

        Raises:
            OSError: that can't be done.
        """
        ...

    def owns(self, path: str) -> bool:
        """Tell whether a file would grow by being read, since what is read goes there."""
        ...

    def put(self, node: str, pieces: Pieces, lines: int, *, torn: bool = False, **counted: int) -> None:
        """Take a block of whole lines, or of one that is torn, with what its row is to count beside them."""
        ...

    def begin_long(self, node: str) -> LongLine:
        """Begin a line that is too long to wait in memory."""
        ...

    def put_part(self, node: str, pieces: Pieces, size: int) -> None:
        """Take the next bytes of such a line."""
        ...

    def end_long(self, node: str, line: LongLine, end: bytes, *, torn: bool) -> None:
        """Take the last bytes of such a line, which `line` has counted."""
        ...

    def add_blocked(self, node: str, waited_ns: int) -> None:
        """Account for a time in which a node may have waited for us."""
        ...

    def note(self, fact: Fact, node: str, **more: str | int) -> None:
        """Take a fact at this place."""
        ...
