"""Control groups of nodes, where the kernel's second version of them can be had. Standard library only.

A process can leave its session, change its environment and close all that it has open; its group it can't leave, nor
can what it starts. So where a guardian may make groups below its own (as root, or in a session that systemd has handed
on), each node has one, and nothing of it is lost sight of. A group can be killed as a whole, and then the kernel asks
who may write to the group and not whose each process is: so ends what a node has started as root. Where none can be
had, `kinship` goes by the other signs. No controller is asked for, so that a group limits and costs nothing.

A group is called `lucy-` and the mark of a guardian's child, so that whoever finds it can tell whether that guardian
lives.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

PREFIX = "lucy-"


class Mount(NamedTuple):
    """Where groups are to be seen."""

    place: str
    root: str
    """The group that is at that place, as the kernel names it."""


def mount_of(mountinfo: str) -> Mount | None:
    """Find where groups of the second version are mounted, in the text of `/proc/self/mountinfo`."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        words = before.split()
        if after.startswith("cgroup2 ") and len(words) > 4:
            return Mount(_unescaped(words[4]), _unescaped(words[3]))
    return None


def _unescaped(word: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, character)
    return word


def group_of(cgroup: str, mount: Mount) -> str | None:
    """Return the directory of a process's group, from the text of its `/proc/<pid>/cgroup`; None where none is seen."""
    name = next((line[3:] for line in cgroup.splitlines() if line.startswith("0::")), None)
    root = mount.root.rstrip("/")
    if name is None or not f"{name}/".startswith(f"{root}/"):
        return None
    return mount.place + name[len(root) :].rstrip("/")


def find_mount() -> Mount | None:
    """Find where this process sees groups, if it does."""
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as text:
        return mount_of(text.read())
    return None


def own_group() -> str | None:
    """Return the directory of this process's own group, where there is one."""
    mount = find_mount()
    with contextlib.suppress(OSError), open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as text:
        return None if mount is None else group_of(text.read(), mount)
    return None


def make(parent: str | None, mark: str) -> str | None:
    """Make a group below another, and return its directory; None where there are none, or we may not."""
    if parent is None:
        return None
    group = f"{parent}/{PREFIX}{mark}"
    try:
        os.mkdir(group)
    except OSError:
        return None
    return group


def door_of(group: str | None) -> int | None:
    """Open what takes a process into a group, for it to write `0` there; None where we may not."""
    with contextlib.suppress(OSError):
        return None if group is None else os.open(f"{group}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    return None


def members(group: str) -> list[int]:
    """Return the processes in a group, and in those that its processes have made below it."""
    found: list[int] = []
    for each in _all_of(group):
        with contextlib.suppress(OSError), open(f"{each}/cgroup.procs", "rb") as file:
            # One of another namespace is 0 here, and none of a guardian's.
            found += [int(word) for word in file.read().split() if word != b"0"]
    return found


def kill(group: str) -> bool:
    """Kill all that is in a group, whoever it belongs to; return False where that can't be had."""
    try:
        with open(f"{group}/cgroup.kill", "wb") as file:
            file.write(b"1")
    except OSError:
        return False
    return True


def kill_members(group: str) -> set[int]:
    """Kill all that is in a group; return who that was, which is nobody where it can't be had."""
    # Looked at before: who is dying already is a member no more, and would pass for one that can't be killed.
    inside = set(members(group))
    return inside if kill(group) else set()


def remove(group: str) -> bool:
    """Remove a group, and those below it; return False where something is in it still."""
    for each in reversed(list(_all_of(group))):
        with contextlib.suppress(OSError):
            os.rmdir(each)
    return not os.path.isdir(group)


def _all_of(group: str) -> Iterator[str]:
    """Return a group and those below it, above before below."""
    left = [group]
    while left:
        each = left.pop()
        yield each
        with contextlib.suppress(OSError), os.scandir(each) as found:
            left += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]


def guardian_of(group: str) -> int | None:
    """Return the process id of the guardian that made a group or one above it, from its path; None where none did."""
    for name in group.split("/"):
        number = name.removeprefix(PREFIX).partition("-")[0] if name.startswith(PREFIX) else ""
        if number.isdigit():
            return int(number)
    return None


def groups_below(place: str) -> Iterator[tuple[str, int]]:
    """Return the groups below a directory that guardians have made: each's directory, and who made it."""
    for each in _all_of(place):
        guardian = guardian_of(os.path.basename(each))
        if guardian is not None:
            yield each, guardian
