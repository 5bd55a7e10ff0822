"""What stands where in a run directory. Standard library only, since the capture process loads it.

All names are relative to the directory, so that they serve texts and paths, pages and messages alike.
"""

RUN = "run.json"
"""What was run. It stands before anything is started."""
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
NODES = "nodes"
"""Has a directory for each node that keeps files."""


def log_of(node: str, journal: str) -> str:
    """Say where the bytes of a node are, or of the one whose log is the journal."""
    return JOURNAL if node == journal else f"{LOGS}/{node}.ndjson"


def is_recording(name: str) -> bool:
    """Whether a file is one that capture writes: who followed it would have it grow by being read."""
    return name in {ARRIVALS, JOURNAL} or name.startswith(f"{LOGS}/")
