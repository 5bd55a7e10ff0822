"""Streams: the typed face over reactivex."""

from lucy_core.delivery.streams.stream import First, Stream, from_items, merge

__all__ = ["First", "Stream", "from_items", "merge"]
