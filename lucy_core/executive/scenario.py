"""Scenarios: tests that are run by name. Found by entry point, so that the executive knows no vocabulary."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from lucy_core.network.network import Network
from lucy_core.network.vocabulary import Topology
from lucy_core.plugins import Kind, load_plugin


@runtime_checkable
class Scenario(Protocol):
    """A test with a name: the network that it wants, and what it does with it."""

    @property
    def name(self) -> str:
        """The word that selects it on the command line."""
        ...

    @property
    def summary(self) -> str:
        """What it shows, in a sentence for `lucy list`."""
        ...

    def topology(self, options: Mapping[str, str]) -> Topology:
        """Describe the network. `options` are the run's: `seed`, and what else was given.

        One that is given and that neither this asks for, nor the topology, nor the engine, is refused as unknown.

        Raises:
            TopologyError: an option makes no sense.
        """
        ...

    async def run(self, network: Network) -> None:
        """Test the network, whose nodes have all been started."""
        ...


def load_scenario(name: str) -> Scenario:
    """Import an installed scenario; raises as `load_plugin` does."""
    return load_plugin(Kind.SCENARIO, name, Scenario)  # type: ignore[type-abstract]  # a protocol is what is meant
