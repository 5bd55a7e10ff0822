"""The capture process: drains every source into the recording, and does nothing else.

Why a process. A test may block its loop for seconds, spin in pure Python, or pause in a debugger, and no node may feel
it. A thread shares the interpreter's lock: each of its system calls then waits up to 5 ms for a spinning test, which
leaves five nodes about 100 MB/s in the best case and doubles every latency. A process shares nothing, costs 12 MB, and
goes on when the test is stopped with SIGSTOP. It starts in some 30 ms because it loads the standard library and its
neighbours in this folder alone; `test_architecture` holds it to that.

One channel. What it reads it appends to `logs/<node>.ndjson` as it came, whole lines at a time, then one row a block to
`arrivals.ndjson`, then it rings an eventfd. Whoever wants lines follows the rows: live is a recording that still grows.
The socket beside it carries commands and replies only, until the disk fails: from then on blocks travel on that socket,
and since memory must stay bounded, a test that doesn't take them makes the nodes wait, and the ledger says so.

What it knows of the recording itself (a source that broke, a disk that is full, the end) is a row too, of no lines
(`facts`): it alone is sure to live when that happens. The last row of a run that was closed in order says so. When Lucy
is gone (her pidfd says so, or the socket's end), it takes what is still coming, for two seconds at the most, says that,
and ends.

A full disk must not keep the recording from saying that it stopped. A few blocks are kept for that, in a file without
a name: gone with the process, and given up by closing it. Not taken: arrivals that are allocated ahead of their end,
which `ftruncate` gives up, and that is what takes half a row back after a failed write. On ext4 blocks that were given
up are free once its journal is committed; a write that finds no room waits for that. Whoever else writes on that disk
may be faster: then there is no such row, none follows it, and a replay says that the last one is missing.
"""

import contextlib
import errno
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, final

from lucy_core.capture.facts import Fact
from lucy_core.capture.fifo import FifoSource
from lucy_core.capture.files.follow import FileSource
from lucy_core.capture.framing import LINE_BYTES, Framer, LongLine, count_lines
from lucy_core.capture.recycling import Recycler
from lucy_core.capture.requests import WRITING, RefusedRequest, read_request
from lucy_core.capture.rows import BlockRow, FactRow, Log, keep_reserve, readable, write_all
from lucy_core.capture.sockets import GREETING_SECONDS, WAITING_PEERS, Connection, Listener, Strangers
from lucy_core.capture.sources import Source
from lucy_core.capture.tagged import SHARED, Demultiplexer, Piece

BACKLOG_BYTES = 4 << 20
"""What may wait on the socket once the disk has failed; more, and sources are left unread."""
ABSENT_NS = 500_000_000
"""For how long no source may go without being looked at before the recording says so: twice `LOOK_SECONDS`."""
LINGER_SECONDS = 2.0
READ_AT_ONCE = 1 << 18
DRAINED_ROWS = 64
"""After how many blocks of one source they are made visible."""
QUIET_SECONDS = 0.2
LOOK_SECONDS = 0.25
"""How long it waits before it looks again. After idleness a node's time blocked is overstated by as much."""


@final
class _Reading:
    """A source with its own unfinished line."""

    __slots__ = ("framer", "last_ns", "log", "sharers", "source", "split", "taken")

    def __init__(self, source: Source, log: Log) -> None:
        self.source = source
        self.log = log
        self.framer = Framer()
        self.last_ns = time.monotonic_ns()
        self.taken = 0
        self.split: Demultiplexer | None = None
        self.sharers: tuple[Log, ...] = (log,)
        """Whose lines come from it; of a shared pipe the nodes and the debris."""


