r"""Finding the lines of a block that may be wanted, so that only these are read. Sans-IO.

Where subscribers want nothing of a node but events, reading every line makes objects of which nineteen in twenty are
thrown away. The node's format knows which bytes such a line has (`Format.needles`), so a block is searched for these,
and of the lines that have them one small block is made and read in one call. A search for one text costs 0.06 to 0.3 s
of processor time a GB, by its length; reading all lines of the corpus of `benchmarks`, about 1. So up to `MOST` texts
are searched for one by one; more of them only where they stand behind a key, for which one search is enough, and what
follows it is looked up, or where each type by message or pattern would have to be asked of each line that is read: that
costs 3 s a GB and type, and reading lines of text 20, so each such type has room for as many texts again.

**What is not read is not judged.** Among lines that were only searched a malformed one isn't counted, and the ledger
says so: `unread` is how many lines were captured and neither records nor malformed. `Pipeline.audit` reads these back
from the recording, whenever exact figures are asked for, and at a run's end.

Whoever wants all records or malformed lines has blocks read whole. So are those in which wanted lines are dense: after
sixteen finds a block with one in less than eight lines.
"""

from collections.abc import Iterator

from lucy_core.capturing.framing import count_lines
from lucy_core.formats.contract import Batch, Format, Needles
from lucy_core.records.colours import ESCAPE
from lucy_core.records.record import Block

MOST = 4
"""How many texts are searched for one by one, where lines are looked up: more cost what reading does."""
SPAN = 29_000
"""In how many bytes a key is looked for at a time. In less than 30,000 `bytes.find` takes 5 to 15 % less for a short
text, for it doesn't guard against data that nearly has the text again and again."""
_DENSE_FROM = 16
_DENSE = 8


def can_search(needles: Needles | None, *, by_text: int) -> bool:
    """Tell whether a block can be searched for these at less than reading it costs.

    Args:
        needles: what for.
        by_text: how many of the types that are wanted each line that is read has to be held against, one by one, or by
            a text that takes long to read.
    """
    return needles is not None and (len(needles.literals) <= MOST * (1 + by_text) or bool(needles.key))


def search(block: Block, needles: Needles, log_format: Format) -> Batch:
    """Read the lines that have one of the needles; the batch has no others, wanted or malformed."""
    data = block.data
    if block.torn:  # its last line is none, and nobody should take it for one
        return log_format.read_block(block)
    if needles.key:
        found = _lines_behind(data, needles.key, needles.values)
    elif ESCAPE in data:  # colours may stand amid a text
        return log_format.read_block(block)
    elif len(needles.literals) == 1:
        found = _lines_with(data, needles.literals[0])
    else:
        found = iter(sorted({line for literal in needles.literals for line in _lines_with(data, literal)}))
    numbers: list[int] = []
    lines: list[bytes] = []
    counted = number = 0
    for start, end in found:
        # Counted here, while what the search has gone over is warm.
        if counted < start:
            number += count_lines(data[counted:start])
        counted = end
        numbers.append(block.position + number)
        number += 1
        lines.append(data[start : end - 1])
        if len(lines) >= _DENSE_FROM and number < len(lines) * _DENSE:
            return log_format.read_block(block)
    if not lines:
        return nothing_of(block)
    some = Block(block.node, 0, block.offset, len(lines), block.arrived_ns, b"\n".join((*lines, b"")))
    return log_format.read_block(some).placed(block, numbers, lines)


def nothing_of(block: Block) -> Batch:
    """Return a block of which nothing is wanted."""
    batch = Batch(block, [], (), [])
    batch.is_searched = True
    return batch


def _lines_with(data: bytes, literal: bytes) -> Iterator[tuple[int, int]]:
    """Find where lines begin and end that have this text."""
    find, rfind = data.find, data.rfind
    end = 0
    at = find(literal)
    while at >= 0:
        begin = end
        end = find(b"\n", at) + 1 or len(data)
        yield rfind(b"\n", begin, at) + 1 or begin, end
        at = find(literal, end)


def _lines_behind(data: bytes, key: bytes, values: frozenset[bytes]) -> Iterator[tuple[int, int]]:
    """Find where lines begin and end in which one of these stands behind a key, or what only the format understands."""
    find, rfind = data.find, data.rfind
    size, step = len(data), SPAN - len(key) + 1
    at = end = 0
    while at < size:
        found = find(key, at, at + SPAN)
        if found < 0:
            at += step
            continue
        at = found + len(key)
        if data[at : at + 2] == b':"':
            at += 2
            value = data[at : find(b'"', at)]
            wanted = value in values or b"\\" in value
        else:
            wanted = True
        if wanted:
            begin = end
            at = end = find(b"\n", at) + 1 or size
            yield rfind(b"\n", begin, found) + 1 or begin, end


def stands_behind(line: bytes, key: bytes, value: str) -> bool:
    """Tell whether a search for what stands behind a key finds this value's line."""
    return next(_lines_behind(line, key, frozenset((value.encode(errors="surrogatepass"),))), None) is not None
