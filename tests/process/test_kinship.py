"""Who came from whom, and what it costs to find out."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lucy_engines.process import kinship
from lucy_engines.process.kinship import Child, Kinship, children_of, descendants, fifos_written_to, inode_of, lives

SLEEPING = [sys.executable, "-I", "-S", "-c", "import os; os.write(1, b'.'); os.read(0, 1)"]


@contextmanager
def running(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Children of this process that run until the block is left."""
    found = [subprocess.Popen(SLEEPING, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(count)]
    for one in found:
        assert one.stdout is not None
        one.stdout.read(1)
    yield found
    for one in found:
        one.communicate()


def kin(process: subprocess.Popen[bytes], mark: str) -> Child:
    return Child(mark, process.pid, mark, time.monotonic())


def test_what_an_ended_leader_left_is_found_without_a_look_at_the_other_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    looks = kinship.children_of

    def counted(pid: int) -> list[int]:
        looked_at.append(pid)
        return looks(pid)

    monkeypatch.setattr(kinship, "children_of", counted)
    seen: list[int] = []
    for count in (2, 12):
        kinships = Kinship(os.getpid())
        with running(count) as processes:
            children = [kin(process, str(number)) for number, process in enumerate(processes)]
            for child in children:
                kinships.add(child)
            processes[0].communicate()
            kinships.reaped(processes[0].pid)
            looked_at.clear()
            assert kinships.family(children[0]) == []
            seen.append(len([pid for pid in looked_at if pid == os.getpid() or pid in [one.pid for one in processes]]))

    assert seen == [1, 1]


def test_a_process_is_looked_at_by_its_signs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    mark_of = kinship.mark_of
    monkeypatch.setattr(kinship, "mark_of", lambda pid: asked.append(pid) or mark_of(pid))
    with running(1) as leaders:
        child = kin(leaders[0], "leader")
        families = Kinship(os.getpid())
        families.add(child)
        orphan = subprocess.Popen(
            SLEEPING, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={kinship.MARKER: "leader"}, process_group=0
        )
        assert orphan.stdout is not None
        orphan.stdout.read(1)
        assert [families.family(child) for _ in range(3)] == [[leaders[0].pid, orphan.pid]] * 3
        assert asked.count(orphan.pid) == 1
        orphan.communicate()
        families.reaped(orphan.pid)
        assert families.family(child) == [leaders[0].pid]
        families.remove(child)
        assert families.family(child) == [leaders[0].pid]


def test_whoever_has_ended_is_of_no_family(tmp_path: Path) -> None:
    with running(1) as (one,):
        assert lives(one.pid)
        assert one.pid in children_of(os.getpid())
        assert descendants(one.pid) == []
        assert one.stdin is not None
        one.stdin.close()
        os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
        assert not lives(one.pid)  # though nobody has reaped it
        one.stdin = None
    assert not lives(one.pid)


def test_who_can_write_to_a_fifo_is_told_from_who_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert list(fifos_written_to(os.getpid())) == []
    writing = os.open(path, os.O_WRONLY)
    inode = inode_of(writing)
    path.unlink()
    assert list(fifos_written_to(os.getpid())) == [(str(path), inode)]
    os.close(writing)
    os.close(reading)
