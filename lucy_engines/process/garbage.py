"""The process engine's part of `lucy gc`, and what Lucy does herself where her guardian was killed.

However Lucy ends, the guardian takes every process along; should the guardian be killed, the kernel takes the nodes'
leaders, and Lucy the rest. Where both were killed, what a node had started is still there, and so are the run's FIFOs.
A process is known by its control group, by the guardian's mark in its environment or, where it has neither, by a FIFO
of a run that it can write to. A power cut leaves the FIFOs alone.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, final

import anyio

from lucy_core.engine import Leftover, Search, run_files
from lucy_engines.process import cgroups
from lucy_engines.process.kinship import (
    MARKER,
    Inode,
    fifos_written_to,
    inode_of,
    kill_all,
    lives,
    stat_of,
    variables_of,
)

GUARDIAN = "lucy_engines.process.guardian"
"""In the command line of every guardian."""
RUN_VARIABLE = "LUCY_RUN"
"""In the environment of every process of a run: its id."""
RUNS = "lucy-runs"
"""Where runs are that nobody gave a place, below the working directory."""
LAST_SECONDS, LAST_PAUSE = 2.0, 0.01
"""How long what a killed guardian left may take to end."""
_TICKS = os.sysconf("SC_CLK_TCK")


class Stray(NamedTuple):
    """A process that came from a guardian."""

    pid: int
    guardian: int | None
    """Its guardian's process id, where it bears its mark."""
    run_names: tuple[str, ...]
    """What its run may be called: by its id, or its directory. The first is the best."""


@final
class ProcessCollector:
    """Finds and removes processes and groups whose guardian is gone, and FIFOs that no capture reads."""

    async def find(self, search: Search) -> list[Leftover]:
        """Look at all processes that this user may look at, and into the runs below the working directory."""
        found = []
        for stray in strays():
            if _age(stray.pid) < search.older_than or search.run_id not in (None, *stray.run_names):
                continue
            command = _command(stray.pid).replace(b"\0", b" ").decode(errors="replace").strip()
            why = (
                "it can write to a FIFO of a run that no capture process reads"
                if stray.guardian is None
                else f"its guardian, process {stray.guardian}, is gone"
            )
            run_id = search.run_id or stray.run_names[0]
            name = f"{stray.pid} ({command[:60]})"
            found.append(Leftover(kind="process", key=str(stray.pid), name=name, run_id=run_id, why=why))
        live = capture_words()
        for run in sorted(Path(RUNS).glob("*/")):
            if os.fsencode(run.absolute()) in live or search.run_id not in (None, run.name):
                continue
            for path in sorted((run / run_files.FIFOS).glob("*")):
                with contextlib.suppress(OSError):
                    if path.is_fifo() and time.time() - path.lstat().st_ctime >= search.older_than:
                        why = "no capture process reads it"
                        key = str(path.absolute())
                        found.append(Leftover(kind="fifo", key=key, name=str(path), run_id=run.name, why=why))
        return [*found, *_forsaken_groups(search)]

    async def remove(self, leftovers: Sequence[Leftover]) -> list[str | None]:
        """Kill the processes, unlink the FIFOs, and remove the groups once they are empty."""
        return [await _removed(each) for each in leftovers]


async def _removed(leftover: Leftover) -> str | None:
    match leftover.kind:
        case "fifo":
            return _unlink(leftover.key)
        case "cgroup":
            give_up = time.monotonic() + LAST_SECONDS
            while not _end_group(leftover.key):
                if time.monotonic() >= give_up:
                    return "processes in it can't be ended"
                await anyio.sleep(LAST_PAUSE)
            return None
        case _:
            return _kill(int(leftover.key))


def _forsaken_groups(search: Search) -> list[Leftover]:
    found: list[Leftover] = []
    mount = cgroups.find_mount()
    for group, guardian in cgroups.groups_below(mount.place) if mount is not None else ():
        inside = [stray_of(pid) for pid in cgroups.members(group)]
        if None in inside:
            continue  # it is a container's, or another user's
        names = {name for stray in inside if stray is not None for name in stray.run_names}
        with contextlib.suppress(OSError):
            age = time.time() - os.stat(group).st_ctime
            if is_guardian(guardian) or age < search.older_than or search.run_id not in (None, *names):
                continue
            run_id = search.run_id or next((stray.run_names[0] for stray in inside if stray is not None), "")
            why = f"its guardian, process {guardian}, is gone"
            found.append(Leftover(kind="cgroup", key=group, name=os.path.basename(group), run_id=run_id, why=why))
    return found


def _end_group(group: str) -> bool:
    """Kill what is in a group and remove it; return False where that takes another moment."""
    if not cgroups.kill(group):
        kill_all(cgroups.members(group))
    return cgroups.remove(group)


