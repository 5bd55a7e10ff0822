"""Where a run is shown while it goes on. An outlet looks at the network and never changes it.

The live view, JSON lines and plain lines are outlets; a run has any number of them.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from lucy_core.events import event_type
from lucy_core.journal import ENGINE_EVENTS, FAULT_EVENTS, LIFE_EVENTS, TEST_EVENTS
from lucy_core.network import Network
from lucy_core.pipeline.hub import Interest
from lucy_core.records import Event


class Outlet(Protocol):
    """Shows a run."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Be open from before the deployment to after the teardown."""
        ...

    def watch(self, network: Network) -> None:
        """Take note that there is a network now; none of its nodes has been started."""
        ...

    def test_over(self) -> None:
        """Take note that the test is over; somebody may be asked something next, and the teardown follows."""
        ...


def own_and_vocabulary(network: Network) -> Interest:
    """Name all of Lucy's own events, and the vocabulary's."""
    vocabulary = network.vocabulary.event_types if network.vocabulary else ()
    kinds = (*LIFE_EVENTS, *FAULT_EVENTS, *TEST_EVENTS, *ENGINE_EVENTS, *vocabulary)
    return Interest(event_types=[event_type(kind) for kind in dict.fromkeys(kinds)])


def own() -> Interest:
    """Name all of Lucy's own events."""
    return Interest(event_types=[event_type(kind) for kind in (*LIFE_EVENTS, *FAULT_EVENTS, *TEST_EVENTS)])


def follow(network: Network, interest: Interest, sink: Callable[[list[Event[Any]]], None]) -> None:
    """Have the events that are named, from the run's beginning."""
    network.pipeline.subscribe(interest, sink, lambda _: None, since=0)
