"""What every source of lines is: something to wait on and read from without waiting.

Standard library only: the capture process reads these with epoll, and a pipeline without a recording reads the very
same objects on the test's own loop.
"""

from typing import Protocol

READ_BYTES = 1 << 18
"""The most that one read takes. 256 KiB measured best of 64 KiB, 256 KiB and 1 MiB (4.4, 5.4 and 1.5 GB/s through a 1
MiB pipe): larger ones pay for fresh memory, and the cap keeps one loud node from starving the rest."""


class Source(Protocol):
    """Bytes of one writer. Not thread-safe."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when `read` has something to do."""
        ...

    def read(self) -> bytes | None:
        """Take what is there: bytes, `b""` for nothing now, None once the writer has ended for good.

        Raises:
            OSError: the source failed; it is to be closed.
        """
        ...

    def holds(self) -> int:
        """Tell how many bytes it may hold by now, at most."""
        ...

    def accept(self) -> "Source | None":
        """Return a further source that has appeared (a connection), if any."""
        ...

    def blocked(self) -> bool:
        """Tell whether, at the last read, the writer may have been waiting for us."""
        ...

    def close(self) -> None:
        """Close the descriptor. Again is no error."""
        ...
