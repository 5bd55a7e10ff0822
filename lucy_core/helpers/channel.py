r"""The wire between Lucy and a process of her own. Sans-IO, standard library only: both ends have a `Channel`.

A message is a line of JSON, its header, and behind it as many bytes as the header announces, if any. These are never
looked at: a node's lines cost no quoting, and what they say is never taken for a message.

    {"op": "spawn", "id": 7, "name": "a", …}         a request; one without an id wants no answer
    {"id": 7, "pid": 4711}                           its reply, when it is done, in whatever order
    {"id": 7, "error": "no such file"}               or why not
    {"notice": "exited", "pid": 4711, …}             what nobody asked for
    {"op": "write", "node": "a", "bytes": 6}\nline\n and so on

A request may have descriptors with it (`"fds": 3`). They travel beside the bytes, which is the socket's affair, not
this module's: the header says whose they are.

**Nothing that comes ends a channel**, for the helper at its end keeps what nobody else can, nodes' lines or what ends a
fault. What is no message is a `Malformed` that says why; the next line is read as if it had not been. Memory is
bounded, whoever writes.
"""

import json
from typing import Any, NamedTuple, final

from lucy_core.helpers.forms import Form, is_natural, shown, spread, verb

HEADER_BYTES = 1 << 24
"""Ten times what a program may be given as words and environment."""
DATA_BYTES = 1 << 28
"""Thrice the longest line that capture keeps whole."""


class Request(NamedTuple):
    """Something is wanted."""

    number: int | None
    """Under which it is to be answered, if at all."""
    op: str
    """What is wanted: a form's verb."""
    fields: dict[str, Any]
    """The rest of its header."""
    data: bytes = b""
    """What came behind its header."""
    descriptors: int = 0
    """How many came with it."""


class Reply(NamedTuple):
    """What came of a request."""

    number: int | None
    """None where it can't be known of which."""
    fields: dict[str, Any]
    """The rest of its header."""
    data: bytes = b""
    """What came behind its header."""
    error: str | None = None
    """Why it was not done; None where it was."""


class Notice(NamedTuple):
    """What the other end says unasked."""

    name: str
    """What it is about."""
    fields: dict[str, Any]
    """The rest of its header."""
    data: bytes = b""
    """What came behind its header."""


class Malformed(NamedTuple):
    """It is no message."""

    reason: str
    """What is wrong with it."""
    number: int | None = None
    """Of the request that it was meant to be, as far as that could be read."""


Message = Request | Reply | Notice | Malformed
"""What may come out of a channel."""


@final
class Channel:
    """One end of a connection: makes messages into bytes, and takes the messages out of what comes."""

    __slots__ = ("_buffer", "_header", "_last", "_searched", "_skipping", "_wanted")

    def __init__(self) -> None:
        self._last = 0
        self._buffer = bytearray()
        self._searched = 0
        """How much of it holds no newline: a long header comes in many chunks, each of which is searched once."""
        self._skipping = False
        """Whether what comes belongs to a header that is too long."""
        self._header: Message | None = None
        """A message whose bytes have yet to come, of which so many are `_wanted`."""
        self._wanted = 0

    # What is said

    def ask(self, form: Form, *, descriptors: int = 0) -> tuple[int, bytes]:
        """Return a request that wants an answer, and its number."""
        self._last += 1
        header = {"op": verb(type(form)), "id": self._last}
        return self._last, _encoded({**header, "fds": descriptors} if descriptors else header, form)

    def tell(self, form: Form) -> bytes:
        """Return a request that wants no answer."""
        return _encoded({"op": verb(type(form))}, form)

    def answer(self, number: int, form: Form) -> bytes:
        """Return the reply to a request."""
        return _encoded({"id": number}, form)

    def refuse(self, number: int | None, reason: str) -> bytes:
        """Return a reply that says why not. A file's name may be no text in any encoding; the reason is."""
        readable = reason.encode(errors="backslashreplace").decode()
        return json.dumps({"id": number, "error": readable}).encode() + b"\n"

    def notify(self, form: Form) -> bytes:
        """Return what nobody asked for."""
        return _encoded({"notice": verb(type(form))}, form)

    # What is heard

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages that `chunk` completes. Any chunking of the same bytes gives the same."""
        self._buffer += chunk
        found: list[Message] = []
        while (message := self._next()) is not None:
            found.append(message)
        return found

    @property
    def idle(self) -> bool:
        """Whether all that has come was whole messages."""
        return not self._buffer and self._header is None and not self._skipping

    def _next(self) -> Message | None:
        while self._header is None:
            end = self._buffer.find(b"\n", self._searched)
            if end < 0:
                self._searched = len(self._buffer)
                return self._give_up_header() if self._searched > HEADER_BYTES or self._skipping else None
            line = self._take(end + 1)
            self._searched = 0
            if not self._skipping:
                self._header, self._wanted = _decoded(line[:-1])
            self._skipping = False
        if len(self._buffer) < self._wanted:
            return None
        message, self._header = self._header, None
        if self._wanted and not isinstance(message, Malformed):
            message = message._replace(data=self._take(self._wanted))
        return message

    def _take(self, size: int) -> bytes:
        with memoryview(self._buffer) as view:
            taken = bytes(view[:size])
        del self._buffer[:size]
        return taken

    def _give_up_header(self) -> Malformed | None:
        self._buffer.clear()
        self._searched = 0
        if self._skipping:
            return None
        self._skipping = True
        return Malformed(f"a command has more than {HEADER_BYTES:,} bytes")


def _encoded(header: dict[str, Any], form: Form) -> bytes:
    fields, data = spread(form)
    if data:
        fields["bytes"] = len(data)
    text = json.dumps({**header, **fields}).encode()
    for size, most in ((len(text), HEADER_BYTES), (len(data), DATA_BYTES)):
        if size > most:
            raise ValueError(f"{verb(type(form))!r} would take {size:,} bytes, and may take {most:,}")
    return b"%b\n%b" % (text, data)


def _decoded(line: bytes) -> tuple[Message, int]:
    """Return what a header says, and how many bytes come behind it."""
    try:
        told = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        return Malformed(f"a command is a JSON object, and {shown(line)} is none: {error}"), 0
    if not isinstance(told, dict):
        return Malformed(f"a command is a JSON object, and {shown(line)} is none"), 0
    number = told.pop("id", None)
    if number is not None and not is_natural(number):
        return Malformed(f"a command's id is a number, and {shown(number)} is none"), 0
    size, descriptors = told.pop("bytes", 0), told.pop("fds", 0)
    # What is announced wrong isn't waited for: the next line is a message again, or is refused like this one.
    if not is_natural(size) or size > DATA_BYTES or not is_natural(descriptors):
        return Malformed(f"{shown(line)} announces what can't come behind it", number), 0
    if (op := told.pop("op", None)) is not None:
        if not isinstance(op, str):
            return Malformed(f"no command is called {shown(op)}", number), 0
        return Request(number, op, told, descriptors=descriptors), size
    if isinstance(name := told.pop("notice", None), str):
        return Notice(name, told), size
    refusal = told.pop("error", None)
    if number is not None or refusal is not None:
        return Reply(number, told, error=None if refusal is None else str(refusal)), size
    return Malformed(f"{shown(line)} is no command: it has no `op`"), 0
