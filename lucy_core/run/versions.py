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
    # `lucy` itself is somebody else's on PyPI.
    for distribution in ("lucy-core", "anyio", "msgspec", "reactivex"):
        name = distribution.removesuffix("-core")
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
