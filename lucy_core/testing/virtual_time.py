"""Virtual time: an event loop on which an hour of waiting takes no time, and always the same.

When nothing is left to do but to wait for a timer, the loop's clock jumps to that timer. So a stream that must be
silent for a minute, or a soft timeout of an hour, is tested in a millisecond and to the digit::

    async def test_nothing_within_a_minute():
        with pytest.raises(TimeoutError):
            await lucy.from_items().first(within=60)

    run(test_nothing_within_a_minute)

or, for every test of a module under anyio's plugin, a fixture `anyio_backend` that returns `BACKEND`.

For tests whose events all come from inside the loop. What comes from outside, a process or a thread, takes real time,
and the clock doesn't wait for it.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, final

import anyio

T = TypeVar("T")


@final
class _Jump(selectors.DefaultSelector):
    """Tells the clock how long the loop was ready to wait, in place of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # no timer at all: only the world outside can wake the loop
            return list(super().select(None))
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now += timeout
        return list(ready)


@final
class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0 and jumps from timer to timer."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        # A timer is due if its time comes before the next tick. After a virtual year a tick of the real clock is too
        # small to be added to the time at all, and no timer would ever be due.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._jump.now

    def jump(self, seconds: float) -> None:
        """Let time pass while nothing runs, as a program does that blocks its loop."""
        self._jump.now += seconds


BACKEND: tuple[str, dict[str, Any]] = ("asyncio", {"loop_factory": VirtualTimeLoop})
"""What a fixture `anyio_backend` returns to have its tests run in virtual time."""


def run(main: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """Run an async function in virtual time, as `anyio.run` does in real time."""
    backend, options = BACKEND
    return anyio.run(main, *arguments, backend=backend, backend_options=options)
