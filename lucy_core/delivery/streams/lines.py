"""Where chains begin: what is asked of a pipeline, live or replayed.

`nodes=` chooses lines by who wrote them, and Lucy's own events, all of which the journal wrote, by whom they are about.
Records are those of nodes: what Lucy noted of a test, its errors above all, is no node's word, and "no node may log an
error" must not feed on what it holds. Lucy's own are given to whoever names it (`nodes="lucy"`) or one of its types.
What can't be given whole is never given as if it were: a replayed stream that ends at the end of an incomplete
recording fails, and `so_far` refuses an answer that a gap, or a line that nobody can read, may belie.
"""

import abc
from collections.abc import Iterable
from typing import Any, TypeVar, final, overload

import reactivex.abc
from reactivex import Observable
from reactivex.disposable import Disposable

from lucy_core.arguments import names_of, switch_of
from lucy_core.delivery.feed import Feed
from lucy_core.delivery.interests.interest import LEVEL, Interest
from lucy_core.delivery.interests.subscription import Sink
from lucy_core.delivery.streams.ends import End
from lucy_core.delivery.streams.joining import Joined
from lucy_core.delivery.streams.opening import Opening, current
from lucy_core.delivery.streams.stream import Stream
from lucy_core.errors import (
    AboutNoNodeError,
    ArgumentError,
    IncompleteError,
    InconclusiveError,
    NoNodesError,
    RecordingError,
    UnknownNodeError,
)
from lucy_core.recording.ledger import Gap
from lucy_core.records.described import described
from lucy_core.records.event import EventType, event_type
from lucy_core.records.joined import Joiner
from lucy_core.records.journal import JOURNAL, tells_of_nodes
from lucy_core.records.keys import node_of
from lucy_core.records.record import Event, Line, Malformed, Mark, Record, Undecodable
from lucy_core.records.severity import Severity

T = TypeVar("T")
UNLEVELED_SHOWN = 3
"""How many lines are shown of which nobody knows how much they matter."""


@final
class _Root(Observable[Any]):
    """The root of a chain: a subscription to the pipeline. Single-threaded, so without RxPY's locks."""

    def __init__(self, feed: Feed, name: str, interest: Interest, since: int | None) -> None:
        super().__init__()
        self._feed = feed
        self._name = name
        self._interest = interest
        self._since = since

    def _wanted(self, walk: Opening) -> Interest:
        """Return what is wanted: of records Lucy's own too, where a later step chooses one of its types."""
        wanted = self._interest
        return Interest(level=wanted.level) if walk.own and wanted.but == JOURNAL else wanted

    def _subscribe_core(
        self,
        observer: reactivex.abc.ObserverBase[Any],
        scheduler: reactivex.abc.SchedulerBase | None = None,  # noqa: ARG002  # lines come when they come
    ) -> reactivex.abc.DisposableBase:
        on_next = observer.on_next
        walk = current()
        since = walk.start if self._since is None else self._since
        interest = self._wanted(walk)

        def push_each(items: list[Any]) -> None:
            for item in items:
                on_next(item)

        push = (observer.on_batch if isinstance(observer, End) else None) or push_each

        def watched(items: list[Any]) -> None:
            for watch in walk.watches:
                watch.note(items)
            push(items)

        def end(error: Exception | None) -> None:
            if error is None and self._feed.is_replay:
                error = self._incomplete()
            if error is None:
                observer.on_completed()
            else:
                observer.on_error(error)

        sink = watched if walk.watches else push
        handle = self._feed.subscribe(interest, sink, end, since=since, group=walk.group)
        if walk.is_later and self._feed.arriving_ns is None:  # not in a delivery: in an operator's own turn
            handle.caused_at(self._feed.now_ns() if walk.opened_ns is None else walk.opened_ns)
        for watch in walk.watches:
            watch.follows |= self._since is None
            watch.handles.append(handle)
            watch.interests.append((interest, self._feed.delivered if since is None else since))
        return Disposable(handle.cancel)

    def _incomplete(self) -> IncompleteError | None:
        gap = next(iter(_gaps(self._feed, self._interest)), None)
        return None if gap is None else IncompleteError(self._name, gap.position, gap.node, gap.reason)


def _gaps(feed: Feed, interest: Interest) -> list[Gap]:
    """Return where lines may be missing that were meant."""
    return [gap for gap in feed.ledger.gaps if gap.node is None or interest.wants(gap.node)]


