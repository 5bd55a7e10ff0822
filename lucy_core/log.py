"""Lucy's own log: a few short lines for whoever runs her. What a run is about stands in its journal instead.

Lines go through structlog as its user configured it, asked at every line: that may be done after Lucy was imported.
Where nobody did, they go to stderr, a line each. structlog's own default would not do: it writes to stdout, which may
be somebody's data, and it shows every frame of an error with its variables, which may be somebody's secrets. Frames
come along only where they were asked for, by `show_frames` (`lucy --debug`).

A line that can't be written is given up, whatever the reason: a reader who is gone, a full disk, a processor of the
user's that raises. Who logs is often the last to know of an error, and has told the ledger or the run before; it must
not be ended by the telling.
"""

import contextlib
import logging
import sys
import traceback
from pathlib import Path
from typing import Any, final

import structlog
from structlog.typing import EventDict

from lucy_core.visible import visible

_DEFAULTS = None if structlog.is_configured() else dict(structlog.get_config())
_DEFAULT_PROCESSORS = None if _DEFAULTS is None else list(_DEFAULTS["processors"])


def _is_configured() -> bool:
    """Tell whether somebody said how lines look. `capture_logs` of a test puts structlog's defaults back as if so."""
    if not structlog.is_configured() or _DEFAULTS is None:
        return structlog.is_configured()
    return structlog.get_config() != {**_DEFAULTS, "processors": _DEFAULT_PROCESSORS}


@final
class _Wanted:
    frames = False


def show_frames() -> None:
    """Have errors of callbacks logged with all their frames from now on."""
    _Wanted.frames = True


def warning(event: str, **facts: object) -> None:
    """Log something that somebody may want to mend. Never raises."""
    _log(logging.WARNING, event, facts)


def error(event: str, raised: BaseException, **facts: object) -> None:
    """Log an error of somebody's code, with the place where it was raised. Never raises."""
    if _Wanted.frames:
        facts["exc_info"] = raised
    elif (place := raised_at(raised)) is not None:
        facts["at"] = place
    _log(logging.ERROR, event, facts)


def raised_at(raised: BaseException) -> str | None:
    """Name the innermost line outside of Lucy that an error came through, or None where there is none."""
    own = Path(__file__).parent
    for frame, line in reversed(list(traceback.walk_tb(raised.__traceback__))):
        if own not in Path(frame.f_code.co_filename).parents:
            return f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
    return None


def _log(level: int, event: str, facts: dict[str, object]) -> None:
    with contextlib.suppress(Exception):  # nobody is left to tell: see above
        _logger().log(level, event, **facts)


def _logger() -> Any:  # structlog's loggers have no type of their own
    if _is_configured():
        factory = structlog.get_config()["logger_factory"]
        # Whoever said how lines look and not where they go has not asked for them among his data.
        nowhere_said = isinstance(factory, structlog.PrintLoggerFactory) and factory._file is None  # noqa: SLF001
        return structlog.wrap_logger(_Lines()) if nowhere_said else structlog.get_logger()
    return structlog.wrap_logger(
        _Lines(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, _in_words],
    )


def _in_words(_logger: object, _method: str, facts: EventDict) -> str:
    head = f"lucy: {facts.pop('level')}: {facts.pop('event')}"
    frames = facts.pop("exception", "")
    rest = ", ".join(f"{name} {value}" for name, value in facts.items())
    return visible(f"{head}: {rest}" if rest else head) + (f"\n{visible(str(frames))}" if frames else "")


@final
class _Lines:
    """What structlog writes to: stderr as it is at the time of each line, for views and tests swap it."""

    def msg(self, text: str) -> None:
        if sys.stderr is not None:  # closed by whoever started this process
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    debug = info = warning = warn = error = critical = log = msg
