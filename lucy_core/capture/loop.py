"""The capture process: drains every source into the recording, and does nothing else.

Why a process. A test may block its loop for seconds, spin in pure Python, or pause in a debugger, and no node may feel
it. A thread shares the interpreter's lock: each of its system calls then waits up to 5 ms for a spinning test, which
leaves five nodes about 100 MB/s in the best case and doubles every latency. A process shares nothing, costs 12 MB, and
goes on when the test is stopped with SIGSTOP. It starts in some 30 ms because it loads the standard library and its
neighbours in this folder alone; `test_architecture` holds it to that.

One channel. What the drain reads, the recorder writes down, and whoever wants lines follows its rows: live is a
recording that still grows. The socket beside it carries commands and replies only, until the disk fails: from then on
blocks travel on that socket, and since memory must stay bounded, a test that doesn't take them makes the nodes wait,
and the ledger says so.

The last row of a run that was closed in order says so. When Lucy is gone (her pidfd says so, or the socket's end), it
takes what is still coming, for two seconds at the most, says that, and ends.
"""

import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import Any, final

from lucy_core.capture.draining import NO_DESCRIPTOR, Drain, exhausted
from lucy_core.capture.facts import Fact
from lucy_core.capture.fifo import FifoSource
from lucy_core.capture.files.follow import FileSource
from lucy_core.capture.framing import Framer
from lucy_core.capture.recorder import Recorder
from lucy_core.capture.requests import WRITING, RefusedRequest, read_request
from lucy_core.capture.resumable import ResumableListener
from lucy_core.capture.rows import readable
from lucy_core.capture.sockets import Listener
from lucy_core.capture.tagged import SHARED

