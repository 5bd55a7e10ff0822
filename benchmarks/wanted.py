"""What may be wanted of a node, as plans that deal it out: nothing, events known in several ways, or all records."""

from collections.abc import Iterator
from typing import Any

import msgspec

import lucy_core as lucy
from benchmarks.layout import EVENT_ID, Layout
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.plan import Plan
from lucy_core.delivery.interests.subscription import Group, Subscription
from lucy_core.formats.choice import log_format
from lucy_core.recording.rows import Window
from lucy_core.records.event import EventType, event_type
from lucy_core.records.record import Block

NOBODY, BY_ID, BY_MESSAGE, BY_PATTERN, BY_FIELDS, RECORDS = WAYS = (
    "nobody", "an id", "a message", "a pattern", "fields", "all records",
)  # fmt: skip
"""What is wanted of a node."""
NODE = "node"


def plan_for(layout: Layout, way: str) -> Plan | None:
    """Make the plan of what is wanted in one way; None where the layout can't tell events so."""
    interests = _interests(layout, way)
    if interests is None:
        return None
    subscriptions = [Subscription(each, _drop, _drop, 0, Group()) for each in interests]
    return Plan(NODE, log_format(layout.format, **layout.options), subscriptions)


def dealt(plan: Plan, block: Block) -> Iterator[list[Any]]:
    """Give what of a block each who wants something gets."""
    return (items for _, items in plan.deal(plan.read(Window.over(block))).shares)


def _drop(_: object) -> None:
    """Take what is delivered, which here is nothing."""


def _interests(layout: Layout, way: str) -> list[Interest] | None:
    match way:
        case "nobody":
            return []
        case "all records":
            return [Interest()]
        case "an id" if layout.has_ids:
            kind = _kind(ids=EVENT_ID)
        case "a message":
            kind = _kind(message=layout.message)
        case "a pattern":
            kind = _kind(pattern=layout.pattern)
        case "fields" if layout.fields:
            kind = _kind(fields=layout.fields)
        case _:
            return None
    return [Interest(event_types=[kind])]


def _kind(**known_by: Any) -> EventType[Any]:
    made = msgspec.defstruct("Banned", [("peer", str, "")], frozen=True)
    return event_type(lucy.event(**known_by)(made))
