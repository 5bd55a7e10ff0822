"""What a subscription names: nodes, types of events, a level, a kind of line."""

from collections.abc import Iterable
from typing import Any, final

from lucy_core.arguments import instance_of, names_of, optional, switch_of, text_of, tuple_of
from lucy_core.records.event import EventType
from lucy_core.records.record import Event
from lucy_core.records.severity import Severity

LEVEL = optional(instance_of(Severity, "a severity, such as lucy.Severity.ERROR"))
"""What may be given as `level=`."""
_TYPES = optional(tuple_of(instance_of(EventType, "an event type"), "(event_type(NodeStarted),)"))
_KIND = instance_of(type, "a type, such as Malformed")


@final
class Interest:
    """What a subscription names. None means any.

    `nodes` are those whose lines are meant; of Lucy's own events, which stand in the journal alone, those that are
    about these nodes. Where it names none, `but` is one whose lines aren't meant all the same. `event_types` gives
    typed events; without it every record is wanted, from `level` up, and with `unleveled` each other one too of which
    nobody can say how much it matters. `kind` asks for lines as they are (`Line`), for those that can't be read
    (`Malformed`: with types, those that name one of them), or that are no events (`Undecodable`) instead. With
    `arrivals` an event with an `Arrived` comes before those of each block, whatever its lines say.
    """

    __slots__ = ("arrivals", "but", "event_types", "kind", "level", "named", "nodes", "unleveled")

    def __init__(
        self,
        *,
        nodes: Iterable[str] | None = None,
        event_types: Iterable[EventType[Any]] | None = None,
        level: Severity | None = None,
        unleveled: bool = False,
        kind: type = Event,
        arrivals: bool = False,
        but: str | None = None,
    ) -> None:
        self.named = None if nodes is None else frozenset(names_of(nodes, "nodes"))
        """The nodes that it names."""
        self.event_types: tuple[EventType[Any], ...] | None = _TYPES(event_types, "event_types")
        """Of which types; None for records, or for what `kind` says."""
        self.level: Severity | None = LEVEL(level, "level")
        """From which severity up."""
        self.unleveled = switch_of(unleveled, "unleveled")
        """Whether records come below that level too of which nobody can say how much they matter."""
        self.kind: type = _KIND(kind, "kind")
        """What comes: `Event`, `Line`, `Malformed` or `Undecodable`."""
        self.arrivals = switch_of(arrivals, "arrivals")
        """Whether each block is told, whatever its lines say."""
        self.but = None if but is None or nodes is not None else text_of(but, "but")
        """Whose lines aren't meant where it names no nodes."""
        self.nodes = self._writers()
        """Whose lines have to be looked at for it, which for Lucy's own events are the journal's."""

    def _writers(self) -> frozenset[str] | None:
        if not self.event_types:
            return self.named
        own = frozenset(kind.writer for kind in self.event_types if kind.writer is not None)
        if self.arrivals or any(kind.writer is None for kind in self.event_types):
            return None if self.named is None else self.named | own
        return own

    def names(self, node: str) -> bool:
        """Tell whether a node's own lines are meant."""
        return node != self.but if self.named is None else node in self.named

    def wants(self, node: str) -> bool:
        """Tell whether a node's lines have to be looked at for it."""
        return node != self.but if self.nodes is None else node in self.nodes

    def types_in(self, node: str) -> tuple[EventType[Any], ...]:
        """Return those of the wished types of which a line of this node can be."""
        return tuple(
            kind
            for kind in self.event_types or ()
            if (self.names(node) if kind.writer is None else kind.writer == node)
        )

    @property
    def name(self) -> str:
        """What it is called where somebody is told of it."""
        return ", ".join(kind.name for kind in self.event_types or ()) or "records"
