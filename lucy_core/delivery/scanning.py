r"""Finding the lines of a block that may be wanted, so that only these are decoded. Sans-IO.

Where subscribers want nothing of a node but events by their ids, decoding every line's envelope makes objects of which
nineteen in twenty are thrown away. A line is such an event only if it holds the key `"event_id"`, so a block is
searched for that key, once, whatever the number of ids; what follows the key is looked up among them; and of the lines
that may be wanted one small block is made and decoded in one call. Measured on the corpus of `benchmarks` (503 bytes a
line, one line in twenty an event): 0.64 s of processor time a GB, against 0.76 for decoding all, 0.2 for making sure
that the lines are what the decoder takes them for, and 0.06 for looking at each record.

**What is not decoded is not judged.** Among lines that were only searched a malformed one isn't counted, and the ledger
says so: `unread` is how many lines were captured and neither records nor malformed. `Pipeline.audit` reads these back
from the recording and decodes them, whenever exact figures are asked for, and at a run's end.

**A key counts as it is spelt.** JSON may spell the key `"event\u005fid"`. No writer does; to find it would cost another
search of every byte (0.3 s a GB). So an id counts only if some `"event_id"` in the line's bytes is followed by it, or
by something that only the decoder understands. That holds for decoded blocks alike (`without_disguise`): what a
subscriber gets must not depend on what others have subscribed to.

Events known by their message or by a puppeteer's type have no such key: for them, and for whoever wants all records or
malformed lines, blocks are decoded whole. Searching for messages too was measured: `"message"` stands in every line,
and finding it, then looking each one up, costs what decoding does. So does searching where events are dense: after
sixteen finds a block with one in less than eight lines is decoded whole.
"""

import re
from collections.abc import Sequence

import msgspec

from lucy_core.capture.framing import count_lines
from lucy_core.delivery.decoding import Batch, decode
from lucy_core.records.record import Block, LogRecord

_KEY = b'"event_id"'
_KEY_BYTES = len(_KEY)
_find_escape = re.compile(rb"\\u00").search
"""Ahead of `in`, which takes twice as long: `re` looks for the backslash with `memchr`."""
_DENSE_FROM = 16
_DENSE = 8


def spelt(event_id: str) -> bytes:
    """Return how an id stands in a line that spells it plainly."""
    return event_id.encode(errors="surrogatepass")


def scan(block: Block, ids: frozenset[bytes]) -> Batch:
    """Decode the lines that may be events of these ids; the batch has no others, wanted or malformed."""
    if block.torn:
        return _decode_all(block)
    data = block.data
    find, rfind = data.find, data.rfind
    at = find(_KEY)
    lines: list[bytes] = []
    numbers: list[int] = []
    counted = line = 0  # lines before `counted` in `data`, which is a line's start
    while at >= 0:
        value = at + _KEY_BYTES
        if data[value : value + 2] == b':"':
            value += 2
            end = find(b'"', value)
            event_id = data[value:end]
            wanted = event_id in ids or b"\\" in event_id
        else:
            wanted = True
        if wanted:
            start = rfind(b"\n", counted, at) + 1 or counted
            end = find(b"\n", value) + 1
            if start > counted:
                line += count_lines(data[counted:start])
            numbers.append(line)
            lines.append(data[start:end])
            line += 1
            value = counted = end
            if len(numbers) >= _DENSE_FROM and line < len(numbers) * _DENSE:
                return _decode_all(block)
        at = find(_KEY, value)
    return _decode_some(block, lines, numbers)


def _decode_all(block: Block) -> Batch:
    batch = decode(block)
    records = without_disguise(block, batch.positions, batch.records)
    return Batch(block, records, batch.positions, batch.malformed, searched=True)


def _decode_some(block: Block, lines: list[bytes], numbers: list[int]) -> Batch:
    if not lines:
        return Batch(block, [], (), [], searched=True)
    some = Block(block.node, 0, block.offset, len(lines), block.arrived_ns, b"".join(lines))
    batch = _decode_all(some)
    first = block.position
    positions = [first + numbers[index] for index in batch.positions]
    malformed = [msgspec.structs.replace(bad, position=first + numbers[bad.position]) for bad in batch.malformed]
    return Batch(block, batch.records, positions, malformed, searched=True)


def without_disguise(block: Block, positions: Sequence[int], records: list[LogRecord]) -> list[LogRecord]:
    """Take the id from those records of a whole decoded block whose lines don't spell it."""
    if not records or _find_escape(block.data) is None:
        return records
    lines = block.data.split(b"\n")
    return [
        record
        if record.event_id is None or _spells(lines[position - block.position], record.event_id)
        else msgspec.structs.replace(record, event_id=None)
        for position, record in zip(positions, records, strict=True)
    ]


def _spells(line: bytes, event_id: str) -> bool:
    """Whether some `"event_id"` in the line is followed by this id, or by what only the decoder understands."""
    plain = spelt(event_id)
    at = line.find(_KEY)
    while at >= 0:
        value = at + _KEY_BYTES
        if line[value : value + 2] != b':"':
            return True
        value += 2
        found = line[value : line.find(b'"', value)]
        if found == plain or b"\\" in found:
            return True
        at = line.find(_KEY, value)
    return False
