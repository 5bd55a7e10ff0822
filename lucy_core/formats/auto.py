"""The format that finds out: what each line is, by the line alone. Sans-IO.

What begins like a JSON object is one, or malformed; all else is text, of a known format or plain. Nothing is kept in
mind from line to line: a line that is read again, by itself or among others, is read the same.

Most blocks of a network under test are envelopes from beginning to end, so such a block is decoded by one call, as
`EnvelopeFormat` does it: it costs a tenth more than there, since each record is asked whether it is one. So is a block
of other objects.
"""

from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Final, final

import msgspec

from lucy_core.formats.contract import Batch, Format, read_by_line
from lucy_core.formats.envelope import EnvelopeFormat, EnvelopeRecord
from lucy_core.formats.json import JsonFormat
from lucy_core.formats.json_kinds import ENVELOPE
from lucy_core.formats.json_reading import JsonRecord
from lucy_core.records.record import Block, Record, plain_record

_NOTHING: Final = msgspec.Raw()
_NO_METADATA: Final = EnvelopeRecord(text="").metadata


class FoundEnvelope(EnvelopeRecord, frozen=True, gc=False, kw_only=True):
    """An envelope, if it has what only envelopes have, and nothing by which others say what an envelope's keys say."""

    other_severity: msgspec.Raw = msgspec.field(default=_NOTHING, name="severity")
    other_time: msgspec.Raw = msgspec.field(default=_NOTHING, name="@timestamp")


def _is_other(record: FoundEnvelope) -> bool:
    """Tell whether what was decoded as an envelope is a line of somebody else's."""
    return (
        (record.metadata is _NO_METADATA and record.id is None)
        or record.other_severity is not _NOTHING
        or record.other_time is not _NOTHING
    )


@final
class _Envelopes(EnvelopeFormat):
    record = FoundEnvelope


@final
class AutoFormat(Format):
    """Finds the format of each line from the line, and says in each record's `kind` what it found."""

    name = "auto"
    finds_out = True
    reads_numbers = True

    def __init__(self) -> None:
        self._envelopes = _Envelopes()
        self._json = JsonFormat()
        self._decode = msgspec.json.Decoder(FoundEnvelope).decode

    def read(self, line: bytes) -> Record:
        if line.startswith(b"{") or line.lstrip().startswith(b"{"):
            return self._read_json(line)
        if line.startswith(b"\x1b"):
            painted = self._json.read_painted(line)
            if painted is not None:
                return painted
        return self._read_text(line, self._read_json) or plain_record(line)

    @cached_property
    def _read_text(self) -> Callable[[bytes, Callable[[bytes], Record]], Record | None]:
        # Its shapes take 20 ms to compile, for which nobody should wait who has no text to read.
        from lucy_core.formats.known import recognised

        return recognised

    def _read_json(self, line: bytes) -> Record:
        try:
            found = self._json.read_object(line)
        except (ValueError, RecursionError):
            # What an envelope keeps in its metadata isn't looked at, so that it may be nothing that Python can hold.
            envelope = self._envelope(line)
            if envelope is None:
                raise
            return envelope
        return (self._envelope(line) or found) if found.reading.is_envelope else found

    def _envelope(self, line: bytes) -> Record | None:
        try:
            record = self._decode(line)
        except (ValueError, RecursionError):
            return None
        if _is_other(record):
            return None
        msgspec.structs.force_setattr(record, "raw", line)
        return record

    def read_block(self, block: Block) -> Batch:
        first = block.data[: block.data.find(b"\n")]
        if b'"metadata"' in first or b'"event_id"' in first:
            batch = self._envelopes.read_regular(block)
            if batch is not None:
                found: list[FoundEnvelope] = batch.records  # type: ignore[assignment]  # it makes no others
                # As `_is_other` has it, which costs half as much again when it is called.
                others = [
                    1
                    for each in found
                    if (each.metadata is _NO_METADATA and each.id is None)
                    or each.other_severity is not _NOTHING
                    or each.other_time is not _NOTHING
                ]
                if not others:
                    batch.found = {ENVELOPE: len(found)}
                    return batch
        batch = self._json.read_regular(block)
        if batch is None:
            return read_by_line(block, self)
        objects: list[JsonRecord] = batch.records  # type: ignore[assignment]  # it makes no others
        if any(each.reading.is_envelope for each in objects):
            return read_by_line(block, self)
        batch.found = Counter(each.kind for each in objects)
        return batch
