"""Where lines may come from, as values. What opens them is `capture`."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from lucy_core.arguments import (
    Rule,
    count_of,
    fit,
    instance_of,
    mapping_of,
    name_of,
    optional,
    place_of,
    seconds_of,
    switch_of,
    text_of,
    word_of,
)
from lucy_core.capturing.requests import check_address
from lucy_core.errors import ArgumentError
from lucy_core.formats.choice import chosen, formats_of
from lucy_core.formats.contract import Format

GRACE_SECONDS = 10.0
"""What a process gets to end by itself once it is asked to."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where lines come from, for `capture`: what `file`, `fifo`, `socket`, `process` and `journald` make."""

    log_format: str | None = None
    """In which format they are read; None where each line's is found out."""


class File(Source, frozen=True):
    """A file."""

    path: Path
    follow: bool


class Fifo(Source, frozen=True):
    """A FIFO."""

    path: Path


class Socket(Source, frozen=True):
    """What others connect to."""

    address: str | tuple[str, int]


class Process(Source, frozen=True):
    """A program and its output."""

    command: tuple[str, ...]
    directory: Path | None = None
    environment: Mapping[str, str] = {}
    stop_signal: int = signal.SIGTERM
    grace: float = GRACE_SECONDS


def _word(value: Any, name: str) -> str:
    return word_of(os.fspath(value) if isinstance(value, os.PathLike) else value, name)


def _address_of(value: Any, name: str) -> str | tuple[str, int]:
    try:
        address = check_address(os.fspath(value) if isinstance(value, os.PathLike) else value)
    except ValueError as error:
        raise ArgumentError(name, value, f"is none: {error}") from error
    if not isinstance(address, str) and not address[1]:
        raise ArgumentError(name, value, "leaves the port open, and nobody would hear which; give one, or use `listen`")
    return address


def _format_of(value: Any, name: str) -> str:
    found = chosen(value, name)
    if formats_of(found, name).are_strict:
        reason = "holds malformed lines against a run, and this is none; leave malformed= out, and see malformed()"
        raise ArgumentError(name, value, reason)
    return found


_FORMAT: Rule = optional(_format_of)
_ENVIRONMENT = mapping_of(name_of, word_of, '{"PORT": "8080"}')
_RULES: Mapping[type[Source], Mapping[str, Rule]] = {
    File: {"path": place_of, "follow": switch_of, "log_format": _FORMAT},
    Fifo: {"path": place_of, "log_format": _FORMAT},
    Socket: {"address": _address_of, "log_format": _FORMAT},
    Process: {
        "directory": optional(place_of),
        "environment": _ENVIRONMENT,
        "stop_signal": instance_of(signal.Signals, "a signal, such as signal.SIGINT"),
        "grace": seconds_of,
        "log_format": _FORMAT,
    },
}


def _fitted(source: Any) -> Any:
    fit(source, _RULES[type(source)])
    return source


def file(path: str | os.PathLike[str], *, follow: bool = True, log_format: str | Format | None = None) -> Source:
    """Name a file as a source of lines: from its start on, and followed by its name, through rotation and truncation.

    Args:
        path: where it is. One that is followed need not be there yet; its directory has to be.
        follow: whether to go on when it has been read. Without that it ends there; a pipe then ends with its writers.
        log_format: in which format it is read; by default each line's is found out.

    Raises:
        ArgumentError: an argument is of no use, or there is no such format.
    """
    given: Any = {"path": path, "follow": follow, "log_format": log_format}
    return _fitted(File(**given))  # type: ignore[no-any-return]  # it is that very one


def fifo(path: str | os.PathLike[str], *, log_format: str | Format | None = None) -> Source:
    """Name a FIFO as a source of lines. Writers may come and go: it doesn't end.

    Args:
        path: where it is. One that isn't there is made, and removed when the capture ends.
        log_format: in which format it is read; by default each line's is found out.

    Raises:
        ArgumentError: an argument is of no use, or there is no such format.
    """
    given: Any = {"path": path, "log_format": log_format}
    return _fitted(Fifo(**given))  # type: ignore[no-any-return]  # as above


