"""What a recording says of itself, beside lines: each fact a row of the arrivals, at its place among them.

A replay knows nothing but its files. So whatever makes a recording less than all that the nodes wrote, or that its
reader must know to judge it, stands in the arrivals, as a row of no lines: written by the capture process, which lives
on when Lucy is dead, and by Lucy alone when capture is dead. The ledger is one fold over these rows, live and later.
Standard library only, since the capture process loads it.
"""

import enum
from typing import final


@final
class Fact(enum.StrEnum):
    """What a row says that holds no lines."""

    WAY = "way"
    """The way a node's lines come, in the words of its engine."""
    FORMAT = "format"
    """The format in which a node's lines are read, where one was chosen: its name and options, in JSON."""
    FILTERED = "filtered"
    """How much a capture filter has left out since the last such row of the node."""
    SOURCE_FAILED = "source_failed"
    """A source broke, and what was in it is lost."""
    PART = "part"
    """A piece of a line that is too long to wait in memory and has no end yet: it stands in the log. The row of its end
    counts it."""
    DOUBT = "doubt"
    """Something may be missing, and nobody can know: a file was truncated, or was gone before it could be read."""
    REFUSED = "refused"
    """Strangers came to a port and were turned away. No line of a node is missing for that."""
    SOURCE_WAITS = "source_waits"
    """A source had to be left alone for a while; the kernel keeps what is in it."""
    ABSENT = "absent"
    """Capture got no turn for a while, since it was stopped or its machine was too busy. Nothing is lost by that, but
    what was written meanwhile has a later time of arrival: no line is no proof then that none was written."""
    STOPPED = "stopped"
    """From this position on lines are not in the recording: the disk is full, or fails."""
    DELETED = "deleted"
    """Somebody deleted the run directory."""
    DIED = "died"
    """The capture process ended by itself. Lucy wrote this."""
    ORPHANED = "orphaned"
    """Lucy ended without closing the run; capture took what still came for a moment."""
    CLOSED = "closed"
    """The run was closed in order, and this is the last row."""
