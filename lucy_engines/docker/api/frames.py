"""The Engine's framed stream: stdout and stderr of a container in one connection. Sans-IO, standard library only.

A frame is eight bytes, `stream 0 0 0 length` (four bytes, big-endian), then its payload. A frame is no line: the Engine
cuts at whatever its own read gave, and so does the network between. Payloads are handed on as they come, in parts where
need be, so that a large frame costs no memory and waits for nothing.

<https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach>
"""

from typing import NamedTuple, final

STDIN, STDOUT, STDERR = 0, 1, 2
HEADER_BYTES = 8


class Part(NamedTuple):
    """Bytes that a container wrote to one of its streams."""

    stream: int
    data: bytes


class FrameError(ValueError):
    """These bytes are no framed stream: the container has a terminal, or this is no Engine."""


@final
class FrameDecoder:
    """Takes the bytes of a framed stream and gives back what was written, with its stream.

    Any chunking of the same bytes gives the same bytes of each stream, in the same order.
    """

    __slots__ = ("_header", "_left", "_stream")

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0

    def feed(self, chunk: bytes) -> list[Part]:
        """Return what `chunk` holds of payloads, neighbours of one stream unjoined.

        Raises:
            FrameError: it is no frame that begins where one should.
        """
        parts: list[Part] = []
        at, size = 0, len(chunk)
        while at < size:
            if not self._left:
                wanted = HEADER_BYTES - len(self._header)
                self._header += chunk[at : at + wanted]
                at += wanted
                if len(self._header) < HEADER_BYTES:
                    break
                self._stream = self._header[0]
                if self._stream > STDERR or self._header[1:4] != b"\0\0\0":
                    raise FrameError(f"no frame begins with {self._header!r}")
                self._left = int.from_bytes(self._header[4:], "big")
                self._header = b""
                continue
            data = chunk[at : at + self._left]
            at += len(data)
            self._left -= len(data)
            parts.append(Part(self._stream, data))
        return parts
