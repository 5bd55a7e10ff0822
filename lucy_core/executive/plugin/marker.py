"""What a marker `lucy` asks for. Each mistake in it is one sentence, and is found before anything is started."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from lucy_core.arguments import switch_of
from lucy_core.engine import Engine
from lucy_core.engine.contract import engine_of
from lucy_core.errors import ArgumentError, TopologyError, UnknownEngineError, UnknownNameError, UsageError, shown
from lucy_core.network.vocabulary import Topology, topology_of

ACCEPTED = ("topology", "engine", "options", "start")
EXAMPLE = "@pytest.mark.lucy(topology=…)"
SEVERAL = "@pytest.mark.parametrize('lucy_engine', ['process', pytest.param('another', marks=…)])"
THE_MARKERS = "engine={} in the marker lucy"
THE_FIXTURES = "lucy_engine={}"


class Wanted(msgspec.Struct, frozen=True):
    """The network that a test wants, and what deploys it."""

    topology: Topology
    engine: Engine
    options: dict[str, str]
    start: bool = True
    """Whether its nodes are started before the test begins."""


def wanted(marker: pytest.Mark | None, *, command_line: str | None, parameter: Any) -> Wanted:
    """Read a marker.

    Args:
        marker: the test's.
        command_line: the engine of `--lucy-engine`, which wins.
        parameter: what the fixture `lucy_engine` says, or None.

    Raises:
        UsageError: naming what is wrong.
    """
    arguments = check_marker(marker)
    if parameter is not None and "engine" in arguments:
        both = f"{THE_MARKERS.format(shown(arguments['engine']))} and {THE_FIXTURES.format(shown(parameter))}"
        raise UsageError(both, "both say what deploys the network: leave one of them out")
    marked = check_engine(arguments.get("engine", "process"), THE_MARKERS)
    engine = marked if parameter is None else check_engine(parameter, THE_FIXTURES)
    return Wanted(
        topology=check_topology(arguments["topology"]),
        engine=engine if command_line is None else check_engine(command_line, "--lucy-engine={}"),
        options=check_options(arguments.get("options", {})),
        start=check_start(arguments.get("start", True)),
    )


def check_marker(marker: pytest.Mark | None) -> Mapping[str, Any]:
    """Return the marker's arguments, which are the right ones; what they hold isn't looked at.

    Raises:
        UsageError: it isn't there, or its arguments are not the right ones.
    """
    if marker is None:
        raise UsageError(
            "a test that uses a network of Lucy's", f"says which, and this one has no marker: add {EXAMPLE}"
        )
    if marker.args:
        raise UsageError("the marker lucy", f"takes keyword arguments alone: {EXAMPLE}")
    for name in marker.kwargs:
        if name not in ACCEPTED:
            raise UnknownNameError("argument of the marker lucy", name, ACCEPTED)
    if "topology" not in marker.kwargs:
        raise UsageError("the marker lucy", f"lacks its topology: {EXAMPLE}")
    return marker.kwargs


def check_topology(topology: Any) -> Topology:  # whatever stands in the marker
    """Return the topology, made by its function if it is one.

    Raises:
        UsageError: it is none.
    """
    if callable(topology) and not isinstance(topology, type) and not hasattr(topology, "network_spec"):
        topology = topology()
    try:
        return topology_of(topology)
    except TopologyError:
        where = f"topology={shown(topology)} in the marker lucy"
        raise UsageError(where, "is neither a topology, a NetworkSpec nor a function") from None


def check_engine(engine: Any, where: str) -> Engine:  # whatever stands there
    """Return the engine.

    Raises:
        UsageError: there is none of that name, or it is none, or it is several.
    """
    if isinstance(engine, list | tuple | set | frozenset):  # what pytest.param gives is a tuple too
        raise UsageError(where.format(shown(engine)), f"is not one engine: for a test on several, {SEVERAL}")
    try:
        return engine_of(engine)
    except UnknownEngineError as error:
        raise UsageError(where.format(shown(engine)), f": {error}") from None
    except ArgumentError as error:
        raise UsageError(where.format(shown(engine)), error.reason) from None


def check_options(options: Any) -> dict[str, str]:  # whatever stands in the marker
    """Return the options.

    Raises:
        UsageError: they are not text by text.
    """
    if not isinstance(options, Mapping) or not all(isinstance(each, str) for pair in options.items() for each in pair):
        raise UsageError(f"options={shown(options)} in the marker lucy", "is not a mapping of text to text")
    return dict(options)


def check_start(start: Any) -> bool:  # whatever stands in the marker
    """Return whether nodes are to be started.

    Raises:
        UsageError: it is neither True nor False.
    """
    try:
        return switch_of(start, "start")
    except (ArgumentError, TypeError):
        where = f"start={shown(start)} in the marker lucy"
        raise UsageError(where, "is neither True nor False: with False no node is started before the test") from None
