"""Collects what the journal tells: waits with their limits, and each node's life. Sans-IO: events in, values out."""

from collections import defaultdict
from typing import Any, final

import msgspec

from lucy_core.executive.result import NodeResult, RunResult, WaitResult, ledger_notes, ledger_rows
from lucy_core.journal import (
    FaultEffective,
    FaultReverted,
    NodeExited,
    NodePaused,
    NodeResumed,
    NodeStarted,
    NodeStopped,
    SectionEnded,
    SectionStarted,
    WaitEnded,
    WaitStarted,
)
from lucy_core.network import Network
from lucy_core.records import Event


@final
class Chronicle:
    """The journal of one run, as it is needed at the end."""

    def __init__(self, began_ns: int) -> None:
        self._began_ns = began_ns
        self._sections: list[str] = []
        self._open_waits: dict[str, list[tuple[float, str, WaitStarted]]] = defaultdict(list)
        self._life: dict[str, list[str]] = defaultdict(list)
        self._states: dict[str, str] = {}
        self.waits: list[WaitResult] = []

    def at(self, event: Event[Any]) -> float:
        """Return when an event arrived, in seconds since the run began."""
        return max(0.0, (event.arrived_ns - self._began_ns) / 1e9)

    def take(self, events: list[Event[Any]]) -> None:
        """Take in what came."""
        for event in events:
            self._take(event, event.data)

    def _take(self, event: Event[Any], data: Any) -> None:  # any of the journal's events
        match data:
            case SectionStarted():
                self._sections.append(data.name)
            case SectionEnded():
                self._sections = self._sections[:-1]
            case WaitStarted():
                self._open_waits[data.description].append((self.at(event), " / ".join(self._sections), data))
            case WaitEnded() if self._open_waits[data.description]:
                started, section, limits = self._open_waits[data.description].pop(0)
                self.waits.append(
                    WaitResult(
                        description=data.description,
                        section=section,
                        started=started,
                        seconds=data.seconds,
                        soft=limits.soft,
                        hard=limits.hard,
                        outcome=data.outcome,
                    )
                )
            case NodeStarted() | NodeStopped() | NodeExited() | NodePaused() | NodeResumed():
                self._life[data.node].append(f"{life_in_words(data)} at {self.at(event):.1f} s")
            case FaultEffective() | FaultReverted():
                for node in data.fault.members:
                    self._life[node].append(f"{fault_in_words(data)} at {self.at(event):.1f} s")

    def test_over(self, network: Network) -> None:
        """Remember where the nodes stand, before they are all taken down."""
        self._states = {node.name: node.state for node in network}

    def complete(self, result: RunResult, network: Network) -> RunResult:
        """Add to a result all that is known of its network."""
        return msgspec.structs.replace(
            result,
            sections=tuple(sorted(network.judgement.sections, key=lambda each: each.started)),
            waits=tuple(self.waits),
            errors=tuple(network.judgement.errors),
            nodes=tuple(
                NodeResult(
                    node.name, node.role, self._states.get(node.name, node.state), tuple(self._life.get(node.name, ()))
                )
                for node in network
            ),
            ledger=ledger_rows(network.ledger),
            ledger_notes=ledger_notes(network.ledger),
        )


def fault_in_words(data: FaultEffective | FaultReverted) -> str:
    """Say what became of a fault."""
    return f"{data.fault} {'in effect' if isinstance(data, FaultEffective) else data.reason}"


def life_in_words(data: Any) -> str:  # any of LIFE_EVENTS
    """Say what happened to a node, without its name."""
    match data:
        case NodeStarted():
            return "started with fresh state" if data.fresh_state else "started"
        case NodeStopped():
            return "killed" if data.killed else "stopped"
        case NodePaused():
            return "paused"
        case NodeResumed():
            return "resumed"
        case NodeExited():
            return data.how if data.expected else f"{data.how} BY ITSELF"
        case _:
            return repr(data)
