"""What helpers are told: JSON objects, a line each, each with an `op`. Sans-IO, standard library only.

A helper keeps something that nobody else can: nodes' lines, or what ends a fault. So no line that it gets may end it:
what is no command becomes a text that says why, and whoever asked is answered with that.
"""

import json
from typing import Any, final

COMMAND_BYTES = 1 << 20
"""A command that is longer is none, and is thrown away."""


@final
class CommandReader:
    """Takes what comes on stdin, and gives the commands in it; of what is none, a text that says why. Sans-IO."""

    __slots__ = ("_left", "_skipping")

    def __init__(self) -> None:
        self._left = b""
        self._skipping = False
        """Whether what comes belongs to a line that is too long."""

    def feed(self, chunk: bytes) -> list[dict[str, Any] | str]:
        """Return what `chunk` completes."""
        *lines, self._left = (self._left + chunk).split(b"\n")
        found: list[dict[str, Any] | str] = []
        for line in lines:
            if not self._skipping:
                found.append(_command(line))
            self._skipping = False
        if len(self._left) > COMMAND_BYTES:
            if not self._skipping:
                found.append(f"a command has more than {COMMAND_BYTES:,} bytes")
            self._left, self._skipping = b"", True
        return found


def _command(line: bytes) -> dict[str, Any] | str:
    try:
        command = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"{line[:40]!r} is no command: {error}"
    if not isinstance(command, dict) or not isinstance(command.get("op"), str):
        return f"{line[:40]!r} is no command: it has no `op`"
    return command


def text(command: dict[str, Any], name: str) -> str:
    """Return a member of a command that has to be a text.

    Raises:
        ValueError: it is missing, or something else.
    """
    value = command.get(name)
    if not isinstance(value, str):
        message = f"{name} is {value!r}, and has to be a text"
        raise ValueError(message)  # noqa: TRY004  # what came over a wire, not what a caller passed
    return value
