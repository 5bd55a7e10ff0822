"""A node's clock, set off by libfaketime: a library that a daemon is started with and a file that it looks at. Pure.

Only the daemon is started with it; the supervisor's times stay true. The library asks its file at every look at the
clock, so that a fault begins and ends while the daemon runs. Monotonic clocks stay as they are: a daemon whose timers
jump has another fault than a wrong clock. It works in programs that are linked dynamically with glibc.
"""

from lucy_engines.docker.plan.container import Mount
from lucy_engines.docker.plan.inside import DIRECTORY, HOME

LIBRARY = f"{HOME}/libfaketime.so.1"
FILE = "clock"
"""The file's name in the node's directory."""
RIGHT = b"+0\n"


def library_mount(path: str) -> Mount:
    """Return how a container sees this machine's library."""
    return Mount(target=LIBRARY, source=path, read_only=True)


def environment() -> dict[str, str]:
    """Return what a daemon has to be started with."""
    return {
        "LD_PRELOAD": LIBRARY,
        "FAKETIME_TIMESTAMP_FILE": f"{DIRECTORY}/{FILE}",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
