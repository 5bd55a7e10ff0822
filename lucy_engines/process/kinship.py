"""Who came from whom: all that a node has started, however it detached itself. Standard library only.

A guardian is the *subreaper* of whatever it started: a process that loses its parent becomes the guardian's own child,
an orphan. So a family is the leader, all that descends from it, and those orphans, with all that descends from them,
that bear a sign of it. Signs are its control group, where there is one (`cgroups`), its session, its mark in the
environment, and its FIFO: a daemon may have a session and an environment of its own (`env -i`, `sudo`, `su -`), but
while it can write a line into a node's log it is of that node. An orphan that bears none of these ends with the
guardian.

**What it costs.** The children of an ended leader are orphans by the moment at which it has ended. So to find what a
leader left takes a look at the orphans alone, of which there are few, and not at all processes there are: with a look
around for every exit a teardown is quadratic (23 s for 400 nodes). Whose an orphan is is found once; its id can't be
another's before the guardian has reaped it.
"""

import contextlib
import os
import pwd
import signal
import stat
from collections.abc import Iterator
from typing import final

from lucy_engines.process import cgroups

MARKER = "LUCY_PROCESS"
"""In the environment of all that a guardian starts: its process id, and which of its children that came from."""

Inode = tuple[int, int]
"""A device and a number on it: one file, under whatever name."""


def children_of(pid: int) -> list[int]:
    """Return the ids of a process's children; those that end meanwhile may be missing."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as children:
                found += map(int, children.read().split())
    return found


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, parents before children; those that end meanwhile may be missing."""
    found: list[int] = []
    left = [pid]
    while left:
        numbers = children_of(left.pop())
        found += numbers
        left += numbers
    return found


def session_of(pid: int) -> int | None:
    """Return a process's session, or None where it is gone."""
    with contextlib.suppress(OSError):
        return os.getsid(pid)
    return None


def stat_of(pid: int) -> list[bytes]:
    """Return what the kernel says of a process behind its name: state, parent and so on; nothing where it is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()
    return []


def runs(pid: int) -> bool:
    """Tell whether a process is neither stopped nor gone."""
    return stat_of(pid)[:1] not in ([], [b"T"], [b"t"], [b"Z"], [b"X"])


def lives(pid: int) -> bool:
    """Tell whether a process hasn't ended: one that nobody has reaped has, and holds nothing any more."""
    return stat_of(pid)[:1] not in ([], [b"Z"], [b"X"])


def variables_of(pid: int) -> dict[bytes, bytes]:
    """Return the environment with which a process was started, or nothing where we may not look."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as environment:
        found = (variable.partition(b"=") for variable in environment.read().split(b"\0"))
        return {name: value for name, _, value in found}
    return {}


def mark_of(pid: int) -> bytes | None:
    """Return the value of `MARKER` with which a process was started."""
    return variables_of(pid).get(MARKER.encode())


def inode_of(fd: int | str) -> Inode:
    """Return which file a descriptor or a path means.

    Raises:
        OSError: it can't be looked at.
    """
    found = os.stat(fd)
    return found.st_dev, found.st_ino


def fifos_written_to(pid: int) -> Iterator[tuple[str, Inode]]:
    """Return the FIFOs that a process can write to: the path as the kernel names it, and which file it is."""
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                path = os.readlink(f"/proc/{pid}/fd/{number}")
                # Looked at by name first: to ask for the state of a file on a dead network disk would take for ever.
                if not path.startswith("/") or path.startswith("/dev/"):
                    continue
                held = os.stat(f"/proc/{pid}/fd/{number}")
                if stat.S_ISFIFO(held.st_mode) and _flags(pid, number) & os.O_ACCMODE != os.O_RDONLY:
                    yield path.removesuffix(" (deleted)"), (held.st_dev, held.st_ino)


def _flags(pid: int, fd: str) -> int:
    with open(f"/proc/{pid}/fdinfo/{fd}", "rb") as file:
        return next((int(line.split()[1], 8) for line in file if line.startswith(b"flags:")), os.O_RDONLY)


def send_signal(pid: int, number: int) -> bool:
    """Signal a process that may be gone; return False where we may not."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def described(pid: int) -> str:
    """Name a process for people: `process 4711 (sleep 37) of root`."""
    command, owner = "", ""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as words:
            command = words.read(200).replace(b"\0", b" ").decode(errors="replace").strip()
        owner = str(os.stat(f"/proc/{pid}").st_uid)
        with contextlib.suppress(KeyError):
            owner = pwd.getpwuid(int(owner)).pw_name
    return f"process {pid}" + (f" ({command[:60]})" if command else "") + (f" of {owner}" if owner else "")