def pids() -> list[int]:
    """Return the ids of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as words:
        return words.read()
    return b""


def is_guardian(pid: int) -> bool:
    """Tell whether a process is a guardian: its id may have been used again."""
    return GUARDIAN.encode() in _command(pid)


def capture_words() -> set[bytes]:
    """Return the words of all command lines of capture processes: the directory that each records into is one."""
    commands = [_command(pid) for pid in pids()]
    return {word for command in commands if run_files.CAPTURE.encode() in command for word in command.split(b"\0")}


def strays() -> Iterator[Stray]:
    """Return the processes that came from a guardian which is gone."""
    for pid in pids():
        stray = stray_of(pid)
        if stray is not None and is_forsaken(stray):
            yield stray


def is_forsaken(stray: Stray) -> bool:
    """Tell whether nobody who lives will take a process along."""
    if stray.guardian is not None:
        return not is_guardian(stray.guardian)
    live = capture_words()
    return not any(os.fsencode(run) in live for run in _runs_written_to(stray.pid)) and not _has_guardian(stray.pid)


def stray_of(pid: int) -> Stray | None:
    """Return what is known of a process that came from a guardian, or None where it is none of Lucy's."""
    if not _is_here(pid):
        return None
    variables = variables_of(pid)
    mark = variables.get(MARKER.encode(), b"").partition(b"-")[0]
    guardian = int(mark) if mark.isdigit() else _guardian_by_group(pid)
    ids = [os.fsdecode(variables[RUN_VARIABLE.encode()])] if RUN_VARIABLE.encode() in variables else []
    runs = tuple(run.name for run in _runs_written_to(pid))
    if guardian is not None:
        return Stray(pid, guardian, (*_directory_names(pid, ids), *ids, *runs, ""))
    if run_files.CAPTURE.encode() in _command(pid):
        return None
    return Stray(pid, None, runs) if runs else None


def _is_here(pid: int) -> bool:
    """Tell whether a process counts ids as we do: of a container's nobody can tell here whether its guardian lives."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False


def _guardian_by_group(pid: int) -> int | None:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
        return next((cgroups.guardian_of(line) for line in file.read().splitlines() if line.startswith("0::")), None)
    return None


def _directory_names(pid: int, ids: Sequence[str]) -> list[str]:
    """Return the name of the run directory in which a process works, if it does: `<run>/nodes/<node>`.

    Other directories may be called `nodes` too, above it and below.
    """
    try:
        place = Path(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return []
    above = [each.parent for each in (place, *place.parents) if each.name == run_files.NODES]
    runs = [run for run in above if run.name in ids or (run / run_files.RUN).exists()] or above
    return [runs[0].name] if runs else []


def _runs_written_to(pid: int) -> list[Path]:
    """Return the directories of the runs that a process can write a node's line into."""
    found: list[Path] = []
    for name, _ in fifos_written_to(pid):
        path = Path(name)
        if path.parent.name == run_files.FIFOS and (path.parent.parent / run_files.RUN).exists():
            found.append(path.parent.parent)
    return found


def _has_guardian(pid: int) -> bool:
    """Tell whether a process descends from a guardian that lives."""
    while pid > 1 and (stat := stat_of(pid)):
        pid = int(stat[1])
        if is_guardian(pid):
            return True
    return False


def _age(pid: int) -> float:
    stat = stat_of(pid)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(stat[19]) / _TICKS if stat else 0.0


def _kill(pid: int) -> str | None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        # Held by the descriptor, the id can't become another process's between the look and the kill.
        stray = stray_of(pid)
        if stray is not None and is_forsaken(stray):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return None
    except OSError as error:
        return f"{error.strerror}"
    finally:
        os.close(pidfd)
    return None


def _unlink(path: str) -> str | None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{error.strerror}"
    return None


def end_what_a_guardian_left(guardian: int, fifos: Sequence[Path]) -> None:
    """Kill what a guardian that was killed had started, and remove its run's FIFOs. Takes milliseconds, as a rule."""
    inodes: set[Inode] = set()
    for path in fifos:
        with contextlib.suppress(OSError):
            inodes.add(inode_of(str(path)))
    give_up = time.monotonic() + LAST_SECONDS
    while left := [pid for pid in _left_by(guardian, inodes) if lives(pid)]:
        if kill_all(left).issuperset(left) or time.monotonic() >= give_up:
            break
    own = cgroups.own_group()
    groups = [group for group, maker in cgroups.groups_below(own) if maker == guardian] if own is not None else []
    while [group for group in groups if not _end_group(group)] and time.monotonic() < give_up:
        pass
    for path in fifos:
        with contextlib.suppress(OSError):
            path.unlink()


def _left_by(guardian: int, fifos: set[Inode]) -> list[int]:
    found: list[int] = []
    for pid in pids():
        stray = stray_of(pid)
        if stray is None:
            continue
        if stray.guardian == guardian or (
            stray.guardian is None and {inode for _, inode in fifos_written_to(pid)} & fifos
        ):
            found.append(pid)
    return found
