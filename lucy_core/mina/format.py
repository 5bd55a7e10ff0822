"""How Mina's daemons write a line: an envelope, with levels of their own.

Source of the levels and their order: Mina's `logger.ml`. They stand for OpenTelemetry's numbers in that order.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, final

from lucy_core.formats.envelope import EnvelopeFormat, EnvelopeRecord, spellings
from lucy_core.records.record import Record
from lucy_core.records.severity import Severity

LEVELS: Mapping[str, Severity] = {
    "internal": Severity.TRACE,
    "spam": Severity.TRACE2,
    "trace": Severity.TRACE3,
    "debug": Severity.DEBUG,
    "info": Severity.INFO,
    "warn": Severity.WARN,
    "error": Severity.ERROR,
    "faulty_peer": Severity.ERROR2,
    "fatal": Severity.FATAL,
}


_is_chatter = re.compile(rb"Environment variable \w+ not found, using default|mina_daemon_puppeteer_script: ").match
"""What daemons, and the scripts around them, print beside their log, of no consequence to anybody."""


@final
class Chatter(Record, frozen=True, gc=False, kw_only=True):
    """A plain line of which it is known that it tells of no error."""

    @property
    def severity(self) -> Severity:
        return Severity.INFO


@final
class MinaRecord(EnvelopeRecord, frozen=True, gc=False, kw_only=True):
    """A line of a Mina daemon: `text` is a template, whose variables are the `fields`."""

    levels: ClassVar[Mapping[str, Severity]] = spellings(LEVELS)

    @property
    def kind(self) -> str:
        return "mina"


@final
class MinaFormat(EnvelopeFormat):
    """Reads Mina's lines; what a daemon prints beside them is plain text."""

    name = "mina"
    record = MinaRecord

    def read(self, line: bytes) -> Record:
        record = super().read(line)
        return Chatter(raw=line, text=record.text) if type(record) is Record and _is_chatter(line) else record
