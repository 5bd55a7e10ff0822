"""Free ports, really probed, and kept from other runs for as long as this one lasts.

A port is taken by locking a file of its number in a directory that all runs of a user share, and by binding it once.
The lock is the kernel's, so it ends with the process however that ends; the bind sees everybody who isn't Lucy. The
range lies below the one from which the kernel picks ports for outgoing connections: one of those would pass the probe
and be gone a moment later.
"""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import final

from lucy_core.errors import DeployError

FIRST, LAST = 20_000, 31_999


def lock_directory() -> Path:
    """Return where the locks of this user's ports are, making it if need be."""
    place = Path(tempfile.gettempdir()) / f"lucy-ports-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def is_free(port: int) -> bool:
    """Try whether the port can be bound on loopback and on all addresses."""
    for host in ("127.0.0.1", "0.0.0.0"):  # noqa: S104  # a probe; nothing listens
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


@final
class Ports:
    """The ports of one run. Close it to give them back."""

    def __init__(self) -> None:
        self._directory = lock_directory()
        self._locks: dict[int, int] = {}

    def take(self) -> int:
        """Return a port that nobody has.

        Raises:
            DeployError: all are taken.
        """
        start = random.randrange(FIRST, LAST + 1)  # noqa: S311  # to keep runs apart, not secret
        for offset in range(LAST - FIRST + 1):
            port = FIRST + (start - FIRST + offset) % (LAST - FIRST + 1)
            if port not in self._locks and self._lock(port):
                return port
        message = f"no port from {FIRST} to {LAST} is free; end other runs, or look at what listens there"
        raise DeployError(message)

    def _lock(self, port: int) -> bool:
        fd = os.open(self._directory / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it before us may have removed the file: then ours is a lock that nobody else sees.
            if os.fstat(fd).st_nlink and is_free(port):
                self._locks[port] = fd
                return True
        except BlockingIOError:
            pass
        os.close(fd)
        return False

    def close(self) -> None:
        """Give all ports back. Again is no error."""
        while self._locks:
            port, fd = self._locks.popitem()
            with contextlib.suppress(FileNotFoundError):
                (self._directory / str(port)).unlink()
            os.close(fd)
