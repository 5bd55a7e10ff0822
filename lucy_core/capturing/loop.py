"""The capture process: drains every source into the recording, and does nothing else.

Why a process. A test may block its loop for seconds, spin in pure Python, or pause in a debugger, and no node may feel
it. A thread shares the interpreter's lock: each of its system calls then waits up to 5 ms for a spinning test, which
leaves five nodes about 100 MB/s in the best case and doubles every latency. A process shares nothing, costs 12 MB, and
goes on when the test is stopped with SIGSTOP. It starts in some 30 ms because it loads nothing but the standard library
and modules that do with it; `test_architecture` holds it to that.

One channel. What the drain reads, the recorder writes down, and whoever wants lines follows its rows: live is a
recording that still grows. The socket beside it carries commands and replies only, until the disk fails: from then on
blocks travel on that socket, and since memory must stay bounded, a test that doesn't take them makes the nodes wait,
and the ledger says so of those that write into pipes.

The last row of a run that was closed in order says so. When Lucy is gone (her pidfd says so, or the socket's end), it
takes what is still coming, for two seconds at the most, says that, and ends.
"""

import gc
import os
import resource
import select
import socket
import time
from typing import final

from lucy_core.capturing import searching
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.intake import Intake, reason
from lucy_core.capturing.recorder.recorder import Recorder
from lucy_core.capturing.requests import Block, Close, Note, Position, Seen, Write, check_node
from lucy_core.helpers.channel import Malformed, Request
from lucy_core.helpers.forms import verb
from lucy_core.helpers.server import Server

BACKLOG_BYTES = 4 << 20
"""What may wait on the socket once the disk has failed; more, and sources are left unread."""
ABSENT_NS = 500_000_000
"""For how long no source may go without being looked at before the recording says so: twice `LOOK_SECONDS`."""
LINGER_SECONDS = 2.0
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
        lucy: int = -1,
    ) -> None:
        # A step of the machine's clock must not reorder arrivals: Lucy has read it once, for both of us, and we count.
        self._epoch_ns = epoch_ns
        self._recorder = Recorder(
            directory, journal, bell, now_ns=lambda: epoch_ns + time.monotonic_ns(), send=self._send_block
        )
        self._intake = Intake(self._recorder, token)
        self._drain = self._intake.drain
        self._server = Server(control, {**self._intake.verbs, Seen: self._see, Close: self._close}, reason)
        self._epoll = self._drain.epoll
        self._epoll.register(self._server.fileno(), select.EPOLLIN)
        # A pidfd: a child that Lucy has forked holds her end of the socket open for as long as it lives.
        self._lucy = lucy
        if lucy >= 0:
            self._epoll.register(lucy, select.EPOLLIN)
        self._orphaned = False
        self._closing = False
        # Since when every source's lines have had to wait for us.
        self._present_ns = time.monotonic_ns()

    def run(self) -> None:
        """Serve until told to close, or until Lucy is gone and the sources are quiet."""
        next_check = gone_since = quiet_since = 0.0
        while True:
            got = 0
            ready = dict(self._look(0.05 if self._orphaned else LOOK_SECONDS))
            heard = self._serve_control(ready.pop(self._server.fileno(), 0))
            if ready.pop(self._lucy, 0) and not heard:  # what she said before she ended is obeyed first
                self._abandon()
            for fd in ready if not self._closing else ():  # nothing comes behind the last row
                got |= self._drain.serve(fd)
            self._publish()
            if self._closing and (self._orphaned or not self._server.backlog):
                return
            now = time.monotonic()
            if now >= next_check:
                next_check = now + 1.0
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
        parked = self._drain.parked
        self._present_ns = self._present_ns if parked else time.monotonic_ns()
        ready = self._drain.poll(seconds)
        self._notice_absence()
        if not parked:  # parked, nothing is looked at
            self._present_ns = time.monotonic_ns()
        return ready

    def _notice_absence(self) -> None:
        """Have the recording say it where we got no turn for long. Parked, that isn't known before it is over."""
        now = time.monotonic_ns()
        if now - self._present_ns > ABSENT_NS and not self._drain.parked and not self._closing:
            reason = f"capture stood still for {(now - self._present_ns) / 1e9:.1f} s"
            self._recorder.note(Fact.ABSENT, reason=reason, since_ns=self._epoch_ns + self._present_ns)
            self._present_ns = now

    def _publish(self) -> None:
        self._recorder.publish()
        if self._server.backlog:
            self._server.flush()
            self._make_room()

    # Talking to Lucy

    def _send_block(self, block: Block) -> None:
        if not self._orphaned:
            self._server.notify(block)
            self._make_room()

    def _make_room(self) -> None:
        """Wait for Lucy to take what has been said, and read no sources while that is much."""
        if not self._orphaned:
            self._epoll.modify(self._server.fileno(), self._server.awaited)
            self._drain.park(self._server.backlog > BACKLOG_BYTES)

    def _abandon(self) -> None:
        """Lucy is gone: nobody to talk to, only the recording to finish."""
        if not self._orphaned:
            self._orphaned = True
            self._epoll.unregister(self._server.fileno())
            if self._lucy >= 0:
                self._epoll.unregister(self._lucy)
            self._drain.park(parked=False)

    def _serve_control(self, events: int) -> bool:
        """Obey what has come from Lucy; return whether there was anything to hear."""
        if events & select.EPOLLOUT:
            self._server.flush()
            self._make_room()
        if self._orphaned or not events & ~select.EPOLLOUT:
            return False
        requests = self._server.receive()
        if requests is None:
            self._abandon()
        for request in requests or ():
            self._serve(request)
        return True

    def _serve(self, request: Request | Malformed) -> None:
        """Obey a request, or refuse it."""
        self._notice_absence()  # before the answer: whoever asks what has arrived must know
        outcome = self._server.obey(request)
        self._publish()
        if outcome.error is not None and isinstance(request, Request) and request.number is None:
            self._doubt(request, outcome.error)
        self._server.answer(request, outcome)
        self._make_room()

    def _doubt(self, request: Request, reason: str) -> None:
        """Have the recording say what is missing in it, where nobody waits for an answer."""
        if request.op in (verb(Write), verb(Note)):
            try:
                node = check_node(request.fields.get("node"))
            except ValueError:
                node = ""
            self._recorder.note(Fact.DOUBT, node, reason=f"capture could not do as it was told: {reason}")
            self._publish()

    def _see(self, asked: Seen) -> None:
        self._recorder.recycler.seen = asked.position

    def _close(self, _: Close) -> Position:
        self._drain.finish()
        self._notice_absence()
        self._recorder.note(Fact.CLOSED)
        self._closing = True
        return Position(self._recorder.position)


def main(
    control: socket.socket, lucy: int, bell: str, directory: str, journal: str, epoch_ns: str, library: str
) -> None:
    """Be the capture process. The run's token stands in the environment, where other users can't read it."""
    searching.use(library)
    gc.disable()  # It makes no cycles, and a collection is a pause.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    token = os.environ.pop("LUCY_TOKEN", "")
    Capture(control, int(bell), directory, journal, token=token, epoch_ns=int(epoch_ns), lucy=lucy).run()
