"""A run on a terminal: who stands where, what is awaited, what happened last.

Drawn by a task, eight times a second, from what is true then; an event costs an entry in a short deque and no drawing.
`picture` makes the drawing and has no clock, terminal or task of its own.
"""

import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, final

import anyio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lucy_core.executive.showing.plain import in_words
from lucy_core.executive.showing.views import Told, follow, own_and_vocabulary
from lucy_core.judging.result import OpenWait
from lucy_core.network.network import Network
from lucy_core.records.journal import JOURNAL
from lucy_core.records.record import Event
from lucy_core.visible import visible

PERIOD = 1 / 8
LAST_EVENTS = 10
RATE_SPAN = 1.0
STYLES = {"running": "green", "paused": "yellow", "stopped": "red", "destroyed": "dim"}


@final
class Rates:
    """Lines per second of each node, over about the last second. Sans-IO."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[str, int]]] = deque()

    def look(self, now: float, lines: Mapping[str, int]) -> dict[str, float]:
        """Take the counts as they are now, and return the rates."""
        self._looks.append((now, dict(lines)))
        while len(self._looks) > 2 and now - self._looks[1][0] >= RATE_SPAN:
            self._looks.popleft()
        then, before = self._looks[0]
        span = now - then
        return {node: (count - before.get(node, 0)) / span if span else 0.0 for node, count in lines.items()}


def picture(
    network: Network | None, title: str, *, elapsed: float, rates: Mapping[str, float], last: list[str]
) -> RenderableType:
    """Draw the run as it is."""
    head = Text(visible(f"{title}  {elapsed:.0f} s"), style="bold")
    if network is None:
        return Group(head, Text("deploying the network"))
    return Group(
        head,
        Text(visible(doing(network.judgement.open_sections, network.judgement.open_waits, network.judgement.elapsed))),
        _nodes(network, rates),
        _totals(network),
        *(Text(f"  {visible(line)}", style="dim", no_wrap=True, overflow="ellipsis") for line in last),
    )


def doing(sections: Sequence[str], waits: Sequence[OpenWait], now: float) -> str:
    """Say what the test does now, and how long it may go on: of several waits, what the longest-running is."""
    if not waits:
        return ", ".join(sections) or "between sections"
    wait = waits[0]
    waited = now - wait.started
    times = []
    if wait.soft is not None:
        times.append(f"soft in {wait.soft - waited:.0f} s" if waited < wait.soft else "past its soft timeout")
    if wait.hard is not None:
        times.append(f"hard in {max(0, wait.hard - waited):.0f} s")
    prefix = f"{wait.section}: " if wait.section else ""
    more = f" and {len(waits) - 1} more" if len(waits) > 1 else ""
    limits = f" ({', '.join(times)})" if times else ""
    return f"{prefix}waiting for {wait.description}{more}, {waited:.0f} s{limits}"


def _nodes(network: Network, rates: Mapping[str, float]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("node", "state", "where it stands"):
        table.add_column(name, no_wrap=True)
    for name in ("lines/s", "lines", "lag"):
        table.add_column(name, justify="right", no_wrap=True)
    for node in network:
        account = network.ledger.of(node.name)
        table.add_row(
            node.name,
            Text(node.state, style=STYLES.get(node.state, "")),
            Text(visible(_summary(network, node.name)), overflow="ellipsis"),
            f"{rates.get(node.name, 0.0):,.0f}",
            f"{account.lines:,}",
            f"{account.lag_ns / 1e6:,.0f} ms",
        )
    return table


def _summary(network: Network, node: str) -> str:
    if network.vocabulary is None:
        return ""
    try:
        return network.vocabulary.summary(network.state, node)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # shown in its place: a vocabulary's slip must not end the run
        return f"({type(error).__name__}: {error})"


def _totals(network: Network) -> Text:
    ledger = network.ledger
    bad = sum(account.malformed + account.torn + account.undecodable for account in ledger.nodes.values())
    errors = len(network.judgement.errors)
    text = f"{ledger.lines:,} lines, {ledger.bytes / 1e6:,.1f} MB captured, {bad:,} malformed, {errors} errors"
    if not ledger.complete:
        return Text(f"{text}, LOG INCOMPLETE", style="red")
    return Text(text, style="red" if errors else "yellow" if bad else "")


@final
class LiveView:
    """The view."""

    def __init__(self, title: str, console: Console, told: Told) -> None:
        self._title = title
        self._console = console
        self._told = told
        self._network: Network | None = None
        self._rates = Rates()
        self._last: deque[str] = deque(maxlen=LAST_EVENTS)
        self._began = time.monotonic()
        self._began_ns = time.time_ns()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._drawing: anyio.CancelScope | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Draw until the test is over."""
        with self._live:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._draw)
                try:
                    yield
                finally:
                    self._stop_drawing()

    def _stop_drawing(self) -> None:
        if self._drawing is not None:
            self._drawing.cancel()

    def watch(self, network: Network) -> None:
        self._network = network
        follow(network, own_and_vocabulary(network), self._take, self._told)

    def test_over(self) -> None:
        self._stop_drawing()
        self._live.stop()

    def _take(self, events: list[Event[Any]]) -> None:
        for event in events[-LAST_EVENTS:]:
            at = (event.arrived_ns - self._began_ns) / 1e9
            self._last.append(f"{at:7.1f} s  {in_words(event.data) or f'{event.node}: {event.data}'}"[:300])

    async def _draw(self) -> None:
        with anyio.CancelScope() as self._drawing:
            while True:
                self._live.update(self.now(), refresh=True)
                await anyio.sleep(PERIOD)

    def now(self) -> RenderableType:
        moment = time.monotonic()
        nodes = [*self._network.nodes, JOURNAL] if self._network else []
        ledger = self._network.ledger if self._network else None
        rates = self._rates.look(moment, {node: ledger.of(node).lines for node in nodes} if ledger else {})
        room = max(0, self._console.height - len(nodes) - 6)
        last = list(self._last)[-room:] if room else []
        return picture(self._network, self._title, elapsed=moment - self._began, rates=rates, last=last)
