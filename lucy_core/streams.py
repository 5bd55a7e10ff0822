"""Streams: the typed face over reactivex.

A `Stream[T]` is a real `reactivex.Observable` underneath (`.observable`, `.pipe` takes every RxPY operator) with three
repairs. Its types are inferred, where RxPY's fluent `filter`, `take` and `merge` give `Any`. Its time operators run on
the loop: RxPY's default is a thread per timer, with callbacks on that thread. And `async for` over it has bounded
memory: the iterator closes a gate when it holds enough, its subscription is set aside, and it reads on from the
recording when there is room, so that a slow reader slows nobody and loses nothing.

Everything happens on one loop thread, synchronously, a batch at a time. No operator here makes a task.
"""

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar, final, overload

import anyio
import anyio.lowlevel
import reactivex
from reactivex import Observable, abc, operators
from reactivex.disposable import Disposable
from reactivex.internal.utils import NotSet
from reactivex.scheduler.eventloop import AsyncIOScheduler

from lucy_core.errors import StreamEmptyError
from lucy_core.events import EventType, event_type
from lucy_core.pipeline.hub import Gate, Interest
from lucy_core.pipeline.pipeline import Pipeline
from lucy_core.records import Event, Level, LogRecord, Malformed, Mark, Undecodable

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
U = TypeVar("U")

AITER_ITEMS = 1024
"""How many items an async iterator holds before its subscription is set aside. A batch under way still comes whole."""

_gate: contextvars.ContextVar[Gate | None] = contextvars.ContextVar("lucy_gate", default=None)
"""The gate of the `aiter` that is subscribing now, for the roots of its chain to find: RxPY can't hand one up."""


