# mypy: ignore-errors
"""Lucy's end of the link to a container's PID 1, until the real one is there."""

import math
import re
from collections.abc import Callable
from typing import Any, final

import anyio
import anyio.abc
import msgspec

from lucy_core.errors import EngineError

_ALLOWED = re.compile(rb"[^A-Za-z0-9_./:=@%+,-]")


def encode_word(word: str) -> bytes:
    return _ALLOWED.sub(lambda match: b"\\0%03o" % match[0][0], word.encode())


@final
class Link:
    """A link to one container's PID 1. `listen` has to run for as long as it is used."""

    def __init__(self, stream: anyio.abc.ByteStream, node: str, text: bytes) -> None:
        self._stream = stream
        self._node = node
        self._text = text
        self._last = 0
        self._waiting: dict[int, anyio.Event] = {}
        self._replies: dict[int, dict[str, Any]] = {}
        self.gone = False
        self.on_event: Callable[[dict[str, Any]], None] = lambda _: None
        self.on_gone: Callable[[], None] = lambda: None

    @classmethod
    async def attach(cls, path: str, container: str, node: str) -> "Link":
        stream = await anyio.connect_unix(path)
        await stream.send(
            f"POST /v1.41/containers/{container}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n"
            "Host: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
        )
        text = b""
        while b"\r\n\r\n" not in text:
            text += await stream.receive()
        head, _, rest = text.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            await stream.aclose()
            message = f"node {node!r}: the Engine refused to attach: {rest.decode(errors='replace')}"
            raise EngineError(message)
        return cls(stream, node, rest)

    async def ask(self, verb: str, *words: str) -> None:
        self._last += 1
        number = self._last
        done = self._waiting[number] = anyio.Event()
        try:
            if not self.gone:
                line = b" ".join([b"%d" % number, verb.encode(), *map(encode_word, words)]) + b"\n"
                await self._stream.send(line)
                await done.wait()
        except anyio.BrokenResourceError:
            pass
        finally:
            del self._waiting[number]
        reply = self._replies.pop(number, None)
        if reply is None:
            message = f"node {self._node!r}: its container is gone"
            raise EngineError(message)
        if "error" in reply:
            message = f"node {self._node!r}: {reply['error']}"
            raise EngineError(message)

    async def listen(self) -> None:
        lines = b""
        try:
            while True:
                while len(self._text) >= 8:
                    size = int.from_bytes(self._text[4:8], "big")
                    if len(self._text) < 8 + size:
                        break
                    if self._text[0] == 1:
                        lines += self._text[8 : 8 + size]
                    self._text = self._text[8 + size :]
                *whole, lines = lines.split(b"\n")
                for line in whole:
                    self._understand(msgspec.json.decode(line))
                self._text += await self._stream.receive(1 << 18)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass
        self.gone = True
        for event in self._waiting.values():
            event.set()
        self.on_gone()

    def _understand(self, message: dict[str, Any]) -> None:
        if "reply" in message:
            number = message["reply"]
            if number in self._waiting:
                self._replies[number] = message
                self._waiting[number].set()
        else:
            self.on_event(message)

    async def aclose(self) -> None:
        await self._stream.aclose()


FOREVER = math.inf
