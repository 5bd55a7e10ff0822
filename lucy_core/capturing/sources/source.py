"""What every source of lines is: something to wait on and to read from without waiting.

Standard library only: the capture process loads it, and a pipeline without a recording reads the very same objects.

A source says for itself what the drain has to know: whether it holds bytes that no descriptor tells of, whether its
writer has changed, whether its peer is still a stranger, and how much one drain may take. So one loop serves them all,
and a new kind of source is one class here beside it.
"""

import errno
from abc import ABC, abstractmethod
from collections.abc import Sequence

from lucy_core.capturing.framing import Chunk, Framer

READ_BYTES = 1 << 18
"""The most that one read takes into memory of its own; what a FIFO's takes stands in `buffer.py`. 256 KiB measured best
of 64 KiB, 256 KiB and 1 MiB (4.4, 5.4 and 1.5 GB/s through a 1 MiB pipe): larger ones pay for fresh memory, and the cap
keeps one loud node from starving the rest."""
NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
"""What the kernel says where none is left: for this process, or for the machine."""


class Source(ABC):
    """The bytes of one writer, or of one after the other, with the unfinished line of each. Not thread-safe.

    The methods with a body are for those few sources that have something to say there.
    """

    __slots__ = ("framer",)

    tells_its_end = False
    """Whether it knows by itself when its writer has ended, so that until then an unfinished line is left alone."""
    is_plain = True
    """Whether it has nothing to say but its bytes: neither `unread`, nor torn lines, doubts, or whom to tell what is
    `kept`. Asked once a chunk, where each call costs a microsecond: what it finds is out of the processor's cache."""
    unread = False
    """Whether there may be more to read of which the descriptor doesn't tell."""
    blocked = False
    """Whether, at the last read, the writer may have been waiting for us."""

    def __init__(self) -> None:
        self.framer = Framer()
        """Holds the unfinished line of the writer that was read last."""

    @abstractmethod
    def fileno(self) -> int:
        """Return the descriptor that becomes readable when `read` or `accept` has something to do."""

    @abstractmethod
    def read(self) -> Chunk | None:
        """Take what is there: bytes, `b""` for nothing now, None once the writer has ended for good.

        They may be a view of memory that the next `read` of any source overwrites.

        Raises:
            OSError: the source failed; it is to be closed. Where no descriptor is left, it is to be tried again.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the descriptor. Again is no error."""

    def accept(self) -> "Source | None":
        """Return a further source that has appeared (a connection), if any.

        Raises:
            OSError: as for `read`.
        """
        return None

    def left(self) -> int:
        """Tell how many bytes it may hold by now, at most: what one drain takes."""
        return 0

    @property
    def silent_since(self) -> float | None:
        """Since when, on the monotonic clock, its peer has owed the word that makes it known; None if it owes none."""
        return None

    def look(self) -> None:  # noqa: B027  # most have nothing to look at
        """Look whether anything has happened of which the descriptor doesn't tell. Called at times, and before a drain.

        Raises:
            OSError: as for `read`.
        """

    def unfinished(self) -> Sequence[Framer]:
        """Return the framers of all lines that are unfinished now, in the order in which to give them up."""
        return (self.framer,)

    def take_torn(self) -> Sequence[Framer]:
        """Return the framers of unfinished lines that nobody will finish, since their writer changed; each once."""
        return ()

    def take_doubts(self) -> Sequence[str]:
        """Return why lines may be missing by now, a reason each; each once."""
        return ()

    def kept(self) -> None:  # noqa: B027  # most have nobody to tell
        """Hear that all that was read is in the log by now, but for what waits in framers."""