class Stream(Generic[T_co]):
    """Items over time, of one type. Subscribing starts it; each subscriber has its own place in the run.

    Callbacks run on the loop, in the turn in which the line is delivered. One that raises is cut off and reported, and
    the others miss nothing. A stream completes when the run, or the one node that it is about, has ended.
    """

    __slots__ = ("_name", "_observable")

    def __init__(self, observable: "Observable[T_co]", name: str = "stream") -> None:
        self._observable = observable
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name}>"

    @property
    def observable(self) -> "Observable[T_co]":
        """The observable underneath, for libraries that want one. Give `subscribe` a scheduler if time matters."""
        return self._observable

    def _then(self, observable: "Observable[U]", step: str) -> "Stream[U]":
        return Stream(observable, f"{self._name}.{step}")

    # Choosing and changing items

    def filter(self, predicate: Callable[[T_co], bool]) -> "Stream[T_co]":
        """Keep the items for which `predicate` holds."""
        return self._then(self._observable.pipe(operators.filter(predicate)), "filter(…)")

    def map(self, mapper: Callable[[T_co], U]) -> "Stream[U]":
        """Replace each item by what `mapper` makes of it."""
        return self._then(self._observable.pipe(operators.map(mapper)), "map(…)")

    def flat_map(self, mapper: Callable[[T_co], "Stream[U]"]) -> "Stream[U]":
        """Replace each item by a stream, and merge them all."""

        def inner(item: Any) -> Any:
            return mapper(item).observable

        mapped: Any = operators.flat_map(inner)
        return self._then(self._observable.pipe(mapped), "flat_map(…)")

    @overload
    def scan(self, fold: Callable[[T_co, T_co], T_co]) -> "Stream[T_co]": ...
    @overload
    def scan(self, fold: Callable[[U, T_co], U], seed: U) -> "Stream[U]": ...
    def scan(self, fold: Callable[[Any, T_co], Any], seed: Any = NotSet) -> "Stream[Any]":
        """Fold items, giving every intermediate result. Without a seed the first item is the first result."""
        return self._then(self._observable.pipe(operators.scan(fold, seed)), "scan(…)")

    def distinct_until_changed(self, key: Callable[[T_co], object] | None = None) -> "Stream[T_co]":
        """Drop an item that equals the one before it (or whose `key` does)."""
        changed: Any = operators.distinct_until_changed(key)
        return self._then(self._observable.pipe(changed), "distinct_until_changed()")

    @overload
    def of(self: "Stream[Event[LogRecord]]", kind: type[U] | EventType[U]) -> "Stream[Event[U]]": ...
    @overload
    def of(self, kind: type[U]) -> "Stream[U]": ...
    def of(self, kind: Any) -> "Stream[Any]":
        """Keep the items of a type.

        On a stream of records, `kind` is an event type: its lines come as typed events, and those whose payload isn't
        of the type are left out. On any other stream, items that are instances of `kind` are kept.
        """

        def typed(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            declared = event_type(kind) if is_event_type(kind) else None

            def pass_on(item: Any) -> None:
                if isinstance(item, Event) and declared is not None:
                    if type(item.data) is declared.data_type:
                        observer.on_next(item)
                    elif isinstance(item.data, LogRecord) and declared.matches(item.data):
                        with contextlib.suppress(Exception):  # counted as undecodable where it was captured
                            data = declared.decode(item.data)
                            observer.on_next(Event(item.node, item.position, item.arrived_ns, item.record, data))
                elif isinstance(kind, type) and isinstance(item, kind):
                    observer.on_next(item)

            return self._observable.subscribe(pass_on, observer.on_error, observer.on_completed, scheduler=scheduler)

        return self._then(reactivex.create(typed), f"of({getattr(kind, '__name__', kind)})")

    # How many, how long

    def take(self, count: int) -> "Stream[T_co]":
        """Complete after `count` items."""
        return self._then(self._observable.pipe(operators.take(count)), f"take({count})")

    def take_until(self, other: "Stream[object]") -> "Stream[T_co]":
        """Complete when `other` gives its first item."""
        return self._then(self._observable.pipe(operators.take_until(other.observable)), f"take_until({other!r})")

    def first(self, predicate: Callable[[T_co], bool] | None = None, *, within: float | None = None) -> "First[T_co]":
        """Give the first item (for which `predicate` holds) and complete. Await it to have the item.

        Args:
            predicate: which item is meant.
            within: seconds from the subscription, or from the `await`, after which it is a `TimeoutError`.
        """
        chosen = self if predicate is None else self.filter(predicate)
        taken = chosen.take(1)
        limited = taken if within is None else taken.within(within)
        return First(limited.observable, f"{self._name}.first()")

    def within(self, seconds: float) -> "Stream[T_co]":
        """Fail with `TimeoutError` unless the stream has completed `seconds` after the subscription."""
        name = self._name

        def limited(observer: abc.ObserverBase[T_co], scheduler: abc.SchedulerBase | None = None) -> Disposable:
            inner: list[abc.DisposableBase] = []
            timer: list[abc.DisposableBase] = []
            over = False

            def stop() -> None:
                nonlocal over
                over = True
                for each in (*inner, *timer):
                    each.dispose()

            def late(*_: object) -> None:
                if not over:
                    stop()
                    observer.on_error(TimeoutError(f"{name} did not complete within {seconds:g} s"))

            def failed(error: Exception) -> None:
                stop()
                observer.on_error(error)

            def completed() -> None:
                stop()
                observer.on_completed()

            inner.append(self._observable.subscribe(observer.on_next, failed, completed, scheduler=scheduler))
            if not over:
                timer.append((scheduler or _loop_scheduler()).schedule_relative(seconds, late))
            else:
                inner[0].dispose()
            return Disposable(stop)

        return self._then(reactivex.create(limited), f"within({seconds:g})")

    def buffer(self, *, seconds: float | None = None, count: int | None = None) -> "Stream[list[T_co]]":
        """Gather items into lists: of `count`, or of what came in `seconds`, or of whichever is reached first."""
        if seconds is not None and count is not None:
            gathered: Any = operators.buffer_with_time_or_count(seconds, count)
        elif seconds is not None:
            gathered = operators.buffer_with_time(seconds)
        elif count is not None:
            gathered = operators.buffer_with_count(count)
        else:
            message = "buffer needs seconds=, count= or both"
            raise ValueError(message)
        return self._then(self._observable.pipe(gathered), "buffer(…)")

    def window_count(self, count: int, skip: int | None = None) -> "Stream[list[T_co]]":
        """Give sliding windows: lists of `count` items, a new one every `skip` items (None: every `count`)."""
        windows: Any = operators.buffer_with_count(count, skip)
        return self._then(self._observable.pipe(windows), f"window_count({count})")

    # Several streams

    def merge(self, *others: "Stream[U]") -> "Stream[T_co | U]":
        """Interleave with other streams, in the order in which items are delivered."""
        merged: Any = reactivex.merge(self._observable, *[other.observable for other in others])
        return self._then(merged, "merge(…)")

    def share(self) -> "Stream[T_co]":
        """Subscribe once for all subscribers: later ones get what comes after them."""
        return self._then(self._observable.pipe(operators.share()), "share()")

    def start_with(self, *items: U) -> "Stream[T_co | U]":
        """Give `items` first, in the turn of the subscription."""

        # RxPY's own gives them on the scheduler and subscribes after that: what came in between would be missed.
        def started(observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            for item in items:
                observer.on_next(item)
            return self._observable.subscribe(observer, scheduler=scheduler)

        return self._then(reactivex.create(started), "start_with(…)")

    def pipe(self, *steps: Callable[[Any], Any]) -> "Stream[Any]":
        """Apply any RxPY operators, in order; their items are `Any` to a type checker."""
        observable: Any = self._observable
        for step in steps:
            observable = step(observable)
        return self._then(observable, "pipe(…)")

    # Ends of the chain

    def subscribe(
        self,
        on_next: Callable[[T_co], None],
        on_error: Callable[[Exception], None] | None = None,
        on_completed: Callable[[], None] | None = None,
    ) -> Callable[[], None]:
        """Call `on_next` with every item, on the loop; return what ends it.

        An error of an operator goes to `on_error`; without one it cuts the subscription off, as an error of `on_next`
        does, and is reported.
        """
        disposable = self._observable.subscribe(on_next, on_error or _raise, on_completed, scheduler=_loop_scheduler())
        return disposable.dispose

    def aiter(self, *, limit: int = AITER_ITEMS) -> "AbstractAsyncContextManager[AsyncIterator[T_co]]":
        """Open the stream for `async for`, holding about `limit` items at the most.

        ::

            async with stream.aiter() as items:
                async for item in items: ...

        The loop ends when the stream completes, and raises what the stream fails with. Leaving the block unsubscribes.
        """
        return _iterate(self, limit)


@final
class First(Stream[T_co]):
    """A stream of one item, which can be awaited."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, T_co]:
        return self._wait().__await__()

    async def _wait(self) -> T_co:
        done = anyio.Event()
        items: list[Any] = []
        errors: list[Exception] = []

        def failed(error: Exception) -> None:
            errors.append(error)
            done.set()

        def took(item: Any) -> None:
            items.append(item)
            done.set()

        dispose = self.subscribe(took, failed, done.set)
        try:
            await done.wait()
        finally:
            dispose()
        if items:
            item: T_co = items[0]
            return item
        if errors:
            raise errors[0]
        raise StreamEmptyError(self._name)


def merge(*streams: Stream[T]) -> Stream[T]:
    """Interleave streams, in the order in which items are delivered."""
    merged: Any = reactivex.merge(*[stream.observable for stream in streams])
    return Stream(merged, "merge(…)")


def from_items(items: Iterable[T]) -> Stream[T]:
    """Make a stream that gives `items` at once to each subscriber, and completes."""
    return Stream(reactivex.from_iterable(items), "from_items(…)")


def is_event_type(kind: object) -> bool:
    """Whether something was declared with `lucy.event`."""
    if isinstance(kind, EventType):
        return True
    try:
        event_type(kind)  # type: ignore[call-overload]  # any object may be asked about
    except Exception:  # noqa: BLE001
        return False
    return True


def _raise(error: Exception) -> None:
    raise error


def _loop_scheduler() -> AsyncIOScheduler:
    return AsyncIOScheduler(asyncio.get_running_loop())


@asynccontextmanager
async def _iterate(stream: Stream[T], limit: int) -> AsyncIterator[AsyncIterator[T]]:
    gate = Gate()
    iterator: _Items[T] = _Items(gate, limit)
    token = _gate.set(gate)
    try:
        dispose = stream.subscribe(iterator.put, iterator.fail, iterator.complete)
    finally:
        _gate.reset(token)
    try:
        yield iterator
    finally:
        dispose()


@final
class _Items(Generic[T]):
    """The pulling end of a pushed stream.

    `__anext__` waits only where nothing is held: a receive that always yielded would take one item a turn, while a
    batch of hundreds comes in one.
    """

    def __init__(self, gate: Gate, limit: int) -> None:
        self._gate = gate
        self._limit = limit
        self._held: deque[T] = deque()
        self._something = anyio.Event()
        self._error: Exception | None = None
        self._completed = False
        self.peak = 0

    def put(self, item: T) -> None:
        self._held.append(item)
        held = len(self._held)
        self.peak = max(self.peak, held)
        if held >= self._limit:
            self._gate.close()
        self._something.set()

    def fail(self, error: Exception) -> None:
        self._error = error
        self.complete()

    def complete(self) -> None:
        self._completed = True
        self._something.set()

    def __aiter__(self) -> "_Items[T]":
        return self

    async def __anext__(self) -> T:
        if not self._held:
            if self._gate.closed:
                self._gate.open()
            while not self._held and not self._completed:
                self._something = anyio.Event()
                await self._something.wait()
        if self._held:
            item = self._held.popleft()
            if self._gate.closed and len(self._held) <= self._limit // 2:
                self._gate.open()
            return item
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration


@final
class _Lines(Observable[Any]):
    """The root of a chain: a subscription to the pipeline. Single-threaded, so without RxPY's locks."""

    def __init__(self, pipeline: Pipeline, interest: Interest, since: int | None) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._interest = interest
        self._since = since

    def _subscribe_core(
        self,
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase | None = None,  # noqa: ARG002  # lines come when they come
    ) -> abc.DisposableBase:
        on_next = observer.on_next

        def push(items: list[Any]) -> None:
            for item in items:
                on_next(item)

        def end(error: Exception | None) -> None:
            if error is None:
                observer.on_completed()
            else:
                observer.on_error(error)

        handle = self._pipeline.subscribe(self._interest, push, end, since=self._since, gate=_gate.get())
        return Disposable(handle.cancel)


def _position(since: Mark | int | None) -> int | None:
    return since.position if isinstance(since, Mark) else since


def _name(what: str, nodes: Iterable[str] | None) -> str:
    return what if nodes is None else f"{what} of {', '.join(sorted(nodes))}"


def events(
    pipeline: Pipeline,
    kind: type[T],
    *others: type[T],
    nodes: Iterable[str] | None = None,
    level: Level | None = None,
    since: Mark | int | None = None,
) -> Stream[Event[T]]:
    """Stream the events of one or more types. `since` starts in the past: past and live are one stream."""
    kinds = [event_type(each) for each in (kind, *others)]
    chosen = None if nodes is None else frozenset(nodes)
    interest = Interest(nodes=chosen, event_types=kinds, level=level)
    name = _name(" and ".join(each.name for each in kinds), chosen)
    return Stream(_Lines(pipeline, interest, _position(since)), name)


def records(
    pipeline: Pipeline,
    *,
    nodes: Iterable[str] | None = None,
    level: Level | None = None,
    since: Mark | int | None = None,
) -> Stream[Event[LogRecord]]:
    """Stream all records from a level up, each as an event whose `data` is the envelope."""
    chosen = None if nodes is None else frozenset(nodes)
    interest = Interest(nodes=chosen, level=level)
    return Stream(_Lines(pipeline, interest, _position(since)), _name("records", chosen))


def malformed(pipeline: Pipeline, *, since: Mark | int | None = None) -> Stream[Malformed]:
    """Stream the lines that are no records."""
    return Stream(_Lines(pipeline, Interest(kind=Malformed), _position(since)), "malformed lines")


def undecodable(pipeline: Pipeline, *kinds: type, since: Mark | int | None = None) -> Stream[Undecodable]:
    """Stream the records whose payload isn't of the type they claim."""
    interest = Interest(kind=Undecodable, event_types=[event_type(kind) for kind in kinds])
    return Stream(_Lines(pipeline, interest, _position(since)), "undecodable events")
