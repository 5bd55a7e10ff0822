"""Lucy's end of a helper: starting it, asking it, hearing from it, its end, and its last words.

**Helpers watch Lucy, and not the end of a socket.** A test that forks (`multiprocessing`, `ProcessPoolExecutor`) hands
every descriptor on to its children, so that a socket of a Lucy who was killed stays open for as long as one of them
lives. A pidfd says of one process alone whether it has ended, whoever else holds it, and without a race: Lucy opens it
of herself, and no other process can ever be meant by it. The end of the socket counts besides; it is how Lucy says so
herself.

**They have last words.** What one says on its standard error goes into a file without a name, and is told with its
death.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, final, overload

import anyio
from anyio.lowlevel import checkpoint

from lucy_core import log
from lucy_core.errors import HelperDiedError, HelperStartError
from lucy_core.helpers.calls import Call, Calls
from lucy_core.helpers.channel import Channel, Malformed, Message, Notice, Reply
from lucy_core.helpers.forms import Done, Form, fill_in, shown, verb

R = TypeVar("R", bound=Form)
BOOT = str(Path(__file__).with_name("boot.py"))
CHUNK_BYTES = 1 << 16
SAID_BYTES = 1 << 16


@contextmanager
def own_pidfd() -> Iterator[int]:
    """Hold a descriptor that becomes readable once this process has ended: pass it on to a helper, which polls it."""
    pidfd = os.pidfd_open(os.getpid())
    try:
        yield pidfd
    finally:
        os.close(pidfd)


@final
class LastWords:
    """A place for a helper's standard error."""

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd = os.memfd_create("last-words", os.MFD_CLOEXEC)

    def fileno(self) -> int:
        """Return what to give to `Popen` as `stderr`."""
        return self._fd

    def last_line(self) -> str:
        """Return the last line that was said, which of a traceback is the error, or nothing."""
        end = os.fstat(self._fd).st_size
        said = os.pread(self._fd, SAID_BYTES, max(0, end - SAID_BYTES)).decode(errors="replace")
        return said.strip().rpartition("\n")[2].strip()

    def close(self) -> None:
        """Give the memory back. Again is no error."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def how_it_ended(code: int, last_line: str = "") -> str:
    """Say how a process ended, of whose `Popen` this is the return code: `was killed by SIGKILL`, `exited with 1`."""
    if code < 0:
        try:
            how = f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            how = f"was killed by signal {-code}"
    else:
        how = f"exited with code {code}"
    return f"{how}, saying: {last_line}" if last_line else how


class Refused(Exception):  # noqa: N818  # no error of Lucy's: an answer, which each client says in its own words
    """It was not done, and the helper lives.

    Attributes:
        op: what it was asked.
        reason: why not.
    """

    def __init__(self, op: str, reason: str) -> None:
        self.op = op
        self.reason = reason
        super().__init__(f"{op}: {reason}")


@final
class Helper:
    """A process of Lucy's own. `listen` has to run for as long as it is asked anything; `dispose` ends it."""

    def __init__(
        self,
        what: str,
        module: str,
        *words: str,
        keep: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        directory: str = "/",
        hear: Mapping[type[Any], Callable[[Any], object]] | None = None,
        death: type[HelperDiedError] = HelperDiedError,
    ) -> None:
        """Start it. It runs at once, and answers some 20 ms later.

        It has a session of its own: neither a terminal's Ctrl-C nor a signal to Lucy's group is meant for it.

        Args:
            what: it is, and is for, as an error says it: `the pump, which carries nodes' lines`.
            module: whose `main` gets a socket to Lucy, a pidfd of hers, and the words.
            words: text.
            keep: descriptors that it inherits, by their numbers.
            environment: its own, if not Lucy's.
            directory: where it works; its own place, lest it holds a directory busy.
            hear: what to do with each notice, by its form.
            death: what to raise when it is gone.

        Raises:
            HelperStartError: it can't be started.
        """
        self.what = what
        """Which it is, for people."""
        self._death = death
        self._hear = {verb(form): (form, act) for form, act in (hear or {}).items()}
        try:
            with contextlib.ExitStack() as undo:
                self._words = LastWords()
                undo.callback(self._words.close)
                self._control, theirs = socket.socketpair()
                undo.callback(self._control.close)
                self._control.setblocking(False)
                with theirs, own_pidfd() as lucy:
                    own = (theirs.fileno(), lucy)
                    self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own program
                        [sys.executable, "-I", "-S", BOOT, module, *map(str, own), *words],
                        pass_fds=(*own, *keep),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=self._words.fileno(),
                        start_new_session=True,
                        env=environment,
                        cwd=directory,
                    )
                undo.pop_all()
        except OSError as error:
            raise HelperStartError(what, error) from error
        self._channel = Channel()
        self._calls: Calls[Reply] = Calls()
        self._outgoing: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._stuck = anyio.Event()
        self._dismissed = False
        self.heard_out = anyio.Event()
        """Set once it has ended and all that it said was heard."""
        self.signs = 0
        """Of its being alive: how often something came from it."""
        self.before_reading: Callable[[], Awaitable[None]] | None = None
        """Waits where nothing more can be taken from it."""
        self._is_heard = False
        """Whether `listen` was begun."""
        self.died: HelperDiedError | None = None
        """That it is gone, where nobody had told it to end."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit status once it has ended, negative for a signal; None before."""
        return self._process.poll()

    @property
    def death(self) -> HelperDiedError:
        """Why nobody answers."""
        return self.died or self._death(self.what, self.pid, "was told to end")

    @property
    def how(self) -> str:
        """How it ended, once it has, with its last words."""
        return how_it_ended(self._process.wait(), self._words.last_line())

    # Asking

    def tell(self, form: Form) -> None:
        """Send a request that wants no answer. Requests are obeyed in order."""
        self._send(self._channel.tell(form))

    def call(self, form: Form, descriptors: Sequence[int] = ()) -> Call[Reply]:
        """Send a request, with descriptors that are closed here once they are sent, and don't wait.

        Raises:
            Refused: it is larger than any may be; the descriptors are the caller's still.
        """
        try:
            number, data = self._channel.ask(form, descriptors=len(descriptors))
        except ValueError as error:
            raise Refused(verb(type(form)), str(error)) from error
        call = self._calls.begin(number, verb(type(form)))
        self._send(data, descriptors)
        return call

    @overload
    async def ask(self, form: Form) -> Done: ...
    @overload
    async def ask(self, form: Form, reply: type[R]) -> R: ...
    async def ask(self, form: Form, reply: type[Any] = Done) -> Any:
        """Send a request and wait for its reply. Cancelled, it is obeyed all the same.

        Raises:
            Refused: it was not done, or is larger than any may be.
            HelperDiedError: the helper is gone, or goes meanwhile.
        """
        call = self.call(form)
        await call.done.wait()
        return self.result(call, reply)

    def result(self, call: Call[Reply], form: type[R]) -> R:
        """Return what came of a call that is done.

        Raises:
            Refused: the helper says why not.
            HelperDiedError: it is gone.
        """
        if call.answer is None:
            raise self.death
        if call.answer.error is not None:
            raise Refused(call.op, call.answer.error)
        return fill_in(form, call.answer.fields, call.answer.data)

    def _send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        self._outgoing.append((memoryview(data), descriptors))
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outgoing:
                data, descriptors = self._outgoing[0]
                # They go with the first byte that does, and belong to the request that it begins.
                sent = socket.send_fds(self._control, [data], descriptors) if descriptors else self._control.send(data)
                _close(descriptors)
                self._outgoing[0] = (data[sent:], ())
                if sent == len(data):
                    self._outgoing.popleft()
        except BlockingIOError:
            self._stuck.set()  # `listen` goes on with it
        except OSError:
            self._forget_outgoing()  # `listen` sees the end too, and says so

    def _forget_outgoing(self) -> None:
        while self._outgoing:
            _close(self._outgoing.popleft()[1])

    # Hearing

    async def listen(self) -> None:
        """Hear what it says until it has ended; then `died` says how, unless it was to end."""
        self._is_heard = True
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send_rest)
                await self._hear_all()
                tasks.cancel_scope.cancel()
            await self.ended()
            if not self._dismissed:
                how = how_it_ended(self._process.wait())
                self.died = self._death(self.what, self.pid, how, self._words.last_line())
        finally:
            self._calls.end()
            self.heard_out.set()

    async def _send_rest(self) -> None:
        while True:
            await self._stuck.wait()
            self._stuck = anyio.Event()
            try:
                await anyio.wait_writable(self._control)
            except (OSError, anyio.ClosedResourceError):
                return  # `_hear_all` sees the end too
            self._flush()

    async def _hear_all(self) -> None:
        while True:
            if self.before_reading is not None:
                await self.before_reading()
            try:
                await anyio.wait_readable(self._control)
                chunk = self._control.recv(CHUNK_BYTES)
            except BlockingIOError:
                continue
            except (OSError, anyio.ClosedResourceError):
                return
            if not chunk:
                return
            self.signs += 1
            for message in self._channel.feed(chunk):
                self._understand(message)

    def _understand(self, message: Message) -> None:
        match message:
            case Reply(number=int(number)):
                self._calls.settle(number, message)  # whoever asked may have given up
            case Notice(name=name) if name in self._hear:
                form, act = self._hear[name]
                try:
                    told = fill_in(form, message.fields, message.data)
                except ValueError as error:
                    self._puzzled(str(error))
                else:
                    act(told)
            case Reply(error=reason) | Malformed(reason=reason):
                self._puzzled(str(reason))
            case other:
                self._puzzled(shown(other))

    def _puzzled(self, reason: str) -> None:
        log.warning(f"{self.what}, and Lucy don't understand each other: {reason}", helper=self.pid)

    # Its end

    def hang_up(self) -> None:
        """Let it end: that Lucy has hung up is what it ends by. It is no death from here on."""
        self._dismissed = True
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    async def end(self, seconds: float) -> None:
        """Let it end, and wait until it has and its last word was heard, `seconds` long. For a shielded caller."""
        self.hang_up()
        with anyio.move_on_after(seconds):
            await self.ended()
            await checkpoint()  # who is to hear it may not have begun before
            if self._is_heard:
                await self.heard_out.wait()

    def kill(self) -> None:
        """Kill it. Unless it was to end, that is a death."""
        self._process.kill()

    async def ended(self) -> None:
        """Wait until it has ended. Cancelled, it leaves all as it is."""
        if self._process.poll() is None:
            pidfd = os.pidfd_open(self.pid)
            try:
                await anyio.wait_readable(pidfd)
            finally:
                os.close(pidfd)

    def leave(self) -> None:
        """Close all descriptors, and let it go on by itself if it still runs."""
        if self._process.poll() is None:
            # A child that nobody waits for would be complained about when collected.
            self._process.returncode = 0
        self._close()

    def dispose(self) -> None:
        """Close all descriptors, and kill it if it still runs. Again is no error."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._dismissed = True
        if self._control.fileno() >= 0:
            # Whoever waits for the descriptor must not wait for whatever gets its number next.
            anyio.notify_closing(self._control)
            self._control.close()
        self._forget_outgoing()
        self._words.close()


def _close(descriptors: Sequence[int]) -> None:
    for fd in descriptors:
        os.close(fd)
