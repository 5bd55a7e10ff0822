"""What a run depends on, by version: it stands in `run.json`."""

import functools
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version


@functools.cache
def versions() -> Mapping[str, str]:
    """Name what the run depends on."""
    # Of the kernel itself: `platform.platform` runs a command, and this is done on the loop.
    machine = os.uname()
    found = {
        "python": platform.python_version(),
        "platform": f"{machine.sysname} {machine.release} {machine.machine}",
    }
    for name in ("lucy", "anyio", "msgspec", "reactivex"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
