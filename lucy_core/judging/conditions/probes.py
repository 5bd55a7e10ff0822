"""Conditions about what a node answers rather than what it logs: an open port, a healthy HTTP endpoint.

Somebody has to ask, again and again, for as long as the wait lasts (`prober`); what the node answered goes into the
journal, and the condition judges those events like any other. So a recording answers for a node that is gone.
"""

from collections.abc import Awaitable, Callable
from typing import Any, final

import msgspec

from lucy_core.arguments import count_of, readable_text, text_of, tuple_of
from lucy_core.errors import ArgumentError
from lucy_core.judging.conditions.condition import AnyCondition, Machine, Progress, Start, Timeless
from lucy_core.judging.durations import Duration, seconds
from lucy_core.records.journal import Probed
from lucy_core.records.record import Event


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a node: whether a port takes connections and, with a path, what it answers to HTTP GET."""

    node: str
    port: str
    path: str | None = None
    statuses: tuple[int, int] = (200, 299)
    """The first and the last status that count as well."""

    def __str__(self) -> str:
        return f"{self.node}.{self.port}" + (self.path or "")


Prober = Callable[[Probe], Awaitable[Probed]]
"""Asks a node once. Never raises for what the node does."""


def probes_of(condition: AnyCondition) -> tuple[Probe, ...]:
    """Return what has to be asked while a condition is awaited."""
    found: tuple[Probe, ...] = getattr(condition, "probes", ())
    return found


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """A node answers. Made by `port_open` and `http_ok`."""

    probe: Probe
    name: str
    soft: Duration = seconds(15)
    hard: Duration = seconds(30)

    must_hold = False
    needs_all_lines = False
    event_types: tuple[type, ...] = (Probed,)

    @property
    def description(self) -> str:
        if self.probe.path is None:
            return f"port {self.probe.port} of {self.probe.node} to take connections"
        first, last = self.probe.statuses
        return f"{self.probe.path} on port {self.probe.port} of {self.probe.node} to answer {first} to {last}"

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.probe.node,)

    @property
    def probes(self) -> tuple[Probe, ...]:
        return (self.probe,)

    def begin(self, start: Start) -> Machine:  # noqa: ARG002  # what was before does not count
        return _Answered(str(self.probe))


def _pair(value: Any, name: str) -> tuple[int, int]:
    found: tuple[int, ...] = tuple_of(count_of, "(200, 299)")(value, name)
    if len(found) != 2:
        raise ArgumentError(name, value, "is no pair; give the first and the last status, like (200, 299)")
    return found[0], found[1]


def port_open(node: str, port: str) -> Answers:
    """Await that a port of a node's spec takes TCP connections."""
    text_of(node, "node")
    text_of(port, "port")
    return Answers(name="port_open", probe=Probe(node=node, port=port))


def http_ok(node: str, port: str, path: str = "/", *, statuses: tuple[int, int] = (200, 299)) -> Answers:
    """Await that a node answers HTTP GET of `path` with a status from the first of `statuses` to the last."""
    text_of(node, "node")
    text_of(port, "port")
    first, last = _pair(statuses, "statuses")
    if not readable_text(path, "path").startswith("/"):
        raise ArgumentError("path", path, "doesn't begin with '/', as paths of HTTP do")
    return Answers(name="http_ok", probe=Probe(node=node, port=port, path=path, statuses=(first, last)))


@final
class _Answered(Timeless):
    """Judges `Answers`."""

    def __init__(self, probe: str) -> None:
        self._probe = probe
        self.evidence: tuple[Event[Any], ...] = ()

    @property
    def progress(self) -> Progress:
        if self.evidence and self.evidence[-1].data.ok:
            return Progress(have=1, need=1)
        last = self.evidence[-1].data.answer if self.evidence else "nobody has asked yet"
        return Progress(have=0, need=1, missing=(f"{self._probe}: {last}",))

    def step(self, event: Event[Any]) -> None:
        if isinstance(event.data, Probed) and event.data.probe == self._probe:
            self.evidence = (event,)
