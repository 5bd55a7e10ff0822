"""What Lucy makes is its user's alone, and goes through nothing that somebody else has put in its way."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lucy_core as lucy
from lucy_core.private_files import check_shared, create_private, let_through, make_private, write_private

OTHER = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="makes another user's files")
SPEC = lucy.NetworkSpec(
    name="t", nodes=(lucy.NodeSpec(name="a", role="r", command=("sleep", "600"), files={"etc/keys/k": b"x"}),)
)


def modes(directory: Path) -> dict[str, int]:
    """The rights of all that is in a directory, but for FIFOs, which nodes open again, and nodes' own."""
    found = [directory, *directory.rglob("*")]
    return {
        str(path.relative_to(directory)): stat.S_IMODE(path.lstat().st_mode)
        for path in found
        if not stat.S_ISFIFO(path.lstat().st_mode)
    }


# --- directories ----------------------------------------------------------------------------------------------------


def test_a_directory_of_ours_is_made_or_taken_and_closed_to_all_others(tmp_path: Path) -> None:
    for there in (False, True):
        place = tmp_path / str(there)
        if there:
            place.mkdir()
            place.chmod(0o777)
            (place / "logs").mkdir()
            (place / "a file of mine").touch()

        make_private(place, ("logs", "fifos"))

        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert {path.name for path in place.iterdir()} >= {"logs", "fifos"}


@as_root
def test_another_users_directory_is_refused_in_a_sentence_and_stays_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.mkdir(mode=0o777)
    os.chown(place, OTHER, OTHER)

    with pytest.raises(PermissionError, match=r"it belongs to \w+ \(user 65534\), who could change what is written"):
        make_private(place, ("logs",))

    assert list(place.iterdir()) == []
    assert place.stat().st_uid == OTHER


@as_root
@pytest.mark.parametrize("where", ("logs", "logs/x"))
def test_a_directory_with_something_of_another_users_in_it_is_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "run/logs").mkdir(parents=True)
    (tmp_path / "run/logs/x").touch()
    os.chown(tmp_path / "run" / where, OTHER, OTHER)

    with pytest.raises(PermissionError, match=rf"{where} in it belongs to \w+ \(user 65534\); remove it"):
        make_private(tmp_path / "run", ("logs",))


@pytest.mark.parametrize("name", ("logs", "result.json", "arrivals.ndjson", "logs/a.ndjson"))
def test_a_link_in_the_way_is_refused_and_not_written_through(tmp_path: Path, name: str) -> None:
    place = tmp_path / "run" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(PermissionError, match=rf"{name} in it is a link, and leads elsewhere; remove it"):
        make_private(tmp_path / "run", ("logs",))

    assert not (tmp_path / "elsewhere").exists()


def test_a_link_of_ones_own_to_ones_own_directory_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "run").symlink_to("large")

    make_private(tmp_path / "run", ("logs",))

    assert (tmp_path / "large/logs").is_dir()


@as_root
def test_another_users_link_is_refused_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "run").symlink_to("mine")
    os.lchown(tmp_path / "run", OTHER, OTHER)

    with pytest.raises(PermissionError, match="it is a link that .* has made"):
        make_private(tmp_path / "run", ("logs",))

    assert list((tmp_path / "mine").iterdir()) == []


@as_root
def test_a_shared_directory_is_fit_for_new_files_where_nobody_else_can_replace_them(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o1777)
    check_shared(place)
    place.chmod(0o777)
    with pytest.raises(PermissionError, match="everybody may write there"):
        check_shared(place)
    place.chmod(0o700)
    os.chown(place, OTHER, OTHER)
    with pytest.raises(PermissionError, match="it belongs to"):
        check_shared(place)


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_for_its_user_alone_and_through_no_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs")
    for name in ("result.json", ".result.json.draft"):
        (tmp_path / name).symlink_to(elsewhere)

    write_private(tmp_path, "result.json", b"mine")

    written = (tmp_path / "result.json").lstat()
    assert (stat.S_ISREG(written.st_mode), stat.S_IMODE(written.st_mode)) == (True, 0o600)
    assert ((tmp_path / "result.json").read_bytes(), elsewhere.read_bytes()) == (b"mine", b"theirs")
    assert {path.name for path in tmp_path.iterdir()} == {"elsewhere", "result.json"}


