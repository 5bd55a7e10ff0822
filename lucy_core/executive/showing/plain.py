"""A run as plain lines for people, on pipes and dumb terminals."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final

from lucy_core.executive.showing.views import follow, own
from lucy_core.executive.showing.voice import Voice
from lucy_core.judging.fold import fault_in_words, life_in_words
from lucy_core.judging.result import said
from lucy_core.network.network import Network
from lucy_core.records.journal import (
    LIFE_EVENTS,
    FaultEffective,
    FaultReverted,
    RunError,
    SectionEnded,
    SectionStarted,
    WaitEnded,
    WaitStarted,
)
from lucy_core.records.record import Event


def _limits(wait: WaitStarted) -> str:
    limits = {"soft": wait.soft, "hard": wait.hard, "lasting": wait.lasting}
    return ", ".join(f"{name} {seconds:g} s" for name, seconds in limits.items() if seconds is not None) or "no limit"


def in_words(data: Any) -> str | None:  # any of the journal's events
    """Say what happened in the test, or None where a line would say too much."""
    match data:
        case SectionStarted():
            return f"section {data.name}"
        case SectionEnded():
            return f"section {data.name}: {data.outcome} after {data.seconds:.1f} s"
        case WaitStarted():
            return f"  waiting for {data.description} ({_limits(data)})"
        case WaitEnded():
            return f"  {data.outcome} after {data.seconds:.1f} s: {data.description}"
        case FaultEffective() | FaultReverted():
            return f"  {fault_in_words(data)}"
        case RunError():
            return f"  {data.severity} error: {said(data.severity, data.kind, data.message)}"
        case _ if isinstance(data, LIFE_EVENTS):
            return f"  {data.node} {life_in_words(data)}"  # type: ignore[attr-defined]  # each names its node
        case _:
            return None


@final
class PlainLines:
    """The view."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._began_ns = time.time_ns()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing has to run."""
        yield

    def watch(self, network: Network) -> None:
        follow(network, own(), self._take, self._voice.failed)

    def test_over(self) -> None:
        """Nothing changes."""

    def _take(self, events: list[Event[Any]]) -> None:
        for event in events:
            if text := in_words(event.data):
                self._voice.say_in_passing(f"{(event.arrived_ns - self._began_ns) / 1e9:7.1f} s  {text}")
