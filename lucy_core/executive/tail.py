"""`lucy tail FILE…`: shows the lines of files of any log format, chosen by a filter or by how much they matter."""

import argparse
import select
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import anyio
import msgspec

from lucy_core.aio import one_error
from lucy_core.arguments import path_of
from lucy_core.capturing.sources.whole import STDIN
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.interests.subscription import Gate
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import ArgumentError, FilterError, RecordingError, UsageError, shown
from lucy_core.executive.interruption import Interruption
from lucy_core.executive.showing.voice import PATIENCE_BYTES, Voice
from lucy_core.executive.signals import Signals
from lucy_core.filters.predicate import LogFilter
from lucy_core.formats.choice import AUTO, log_format
from lucy_core.formats.contract import Format
from lucy_core.judging.result import ExitCode
from lucy_core.recording.ledger import Gap
from lucy_core.records.record import Line, Record
from lucy_core.records.severity import Severity, severity_of
from lucy_core.visible import visible, visible_json

COMMAND = "tail"
LOOK_SECONDS = 0.05
"""How often a slow reader is looked after, and whether one is there at all."""
DESCRIPTION = """\
Show the lines of log files, whatever their format: each as its time, how much it matters, what it says and its fields.

What each line is is found out, unless --format names it. Several files are shown together, each line behind its file's
name, in the order in which they are read. `-` is stdin. Lines that go on with the one before, such as a stack trace,
are shown where that one is.
"""


def add_tail(commands: Any) -> None:  # argparse keeps the type of its subparsers to itself
    """Add the command to the command line."""
    parser = commands.add_parser(COMMAND, help="show log files of any format", description=DESCRIPTION)
    add = parser.add_argument
    add("files", metavar="FILE", nargs="+", help="a file, a FIFO, or - for stdin")
    add("--format", metavar="NAME", default=AUTO, help="their log format (default: auto, which finds out)")
    add("--filter", metavar="TEXT", default="", help="show what passes it, such as 'level >= Warn && .peer == \"b\"'")
    add("--level", metavar="LEVEL", help="show what matters as much or more, such as warn")
    add("-f", "--follow", action="store_true", help="go on as the files grow, until Ctrl-C")
    add("--json", action="store_true", help="show each line as a JSON object")


@final
class Sieve:
    """Chooses the records to show. What goes on with a record of its file shares its fate."""

    def __init__(self, text: str, level: Severity | None) -> None:
        """Choose by a filter, which may be empty, and a level.

        Raises:
            FilterError: the filter is not of the language.
        """
        self._passes = LogFilter(text) if text else None
        self._level = level
        self._last: dict[str, bool] = {}
        self.unleveled = 0
        """How many were left out since nobody can say how much they matter."""

    def keeps(self, node: str, record: Record) -> bool:
        if record.continues and node in self._last:
            return self._last[node]
        kept = self._is_wanted(record)
        self._last[node] = kept
        return kept

    def _is_wanted(self, record: Record) -> bool:
        if self._level is not None and record.severity < self._level:
            self.unleveled += record.is_unleveled
            return False
        return self._passes is None or self._passes(record)


@final
class Printer:
    """Lines as text, one after the other, in the order in which they came."""

    def __init__(self, chosen: Format, sieve: Sieve, labels: Mapping[str, str], *, as_json: bool) -> None:
        self._format = chosen
        self._sieve = sieve
        self._labels = labels
        self._shows = self._as_json if as_json else self._as_text
        self.unreadable = 0
        self.first_reason = ""
        """Why the first of these couldn't be read."""

    def show(self, line: Line) -> bytes:
        """Return what to write of a line: nothing where it isn't wanted. What can't be read is shown as it is."""
        record: Record | None = None
        try:
            record = self._format.read(line.raw)
        except (ValueError, RecursionError) as error:
            self.unreadable += 1
            self.first_reason = self.first_reason or f"{self._labels[line.node]}: {str(error) or type(error).__name__}"
        if record is not None and not self._sieve.keeps(line.node, record):
            return b""
        return self._shows(line, record)

    def _as_text(self, line: Line, record: Record | None) -> bytes:
        text = line.raw.decode(errors="backslashreplace") if record is None else self._format.render(record)
        label = f"{self._labels[line.node]}: " if len(self._labels) > 1 else ""
        return f"{visible(label + text)}\n".encode(errors="backslashreplace")

    def _as_json(self, line: Line, record: Record | None) -> bytes:
        found: dict[str, Any] = {"file": self._labels[line.node]}
        if record is None:
            found["unreadable"] = line.raw.decode(errors="backslashreplace")
        else:
            found |= _told(record)
        return visible_json(msgspec.json.encode(found, enc_hook=str)) + b"\n"


def _told(record: Record) -> dict[str, Any]:
    """Return what a record says, without what it doesn't say."""
    told: dict[str, Any] = {
        "time": record.time,
        "severity": record.severity.name if record.severity else None,
        "level": record.severity_text,
        "text": record.text,
        "id": record.id,
    }
    try:
        told["fields"] = msgspec.to_builtins(dict(record.fields), enc_hook=str)
    except (ValueError, RecursionError):
        told["line"] = record.raw.decode(errors="backslashreplace")
    return {name: value for name, value in told.items() if value or name == "text"}


