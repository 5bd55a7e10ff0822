"""Finding a node's events, and reading all its lines, by Lucy and by other people's tools: the same bytes, in one call.

Each tool is asked as whoever knows it would ask it, and its answer is held against what was written. What it costs is
processor time, the least of several runs; of a tool, less what it takes to start and to read the last line alone.
"""

import functools
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.hard_lines import ESCAPED, KINDS, LAYOUT, HardLine, Told, hard_lines, judge
from benchmarks.layout import EVENT_ID
from benchmarks.measurement import BenchmarkError, Say, apart, scratch
from benchmarks.report import Report, Table
from benchmarks.shippers import PART, SHIPPERS, TEXT, WAITING
from benchmarks.wanted import BY_ID, BY_MESSAGE, BY_PATTERN, NODE, RECORDS, dealt, plan_for
from lucy_core.capturing.framing import Framer
from lucy_core.capturing.searching import count_lines
from lucy_core.formats.choice import log_format
from lucy_core.records.record import Block, Record

LUCY = "Lucy"
_ask = attrgetter("record.text", "record.severity", "record.time")
"""Has an event's record say all that lines are read for."""
_SEED = 7
Ask = Callable[[Path], list[str]]
_READ_BYTES = 1 << 18
_PATIENCE = 30
"""Seconds after which a tool is killed that doesn't end."""
_find_number = re.compile(rb"\bn(?:\\?\")?[:=] ?(\d+)").search
"""Where a line says its number, as it was written or as tools show it."""
_ID = f'"event_id":"{EVENT_ID}"'
_MESSAGE = '"msg":"peer [^"]* banned after [^"]* strikes"'
_PATTERN = 'peer [^ "]+ banned after'
_LNAV_FORMAT = {
    "pino_log": {
        "title": "pino",
        "json": True,
        "timestamp-field": "time",
        "timestamp-divisor": 1000,
        "level-field": "level",
        "level": {"debug": 20, "info": 30, "warning": 40, "error": 50},
        "body-field": "msg",
        "line-format": [{"field": "n"}, " ", {"field": "msg"}],
        "value": {"n": {"kind": "integer"}, "event_id": {"kind": "string"}, "msg": {"kind": "string"}},
    }
}
"""What a user of lnav writes down once, for it doesn't know this layout."""


def _jq(*first: str) -> dict[str, list[str]]:
    def ask(what: str) -> list[str]:
        return [*first[:-1], first[-1] + what]

    return {
        BY_ID: ask(f'select(.event_id == "{EVENT_ID}") | {{n}}'),
        BY_MESSAGE: ask(f'select(.msg // "" | test("{TEXT}")) | {{n}}'),
        BY_PATTERN: ask(f'select(.msg // "" | test("{PART}")) | {{n}}'),
        RECORDS: ask("{n, msg, level, time}"),
    }


def _miller(what: str) -> list[str]:
    return ["mlr", "--ijsonl", "--ojsonl", "filter", what, "then", "cut", "-f", "n"]


def _lnav(columns: str, where: str = "") -> list[str]:
    query = f";SELECT {columns} FROM pino_log {where}"  # noqa: S608  # of our own log
    return ["lnav", "-n", "-c", query, "-c", ":write-jsonlines-to -"]


def _agrind(what: str) -> list[str]:
    return ["agrind", "--output", "json", f"* | json | {what}", "--file"]


