"""Lines as logging libraries lay them out: log4j, logback, Python's logging, env_logger, tracing, zap. Sans-IO."""

import re
from typing import Any, final

import msgspec

from lucy_core.formats.pairs import pairs_at_end
from lucy_core.formats.shapes import MOMENT, WORDS, ShapedFormat, TextRecord, shape
from lucy_core.records.record import Record

_LEVEL = rf"(?P<level>{WORDS})"
_JAVA_NAME = r"(?P<logger>[\w$]+(?:\.[\w$]+)*)"
_MOMENT = r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)"
_RUST_LEVEL = "(?P<level>TRACE|DEBUG|INFO|WARN|ERROR)"
_MICROS = r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6,9}Z)"
_PADDED_LEVEL = "(?: (?P<level>INFO|WARN)|(?P<level_>TRACE|DEBUG|ERROR))"
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_trailing_class = re.compile(r" \(([A-Za-z_]\w*(?:\.[\w$]+)*)\)")


@final
class Log4jFormat(ShapedFormat):
    """Reads log4j's and logback's usual patterns: Kafka's, ZooKeeper's, Hadoop's, Spring Boot's, Cassandra's, and more.

    Thread and logger are `extra`. Kafka's class in brackets at a line's end is its logger, and not part of the text.
    """

    name = "log4j"
    begins = "[0123456789TDIWEFAN"
    shapes = (
        shape(rf"\[(?P<time>{MOMENT})\] {_LEVEL} +(?P<text>.*)"),
        shape(
            rf"\[(?P<time>{MOMENT})\]\[{_LEVEL} *\]\[(?P<logger>[^\]\s]+) *\] ?(?:\[(?P<node>[^\]]+)\] ?)?(?P<text>.*)"
        ),
        shape(
            rf"(?P<time>{MOMENT}) +{_LEVEL} +(?P<pid>\d+) --- (?:\[(?P<app>[^\]]*)\] )?\[ *(?P<thread>[^\]]*)\] ",
            r"(?P<logger>\S+) *: (?P<text>.*)",
        ),
        shape(
            rf"(?P<time>{MOMENT}) \[(?P<thread>[^\]]*)\] (?:- )?{_LEVEL} +(?:\[(?P<place>[^\]\s]+)\]|{_JAVA_NAME})",
            r"(?::(?P<line>\d+))? +--? (?P<text>.*)",
        ),
        shape(
            rf"(?P<time>{MOMENT}) {_LEVEL} +(?:\[(?P<thread>[^\]]*)\] )?(?P<logger>[\w$]+(?:\.[\w$]+)+)",
            r"(?: -|:) (?P<text>.*)",
        ),
        shape(
            rf"(?P<time>\d\d:\d\d:\d\d[.,]\d{{3}}) \[(?P<thread>[^\]]*)\] {_LEVEL} +{_JAVA_NAME} --? (?P<text>.*)",
        ),
        shape(rf"{_LEVEL} +\[(?P<thread>[^\]]*)\] (?P<time>{MOMENT}) (?P<file>[\w.]+):(?P<line>\d+) - (?P<text>.*)"),
    )

    def record(self, line: bytes, found: re.Match[str]) -> Record:
        record = super().record(line, found)
        if found.re is not self.shapes[0] or not record.text.endswith(")"):
            return record
        begin = record.text.rfind(" (")
        logger = _trailing_class.fullmatch(record.text, begin) if begin > 0 else None
        if logger is None or not isinstance(record, TextRecord):
            return record
        return TextRecord(
            raw=line,
            text=record.text[:begin],
            shape=record.kind,
            level=record.level,
            word=record.word,
            stamp=record.stamp,
            head={**record.head, "logger": logger[1]},
        )