BACKLOG_BYTES = 4 << 20
"""What may wait on the socket once the disk has failed; more, and sources are left unread."""
ABSENT_NS = 500_000_000
"""For how long no source may go without being looked at before the recording says so: twice `LOOK_SECONDS`."""
LINGER_SECONDS = 2.0
READ_AT_ONCE = 1 << 18
QUIET_SECONDS = 0.2
LOOK_SECONDS = 0.25
"""How long it waits before it looks again. After idleness a node's time blocked is overstated by as much."""


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
        self._token = token
        self._recorder = Recorder(directory, journal, bell, epoch_ns=epoch_ns, send=self._send_block)
        self._drain = Drain(self._recorder)
        self._epoll = self._drain.epoll
        self._epoll.register(control.fileno(), select.EPOLLIN)
        # A pidfd: a child that Lucy has forked holds her end of the socket open for as long as it lives.
        self._lucy = lucy
        if lucy is not None:
            self._epoll.register(lucy, select.EPOLLIN)
        self._next_check = 0.0
        self._commands = Framer()
        self._outgoing = bytearray()
        self._parked = False
        self._orphaned = False
        self._closing = False
        self._epoch_ns = epoch_ns
        # Since when every source's lines have had to wait for us.
        self._present_ns = time.monotonic_ns()

    def run(self) -> None:
        """Serve until told to close, or until Lucy is gone and the sources are quiet."""
        control = self._control.fileno()
        gone_since = 0.0
        quiet_since = 0.0
        while True:
            got = 0
            for fd, events in self._look(0.05 if self._orphaned else LOOK_SECONDS):
                if fd == control:
                    self._serve_control(events)
                elif fd == self._lucy:
                    self._hear_last_words()
                elif not self._closing:  # nothing comes behind the last row
                    got |= self._drain.serve(fd)
            self._publish()
            if self._closing and not self._outgoing:
                return
            now = time.monotonic()
            if now >= self._next_check:
                self._next_check = now + 1.0
                self._recorder.check_directory()
                self._drain.tick()
            if self._orphaned:
                gone_since = gone_since or now
                quiet_since = now if got or not quiet_since else quiet_since
                if now - gone_since > LINGER_SECONDS or now - quiet_since > QUIET_SECONDS:
                    self._drain.tear_all()
                    self._recorder.note(Fact.ORPHANED)
                    self._publish()
                    return

    def _look(self, seconds: float) -> list[tuple[int, int]]:
        """Wait for something to do."""
        self._notice_absence()
        parked = self._parked
        self._present_ns = self._present_ns if parked else time.monotonic_ns()
        ready = self._drain.poll(seconds)
        self._notice_absence()
        if not parked:  # parked, nothing is looked at
            self._present_ns = time.monotonic_ns()
        return ready

    def _notice_absence(self) -> None:
        """Have the recording say it where we got no turn for long. Parked, that isn't known before it is over."""
        now = time.monotonic_ns()
        if now - self._present_ns > ABSENT_NS and not self._parked and not self._closing:
            reason = f"capture stood still for {(now - self._present_ns) / 1e9:.1f} s"
            self._recorder.note(Fact.ABSENT, reason=reason, since_ns=self._epoch_ns + self._present_ns)
            self._present_ns = now

    def _publish(self) -> None:
        self._recorder.publish()
        if self._outgoing:
            self._flush_outgoing()

    # Talking to Lucy

    def _send_block(self, row: bytes, data: bytes) -> None:
        if not self._orphaned:
            self._outgoing += b'{"block":%b}\n' % row.rstrip()
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

    def _park(self, parked: bool) -> None:  # noqa: FBT001  # a state, not a switch of behaviour
        self._parked = parked
        self._drain.park(parked)

    def _abandon(self) -> None:
        """Lucy is gone: nobody to talk to, only the recording to finish."""
        if not self._orphaned:
            self._orphaned = True
            self._outgoing.clear()
            self._epoll.unregister(self._control.fileno())
            if self._lucy is not None:
                self._epoll.unregister(self._lucy)
            self._park(parked=False)

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
            self._recorder.note(Fact.DOUBT, node, reason=f"capture could not do as it was told: {reply['error']}")
            self._publish()

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        recorder, drain, node = self._recorder, self._drain, command.get("node", "")
        match command["op"]:
            case "seen":
                recorder.recycler.seen = command["position"]
                return {}
            case "inject":
                text = command["text"].encode()
                position = recorder.position
                recorder.put(node, [text], text.count(b"\n"))
                return {"position": position}
            case "note":
                recorder.note(Fact(command["fact"]), node, **command["more"])
                return {}
            case "fifo":
                recorder.open_log(node)
                fifo = FifoSource(command["path"])
                drain.add(fifo, node)
                return {"capacity": fifo.capacity}
            case "shared_fifo":
                for each in (*command["nodes"], SHARED):
                    recorder.open_log(each)
                drain.add(FifoSource(command["path"]), SHARED, command["nodes"])
                return {}
            case "file":
                if recorder.owns(command["path"]):
                    raise RefusedRequest(f"{command['path']} is the recording's own: it would grow by being read")
                recorder.open_log(node)
                drain.add(FileSource(command["path"]), node)
                return {}
            case "listen":
                address = command["address"]
                recorder.open_log(node)
                listener = Listener(address if isinstance(address, str) else tuple(address), self._token)
                drain.add(listener, node)
                return {"address": listener.address}
            case "listen_resumably":
                recorder.open_log(node)
                resumable = ResumableListener(tuple(command["address"]), self._token, node)
                drain.add(resumable, node)
                return {"address": resumable.address}
            case "fence":
                return {"position": recorder.position}
            case "drain":
                drain.drain(node)
                return {"position": recorder.position}
            case "close":
                drain.finish()
                self._notice_absence()
                recorder.note(Fact.CLOSED)
                self._closing = True
                return {"position": recorder.position}
            case other:
                raise RefusedRequest(f"no command is called {other!r}")


def _reason(error: OSError) -> str:
    reason = exhausted() if error.errno in NO_DESCRIPTOR else error.strerror or str(error)
    return reason + (f": {error.filename}" if error.filename else "")


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
