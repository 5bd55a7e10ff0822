"""The part of the engine contract that is about lines: where they go in, and what an engine alone knows of them.

An engine opens a source for each node and keeps out of the way of its lines. What it notes goes into the recording, at
the place where it notes it, and from there into the ledger: now, and whenever the run is replayed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lucy_core.records.journal import EngineNotice, NodeMeasured


class LineCapture(Protocol):
    """Where lines go in: what `Plan.open` is given. `lucy_core.delivery.pipeline` implements it."""

    token: str
    """What a peer over TCP has to say to show that it belongs to the run."""

    async def open_fifo(self, node: str, path: Path | None = None, *, source: str = "") -> Path:
        """Make the FIFO of a node, drain it from now on, and return its path. Writers may open it at any time.

        By default it is in the run directory; one that is at `path` already is taken as it is. A line of more than 72
        MiB, from here as from any source, is in the recording whole, and given as malformed with its beginning alone.

        Of a node with several sources each but one has a name: `source`, which its events tell.
        """
        ...

    async def open_shared_fifo(self, nodes: Sequence[str], path: Path | None = None) -> Path:
        """Make one FIFO for several nodes, or for several sources, drain it from now on, and return its path.

        Sources of a node are named as in `Streams.keys`. By default it is in the run directory, which has one such; one
        that is at `path` already is taken as it is. Lines come tagged (`lucy_core.capturing.tagged`) with one of these
        names; what is torn, there twice or missing is in the ledgers.
        """
        ...

    async def join_shared_fifo(self, nodes: Sequence[str], path: Path) -> None:
        """Have more nodes or sources share the FIFO that `open_shared_fifo` returned; before they write into it."""
        ...

    async def follow_file(self, node: str, path: Path, *, source: str = "") -> None:
        """Read a file from its start and follow its name, through rotation, links that are put elsewhere, truncation.

        Whatever the name leads to is read for as long as it is written. What may be missing all the same is a gap of
        the node's: what stood in a file before it was truncated, unread, or in one that was gone too soon.
        """
        ...

    async def follow_log_files(self, node: str, directory: Path, patterns: Sequence[str]) -> None:
        """Follow each file below a directory whose path matches one of them, now or later, from its beginning.

        Each is a source of the node, called by the path at which it was seen first: one that was renamed since is read
        on under that name, whether the new one matches or not. What may be missing all the same is a gap of the node's.
        """
        ...

    async def listen(self, node: str, address: str | tuple[str, int]) -> str | tuple[str, int]:
        """Take a node's lines over a socket, unix (a path) or TCP (port 0: any); return the real address.

        A TCP peer has to say the run's token within ten seconds. Who doesn't is turned away and counted, and makes
        nothing incomplete.
        """
        ...

    async def listen_resumably(self, node: str, host: str, *, source: str = "") -> tuple[str, int]:
        """Take a node's lines over TCP, on a free port, through connections that may break; return the real address.

        Or those of one of its sources, whose peer says `node/source` in the place of the node's name.

        What is spoken there stands in `lucy_core.capturing.sources.resumable`: a connection that takes the place of a
        broken one goes on where the recording ends, so that nothing is lost and nothing comes twice.
        """
        ...

    def write_nowait(self, node: str, lines: bytes, *, source: str = "") -> None:
        """Put whole lines into the run's order, as if `node` had written them now, to one of its sources."""
        ...

    def note(self, event: EngineNotice | NodeMeasured) -> None:
        """Write into Lucy's journal what the engine has learned of a node, for whoever looks into the run."""
        ...

    def note_way(self, node: str, way: str, *, source: str = "") -> None:
        """Say which way a node's lines come, or those of one of its sources, in one word: `fifo`, `engine`."""
        ...

    def note_filtered(self, node: str, *, lines: int, bytes: int, events: int) -> None:  # noqa: A002  # what they are
        """Say how much a capture filter has left out of a node's lines since the last call."""
        ...

    def note_failed(self, node: str, reason: str) -> None:
        """Say that lines of a node are lost, and why: the run is incomplete from here on."""
        ...

    def abort(self, error: BaseException) -> None:
        """End the run: whoever waits, now or later, raises this. For what an engine can't go on without.

        Lines are delivered on; only the first call counts.
        """
        ...

    async def drain(self, node: str, *, ended: bool = False) -> int:
        """Take all that a node has written whose writer is gone, half a line too; return the position after it.

        A connection that is still open has a writer, and may be so long after that is gone: say that it has `ended`.
        """
        ...

    async def hung_up(self, node: str) -> None:
        """Take all that comes over a node's connections, until the last of them is closed.

        Limit it: a connection to what is no longer on the network may never close.
        """
        ...
