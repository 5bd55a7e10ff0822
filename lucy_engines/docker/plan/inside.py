"""What stands where in a container, and to whom it belongs. Standard library only: the reaper looks there too."""

HOME = "/lucy"
DIRECTORY = f"{HOME}/node"
"""A node's directory, which is one of this machine's, where the Engine is."""
STATE = f"{DIRECTORY}/state"
LOG = f"{HOME}/log"
"""The FIFO that its lines go into."""
STDERR_LOG = f"{HOME}/log.stderr"
"""The FIFO that what it writes to stderr goes into, where that is told apart."""
LOGS = (LOG, STDERR_LOG)
"""In the order of a node's sources; the first alone where it has one for both streams."""
USER = "lucy.user"
"""A container's label: to whom belongs what root makes in its directory, as `uid:gid`; none where that is root."""