def tail(arguments: argparse.Namespace, signals: Signals, voice: Voice) -> int:
    """Do what the command line says; return the exit code.

    Raises:
        UsageError: a file isn't there, or what it should be shown by is none.
    """
    level = None if arguments.level is None else severity_of(arguments.level)
    if level is Severity.UNSPECIFIED:
        raise UsageError(f"--level {shown(arguments.level)}", "is none; give trace, debug, info, warn, error or fatal")
    files = {str(number): _path(name) for number, name in enumerate(arguments.files)}
    if sum(path == STDIN for path in files.values()) > 1:
        raise UsageError("'-'", "is given twice, and stdin can be read once; leave one out")
    labels = dict(zip(files, ("stdin" if name == "-" else name for name in arguments.files), strict=True))
    interruption = Interruption(signals, lambda _: None)
    try:
        sieve = Sieve(arguments.filter, level)
        printer = Printer(log_format(arguments.format), sieve, labels, as_json=arguments.json)
        gaps = anyio.run(_show, files, arguments.follow, printer, interruption, voice)
    except FilterError as error:
        raise UsageError("--filter", f": {error}") from error
    for said in (*_in_words(printer, sieve), *(f"{labels[gap.node or '0']}: {gap.reason}" for gap in gaps)):
        voice.say(f"lucy: {said}")
    if arguments.follow:
        return ExitCode.PASSED  # Ctrl-C is how it ends
    if interruption.name is not None:
        return ExitCode.INTERRUPTED
    return ExitCode.INCONCLUSIVE if gaps else ExitCode.PASSED


def _path(name: str) -> str:
    if name == "-":
        return STDIN
    try:
        path = Path(path_of(name, "FILE"))
        if path.is_dir():
            raise UsageError(shown(name), "is a directory; name the files in it")
        path.stat()
    except ArgumentError as error:
        raise UsageError(shown(name), error.reason) from error
    except OSError as error:
        raise UsageError(shown(name), f"can't be read: {error.strerror}") from error
    return name


def _in_words(printer: Printer, sieve: Sieve) -> list[str]:
    said = []
    if printer.unreadable:
        lines = "1 line" if printer.unreadable == 1 else f"{printer.unreadable:,} lines"
        said.append(f"{lines} couldn't be read, the first of {printer.first_reason}")
    if sieve.unleveled:
        lines = f"{sieve.unleveled:,} line{'s' if sieve.unleveled > 1 else ''}"
        said.append(f"--level left out {lines} of which nobody can say how much it matters")
    return said


@final
class _Showing:
    """What is shown on stdout, a block of lines at a time, no faster than somebody reads it."""

    def __init__(self, printer: Printer, voice: Voice) -> None:
        self.gate = Gate()
        self.over = anyio.Event()
        """Set once nothing more comes."""
        self.error: Exception | None = None
        self._printer = printer
        self._out = voice.out

    def take(self, lines: list[Line]) -> None:
        if self.over.is_set() or self._out.is_gone:
            return
        try:
            self._out.put(b"".join(map(self._printer.show, lines)))
        except FilterError as error:
            self.end(error)
        if self._out.hand.queued > PATIENCE_BYTES:
            self.gate.close()

    def end(self, error: Exception | None) -> None:
        self.error = self.error or error
        self.over.set()

    async def pace(self) -> None:
        """Go on once the reader has caught up, and end once there is none: a file may not grow for hours."""
        room = select.poll()
        room.register(self._out.descriptor, 0)
        while not (self._out.is_gone or any(events & select.POLLERR for _, events in room.poll(0))):
            if self.gate.closed and self._out.hand.queued <= PATIENCE_BYTES:
                self.gate.open()
            await anyio.sleep(LOOK_SECONDS)  # a thread writes, and nobody tells that a reader has left
        self.over.set()


async def _show(
    files: Mapping[str, str],
    follow: bool,  # noqa: FBT001  # anyio.run passes by place
    printer: Printer,
    interruption: Interruption,
    voice: Voice,
) -> list[Gap]:
    """Show lines up to the end of all files, or up to that of whoever reads what is shown; tell where some are missing.

    Raises:
        UsageError: a file can't be read.
        FilterError: whether a line passes can't be said.
    """
    gaps: list[Gap] = []
    showing = _Showing(printer, voice)
    async with one_error(), anyio.create_task_group() as tasks:
        tasks.start_soon(interruption.watch)
        tasks.start_soon(showing.pace)
        with interruption.scope():
            async with Pipeline.pass_through() as pipeline:
                gaps = pipeline.ledger.gaps
                pipeline.subscribe(Interest(kind=Line), showing.take, showing.end, gate=showing.gate)
                endless = [await _open(pipeline, node, path, follow=follow) for node, path in files.items()]
                if not any(endless):
                    tasks.start_soon(_end, pipeline, tuple(files))
                await showing.over.wait()
        tasks.cancel_scope.cancel()
    if showing.error is not None:
        raise showing.error
    return gaps


async def _open(pipeline: Pipeline, node: str, path: str, *, follow: bool) -> bool:
    """Open a file, and tell whether it has no end."""
    place = Path(path)
    try:
        if follow and path != STDIN and place.is_file():
            await pipeline.follow_file(node, place)
        elif follow and path != STDIN and place.is_fifo():
            await pipeline.open_fifo(node, place)
        else:
            await pipeline.read_whole(node, place)
            return False
    except RecordingError as error:
        raise UsageError(shown(path), f"can't be read: {error}") from error
    return True


async def _end(pipeline: Pipeline, nodes: tuple[str, ...]) -> None:
    """End the pipeline once all files are read."""
    for node in nodes:
        await pipeline.whole(node)
    pipeline.end()
