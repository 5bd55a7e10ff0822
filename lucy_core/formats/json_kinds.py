"""How loggers call things in JSON: a kind of lines an entry, told from the others by its keys. Sans-IO.

Sources: each logger's own documents, and what it writes with its defaults. What kind a line is of is said by its keys,
their order, and whether its `level` is a number, by nothing else; so a shape that was seen once is known.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from lucy_core.records.severity import Severity

Path = tuple[str, ...]
"""Where a value stands: a key, and in what stands there the next."""

SYSLOG: Final[Mapping[int, Severity]] = {
    0: Severity.FATAL,
    1: Severity.ERROR3,
    2: Severity.ERROR2,
    3: Severity.ERROR,
    4: Severity.WARN,
    5: Severity.INFO2,
    6: Severity.INFO,
    7: Severity.DEBUG,
}
"""Syslog's numbers, as OpenTelemetry has them."""
TENS: Final[Mapping[int, Severity]] = {
    10: Severity.TRACE,
    20: Severity.DEBUG,
    30: Severity.INFO,
    40: Severity.WARN,
    50: Severity.ERROR,
    60: Severity.FATAL,
}
"""Bunyan's and pino's numbers; one between two of them is as much as the lower."""

_PANICKING: Final = {"panic": Severity.FATAL2}
"""Where a panic is more than a fatal error: in zap it is less."""
_GOOGLES: Final = {"critical": Severity.FATAL, "alert": Severity.FATAL2, "emergency": Severity.FATAL4}
"""As OpenTelemetry's own reader of Google Cloud's entries has them: each is more than the one before."""


class Kind(msgspec.Struct, frozen=True):
    """What a kind of lines has, and where."""

    name: str
    wants: frozenset[str]
    """Keys that are all there."""
    one_of: frozenset[str] = frozenset()
    """Keys of which one is there; none for whatever else there is."""
    lacks: frozenset[str] = frozenset()
    first: str = ""
    """The key that the line begins with; empty for any."""
    numbered: bool = False
    """Whether `level` has to be a number."""
    text: tuple[Path, ...] = (("message",), ("msg",))
    """Where the text may stand, the first that is there first; the same for the others."""
    level: tuple[Path, ...] = (("level",),)
    time: tuple[Path, ...] = (("time",), ("timestamp",), ("ts",))
    id: tuple[Path, ...] = (("event_id",),)
    inside: str = ""
    """The key of what has the fields in it; empty where they stand beside the rest."""
    is_mixed: bool = False
    """Whether fields stand in both places; otherwise all that is beside `inside` is no field."""
    about: frozenset[str] = frozenset()
    """Keys of what is no field: who wrote the line, and where."""
    prefixes: tuple[str, ...] = ()
    """How keys begin that are no fields either."""
    levels: Mapping[str, Severity] = {}
    """What its words mean where it isn't what they mean in software at large; in small letters."""
    numbers: Mapping[int, Severity] = {}
    """What its numbers mean."""
    is_bytes: bool = False
    """Whether its text may be a list of bytes."""

    def has(self, keys: Sequence[str], level: object) -> bool:
        """Tell whether a line with these keys, in this order, and a `level` of this type is of the kind."""
        there = set(keys)
        return (
            there >= self.wants
            and (not self.one_of or not there.isdisjoint(self.one_of))
            and there.isdisjoint(self.lacks)
            and (not self.first or keys[0] == self.first)
            and (not self.numbered or level in {int, float})
        )


def _kind(name: str, wants: str, **more: Any) -> Kind:
    """Make an entry; keys are given as words."""
    for each in ("one_of", "lacks", "about"):
        if each in more:
            more[each] = frozenset(more[each].split())
    for each in ("text", "level", "time", "id"):
        if each in more:
            more[each] = tuple(tuple(path.split("/")) for path in more[each].split())
    if "prefixes" in more:
        more["prefixes"] = tuple(more["prefixes"].split())
    return Kind(name, frozenset(wants.split()), **more)


ENVELOPE: Final = "envelope"

