"""How a signal ends a test: the scopes around it are cancelled, and its network is taken down."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

import anyio

from lucy_core.executive.signals import Signals


@final
class Interruption:
    """Cancels, at the first signal, the scopes that were given to it."""

    def __init__(
        self, signals: Signals, say: Callable[[str], None], ending: str = "ending the test and taking the network down"
    ) -> None:
        """Say `ending` at the first signal."""
        self._signals = signals
        self._say = say
        self._ending = ending
        self._is_over = False
        self._scopes: list[anyio.CancelScope] = []

    @property
    def name(self) -> str | None:
        """The signal that ended the test, if one did."""
        first = self._signals.first
        return None if first is None or self._is_over else first.name

    def over(self, code: int) -> None:
        """Take note that the test has its verdict: a signal that comes now ends the showing of it alone."""
        if self._signals.first is None:
            self._is_over = True
        self._signals.over(code)

    async def watch(self) -> None:
        await anyio.wait_readable(self._signals.fileno())
        assert self._signals.first is not None  # noqa: S101  # set before the bell rang
        if not self._is_over:
            self._say(f"\nlucy: {self._signals.first.name}: {self._ending}; once more to leave at once")
        for scope in self._scopes:
            scope.cancel()

    @contextmanager
    def scope(self, *, shield: bool = False) -> Iterator[anyio.CancelScope]:
        """Run a block that the first signal cancels, at its first checkpoint if that has come already."""
        with anyio.CancelScope(shield=shield) as scope:
            if self._signals.first is not None:
                scope.cancel()
            self._scopes.append(scope)
            try:
                yield scope
            finally:
                if scope in self._scopes:
                    self._scopes.remove(scope)

    def cancels(self, scope: anyio.CancelScope) -> None:
        """Have the first signal cancel a scope that was entered before, from now on."""
        self._scopes.append(scope)

    def spare(self, scope: anyio.CancelScope) -> None:
        """Let no signal cancel a scope any more."""
        self._scopes.remove(scope)
