"""The format that finds out: what each line is, by the line alone. Sans-IO."""

from typing import final

from lucy_core.formats.contract import Format
from lucy_core.formats.envelope import EnvelopeFormat
from lucy_core.records.record import Record, plain_record


@final
class AutoFormat(Format):
    """Finds the format of each line from the line."""

    name = "auto"
    finds_out = True

    def __init__(self) -> None:
        self._envelope = EnvelopeFormat()

    def read(self, line: bytes) -> Record:
        return self._envelope.read(line) if line.lstrip().startswith(b"{") else plain_record(line)
