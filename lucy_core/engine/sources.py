"""Where a node's lines come from: its output, whole or by its two streams, and files that it writes. Sans-IO."""

import enum
from typing import Any

from lucy_core.arguments import relative_path, text_of
from lucy_core.errors import ArgumentError
from lucy_core.records.keys import key_of

STDOUT, STDERR = "stdout", "stderr"
"""What the sources of an output are called that is told apart."""


class Streams(enum.StrEnum):
    """How a daemon's stdout and stderr are captured."""

    TOGETHER = "together"
    """As one source, in the order in which the daemon wrote to them."""
    APART = "apart"
    """As two, `stdout` and `stderr`: of two lines that were written to both at once either may arrive first."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What their sources are called: of one for both nothing, else that of stdout and that of stderr."""
        return (STDOUT, STDERR) if self is Streams.APART else ("",)

    def keys(self, node: str) -> tuple[str, ...]:
        """Return what they are called among those of all nodes: `db`, or `db/stdout` and `db/stderr`."""
        return tuple(key_of(node, source) for source in self.sources)


def streams_of(value: Any, name: str) -> Streams:
    """Take how they are captured, as text or as a `Streams`."""
    text = text_of(value, name)
    for streams in Streams:
        if text == streams:
            return streams
    raise ArgumentError(
        name, value, f"is neither {' nor '.join(repr(str(each)) for each in Streams)}; give one of them"
    )


def log_files(value: Any, name: str) -> str:
    """Take a pattern of paths below the node's directory."""
    text: str = relative_path(value, name)
    if text in (STDOUT, STDERR):
        raise ArgumentError(name, value, "is what a stream is called; take another name, or a pattern like 'log/*.log'")
    if "**" in text:
        raise ArgumentError(name, value, "has '**', which finds no depth of directories here; give a pattern for each")
    return text
