"""Streams: the typed face over reactivex.

A `Stream[T]` is a real `reactivex.Observable` underneath (`.observable`, `.pipe` takes RxPY's operators) with repairs.
Its types are inferred, where RxPY's fluent `filter`, `take` and `merge` give `Any`. What its operators do, they do on
the loop: RxPY's default is a thread per timer, and even what is due now comes a turn late. Several streams of one run
give their items in the order of arrival, live, from the past and on replay. And `async for` over it has bounded memory:
the iterator closes a gate when it holds enough, its subscription is set aside, and it reads on from the recording when
there is room, so that a slow reader slows nobody and loses nothing.

Everything happens on one loop thread, synchronously, a batch at a time. No operator here makes a task.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from typing import Any, Generic, NoReturn, TypeVar, final, overload

import anyio
import anyio.lowlevel
import msgspec
import reactivex
from reactivex import Observable, abc, operators
from reactivex.internal.utils import NotSet

from lucy_core.answers import refuse_async, refuse_awaitable
from lucy_core.arguments import FOR_EVER, count_of, each_of, function_of, instance_of, optional, seconds_of
from lucy_core.delivery.feed import Feed
from lucy_core.delivery.interests.subscription import Group
from lucy_core.delivery.streams.ends import End, Items, end_of_run
from lucy_core.delivery.streams.limits import Limited
from lucy_core.delivery.streams.opening import Opened, Opening, Promised, current, opening, since, subscribe_within
from lucy_core.delivery.streams.several import Merged, Shared
from lucy_core.errors import ArgumentError, EventDefinitionError, OperatorError, StreamEmptyError
from lucy_core.records.event import EventType, event_type
from lucy_core.records.journal import JOURNAL
from lucy_core.records.record import Event, Record
from lucy_core.words import called

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
U = TypeVar("U")

AITER_ITEMS = 1024
"""How many items an async iterator holds before its subscription is set aside. A batch under way still comes whole."""


class Stream(Generic[T_co]):
    """Items over time, of one type. Subscribing starts it; each subscriber has its own place in the run.

    Callbacks run on the loop, in the turn in which the line is delivered. One that raises is cut off, told so by its
    `on_error` and reported, and the others miss nothing. What is no `Exception`, such as `SystemExit`,
    `KeyboardInterrupt`, `pytest.fail` and `pytest.skip`, ends the run with that very error, at once; a `CancelledError`
    or `GeneratorExit` of nobody's does so as the cause of a `CallbackError`.

    A stream completes when the run, or the one node that it is about, has ended. Whoever *waits* for an item, by
    `await stream.first()` or `async for`, also hears of what ends the run: it raises the same error as `wait_for`.
    """

    __slots__ = ("_feed", "_name", "_observable")

    def __init__(self, observable: "Observable[T_co]", name: str = "stream", feed: Feed | None = None) -> None:
        """Make one of an observable.

        Args:
            observable: gives the items.
            name: what errors call it.
            feed: the run that it is about, which hears of callbacks that raise, and whose end it hears of.
        """
        self._observable = observable
        self._name = name
        self._feed = feed

    def __repr__(self) -> str:
        return f"<{self._name}>"

    @property
    def observable(self) -> "Observable[T_co]":
        """The observable underneath, for libraries that want one; what they do with it, Lucy doesn't watch over.

        Give its `subscribe` a scheduler of the loop: without one, RxPY's operators that take time make threads.
        """
        return self._observable

    def _then(self, observable: "Observable[U]", step: str) -> "Stream[U]":
        return Stream(observable, f"{self._name}.{step}", self._feed)

    def filter(self, predicate: Callable[[T_co], bool]) -> "Stream[T_co]":
        """Keep the items for which `predicate` holds.

        Raises:
            TypeError: it is async. One that returns something to await all the same fails the stream.
        """
        refuse_async(predicate, "filter")
        function_of(predicate, "predicate")
        name = f"filter({called(predicate)})"

        def filtered(observer: abc.ObserverBase[T_co], scheduler: abc.SchedulerBase | None = None) -> Any:
            on_next = observer.on_next
            watches = current().watches

            def pass_on(item: Any) -> None:
                try:
                    is_kept: object = predicate(item)
                    if is_kept and is_kept is not True:
                        refuse_awaitable(is_kept, f"the predicate of {name} returned")
                except Exception as error:  # noqa: BLE001  # anybody's predicate; its error is the chain's end
                    observer.on_error(error)
                    return
                if is_kept:
                    on_next(item)
                elif watches:
                    for watch in watches:
                        watch.refused = (name, item)

            return self._observable.subscribe(pass_on, observer.on_error, observer.on_completed, scheduler=scheduler)

        return self._then(reactivex.create(filtered), name)

    def map(self, mapper: Callable[[T_co], U]) -> "Stream[U]":
        """Replace each item by what `mapper` makes of it. Raises TypeError where it is async."""
        return self._then(self._observable.pipe(operators.map(function_of(mapper, "mapper"))), "map(…)")

    def flat_map(self, mapper: Callable[[T_co], "Stream[U]"]) -> "Stream[U]":
        """Replace each item by a stream, and merge them all.

        Raises:
            TypeError: `mapper` is async. One that gives no stream fails the stream.
        """
        function_of(mapper, "mapper")

        def flattened(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> Any:
            walk = current()

            def inner(item: Any) -> Any:
                made = STREAM(mapper(item), "what the mapper of flat_map returns")
                return Opened(made.observable, walk.again)

            flat: Any = operators.flat_map(inner)
            return subscribe_within(self._observable.pipe(flat), observer, scheduler)

        return self._then(reactivex.create(flattened), "flat_map(…)")

    @overload
    def scan(self, fold: Callable[[T_co, T_co], T_co]) -> "Stream[T_co]": ...
    @overload
    def scan(self, fold: Callable[[U, T_co], U], seed: U) -> "Stream[U]": ...
    def scan(self, fold: Callable[[Any, T_co], Any], seed: Any = NotSet) -> "Stream[Any]":
        """Fold items, giving every intermediate result. Without a seed the first item is the first result.

        Raises:
            TypeError: `fold` is async.
        """
        return self._then(self._observable.pipe(operators.scan(function_of(fold, "fold"), seed)), "scan(…)")

    def distinct_until_changed(self, key: Callable[[T_co], object] | None = None) -> "Stream[T_co]":
        """Drop an item that equals the one before it (or whose `key` does). Raises TypeError where `key` is async."""
        changed: Any = operators.distinct_until_changed(optional(function_of)(key, "key"))
        return self._then(self._observable.pipe(changed), "distinct_until_changed()")

    @overload
    def of(self: "Stream[Event[Record]]", kind: type[U] | EventType[U]) -> "Stream[Event[U]]": ...
    @overload
    def of(self, kind: type[U]) -> "Stream[U]": ...
    def of(self, kind: Any) -> "Stream[Any]":
        """Keep the items of a type.

        On a stream of records, `kind` is an event type: its lines come as typed events, and those whose payload isn't
        of the type are left out. One of Lucy's own has the records of its journal looked at too. On any other stream,
        items that are instances of `kind` are kept.
        """
        declared: EventType[Any] | None = None
        with contextlib.suppress(EventDefinitionError):
            declared = event_type(kind)
        is_own = declared is not None and declared.writer == JOURNAL
        if declared is None and not isinstance(kind, type):
            raise ArgumentError("kind", kind, "is no type")

        def typed(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            def pass_on(item: Any) -> None:
                if declared is None or not isinstance(item, Event):
                    if isinstance(kind, type) and isinstance(item, kind):
                        observer.on_next(item)
                elif type(item.data) is declared.data_type:
                    observer.on_next(item)
                elif isinstance(item.data, Record) and declared.matches(item.data, item.node):
                    try:
                        data = declared.decode(item.data)
                    except Exception:  # noqa: BLE001  # the line's fault: whoever asks for the type counts it
                        return
                    observer.on_next(msgspec.structs.replace(item, data=data))

            walk = current()
            with opening(msgspec.structs.replace(walk, own=walk.own or is_own)):
                return self._observable.subscribe(
                    pass_on, observer.on_error, observer.on_completed, scheduler=scheduler
                )

        return self._then(reactivex.create(typed), f"of({getattr(kind, '__name__', kind)})")

    def take(self, count: int) -> "Stream[T_co]":
        """Complete after `count` items."""
        return self._then(self._observable.pipe(operators.take(count_of(count, "count", 0))), f"take({count})")

    def take_until(self, other: "Stream[object]") -> "Stream[T_co]":
        """Complete when `other` gives its first item."""
        STREAM(other, "other")
        return self._then(self._observable.pipe(operators.take_until(other.observable)), f"take_until({other!r})")

    def first(self, predicate: Callable[[T_co], bool] | None = None, *, within: float | None = None) -> "First[T_co]":
        """Give the first item (for which `predicate` holds) and complete. Await it to have the item.

        One that is neither awaited nor subscribed to is held against the run when its block ends.

        Where the stream names no `since`, what arrives after this call counts, whenever it is awaited: make it before
        an action and await it after it, and nothing is missed. (Without a recording it starts where it is awaited.)

        Args:
            predicate: which item is meant.
            within: seconds from the `await`, or from the subscription, in which the item's line has to arrive; then it
                is a `StreamTimeoutError`. With 0 the question is whether it is there already.

        Behind `share`, an item that came between this call and the `await` went to those who share it already: then it
        is refused, by an `OperatorError`, to wait for the next.

        Raises:
            TypeError: `within` is no number, or `predicate` async.
            ValueError: `within` is negative or NaN.
        """
        if predicate is not None:
            refuse_async(predicate, "first")
        chosen = self if predicate is None else self.filter(predicate)
        name = f"{chosen._name}.first()"  # noqa: SLF001  # its own kind
        observable: Any = chosen._observable.pipe(operators.take(1))  # noqa: SLF001
        feed = self._feed
        if within is not None:
            seconds = seconds_of(within, "within")
            observable = Limited(observable, feed, seconds, name=name, what="give an item")
        if feed is not None and feed.recording is not None and not feed.is_replay:
            observable = since(observable, feed.mark().position)
        if feed is not None:
            observable = Promised(observable, feed.promises.made(name))
        return First(observable, name, feed)

    def within(self, seconds: float) -> "Stream[T_co]":
        """Fail with `StreamTimeoutError` unless the stream has completed `seconds` after the subscription.

        The time of an item is the arrival of its line: one that arrived in time counts, however late the loop gets
        round to it.

        Raises:
            TypeError: it is no number.
            ValueError: it is negative or NaN.
        """
        seconds = seconds_of(seconds, "seconds")
        limited = Limited(self._observable, self._feed, seconds, name=self._name, what="complete")
        return self._then(limited, f"within({seconds:g})")

    def buffer(self, *, seconds: float | None = None, count: int | None = None) -> "Stream[list[T_co]]":
        """Gather items into lists: of `count`, or of what came in `seconds`, or of whichever is reached first.

        Raises:
            TypeError, ValueError: `seconds` is no length of time above 0 that comes to an end, `count` no whole number
                from 1, or neither is given.
        """
        if seconds is not None and not 0 < seconds_of(seconds, "seconds") < FOR_EVER:
            raise ArgumentError("seconds", seconds, "is no length of time to gather in")
        if count is not None:
            count_of(count, "count", 1)
        if seconds is not None and count is not None:
            gathered: Any = operators.buffer_with_time_or_count(seconds, count)
        elif seconds is not None:
            gathered = operators.buffer_with_time(seconds)
        elif count is not None:
            gathered = operators.buffer_with_count(count)
        else:
            raise ValueError("buffer needs seconds=, count= or both")
        return self._then(self._observable.pipe(gathered), "buffer(…)")

    def window_count(self, count: int, skip: int | None = None) -> "Stream[list[T_co]]":
        """Give sliding windows: lists of `count` items, a new one every `skip` items (None: every `count`)."""
        count_of(count, "count", 1)
        if skip is not None:
            count_of(skip, "skip", 1)
        windows: Any = operators.buffer_with_count(count, skip)
        return self._then(self._observable.pipe(windows), f"window_count({count})")

    def merge(self, *others: "Stream[U]") -> "Stream[T_co | U]":
        """Interleave with other streams, those of one run in the order of arrival, from the past too.

        It completes when all have, and fails when one does.
        """
        return merge(self, *others)

    def share(self) -> "Stream[T_co]":
        """Subscribe once for all subscribers: later ones get what comes after them."""
        return self._then(Shared(self._observable, self._feed, self._name), "share()")

    def start_with(self, *items: U) -> "Stream[T_co | U]":
        """Give `items` first, in the turn of the subscription."""

        # RxPY's own gives them on the scheduler and subscribes after that: what came in between would be missed.
        def started(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            for item in items:
                observer.on_next(item)
            return self._observable.subscribe(observer, scheduler=scheduler)

        return self._then(reactivex.create(started), "start_with(…)")

    def pipe(self, *steps: Callable[[Any], Any]) -> "Stream[Any]":
        """Apply RxPY operators, in order; their items are `Any` to a type checker.

        They run on the loop, also those that take time, and do at once what is due now. Give none of them a scheduler
        (with one that has threads, callbacks run there, and nobody watches over them), and no callback that blocks.

        Raises:
            OperatorError: a step gives no observable (`to_future`, `partition`).
        """
        observable: Any = self._observable
        for number, step in enumerate(steps, 1):
            observable = function_of(step, f"step {number} of pipe")(observable)
            if not isinstance(observable, Observable):
                name = f"step {number} of pipe"
                reason = (
                    f"it gives a {type(observable).__name__} and no observable; await stream.first(), or use aiter()"
                )
                raise OperatorError(name, reason)
        return self._then(observable, "pipe(…)")

    def subscribe(
        self,
        on_next: Callable[[T_co], None],
        on_error: Callable[[Exception], None] | None = None,
        on_completed: Callable[[], None] | None = None,
    ) -> Callable[[], None]:
        """Call `on_next` with every item, on the loop; return what ends it.

        An error of `on_next` cuts the subscription off, goes to `on_error` and is reported. An error of an operator
        goes to `on_error`; without one it is reported. Either is the end, and comes once.

        Raises:
            TypeError: `on_next` is async.
            RecordingError: the past is wanted, there is none to be had, and no `on_error` to tell.
            Exception: an operator, or `on_next`, raised it before this returned, and there is no `on_error` to tell.
        """
        refuse_async(on_next, "subscribe")
        function_of(on_next, "on_next")
        optional(function_of)(on_error, "on_error")
        optional(function_of)(on_completed, "on_completed")
        end = End(self._name, self._feed, on_next, on_error, on_completed)
        end.open(self._observable, Opening(Group(), is_later=False))
        return end.dispose

    def aiter(self, *, limit: int = AITER_ITEMS) -> "contextlib.AbstractAsyncContextManager[AsyncIterator[T_co]]":
        """Open the stream for `async for`, holding about `limit` items at the most.

        ::

            async with stream.aiter() as items:
                async for item in items: ...

        The loop ends when the stream completes, and raises what the stream fails with, or what ended the run, after all
        that is held. Several tasks may share the iterator: an item goes to the one that has waited longest, the end to
        all. Leaving the block unsubscribes.
        """
        items: Items[T_co] = Items(self._feed, count_of(limit, "limit", 1))
        return items.open(self._name, self._observable)

    def __aiter__(self) -> NoReturn:
        """Refuse `async for` over the stream itself: a loop that is left would stay subscribed. Raises TypeError."""
        message = f"{self._name} is no iterator; open one by `async with stream.aiter() as items`, and loop over that"
        raise TypeError(message)


@final
class First(Stream[T_co]):
    """A stream of one item, which can be awaited."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, T_co]:
        return self._wait().__await__()

    async def _wait(self) -> T_co:
        if isinstance(self._observable, Promised):
            self._observable.keep()
        if self._feed is not None and self._feed.aborted is not None:
            await anyio.lowlevel.checkpoint()
            raise self._feed.aborted
        async with self.aiter(limit=1) as items:
            async for item in items:
                await anyio.lowlevel.checkpoint()  # it may have been there already
                return item
        raise end_of_run(self._feed, None) or StreamEmptyError(self._name)


STREAM = instance_of(Stream, "a stream, such as network.records()")
"""What may be given where another stream is wanted."""


def merge(*streams: Stream[T]) -> Stream[T]:
    """Interleave streams, those of one run in the order of arrival; see `Stream.merge`."""
    for place, stream in enumerate(streams):
        STREAM(stream, f"streams[{place}]")
    feeds = [stream._feed for stream in streams if stream._feed is not None]  # noqa: SLF001
    name = f"merge({', '.join(map(repr, streams))})"
    return Stream(Merged([stream.observable for stream in streams]), name, feeds[0] if feeds else None)


def from_items(items: Iterable[T]) -> Stream[T]:
    """Make a stream that gives `items` at once to each subscriber, and completes."""
    return Stream(reactivex.from_iterable(each_of(items, "items", "(1, 2)")), "from_items(…)")
