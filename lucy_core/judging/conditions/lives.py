"""The nodes' lives: the picture of a network whose lines mean nothing to Lucy."""

from typing import Any, Self, final

import msgspec

from lucy_core.records.journal import NodeExited, NodePaused, NodeResumed, NodeStarted, NodeStartFailed, NodeStopped
from lucy_core.records.record import Event


class Life(msgspec.Struct, frozen=True):
    """Where one node stands."""

    running: bool = False
    """Whether its process is there, paused or not."""
    paused: bool = False
    """Whether it is frozen."""
    died: str | None = None
    """How it ended by itself unexpectedly, if it did and hasn't been started since."""

    @property
    def acts(self) -> bool:
        """Whether it runs and isn't paused: only such a node can do what is awaited."""
        return self.running and not self.paused


@final
class Lives:
    """Folded from Lucy's own events alone."""

    def __init__(self) -> None:
        self.nodes: dict[str, Life] = {}
        """By name, of those that were heard of."""

    def copy(self) -> Self:
        twin = type(self)()
        twin.nodes = dict(self.nodes)
        return twin

    def of(self, node: str) -> Life:
        """Return a node's life; of one that was never heard of, that it isn't there."""
        return self.nodes.get(node, Life())

    def apply(self, event: Event[Any]) -> None:
        match event.data:
            case NodeStarted():
                self.nodes[event.data.node] = Life(running=True)
            case NodeStopped() | NodeStartFailed():
                self.nodes[event.data.node] = Life()
            case NodeExited():
                self.nodes[event.data.node] = Life(died=None if event.data.expected else event.data.how)
            case NodePaused():
                self.nodes[event.data.node] = Life(running=True, paused=True)
            case NodeResumed():
                self.nodes[event.data.node] = Life(running=True)
