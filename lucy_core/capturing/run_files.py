"""What stands where in a run directory. Standard library only, since the capture process loads it.

All names are relative to the directory, so that they serve texts and paths, pages and messages alike.
"""

import os

from lucy_core.records.keys import SLASH, key_of

RUN = "run.json"
"""What was run. It stands before anything is started."""
CAPTURE = "lucy_core.capturing.loop"
"""The program that records: in the command line of every capture process, beside the directory."""
ARRIVALS = "arrivals.ndjson"
"""One row a block, in the order of arrival."""
JOURNAL = "journal.ndjson"
"""The log of Lucy herself, who is captured like one more node."""
RESULT = "result.json"
JUNIT = "junit.xml"
REPORT = "report.html"
LOGS = "logs"
"""Of the nodes, as they wrote them."""
FIFOS = "fifos"
"""Has those that nodes write into, while the run lasts."""
NODES = "nodes"
"""Has a directory for each node that keeps files."""
REAPER_LOG = "reaper.log"
"""What the reaper had to remove, should Lucy be killed."""
RECORDING_RESERVE = ".recording-reserve"
"""Room for the last rows of the recording. It has this name for a moment alone, and then none."""
RESULT_RESERVE = ".result-reserve"
"""Room for the result, until that is written."""
_LOG = ".ndjson"


def log_of(node: str, journal: str) -> str:
    """Say where the bytes of a node are, or of the one whose log is the journal; of a source by its key."""
    return JOURNAL if node == journal else f"{LOGS}/{node}{_LOG}"


def fifo_name(node: str, source: str = "") -> str:
    """Say what the FIFO of a node is called, or that of one of its sources, in the directory for them."""
    return key_of(node, source).replace(SLASH, ":")


def logged(directory: str | os.PathLike[str]) -> list[str]:
    """Return the keys of sources that have a log in a run directory."""
    logs = f"{os.fspath(directory)}/{LOGS}"
    names = [
        os.path.relpath(f"{place}/{name}", logs)
        for place, _, files in os.walk(logs)
        for name in files
        if name.endswith(_LOG)
    ]
    return sorted(name.removesuffix(_LOG) for name in names)


def is_recording(name: str) -> bool:
    """Whether a file is one that capture writes: who followed it would have it grow by being read."""
    return name in {ARRIVALS, JOURNAL} or name.startswith(f"{LOGS}/")
