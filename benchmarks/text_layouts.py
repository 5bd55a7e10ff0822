"""Lines of text, as software lays them out, and today's reader of each: one regular expression for this one layout."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from benchmarks.json_layouts import as_json
from benchmarks.layout import (
    LARGE,
    LETTERS,
    REASON,
    REASONED,
    SMALL,
    Entry,
    Layout,
    Reader,
    Said,
    iso,
    meant,
    named,
    parsed,
    this_year,
    utc,
)
from lucy_core.records.severity import Severity


def _by_pattern(pattern: str, words: Mapping[Severity, str], time: Callable[[str], datetime]) -> Reader:
    fullmatch, levels = re.compile(pattern, re.DOTALL).fullmatch, meant(words)

    def read(line: bytes) -> Said:
        found = fullmatch(line.decode())
        if found is None:
            message = f"no match: {line!r}"
            raise ValueError(message)
        text, level, stamp = found.group("text", "level", "time")
        return text, levels[level], time(stamp)

    return read


_pair = re.compile(r'([\w.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')


def _pairs(entry: Entry) -> str:
    return " ".join(f"{name}={value}" for name, value in entry.more.items())


def _logfmt(entry: Entry) -> str:
    return f'time={iso(entry.at)} level={SMALL[entry.level]} msg="{entry.text}" {_pairs(entry)}'


def _logfmt_by_hand() -> Reader:
    levels, find, read_time = meant(SMALL), _pair.findall, datetime.fromisoformat

    def read(line: bytes) -> Said:
        document = {name: quoted or bare for name, quoted, bare in find(line.decode())}
        return document["msg"], levels[document["level"]], read_time(document["time"])

    return read


_ACCESS = {Severity.DEBUG: "204", Severity.INFO: "200", Severity.WARN: "404", Severity.ERROR: "503"}
_SYSLOG = {Severity.DEBUG: "31", Severity.INFO: "30", Severity.WARN: "28", Severity.ERROR: "27"}


def _access(entry: Entry) -> str:
    asked = f"POST /bans/{entry.peer}" if entry.peer else f"GET /{entry.text.replace(' ', '/')}"
    agent = REASON if entry.peer else "curl/8.5.0"
    clock = entry.at.strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'10.0.0.7 - - [{clock}] "{asked} HTTP/1.1" {_ACCESS[entry.level]} {entry.n} "-" "{agent}"'


def _access_by_hand() -> Reader:
    inside = _by_pattern(
        r'\S+ \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<text>[^"]*)" (?P<level>\d{3}) \S+ "[^"]*" "[^"]*"',
        _ACCESS,
        lambda stamp: datetime.strptime(stamp, "%d/%b/%Y:%H:%M:%S %z"),
    )

    def read(line: bytes) -> Said:
        text, level, time = inside(line)
        return text, max(level, Severity.INFO), time

    return read


def _more_as_text(entry: Entry) -> str:
    return " ".join(f'{name}="{value}"' for name, value in entry.more.items())


_POSTGRES = named("DEBUG1", "LOG", "WARNING", "ERROR")
_REDIS = {Severity.DEBUG: ".", Severity.INFO: "*", Severity.WARN: "#", Severity.ERROR: "#"}
_NATS = named("DBG", "INF", "WRN", "ERR")


def _read_as(levels: Mapping[Severity, Severity], inside: Reader) -> Reader:
    """Have some levels mean what the software means by their words."""

    def read(line: bytes) -> Said:
        text, level, time = inside(line)
        return text, levels.get(level, level), time

    return read


LAYOUTS: tuple[Layout, ...] = (
    Layout("logfmt", "logfmt", _logfmt, _logfmt_by_hand(), fields=REASONED),
    Layout(
        "klog",
        "klog",
        lambda entry: (
            f"{LETTERS[entry.level]}{entry.at:%m%d %H:%M:%S.%f}       1 main.go:12] "
            f'"{entry.text}" {_more_as_text(entry)}'
        ),
        _by_pattern(
            r'(?P<level>[IWED])(?P<time>\d{4} \S+) +\d+ [^\]]+\] "(?P<text>(?:[^"\\]|\\.)*)".*',
            LETTERS,
            this_year("%m%d %H:%M:%S.%f"),
        ),
        fields=REASONED,
    ),
    Layout(
        "syslog",
        "syslog",
        lambda entry: f"<{_SYSLOG[entry.level]}>1 {iso(entry.at)} host app 77 ID47 - {entry.text}",
        _by_pattern(r"<(?P<level>\d+)>1 (?P<time>\S+) \S+ \S+ \S+ \S+ - (?P<text>.*)", _SYSLOG, datetime.fromisoformat),
    ),
    *(
        Layout(
            name,
            name,
            _access,
            _access_by_hand(),
            fields={"agent": REASON},
            message="POST /bans/$peer HTTP/1.1",
            pattern=r"POST /bans/(?P<peer>\S+)",
        )
        for name in ("nginx_access", "apache_access")
    ),
    Layout(
        "nginx_error",
        "nginx_error",
        lambda entry: (
            f"{entry.at:%Y/%m/%d %H:%M:%S} [{SMALL[entry.level]}] 31#32: *7 {entry.text}, client: 10.0.0.7, server: "
            f"{REASON if entry.peer else 'web'}"
        ),
        _by_pattern(
            r"(?P<time>\S+ \S+) \[(?P<level>\w+)\] \d+#\d+: (?:\*\d+ )?(?P<text>.*?), client: .*",
            SMALL,
            parsed("%Y/%m/%d %H:%M:%S"),
        ),
        fields={"server": REASON},
    ),
    Layout(
        "apache_error",
        "apache_error",
        lambda entry: (
            f"[{entry.at:%a %b %d %H:%M:%S.%f %Y}] [core:{SMALL[entry.level]}] [pid 35:tid 43] "
            f"[client 10.0.0.7:1234] {entry.text}"
        ),
        _by_pattern(
            r"\[(?P<time>[^\]]+)\] \[\w+:(?P<level>\w+)\] \[pid [^\]]+\] \[client [^\]]+\] (?P<text>.*)",
            SMALL,
            parsed("%a %b %d %H:%M:%S.%f %Y"),
        ),
    ),
    Layout(
        "postgresql",
        "postgresql",
        lambda entry: f"{iso(entry.at, 3, between=' ', zone='')} UTC [123] {_POSTGRES[entry.level]}:  {entry.text}",
        _read_as(
            {Severity.DEBUG: Severity.DEBUG4},
            _by_pattern(r"(?P<time>\S+ \S+) UTC \[\d+\] (?P<level>[A-Z]+1?):  (?P<text>.*)", _POSTGRES, utc),
        ),
    ),
    Layout(
        "redis",
        "redis",
        lambda entry: (
            f"7:M {entry.at:%d %b %Y %H:%M:%S}.{entry.at.microsecond // 1000:03d} {_REDIS[entry.level]} {entry.text}"
        ),
        _read_as(
            {Severity.INFO: Severity.INFO2, Severity.ERROR: Severity.WARN},
            _by_pattern(
                r"\d+:[A-Z] (?P<time>\S+ \S+ \S+ \S+) (?P<level>[.*#-]) (?P<text>.*)",
                _REDIS,
                parsed("%d %b %Y %H:%M:%S.%f"),
            ),
        ),
    ),
    Layout(
        "nats",
        "nats",
        lambda entry: f"[1] {entry.at:%Y/%m/%d %H:%M:%S.%f} [{_NATS[entry.level]}] {entry.text}",
        _by_pattern(
            r"\[\d+\] (?P<time>\S+ \S+) \[(?P<level>[A-Z]{3})\] (?P<text>.*)",
            _NATS,
            parsed("%Y/%m/%d %H:%M:%S.%f"),
        ),
    ),
    Layout(
        "rabbitmq",
        "rabbitmq",
        lambda entry: f"{iso(entry.at, between=' ', zone='+00:00')} [{SMALL[entry.level]}] <0.9.0> {entry.text}",
        _by_pattern(r"(?P<time>\S+ \S+) \[(?P<level>\w+)\] <[\d.]+> (?P<text>.*)", SMALL, datetime.fromisoformat),
    ),
    Layout(
        "log4j",
        "log4j",
        lambda entry: (
            f"[{iso(entry.at, 3, between=' ', point=',', zone='')}] {LARGE[entry.level]} {entry.text} "
            "(kafka.server.KafkaServer)"
        ),
        _by_pattern(r"\[(?P<time>[^\]]+)\] (?P<level>[A-Z]+) +(?P<text>.*) \([\w.$]+\)", LARGE, utc),
    ),
    Layout(
        "python",
        "python",
        lambda entry: (
            f"{iso(entry.at, 3, between=' ', point=',', zone='')} - app.store - {LARGE[entry.level]} - {entry.text}"
        ),
        _by_pattern(r"(?P<time>\S+ \S+) - \S+ - (?P<level>[A-Z]+) - (?P<text>.*)", LARGE, utc),
    ),
    Layout(
        "env_logger",
        "env_logger",
        lambda entry: f"[{iso(entry.at, 0)} {LARGE[entry.level]:5} app::net] {entry.text}",
        _by_pattern(r"\[(?P<time>\S+) (?P<level>[A-Z]+) +\S+\] (?P<text>.*)", LARGE, datetime.fromisoformat),
    ),
    Layout(
        "tracing",
        "tracing",
        lambda entry: f"{iso(entry.at)} {LARGE[entry.level]:>5} app::net: {entry.text} {_pairs(entry)}",
        _by_pattern(r"(?P<time>\S+) +(?P<level>[A-Z]+) \S+: (?P<text>.*?)(?: \w+=\S+)*", LARGE, datetime.fromisoformat),
        fields=REASONED,
    ),
    Layout(
        "zap",
        "zap",
        lambda entry: "\t".join(
            (iso(entry.at, 3), LARGE[entry.level], "raft", "raft/node.go:7", entry.text, as_json(entry.more))
        ),
        _by_pattern(
            r"(?P<time>[^\t]+)\t(?P<level>[^\t]+)\t[^\t]+\t[^\t]+\t(?P<text>[^\t]*)(?:\t\{.*\})?",
            LARGE,
            datetime.fromisoformat,
        ),
        fields=REASONED,
    ),
    Layout(
        "text",
        "text",
        lambda entry: f"{iso(entry.at)} [{SMALL[entry.level]}] {entry.text}",
        _by_pattern(r"(?P<time>\S+) \[(?P<level>\w+)\] (?P<text>.*)", SMALL, datetime.fromisoformat),
    ),
    Layout(
        "text, by a pattern",
        "text",
        lambda entry: f"{iso(entry.at)} [{SMALL[entry.level]}] {entry.text}",
        _by_pattern(r"(?P<time>\S+) \[(?P<level>\w+)\] (?P<text>.*)", SMALL, datetime.fromisoformat),
        {"pattern": r"(?P<time>\S+) \[(?P<level>\w+)\] (?P<text>.*)"},
    ),
)
