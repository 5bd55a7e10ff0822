"""A command that is run in a node: what it writes, how much of that is kept, and what came of it.

An engine hands on what a command writes, as it comes and in order; here it is kept, up to a limit, once for all
engines. More than the limit is an error and not a shorter answer: half a file that looks like a whole one would be
taken for it. Whoever wants more than fits takes it as it comes, and then nothing is kept at all.
"""

import enum
from collections.abc import Callable, Sequence
from typing import final

import msgspec

from lucy_core.answers import refuse_awaitable
from lucy_core.errors import CallbackError, OutputLimitError

OUTPUT_BYTES = 64 << 20
"""How much of what a command writes, to both of its outputs together, is kept by default."""
WORDS_BYTES = 1 << 12
"""How much of each output is remembered for the journal and for errors, where all of it isn't kept."""


class Output(enum.StrEnum):
    """Which of its two outputs a command wrote to."""

    STDOUT = "stdout"
    """Its stdout."""
    STDERR = "stderr"
    """Its stderr."""


class Written(msgspec.Struct, frozen=True, gc=False):
    """What a command has just written, a piece as it came: 1 byte to 1 MiB."""

    output: Output
    """Where to."""
    data: bytes
    """The piece."""


Take = Callable[[Written], None]
"""Takes what a command writes, as it comes. What it raises ends the command."""


class ExecResult(msgspec.Struct, frozen=True):
    """What a command in a node gave. Both outputs are empty where they were taken as they came."""

    code: int
    """Its exit status, as the engine has it."""
    stdout: bytes
    """All that it wrote to its stdout."""
    stderr: bytes
    """All that it wrote to its stderr."""


@final
class Transcript:
    """Takes what a command writes: keeps it, up to a limit, or hands it on. Sans-IO."""

    __slots__ = ("_command", "_first", "_hand_on", "_kept", "_last", "_limit", "_node", "_written")

    def __init__(self, node: str, command: Sequence[str], *, limit: int, hand_on: Take | None = None) -> None:
        """`limit`, in bytes, is of both outputs together; with `hand_on` nothing is kept, and there is none."""
        self._node = node
        self._command = next(iter(command), "")
        self._limit = limit
        self._hand_on = hand_on
        self._kept: dict[Output, list[bytes]] = {output: [] for output in Output}
        self._first = dict.fromkeys(Output, b"")
        self._last = dict.fromkeys(Output, b"")
        self._written = dict.fromkeys(Output, 0)

    def take(self, written: Written) -> None:
        """Take what was written next to one of the outputs.

        Raises:
            OutputLimitError: it is more than is kept.
            TypeError: it was handed on to a function that returns an awaitable.
            CallbackError: it was handed on to a function that raised what is no `Exception`. We are in a task here that
                would take a cancellation for its own, and with `SystemExit` would stop the loop.
        """
        output, data = written.output, written.data
        self._written[output] += len(data)
        if len(self._first[output]) < WORDS_BYTES:
            self._first[output] += data[:WORDS_BYTES]
        self._last[output] = (self._last[output] + data[-WORDS_BYTES:])[-WORDS_BYTES:]
        if self._hand_on is not None:
            try:
                refuse_awaitable(self._hand_on(written), f"exec's output={self._hand_on!r} returned")
            except Exception:
                raise
            except BaseException as error:
                raise CallbackError(error) from error
        elif sum(self._written.values()) > self._limit:
            raise OutputLimitError(self._node, self._command, self._limit)
        else:
            self._kept[output].append(data)

    def result(self, code: int) -> ExecResult:
        """Return what the command gave, once it has ended with an exit code."""
        stdout, stderr = (b"".join(self._kept[output]) for output in Output)
        return ExecResult(code, stdout, stderr)

    @property
    def last_words(self) -> str:
        """The last that it said to its stderr, for people."""
        return self._last[Output.STDERR].decode(errors="replace").strip()[-200:]

    def summary(self, code: int) -> dict[str, object]:
        """Return the exit code and the beginning of each output, for the journal."""
        said = {output.value: first.decode(errors="backslashreplace") for output, first in self._first.items()}
        return {"code": code, **said}

    @property
    def unsaid(self) -> int:
        """How many bytes the summary leaves out."""
        return sum(self._written.values()) - sum(map(len, self._first.values()))