class Lines(abc.ABC):
    """What can be asked of a run's lines: of a pipeline, a network, a replay."""

    @property
    @abc.abstractmethod
    def _feed(self) -> Feed:
        """Where the lines come from."""

    def _known(self, nodes: Iterable[str]) -> frozenset[str]:
        """Check whose lines are wanted. While sources may still be opened, any name may be one."""
        chosen = frozenset(names_of(nodes, "nodes"))
        if self._feed.is_replay:
            known = self._feed.recorded_nodes
            for name in sorted(chosen.difference(known)):
                raise UnknownNodeError(name, known)
        return chosen

    def _chosen(self, nodes: Iterable[str] | None) -> frozenset[str] | None:
        if nodes is None:
            return None
        chosen = self._known(nodes)
        if not chosen:
            raise NoNodesError
        return chosen

    def _stream(self, what: str, interest: Interest, since: Mark | int | None) -> Stream[Any]:
        name = _name(what, interest.named)
        return Stream(_Root(self._feed, name, interest, self._feed.place(since)), name, self._feed)

    def events(
        self,
        kind: type[T],
        *others: type[T],
        nodes: Iterable[str] | None = None,
        level: Severity | None = None,
        since: Mark | int | None = None,
    ) -> Stream[Event[T]]:
        """Stream the events of one or more types. `since` starts in the past: past and live are one stream.

        Without it a live stream starts now, and one of a finished run with its first line. `since=0` is the run's
        beginning. With `nodes`, Lucy's own events are those about these nodes: they stand in its journal, whoever they
        are about, and a stream of them completes with the run. On the replay of a recording in which something is
        missing the stream fails at its end, with `IncompleteError`.

        Raises:
            AboutNoNodeError: `nodes` is given, and one of the types is about the run as a whole.
            PlaceError: `since` is no place in this run.
            NoNodesError: `nodes` is empty.
            UnknownNodeError: the network, or the recording that is replayed, has no such node.
        """
        chosen = self._chosen(nodes)
        kinds = _types((kind, *others), chosen)
        return self._stream(_names(kinds), Interest(nodes=chosen, event_types=kinds, level=level), since)

    def records(
        self,
        *,
        nodes: Iterable[str] | None = None,
        level: Severity | None = None,
        since: Mark | int | None = None,
        joined: bool = False,
    ) -> Stream[Event[Record]]:
        """Stream the nodes' records from a level up, each as an event whose `data` is the record.

        Those that don't say how much they matter have none, so `level` leaves them out: `so_far` tells of them.

        With `joined`, lines that only go on with a record (stack traces, panics) are part of it: its `text` and `raw`
        have all lines, all else is the first one's, its position too. A record then comes when its node's next begins,
        or with the end of the stream, which for one node's is the node's end. Each node's stay in order, but of several
        nodes one that begins earlier may come later. What would be more than 1 MiB goes on as another record.

        It raises as `events` does. Lucy's own journal, in which what is held against a test is an error, comes where
        `nodes` names it (`"lucy"`), or where `of` chooses one of Lucy's types.
        """
        chosen = self._chosen(nodes)
        if not switch_of(joined, "joined"):
            return self._stream("records", Interest(nodes=chosen, level=level, but=JOURNAL), since)
        # What goes on has no level of its own, so that all must come to be joined.
        level = LEVEL(level, "level")
        lines = self._stream("records", Interest(nodes=chosen, but=JOURNAL), since)
        return Stream(Joined(lines.observable, level), _name("joined records", chosen), self._feed)

    def lines(self, *, nodes: Iterable[str] | None = None, since: Mark | int | None = None) -> Stream[Line]:
        """Stream the nodes' lines as they are, unread, each with its bytes. It raises as `records` does."""
        return self._stream("lines", Interest(nodes=self._chosen(nodes), kind=Line, but=JOURNAL), since)

    def malformed(self, *, nodes: Iterable[str] | None = None, since: Mark | int | None = None) -> Stream[Malformed]:
        """Stream the lines that their format can't read. It raises as `records` does."""
        return self._stream("malformed lines", Interest(nodes=self._chosen(nodes), kind=Malformed), since)

    def undecodable(
        self, *kinds: type, nodes: Iterable[str] | None = None, since: Mark | int | None = None
    ) -> Stream[Undecodable]:
        """Stream the records whose payload isn't of the type they claim. It raises as `events` does."""
        chosen = self._chosen(nodes)
        interest = Interest(nodes=chosen, kind=Undecodable, event_types=_types(kinds, chosen))
        return self._stream("undecodable events", interest, since)

    @overload
    async def so_far(
        self,
        *,
        nodes: Iterable[str] | None = None,
        level: Severity | None = None,
        since: Mark | int = 0,
        joined: bool = False,
    ) -> list[Event[Record]]: ...
    @overload
    async def so_far(
        self,
        kind: type[T],
        /,
        *others: type[T],
        nodes: Iterable[str] | None = None,
        level: Severity | None = None,
        since: Mark | int = 0,
    ) -> list[Event[T]]: ...
    async def so_far(
        self,
        *kinds: type[Any],
        nodes: Iterable[str] | None = None,
        level: Severity | None = None,
        since: Mark | int = 0,
        joined: bool = False,
    ) -> list[Event[Any]]:
        """Return what was logged from `since` to this call, exactly, or raise. Without types: records.

        ::

            assert not await network.so_far(level=lucy.Severity.ERROR)

        Records are those of nodes, as `records` gives them: Lucy's own where `nodes` names `"lucy"`. All of it is held
        in memory; a stream is for what may be too much. With `joined`, lines that only go on with a record are part of
        it, as `records` has it: a stack trace then matters as much as the record that it belongs to.

        Raises:
            InconclusiveError: the log has a gap; a line can't be read that may be such an event or, where records are
                asked for, at all; or a record doesn't say how much it matters, where `level` asks for that.
            RecordingError: nothing was recorded, or the recording is closed. For arguments it raises as `events` does.
        """
        feed, chosen = self._feed, self._chosen(nodes)
        level = LEVEL(level, "level")
        types: list[EventType[Any]] | None = _types(kinds, chosen) or None
        start = feed.place(since) or 0
        what = _name(_names(types) if types else "records", chosen)
        stop = await feed.fence()
        found: list[Event[Any]] = []
        unleveled: list[Event[Record]] = []
        unreadable: list[Undecodable | Malformed] = []
        but = JOURNAL if types is None else None
        if types is not None and joined:
            raise ArgumentError("joined", joined, "goes with records; without types, so_far gives those")
        joiner = Joiner() if switch_of(joined, "joined") else None
        # Lines that are joined have the level of the first, and those of a type are few: all of them come.
        least = level if types is None and joiner is None else None
        interest = Interest(nodes=chosen, event_types=types, level=least, unleveled=True, but=but)

        def take(items: list[Event[Any]]) -> None:
            if joiner is None:
                hold(items)
            else:
                hold([whole for whole in map(joiner.take, items) if whole is not None])

        def hold(items: list[Event[Any]]) -> None:
            found.extend(items if level is None else (each for each in items if each.record.severity >= level))
            if level is not None:
                unleveled.extend(each for each in items if each.record.is_unleveled)

        asked: dict[Interest, Sink] = {interest: take}
        if types is None:
            asked[Interest(nodes=interest.nodes, kind=Malformed, but=but)] = unreadable.extend
        else:
            for kind in (Undecodable, Malformed):
                asked[Interest(nodes=chosen, event_types=types, level=level, kind=kind)] = unreadable.extend
        try:
            await feed.read_all_back(asked, start, stop)
            if joiner is not None:
                hold(joiner.rest())
                found.sort(key=lambda event: event.position)
        except RecordingError as error:
            if feed.recording is None or feed.is_closed:
                raise
            raise _inconclusive(feed, what, f"not all can be read back ({error})") from error
        if unreadable:
            first = min(unreadable, key=lambda line: line.position)
            claim = "can't" if types is None else "say that they are such and can't"
            reason = f"{len(unreadable):,} lines {claim} be read, the first at {first.position:,}"
            raise _inconclusive(feed, what, f"{reason}, of {first.node}: {first.reason}")
        if unleveled:
            said = "; ".join(described(each) for each in unleveled[:UNLEVELED_SHOWN])
            reason = f"{len(unleveled):,} lines don't say how much they matter, or by a word that nobody knows"
            raise _inconclusive(feed, what, f"{reason}: {said}")
        # A gap before `since` counts too: a source that has failed there gives nothing later either.
        missing = [gap for gap in _gaps(feed, interest) if gap.position <= stop]
        if missing:
            raise _inconclusive(feed, what, f"the log is incomplete {missing[0]}")
        accounts = [account for key, account in feed.ledger.nodes.items() if interest.wants(node_of(key))]
        # Of what is known by its text alone nobody has counted what was left out.
        is_counted = types is not None and all(kind.is_counted for kind in types)
        left_out = sum(each.filtered_events if is_counted else each.filtered_lines for each in accounts)
        if left_out:
            kept = "events" if is_counted else "lines"
            raise _inconclusive(feed, what, f"the capture filter left out {left_out:,} {kept}")
        return found


def _name(what: str, nodes: frozenset[str] | None) -> str:
    return what if nodes is None else f"{what} of {', '.join(sorted(nodes))}"


def _names(kinds: Iterable[EventType[Any]]) -> str:
    return " and ".join(kind.name for kind in kinds)


def _types(kinds: Iterable[type], chosen: frozenset[str] | None) -> list[EventType[Any]]:
    """Look up what is wanted, and refuse events of the run by name where those of some nodes are asked for."""
    types: list[EventType[Any]] = [event_type(kind) for kind in kinds]
    if chosen is not None and JOURNAL not in chosen:
        for each in types:
            if not tells_of_nodes(each):
                raise AboutNoNodeError(each.name)
    return types


def _inconclusive(feed: Feed, what: str, reason: str) -> InconclusiveError:
    rows = "\n".join(f"  log     : {node}: {text}" for node, text in feed.ledger.summary().items())
    return InconclusiveError(f"{reason}, so nobody can say what was logged", what=f"{what} so far", explanation=rows)
