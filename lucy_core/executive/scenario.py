"""Scenarios: tests that are run by name. Found by entry point, so that the executive knows no vocabulary."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, runtime_checkable

from lucy_core.errors import UsageError
from lucy_core.network.network import Network
from lucy_core.network.vocabulary import Topology
from lucy_core.words import unknown

GROUP = "lucy.scenarios"


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
        """Describe the network. `options` are the run's: `seed`, `mina_image`, and what else was given.

        One that is given and that neither this asks for, nor the topology, nor the engine, is refused as unknown.

        Raises:
            TopologyError: an option makes no sense.
        """
        ...

    async def run(self, network: Network) -> None:
        """Test the network, whose nodes have all been started."""
        ...


def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def scenario_names() -> list[str]:
    """List the installed scenarios."""
    return sorted(_registered())


def load_scenario(name: str) -> Scenario:
    """Import an installed scenario.

    Raises:
        UsageError: none is called so, with those that are.
    """
    points = _registered()
    if name not in points:
        raise UsageError(unknown("scenario", name, points))
    scenario = points[name].load()
    if not isinstance(scenario, Scenario):
        message = f"{points[name].value} is registered as a scenario, but lacks part of the contract"
        raise TypeError(message)
    return scenario