def test_what_can_not_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(tmp_path, "result.json", b"old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(tmp_path, "result.json", b"new")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("result.json", b"old")]


def test_a_new_file_is_made_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("elsewhere")

    with pytest.raises(FileExistsError):
        create_private(tmp_path / "link", b"")

    create_private(tmp_path / "new", b"mine")
    assert not (tmp_path / "elsewhere").exists()
    assert modes(tmp_path)["new"] == 0o600


# --- runs -----------------------------------------------------------------------------------------------------------


async def test_all_of_a_runs_files_are_their_users_alone(tmp_path: Path) -> None:
    async with lucy.deploy(SPEC, run_directory=tmp_path / "run"):
        pass

    found = modes(tmp_path / "run")
    assert {"run.json", "result.json", "junit.xml", "report.html", "arrivals.ndjson", "logs/a.ndjson"} <= set(found)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}


@as_root
async def test_a_run_in_another_users_directory_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o777)
    (run / "result.json").symlink_to(tmp_path / "elsewhere")
    os.chown(run, OTHER, OTHER)

    with pytest.raises(lucy.RecordingError, match=r"the run directory .*/run can't be made: it belongs to \w+"):
        async with lucy.deploy(SPEC, run_directory=run):
            pass

    assert [path.name for path in run.iterdir()] == ["result.json"]
    assert not (tmp_path / "elsewhere").exists()


@as_root
def test_the_command_refuses_another_users_directory_as_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", OTHER, OTHER)

    lucy_program = Path(sys.executable).with_name("lucy")
    done = subprocess.run(
        [lucy_program, "process", "chain-reliability", "--run-dir", tmp_path / "run"],
        capture_output=True,
        check=False,
        timeout=100,
        text=True,
    )

    assert done.returncode == 2, done.stderr
    assert "it belongs to" in done.stderr


# --- one more user --------------------------------------------------------------------------------------------------


def can(user: int, *command: str | Path) -> bool:
    whose = ("setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups")
    return subprocess.run((*whose, *map(str, command)), capture_output=True, check=False, cwd="/").returncode == 0


@as_root
def test_one_user_is_let_through_a_directory_and_sees_nothing_of_it(tmp_path: Path) -> None:
    for user in (OTHER, OTHER - 1):
        for above in (tmp_path, *tmp_path.parents):
            if not can(user, "test", "-x", above):
                let_through(above, user)
    place = tmp_path / "closed"
    (place / "theirs").mkdir(parents=True)
    (place / "theirs/file").touch()
    place.chmod(0o700)
    assert not can(OTHER, "ls", place / "theirs")

    for _ in range(2):  # again changes nothing
        let_through(place, OTHER)

    assert can(OTHER, "ls", place / "theirs")
    assert not can(OTHER, "ls", place)
    assert not can(OTHER, "touch", place / "new")
    assert not can(OTHER - 1, "ls", place / "theirs")
    let_through(place, OTHER - 1)
    assert can(OTHER, "ls", place / "theirs")
    assert stat.S_IMODE(place.stat().st_mode) & 0o7 == 0


@as_root
def test_a_group_that_may_use_a_directory_still_may_when_a_user_is_let_through(tmp_path: Path) -> None:
    os.chown(tmp_path, 0, OTHER)
    tmp_path.chmod(0o750)
    let_through(tmp_path, OTHER - 1)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


@as_root
def test_nobody_is_let_through_a_directory_of_somebody_elses(tmp_path: Path) -> None:
    os.chown(tmp_path, OTHER, OTHER)
    with pytest.raises(PermissionError, match="it belongs to nobody"):
        let_through(tmp_path, OTHER - 1)
