"""Lines of daemons, each with a shape of its own: PostgreSQL, Redis, NATS, RabbitMQ. Sans-IO."""

import re
from typing import ClassVar, final

from lucy_core.formats.shapes import ShapedFormat, TextRecord, shape
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity

_FOLLOWING = frozenset({"DETAIL", "HINT", "QUERY", "CONTEXT", "LOCATION", "STATEMENT", "BACKTRACE"})
"""PostgreSQL's words for what goes on with the message before: the server writes both in one piece."""
_WORD = (
    r"(?P<level>LOG|ERROR|WARNING|NOTICE|INFO|DEBUG[1-5]?|FATAL|PANIC|"
    r"DETAIL|HINT|QUERY|CONTEXT|LOCATION|STATEMENT|BACKTRACE)"
)
_ZONE = r"(?: (?:[A-Z]{1,5}|[+-]\d\d(?::?\d\d)?))?"
_PREFIX = {
    "pid": re.compile(r"\[(\d+)\]"),
    "user": re.compile(r"\buser=([^\s,]+)|([\w.-]+)@"),
    "database": re.compile(r"\bdb=([^\s,]+)|@([\w.-]+)"),
    "application": re.compile(r"\bapp=([^,]*[^\s,])"),
    "client": re.compile(r"\b(?:client|host)=([^\s,]+)"),
}
"""Where what an administrator may put before a line (`log_line_prefix`) is found."""


@final
class PostgresqlFormat(ShapedFormat):
    """Reads PostgreSQL's log: with the default `log_line_prefix`, Debian's, a usual one, or none.

    `DETAIL`, `HINT`, `STATEMENT` and the like go on with the record before, and matter as much as it does. `LOG`, which
    is for the administrator, is INFO.
    """

    name = "postgresql"
    begins = "0123456789DILNWEFPHQCSB"
    has = ":  "
    shapes = (
        shape(
            rf"(?P<time>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?{_ZONE})",
            rf"(?P<prefix>[ :][^\"]{{0,300}}?)?(?<=[ :\]]){_WORD}:  (?P<text>.*)",
        ),
        shape(rf"{_WORD}:  (?P<text>(?!\s).*)"),
    )
    levels: ClassVar = {
        "LOG": Severity.INFO,
        "DEBUG1": Severity.DEBUG4,
        "DEBUG2": Severity.DEBUG3,
        "DEBUG3": Severity.DEBUG2,
        "DEBUG4": Severity.DEBUG,
        "DEBUG5": Severity.DEBUG,
        "PANIC": Severity.FATAL2,
    }

    def record(self, line: bytes, found: re.Match[str]) -> Record:
        word = found["level"]
        head = found.groupdict()
        prefix = head.get("prefix") or ""
        places = {name: place.search(prefix) for name, place in _PREFIX.items()} if prefix else {}
        make = PostgresqlDetail if word in _FOLLOWING else TextRecord
        return make(
            raw=line,
            text=found["text"],
            shape=self.name,
            level=self.severity(word),
            word=word,
            stamp=head.get("time") or "",
            head={name: next(filter(None, place.groups())) for name, place in places.items() if place is not None},
        )


class PostgresqlDetail(TextRecord, frozen=True, gc=False, kw_only=True):
    """A line that goes on with PostgreSQL's message before it."""

    @property
    def continues(self) -> bool:
        return True


@final
class RedisFormat(ShapedFormat):
    """Reads Redis' log, and Sentinel's and Valkey's. Its times have no zone, and count as UTC.

    The roles are M for a master, S for a replica, C for a child that saves, X for a Sentinel.
    """

    name = "redis"
    begins = "123456789"
    shapes = (
        shape(
            r"(?P<pid>\d+):(?P<role>[MSCX]) (?P<time>\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3}) ",
            r"(?P<level>[.*#-]) (?P<text>.*)",
        ),
        shape(r"(?P<pid>\d+):signal-handler \((?P<time>\d+)\) (?P<text>.*)"),
    )
    levels: ClassVar = {
        "": Severity.WARN,  # its signal handler leaves the sign out, and logs at the level of "#" alone
        ".": Severity.DEBUG,
        "-": Severity.DEBUG2,
        "*": Severity.INFO2,
        "#": Severity.WARN,
    }


@final
class NatsFormat(ShapedFormat):
    """Reads the log of a NATS server, with or without times."""

    name = "nats"
    begins = "["
    has = " ["
    shapes = (
        shape(
            r"\[(?P<pid>\d+)\] (?:(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?) )?",
            r"\[(?P<level>TRC|DBG|INF|WRN|ERR|FTL)\] (?P<text>.*)",
        ),
    )


@final
class RabbitmqFormat(ShapedFormat):
    """Reads RabbitMQ's log. The Erlang process is `extra`."""

    name = "rabbitmq"
    begins = "0123456789"
    has = "] <"
    shapes = (
        shape(
            r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?) \[(?P<level>[a-z]+)\] ",
            r"(?P<process><\d+\.\d+\.\d+>)(?: (?P<text>.*))?",
        ),
    )
    levels: ClassVar = {
        "critical": Severity.ERROR2,
        "alert": Severity.ERROR3,
        "emergency": Severity.FATAL,
    }
