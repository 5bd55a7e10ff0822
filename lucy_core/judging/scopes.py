"""Where in a test something happens: the section, wait or command that it belongs to, told apart by task.

A stack that a run owns would be everybody's: of two tasks at once, each would file its errors under what the other
opened last. A context variable is a task's own, and a task that is started inside of a section inherits it.

One variable serves all runs, since such a variable lives as long as the process. What it holds is a chain, innermost
first, in which each run finds its own links: a test that has two networks open keeps them apart.
"""

import contextlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, final


class _Link(NamedTuple):
    scopes: "Scopes"
    number: int
    outer: "_Link | None"


_INNERMOST: ContextVar[_Link | None] = ContextVar("lucy_scope", default=None)


@final
class Scopes:
    """Numbers what happens in one run, and knows what the running task is inside of."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new_id(self) -> int:
        """Return a number that nothing else of this run has, from 1."""
        return next(self._numbers)

    def current(self) -> int:
        """Return the innermost scope of this task in this run, or 0 outside of all."""
        link = _INNERMOST.get()
        while link is not None and link.scopes is not self:
            link = link.outer
        return 0 if link is None else link.number

    @contextmanager
    def entered(self, number: int) -> Iterator[None]:
        """Be inside of a scope for the block, in this task and in those started there."""
        token = _INNERMOST.set(_Link(self, number, _INNERMOST.get()))
        try:
            yield
        finally:
            # A generator may be finished in another context than it was begun in: that one never was inside.
            with contextlib.suppress(ValueError):
                _INNERMOST.reset(token)
