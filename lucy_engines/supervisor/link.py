"""Lucy's end of the link to a container's PID 1, the puppeteer; `puppeteer.py` says what is spoken.

It runs over an attached connection: PID 1's stdin takes commands, its stdout gives replies and events, pushed, through
any Engine, without a mount. Whoever else writes to that stdout, a program that finds `/proc/1/fd/1` for instance, harms
nothing: what is no message of the link is passed over, and a message that follows half a line of such is still found.
"""

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, final

import anyio
import msgspec

from lucy_core.errors import NodeGoneError, SupervisorError
from lucy_core.helpers.calls import Calls

_QUOTED = re.compile(rb"[^A-Za-z0-9_./:=@%+,-]")
_BEGIN = re.compile(rb'\{"(?:reply|event)"')
LINE_BYTES = 1 << 20
"""A line longer than this is no message; what of it has come is thrown away."""


class LinkEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the puppeteer says unasked."""

    event: Literal["ready", "started", "exited", "filtered", "log", "complaint"]
    form: str = ""
    """`python` or `shell`."""
    code: int | None = None
    signal: str | None = None
    after: float = 0.0
    number: int = 0
    """The how manieth end this is."""
    lines: int = 0
    bytes: int = 0
    events: int = 0
    """Of the lines that a filter left out, those with an event id."""
    lost: int = 0
    """Bytes that could not be carried out."""
    line: str = ""
    """A line for the node's own log."""
    text: str = ""
    pid: int = 0
    """Of a daemon that was started: its process id, as it is in the container."""


class LinkReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a command."""

    reply: int
    ok: bool = False
    error: str | None = None


class LinkConnection(Protocol):
    """What a link runs over: PID 1's stdin and stdout, however far away."""

    async def receive(self) -> bytes:
        """Take what has come from PID 1's stdout; raise `anyio.EndOfStream` at its end."""
        ...

    async def send(self, data: bytes) -> None:
        """Write to PID 1's stdin."""
        ...

    async def aclose(self) -> None:
        """Hang up."""
        ...


_decode_event = msgspec.json.Decoder(LinkEvent).decode
_decode_reply = msgspec.json.Decoder(LinkReply).decode


def encode_word(word: str) -> bytes:
    r"""Quote a word of a command: a byte that might end it, or mean something to a shell, becomes `\0ooo`."""
    return _QUOTED.sub(lambda found: b"\\0%03o" % found[0][0], word.encode())


def encode_command(number: int, verb: str, words: Sequence[str]) -> bytes:
    """Make the line of a command."""
    return b" ".join((b"%d" % number, verb.encode(), *map(encode_word, words))) + b"\n"


def decode_message(line: bytes) -> LinkEvent | LinkReply | None:
    """Read a line of PID 1's stdout, or return None for what is no message of the link."""
    # The last one: what somebody else wrote before it, without a newline, may look like anything.
    for found in reversed(list(_BEGIN.finditer(line))):
        text = line[found.start() :]
        try:
            return _decode_reply(text) if text.startswith(b'{"reply"') else _decode_event(text)
        except ValueError:
            continue
    return None


@final
class Link:
    """A link to one container's PID 1. `listen` has to run for as long as it is used."""

    def __init__(self, stream: LinkConnection, node: str) -> None:
        self._stream = stream
        self._node = node
        self._line = b""
        self._last = 0
        self._calls: Calls[LinkReply] = Calls()
        self._sending = anyio.Lock()
        self.on_event: Callable[[LinkEvent], None] = lambda _: None

    async def ask(self, verb: str, *words: str) -> None:
        """Send a command and wait for its reply, however long that takes. Cancelling it undoes nothing.

        Raises:
            SupervisorError: the puppeteer refused.
            NodeGoneError: there is nobody to ask any more.
        """
        self._last += 1
        call = self._calls.begin(self._last, verb)
        try:
            if not self.gone:
                async with self._sending:
                    await self._stream.send(encode_command(call.number, verb, words))
                await call.done.wait()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        if call.answer is None:
            raise NodeGoneError(self._node, verb)
        if call.answer.error is not None:
            raise SupervisorError(self._node, verb, call.answer.error)

    async def tell(self, verb: str, *words: str) -> None:
        """Send a command and wait for no reply: a puppeteer that is frozen obeys once it goes on."""
        self._last += 1
        command = encode_command(self._last, verb, words)
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with self._sending:
                await self._stream.send(command)

    @property
    def gone(self) -> bool:
        """Whether the container, or the Engine, has hung up."""
        return self._calls.ended

    async def listen(self) -> None:
        """Hear the puppeteer until it is gone."""
        try:
            while True:
                self._feed(await self._stream.receive())
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            pass
        self._calls.end()

    def _feed(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > LINE_BYTES:
            self._line = b""
        for line in lines:
            message = decode_message(line)
            if isinstance(message, LinkEvent):
                self.on_event(message)
            elif message is not None:
                self._calls.settle(message.reply, message)

    async def aclose(self) -> None:
        """Hang up; the container runs on."""
        await self._stream.aclose()
