"""All that the command line says, on stdout and stderr, to people and to programs.

Whoever reads may go away, be slow, hang up, sit behind a full disk or know no Unicode: the run goes on all the same.
So nothing here raises, and Lucy waits for nobody while the run goes on: what is said is queued, and a thread writes it.
Only a test's own prints wait once a megabyte is queued, as a print does everywhere. A daemon thread, for a reader who
never reads again must not keep the process from its end.

stdout and stderr have a thread each, so that a slow `| jq` doesn't keep people waiting; where both lead to the same
place, a terminal or `2>&1`, they share one, for there the order matters.

A full disk may have room again, so the next piece is tried; anything else is the end of that way. What could not be
shown is said in the end where something still can be.
"""

import codecs
import contextlib
import errno
import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TextIO, final

from lucy_core.visible import visible

PATIENCE_BYTES = 1 << 20
"""What may be queued before a test's own prints wait, and lines about its progress are left out."""
LOOK_SECONDS = 0.1
"""How often somebody who waits for a reader looks whether he still has to."""
PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""A reason not to write this piece, and no reason not to try the next."""
READER_GONE = errno.EPIPE
SPELLED = {"✓": "+", "\N{MULTIPLICATION SIGN}": "x", "\N{EN DASH}": "-", "…": "...", "\N{MIDDLE DOT}": "*"}
"""Lucy's own characters where the encoding lacks them."""
_ERRORS = "lucy.spelled"


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(
        SPELLED.get(each) or each.encode("ascii", "backslashreplace").decode() for each in missing
    ), error.end


codecs.register_error(_ERRORS, _spell)


class Failure(NamedTuple):
    """What could not be shown, and the error of its own that kept it."""

    what: str
    error: BaseException


@final
class Hand:
    """A thread that writes what it is given, in order."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.queued = 0
        """Bytes that are not written yet, those under way included."""
        self._pieces: deque[tuple[Way, bytes]] = deque()
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def take(self, way: "Way", data: bytes) -> None:
        with self.changed:
            if self._thread is None and not self._started():
                way.write_now(data)
                return
            self._pieces.append((way, data))
            self.queued += len(data)
            self.changed.notify_all()

    def _started(self) -> bool:
        """Start the thread; where there can be no more of them, writing has to wait for the reader."""
        thread = threading.Thread(target=self._write, name="lucy's voice", daemon=True)
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._thread = thread
        return self._thread is not None

    def _write(self) -> None:
        while True:
            with self.changed:
                while not self._pieces:
                    if self._is_closing:
                        return
                    self.changed.wait()
                way, data = self._pieces.popleft()
            way.write_now(data)
            with self.changed:
                self.queued -= len(data)
                self.changed.notify_all()

    def close(self) -> None:
        """Have the thread end when all is written. Nothing may be given to it any more."""
        with self.changed:
            self._is_closing = True
            self.changed.notify_all()

    def rest(self, enough: int = 0, until: Callable[[], bool] = lambda: False) -> None:
        """Wait until no more than `enough` bytes are queued, or nobody wants to wait any more."""
        with self.changed:
            while self.queued > enough and not until():
                self.changed.wait(LOOK_SECONDS)


@final
class Way:
    """One way out: a descriptor, and what became of what was to be written to it. Nothing here raises."""

    def __init__(self, descriptor: int, name: str, hand: Hand, *, closed: bool = False) -> None:
        """Write to `descriptor` by the given hand; `closed` where its number stands for nothing."""
        self.descriptor = descriptor
        self.name = name
        self.hand = hand
        self.trouble: str | None = "it is closed" if closed else None
        """Why something could not be shown."""
        self.is_gone = closed
        """Whether nothing can be shown any more."""
        self.reader_left = False
        """Whether that is since a reader went away, who then has seen enough."""
        self._has_lost = False
        self._is_torn = False

    def put(self, data: bytes) -> None:
        """Have something written, however much is queued."""
        if self.is_gone:
            self._has_lost = True
        elif data:
            self.hand.take(self, data)

    def put_in_passing(self, data: bytes) -> None:
        """Have something written, unless its reader is so slow that he would see it long after it was true."""
        if self.hand.queued > PATIENCE_BYTES:
            self.trouble = self.trouble or "its reader was slow"
            self._has_lost = True
        else:
            self.put(data)

    def put_patiently(self, data: bytes) -> None:
        """Have something written, waiting while much is queued."""
        self.put(data)
        self.hand.rest(PATIENCE_BYTES, lambda: self.is_gone)

    def write_now(self, data: bytes) -> None:
        """Write, however long the other end takes. For the hand."""
        view = memoryview(b"\n" + data if self._is_torn else data)
        total = len(view)
        try:
            while view and not self.is_gone:
                try:
                    view = view[os.write(self.descriptor, view) :]
                except BlockingIOError:  # somebody who shares it has made it so
                    room = select.poll()
                    room.register(self.descriptor, select.POLLOUT)
                    room.poll()
        except OSError as error:
            self.trouble = "its reader went away" if error.errno == READER_GONE else error.strerror or str(error)
            self.reader_left = error.errno == READER_GONE
            self.is_gone = error.errno not in PASSING
        self._has_lost = self._has_lost or bool(view)
        # What comes next would else go on in the middle of a line.
        self._is_torn = self._is_torn or (0 < len(view) < total and not self.is_gone)
        if not view:
            self._is_torn = False

    def wait(self) -> None:
        """Wait until all is written, or this way was given up. For a thread."""
        self.hand.rest(until=lambda: self.is_gone)

    def give_up(self) -> None:
        """Show nothing more of what is queued, and let go whoever waits; what is under way may go on."""
        self.trouble = self.trouble or "its reader was slow, and not waited for"
        self.is_gone = self._has_lost = True

    def isatty(self) -> bool:
        """Tell whether it is a terminal, and one that is still there."""
        return not self.is_gone and os.isatty(self.descriptor)

    @property
    def loss(self) -> str | None:
        return f"{self.name}: {self.trouble}; not all was shown there" if self.trouble and self._has_lost else None

    def text_stream(self) -> TextIO:
        stream = sys.__stdout__ if self.descriptor == 1 else sys.__stderr__
        encoding = "utf-8" if stream is None else stream.encoding
        return io.TextIOWrapper(_Bytes(self), encoding, _ERRORS, newline="\n", write_through=True)


@final
class _Bytes(io.BufferedIOBase):
    """A way, as the binary half of a text stream."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self.name = f"<{way.name}>"

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]  # what a text stream gives
        piece = bytes(data)
        self._way.put_patiently(piece)
        return len(piece)

    def fileno(self) -> int:
        return self._way.descriptor

    def isatty(self) -> bool:
        return self._way.isatty()