@final
class PythonFormat(ShapedFormat):
    """Reads the layouts of Python's logging: the basic one, those with `asctime`, Flask's, uvicorn's and gunicorn's."""

    name = "python"
    begins = "[0123456789DIWECFN"
    shapes = (
        shape(rf"(?P<time>{MOMENT}) - (?P<logger>[\w.]+) - {_LEVEL} - (?P<text>.*)"),
        shape(rf"\[(?P<time>{MOMENT})\] \[(?P<pid>\d+)\] \[{_LEVEL}\] (?P<text>.*)"),
        shape(rf"(?P<time>{MOMENT}) - {_LEVEL} - (?P<text>.*)"),
        shape(rf"\[(?P<time>{MOMENT})\] {_LEVEL} in (?P<module>\w+): (?P<text>.*)"),
        shape(rf"(?P<time>{MOMENT})[ :]{_LEVEL}:(?P<logger>[\w.]+):(?P<text>.*)"),
        shape(rf"{_LEVEL}:(?P<logger>[A-Za-z_][\w.]*):(?P<text>.*)"),
        shape(
            r"(?P<level>INFO(?=: {5}\S)|(?:TRACE|DEBUG|ERROR)(?=: {4}\S)|WARNING(?=: {2}\S)|CRITICAL(?=: \S))",
            r": +(?P<text>.*)",
        ),
    )
    loose = (
        shape(rf"{_LEVEL}(?: *[|:-] *| +)(?P<text>.*)"),
        shape(
            rf"\[?(?P<time>{MOMENT})\]?[ :|-]++\[?{_LEVEL}(?: *+\])?[ :|-]++",
            r"(?:(?:\[(?P<logger>[\w.]++)\]:?|(?P<logger_>[\w.]++)(?: *[:|]| +-)) +)?(?P<text>.*)",
        ),
        shape(
            rf"(?:(?P<time>{MOMENT}) ++(?:- ++)?)?(?:\[(?P<logger>[\w.]++)\]|(?P<logger_>[\w.]++)) *+(?:[|:-] *+)?",
            rf"(?:{_LEVEL} *+[|:-]? *+|\[(?P<level_>{WORDS}) *+\]:? +)(?P<text>.*)",
        ),
        shape(rf"\[{_LEVEL} *\]:? +(?:(?P<logger>[\w.]+): +)?(?P<text>.*)"),
    )


@final
class EnvLoggerFormat(ShapedFormat):
    """Reads the lines of Rust's env_logger, with or without times. The target is `extra`'s `logger`."""

    name = "env_logger"
    begins = "["
    has = "] "
    shapes = (
        shape(rf"\[(?:{_MOMENT} )?{_RUST_LEVEL} {{1,2}}(?P<logger>[A-Za-z_][\w:.-]*)\] (?P<text>.*)"),
        shape(rf"\[{_MOMENT} {_RUST_LEVEL} *\] (?P<text>.*)"),
    )


@final
class TracingFormat(ShapedFormat):
    """Reads the plain lines of Rust's tracing. Target and spans are `extra`; the pairs at the end are `fields`."""

    name = "tracing"
    begins = "0123456789"
    shapes = (
        shape(
            rf"{_MICROS} {_PADDED_LEVEL} ",
            r"(?:(?P<spans>\w+(?:\{[^}]*+\})?(?::\w+(?:\{[^}]*+\})?)*+): )??(?P<logger>\w+(?:::[\w<>{}#]+)*): ",
            r"(?P<text>.*)",
        ),
        shape(rf"{_MICROS} {_PADDED_LEVEL} (?P<text>.*)"),
    )
    loose = (shape(rf"{_MOMENT} +{_RUST_LEVEL} +(?:(?P<logger>\w+(?:::[\w<>{{}}#]+)*): )?(?P<text>.*)"),)

    def record(self, line: bytes, found: re.Match[str]) -> Record:
        groups = {name.rstrip("_"): value for name, value in found.groupdict().items() if value}
        text, named = pairs_at_end(groups.pop("text", ""))
        return self.made(line, text, groups.pop("level"), groups.pop("time"), groups, named)


@final
class ZapFormat(ShapedFormat):
    """Reads the lines of zap's console encoder, which is its development's: columns, with a tab between them.

    Logger, file and line are `extra`. What the call names is JSON in the last column, and `fields`.
    """

    name = "zap"
    begins = "0123456789"
    has = "\t"
    shapes = (
        shape(
            rf"(?P<time>{MOMENT}|\d{{9,10}}\.\d+)\t(?P<level>(?i:{WORDS}|DPANIC))\t(?:(?P<logger>[^\t\s:]+)\t)?",
            r"(?:(?P<file>[^\t:]+\.\w+):(?P<line>\d+)\t)?(?P<text>(?!\{)[^\t]*)(?:\t(?P<named>\{.*\}))?",
        ),
    )

    def record(self, line: bytes, found: re.Match[str]) -> Record:
        head = {name: found[name] for name in ("logger", "file", "line") if found[name]}
        text, named = found["text"], {}
        if found["named"]:
            try:
                named = _decode(found["named"])
            except (ValueError, RecursionError):  # a tab of the message's own
                text = found.string[found.start("text") :]
        return self.made(line, text, found["level"], found["time"], head, named)
