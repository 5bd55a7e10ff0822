"""Where chains begin: what is asked of a pipeline, live or replayed."""

from collections.abc import Iterable
from typing import Any, TypeVar, final, overload

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from lucy_core.errors import InconclusiveError, NoNodesError, RecordingError, UnknownNodeError
from lucy_core.events import EventType, event_type
from lucy_core.pipeline.hub import Interest
from lucy_core.pipeline.pipeline import Pipeline
from lucy_core.records import Event, Level, LogRecord, Malformed, Mark, Undecodable
from lucy_core.streams.opening import current
from lucy_core.streams.stream import Stream

T = TypeVar("T")


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
        walk = current()
        since = walk.start if self._since is None else self._since

        def push(items: list[Any]) -> None:
            for item in items:
                on_next(item)

        def watched(items: list[Any]) -> None:
            for watch in walk.watches:
                watch.note(items)
            push(items)

        def end(error: Exception | None) -> None:
            if error is None:
                observer.on_completed()
            else:
                observer.on_error(error)

        sink = watched if walk.watches else push
        handle = self._pipeline.subscribe(self._interest, sink, end, since=since, group=walk.group)
        for watch in walk.watches:
            watch.handles.append(handle)
            watch.interests.append((self._interest, self._pipeline.delivered if since is None else since))
        return Disposable(handle.cancel)


def _chosen(pipeline: Pipeline, nodes: Iterable[str] | None) -> frozenset[str] | None:
    """Check whose lines are wanted. While sources may still be opened, any name may be one."""
    if nodes is None:
        return None
    chosen = frozenset((nodes,) if isinstance(nodes, str) else nodes)
    if not chosen:
        raise NoNodesError
    if pipeline.is_replay:
        known = pipeline.recorded_nodes
        for name in sorted(chosen.difference(known)):
            raise UnknownNodeError(name, known)
    return chosen


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
    """Stream the events of one or more types. `since` starts in the past: past and live are one stream.

    Raises:
        PlaceError: `since` is no place in this run.
        NoNodesError: `nodes` is empty.
        UnknownNodeError: the recording that is replayed has no such node.
    """
    kinds = [event_type(each) for each in (kind, *others)]
    chosen = _chosen(pipeline, nodes)
    interest = Interest(nodes=chosen, event_types=kinds, level=level)
    name = _name(" and ".join(each.name for each in kinds), chosen)
    return Stream(_Lines(pipeline, interest, pipeline.place(since)), name, pipeline)


def records(
    pipeline: Pipeline,
    *,
    nodes: Iterable[str] | None = None,
    level: Level | None = None,
    since: Mark | int | None = None,
) -> Stream[Event[LogRecord]]:
    """Stream all records from a level up, each as an event whose `data` is the envelope; raises as `events` does."""
    chosen = _chosen(pipeline, nodes)
    interest = Interest(nodes=chosen, level=level)
    return Stream(_Lines(pipeline, interest, pipeline.place(since)), _name("records", chosen), pipeline)


def malformed(pipeline: Pipeline, *, since: Mark | int | None = None) -> Stream[Malformed]:
    """Stream the lines that are no records."""
    lines = _Lines(pipeline, Interest(kind=Malformed), pipeline.place(since))
    return Stream(lines, "malformed lines", pipeline)


def undecodable(pipeline: Pipeline, *kinds: type, since: Mark | int | None = None) -> Stream[Undecodable]:
    """Stream the records whose payload isn't of the type they claim."""
    interest = Interest(kind=Undecodable, event_types=[event_type(kind) for kind in kinds])
    return Stream(_Lines(pipeline, interest, pipeline.place(since)), "undecodable events", pipeline)


@overload
async def so_far(
    pipeline: Pipeline,
    *,
    nodes: Iterable[str] | None = None,
    level: Level | None = None,
    since: Mark | int = 0,
) -> list[Event[LogRecord]]: ...
@overload
async def so_far(
    pipeline: Pipeline,
    kind: type[T],
    /,
    *others: type[T],
    nodes: Iterable[str] | None = None,
    level: Level | None = None,
    since: Mark | int = 0,
) -> list[Event[T]]: ...
async def so_far(
    pipeline: Pipeline,
    *kinds: type[Any],
    nodes: Iterable[str] | None = None,
    level: Level | None = None,
    since: Mark | int = 0,
) -> list[Event[Any]]:
    """Return what was logged from `since` to this call: exactly that, or an error. Records, where no types are named.

    All of it is held in memory; a stream is for what may be too much.

    Raises:
        InconclusiveError: the log has a gap, or a line that says that it is such an event can't be read.
        PlaceError: `since` is no place in this run.
        NoNodesError: `nodes` is empty.
        UnknownNodeError: the recording that is replayed has no such node.
        RecordingError: nothing was recorded, or the recording is closed.
    """
    chosen = _chosen(pipeline, nodes)
    types: list[EventType[Any]] | None = [event_type(kind) for kind in kinds] or None
    start = pipeline.place(since) or 0
    what = _name(" and ".join(kind.name for kind in types) if types else "records", chosen)
    stop = await pipeline.fence()
    found: list[Event[Any]] = []
    undecoded: list[Undecodable] = []
    interest = Interest(nodes=chosen, event_types=types, level=level)
    try:
        await pipeline.read_back(interest, found.extend, start, stop)
        if types is not None:
            unreadable = Interest(nodes=chosen, event_types=types, level=level, kind=Undecodable)
            await pipeline.read_back(unreadable, undecoded.extend, start, stop)
    except RecordingError as error:
        if pipeline.recording is None or pipeline.is_closed:
            raise
        raise InconclusiveError(_inconclusive(pipeline, what, f"not all can be read back ({error})")) from error
    if undecoded:
        first = undecoded[0]
        reason = f"{len(undecoded):,} lines say that they are such and can't be read, the first at {first.position:,}"
        raise InconclusiveError(_inconclusive(pipeline, what, f"{reason}, of {first.node}: {first.reason}"))
    # A gap before `since` counts too: a source that has failed there gives nothing later either.
    missing = [
        gap
        for gap in pipeline.ledger.gaps
        if gap.position <= stop and (chosen is None or gap.node is None or gap.node in chosen)
    ]
    if missing:
        raise InconclusiveError(_inconclusive(pipeline, what, f"the log is incomplete {missing[0]}"))
    accounts = [account for node, account in pipeline.ledger.nodes.items() if chosen is None or node in chosen]
    left_out = sum(each.filtered_lines if types is None else each.filtered_events for each in accounts)
    if left_out:
        kept = "lines" if types is None else "events"
        raise InconclusiveError(_inconclusive(pipeline, what, f"the capture filter left out {left_out:,} {kept}"))
    return found


def _inconclusive(pipeline: Pipeline, what: str, reason: str) -> str:
    rows = "".join(f"\n  log     : {node}: {text}" for node, text in pipeline.ledger.summary().items())
    return f"{what} so far: {reason}, so nobody can say what was logged{rows}"
