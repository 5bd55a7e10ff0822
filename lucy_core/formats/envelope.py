"""The format of Lucy's own journal, and of what else logs templates in an envelope. Sans-IO.

A line is a JSON object: `message` (a template, whose variables are in `metadata`), `timestamp`, `level`, `source`, and
`event_id`, which says what kind of line it is. Only `message` must be there: other keys are kept for who asks, and one
of another type than here is as if it weren't there, since a log is never quite what its format promises. `metadata` and
`source` stay raw JSON that points into the block.

The fast path is one `decode_lines` call a block. That call is not line-strict: two documents on a line pass, so does
one document over two lines, and blank lines vanish; each would shift the positions of all that follow. So a block takes
the fast path only if every line starts and ends like an object (one `count` of the seam between two lines, which a
document can't contain: between `}` and `{` JSON wants a comma) and there are as many records as lines. Any other block
is read line by line.
"""

import codecs
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar

import msgspec

from lucy_core.formats.contract import Batch, Format, read_by_line
from lucy_core.records.record import Block, Record, plain_record
from lucy_core.records.severity import WORDS, Severity
from lucy_core.records.times import read_time

_SEAM_BYTES = 31
"""How much of the first line's start is taken into the seam: `{"timestamp":"` and a time up to the minute. A longer
needle is found faster (5.7 GB/s for 33 bytes, 3.5 for 16, 1.5 for 3); a block that spans two minutes is counted twice.
"""
_KEYS = frozenset({"message", "level", "timestamp", "metadata"})
"""What of an envelope is read, and not `extra`."""


def spellings(levels: Mapping[str, Severity]) -> dict[str, Severity]:
    """Return every usual spelling of levels, so that a hot path needs one look-up."""
    return {
        spelling: severity for word, severity in levels.items() for spelling in (word, word.capitalize(), word.upper())
    }


class EnvelopeRecord(Record, frozen=True, gc=False, kw_only=True):
    """The envelope of one line."""

    raw: bytes = msgspec.field(default=b"", name="\ufffd raw")  # overwritten by the line, whatever its JSON says
    text: str = msgspec.field(name="message")
    id: str | None = msgspec.field(default=None, name="event_id")
    timestamp: str = ""
    level: str = ""
    metadata: msgspec.Raw = msgspec.Raw(b"{}")

    levels: ClassVar[Mapping[str, Severity]] = spellings(WORDS)

    @property
    def kind(self) -> str:
        return "envelope"

    @property
    def severity(self) -> Severity:
        return self.levels.get(self.level, Severity.UNSPECIFIED)

    @property
    def severity_text(self) -> str:
        return self.level

    @property
    def time(self) -> datetime | None:
        return read_time(self.timestamp)

    @property
    def payload(self) -> msgspec.Raw:
        return self.metadata

    @property
    def fields(self) -> Mapping[str, Any]:
        decoded = msgspec.json.decode(self.metadata)
        return decoded if isinstance(decoded, dict) else {}

    @property
    def extra(self) -> Mapping[str, Any]:
        return {name: value for name, value in self.document.items() if name not in _KEYS}

    @property
    def document(self) -> Mapping[str, Any]:
        document: dict[str, Any] = msgspec.json.decode(self.raw.removeprefix(codecs.BOM_UTF8))
        return document


class _Loose(msgspec.Struct):
    """An envelope whose fields may be of any type, but for `message`."""

    message: str
    timestamp: msgspec.Raw = msgspec.Raw()
    level: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    event_id: msgspec.Raw = msgspec.Raw()


_level_of = attrgetter("level")
_decode_loosely = msgspec.json.Decoder(_Loose).decode
_decode_text = msgspec.json.Decoder(str).decode


class EnvelopeFormat(Format):
    """Reads envelopes; a line that doesn't begin as a JSON object is plain text."""

    name = "envelope"
    id_key = b'"event_id"'
    record: ClassVar[type[EnvelopeRecord]] = EnvelopeRecord
    """What it makes of a line."""

    def __init__(self) -> None:
        decoder = msgspec.json.Decoder(self.record)
        self._decode, self._decode_lines = decoder.decode, decoder.decode_lines

    def read(self, line: bytes) -> Record:
        if not line.lstrip().startswith(b"{"):
            return plain_record(line)
        try:
            record = self._decode(line)
        except msgspec.ValidationError:
            record = self._read_loosely(line)
        msgspec.structs.force_setattr(record, "raw", line)
        return record

    def _read_loosely(self, line: bytes) -> EnvelopeRecord:
        found = _decode_loosely(line)
        texts = {
            name: _decode_text(value)
            for name in ("timestamp", "level", "event_id")
            if (value := bytes(getattr(found, name))).startswith(b'"')
        }
        return self.record(
            text=found.message,
            id=texts.get("event_id"),
            timestamp=texts.get("timestamp", ""),
            level=texts.get("level", ""),
            metadata=found.metadata,
        )

    def read_block(self, block: Block) -> Batch:
        return self.read_regular(block) or read_by_line(block, self)

    def read_lines(self, block: Block, positions: Sequence[int], lines: list[bytes]) -> Batch:
        decode, set_field = self._decode, msgspec.structs.force_setattr
        try:
            records: list[Record] = [decode(line) for line in lines]
        except (ValueError, RecursionError):
            return super().read_lines(block, positions, lines)
        for record, line in zip(records, lines, strict=True):
            set_field(record, "raw", line)
        batch = Batch(block, records, positions, [], unleveled=self._unleveled(records))
        batch.source = b""
        return batch

    def _unleveled(self, records: Sequence[Any]) -> int:
        return len(records) - sum(map(self.record.levels.__contains__, map(_level_of, records)))

    def read_regular(self, block: Block) -> Batch | None:
        """Read a block by the fast path; None where it can't take it."""
        data = block.data
        if not _is_regular(data, block.lines):
            return None
        try:
            records = self._decode_lines(data)
        except (ValueError, RecursionError):
            return None
        if len(records) != block.lines:
            return None
        unleveled = self._unleveled(records)
        positions = range(block.position, block.position + block.lines)
        whole: list[Record] = [*records]
        return Batch(block, whole, positions, [], unleveled=unleveled, lacks_raw=True)


def _is_regular(data: bytes, lines: int) -> bool:
    if not (data.startswith(b"{") and data.endswith(b"}\n")):
        return False
    if lines == 1:
        return True
    seam = b"}\n" + data[:_SEAM_BYTES]
    return data.count(seam) == lines - 1 or data.count(b"}\n{") == lines - 1
