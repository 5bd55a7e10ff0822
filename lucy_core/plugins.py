"""What other distributions bring along: found by entry point, in one way for every kind."""

import enum
from importlib.metadata import entry_points
from typing import TypeVar

from lucy_core.errors import BrokenPluginError, UnknownEngineError, UnknownNameError

T = TypeVar("T")


class Kind(enum.StrEnum):
    """What can be brought along; the value is the group of its entry points."""

    ENGINE = "lucy.engines"
    VOCABULARY = "lucy.vocabularies"
    FORMAT = "lucy.formats"
    SCENARIO = "lucy.scenarios"
    COLLECTOR = "lucy.garbage"

    @property
    def word(self) -> str:
        """What people call one of the kind."""
        return self.name.lower()


def plugin_names(kind: Kind) -> list[str]:
    """List what is installed of a kind, each name once; nothing is imported."""
    return sorted({point.name for point in entry_points(group=kind)})


def is_registered(group: str, name: str) -> bool:
    """Tell whether something is installed under a name in any group of entry points, one of pytest's for example."""
    return bool(entry_points(group=group, name=name))


def load_plugin(kind: Kind, name: str, contract: type[T]) -> T:
    """Import what is installed under a name; where an entry point leads to a class, make one, without arguments.

    Args:
        kind: where to look.
        name: the entry point's.
        contract: a class to derive from, or a protocol that can be checked at run time.

    Raises:
        UnknownNameError: none is called so; of engines, an UnknownEngineError.
        BrokenPluginError: it can't be imported or made, or lacks part of the contract.
    """
    point = next((point for point in entry_points(group=kind) if point.name == name), None)
    if point is None:
        if kind is Kind.ENGINE:
            raise UnknownEngineError(name, plugin_names(kind))
        raise UnknownNameError(kind.word, name, plugin_names(kind))
    try:
        loaded = point.load()
        found: T = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:
        raise BrokenPluginError(kind.word, name, point.value, f"{type(error).__name__}: {error}") from error
    if not isinstance(found, contract):
        wanted = ", ".join(part for part in dir(contract) if not part.startswith("_") and not hasattr(found, part))
        lacks = f"it lacks {wanted}" if wanted else f"it doesn't derive from {contract.__name__}"
        raise BrokenPluginError(kind.word, name, point.value, lacks)
    return found
