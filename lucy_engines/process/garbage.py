"""The process engine's part of `lucy gc`.

However Lucy ends, the guardian takes every process along; should the guardian be killed, the kernel takes the nodes.
What those two leave is what a node had started itself before its guardian was killed. Each such process still carries
the guardian's mark in its environment. A power cut leaves none.
"""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import final

from lucy_core.garbage import Leftover, Search
from lucy_engines.process.guardian import MARKER

_PREFIX = f"{MARKER}=".encode()
_TICKS = os.sysconf("SC_CLK_TCK")


@final
class ProcessCollector:
    """Finds and kills processes whose guardian is gone."""

    async def find(self, search: Search) -> list[Leftover]:
        """Look at all processes that this user may look at."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            with contextlib.suppress(OSError):
                guardian = guardian_of(entry)
                if guardian is None or is_guardian(guardian) or _age(entry) < search.older_than:
                    continue
                run_id = _run_of(entry)
                if search.run_id in (None, run_id):
                    command = (entry / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
                    why = f"its guardian, process {guardian}, is gone"
                    name = f"{entry.name} ({command[:60]})"
                    found.append(Leftover(kind="process", key=entry.name, name=name, run_id=run_id, why=why))
        return found

    async def remove(self, leftovers: Sequence[Leftover]) -> list[str | None]:
        """Kill them."""
        return [_kill(int(each.key)) for each in leftovers]


def guardian_of(process: Path) -> int | None:
    """Return the id of the guardian that a process of `/proc` came from, or None where it is none of Lucy's."""
    for word in (process / "environ").read_bytes().split(b"\0"):
        if word.startswith(_PREFIX):
            number = word.removeprefix(_PREFIX).partition(b"-")[0]
            return int(number) if number.isdigit() else None
    return None


def is_guardian(pid: int) -> bool:
    """Tell whether a process is a guardian: its id may have been used again."""
    with contextlib.suppress(OSError):
        return b"guardian.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _run_of(process: Path) -> str:
    """Return the name of the run directory in which a process works, if it does: `<run>/nodes/<node>`."""
    parts = (process / "cwd").readlink().parts
    return parts[parts.index("nodes") - 1] if "nodes" in parts[1:] else ""


def _age(process: Path) -> float:
    ticks = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(ticks) / _TICKS


def _kill(pid: int) -> str | None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        # Held by the descriptor, the id can't become another process's between the look and the kill.
        guardian = guardian_of(Path(f"/proc/{pid}"))
        if guardian is not None and not is_guardian(guardian):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return None
    except OSError as error:
        return f"{error.strerror}"
    finally:
        os.close(pidfd)
    return None