def socket(address: str | tuple[str, int], *, log_format: str | Format | None = None) -> Source:
    """Name a socket as a source of lines: it is listened on, and whoever connects brings lines. It doesn't end.

    Who connects over TCP has to say the pipeline's `token` first, in a line of its own: `LUCY <token>`.

    Args:
        address: a path of a unix socket, or a host and a port. Where any free port will do, let
            `Pipeline.listen` choose it: it says which.
        log_format: in which format the lines are read; by default each line's is found out.

    Raises:
        ArgumentError: an argument is of no use, or there is no such format.
    """
    given: Any = {"address": address, "log_format": log_format}
    return _fitted(Socket(**given))  # type: ignore[no-any-return]  # as above


def process(
    program: str | os.PathLike[str],
    *arguments: str | os.PathLike[str],
    directory: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    grace: float = GRACE_SECONDS,
    log_format: str | Format | None = None,
) -> Source:
    """Name a program as a source of lines: it is started, and what it writes to stdout and stderr is captured.

    It has a session of its own and no stdin. It lives no longer than the capture: at the end it is signalled, with all
    that it has started in its group, and killed after `grace`. What it left running when it exited is killed. That it
    has exited or was stopped stands in Lucy's journal (`pipeline.events(lucy.NodeExited)`), and in a recording also,
    before its first line, that it was started.

    Args:
        program: a path, or a name that is looked for in PATH.
        arguments: what it gets.
        directory: where it works; by default where this process does.
        environment: variables of its own, beside those of this process.
        stop_signal: what asks it to end.
        grace: how many seconds it has for that; `math.inf` is no limit.
        log_format: in which format its lines are read; by default each line's is found out.

    Raises:
        ArgumentError: an argument is of no use, or there is no such format.
    """
    words = (program, *arguments)
    given: Any = {
        "command": tuple(_word(each, f"command[{place}]") for place, each in enumerate(words)),
        "directory": directory,
        "environment": {} if environment is None else environment,
        "stop_signal": stop_signal,
        "grace": grace,
        "log_format": log_format,
    }
    if not given["command"][0]:
        raise ArgumentError("command[0]", program, "is no program; give a path or a name")
    return _fitted(Process(**given))  # type: ignore[no-any-return]  # as above


def journald(*units: str, lines: int = 0, log_format: str | Format | None = None) -> Source:
    """Name the systemd journal as a source of lines: its entries as JSON, as `journalctl` follows them.

    The program `journalctl` has to be there, and this user to have leave to read the entries.

    Args:
        units: whose entries, such as `etcd.service`; without any, everybody's.
        lines: how many of the entries before now come first.
        log_format: in which format they are read; by default what each is is found out.

    Raises:
        ArgumentError: an argument is of no use, or there is no such format.
    """
    command = ["journalctl", "--follow", "--output=json", f"--lines={count_of(lines, 'lines')}", "--no-pager"]
    for place, unit in enumerate(units):
        if not text_of(unit, f"units[{place}]"):
            raise ArgumentError(f"units[{place}]", unit, "names no unit; give one like 'etcd.service'")
        command.append(f"--unit={unit}")
    return process(*command, log_format=log_format)


def source_of(value: Any, name: str) -> Source:
    """Take a source as an argument; a bare path is a FIFO where one is there, and a file that is followed elsewhere."""
    if isinstance(value, Source):
        return value
    if not isinstance(value, (str, os.PathLike)):
        kind = f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"
        raise ArgumentError(name, value, f"is {kind}; give a path, or a source such as lucy.process('redis-server')")
    path = place_of(value, name)
    try:
        is_fifo = path.is_fifo()
    except OSError:
        is_fifo = False  # whoever opens it says what is wrong
    return fifo(path) if is_fifo else file(path)
