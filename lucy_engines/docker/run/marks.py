"""Marks in what a container writes to stderr: `RS LUCY <token> <number> LF` follows a daemon's last byte. Bare.

The puppeteer writes them, since its link, being another stream, can't say when that byte has passed.
"""

from typing import final

NUMBER_BYTES = 20
"""A mark's number is shorter; what follows a mark's beginning and is longer is a node's own words."""


@final
class MarkFinder:
    """Takes the bytes of a node and its marks, and tells them apart. Sans-IO."""

    __slots__ = ("_held", "_mark")

    def __init__(self, token: str) -> None:
        self._mark = b"\x1eLUCY " + token.encode() + b" "
        self._held = b""

    def feed(self, data: bytes) -> list[bytes | int]:
        """Return bytes, and the numbers of marks between them. What may be the start of a mark is held back."""
        found: list[bytes | int] = []
        if self._held:
            data, self._held = self._held + data, b""
        while (at := data.find(self._mark)) >= 0:
            begin = at + len(self._mark)
            end = data.find(b"\n", begin, begin + NUMBER_BYTES)
            if at:
                found.append(data[:at])
            if end < 0 and len(data) < begin + NUMBER_BYTES:
                self._held = data[at:]
                return found
            number = data[begin:end] if end >= 0 else b""
            if number.isdigit():
                found.append(int(number))
                data = data[end + 1 :]
            else:  # whoever knows the token is in the container, and may write what it likes
                found.append(data[at:begin])
                data = data[begin:]
        at = data.rfind(b"\x1e", max(0, len(data) - len(self._mark)))
        if at >= 0 and self._mark.startswith(data[at:]):
            data, self._held = data[:at], data[at:]
        if data:
            found.append(data)
        return found

    def flush(self) -> bytes:
        """Return what is held back: no more will come."""
        held, self._held = self._held, b""
        return held
