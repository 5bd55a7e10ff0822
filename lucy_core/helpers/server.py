"""A helper's end of the socket to Lucy: it takes what she asks, has it done, and answers. Standard library only.

It never waits. Lucy may be blocked or stopped, and what she is told waits here until there is room.
"""

import os
import select
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, final

from lucy_core.helpers.channel import Channel, Malformed, Message, Reply, Request
from lucy_core.helpers.forms import Done, Form, fill_in, shown, verb

CHUNK_BYTES = 1 << 16
"""Below what glibc maps for each read anew: 256 KiB cost 14 µs more."""
MOST_DESCRIPTORS = 16
"""How many may come with one message; more would be closed by the kernel."""


class Outcome(NamedTuple):
    """What came of a request: a reply, or why there is none."""

    reply: Form = Done()
    """The answer."""
    error: str | None = None
    """Why it can't be done; None where it can."""


LATER = Outcome()
"""It is answered by whoever takes it from here, by its number."""


def reason_of(error: Exception) -> str:
    """Say in words why something could not be done."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _asked(message: Message) -> Request | Malformed:
    if isinstance(message, (Request, Malformed)):
        return message
    return Malformed(f"{shown(message)} is no command", message.number if isinstance(message, Reply) else None)


@final
class Server:
    """Obeys by a table of forms and functions. One thread, no locks; `fileno` and `awaited` are for its loop's poll."""

    def __init__(
        self,
        control: socket.socket,
        verbs: Mapping[type[Any], Callable[[Any], Form | Outcome | None]],
        reason: Callable[[Exception], str] = reason_of,
    ) -> None:
        """Serve on a connected socket.

        Args:
            control: belongs to the server from here on.
            verbs: what to do for each form. A function returns the form of the reply, None for `Done`, or `LATER`.
            reason: says why something failed; what a function raises costs its request, and nothing else.
        """
        control.setblocking(False)
        self._control = control
        self._verbs = {verb(form): (form, obey) for form, obey in verbs.items()}
        self._reason = reason
        self._channel = Channel()
        self._outgoing = bytearray()
        self._unclaimed: deque[int] = deque()
        self.number: int | None = None
        """Of the request that is being obeyed."""
        self.descriptors: list[int] = []
        """What came with it; closed once it is obeyed."""

    def fileno(self) -> int:
        return self._control.fileno()

    @property
    def awaited(self) -> int:
        """The events to poll its descriptor for."""
        return select.POLLIN | (select.POLLOUT if self._outgoing else 0)

    @property
    def backlog(self) -> int:
        """How many bytes Lucy has yet to take."""
        return len(self._outgoing)

    def serve(self) -> bool:
        """Send what waits, obey and answer all that has come; return False once the other end is closed."""
        self.flush()
        requests = self.receive()
        for request in requests or ():
            self.answer(request, self.obey(request))
        return requests is not None

    def receive(self) -> list[Request | Malformed] | None:
        """Return what has come whole by now, for `obey` one by one, or None once the other end is closed."""
        if self._channel.idle:
            # They came with requests that are obeyed by now and did not name them: nobody will claim them.
            self._drop_unclaimed()
        try:
            chunk, descriptors, _, _ = socket.recv_fds(
                self._control, CHUNK_BYTES, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return []
        except OSError:
            return None
        self._unclaimed += descriptors
        if not chunk:
            return None
        return list(map(_asked, self._channel.feed(chunk)))

    def obey(self, request: Request | Malformed) -> Outcome:
        """Do what is asked. What can't be done, or makes no sense, becomes words."""
        try:
            if isinstance(request, Malformed):
                return Outcome(error=request.reason)
            self._claim(request)
            if request.op not in self._verbs:
                return Outcome(error=f"no command is called {shown(request.op)}")
            form, act = self._verbs[request.op]
            outcome = act(fill_in(form, request.fields, request.data))
        except Exception as error:  # noqa: BLE001  # it costs itself; what the helper keeps, it goes on keeping
            return Outcome(error=self._reason(error))
        finally:
            self._release()
        if isinstance(outcome, Outcome):
            return outcome
        return Outcome(Done() if outcome is None else outcome)

    def answer(self, request: Request | Malformed, outcome: Outcome) -> None:
        """Say what came of a request, to whom wants to know; of what is none, always."""
        if outcome is LATER:
            return
        if request.number is not None:
            self.reply(request.number, outcome)
        elif isinstance(request, Malformed):
            self._send(self._channel.refuse(None, request.reason))

    def reply(self, number: int, outcome: Outcome) -> None:
        """Answer a request that was to be answered `LATER`."""
        if outcome.error is None:
            self._send(self._channel.answer(number, outcome.reply))
        else:
            self._send(self._channel.refuse(number, outcome.error))

    def notify(self, form: Form) -> None:
        """Say what nobody asked for."""
        self._send(self._channel.notify(form))

    def _send(self, data: bytes) -> None:
        self._outgoing += data
        self.flush()

    def flush(self) -> None:
        """Send as much as there is room for."""
        try:
            while self._outgoing:
                with memoryview(self._outgoing) as view:
                    sent = self._control.send(view[:CHUNK_BYTES])
                del self._outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()  # Lucy is gone: the next turn sees it

    # Descriptors

    def _claim(self, request: Request) -> None:
        self.number = request.number
        if request.descriptors > len(self._unclaimed):
            raise ValueError(f"{request.descriptors} descriptors have to come with it")
        self.descriptors = [self._unclaimed.popleft() for _ in range(request.descriptors)]

    def _release(self) -> None:
        self.number = None
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors = []

    def _drop_unclaimed(self) -> None:
        while self._unclaimed:
            os.close(self._unclaimed.popleft())
