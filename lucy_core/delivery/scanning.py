r"""Finding the lines of a block that may be wanted, so that only these are read. Sans-IO.

Where subscribers want nothing of a node but events, reading every line makes objects of which nineteen in twenty are
thrown away. The node's format knows which bytes such a line has (`Format.needles`), so a block is searched for these
where it was read, and only the lines that have them are copied and read.

Each text is searched for by itself. By vector units that costs 0.03 s of processor time a GB, by `bytes.find` 0.06 to
0.3, by its length; reading all lines of the corpus of `benchmarks` costs about 1. So there is a limit to how many texts
are searched for (`Search.most`). What stands behind a key is looked up, for which one search is enough, however many
ids there are. And where each type by message or pattern would have to be asked of each line that is read, which costs 3
s a GB and type, and reading lines of text 20, each such type has room for as many texts again.

**What is not read is not judged.** Among lines that were only searched a malformed one isn't counted, and the ledger
says so: `unread` is how many lines were captured and neither records nor malformed. `Pipeline.audit` reads these back
from the recording, whenever exact figures are asked for, and at a run's end.

Whoever wants all records or malformed lines has blocks read whole. So are those in which wanted lines are dense: after
sixteen finds a block with one in less than eight lines.
"""

from collections.abc import Iterable, Iterator

from lucy_core.capturing import searching
from lucy_core.capturing.searching import Search
from lucy_core.formats.contract import VALUE, Batch, Format, Needles
from lucy_core.recording.rows import Row, Window
from lucy_core.records.colours import ESCAPE
from lucy_core.records.record import Block

_DENSE_FROM = 16
_DENSE = 8
_FEW = 4
"""How many ids are compared one by one: a look-up among all of them costs as much as four."""
_A_ROW = Row(0, "", 0, 0, 1, 0)
"""What stands for the row of bytes that are no block."""


def can_search(needles: Needles | None, *, by_text: int) -> bool:
    """Tell whether a block can be searched for these at less than reading it costs.

    Args:
        needles: what for.
        by_text: how many of the types that are wanted each line that is read has to be held against, one by one, or by
            a text that takes long to read.
    """
    return needles is not None and len(needles.literals) <= searching.chosen().most * (1 + by_text)


def search(window: Window, needles: Needles, log_format: Format, *, keeps_bytes: bool = False) -> Batch:
    """Read the lines that have one of the needles; the batch has no others, wanted or malformed.

    The batch's block has its bytes only with `keeps_bytes`, or where all of it was read.
    """
    row, data, begin, stop = window
    by = searching.chosen()
    if row.torn or row.overlong:  # its last line is none, and nobody should take it for one
        return log_format.read_block(window.block())
    if needles.may_be_coloured and by.find(data, ESCAPE, begin, stop) >= 0:
        return log_format.read_block(window.block())
    found: Iterable[tuple[int, int]] = [
        line for literal in needles.literals for line in _lines_with(window, literal, by)
    ]
    if needles.key:
        behind = _lines_behind(window, needles.key, needles.values, by)
        found = sorted({*found, *behind}) if found else behind
    elif len(needles.literals) > 1:
        found = sorted(set(found))
    view = memoryview(data)
    count = by.count
    numbers: list[int] = []
    lines: list[bytes] = []
    counted, number, looks_at = begin, row.position, _DENSE_FROM
    for start, end in found:
        # Counted here, while what the search has gone over is warm.
        if counted < start:
            number += count(data, b"\n", counted, start)
        counted = end
        numbers.append(number)
        number += 1
        lines.append(view[start : end - 1].tobytes())
        if len(lines) == looks_at:
            if number - row.position < looks_at * _DENSE:
                return log_format.read_block(window.block())
            looks_at *= 2
    block = window.block(bare=not keeps_bytes)
    return log_format.read_lines(block, numbers, lines) if lines else nothing_of(block)


def nothing_of(block: Block) -> Batch:
    """Return a block of which nothing is wanted."""
    return Batch(block, [], (), [])


def _lines_with(window: Window, literal: bytes, by: Search) -> Iterator[tuple[int, int]]:
    """Find where lines begin and end that have this text."""
    _, data, end, stop = window
    find, newline, rfind = by.find, data.find, data.rfind
    at = find(data, literal, end, stop)
    while at >= 0:
        begin = end
        end = newline(b"\n", at, stop) + 1 or stop
        yield rfind(b"\n", begin, at) + 1 or begin, end
        at = find(data, literal, end, stop)


def _lines_behind(window: Window, key: bytes, values: frozenset[bytes] | None, by: Search) -> Iterator[tuple[int, int]]:
    """Find where lines begin and end in which one of these stands behind a key, or what only the format understands."""
    _, data, end, stop = window
    find, next_of, last_of, begins = by.find, data.find, data.rfind, data.startswith
    size = len(key)
    # What is wanted is mostly one id or a few: these are compared where they stand.
    few = () if values is None or len(values) > _FEW else tuple(value + b'"' for value in values)
    found = find(data, key, end, stop)
    while found >= 0:
        at = found + size
        if values is not None and not begins(few, at, stop):
            quote = next_of(b'"', at + 2, stop)
            value = bytes(data[at : quote if quote >= 0 else stop])
            if value not in values and value.startswith(VALUE) and b"\\" not in value:
                found = find(data, key, at, stop)
                continue
        begin = end
        end = next_of(b"\n", at, stop) + 1 or stop
        yield last_of(b"\n", begin, found) + 1 or begin, end
        found = find(data, key, end, stop)


def stands_behind(line: bytes, key: bytes, value: str) -> bool:
    """Tell whether a search for what stands behind a key finds this value's line."""
    window = Window.of(_A_ROW, line)
    wanted = frozenset((VALUE + value.encode(errors="surrogatepass"),))
    return next(_lines_behind(window, key, wanted, searching.BYTES), None) is not None