@final
class Capture:
    """The loop. One object, one thread, no locks."""

    def __init__(
        self,
        control: socket.socket,
        bell: int,
        directory: str,
        journal: str,
        *,
        token: str,
        epoch_ns: int,
        lucy: int | None = None,
    ) -> None:
        control.setblocking(False)
        self._control = control
        self._bell = bell
        self._directory = directory
        self._journal = journal
        self._token = token
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        # A pidfd: a child that Lucy has forked holds her end of the socket open for as long as it lives.
        self._lucy = lucy
        if lucy is not None:
            self._epoll.register(lucy, select.EPOLLIN)
        self._readings: dict[int, _Reading] = {}
        self._logs: dict[str, Log] = {}
        self._sources: defaultdict[Log, list[_Reading]] = defaultdict(list)
        self._strangers: defaultdict[Log, Strangers] = defaultdict(Strangers)
        self._rows: list[BlockRow | FactRow] = []
        self._arrivals = os.open(
            f"{directory}/arrivals.ndjson", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._arrivals_size = os.fstat(self._arrivals).st_size
        self._reserve = keep_reserve(directory)
        self._position = 0
        self._recording = True
        # Whether the arrivals take no further row: one could not be written, and what follows would hide that.
        self._sealed = False
        self._deleted = False
        self._next_check = 0.0
        self._commands = Framer()
        self._outgoing = bytearray()
        self._parked = False
        self._orphaned = False
        self._closing = False
        self._unread_files: set[int] = set()
        # What a full table of descriptors keeps waiting; tried again each second.
        self._resting: set[int] = set()
        # A step of the machine's clock must not reorder arrivals: Lucy has read it once, for both of us, and we count.
        self._epoch_ns = epoch_ns
        self._recycler = Recycler()
        # When we last looked at all sources, and the time before: whoever wasn't served since then had nothing.
        self._looked_ns = self._empty_ns = 0
        # Since when every source's lines have had to wait for us.
        self._present_ns = time.monotonic_ns()

    def run(self) -> None:
        """Serve until told to close, or until Lucy is gone and the sources are quiet."""
        control = self._control.fileno()
        gone_since = 0.0
        quiet_since = 0.0
        while True:
            timeout = 0.0 if self._unread_files else (0.05 if self._orphaned else LOOK_SECONDS)
            got = False
            for fd, events in self._look(timeout):
                if fd == control:
                    self._serve_control(events)
                elif fd == self._lucy:
                    self._hear_last_words()
                elif not self._closing:  # nothing comes behind the last row
                    got |= self._serve_source(fd)
            for fd in tuple(self._unread_files) if not self._closing else ():
                got |= self._serve_source(fd)
            self._publish()
            if self._closing and not self._outgoing:
                return
            now = time.monotonic()
            if now >= self._next_check:
                self._next_check = now + 1.0
                self._check_directory()
                self._wake()
                self._look_at_files()
                self._turn_away_the_silent(now)
            if self._orphaned:
                gone_since = gone_since or now
                quiet_since = now if got or not quiet_since else quiet_since
                if now - gone_since > LINGER_SECONDS or now - quiet_since > QUIET_SECONDS:
                    self._flush_all()
                    self._note(Fact.ORPHANED)
                    self._publish()
                    return

    def _look(self, timeout: float) -> list[tuple[int, int]]:
        """Wait for something to do."""
        self._notice_absence()
        parked = self._parked
        self._present_ns = self._present_ns if parked else time.monotonic_ns()
        ready = self._epoll.poll(timeout)
        self._notice_absence()
        if not parked:  # parked, nothing is looked at
            self._empty_ns, self._looked_ns = self._looked_ns, time.monotonic_ns()
            self._present_ns = self._looked_ns
        return ready

    def _notice_absence(self) -> None:
        """Have the recording say it where we got no turn for long. Parked, that isn't known before it is over."""
        now = time.monotonic_ns()
        if now - self._present_ns > ABSENT_NS and not self._parked and not self._closing:
            reason = f"capture stood still for {(now - self._present_ns) / 1e9:.1f} s"
            self._note(Fact.ABSENT, reason=reason, since_ns=self._epoch_ns + self._present_ns)
            self._present_ns = now

    # Sources

    def _serve_source(self, fd: int) -> bool:
        """Take one chunk; return whether there was any."""
        reading = self._readings.get(fd)
        if reading is None:
            return False
        source = reading.source
        try:
            found = source.accept()
            if found is not None:
                self._add(found, reading.log)
                self._make_room(reading.log)
                return True
            chunk = source.read()
        except OSError as error:
            return self._fail(fd, reading, error)
        if chunk is None:
            self._drop(fd, reading)
            if isinstance(source, Connection) and source.waiting:
                self._turned_away(reading.log, "left without a word of the run's token")
            return True
        if isinstance(source, FileSource):
            (self._unread_files.add if source.unread else self._unread_files.discard)(fd)
            self._take_from_file(source, reading)
        if chunk:
            self._take(reading, chunk)
        return bool(chunk)

    def _fail(self, fd: int, reading: _Reading, error: OSError) -> bool:
        """Have a source rest or end, whichever its failure means; return whether it has ended."""
        if error.errno in (errno.EMFILE, errno.ENFILE):
            self._rest(fd, reading)
            return False
        self._drop(fd, reading)
        if isinstance(reading.source, Connection) and reading.source.waiting:
            self._turned_away(reading.log, error.strerror or str(error))
        else:
            self._note(Fact.SOURCE_FAILED, reading.log.node, reason=str(error))
        return True

    # Strangers

    def _make_room(self, log: Log) -> None:
        """Turn the peer away that has been silent longest, where too many are."""
        waiting = self._waiting(log)
        if len(waiting) > WAITING_PEERS:
            self._turn_away(waiting[0], f"had said nothing while {WAITING_PEERS} more came")

    def _turn_away_the_silent(self, now: float) -> None:
        for log in self._logs.values():
            for reading, connection in self._waiting(log):
                if now - connection.since > GREETING_SECONDS:
                    self._turn_away((reading, connection), f"said nothing for {GREETING_SECONDS:g} s")
            if log in self._strangers:
                self._tell_of_strangers(log, self._strangers[log])

    def _waiting(self, log: Log) -> list[tuple[_Reading, Connection]]:
        """Return the peers that have yet to say the token, in the order in which they came."""
        return [
            (reading, reading.source)
            for reading in self._sources[log]
            if isinstance(reading.source, Connection) and reading.source.waiting
        ]

    def _turn_away(self, peer: tuple[_Reading, Connection], reason: str) -> None:
        reading, connection = peer
        fd = connection.fileno()
        self._serve_source(fd)  # what it says may lie there, and only we were late
        if connection.waiting and self._readings.get(fd) is reading:
            self._drop(fd, reading)
            self._turned_away(reading.log, reason)

    def _turned_away(self, log: Log, reason: str) -> None:
        strangers = self._strangers[log]
        if strangers.add(reason):
            self._tell_of_strangers(log, strangers)

    def _tell_of_strangers(self, log: Log, strangers: Strangers) -> None:
        if strangers.count:
            self._note(Fact.REFUSED, log.node, reason=strangers.reason, peers=strangers.count)
            strangers.count = 0

    # Lines

    def _take(self, reading: _Reading, chunk: bytes) -> None:
        now = time.monotonic_ns()
        if reading.source.blocked():
            # An upper bound: it wasn't full at our last visit, nor when we looked and found nothing in it.
            waited_ns = now - max(reading.last_ns, self._empty_ns)
            for log in reading.sharers:
                log.blocked_ns += waited_ns
        reading.last_ns = now
        reading.taken += len(chunk)
        if reading.framer.long is not None or reading.framer.exceeds(chunk, LINE_BYTES):
            chunk = self._take_long(reading.framer, reading.log, chunk)
        pieces = reading.framer.feed(chunk)
        if not pieces:
            return
        if reading.split is None:
            self._append(reading.log, pieces, count_lines(chunk), self._epoch_ns + now)
        else:
            self._deal_out(reading.split.feed(b"".join(pieces)), self._epoch_ns + now)

    def _take_from_file(self, source: FileSource, reading: _Reading) -> None:
        """Take what a file has beside its next bytes."""
        for framer in source.take_torn():
            self._give_up(framer, reading.log)
        for reason in source.take_doubts():
            self._note(Fact.DOUBT, reading.log.node, reason=reason)
        reading.framer = source.framer

    def _tear(self, reading: _Reading, node: str | None = None) -> None:
        """Give up on the unfinished line; of a shared pipe on this node's alone, for the others may still live."""
        if isinstance(reading.source, FileSource):
            for framer in reading.source.framers():
                self._give_up(framer, reading.log)
            return
        if reading.split is None or (reading.framer.long is not None and node in (None, SHARED)):
            self._give_up(reading.framer, reading.log)
            return
        tail = reading.framer.flush()
        if not tail:
            return
        if node in (None, SHARED) or reading.split.is_alone(tail, str(node)):
            self._deal_out(reading.split.flush(tail), self._now_ns())
        else:
            reading.framer.feed(tail)

    def _give_up(self, framer: Framer, log: Log) -> None:
        """Take an unfinished line for what there will ever be of it."""
        if framer.long is not None:
            self._end_long(framer.long, log, b"", torn=True)
            framer.long = None
        elif tail := framer.flush():
            self._append(log, [tail], 1, self._now_ns(), torn=True)

    def _take_long(self, framer: Framer, log: Log, chunk: bytes) -> bytes:
        """Put into the log what belongs to a line that is too long to wait in memory; return what follows it."""
        if framer.long is None:
            framer.long = LongLine(log.offset)
            self._put_part(framer.long, log, framer.take())
        end = chunk.find(b"\n") + 1
        if not end:
            self._put_part(framer.long, log, [chunk])
            return b""
        self._end_long(framer.long, log, chunk[:end], torn=False)
        framer.long = None
        return chunk[end:]

    def _put_part(self, line: LongLine, log: Log, part: Sequence[bytes | bytearray]) -> None:
        before = line.size
        for piece in part:
            line.take(piece)
        size = line.size - before
        if not self._recording or not size:
            return
        try:
            write_all(log.fd, part)
        except OSError as error:
            self._stop_at(log, self._position, error)
        else:
            more = {"offset": log.offset, "part": size}
            self._rows.append(FactRow(Fact.PART, self._position, self._now_ns(), log.node, **more))
            log.offset += size
            self._recycler.wrote(log.fd, log.offset, self._position)

    def _end_long(self, line: LongLine, log: Log, end: bytes, *, torn: bool) -> None:
        line.take(end.removesuffix(b"\n"))
        log.counted = b',"overlong":%d,"begun":%d' % (line.size, line.begun)
        self._append(log, [end if self._recording else line.head], 1, self._now_ns(), torn=torn)

    def _deal_out(self, pieces: list[Piece], arrived_ns: int) -> None:
        """Give the nodes that share a pipe their lines, and to each row what there is to count."""
        for piece in pieces:
            log = self._log(piece.node)
            if piece.torn or piece.duplicates or piece.lost:
                log.counted = b',"torn_lines":%d,"duplicates":%d,"lost":%d' % piece[-3:]
            self._append(log, [piece.data], piece.lines, arrived_ns, torn=piece.unfinished)

    def _add(self, source: Source, log: Log, sharers: tuple[Log, ...] = ()) -> None:
        reading = _Reading(source, log)
        if sharers:
            reading.sharers = (*sharers, log)
            reading.split = Demultiplexer(sharer.node for sharer in sharers)
        fd = source.fileno()
        self._readings[fd] = reading
        for sharer in reading.sharers:
            self._sources[sharer].append(reading)
        if not self._parked:
            self._epoll.register(fd, select.EPOLLIN)
        if isinstance(source, FileSource):
            self._unread_files.add(fd)

    def _rest(self, fd: int, reading: _Reading) -> None:
        """Leave a source alone for a while: what it needs a descriptor for waits in the kernel, and isn't lost."""
        if fd not in self._resting:
            self._note(Fact.SOURCE_WAITS, reading.log.node, reason=_exhausted())
            self._resting.add(fd)
            self._unread_files.discard(fd)
            if not self._parked:
                self._epoll.unregister(fd)

    def _wake(self) -> None:
        resting, self._resting = self._resting, set()
        for fd in resting:
            if not self._parked:
                self._epoll.register(fd, select.EPOLLIN)
            if isinstance(self._readings[fd].source, FileSource):
                self._unread_files.add(fd)

    def _look_at_files(self) -> None:
        """Have files looked at of which nobody may have told."""
        for fd, reading in tuple(self._readings.items()):
            if isinstance(reading.source, FileSource) and fd not in self._resting and not self._parked:
                self._look_at(fd, reading, reading.source)

    def _look_at(self, fd: int, reading: _Reading, source: FileSource) -> None:
        try:
            source.look()
        except OSError as error:
            self._fail(fd, reading, error)
        else:
            self._unread_files.add(fd)

    def _drop(self, fd: int, reading: _Reading) -> None:
        self._tear(reading)
        if not self._parked and fd not in self._resting:
            self._epoll.unregister(fd)
        self._resting.discard(fd)
        del self._readings[fd]
        for log in reading.sharers:
            self._sources[log].remove(reading)
        self._unread_files.discard(fd)
        reading.source.close()

    # The recording

    def _append(
        self,
        log: Log,
        pieces: Sequence[bytes | bytearray | memoryview],
        lines: int,
        arrived_ns: int,
        *,
        torn: bool = False,
    ) -> None:
        size = sum(map(len, pieces))
        row = BlockRow(log, self._position, size, lines, arrived_ns, torn=torn)
        self._position += lines
        if self._recording:
            try:
                write_all(log.fd, pieces)
            except OSError as error:
                self._stop_at(log, row.position, error)
            else:
                log.offset += size
                self._rows.append(row)
                self._recycler.wrote(log.fd, log.offset, self._position)
                return
        self._send_block(row, b"".join(pieces))
        log.offset += size

    def _stop_at(self, log: Log, position: int, error: OSError) -> None:
        """Stop the recording where a log can't be written."""
        with contextlib.suppress(OSError):
            os.ftruncate(log.fd, log.offset)
        self._publish()
        self._stop_recording(position, f"logs/{log.node}.ndjson: {error.strerror}")

    def _publish(self) -> None:
        """Make the blocks and facts of this turn visible: rows after bytes, the bell after rows."""
        if self._rows:
            rows, self._rows = self._rows, []
            written, error = self._write_rows(rows)
            if error is not None:
                rest = rows[written:]
                self._stop_recording(rest[0].position, f"arrivals.ndjson: {error.strerror}")
                for row in rest:
                    if isinstance(row, FactRow):
                        self._persist(row)
                    else:
                        self._send_block(row, row.data())
            os.eventfd_write(self._bell, 1)
        if self._outgoing:
            self._flush_outgoing()

    def _write_rows(self, rows: Sequence[BlockRow | FactRow]) -> tuple[int, OSError | None]:
        """Append rows; return how many went in, and why the others didn't."""
        text = b"".join([row.encode() for row in rows])
        try:
            write_all(self._arrivals, [text])
        except OSError as error:
            # Whole rows that went in stay: somebody may have read them already, and would get their lines twice.
            written = max(0, os.fstat(self._arrivals).st_size - self._arrivals_size)
            kept = text[:written].rfind(b"\n") + 1
            self._arrivals_size += kept
            try:
                os.ftruncate(self._arrivals, self._arrivals_size)
            except OSError:
                self._sealed = True  # behind half a row nothing can be read
            return text.count(b"\n", 0, kept), error
        self._arrivals_size += len(text)
        return len(rows), None

    def _note(self, fact: Fact, node: str = "", **more: object) -> None:
        """Have the recording say something of itself at this place."""
        row = FactRow(fact, self._position, self._now_ns(), node, **more)
        if self._recording:
            self._rows.append(row)
        else:
            self._persist(row)

    def _persist(self, row: FactRow) -> None:
        """Write a fact once lines aren't written any more, or else tell it to Lucy: both, and it would count twice."""
        if not self._sealed:
            written, _ = self._write_rows([row])
            self._sealed |= not written
        if self._sealed:
            self._send_block(row, b"")
        else:
            os.eventfd_write(self._bell, 1)

    def _stop_recording(self, position: int, reason: str) -> None:
        if self._recording:
            self._recording = False
            if self._reserve >= 0:
                os.close(self._reserve)
                self._reserve = -1
            self._persist(FactRow(Fact.STOPPED, position, self._now_ns(), "", reason=reason))

    def _check_directory(self) -> None:
        if not self._deleted and os.fstat(self._arrivals).st_nlink == 0:
            self._deleted = True
            self._note(Fact.DELETED)
            self._publish()

    # Talking to Lucy

    def _send_block(self, row: BlockRow | FactRow, data: bytes) -> None:
        if self._orphaned:
            return
        self._outgoing += b'{"block":%b}\n' % row.encode().rstrip()
        self._outgoing += data
        self._flush_outgoing()

    def _say(self, message: dict[str, Any]) -> None:
        if not self._orphaned:
            said = {name: readable(value) for name, value in message.items()}
            self._outgoing += json.dumps(said).encode() + b"\n"
            self._flush_outgoing()

    def _flush_outgoing(self) -> None:
        try:
            while self._outgoing:
                sent = self._control.send(memoryview(self._outgoing)[:READ_AT_ONCE])
                del self._outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._abandon()
            return
        wanted = select.EPOLLIN | (select.EPOLLOUT if self._outgoing else 0)
        self._epoll.modify(self._control.fileno(), wanted)
        self._park(len(self._outgoing) > BACKLOG_BYTES)

    def _park(self, park: bool) -> None:  # noqa: FBT001  # a state, not a switch of behaviour
        if park == self._parked:
            return
        self._parked = park
        for fd in self._readings.keys() - self._resting:
            if park:
                self._epoll.unregister(fd)
            else:
                self._epoll.register(fd, select.EPOLLIN)

    def _abandon(self) -> None:
        """Lucy is gone: nobody to talk to, only the recording to finish."""
        if not self._orphaned:
            self._orphaned = True
            self._outgoing.clear()
            self._epoll.unregister(self._control.fileno())
            if self._lucy is not None:
                self._epoll.unregister(self._lucy)
            self._park(park=False)

    def _hear_last_words(self) -> None:
        """Lucy has ended: obey what she said before that."""
        while not self._orphaned and self._hear():
            pass
        self._abandon()

    def _serve_control(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._flush_outgoing()
        if events & ~select.EPOLLOUT and not self._orphaned:
            self._hear()

    def _hear(self) -> bool:
        """Obey what has come from Lucy; return whether there was anything."""
        try:
            chunk = self._control.recv(READ_AT_ONCE)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self._abandon()
            return False
        for line in b"".join(self._commands.feed(chunk)).split(b"\n")[:-1]:
            self._serve_command(line)
        return True

    def _serve_command(self, line: bytes) -> None:
        """Obey a command, or refuse it: none may end the process that all nodes' lines hang on."""
        number, op, node = None, "", ""
        try:
            command = read_request(line)
            number, op, node = command.get("id"), command["op"], command.get("node", "")
            self._notice_absence()  # before the answer: whoever asks what has arrived must know
            reply = self._obey(command)
        except RefusedRequest as refusal:
            if not op:  # it could not even be read whole
                number, op, node = refusal.number, refusal.op, refusal.node
            reply = {"error": str(refusal)}
        except OSError as error:
            reply = {"error": _reason(error)}
        except Exception as error:  # noqa: BLE001  # whatever it is, the others' lines go on
            reply = {"error": f"{type(error).__name__}: {error}"}
        self._publish()
        if number is not None:
            self._say({"id": number, **reply})
        elif "error" in reply and op in WRITING:  # nobody waits for an answer
            self._note(Fact.DOUBT, node, reason=f"capture could not do as it was told: {reply['error']}")
            self._publish()

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["op"]:
            case "seen":
                self._recycler.seen = command["position"]
                return {}
            case "inject":
                text = command["text"].encode()
                position = self._position
                self._append(self._log(command["node"]), [text], text.count(b"\n"), self._now_ns())
                return {"position": position}
            case "note":
                self._note(Fact(command["fact"]), command["node"], **command["more"])
                return {}
            case "fifo":
                log = self._log(command["node"])
                source = FifoSource(command["path"])
                self._add(source, log)
                return {"capacity": source.capacity}
            case "shared_fifo":
                logs = [self._log(node) for node in (*command["nodes"], SHARED)]
                self._add(FifoSource(command["path"]), logs.pop(), tuple(logs))
                return {}
            case "file":
                path, own = os.path.realpath(command["path"]), os.path.realpath(self._directory)
                if os.path.dirname(path) == f"{own}/logs" or path in {
                    f"{own}/arrivals.ndjson",
                    f"{own}/journal.ndjson",
                }:
                    raise RefusedRequest(f"{command['path']} is the recording's own: it would grow by being read")
                log = self._log(command["node"])
                self._add(FileSource(command["path"]), log)
                return {}
            case "listen":
                address = command["address"]
                log = self._log(command["node"])
                listener = Listener(address if isinstance(address, str) else tuple(address), self._token)
                self._add(listener, log)
                return {"address": listener.address}
            case "fence":
                return {"position": self._position}
            case "drain":
                self._drain(command["node"])
                return {"position": self._position}
            case "close":
                for node in (*self._logs, *self._logs):  # twice, for files that are being renamed at this moment
                    self._drain(node)
                self._flush_all()
                self._turn_away_the_silent(time.monotonic())
                self._notice_absence()
                self._note(Fact.CLOSED)
                self._closing = True
                return {"position": self._position}
            case other:
                raise RefusedRequest(f"no command is called {other!r}")

    def _log(self, node: str) -> Log:
        if node not in self._logs:
            self._logs[node] = Log(self._directory, node, self._journal)
        return self._logs[node]

    def _now_ns(self) -> int:
        return self._epoch_ns + time.monotonic_ns()

    def _drain(self, node: str) -> None:
        """Take what a node's sources hold now; what is then unfinished has lost its writer."""
        log = self._logs.get(node)
        done: set[_Reading] = set()
        # A connection that waits to be accepted is a source of its own, and may be all that there is.
        while log and (left := [reading for reading in self._sources[log] if reading not in done]):
            for reading in left:
                done.add(reading)
                self._drain_source(reading, node)

    def _drain_source(self, reading: _Reading, node: str) -> None:
        source, fd = reading.source, reading.source.fileno()
        if isinstance(source, FileSource):
            self._look_at(fd, reading, source)
        # What it holds at the moment of the call, and no more: more than that comes from a writer that still lives, and
        # may yet finish its line.
        budget = reading.taken + (source.holds() if fd in self._readings else 0)
        while reading.taken <= budget and self._readings.get(fd) is reading:
            if not self._serve_source(fd):
                if not isinstance(source, Connection):
                    self._tear(reading, node)
                return
            if len(self._rows) >= DRAINED_ROWS:
                self._publish()  # a long file takes its time, and whoever asked must see that we are at it

    def _flush_all(self) -> None:
        for reading in tuple(self._readings.values()):
            self._tear(reading)


def _reason(error: OSError) -> str:
    reason = _exhausted() if error.errno in (errno.EMFILE, errno.ENFILE) else error.strerror or str(error)
    return reason + (f": {error.filename}" if error.filename else "")


def _exhausted() -> str:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"no descriptor is left, of {soft}, and each node takes two; raise the limit (ulimit -n, or LimitNOFILE=)"


def main(arguments: list[str]) -> None:
    """Run the capture loop: `control-fd bell-fd directory journal epoch pidfd`, with the run's token beside them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # It ends when its socket does, never before the nodes' last lines are taken.
        signal.signal(number, signal.SIG_IGN)
    gc.disable()  # It makes no cycles, and a collection is a pause.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    control, bell, directory, journal, epoch, lucy = arguments
    token = os.environ.pop("LUCY_TOKEN", "")
    channel = socket.socket(fileno=int(control))
    Capture(channel, int(bell), directory, journal, token=token, epoch_ns=int(epoch), lucy=int(lucy)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
