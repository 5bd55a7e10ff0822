"""What a stream with a limit keeps, to explain itself should it run into it: little, and nothing per item.

A root notes each batch, and `filter` its last refusal. What the wished types brought from nodes that were not asked
about is looked up in the recording, after the fact.
"""

from typing import Any, final

from lucy_core.delivery.delivery import Handle
from lucy_core.delivery.feed import Feed
from lucy_core.delivery.interests.interest import Interest
from lucy_core.records.described import described
from lucy_core.records.journal import JOURNAL

LOOK_BACK_LINES = 100_000
"""How far back a time-out looks for what other nodes said: a fraction of a second's reading."""


@final
class Watch:
    """What came to one limit's chain."""

    __slots__ = ("came", "follows", "handles", "interests", "last", "other", "refused")

    def __init__(self) -> None:
        self.came = 0
        self.last: Any = None
        self.refused: tuple[str, Any] | None = None
        """The last item that a `filter` dropped, and which."""
        self.other: str | None = None
        self.handles: list[Handle] = []
        self.interests: list[tuple[Interest, int]] = []
        """What the roots want, and from where on."""
        self.follows = False
        """Whether some root names no place, and gives what comes."""

    def note(self, items: list[Any]) -> None:
        self.came += len(items)
        self.last = items[-1]

    async def look_elsewhere(self, feed: Feed, stop: int) -> None:
        """Find the last event of the wished types that came from another node than the wished ones.

        Raises:
            RecordingError: it can't be read back.
        """
        if self.came or feed.recording is None or feed.is_closed:
            return
        for interest, start in self.interests:
            if interest.named is None:
                continue
            found: list[Any] = []

            def keep(items: list[Any], found: list[Any] = found) -> None:
                found[:] = items[-1:]

            begin = max(start, stop - LOOK_BACK_LINES)
            but = None if interest.event_types is not None else JOURNAL
            anywhere = Interest(event_types=interest.event_types, level=interest.level, kind=interest.kind, but=but)
            await feed.read_back(anywhere, keep, begin, stop)
            if found:
                where = "" if begin == start else f" (of the last {LOOK_BACK_LINES:,} lines)"
                self.other = f"from a node that wasn't asked about: {described(found[0])}{where}"

    def explain(self, feed: Feed) -> str:
        """Say how many items came, what the last was, the nearest miss, and what the ledger says."""
        lines = [f"  came    : {self.came:,} items" + (f", the last {described(self.last)}" if self.came else "")]
        if self.refused is not None:
            name, item = self.refused
            lines.append(f"  nearest : dropped by {name}: {described(item)}")
        if self.other is not None:
            lines.append(f"  nearest : {self.other}")
        lines += [f"  log     : {node}: {text}" for node, text in feed.ledger.summary().items()]
        return "\n".join(lines)
