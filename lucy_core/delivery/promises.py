"""What somebody was going to await: a `first()` whose `await` is forgotten checks nothing, and looks as if it did.

Python warns of coroutines that nobody awaits, some time later, and of other awaitables never. Here each is written down
with the line that made it, until it is awaited or subscribed to; what is left when the block ends is told there.
"""

import sys
from collections.abc import Callable
from pathlib import PurePath
from typing import final

from lucy_core.errors import ForgottenAwaitError

TOLD = 5
"""How many are named; a loop may have made thousands."""


@final
class Promises:
    """The awaitables of one run that nobody has awaited yet."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[object, str] = {}

    def made(self, what: str) -> Callable[[], None]:
        """Write down that something was made to be awaited; return what takes that back, once it is or more often."""
        key = object()
        self._made[key] = f"{what}, made at {_place()}"

        def keep() -> None:
            self._made.pop(key, None)

        return keep

    def forgotten(self) -> ForgottenAwaitError | None:
        """Return what to say of those that were never awaited, and forget them; None where there are none."""
        left, self._made = tuple(self._made.values()), {}
        return ForgottenAwaitError(left[:TOLD], len(left)) if left else None

    def check(self) -> None:
        """Tell of those that were never awaited. Raises ForgottenAwaitError."""
        if (error := self.forgotten()) is not None:
            raise error


def _place() -> str:
    """Find the line of whoever isn't Lucy."""
    frame = sys._getframe(2)  # noqa: SLF001  # what `traceback` reads, without reading files
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "lucy_core":
        frame = frame.f_back
    return f"{PurePath(frame.f_code.co_filename).name}:{frame.f_lineno}"
