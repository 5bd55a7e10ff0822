"""What a test asked of a node stands in the journal, with what came of it: commands, and calls of a node's own API."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, final

import msgspec

from lucy_core.delivery.pipeline import Pipeline
from lucy_core.engine import Engine
from lucy_core.judging.conditions.condition import AnyCondition
from lucy_core.judging.scopes import Scopes
from lucy_core.records.journal import CommandEnded, CommandStarted, bounded
from lucy_core.records.record import Mark


class NodeHome(Protocol):
    """What a node needs of the network that it is part of."""

    engine: Engine
    pipeline: Pipeline
    scopes: Scopes

    def journal(self, event: msgspec.Struct) -> None:
        """Write one of Lucy's own events into the run's order."""
        ...

    async def journaled(self, event: msgspec.Struct) -> int:
        """Write one, and return its place there, once it has it."""
        ...

    async def wait_for(self, condition: AnyCondition, *, since: Mark | int | None, hard: float | None) -> object:
        """Wait until a condition is decided; see `Observed.wait_for`."""
        ...


@final
class Answer:
    """What came of something that a node was asked: whoever asks puts it here, for the journal."""

    __slots__ = ("beyond", "value")

    def __init__(self) -> None:
        self.value: object = None
        self.beyond = 0
        """How much more there was, and was left out already."""


@contextmanager
def asking(home: NodeHome, node: str, command: str, arguments: object) -> Iterator[Answer]:
    """Write that a node is asked something, and at the block's end what came of it. Both texts are bounded."""
    scopes = home.scopes
    number, answer = scopes.new_id(), Answer()
    text, left_out = bounded(arguments)
    home.journal(CommandStarted(number, node, command, text, left_out, scopes.current()))
    began = time.monotonic()
    outcome = "done"
    try:
        with scopes.entered(number):
            yield answer
    except BaseException as error:
        cancelled = isinstance(error, asyncio.CancelledError)
        outcome, answer.value = ("cancelled", None) if cancelled else (type(error).__name__, str(error))
        raise
    finally:
        text, left_out = bounded(answer.value)
        seconds = round(time.monotonic() - began, 6)
        home.journal(CommandEnded(number, node, command, seconds, outcome, text, left_out + answer.beyond))