@final
class Voice:
    """Both ways out, and sentences for people."""

    def __init__(self, closed: frozenset[int] = frozenset()) -> None:
        """Speak on descriptors 1 and 2; those in `closed` were so when the process began."""
        hand = Hand()
        self.out = Way(1, "stdout", hand, closed=1 in closed)
        self.err = Way(2, "stderr", hand if _lead_to_one_place(1, 2) else Hand(), closed=2 in closed)
        self.out_text = self.out.text_stream()
        self.err_text = self.err.text_stream()
        self._failures: list[str] = []
        self._told: set[str] = set()

    def say(self, text: str) -> None:
        """Say a sentence of Lucy's to people. What of it would drive their terminal is shown."""
        self.err.put(self._encoded(f"{visible(text)}\n"))

    def say_in_passing(self, text: str) -> None:
        """Say what is worth knowing now, and not long after."""
        self.err.put_in_passing(self._encoded(f"{visible(text)}\n"))

    def say_as_it_is(self, text: str) -> None:
        """Say something that holds colours of Lucy's own, and was made visible without them."""
        self.err.put(self._encoded(text))

    def _encoded(self, text: str) -> bytes:
        return text.encode(self.err_text.encoding, _ERRORS)

    @property
    def is_coloured(self) -> bool:
        """Whether people see colours: on a terminal that has some, unless they want none."""
        dumb = os.environ.get("TERM", "dumb") in ("dumb", "")
        return self.err.isatty() and not dumb and not os.environ.get("NO_COLOR")

    def failed(self, failure: Failure) -> None:
        """Take note that a part of the showing failed by an error of its own, which is not the run's."""
        kind = type(failure.error).__name__
        self._failures.append(f"{failure.what} failed, and the run went on: {kind}: {failure.error}")

    def new_losses(self, *, of_readers: bool = True) -> list[str]:
        """Say what could not be shown, each once; with `of_readers` also who went away, and so has seen enough."""
        ways = [way for way in (self.out, self.err) if of_readers or not way.reader_left]
        losses = [*self._failures, *(way.loss for way in ways if way.loss is not None)]
        new = [each for each in losses if each not in self._told]
        self._told.update(new)
        return new

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Have everybody's prints go the same ways, and leave the interpreter nothing that its end could stumble on."""
        before = sys.stdout, sys.stderr
        for stream in before:
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
        sys.stdout, sys.stderr = self.out_text, self.err_text
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
            for way in (self.out, self.err):
                # The interpreter flushes both at its end, and where that fails the exit code is its own.
                if way.trouble is not None:
                    _replace_by_nothing(way.descriptor)

    def rest(self, until: Callable[[], bool]) -> None:
        """Wait until all is written, or nobody wants to wait any more."""
        for way in (self.err, self.out):
            way.hand.rest(until=until)
            if way.hand.queued:
                way.give_up()


def _lead_to_one_place(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False


def _replace_by_nothing(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, descriptor)
    os.close(nothing)
