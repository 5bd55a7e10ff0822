"""The labels that everything made in an Engine bears before it exists: whose run, which node, which Lucy.

Names are for people and may look like anybody's; these labels alone decide what Lucy may remove. The owner says *which
process on which boot of which machine* made a thing, so that what a crash left can be told from a run that goes on: a
process id is used again, together with the moment of its start it isn't.
"""

import contextlib
import hashlib
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

RUN = "lucy.run"
NODE = "lucy.node"
ROLE = "lucy.role"
CREATED = "lucy.created"
OWNER = "lucy.owner"


class Owner(msgspec.Struct, frozen=True):
    """The process that made a thing."""

    pid: int
    start_ticks: int
    """When the process was started, in clock ticks since boot."""
    boot: str
    """The kernel's id of this boot."""
    pid_namespace: str
    """In which the process id means something; a container has its own."""
    machine: str

    def __str__(self) -> str:
        return f"{self.pid}:{self.start_ticks}:{self.boot}:{self.pid_namespace}:{self.machine}"

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """Read a label's value, or return None where it is none of Lucy's."""
        words = text.split(":")
        if len(words) != 5 or not (words[0].isdecimal() and words[1].isdecimal()) or "" in words:
            return None
        return cls(int(words[0]), int(words[1]), *words[2:])

    @classmethod
    def me(cls) -> "Owner":
        pid = os.getpid()
        ticks = start_ticks(pid)
        assert ticks is not None  # noqa: S101  # this very process runs
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return cls(pid, ticks, boot, str(Path("/proc/self/ns/pid").stat().st_ino), _machine())


def start_ticks(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot, or None where there is none, or only a zombie."""
    with contextlib.suppress(OSError):
        # The program's name, in parentheses, may hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else int(fields[19])
    return None


def _machine() -> str:
    """Name this machine the same after each boot, and unlike others; its own id is nobody else's business."""
    identity = ""
    with contextlib.suppress(OSError):
        identity = Path("/etc/machine-id").read_text().strip()
    return hashlib.sha256(f"lucy {identity} {platform.node()}".encode()).hexdigest()[:12]


def run_labels(run_id: str, clock: Callable[[], float] = time.time) -> dict[str, str]:
    """Return what each thing of a run bears."""
    return {RUN: run_id, CREATED: f"{clock():.0f}", OWNER: str(Owner.me())}


def run_label(run_id: str) -> str:
    """Return the one by which all that belongs to a run is found."""
    return f"{RUN}={run_id}"
