r"""Lines of web servers: nginx's and Apache's access and error logs. Sans-IO.

An access log's line says what was asked and what came of it: its text is the request, and how much it matters is its
status: a 5xx is an ERROR, a 4xx a WARN, any other INFO. A `-` in it is nothing.
"""

import re
from typing import ClassVar, final

from lucy_core.formats.shapes import ShapedFormat, TextRecord, shape
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity

_QUOTED = r'[^"\\]*+(?:\\.[^"\\]*+)*+'
_request = re.compile(r"(?P<method>[A-Z]+) (?P<path>\S+)(?: (?P<protocol>\S+))?").fullmatch


class AccessFormat(ShapedFormat):
    """Reads access logs: the common and the combined format, with a virtual host in front or not, and aiohttp's."""

    name = "access"
    shapes = (
        shape(
            r"(?:(?P<vhost>[\w.*-]+:\d+) )?(?P<client>[^\s\[\]\"]+)",
            r"(?: (?P<ident>[^\s\[\]\"]+) (?P<user>[^\[\]\"]+?))? ",
            r"\[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] ",
            rf'"(?P<text>{_QUOTED})" (?P<status>\d{{3}}) (?P<bytes>\d+|-)',
            rf'(?: "(?P<referer>{_QUOTED})" "(?P<agent>{_QUOTED})")?(?: (?P<rest>.*))?',
        ),
    )

    def record(self, line: bytes, found: re.Match[str]) -> Record:
        named = {name: value for name, value in found.groupdict().items() if value and value != "-"}
        text = named.pop("text", "")
        request = _request(text)
        if request is not None:
            named |= {name: value for name, value in request.groupdict().items() if value}
        status = named["status"]
        return TextRecord(
            raw=line,
            text=text,
            shape=AccessFormat.name,  # a line doesn't show whose it is
            level=_STATUS.get(status[0], Severity.INFO),
            word=status,
            stamp=named.pop("time"),
            named=named,
        )


_STATUS = {"4": Severity.WARN, "5": Severity.ERROR}


@final
class NginxAccessFormat(AccessFormat):
    """Reads nginx's access log: its `combined` format, and `main`, which ends in `$http_x_forwarded_for`."""

    name = "nginx_access"


@final
class ApacheAccessFormat(AccessFormat):
    """Reads Apache's access log: `common`, `combined` and `vhost_combined`."""

    name = "apache_access"


_LEVELS = {
    "crit": Severity.ERROR2,
    "alert": Severity.ERROR3,
    "emerg": Severity.FATAL,
    **{f"trace{number}": Severity(5 - (number + 1) // 2) for number in range(1, 9)},
}


@final
class NginxErrorFormat(ShapedFormat):
    """Reads nginx's error log. What it says of the request (`client: …, server: …`) is `fields`."""

    name = "nginx_error"
    begins = "0123456789n"
    has = " ["
    shapes = (
        shape(
            r"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<level>[a-z]+)\] (?P<pid>\d+)#(?P<tid>\d+): ",
            r"(?:\*(?P<connection>\d+) )?(?P<text>.*)",
        ),
        # Before it has opened its log.
        shape(r"nginx: (?P<time>)\[(?P<level>[a-z]+)\] (?P<pid>)(?P<tid>)(?P<connection>)(?P<text>.*)"),
    )
    levels: ClassVar = _LEVELS

    def record(self, line: bytes, found: re.Match[str]) -> Record:
        text, context, about = found["text"].partition(", client: ")
        named = {"connection": found["connection"]} if found["connection"] else {}
        if context:
            named |= {each[1]: each[2] or each[3] for each in _about.finditer(f"client: {about}")}
        head = {"pid": found["pid"], "tid": found["tid"]} if found["pid"] else {}
        return self.made(line, text, found["level"], found["time"], head, named)


_about = re.compile(rf'(\w+): (?:"({_QUOTED})"|([^,"]*+))(?:, |$)', re.DOTALL)


@final
class ApacheErrorFormat(ShapedFormat):
    """Reads Apache's error log, of 2.4 and of 2.2. Who had asked, and the message's code, are `fields`."""

    name = "apache_error"
    begins = "["
    has = "] ["
    shapes = (
        shape(
            r"\[(?P<time>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{4})\] ",
            r"\[(?:(?P<module>\w*):)?(?P<level>[a-z]+[1-8]?)\] (?:\[pid (?P<pid>\d+)(?::tid (?P<tid>\w+))?\] )?",
            r"(?:\[(?:remote|client) (?P<client>[^\]]+)\] )?(?P<text>(?:(?:\(\d+\)[^:]*+: )?(?P<code>AH\d{5}): )?.*)",
        ),
    )
    levels: ClassVar = _LEVELS

    def record(self, line: bytes, found: re.Match[str]) -> Record:
        groups = {name: value for name, value in found.groupdict().items() if value}
        head = {name: value for name, value in groups.items() if name in {"module", "pid", "tid"}}
        named = {name: value for name, value in groups.items() if name in {"client", "code"}}
        return self.made(line, groups.get("text", ""), groups["level"], groups["time"], head, named)
