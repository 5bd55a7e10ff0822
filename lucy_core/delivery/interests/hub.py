"""The index of subscriptions: which plan stands for a node. Sans-IO."""

from collections.abc import Iterable
from typing import final

from lucy_core.delivery.interests.plan import Plan
from lucy_core.delivery.interests.subscription import Subscription
from lucy_core.formats.choice import Formats
from lucy_core.records.keys import node_of


@final
class Hub:
    """Subscriptions, and for each node the plan made of them, once it is asked for."""

    __slots__ = ("_formats", "_plans", "_subscriptions")

    def __init__(self, formats: Formats, subscriptions: Iterable[Subscription] = ()) -> None:
        self._formats = formats
        self._subscriptions = dict.fromkeys(subscriptions)
        self._plans: dict[str, Plan] = {}

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __contains__(self, subscription: Subscription) -> bool:
        return subscription in self._subscriptions

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        return tuple(self._subscriptions)

    def add(self, subscription: Subscription) -> None:
        """Take one in, from the next plan on."""
        self._subscriptions[subscription] = None
        self._forget_plans(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Leave one out, from the next plan on. Again is no error."""
        if subscription in self._subscriptions:
            del self._subscriptions[subscription]
            self._forget_plans(subscription)

    def _forget_plans(self, subscription: Subscription) -> None:
        # Only of the nodes that it wants: among 200 nodes, who subscribes to one costs the others no plan.
        for key in [key for key in self._plans if subscription.interest.wants(node_of(key))]:
            del self._plans[key]

    def plan(self, key: str) -> Plan:
        """Return the plan of one of a node's sources."""
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = Plan(node_of(key), self._formats.of(key), self._subscriptions)
        return plan

    def forget_plans(self, node: str) -> None:
        """Make a node's plans anew: its lines are read in another format from now on."""
        for key in [key for key in self._plans if node_of(key) == node]:
            del self._plans[key]
