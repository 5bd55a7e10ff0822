"""What nodes have made is removed, whatever they did to its modes; what their links lead to is not."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lucy_core.removal import make_empty, remove

NOBODY = 65534
AS_NOBODY = """
import os, sys
from pathlib import Path
from lucy_core.removal import make_empty, remove
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
sys.stderr = sys.stdout
place = Path(sys.argv[1])
(place / "pkg/mod").mkdir(parents=True)
(place / "pkg/mod/file").touch()
(place / "pkg/closed").mkdir(mode=0)
for directory, mode in (("pkg/mod", 0o555), ("pkg", 0o555), (".", 0o500)):
    (place / directory).chmod(mode)
(remove if sys.argv[2] == "remove" else make_empty)(place)
print(sorted(os.listdir(place)) if place.exists() else "gone")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user, whom modes bind")
@pytest.mark.parametrize(("how", "left"), (("remove", "gone"), ("make_empty", "[]")))
def test_directories_that_nobody_may_write_into_are_removed(how: str, left: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, f"{name}/state", how], capture_output=True, text=True, check=False
        )
    assert done.stdout.strip() == left


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    state = tmp_path / "state"
    state.symlink_to(precious)

    make_empty(state)
    (state / "link").symlink_to(precious)
    (state / "to nowhere").symlink_to("nowhere")
    make_empty(state)

    assert not state.is_symlink()
    assert list(state.iterdir()) == []
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    state.rmdir()
    state.symlink_to(precious)
    remove(state)
    assert (precious / "file").read_text() == "mine"


def test_a_directory_that_is_kept_is_the_same_one(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    inode = state.stat().st_ino
    (state / "a" / "b").mkdir(parents=True)
    (state / "a" / "fifo").touch()

    make_empty(state)

    assert (state.stat().st_ino, list(state.iterdir())) == (inode, [])


def test_what_is_not_there_or_a_file_in_its_place_is_no_error(tmp_path: Path) -> None:
    remove(tmp_path / "nothing")
    make_empty(tmp_path / "new" / "state")
    (tmp_path / "file").touch()
    make_empty(tmp_path / "file")

    assert (tmp_path / "file").is_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
def test_what_cannot_be_removed_is_named_and_keeps_nothing_else(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for name in ("a", "disk", "z"):
        (state / name / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", state / "disk"], check=True)
    try:
        with pytest.raises(OSError, match="busy") as refused:
            make_empty(state)
        assert refused.value.filename == str(state / "disk")
        assert [path.name for path in state.iterdir()] == ["disk"]
    finally:
        subprocess.run(["umount", state / "disk"], check=True)


def test_a_tree_of_any_depth_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "deep"
    for _ in range(1500):
        place.mkdir()
        place = place / "d"
        if len(str(place)) > 3500:
            break
    remove(tmp_path / "deep")
    assert not (tmp_path / "deep").exists()
