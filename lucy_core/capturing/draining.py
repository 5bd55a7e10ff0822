"""The drain: takes in turns what all sources hold, and cuts it into blocks of whole lines. Bare.

There is one drain for two callers. The capture process waits for its epoll and writes the blocks down; a pipeline that
keeps no recording has its loop wait for the same epoll, and delivers them. What differs is where blocks go, the `Sink`.
"""

import resource
import select
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import final

from lucy_core.capturing.facts import Fact
from lucy_core.capturing.framing import LINE_BYTES, Chunk, Framer, LongLine
from lucy_core.capturing.searching import count_lines
from lucy_core.capturing.sink import Sink
from lucy_core.capturing.sources.buffer import Buffer
from lucy_core.capturing.sources.sockets import GREETING_SECONDS, WAITING_PEERS
from lucy_core.capturing.sources.source import NO_DESCRIPTOR, Source
from lucy_core.capturing.tagged import SHARED, Demultiplexer, Piece
from lucy_core.records.keys import key_of, node_of


@final
class Reading:
    """A source that is being read, and whose lines it gives."""

    __slots__ = ("fd", "last_ns", "node", "overlooked", "sharers", "source", "split", "taken")

    def __init__(self, source: Source, node: str, sharers: Sequence[str]) -> None:
        self.source = source
        self.fd = source.fileno()
        self.node = node
        self.sharers: tuple[str, ...] = (*sharers, node)
        """Whose lines come from it; of a shared pipe the nodes and the debris."""
        self.split = Demultiplexer(sharers) if sharers else None
        self.last_ns = time.monotonic_ns()
        self.overlooked = False
        """Whether it was suspended since it was last read, so that no look has found it empty."""
        self.taken = 0

    def key_of(self, framer: Framer) -> str:
        """Return the key of what a framer holds: the source's own, or that of one of several that it reads."""
        return key_of(self.node, framer.name) if framer.name else self.node