_HL = ["hl", "-P", "--color", "never"]
_RG = ["rg", "--no-config", "-aN"]
TOOLS: dict[str, dict[str, list[str]]] = {
    "grep": {BY_ID: ["grep", "-aF", _ID], BY_MESSAGE: ["grep", "-aE", _MESSAGE], BY_PATTERN: ["grep", "-aE", _PATTERN]},
    "rg": {BY_ID: [*_RG, "-F", _ID], BY_MESSAGE: [*_RG, _MESSAGE], BY_PATTERN: [*_RG, _PATTERN]},
    "rg --json": {BY_ID: [*_RG, "--json", "-F", _ID]},
    "jq": _jq("jq", "-c", ""),
    "jq, fromjson?": _jq("jq", "-cR", "fromjson? | objects | "),
    "mlr": {
        BY_ID: _miller(f'$event_id == "{EVENT_ID}"'),
        BY_MESSAGE: _miller(f'$msg =~ "{TEXT}"'),
        BY_PATTERN: _miller(f'$msg =~ "{PART}"'),
        RECORDS: ["mlr", "--ijsonl", "--ojsonl", "cut", "-f", "n,msg,level,time"],
    },
    "lnav": {
        BY_ID: _lnav("n", f"WHERE event_id = '{EVENT_ID}'"),
        BY_MESSAGE: _lnav("n", f"WHERE log_body REGEXP '{TEXT}'"),
        BY_PATTERN: _lnav("n", f"WHERE log_body REGEXP '{PART}'"),
        RECORDS: _lnav("n, log_body, log_level, log_time"),
    },
    "hl": {
        BY_ID: [*_HL, "--raw", "-f", f"event_id={EVENT_ID}"],
        BY_MESSAGE: [*_HL, "--raw", "-q", f'message ~~= "{TEXT}"'],
        BY_PATTERN: [*_HL, "--raw", "-q", f'message ~~= "{PART}"'],
        RECORDS: _HL,
    },
    "agrind": {
        BY_ID: _agrind(f'where event_id == "{EVENT_ID}" | fields n'),
        BY_MESSAGE: _agrind('parse "peer * banned after * strikes" from msg as peer, strikes | fields n'),
        BY_PATTERN: _agrind('parse "peer * banned after" from msg as peer | fields n'),
        RECORDS: _agrind("fields n, msg, level, time"),
    },
}
"""How each is asked; the file comes last. `agrind` is angle-grinder, `mlr` Miller."""


class FindingJob(msgspec.Struct, frozen=True):
    """What Lucy is to find, and where."""

    file: str
    way: str
    seconds: float
    """For which she does it again and again; the best counts."""


class Finding(msgspec.Struct, frozen=True):
    """What somebody found."""

    seconds: float
    """Of processor time."""
    numbers: list[int]
    """Of lines, in the order in which they were told: from 0 where Lucy tells them, as they are written otherwise."""
    said: str = ""
    """What else was said, for people."""


def find(job: FindingJob) -> Finding:
    """Read a file as a pipe is read, and have Lucy deal out what is wanted of it."""
    plan = plan_for(LAYOUT, job.way)
    assert plan is not None
    heard: list[int] = []

    def hear() -> None:
        heard.clear()
        for block in _blocks(job.file):
            for items in dealt(plan, block):
                heard.extend([each.position for each in items if type(each.record) is not Record])
                if job.way == RECORDS:
                    deque(map(_ask, items), 0)

    took = [_processor_time(hear)]
    while sum(took) < job.seconds:
        took.append(_processor_time(hear))
    return Finding(min(took), heard, _unreadable(job.file) if job.way == RECORDS else "")


def _blocks(file: str) -> Iterator[Block]:
    framer = Framer()
    offset = position = 0
    with Path(file).open("rb", buffering=0) as source:
        while chunk := source.read(_READ_BYTES):
            if pieces := framer.feed(chunk):
                data = b"".join(pieces)
                lines = count_lines(data)
                yield Block(NODE, position, offset, lines, 0, data)
                offset, position = offset + len(data), position + lines


def _unreadable(file: str) -> str:
    chosen = log_format(LAYOUT.format, **LAYOUT.options)
    malformed = text = 0
    for block in _blocks(file):
        batch = chosen.read_block(block)
        malformed += len(batch.malformed)
        text += sum(type(record) is Record for record in batch.records)
    return f"told {malformed} malformed, {text} that are text"


def _processor_time(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


class _Ran(NamedTuple):
    seconds: float
    shown: list[bytes]
    said: str
    code: int


def _run(command: list[str], place: Path, until: int | None) -> _Ran:
    """Run a program; what it shows is taken from its pipe meanwhile. After the line `until` it is asked to end."""
    environment = {**os.environ, "HOME": str(place), "XDG_CONFIG_HOME": str(place), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603  # a program that the tables name
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=environment
        ) as program,
    ):
        assert program.stdout is not None
        too_long = threading.Timer(_PATIENCE, program.kill)
        too_long.start()
        shown = []
        for line in program.stdout:
            shown.append(line)
            if until is not None and _number(line) == until:
                program.terminate()
        _, status, used = os.wait4(program.pid, 0)
        too_long.cancel()
        program.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        told = said.read().decode(errors="replace").strip()
        return _Ran(used.ru_utime + used.ru_stime, shown, told, program.returncode)


def _number(line: bytes) -> int | None:
    match = _find_number(line)
    return None if match is None else int(match[1])


