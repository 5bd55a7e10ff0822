"""Ctrl-C, TERM and HUP, from the first instructions of the command to its last. Standard library only: see `entry`.

The first signal is noted: who runs a test hears of it by a descriptor, and ends the test; who does anything else asks
to be interrupted where he stands. The second ends Lucy at once. Once a verdict is there, no signal changes it: the
first ends the showing, the second the process, with the verdict's own exit code.

The handler is Python's own and not a loop's, so that the second signal works while a test blocks the loop. It may run
between any two byte codes, and so does as little as it can.
"""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
"""`ExitCode.INTERRUPTED`, which takes a quarter of a second to import."""
SHOW_CURSOR = b"\x1b[?25h"
FAREWELL = b"\nlucy: interrupted again: leaving at once; the nodes are taken down without me\n"


class Signals:
    """Hears of signals, from when it is made to the end of the process: all but those that its caller has ignored."""

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        """The signal that ends the test, if one came."""
        self.heard = 0
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._code: int | None = None
        self._heard_before_verdict = 0
        self._is_interrupting = False
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._note)

    def fileno(self) -> int:
        """Return a descriptor that can be read from once a signal has come."""
        return self._bell

    def over(self, code: int) -> None:
        """Take note of the verdict's exit code: no signal changes it any more. The first call counts."""
        if self._code is None:
            self._code = code
            self._heard_before_verdict = self.heard

    @property
    def is_hurried(self) -> bool:
        """Whether a signal has come since the verdict: nobody wants to wait for a reader."""
        return self._code is not None and self.heard > self._heard_before_verdict

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise KeyboardInterrupt in the block at a signal, one that came before it included."""
        self._is_interrupting = True
        try:
            if self.heard:
                raise KeyboardInterrupt
            yield
        finally:
            self._is_interrupting = False

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.heard += 1
        if self.heard > 1:
            leave(INTERRUPTED if self._code is None else self._code)
        self.first = signal.Signals(number)
        os.eventfd_write(self._bell, 1)
        if self._is_interrupting:
            raise KeyboardInterrupt


def leave(code: int) -> None:
    """End the process at once. Everything that Lucy started learns of that, and ends too. Waits for no reader."""
    _write_now(2, FAREWELL)
    if os.isatty(1):
        _write_now(1, SHOW_CURSOR)
    os._exit(code)


def _write_now(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(OSError):
        room = select.poll()
        room.register(descriptor, select.POLLOUT)
        if room.poll(0):
            os.write(descriptor, data)
