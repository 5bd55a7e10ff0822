"""Nodes that run as another user than Lucy's: theirs is their directory, and nothing else of the run."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

import lucy_core as lucy
from lucy_core.testing import scripted_node
from lucy_core.testing.engine_conformance import ControlConformance, DaemonConformance, LifeCycleConformance
from lucy_core.testing.engine_conformance.suite import Script
from lucy_engines.process import ProcessEngine
from lucy_engines.process.kinship import lives
from lucy_engines.process.users import user_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.geteuid() != 0, reason="takes root, who alone may run a node as another user"),
]

NOBODY = 65534
SECONDS = 20.0


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """As pytest's, closed by three directories of ours, and no other session's.

    pytest closes the one that all its sessions have in common whenever one begins, and other tests here begin some.
    Whoever was let through it is then outside again.
    """
    with tempfile.TemporaryDirectory(prefix="lucy-users-") as place:
        closed = Path(place) / "session" / "test"
        for directory in (closed.parent, closed):
            directory.mkdir(mode=0o700)
        yield closed


class TestAsAnotherUser(LifeCycleConformance, ControlConformance, DaemonConformance):
    """What every engine has to hold, where the nodes are another user's."""

    python = "/usr/bin/python3"
    captures: ClassVar[dict[str, Any]] = {}
    checkpoints: ClassVar[tuple[int, ...]] = ()

    @pytest.fixture
    def engine(self) -> ProcessEngine:
        return ProcessEngine()

    @pytest.fixture
    def script(self) -> Script:
        def describe(name: str, *steps: str, **more: Any) -> lucy.NodeSpec:
            return scripted_node(name, *steps, python=self.python, user="nobody", **more)

        return describe


def shell(script: str, **more: Any) -> lucy.NodeSpec:
    return lucy.NodeSpec(name="a", role="x", command=("sh", "-c", script), **{"user": "nobody", **more})


def network(*nodes: lucy.NodeSpec) -> lucy.NetworkSpec:
    return lucy.NetworkSpec(name="users", nodes=nodes)


async def until_there(path: Path) -> None:
    with anyio.fail_after(SECONDS):
        while not path.exists():
            await anyio.sleep(0.005)


