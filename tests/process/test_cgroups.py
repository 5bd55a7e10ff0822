"""Where control groups of the second version are, as the kernel tells it."""

import os
import signal

import pytest

from lucy_engines.process import cgroups
from lucy_engines.process.cgroups import Mount, group_of, guardian_of, mount_of

BEFORE = "24 1 0:22 / /proc rw - proc proc rw\n31 1 0:27 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n"


@pytest.mark.parametrize(
    ("line", "mount"),
    (
        ("30 1 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw", Mount("/sys/fs/cgroup", "/")),
        ("30 1 0:26 /a/b /mnt/two\\040words rw - cgroup2 none rw", Mount("/mnt/two words", "/a/b")),
        ("", None),
        ("30 1 - cgroup2", None),
    ),
)
def test_the_mount_is_found_among_all_others(line: str, mount: Mount | None) -> None:
    assert mount_of(BEFORE + line) == mount


@pytest.mark.parametrize(
    ("cgroup", "mount", "group"),
    (
        ("1:cpu:/\n0::/\n", Mount("/sys/fs/cgroup", "/"), "/sys/fs/cgroup"),
        ("0::/user.slice/a:b\n", Mount("/sys/fs/cgroup", "/"), "/sys/fs/cgroup/user.slice/a:b"),
        ("0::/docker/x/y\n", Mount("/mnt", "/docker/x"), "/mnt/y"),
        ("0::/docker/x\n", Mount("/mnt", "/docker/x"), "/mnt"),
        ("0::/docker/xy\n", Mount("/mnt", "/docker/x"), None),
        ("0::/../other\n", Mount("/mnt", "/docker/x"), None),
        ("1:cpu:/a\n", Mount("/mnt", "/"), None),
    ),
)
def test_the_directory_of_a_group_is_known_where_it_is_seen(cgroup: str, mount: Mount, group: str | None) -> None:
    assert group_of(cgroup, mount) == group


@pytest.mark.parametrize(
    ("group", "guardian"),
    (("/sys/lucy-12-3", 12), ("0::/lucy-12-3/below", 12), ("/lucy-x-1", None), ("/lucy", None), ("/my-lucy-1-1", None)),
)
def test_a_groups_name_tells_its_guardian(group: str, guardian: int | None) -> None:
    assert guardian_of(group) == guardian


def test_where_there_are_no_groups_nothing_is_made() -> None:
    assert cgroups.make(None, "1-1") is None
    assert cgroups.make("/nowhere", "1-1") is None
    assert cgroups.door_of(None) is None
    assert cgroups.door_of("/nowhere") is None
    assert cgroups.members("/nowhere") == []
    assert not cgroups.kill("/nowhere")
    assert cgroups.remove("/nowhere")


def test_a_group_with_others_below_it_is_removed_once_it_is_empty() -> None:
    group = cgroups.make(cgroups.own_group(), f"{os.getpid()}-0")
    if group is None:
        pytest.skip("no control groups of the second version can be made here")
    os.mkdir(f"{group}/below")
    child = os.fork()
    if child == 0:
        signal.pause()
    with open(f"{group}/below/cgroup.procs", "w") as door:
        door.write(str(child))
    assert cgroups.members(group) == [child]
    assert (group, os.getpid()) in set(cgroups.groups_below(os.path.dirname(group)))
    assert not cgroups.remove(group)
    if not cgroups.kill(group):
        os.kill(child, 9)
    os.waitpid(child, 0)
    assert cgroups.remove(group)
