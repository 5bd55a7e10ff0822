"""How far a finished run's files are sound, and what its rows say of it.

A run that was closed in order needs none of this. After a power cut files have any length that they ever had: rows
without their bytes, bytes without their rows, half a row, zeros. So before anybody reads, all rows are walked through
once, which the ledger needs anyway, and the logs' sizes are held against them. What is sound is given out later, each
line at its own position; of what isn't, each place becomes a gap. The logs themselves aren't read: their content is
judged when somebody asks for it.
"""

from lucy_core.capturing import run_files
from lucy_core.capturing.facts import Fact
from lucy_core.errors import RecordingError
from lucy_core.recording.ledger import Gap, Ledger, gap_of
from lucy_core.recording.recording import Recording
from lucy_core.recording.rows import Row
from lucy_core.recording.walk import Walk


async def survey(recording: Recording, ledger: Ledger) -> int:
    """Fold all rows into the ledger, and have the recording give out what is sound; return when the last line came."""
    walk = Walk(recording)
    last: dict[str, Row] = {}
    damage = ""
    last_arrival_ns = 0
    try:
        while await walk.turn():
            for row in walk.rows():
                ledger.take(row)
                if row.fact is None:
                    last_arrival_ns = row.arrived_ns
                if row.fact is None or row.fact is Fact.PART:
                    last[row.node] = row
    except RecordingError as error:
        damage = str(error)
    ledger.miss_unrecorded()
    left = recording.arrivals_size() - walk.offset
    if left:
        damage = damage or f"{left:,} bytes behind the last row of {run_files.ARRIVALS} are no row"
        ledger.miss(Gap(ledger.position, None, damage))
    told = {node: row.offset + row.bytes + row.part for node, row in last.items()}
    sizes = {node: recording.log_size(node, torn=row.torn or row.part > 0) for node, row in last.items()}
    recording.bound(walk.offset, sizes)
    await _find_cuts(recording, ledger, {node: size for node, size in sizes.items() if size < told[node]})
    for node, size in sizes.items():
        if size > told[node]:
            reason = f"{size - told[node]:,} bytes at the end of its log are in no row"
            ledger.miss(gap_of(ledger.position, node, reason))
    return last_arrival_ns


async def _find_cuts(recording: Recording, ledger: Ledger, sizes: dict[str, int]) -> None:
    """Find the first row of each log that was cut whose bytes are missing."""
    walk = Walk(recording)
    while sizes and await walk.turn():
        for row in walk.blocks():
            size = sizes.get(row.node)
            if size is not None and row.offset + row.bytes > size:
                reason = f"its log ends at byte {size:,}, its rows go on: it was cut"
                ledger.miss(gap_of(row.position, row.node, reason))
                del sizes[row.node]
