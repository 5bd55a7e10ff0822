"""What is said when a connection to the Engine is to become a raw stream, of a container or of a command in one.

Standard library only.
"""

from typing import final

from lucy_engines.docker.api.endpoint import api_path

HEAD_BYTES = 1 << 16


def attach_request(container: str, *streams: str) -> bytes:
    """Return the request that attaches to `stdin`, `stdout` or `stderr` of a container."""
    query = "&".join(("stream=1", *(f"{stream}=1" for stream in streams)))
    return upgrade_request(f"/{api_path('containers', container, 'attach')}?{query}", b"")


def upgrade_request(path: str, body: bytes) -> bytes:
    """Return a request whose connection is to become a raw one; `body` is JSON, or nothing."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@final
class Upgrade:
    """The Engine's answer to an `upgrade_request`, as it comes in. Sans-IO."""

    __slots__ = ("_head", "reason", "status")

    def __init__(self) -> None:
        self._head = b""
        self.status = 0
        self.reason = ""
        """What the Engine said, where it refused."""

    def feed(self, chunk: bytes) -> bytes | None:
        """Take bytes; return what follows the answer once it is whole, else None.

        Raises:
            ValueError: this is no answer to an HTTP request.
        """
        self._head += chunk
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            if len(self._head) > HEAD_BYTES:
                raise ValueError("its answer has no end")
            return None
        words = head.split(b"\r\n")[0].split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise ValueError(f"it answered {head[:80]!r}")
        self.status = int(words[1])
        self.reason = rest.decode(errors="replace").strip() or b" ".join(words[2:]).decode(errors="replace")
        return rest

    @property
    def accepted(self) -> bool:
        """Whether the connection is a raw one from here on; old Engines say 200."""
        return self.status in {101, 200}