@final
class Child:
    """A process that was asked for: a node's leader, or a command in its place."""

    __slots__ = (
        "asked",
        "deadline",
        "fifos",
        "group",
        "mark",
        "name",
        "pid",
        "replies",
        "started",
        "thaw_at",
        "timed_out",
    )

    def __init__(
        self,
        name: str,
        pid: int,
        mark: str,
        started: float,
        *,
        fifos: tuple[Inode, ...] = (),
        group: str | None = None,
    ) -> None:
        self.name = name
        self.pid = pid
        self.mark = mark.encode()
        self.started = started
        """On the monotonic clock."""
        self.fifos = fifos
        """What its output goes into."""
        self.group = group
        """The directory of its control group, where it has one."""
        self.replies: list[int] = []
        """The orders that its end answers: that to run a command, and those to cancel it."""
        self.asked = False
        self.deadline = float("inf")
        self.timed_out = False
        self.thaw_at = float("inf")


@final
class Kinship:
    """The families of a guardian's children."""

    def __init__(self, guardian: int) -> None:
        self._guardian = guardian
        self._leaders: set[int] = set()
        self._by_session: dict[int, Child] = {}
        self._by_mark: dict[bytes, Child] = {}
        self._by_fifo: dict[Inode, Child] = {}
        self._orphans: dict[int, Child] = {}

    def add(self, child: Child) -> None:
        """Take note of a child that was started."""
        self._leaders.add(child.pid)
        self._by_session[child.pid] = child
        self._by_mark[child.mark] = child
        self._by_fifo.update(dict.fromkeys(child.fifos, child))

    def reaped(self, pid: int) -> None:
        """Take note that an id is free: what has it from now on is another process."""
        self._leaders.discard(pid)
        self._orphans.pop(pid, None)

    def remove(self, child: Child) -> None:
        """Forget a child whose end was told. What may be left of it is nobody's, until it is seen to be another's."""
        if self._by_session.get(child.pid) is child:
            del self._by_session[child.pid]
        self._by_mark.pop(child.mark, None)
        for fifo in child.fifos:
            if self._by_fifo.get(fifo) is child:
                del self._by_fifo[fifo]
        for pid in [pid for pid, owner in self._orphans.items() if owner is child]:
            del self._orphans[pid]

    def family(self, child: Child) -> list[int]:
        """Return all that came from a child and lives, the leader first."""
        found = [child.pid, *descendants(child.pid)] if child.pid in self._leaders else []
        for orphan in set(children_of(self._guardian)) - self._leaders:
            owner = self._owner_of_orphan(orphan)
            if owner is child:
                found += [orphan, *descendants(orphan)]
            elif owner is None:
                for pid in descendants(orphan):
                    if self._owner(pid) is child:
                        found += [pid, *descendants(pid)]
        if child.group is not None:
            found += cgroups.members(child.group)
        return [pid for pid in dict.fromkeys(found) if lives(pid)]

    def _owner_of_orphan(self, pid: int) -> Child | None:
        owner = self._orphans.get(pid) or self._owner(pid)
        if owner is not None:
            self._orphans[pid] = owner
        return owner

    def _owner(self, pid: int) -> Child | None:
        """Return whose signs a process bears."""
        session = session_of(pid)
        if session in self._by_session:
            return self._by_session[session]
        mark = mark_of(pid)
        if mark in self._by_mark:
            return self._by_mark[mark]
        return next((self._by_fifo[inode] for _, inode in fifos_written_to(pid) if inode in self._by_fifo), None)


def kill_all(pids: list[int], group: str | None = None) -> set[int]:
    """Kill processes, and the group that they are in if that takes it; return those that we may not."""
    refused = {pid for pid in pids if not send_signal(pid, signal.SIGKILL)}
    if refused and group is not None:
        refused -= cgroups.kill_members(group)
    return refused
