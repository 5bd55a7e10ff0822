"""Ctrl-C, TERM and HUP: the first ends the test, the second ends Lucy.

The handler is Python's own and not the loop's, so that the second signal works while a test blocks the loop. It may
run between any two byte codes, and so does the least: the first time it rings an eventfd that a task waits on.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

import anyio

from lucy_core.judging.result import ExitCode

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = b"\x1b[?25h"


@final
class Interruption:
    """Listens for signals while it is open. The scopes given to it are cancelled by the first."""

    def __init__(self, ending: str = "ending the test and taking the network down") -> None:
        """Say `ending` at the first signal."""
        self._ending = ending
        self.signal: signal.Signals | None = None
        self._scopes: list[anyio.CancelScope] = []
        self._bell = -1

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over, all but those that the caller has ignored (`nohup`)."""
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._heard) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._bell)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None:
            # Everything that Lucy started learns of her end by the end of its socket, and ends too.
            restore = SHOW_CURSOR if os.isatty(1) else b""
            os.write(2, b"\nlucy: interrupted again: leaving at once; the nodes are taken down without me\n")
            os.write(1, restore)
            os._exit(ExitCode.INTERRUPTED)
        self.signal = signal.Signals(number)
        os.eventfd_write(self._bell, 1)

    async def watch(self) -> None:
        """Cancel the scopes at the first signal."""
        await anyio.wait_readable(self._bell)
        assert self.signal is not None  # noqa: S101  # set before the bell rang
        sys.stderr.write(f"\nlucy: {self.signal.name}: {self._ending}; once more to leave at once\n")
        for scope in self._scopes:
            scope.cancel()

    @contextmanager
    def scope(self, *, shield: bool = False) -> Iterator[anyio.CancelScope]:
        """Run a block that the first signal cancels, at its first checkpoint if that has come already."""
        with anyio.CancelScope(shield=shield) as scope:
            if self.signal is not None:
                scope.cancel()
            self._scopes.append(scope)
            try:
                yield scope
            finally:
                self._scopes.remove(scope)