def as_user(name: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
    whose = ("setpriv", "--reuid", name, "--clear-groups", "--regid", "nogroup")
    return subprocess.run((*whose, *map(str, command)), capture_output=True, text=True, cwd="/", check=False)


@pytest.mark.blocking
async def test_a_node_is_at_home_in_its_directory_and_nobody_else_is_in_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = "id -un >who; echo $HOME:$USER >state/home; cat {file:keys/own} >read; umask 0; echo x >open; sleep 600"
    node = shell(f"{script} & wait", files={"keys/own": b"key"}, environment={"USER": "somebody"})
    async with lucy.deploy(network(node), run_directory=run) as deployed:
        home = run / "nodes/a"
        await until_there(home / "open")
        assert (home / "who").read_text() == "nobody\n"
        assert (home / "state/home").read_text() == "/nonexistent:somebody\n"
        assert (home / "read").read_text() == "key"
        assert {each.stat().st_uid for each in (home, home / "state", home / "keys/own")} == {NOBODY}
        assert (home / "keys/own").stat().st_mode & 0o777 == 0o600
        assert (await deployed["a"].exec(["id", "-un"])).stdout == b"nobody\n"
        # Others don't get in at all; the user itself gets to its directory, and sees nothing on the way.
        assert as_user("daemon", "cat", home / "open").returncode != 0
        assert as_user("daemon", "ls", run).returncode != 0
        assert as_user("nobody", "cat", home / "open").stdout == "x\n"
        assert run.stat().st_mode & 0o7 == 0
        for place in (run, run / "nodes", run / "logs", run / "fifos"):
            assert as_user("nobody", "ls", place).returncode != 0
        files = [each for place in (run, run / "logs", run / "fifos") for each in place.iterdir() if not each.is_dir()]
        assert {"run.json", "arrivals.ndjson", "a.ndjson"} <= {file.name for file in files}
        for file in files:
            assert as_user("nobody", "head", "-c1", file).returncode != 0
            assert as_user("nobody", "touch", file).returncode != 0


async def test_what_a_node_links_to_is_out_of_its_reach_for_lucy_too(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o700)
    (precious / "kept").write_text("kept")
    run = tmp_path / "run"
    script = f"rmdir state; ln -s '{precious}' state; ln -s '{precious}/kept' link; ln -s '{precious}' there; touch up"
    async with lucy.deploy(network(shell(f"{script}; sleep 600 & wait")), run_directory=run) as deployed:
        a = deployed["a"]
        await until_there(run / "nodes/a/up")
        for path in ("link", "there/kept"):
            with pytest.raises(lucy.CommandError, match=rf"node 'a': can't read {path}: .*Permission denied"):
                await a.read_file(path)
            with pytest.raises(lucy.CommandError, match=rf"node 'a': can't write {path}: .*Permission denied"):
                await a.write_file(path, b"changed")
        await a.write_file("new/file", b"\xff\0")
        assert await a.read_file("new/file") == b"\xff\0"
        assert (run / "nodes/a/new/file").stat().st_uid == NOBODY
        with pytest.raises(lucy.CommandError, match="can't read gone: .*No such file"):
            await a.read_file("gone")
        await a.kill()
        (run / "nodes/a/up").unlink()
        await a.start(fresh_state=True)
        await until_there(run / "nodes/a/up")
    assert (precious / "kept").read_text() == "kept"


async def test_a_fresh_start_empties_the_state_whatever_its_modes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = "ls -A state >seen; mkdir -p state/a/b; touch state/a/b/c; chmod 555 state/a/b state/a; touch up"
    async with lucy.deploy(network(shell(f"{script}; sleep 600 & wait")), run_directory=run) as deployed:
        await until_there(run / "nodes/a/up")
        await deployed["a"].stop()
        (run / "nodes/a/up").unlink()
        await deployed["a"].start(fresh_state=True)
        await until_there(run / "nodes/a/up")
        assert (run / "nodes/a/seen").read_text() == ""


async def test_a_place_that_is_closed_to_the_user_is_refused_by_name_and_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    with pytest.raises(lucy.DeployError, match=r"node 'a'.*nobody may not enter .*; choose a run directory in a place"):
        async with lucy.deploy(network(shell("sleep 600")), run_directory=mine / "run"):
            pass
    assert as_user("nobody", "ls", mine / "run/nodes/a").returncode != 0
    assert mine.stat().st_mode & 0o777 == 0o700


async def test_two_users_share_a_run_and_nothing_in_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    nodes = (
        shell("touch {directory}/up; sleep 600 & wait"),
        lucy.NodeSpec(
            name="b", role="x", command=("sh", "-c", "touch {directory}/up; sleep 600 & wait"), user="daemon:nogroup"
        ),
        lucy.NodeSpec(
            name="c",
            role="x",
            command=("sh", "-c", "id >who; mv who {directory}/up; sleep 600 & wait"),
            user="4711:4712",
        ),
    )
    async with lucy.deploy(network(*nodes), run_directory=run):
        for name in "abc":
            await until_there(run / f"nodes/{name}/up")
        assert "uid=4711 gid=4712 groups=4712" in (run / "nodes/c/up").read_text()
        assert (run / "nodes/b/up").stat().st_gid == NOBODY
        assert as_user("daemon", "ls", run / "nodes/b").stdout == "state\nup\n"
        assert as_user("daemon", "ls", run / "nodes/a").returncode != 0


async def test_the_nodes_of_another_user_end_with_the_guardian(tmp_path: Path) -> None:
    run = tmp_path / "run"
    pid = 0
    with pytest.raises(lucy.LucyError, match="guardian"):
        async with lucy.deploy(network(shell("touch up; exec sleep 600")), run_directory=run) as deployed:
            await until_there(run / "nodes/a/up")
            pid = deployed["a"].pid or 0
            guardian = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            os.kill(guardian, signal.SIGKILL)
            await anyio.sleep_forever()
    assert pid
    assert not lives(pid)


SPAWNING = f"""
import os, signal, sys
from lucy_engines.process.orders import Identity
from lucy_engines.process.spawning import spawn
null = os.open(os.devnull, os.O_RDWR)
whose = Identity({NOBODY}, ({NOBODY},))
print(spawn(["/bin/sleep", "600"], {{}}, "/", (null, null, null), os.getpid(), identity=whose), flush=True)
signal.pause()
"""


@pytest.mark.blocking
async def test_the_kernel_ends_the_node_of_another_user_when_its_guardian_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", SPAWNING], stdout=subprocess.PIPE) as guardian:
        assert guardian.stdout is not None
        pid = int(guardian.stdout.readline())
        assert lives(pid)
        pidfd = os.pidfd_open(pid)
        guardian.kill()
        try:
            assert select.select([pidfd], [], [], SECONDS)[0]
        finally:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)


@contextmanager
def effective(user: int) -> Iterator[None]:
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_user_that_cannot_be_is_refused_before_anything_is_made() -> None:
    for user, said in (
        ("nosuchuser", "user='nosuchuser' names a user whom this machine doesn't have"),
        ("nobody:nosuchgroup", "names a group that this machine doesn't have: 'nosuchgroup'"),
        ("4711", "names a user of whom nothing is known here; give the group too: '4711:4711'"),
    ):
        with pytest.raises(lucy.TopologyError, match=f"node 'a': .*{said}"):
            user_of(shell("true", user=user))
    assert user_of(shell("true", user="root")) is None
    said = "takes a Lucy that root runs, and nobody runs this one"
    with effective(NOBODY), pytest.raises(lucy.TopologyError, match=said):
        user_of(shell("true", user="daemon"))