def find_by(ask: Ask, file: Path, last: Path, seconds: float, *, until: int | None = None) -> Finding:
    """Have a tool find what it is asked for.

    Args:
        ask: how it is asked, of a file.
        file: what of.
        last: the last line of it, alone.
        seconds: for which it is asked again and again; the best counts.
        until: the last line's number, for a tool that waits for more.

    Raises:
        BenchmarkError: it found nothing, and failed.
    """
    ran = _run(ask(file), file.parent, until)
    found = [number for line in ran.shown if (number := _number(line)) is not None]
    if ran.code and not found:
        message = f"failed with {ran.code}: {ran.said[-300:]}"
        raise BenchmarkError(message)
    took = [ran.seconds]
    while sum(took) < seconds:
        took.append(_run(ask(file), file.parent, until).seconds)
    start = min(_run(ask(last), file.parent, until).seconds for _ in took)
    said = f"gave up: {ran.said[:80]}" if ran.code else ""
    return Finding(max(min(took) - start, 0.0), found, said)


def report_tools(report: Report, lines: int, seconds: float, say: Say) -> None:
    """Have everybody who is installed find everything, and add the table.

    Raises:
        BenchmarkError: Lucy didn't find just what was written.
    """
    written = hard_lines(_SEED, lines)
    table = Table(
        "formats: finding events and reading lines, by Lucy and by other people's tools",
        ["asked for", "by", "CPU s/GB", "over Lucy's", "found", "of", "what it missed, or took for what it isn't"],
        notes=[
            "the least of several runs over the same file; a tool's start isn't in it, nor is Lucy's",
            f"hard lines among them: {', '.join(KINDS)}",
            f"{ESCAPED}: the id and the text have letters as \\uXXXX, which no writer does; to Lucy lines are as spelt",
        ],
    )
    figures = {}
    here = [name for name in (*TOOLS, *SHIPPERS) if shutil.which(name.replace(",", "").split()[0])]
    report.skipped |= {name: "not installed" for name in (*TOOLS, *SHIPPERS) if name not in here}
    with scratch("tools") as place:
        file, last = _prepare(place, written)
        for way in (BY_ID, BY_MESSAGE, BY_PATTERN, RECORDS):
            say(f"{way}, {LUCY}")
            ours = apart(find, FindingJob(str(file), way, seconds))
            found = {LUCY: msgspec.structs.replace(ours, numbers=[written[index].n for index in ours.numbers])}
            for name in here:
                ask = _asking(name, way)
                if ask is not None:
                    say(f"{way}, {name}")
                    until = written[-1].n if name in WAITING else None
                    try:
                        found[name] = find_by(ask, file, last, seconds, until=until)
                    except BenchmarkError as error:
                        report.skipped[f"{name}, {way}"] = str(error)
            for name, finding in found.items():
                told = judge(written, finding.numbers, events=way != RECORDS)
                if name == LUCY:
                    _demand_all(told, way)
                ratio = finding.seconds / ours.seconds
                per_gigabyte = finding.seconds / file.stat().st_size * 1e9
                table.add(
                    way,
                    name,
                    f"{per_gigabyte:.2f}",
                    f"{ratio:.2f}x",
                    f"{told.found:,}",
                    f"{told.wanted:,}",
                    "; ".join(filter(None, (str(told), finding.said))),
                )
                report.ratios[f"{way}: {name} / {LUCY}"] = round(ratio, 3)
                figures[f"{way}: {name}"] = {
                    "s_per_gb": per_gigabyte,
                    "found": told.found,
                    "wanted": told.wanted,
                    "wrong": str(told),
                }
    report.tables.append(table)
    report.figures["tools"] = figures


def _asking(name: str, way: str) -> Ask | None:
    """Say how a tool is asked for something; None where it can't be."""
    if name in SHIPPERS:
        return functools.partial(SHIPPERS[name], way)
    command = TOOLS[name].get(way)
    return None if command is None else lambda file: [*command, str(file)]


def _prepare(place: Path, written: list[HardLine]) -> tuple[Path, Path]:
    """Write all lines into a file, the last alone into another, and what lnav has to know."""
    files = place / "node.log", place / "last.log"
    for file, lines in zip(files, (written, written[-1:]), strict=True):
        file.write_bytes(b"".join(line.data + b"\n" for line in lines))
    known = place / "lnav" / "formats" / "pino"
    known.mkdir(parents=True)
    (known / "pino.json").write_bytes(msgspec.json.encode(_LNAV_FORMAT))
    return files


def _demand_all(told: Told, way: str) -> None:
    """Refuse an answer of Lucy's that lacks more than she says it does."""
    due = Counter() if way == RECORDS else Counter({ESCAPED: told.missed[ESCAPED]})
    if wrong := str(told._replace(missed=told.missed - due)):
        message = f"formats, {way}: {LUCY} {wrong}"
        raise BenchmarkError(message)
