"""What a block of code left behind: child processes, descriptors, threads. Linux."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

GRACE = 2.0
"""Seconds that threads and processes on their way out get to finish."""


class Held(NamedTuple):
    """What this process holds of the system."""

    children: frozenset[int]
    """Process ids of its children."""
    descriptors: frozenset[int]
    """Its open file descriptors."""
    threads: frozenset[threading.Thread]
    """Its threads, but for those that pools keep."""

    @classmethod
    def now(cls) -> "Held":
        # Each thread has the children that it forked itself; a zombie is one too.
        return cls(
            frozenset(pid for task in os.listdir("/proc/self/task") for pid in _children_of(task)),
            # The listing shows its own descriptor too, which is closed by the time of the second look.
            frozenset(fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_open(fd)),
            frozenset(thread for thread in threading.enumerate() if not _is_pooled(thread)),
        )

    def beyond(self, before: "Held") -> list[str]:
        """Say in words what is held now and was not before."""
        return [
            *(f"child process {pid}: {command_of(pid)}" for pid in sorted(self.children - before.children)),
            *(
                f"descriptor {fd}: {_target_of(fd)}"
                for fd in sorted(self.descriptors - before.descriptors)
                if _is_open(fd)
            ),
            *(f"thread {thread.name}" for thread in self.threads - before.threads if thread.is_alive()),
        ]


def left_behind(before: Held, *, grace: float = GRACE) -> list[str]:
    """Say what is held beyond `before`, blocking for up to `grace` seconds while anything is."""
    deadline = time.monotonic() + grace
    # Looked at once as a rule.
    while leaked := Held.now().beyond(before):
        if time.monotonic() > deadline:
            return leaked
        time.sleep(0.01)
    return []


@contextmanager
def no_leaks(*, grace: float = GRACE) -> Iterator[None]:
    """Fail if the block leaves child processes, descriptors or threads behind. For synchronous code around a loop.

    A block that raises has told its story: what it left behind follows from that.

    Raises:
        AssertionError: with a line for each thing.
    """
    before = Held.now()
    yield
    if leaked := left_behind(before, grace=grace):
        raise AssertionError("left behind:\n" + "\n".join(f"  {line}" for line in leaked))


def _children_of(task: str) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{task}/children").read_text().split()]
    except OSError:
        return []  # a thread that ended since it was listed


def _is_pooled(thread: threading.Thread) -> bool:
    """Tell the workers that anyio keeps for the next call while its loop lives from threads that are somebody's."""
    return thread.name.startswith("AnyIO worker thread")


def command_of(pid: int) -> str:
    """Return what a process runs, for people."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip() or "(ended, never waited for)"
    except OSError:
        return "(gone)"


def _is_open(descriptor: int) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")


def _target_of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return "(closed)"