@final
class Drain:
    """All sources of one run, and whose turn it is. One thread, no locks."""

    def __init__(self, sink: Sink) -> None:
        self.epoll = select.epoll()
        """Becomes readable with any source that isn't suspended. Others may register descriptors of their own."""
        self.readings: dict[int, Reading] = {}
        self.buffer = Buffer()
        self._sink = sink
        self._of: defaultdict[str, list[Reading]] = defaultdict(list)
        """The sources by key."""
        self._keys: defaultdict[str, dict[str, None]] = defaultdict(dict)
        """The keys by node."""
        self._strangers: dict[str, tuple[int, str]] = {}
        """How many were turned away at a node's port of whom nobody was told yet, and what the last of them did."""
        self._unread: set[int] = set()
        self._suspended: set[int] = set()
        self._resting: set[int] = set()
        """What a full table of descriptors keeps waiting; tried again at each `tick`."""
        self.parked = False
        """Whether none is read for now."""
        # When all were looked at last, and before: whoever wasn't served since had nothing.
        self._looked_ns = self._empty_ns = 0

    def add(self, source: Source, node: str, sharers: Sequence[str] = ()) -> None:
        """Read a source from now on; it is closed here."""
        reading = Reading(source, node, sharers)
        self.readings[reading.fd] = reading
        self._index(reading, reading.sharers)
        if not self.parked:
            self.epoll.register(reading.fd, select.EPOLLIN)
        if source.unread:
            self._unread.add(reading.fd)

    def join(self, reading: Reading, keys: Sequence[str]) -> None:
        """Have more of them share a pipe; whoever does already is no error."""
        new = [key for key in dict.fromkeys(keys) if key not in reading.sharers]
        if reading.split is not None:
            reading.split.join(new)
        reading.sharers = (*new, *reading.sharers)
        self._index(reading, new)

    def _index(self, reading: Reading, keys: Sequence[str]) -> None:
        for key in keys:
            self._of[key].append(reading)
            self._keys[node_of(key)][key] = None

    def close(self) -> None:
        for reading in self.readings.values():
            reading.source.close()
        self.readings.clear()
        self.epoll.close()

    # Whose turn it is

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        """Wait for descriptors that have something to do; return each with its events."""
        unread = self._unread - self._suspended if self._unread and not self.parked else None
        ready = self.epoll.poll(0 if unread else seconds)
        self._empty_ns = max(self._empty_ns, self._looked_ns)
        self._looked_ns = time.monotonic_ns()
        return [*ready, *((fd, 0) for fd in unread)] if unread else ready

    def found_empty(self, at_ns: int) -> None:
        """Take note that all sources that aren't suspended were empty at a moment, or have been read since."""
        self._empty_ns = max(self._empty_ns, at_ns)

    def suspend(self, reading: Reading) -> None:
        """Read a source no more for now; the kernel keeps what is in it. One that has ended is no error."""
        if self.readings.get(reading.fd) is reading and reading.fd not in self._suspended:
            reading.overlooked = True
            self._suspended.add(reading.fd)
            if not self.parked:
                self.epoll.unregister(reading.fd)

    def resume(self, reading: Reading) -> None:
        """Read a source again. One that isn't suspended, or has ended, is no error."""
        if self.readings.get(reading.fd) is reading and reading.fd in self._suspended:
            self._suspended.remove(reading.fd)
            reading.overlooked = True
            if not self.parked:
                self.epoll.register(reading.fd, select.EPOLLIN)
            if reading.source.unread:
                self._unread.add(reading.fd)

    def park(self, parked: bool) -> None:  # noqa: FBT001  # a state, not a switch of behaviour
        """Suspend all sources, or none that isn't suspended for itself."""
        if parked == self.parked:
            return
        self.parked = parked
        for fd, reading in self.readings.items():
            reading.overlooked = True
            if fd not in self._suspended:
                if parked:
                    self.epoll.unregister(fd)
                else:
                    self.epoll.register(fd, select.EPOLLIN)

    def tick(self) -> None:
        """Do what nobody tells of: to be called each second."""
        for fd in tuple(self._resting):
            self.resume(self.readings[fd])
        self._resting.clear()
        for reading in tuple(self.readings.values()):
            if reading.fd not in self._suspended and not self.parked:
                self._look_at(reading)
        self.turn_away_the_silent(time.monotonic())

    def _look_at(self, reading: Reading) -> None:
        try:
            reading.source.look()
        except OSError as error:
            self._fail(reading, error)
        else:
            if reading.source.unread:
                self._unread.add(reading.fd)

    # Reading

    def serve(self, fd: int) -> int:
        """Take one chunk of a source; return its size, or 1 where something else has happened."""
        reading = self.readings.get(fd)
        if reading is None:
            return 0
        source = reading.source
        try:
            found = source.accept()
            if found is not None:
                self.add(found, reading.node)
                self._make_room(reading.node)
                return 1
            chunk = source.read()
        except OSError as error:
            return self._fail(reading, error)
        if chunk is None:
            self._drop(reading)
            if source.silent_since is not None:
                self._turned_away(reading.node, "left without a word of the run's token")
            return 1
        if not source.is_plain:
            self._heed(reading)
        if chunk:
            self.take(reading, chunk)
            if not source.is_plain:
                source.kept()
        return len(chunk)

    def _heed(self, reading: Reading) -> None:
        """Take what a source has to say beside its bytes."""
        source = reading.source
        (self._unread.add if source.unread else self._unread.discard)(reading.fd)
        for framer in source.take_torn():
            self._give_up(framer, reading.key_of(framer))
        for reason in source.take_doubts():
            self._sink.note(Fact.DOUBT, reading.node, reason=reason)

    def take(self, reading: Reading, chunk: Chunk) -> None:
        source, framer = reading.source, reading.source.framer
        now = time.monotonic_ns()
        if source.blocked:
            # An upper bound: it wasn't full at our last visit, nor when we looked and found nothing in it.
            free_ns = reading.last_ns if reading.overlooked else max(reading.last_ns, self._empty_ns)
            for node in reading.sharers:
                self._sink.add_blocked(node, now - free_ns)
        reading.last_ns = now
        reading.overlooked = False
        reading.taken += len(chunk)
        key = reading.key_of(framer)
        if framer.long is not None or framer.exceeds(chunk, LINE_BYTES):
            chunk = self._take_long(framer, key, bytes(chunk))
        pieces = framer.feed(chunk)
        if reading.split is not None:
            self._deal_out(reading.split.feed(b"".join(pieces)))
        elif pieces:
            self._sink.put(key, pieces, count_lines(chunk))

    def _fail(self, reading: Reading, error: OSError) -> int:
        """Have a source rest or end, whichever its failure means; return 1 where it has ended."""
        if error.errno in NO_DESCRIPTOR:
            if reading.fd not in self._resting:
                self._sink.note(Fact.SOURCE_WAITS, reading.node, reason=exhausted())
                self._resting.add(reading.fd)
                self._unread.discard(reading.fd)
                self.suspend(reading)
            return 0
        self._drop(reading)
        if reading.source.silent_since is None:
            self._sink.note(Fact.SOURCE_FAILED, reading.node, reason=str(error))
        else:
            self._turned_away(reading.node, error.strerror or str(error))
        return 1

    def _drop(self, reading: Reading) -> None:
        self.tear(reading)
        if not self.parked and reading.fd not in self._suspended:
            self.epoll.unregister(reading.fd)
        for waiting in (self._suspended, self._resting, self._unread):
            waiting.discard(reading.fd)
        del self.readings[reading.fd]
        for node in reading.sharers:
            self._of[node].remove(reading)
        reading.source.close()

    def drain(self, node: str, *, ended: bool = False) -> None:
        """Take what a node's sources hold now; what is then unfinished has lost its writer.

        A source that tells its end by itself may tell it late, or never: who knows that all writers `ended` says so.
        """
        done: set[Reading] = set()
        emptied: list[Reading] = []
        # A connection that waits to be accepted is a source of its own, and may be all that there is.
        while left := [reading for reading in self._all_of(node) if reading not in done]:
            emptied += filter(self._drain_source, left)
            done.update(left)
        for reading in emptied:  # when all are read: of what one has begun, another may bring the end
            if ended or not reading.source.tells_its_end:
                self.tear(reading, node)

    def _all_of(self, node: str) -> list[Reading]:
        """Return the sources of a node, whatever they are called."""
        return [reading for key in self._keys.get(node, ()) for reading in self._of.get(key, ())]

    def peers(self, node: str) -> int:
        """Return of how many sources a node's lines may come that will tell their end; strangers are none."""
        sources = (reading.source for reading in self._all_of(node))
        return sum(source.tells_its_end and source.silent_since is None for source in sources)

    def _drain_source(self, reading: Reading) -> bool:
        """Take what a source holds; return whether it is empty then."""
        self._look_at(reading)
        if self.readings.get(reading.fd) is not reading:
            return False
        # What it holds at the moment of the call, and no more: more than that comes from a writer that still lives, and
        # may yet finish its line.
        budget = reading.taken + reading.source.left()
        while reading.taken <= budget and self.readings.get(reading.fd) is reading:
            if not self.serve(reading.fd):
                return self.readings.get(reading.fd) is reading
        return False

    def finish(self) -> None:
        """Take what all sources hold, and give up on every unfinished line: the run is being closed."""
        for node in (*self._keys, *self._keys):  # twice, for files that are being renamed at this moment
            self.drain(node)
        self.tear_all()
        self.turn_away_the_silent(time.monotonic())

    # Unfinished and overlong lines, shared pipes

    def tear_all(self) -> None:
        """Give up on every unfinished line."""
        for reading in tuple(self.readings.values()):
            self.tear(reading)

    def tear(self, reading: Reading, node: str = SHARED) -> None:
        """Give up on the unfinished lines of a source; of a shared pipe on this node's alone: others may still live."""
        split = reading.split
        for framer in reading.source.unfinished():
            if split is None or (framer.long is not None and node == SHARED):
                self._give_up(framer, reading.key_of(framer))
            elif tail := framer.flush():
                if node == SHARED or split.is_alone(tail, node):
                    self._deal_out(split.flush(tail))
                else:
                    framer.feed(tail)

    def _give_up(self, framer: Framer, node: str) -> None:
        """Take an unfinished line for what there will ever be of it."""
        if framer.long is not None:
            self._end_long(framer, framer.long, node, b"", torn=True)
        elif tail := framer.flush():
            self._sink.put(node, [tail], 1, torn=True)

    def _take_long(self, framer: Framer, node: str, chunk: bytes) -> bytes:
        """Hand on what belongs to a line that is too long to wait in memory; return what follows it."""
        if framer.long is None:
            framer.long = self._sink.begin_long(node)
            self._put_part(framer.long, node, framer.take())
        end = chunk.find(b"\n") + 1
        if end:
            self._end_long(framer, framer.long, node, chunk[:end], torn=False)
            return chunk[end:]
        self._put_part(framer.long, node, [chunk])
        return b""

    def _put_part(self, line: LongLine, node: str, pieces: Sequence[bytes | bytearray]) -> None:
        before = line.size
        for piece in pieces:
            line.take(piece)
        if line.size > before:
            self._sink.put_part(node, pieces, line.size - before)

    def _end_long(self, framer: Framer, line: LongLine, node: str, end: bytes, *, torn: bool) -> None:
        framer.long = None
        line.take(end.removesuffix(b"\n"))
        self._sink.end_long(node, line, end, torn=torn)

    def _deal_out(self, pieces: list[Piece]) -> None:
        """Give the nodes that share a pipe their lines, and to each row what there is to count."""
        for piece in pieces:
            counted = {}
            if piece.torn or piece.duplicates or piece.lost:
                counted = {"torn_lines": piece.torn, "duplicates": piece.duplicates, "lost": piece.lost}
            self._sink.put(piece.node, [piece.data], piece.lines, torn=piece.unfinished, **counted)

    # Strangers

    def turn_away_the_silent(self, now: float) -> None:
        """Turn away who has owed its first word for long, and tell of all that were turned away since the last time."""
        for node in tuple(self._of):
            for reading, since in self._silent(node):
                if now - since > GREETING_SECONDS:
                    self._turn_away(reading, f"said nothing for {GREETING_SECONDS:g} s")
        self._tell_of_strangers()

    def _make_room(self, node: str) -> None:
        """Turn the peer away that has been silent longest, where too many are."""
        silent = self._silent(node)
        if len(silent) > WAITING_PEERS:
            self._turn_away(silent[0][0], f"had said nothing while {WAITING_PEERS} more came")

    def _silent(self, node: str) -> list[tuple[Reading, float]]:
        """Return the peers that owe a word, in the order in which they came, and since when."""
        sources = ((reading, reading.source.silent_since) for reading in self._of[node])
        return [(reading, since) for reading, since in sources if since is not None]

    def _turn_away(self, reading: Reading, reason: str) -> None:
        self.serve(reading.fd)  # what it says may lie there, and only we were late
        if reading.source.silent_since is not None and self.readings.get(reading.fd) is reading:
            self._drop(reading)
            self._turned_away(reading.node, reason)

    def _turned_away(self, node: str, reason: str) -> None:
        """Count a stranger; the first of a node is told of at once, the others now and then, together."""
        is_first = node not in self._strangers
        peers, _ = self._strangers.get(node, (0, ""))
        self._strangers[node] = (peers + 1, reason)
        if is_first:
            self._tell_of_strangers()

    def _tell_of_strangers(self) -> None:
        for node, (peers, reason) in self._strangers.items():
            if peers:
                self._sink.note(Fact.REFUSED, node, reason=reason, peers=peers)
                self._strangers[node] = (0, "")


def exhausted() -> str:
    """Say that no descriptor is left, and what to do."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"no descriptor is left, of {soft}, and each node takes two; raise the limit (ulimit -n, or LimitNOFILE=)"
