"""Which events a condition is about: whose missing or unreadable lines have a part in its verdict."""

from typing import Any

import msgspec

from lucy_core.judging.conditions.combinations import Combination, EachNode
from lucy_core.judging.conditions.condition import AnyCondition
from lucy_core.judging.conditions.logged import Logged
from lucy_core.judging.conditions.readiness import Readiness
from lucy_core.judging.conditions.sightings import Never, Quiet, Seen, Sighting


def sightings_of(condition: AnyCondition) -> tuple[Sighting[Any], ...] | None:
    """Return which events a condition is about; None where it may go by anything."""
    match condition:
        case Seen() | Never() | Quiet():
            return (condition.of,)
        case Logged():
            return (Sighting(kinds=condition.event_types, nodes=condition.nodes),)
        case Readiness():
            return sightings_of(condition.part)
        case EachNode():
            found = sightings_of(condition.part)
            if found is None or not condition.nodes:
                return found
            return tuple(msgspec.structs.replace(each, nodes=condition.nodes) for each in found)
        case Combination():
            parts = [sightings_of(part) for part in condition.parts]
            return None if None in parts else tuple(each for part in parts for each in part or ())
        case _:
            return None
