"""What the roots of a chain find while it is being subscribed: RxPY can't hand it up to them.

Subscribing walks up the chain, from its end to its roots, in one turn of the loop. Whatever an end or an operator wants
of the roots above it stands in a context variable for the length of that walk.
"""

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import msgspec
from reactivex import Observable, abc

from lucy_core.delivery.interests.subscription import Group
from lucy_core.delivery.streams.watching import Watch


@final
class Opening(msgspec.Struct, frozen=True):
    """One walk up."""

    group: Group
    """In which the roots subscribe, so that what they read back comes in the order of arrival."""
    start: int | None = None
    """From where roots start that name no place themselves; None where that is the subscription."""
    watches: tuple[Watch, ...] = ()
    """Who wants to know what came, to explain why nothing more did."""
    is_later: bool = True
    """Whether it is of a chain that is subscribed later, because of an item or of the time."""
    opened_ns: int | None = None
    """When the outermost limit that is opened on this walk began to count."""
    own: bool = False
    """Whether a step chooses one of Lucy's own types among records, which else are those of nodes."""

    def again(self) -> "Opening":
        """Return what holds for a chain that is subscribed later on behalf of this one, such as those of `flat_map`."""
        return Opening(Group(self.group.gate), None, self.watches, own=self.own)


_opening: contextvars.ContextVar[Opening | None] = contextvars.ContextVar("lucy_opening", default=None)


def current() -> Opening:
    """Return the walk under way, or a plain one where somebody subscribes to a bare observable."""
    return _opening.get() or Opening(Group())


def under_way() -> Opening | None:
    """Return the walk under way, if there is one."""
    return _opening.get()


@contextmanager
def opening(walk: Opening | None) -> Iterator[None]:
    """Have this walk be found."""
    token = _opening.set(walk)
    try:
        yield
    finally:
        _opening.reset(token)


def subscribe_within(
    observable: "Observable[Any]", observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None
) -> abc.DisposableBase:
    """Subscribe for an observer that is one of RxPY's already, or does what those do: a hop less for each item."""
    return observable._subscribe_core(observer, scheduler)  # noqa: SLF001  # `subscribe` would wrap it once more


@final
class Opened(Observable[Any]):
    """A chain that is subscribed with a walk of its own."""

    def __init__(self, observable: "Observable[Any]", walk: Callable[[], Opening]) -> None:
        super().__init__()
        self._observable = observable
        self._walk = walk

    def _subscribe_core(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        with opening(self._walk()):
            return subscribe_within(self._observable, observer, scheduler)


def since(observable: "Observable[Any]", start: int) -> Opened:
    """Have the roots of a chain start at a position, where they name none themselves."""
    return Opened(observable, lambda: msgspec.structs.replace(current(), start=start))


@final
class Promised(Observable[Any]):
    """A chain that was made to be subscribed to."""

    def __init__(self, observable: "Observable[Any]", keep: Callable[[], None]) -> None:
        super().__init__()
        self._observable = observable
        self.keep = keep
        """Say that it is."""

    def _subscribe_core(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        self.keep()
        return subscribe_within(self._observable, observer, scheduler)
