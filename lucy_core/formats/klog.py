"""klog's and glog's lines, as much of Google's C++ and Go writes them. Sans-IO.

Their documents: the header is `Lmmdd hh:mm:ss.uuuuuu threadid file:line] msg`; glog may put the year before the month;
klog's structured calls write `"msg" key="value" key2=1` behind it.
"""

import re
from typing import ClassVar, final

from lucy_core.formats.pairs import quoted_at, read_pairs
from lucy_core.formats.shapes import ShapedFormat, shape
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity


@final
class KlogFormat(ShapedFormat):
    """Reads klog's and glog's lines. Thread, file and line are `extra`; what a structured call names is `fields`."""

    name = "klog"
    begins = "IWEFD"
    has = "]"
    shapes = (
        shape(
            r"(?P<level>[IWEFD])(?P<time>(?:\d{4})?\d{4} \d\d:\d\d:\d\d\.\d{3,9}) +(?P<thread>\d+) ",
            r"(?P<file>[^\s:\]]+):(?P<line>\d+)\](?: (?P<text>.*))?",
        ),
    )
    levels: ClassVar = {
        "D": Severity.DEBUG,
        "I": Severity.INFO,
        "W": Severity.WARN,
        "E": Severity.ERROR,
        "F": Severity.FATAL,
    }

    def record(self, line: bytes, found: re.Match[str]) -> Record:
        text, named = _structured(found["text"] or "")
        head = {name: found[name] for name in ("thread", "file", "line")}
        return self.made(line, text, found["level"], found["time"], head, named)


def _structured(text: str) -> tuple[str, dict[str, object]]:
    quoted = quoted_at(text, 0)
    if quoted is None:
        return text, {}
    message, end = quoted
    pairs = read_pairs(text, end)
    return (text, {}) if pairs is None else (message, pairs)
