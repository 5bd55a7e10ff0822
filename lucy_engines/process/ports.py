"""Free ports, really probed, and kept from other runs for as long as this one lasts.

A port is taken by binding a unix socket to a name with its number in it, and by binding the port itself once. The name
is abstract: it is in no directory, where somebody else might have planted something, and the kernel gives it back
however the process ends. Like ports, such names are told apart by network namespace alone, so that they mean the same
to all users and containers that share one. The other bind sees everybody who isn't Lucy. The range lies below the one
from which the kernel picks ports for outgoing connections, which would pass the probe and be gone a moment later.
"""

import errno
import random
import socket
from typing import final

from lucy_core.errors import PortsTakenError

FIRST, LAST = 20_000, 31_999
NAME = "\0lucy-port-{port}"


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
        self._locks: dict[int, socket.socket] = {}

    def take(self) -> int:
        """Return a port that nobody has.

        Raises:
            PortsTakenError: all are taken.
        """
        start = random.randrange(FIRST, LAST + 1)  # noqa: S311  # to keep runs apart, not secret
        for offset in range(LAST - FIRST + 1):
            port = FIRST + (start - FIRST + offset) % (LAST - FIRST + 1)
            if port not in self._locks and self._lock(port):
                return port
        raise PortsTakenError(FIRST, LAST)

    def _lock(self, port: int) -> bool:
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            lock.bind(NAME.format(port=port))
            if is_free(port):
                self._locks[port] = lock
                return True
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        finally:
            if port not in self._locks:
                lock.close()
        return False

    def give_back(self, port: int) -> None:
        """Let others have a port that was taken."""
        self._locks.pop(port).close()

    def close(self) -> None:
        """Give all ports back. Again is no error."""
        while self._locks:
            self._locks.popitem()[1].close()
