"""Lines as people read them: without the colours that software paints for terminals. Sans-IO."""

import re

ESCAPE = b"\x1b"
"""What each begins with."""
_paint = re.compile(rb"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x07\x1b]*+(?:\x07|\x1b\\))")
"""What ECMA-48 calls a control sequence (colours, cursor), and a string for the terminal (titles, links)."""


def uncoloured(line: bytes) -> bytes:
    """Return a line without what paints it, and without a carriage return at its end."""
    if ESCAPE in line:
        line = _paint.sub(b"", line)
    return line[:-1] if line.endswith(b"\r") else line


def readable(line: bytes) -> str:
    """Return a line as text: uncoloured, and bytes that are no UTF-8 as escapes."""
    return uncoloured(line).decode(errors="backslashreplace")
