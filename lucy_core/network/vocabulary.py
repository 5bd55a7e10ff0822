"""What a kind of network means, and what a test asks for in its words.

Events, state, units of time and configuration of a kind of network are its vocabulary's. A project writes its own and
registers it in the entry-point group `lucy.vocabularies`.
"""

from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

import msgspec

from lucy_core.engine import NetworkSpec
from lucy_core.errors import TopologyError, shown
from lucy_core.judging.conditions.condition import StateFold
from lucy_core.plugins import Kind, load_plugin


@runtime_checkable
class Vocabulary(Protocol):
    """What a kind of network means: its events, and the picture that they add up to."""

    @property
    def name(self) -> str:
        """Its name, as registered in the entry-point group `lucy.vocabularies`."""
        ...

    @property
    def event_types(self) -> tuple[type, ...]:
        """The events that its state is folded from."""
        ...

    def new_state(self) -> StateFold:
        """Return the picture of a network of which nothing is known."""
        ...

    def summary(self, state: Any, node: str) -> str:  # each vocabulary has its own state
        """Say in a few words where a node stands."""
        ...


def load_vocabulary(name: str) -> Vocabulary:
    """Import an installed vocabulary; raises as `load_plugin` does."""
    return load_plugin(Kind.VOCABULARY, name, Vocabulary)  # type: ignore[type-abstract]  # a protocol is what is meant


class Topology(Protocol):
    """What a test asks for: something that can be described to an engine, in a vocabulary."""

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What the network's lines mean, or None for a network of plain programs."""
        ...

    def network_spec(self, options: Mapping[str, str]) -> NetworkSpec:
        """Describe the network. `options` are the run's: `seed`, and what else was given."""
        ...


class PlainTopology(msgspec.Struct, frozen=True):
    """A network that is described already; of plain programs, unless a vocabulary says what they log."""

    spec: NetworkSpec
    vocabulary: Vocabulary | None = None
    """Without one, lines are records, and events are what the test declares."""

    def network_spec(self, options: Mapping[str, str]) -> NetworkSpec:  # noqa: ARG002  # nothing to choose
        return self.spec


def topology_of(given: object) -> Topology:
    """Take what a test asks for: a topology, or the spec of a network of plain programs.

    Raises:
        TopologyError: it is neither.
    """
    if isinstance(given, NetworkSpec):
        return PlainTopology(given)
    if not isinstance(given, type) and callable(getattr(given, "network_spec", None)) and hasattr(given, "vocabulary"):
        return cast("Topology", given)
    advice = "call it" if callable(given) else "give a NetworkSpec, or a vocabulary's topology"
    raise TopologyError(f"topology={shown(given)}", f"describes no network; {advice}")
