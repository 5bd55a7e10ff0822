"""Signals that a test sends, or that ask a node to end: by name, as the kernel has them. Sans-IO.

What freezes a node, thaws it and kills it is not among them: these have commands of their own, by which Lucy knows in
what state a node is.
"""

import enum
import re
import signal
from typing import Any

from lucy_core.arguments import text_of
from lucy_core.errors import ArgumentError

COMMANDS = {"SIGKILL": "kill()", "SIGSTOP": "pause()", "SIGCONT": "resume()"}
DEFAULT_STOP = "SIGTERM"
"""What asks a node to end whose spec names no other signal."""
_REAL_TIME = re.compile(r"SIGRTMIN\+([1-9][0-9]?)")


class Reach(enum.StrEnum):
    """Whom of a node a signal goes to."""

    DAEMON = "daemon"
    """The process that was started, alone: it sees to its own."""
    GROUP = "group"
    """That, and all that came from it."""


def signal_of(value: Any, name: str) -> str:
    """Take a signal by its name, `SIGHUP` or `HUP`, as `signal.SIGHUP`, or by its number; return its name."""
    if isinstance(value, int) and not isinstance(value, bool):
        text = _name(value)
        if text is None:
            raise ArgumentError(name, value, f"is no signal; give one from 1 to {signal.SIGRTMAX}, or its name")
    else:
        text = text_of(value, name)
        text = text if text.startswith("SIG") else f"SIG{text}"
        if _number(text) is None:
            raise ArgumentError(name, value, "is no signal; give one like 'SIGHUP' or signal.SIGHUP")
    if text in COMMANDS:
        raise ArgumentError(name, value, f"is what node.{COMMANDS[text]} is for; call that, or give another signal")
    return text


def reach_of(value: Any, name: str) -> Reach:
    """Take whom a signal goes to, as text or as a `Reach`."""
    text = text_of(value, name)
    for reach in Reach:
        if text == reach:
            return reach
    raise ArgumentError(name, value, f"is none of {', '.join(repr(str(reach)) for reach in Reach)}; give one of them")


def signal_number(name: str) -> int:
    """Return the number of a signal that `signal_of` has named."""
    number = _number(name)
    assert number is not None  # noqa: S101  # an invariant: it was named by `signal_of`
    return number


def _number(name: str) -> int | None:
    if found := _REAL_TIME.fullmatch(name):
        number = signal.SIGRTMIN + int(found[1])
        return number if number <= signal.SIGRTMAX else None
    known = signal.Signals.__members__.get(name)
    return None if known is None else int(known)


def _name(number: int) -> str | None:
    if signal.SIGRTMIN < number <= signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return None