KINDS: Final[tuple[Kind, ...]] = (
    _kind(
        ENVELOPE,
        "message",
        one_of="metadata event_id",
        lacks="severity @timestamp",
        text="message",
        time="timestamp",
        inside="metadata",
        numbers=TENS,
    ),
    _kind(
        "journald",
        "",
        one_of="__REALTIME_TIMESTAMP __CURSOR",
        text="MESSAGE",
        level="PRIORITY",
        time="_SOURCE_REALTIME_TIMESTAMP __REALTIME_TIMESTAMP",
        id="MESSAGE_ID",
        about="SYSLOG_IDENTIFIER SYSLOG_PID SYSLOG_FACILITY SYSLOG_TIMESTAMP SYSLOG_RAW CODE_FILE CODE_LINE CODE_FUNC",
        prefixes="_",
        numbers=SYSLOG,
        is_bytes=True,
    ),
    _kind(
        "gcp",
        "",
        one_of="jsonPayload textPayload",
        text="textPayload jsonPayload/message jsonPayload/msg",
        level="severity",
        time="timestamp receiveTimestamp",
        inside="jsonPayload",
        levels=_GOOGLES,
    ),
    _kind(
        "gcp",
        "severity message",
        lacks="level",
        text="message",
        level="severity",
        time="time timestamp timestampSeconds ts",
        about="logger caller timestampNanos stack_trace serviceContext",
        prefixes="logging.googleapis.com/",
        levels=_GOOGLES,
    ),
    _kind(
        "ecs",
        "@timestamp",
        one_of="log.level ecs.version ecs log",
        text="message",
        level="log.level log/level",
        time="@timestamp",
        id="event.code event/code event_id",
        about="ecs log process service event host agent",
        prefixes="ecs. log. process. service. event. host. agent.",
    ),
    _kind(
        "logstash",
        "@timestamp @version",
        text="message",
        time="@timestamp",
        about="@version logger_name thread_name level_value",
    ),
    _kind(
        "hclog",
        "@message",
        one_of="@level @timestamp",
        text="@message",
        level="@level",
        time="@timestamp",
        about="@module @caller",
    ),
    _kind(
        "gelf",
        "version host short_message",
        text="short_message",
        time="timestamp",
        about="version host facility file line",
        numbers=SYSLOG,
    ),
    _kind(
        "mongodb",
        "t s c msg",
        text="msg",
        level="s",
        time="t",
        id="id",
        inside="attr",
        levels={
            "f": Severity.FATAL,
            "e": Severity.ERROR,
            "w": Severity.WARN,
            "i": Severity.INFO,
            "d": Severity.DEBUG,
            "d1": Severity.DEBUG4,
            "d2": Severity.DEBUG3,
            "d3": Severity.DEBUG2,
            "d4": Severity.DEBUG,
            "d5": Severity.TRACE,
        },
    ),
    _kind(
        "monolog",
        "message level_name channel",
        level="level_name",
        time="datetime",
        inside="context",
    ),
    _kind("zap", "L M", text="M", level="L", time="T", about="N C F S"),
    _kind(
        "bunyan",
        "v level name hostname pid",
        numbered=True,
        text="msg",
        time="time",
        about="v name hostname pid src",
        numbers=TENS,
    ),
    _kind("pino", "level time", numbered=True, time="time", about="v name pid hostname", numbers=TENS),
    _kind("pino", "level time pid hostname", time="time", about="v name pid hostname"),
    _kind(
        "tracing",
        "fields level",
        one_of="target timestamp",
        text="fields/message message",
        time="timestamp",
        inside="fields",
    ),
    _kind(
        "tracing",
        "timestamp level target",
        text="message",
        time="timestamp",
        about="target span spans filename line_number threadName threadId",
    ),
    _kind(
        "log4j",
        "loggerName",
        one_of="timeMillis instant level",
        text="message",
        time="instant timeMillis timestamp",
        inside="contextMap",
        is_mixed=True,
        about="thread threadId threadPriority loggerName loggerFqcn endOfBatch source contextStack marker",
    ),
    _kind(
        "python",
        "message",
        one_of="levelname asctime",
        level="levelname level",
        time="asctime timestamp created",
        about="name filename funcName lineno module pathname process processName thread threadName taskName created"
        " levelno msecs relativeCreated",
    ),
    _kind(
        "structlog",
        "event",
        one_of="level log_level timestamp logger",
        lacks="message msg",
        text="event",
        level="level log_level",
        time="timestamp ts",
        about="logger logger_name filename func_name lineno module pathname process process_name thread thread_name"
        " level_number",
    ),
    _kind("slog", "time level msg", first="time", text="msg", time="time", about="source"),
    _kind("logrus", "time level msg", text="msg", time="time", about="func file", levels=_PANICKING),
    _kind("zap", "ts level", first="level", one_of="msg logger caller", time="ts", about="logger caller stacktrace"),
    _kind("slog-rs", "ts level msg", first="msg", text="msg", time="ts", about="module line column file"),
    _kind("zerolog", "level time message", text="message", time="time", about="caller stack", levels=_PANICKING),
    _kind(
        "winston",
        "level message timestamp",
        text="message",
        time="timestamp",
        about="label",
        levels={
            "http": Severity.DEBUG3,
            "verbose": Severity.DEBUG2,
            "silly": Severity.TRACE,
        },
    ),
)
"""The most telling first."""

UNKNOWN: Final = _kind(
    "",
    "",
    text="message msg Message MESSAGE @message short_message @m _msg event text body",
    level="levelname level_name level severity lvl log_level loglevel logLevel log.level Level Severity severityText"
    " severity_text @level @l",
    time="time timestamp ts @timestamp datetime t @t Timestamp Time date asctime",
    about="logger caller pid hostname thread",
    numbers=TENS,
)
"""What lines of no known kind may call things."""


def kind_of(keys: Sequence[str], level: object) -> Kind:
    """Say what kind of line has these keys, in this order, and a `level` of this type."""
    return next((kind for kind in KINDS if kind.has(keys, level)), UNKNOWN)
