"""Where a run is shown while it goes on. A view looks at the network and never changes it.

The live view, JSON lines and plain lines are views; a run has any number of them. A view that fails, by a slip of
its own, a library's or a vocabulary's, shows nothing more: `Sheltered` keeps it from the run.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, final

import anyio

from lucy_core.delivery.interests.interest import Interest
from lucy_core.executive.showing.voice import Failure
from lucy_core.network.network import Network
from lucy_core.records.event import event_type
from lucy_core.records.journal import ENGINE_EVENTS, FAULT_EVENTS, LIFE_EVENTS, TEST_EVENTS
from lucy_core.records.record import Event


class View(Protocol):
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


Told = Callable[[Failure], None]
"""Hears of what could not be shown any more."""


def follow(network: Network, interest: Interest, sink: Callable[[list[Event[Any]]], None], told: Told) -> None:
    """Have the events that are named, from the run's beginning, up to an error of `sink`, which is told."""
    network.pipeline.subscribe(interest, sheltered(sink, told), lambda _: None, since=0)


def sheltered(sink: Callable[[list[Event[Any]]], None], told: Told) -> Callable[[list[Event[Any]]], None]:
    """Return a sink that takes nothing more after its first error. Raised, that would be held against the run."""
    has_failed = False

    def take(events: list[Event[Any]]) -> None:
        nonlocal has_failed
        if not has_failed:
            try:
                sink(events)
            except Exception as error:  # noqa: BLE001  # told
                has_failed = True
                told(Failure("showing events", error))

    return take


@final
class Sheltered:
    """Keeps a view's errors from the run: they are told. It runs in a task of its own, so that it may fail alone."""

    def __init__(self, view: View, told: Told) -> None:
        """Have `told` know of the first error, and of what failed by it."""
        self._view = view
        self._told = told
        self._has_failed = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have the view open for the block, if it can be."""
        is_open, is_over = anyio.Event(), anyio.Event()

        async def keep() -> None:
            try:
                async with self._view.running():
                    is_open.set()
                    await is_over.wait()
            except Exception as error:  # noqa: BLE001  # told
                self._fail(error)
            finally:
                is_open.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep)
            await is_open.wait()
            try:
                yield
            finally:
                is_over.set()

    def watch(self, network: Network) -> None:
        self._try(lambda: self._view.watch(network))

    def test_over(self) -> None:
        self._try(self._view.test_over)

    def _try(self, call: Callable[[], None]) -> None:
        if not self._has_failed:
            try:
                call()
            except Exception as error:  # noqa: BLE001  # told
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._told(Failure(type(self._view).__name__, error))
