"""Blocks to batches of records. Sans-IO.

The fast path is one `decode_lines` call a block. That call is not line-strict: two documents on a line pass, so does
one document over two lines, and blank lines vanish; each would shift the positions of all that follow. So a block takes
the fast path only if every line starts and ends like an object (one `count` of the seam between two lines, which a
document can't contain: between `}` and `{` JSON wants a comma) and there are as many records as lines. Any other block
is decoded line by line: each bad line costs its block that, and itself a `Malformed`.

A line is bad if it is no JSON object with a `message`. An optional field of another type (`"level":30`, a numeric time)
is lost, and the line is not: other loggers have other ideas of a level, and what they say is in the message. So is a
byte-order mark, which some writers put at the beginning of each file.
"""

import codecs
from collections.abc import Sequence

import msgspec

from lucy_core.capture.framing import LINE_BYTES
from lucy_core.records.record import Block, LogRecord, Malformed

_decoder = msgspec.json.Decoder(LogRecord)
_decode_lines = _decoder.decode_lines
_decode_line = _decoder.decode
_SEAM_BYTES = 31
"""How much of the first line's start is taken into the seam: `{"timestamp":"` and Mina's time up to the minute. A
longer needle is found faster (5.7 GB/s for 33 bytes, 3.5 for 16, 1.5 for 3); a block that spans two minutes is counted
twice."""


class _Envelope(msgspec.Struct):
    """A `LogRecord` whose optional fields may be of any type."""

    message: str
    timestamp: msgspec.Raw = msgspec.Raw()
    level: msgspec.Raw = msgspec.Raw()
    source: msgspec.Raw = msgspec.Raw(b"null")
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    event_id: msgspec.Raw = msgspec.Raw()
    puppeteer_event_type: msgspec.Raw = msgspec.Raw()


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_text = msgspec.json.Decoder(str).decode
_TEXTS = ("timestamp", "level", "event_id", "puppeteer_event_type")


class Batch(msgspec.Struct, frozen=True):
    """A decoded block, or what is wanted of it. `records[i]` stands at `positions[i]`."""

    block: Block
    records: list[LogRecord]
    positions: Sequence[int]
    malformed: list[Malformed]
    searched: bool = False
    """Whether it has only what a search of the block's bytes found, with ids as they are spelt there."""


def decode(block: Block) -> Batch:
    """Decode a block's envelopes. Never raises: what isn't a record is in `malformed`, each line exactly once."""
    data = block.data
    if _is_regular(data, block.lines):
        try:
            records = _decode_lines(data)
        except (ValueError, RecursionError):
            pass
        else:
            if len(records) == block.lines:
                return Batch(block, records, range(block.position, block.position + block.lines), [])
    return _decode_slowly(block)


def may_be_record(raw: bytes) -> bool:
    """Tell whether a line that can't be read may have been a record: it begins as one."""
    return raw.lstrip().startswith(b"{")


def _is_regular(data: bytes, lines: int) -> bool:
    if not (data.startswith(b"{") and data.endswith(b"}\n")):
        return False
    if lines == 1:
        return True
    seam = b"}\n" + data[:_SEAM_BYTES]
    return data.count(seam) == lines - 1 or data.count(b"}\n{") == lines - 1


def _decode_slowly(block: Block) -> Batch:
    records: list[LogRecord] = []
    positions: list[int] = []
    malformed: list[Malformed] = []
    lines = block.data.split(b"\n")
    if not block.torn:
        lines.pop()  # what follows the last newline: nothing
    for position, line in enumerate(lines, block.position):
        if block.torn and position == block.position + len(lines) - 1:
            reason = _overlong(block) if block.overlong else "the writer ended in mid-line"
        elif not line.strip():
            reason = "blank line"
        else:
            try:
                records.append(_decode_one(line))
            except RecursionError:
                reason = "nested too deeply"
            except ValueError as error:  # DecodeError, ValidationError and UnicodeDecodeError are all of this kind
                reason = str(error)
            else:
                positions.append(position)
                continue
        malformed.append(Malformed(block.node, position, block.arrived_ns, line, reason))
    return Batch(block, records, positions, malformed)


def _overlong(block: Block) -> str:
    return (
        f"it has {block.overlong:,} bytes, and {LINE_BYTES:,} is the most that is read as a record: this is its "
        f"beginning, and all of it stands in the node's log"
    )


def _decode_one(line: bytes) -> LogRecord:
    """Decode a line.

    Raises:
        ValueError: it is no record.
        RecursionError: it is nested too deeply.
    """
    line = line.removeprefix(codecs.BOM_UTF8)
    try:
        return _decode_line(line)
    except msgspec.ValidationError:
        envelope = _decode_envelope(line)
    found = {name: bytes(getattr(envelope, name)) for name in _TEXTS}
    texts = {name: _decode_text(raw) for name, raw in found.items() if raw.startswith(b'"')}
    return LogRecord(message=envelope.message, source=envelope.source, metadata=envelope.metadata, **texts)
