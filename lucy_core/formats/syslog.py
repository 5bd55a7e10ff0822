r"""Syslog's lines: of RFC 5424, of RFC 3164, and as syslog daemons and journald write them into files. Sans-IO.

::

    <34>1 2026-12-01T10:00:00.003Z host su 77 ID47 [origin ip="10.0.0.1"] text
    <34>Dec  1 10:00:00 host su[77]: text
    2026-12-01T10:00:00.123456+00:00 host su[77]: text

The number in front is the facility, times 8, and the severity; daemons leave it out of files, and then nobody knows how
much a line matters. The severities are OpenTelemetry's table for syslog.
"""

import re
from collections.abc import Mapping
from typing import Any, final

from lucy_core.formats.shapes import ShapedFormat, TextRecord, shape
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity

SEVERITIES = (
    ("emerg", Severity.FATAL),
    ("alert", Severity.ERROR3),
    ("crit", Severity.ERROR2),
    ("err", Severity.ERROR),
    ("warning", Severity.WARN),
    ("notice", Severity.INFO2),
    ("info", Severity.INFO),
    ("debug", Severity.DEBUG),
)
"""By syslog's number: its keyword, and what it means."""
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
_STAMP = rf"{_MONTH} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{{1,9}})?"
_HOST = r"(?P<host>[^\s\[\]=\"]{1,255})"
_PRIORITY = r"<(?P<priority>1[0-8]\d|19[01]|\d\d?)>"
_TAG = r"(?P<app>[^\s\[\]:<>=\"'{}]{1,128})(?:\[(?P<pid>[^\]\s]{1,128})\])?:(?: (?P<text>.*)|$)"
_data = re.compile(r'\[([^\s=\]"]+)((?: [^\s=\]"]+="[^"\\\]]*+(?:\\.[^"\\\]]*+)*+")*+)\]')
_value = re.compile(r' ([^\s=\]"]+)="([^"\\\]]*+(?:\\.[^"\\\]]*+)*+)"')
_escaped = re.compile(r'\\(["\\\]])')


@final
class SyslogFormat(ShapedFormat):
    """Reads syslog's lines. Who wrote one and where is `extra`; structured data is `fields`, a mapping for each id.

    `facility` is its number, for a line doesn't spell its name: 0 the kernel, 3 daemons, 16 to 23 local ones.
    """

    name = "syslog"
    begins = "<123456789JFMASOND"
    shapes = (
        shape(
            rf"(?:{_PRIORITY})?1 (?P<time>{_ISO}|-) (?P<host>\S{{1,255}}) (?P<app>\S{{1,48}}) (?P<pid>\S{{1,128}}) ",
            r'(?P<msgid>\S{1,32}) (?P<data>-|(?:\[(?:[^\]"]|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+\])++)',
            r"(?: \ufeff?(?P<text>.*))?",
        ),
        shape(rf"(?:{_PRIORITY})?(?P<time>{_STAMP}) (?:{_HOST} )?{_TAG}"),
        shape(rf"(?:{_PRIORITY})?(?P<time>{_ISO}) (?:{_HOST} )?(?=kernel:|[^\s\[\]:]+\[){_TAG}"),
        shape(rf"{_PRIORITY}(?P<time>{_STAMP}|{_ISO}) {_HOST} (?:{_TAG}|(?P<text_>.*))"),
        shape(rf"{_PRIORITY}{_TAG}"),
    )
    loose = (shape(rf"(?:{_PRIORITY})?(?P<time>{_STAMP}|{_ISO}) {_HOST} (?:{_TAG}|(?P<text_>.*))"),)

    def record(self, line: bytes, found: re.Match[str]) -> Record:
        head: dict[str, Any] = {
            name.rstrip("_"): value for name, value in found.groupdict().items() if value and value != "-"
        }
        text = head.pop("text", "")
        data = head.pop("data", "")
        word, level = "", Severity.UNSPECIFIED
        if "priority" in head:
            facility, number = divmod(int(head["priority"]), 8)
            word, level = SEVERITIES[number]
            head["facility"] = facility
        return SyslogRecord(
            raw=line,
            text=text,
            shape=self.name,
            level=level,
            word=word,
            stamp=head.pop("time", ""),
            head=head,
            named=_structured(data) if data else {},
        )


class SyslogRecord(TextRecord, frozen=True, gc=False, kw_only=True):
    """A line of syslog. What it carries is another program's text, a stack trace's line too."""

    @property
    def continues(self) -> bool:
        return Record(raw=self.raw, text=self.text).continues


def _structured(data: str) -> Mapping[str, Any]:
    return {
        element[1]: {value[1]: _escaped.sub(r"\1", value[2]) for value in _value.finditer(element[2])}
        for element in _data.finditer(data)
    }
