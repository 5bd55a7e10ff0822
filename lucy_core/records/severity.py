"""How much a line matters: OpenTelemetry's numbers, and the words that software has for them. Sans-IO.

Source of the numbers: the log data model of OpenTelemetry, `SeverityNumber` (1 to 24, four to a range, the least of a
range where software has one word for it; 0 is unspecified).

For Python 3.7 and later with the standard library alone: it is carried wherever `filters.logproc` is.
"""

# `dict[str, int]` is news to old interpreters: they must not look at it.
from __future__ import annotations

import enum


class Severity(enum.IntEnum):
    """How much a line matters, least first. `UNSPECIFIED` is what a line that doesn't say it has, and an unknown word.

    They compare as numbers, so `record.severity >= Severity.ERROR` is true for all that is an error or worse.
    """

    UNSPECIFIED = 0
    """Nobody can say: an unknown word, or none."""
    TRACE = 1
    """Finer than what people debug with. A range has four numbers, the least of them for software with one word for
    it."""
    TRACE2 = 2
    TRACE3 = 3
    TRACE4 = 4
    DEBUG = 5
    """For whoever looks for a mistake."""
    DEBUG2 = 6
    DEBUG3 = 7
    DEBUG4 = 8
    INFO = 9
    """What is as it should be. `INFO2` is what software calls a notice."""
    INFO2 = 10
    INFO3 = 11
    INFO4 = 12
    WARN = 13
    """What may become an error."""
    WARN2 = 14
    WARN3 = 15
    WARN4 = 16
    ERROR = 17
    """Something failed."""
    ERROR2 = 18
    ERROR3 = 19
    ERROR4 = 20
    FATAL = 21
    """The software can't go on."""
    FATAL2 = 22
    FATAL3 = 23
    FATAL4 = 24


WORDS = {
    "trace": Severity.TRACE,
    "trc": Severity.TRACE,
    "trce": Severity.TRACE,
    "silly": Severity.TRACE,
    "finest": Severity.TRACE,
    "verbose": Severity.DEBUG,
    "debug": Severity.DEBUG,
    "dbg": Severity.DEBUG,
    "debg": Severity.DEBUG,
    "finer": Severity.DEBUG,
    "fine": Severity.DEBUG2,
    "config": Severity.DEBUG3,
    "info": Severity.INFO,
    "inf": Severity.INFO,
    "information": Severity.INFO,
    "informational": Severity.INFO,
    "notice": Severity.INFO2,
    "warn": Severity.WARN,
    "wrn": Severity.WARN,
    "warning": Severity.WARN,
    "error": Severity.ERROR,
    "err": Severity.ERROR,
    "eror": Severity.ERROR,
    "erro": Severity.ERROR,
    "exception": Severity.ERROR,
    "severe": Severity.ERROR,
    "crit": Severity.ERROR2,
    "dpanic": Severity.ERROR2,
    "alert": Severity.ERROR3,
    "panic": Severity.ERROR3,
    "critical": Severity.FATAL,
    "fatal": Severity.FATAL,
    "ftl": Severity.FATAL,
    "emerg": Severity.FATAL,
    "emergency": Severity.FATAL,
}
"""What a word in small letters means, in software at large; a format may know more, or others."""


def severity_of(word: str) -> Severity:
    """Return what a word means, in any case; `UNSPECIFIED` where nobody knows it."""
    return WORDS.get(word.lower(), Severity.UNSPECIFIED)
