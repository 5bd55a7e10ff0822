"""Several streams as one, and one stream for several.

RxPY's own are of no use here: its `merge` gives its parts to a scheduler, which subscribes to them when lines have gone
by, and locks every item; its `share` lets what one subscriber's operator raises hide the item from the others.
"""

from collections.abc import Sequence
from typing import Any, final

import msgspec
from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from lucy_core.aio import as_exception
from lucy_core.delivery.feed import Feed
from lucy_core.delivery.streams.opening import current, opening
from lucy_core.delivery.streams.watching import Watch
from lucy_core.errors import OperatorError


@final
class Merged(Observable[Any]):
    """All items of several chains as they are delivered, which for those of one run is the order of arrival."""

    def __init__(self, parts: "Sequence[Observable[Any]]") -> None:
        super().__init__()
        self._parts = tuple(parts)

    def _subscribe_core(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        held = CompositeDisposable()
        left = len(self._parts)

        def failed(error: Exception) -> None:
            held.dispose()
            observer.on_error(error)

        def completed() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                observer.on_completed()

        if not self._parts:
            observer.on_completed()
        for part in self._parts:
            if not held.is_disposed:
                held.add(part.subscribe(observer.on_next, failed, completed, scheduler=scheduler))
        return held


@final
class Shared(Observable[Any]):
    """One subscription to a chain, for as long as somebody subscribes to this."""

    def __init__(self, source: "Observable[Any]", feed: Feed | None, name: str) -> None:
        super().__init__()
        self._source = source
        self._feed = feed
        self._name = name
        self._takers: tuple[tuple[abc.ObserverBase[Any], int], ...] = ()
        """Who gets the items, each with the position from which on lines count for it."""
        self._given = 0
        """The position before which all lines stand whose items were given."""
        self._held: abc.DisposableBase | None = None
        self._watch = Watch()
        """Has the roots' handles, for limits of those who come later."""

    def _subscribe_core(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        walk = current()
        is_first = not self._takers
        start = 0 if is_first or walk.start is None or not self._watch.follows else walk.start
        if start and self._given > start:
            reason = (
                f"items came between its call (at position {start:,}) and its await that the others who share it have "
                "had; await it at once, or take first() of the stream that is shared"
            )
            raise OperatorError(f"{self._name}.share().first()", reason)
        if walk.own and not is_first and self._gives_records_of_nodes:
            raise self._without_own()
        self._takers += ((observer, start),)
        if is_first:
            self._watch = Watch()
            self._given = 0
            with opening(msgspec.structs.replace(walk, watches=(*walk.watches, self._watch), own=False)):
                held = self._source.subscribe(self._next, self._failed, self._completed, scheduler=scheduler)
            if walk.own and self._gives_records_of_nodes:
                held.dispose()
                self._takers = ()
                raise self._without_own()
            if self._takers:
                self._held = held
            else:
                held.dispose()
        else:
            for watch in walk.watches:
                watch.follows |= self._watch.follows
                watch.handles += self._watch.handles
                watch.interests += self._watch.interests
        return Disposable(lambda: self._leave(observer))

    @property
    def _gives_records_of_nodes(self) -> bool:
        return any(interest.but is not None for interest, _ in self._watch.interests)

    def _without_own(self) -> OperatorError:
        reason = (
            "the records that are shared are the nodes', and Lucy's own would come to all who share them; take "
            "events(…) of that type, or records(nodes=…) that names 'lucy'"
        )
        return OperatorError(f"{self._name}.share().of(…) of a type of Lucy's", reason)

    def _leave(self, observer: abc.ObserverBase[Any]) -> None:
        if any(each is observer for each, _ in self._takers):
            self._takers = tuple(taker for taker in self._takers if taker[0] is not observer)
            if not self._takers and self._held is not None:
                held, self._held = self._held, None
                held.dispose()

    def _next(self, item: Any) -> None:
        before = None if self._feed is None else self._feed.arriving_before
        if before is not None:
            self._given = max(self._given, before)
        for each, start in self._takers:
            if before is not None and before <= start:
                continue  # it arrived before the call of `first`, and is delivered after it
            try:
                each.on_next(item)
            except BaseException as error:
                if self._feed is None:
                    raise
                self._leave(each)
                self._feed.report(self._name, error)
                each.on_error(as_exception(error))

    def _failed(self, error: Exception) -> None:
        takers, self._takers, self._held = self._takers, (), None
        for each, _ in takers:
            each.on_error(error)

    def _completed(self) -> None:
        takers, self._takers, self._held = self._takers, (), None
        for each, _ in takers:
            each.on_completed()
