"""Scenarios: tests that are run by name. Found by entry point, so that the executive knows no vocabulary."""

import difflib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, runtime_checkable

from lucy_core.errors import UsageError
from lucy_core.network import Network
from lucy_core.vocabulary import Topology

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


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that there is no such thing, what was perhaps meant, and what there is."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3)
    meant = f"; did you mean {' or '.join(close)}?" if close else ""
    return f"no {kind} is called {name!r}{meant} (there is: {', '.join(known) or 'none'})"
