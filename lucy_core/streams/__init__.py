"""Streams: the typed face over reactivex."""

from lucy_core.streams.lines import events, malformed, records, so_far, undecodable
from lucy_core.streams.stream import First, Stream, from_items, merge

__all__ = ["First", "Stream", "events", "from_items", "malformed", "merge", "records", "so_far", "undecodable"]
