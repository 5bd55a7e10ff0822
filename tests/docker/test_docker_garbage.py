"""Nothing of a run stays in an Engine, and nothing of anybody else goes: Lucys that are killed, and `lucy gc` after."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st
from places import LUCY

import lucy_core as lucy
from lucy_core.engine import Search
from lucy_core.errors import EngineUnavailableError
from lucy_engines.docker.api.caller import Caller
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.garbage import collector, reaper, reaper_client
from lucy_engines.docker.garbage.reaper_client import guarded
from lucy_engines.docker.garbage.things import find
from lucy_engines.docker.plan.inside import USER
from lucy_engines.docker.plan.labels import OWNER, run_labels
from lucy_engines.process.ports import Ports

PATIENCE = 90

# A Lucy that kills herself, with her whole process group: at the moment when a call to the Engine has been sent and
# not answered, or once all is up.
DRIVER = """
import os, signal, socket, sys
import aiohttp
import anyio
import lucy_core as lucy
import lucy_engines.docker.engine as engine

run_id, directory, point, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
request, guarded, seen = aiohttp.ClientSession.request, engine.guarded, []

def watched(*arguments, **named):
    context = guarded(*arguments, **named)
    enter = context.__aenter__
    async def entering():
        guard = await enter()
        print(guard._helper.pid, flush=True)
        return guard
    context.__aenter__ = entering
    class Context:
        __aenter__, __aexit__ = staticmethod(entering), context.__aexit__
    return Context()

def die():
    os.killpg(0, signal.SIGKILL)

def asking(self, method, url, *, params=None, data=None, **more):
    if method == "POST" and url.path.endswith(point):
        seen.append(url)
        if len(seen) == count:
            text = data or b""
            line = socket.socket(socket.AF_UNIX)
            line.connect("/var/run/docker.sock")
            query = "&".join(f"{key}={value}" for key, value in (params or {}).items())
            line.sendall(f"POST {url.path}?{query} HTTP/1.1\\r\\nHost: d\\r\\nContent-Type: application/json\\r\\n"
                         f"Content-Length: {len(text)}\\r\\n\\r\\n".encode() + text)
            die()
    return request(self, method, url, params=params, data=data, **more)

aiohttp.ClientSession.request, engine.guarded = asking, watched
nodes = [lucy.NodeSpec(name=name, role="node", command=("sleep", "600")) for name in "abc"]

async def main():
    spec = lucy.NetworkSpec(name="small", nodes=tuple(nodes))
    async with lucy.deploy(spec, engine="docker", run_id=run_id, run_directory=directory) as network:
        if point == "running":
            await network["b"].pause()
            sys.stdin.readline()
            die()
        await anyio.sleep_forever()

anyio.run(main)
"""


def new_run_id(name: str) -> str:
    return f"{name}-{os.getpid()}-{os.urandom(3).hex()}"


class KilledRun:
    """A run whose Lucy kills herself at a given moment, or when told to."""

    def __init__(self, directory: Path, point: str, count: int) -> None:
        self.run_id = new_run_id("killed")
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, self.run_id, str(directory), point, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def hear_of_reaper(self) -> None:
        assert self.process.stdout is not None
        self.reaper = os.pidfd_open(int(self.process.stdout.readline()))

    def die(self) -> None:
        try:
            self.process.communicate("now\n", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert self.process.returncode == -signal.SIGKILL

    def reaper_ends(self) -> bool:
        ready, _, _ = select.select([self.reaper], [], [], PATIENCE)
        return bool(ready)

    def close(self) -> None:
        os.close(self.reaper)


def names_left(docker_engine: str, run_id: str) -> list[str]:
    return [thing.name for thing in find(Caller(Endpoint(docker_engine)), f"lucy.run={run_id}")]


async def names_there(docker_engine: str, run_id: str) -> list[str]:
    return await anyio.to_thread.run_sync(names_left, docker_engine, run_id)


@pytest.fixture
def foreign(docker_engine: str, simnode_image: str) -> Iterator[list[list[str]]]:
    """Other people's container, network and volume; to be named when the test knows how."""
    made: list[list[str]] = []
    yield made
    for kind in ("container", "network", "volume"):
        for what, name in made:
            if what == kind:
                force = ["-f"] if kind != "network" else []
                subprocess.run(["docker", kind, "rm", *force, name], check=True, stdout=subprocess.DEVNULL)


def make(made: list[list[str]], kind: str, name: str, *words: str, labels: dict[str, str] | None = None) -> None:
    options = [word for key, value in (labels or {}).items() for word in ("--label", f"{key}={value}")]
    name_options = ["--name", name] if kind == "container" else []
    target = [] if kind == "container" else [name]
    subprocess.run(
        ["docker", kind, "create", *options, *name_options, *target, *words], check=True, stdout=subprocess.DEVNULL
    )
    made.append([kind, name])


@pytest.mark.slow
@pytest.mark.leaks("the dead Lucys' reapers live on for some seconds, as they should")
def test_a_lucy_killed_at_any_moment_leaves_nothing_in_the_engine(
    docker_engine: str, simnode_image: str, tmp_path: Path
) -> None:
    moments = (("networks/create", 1), ("containers/create", 2), ("/start", 3), ("running", 1))
    runs = [KilledRun(tmp_path / f"run-{number}", *moment) for number, moment in enumerate(moments)]
    for run in runs:
        run.hear_of_reaper()
        run.die()
    assert all(run.reaper_ends() for run in runs)

    assert [names_left(docker_engine, run.run_id) for run in runs] == [[], [], [], []]
    removed = [(run.directory / "reaper.log").read_text() for run in runs]
    # Of the creations that were under way side by side, at least the one that Lucy died in was carried out.
    assert [min(text.count("removed container"), least) for text, least in zip(removed, (3, 1, 3, 3), strict=True)] == [
        0, 1, 3, 3,
    ]  # fmt: skip
    assert [text.count("removed network") for text in removed] == [1, 1, 1, 1]
    assert [list((run.directory / "fifos").iterdir()) for run in runs] == [[], [], [], []]
    for run in runs:
        run.close()


@pytest.mark.slow
@pytest.mark.parametrize("named", ("by an option", "by the environment", "by nobody"))
async def test_no_engine_at_the_usual_place_is_a_failure_for_who_named_it_alone(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = f"unix://{tmp_path}/nobody"
    monkeypatch.setattr(collector, "USUAL", usual)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    if named == "by the environment":
        monkeypatch.setenv("DOCKER_HOST", usual)
    search = Search(options={"docker_host": usual} if named == "by an option" else {})

    if named == "by nobody":
        assert await collector.DockerCollector().find(search) == []
    else:
        with pytest.raises(EngineUnavailableError, match="it gives no list of what it has"):
            await collector.DockerCollector().find(search)


@pytest.mark.leaks("a Lucy and her reaper are killed, so that nobody waits for them")
def test_gc_removes_what_a_power_cut_left_and_nothing_of_others(
    docker_engine: str, simnode_image: str, tmp_path: Path, foreign: list[list[str]]
) -> None:
    run = KilledRun(tmp_path / "run", "running", 1)
    run.hear_of_reaper()
    # Frozen first, it can't act on its Lucy's death before it is killed itself.
    signal.pidfd_send_signal(run.reaper, signal.SIGSTOP)
    run.die()
    signal.pidfd_send_signal(run.reaper, signal.SIGKILL)
    compose = {"com.docker.compose.project": run.run_id, "com.docker.compose.service": "a", "lucy.node": "a"}
    make(foreign, "container", f"{run.run_id}-d", simnode_image, "true", labels=compose)
    make(foreign, "network", f"{run.run_id}_default", labels={**compose, "lucy.run": run.run_id})
    make(
        foreign, "volume", f"{run.run_id}-data", labels={**compose, "lucy.run": run.run_id, OWNER: "me", "lucy.x": "y"}
    )
    make(foreign, "volume", f"{run.run_id}-live", labels=run_labels(run.run_id))
    own = {f"{run.run_id}-a", f"{run.run_id}-b", f"{run.run_id}-c", run.run_id}
    others = {f"{run.run_id}_default", f"{run.run_id}-data", f"{run.run_id}-live"}
    assert set(names_left(docker_engine, run.run_id)) == own | others

    def gc(*words: str) -> list[str]:
        done = subprocess.run(
            [LUCY, "gc", "--run", run.run_id, *words], check=True, capture_output=True, text=True, timeout=PATIENCE
        )
        return done.stdout.splitlines()

    assert gc("--older-than", "1h") == ["nothing to remove"]
    assert gc("--dry-run")[-1] == "would remove 4 things of 1 run"
    assert set(names_left(docker_engine, run.run_id)) == own | others

    *lines, last = gc()

    assert last == "removed 4 things of 1 run"
    assert sorted(line.split()[2] for line in lines) == sorted(own)
    assert all(f"its Lucy, process {run.process.pid}, is gone" in line for line in lines)
    assert set(names_left(docker_engine, run.run_id)) == others
    assert list((run.directory / "fifos").iterdir()) == []
    assert gc() == ["nothing to remove"]
    kinds = {name: kind for kind, name in foreign}
    for name, kind in kinds.items():
        subprocess.run(["docker", kind, "inspect", name], check=True, stdout=subprocess.DEVNULL)
    run.close()


@pytest.mark.slow
async def test_two_runs_of_the_same_network_at_once_do_not_meet(
    docker_engine: str, simnode_image: str, tmp_path: Path
) -> None:
    spec = lucy.NetworkSpec(name="twice", nodes=(lucy.NodeSpec(name="a", role="node", command=("sleep", "600")),))
    ids: list[str] = []
    both = anyio.Event()
    gone = anyio.Event()

    async def first() -> None:
        async with lucy.deploy(spec, engine="docker", run_directory=tmp_path / "first") as network:
            ids.append(network.run_id)
            await both.wait()
        gone.set()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            async with lucy.deploy(spec, engine="docker", run_directory=tmp_path / "second") as network:
                ids.append(network.run_id)
                while len(ids) < 2:
                    await anyio.sleep(0.01)
                left = [await names_there(docker_engine, run_id) for run_id in ids]
                both.set()
                await gone.wait()
                assert await network["a"].resources() is not None
                mine = await names_there(docker_engine, network.run_id)

    assert len(set(ids)) == 2
    assert [set(names) for names in left] == [{run_id, f"{run_id}-a"} for run_id in ids]
    assert set(mine) == {network.run_id, f"{network.run_id}-a"}
    assert [await names_there(docker_engine, run_id) for run_id in ids] == [[], []]


async def test_a_guard_that_is_not_dismissed_removes_what_is_left_before_it_goes(
    docker_engine: str, tmp_path: Path
) -> None:
    run_id = new_run_id("undismissed")
    labels = [word for key, value in run_labels(run_id).items() for word in ("--label", f"{key}={value}")]

    async with guarded(docker_engine, run_id, run_directory=tmp_path):
        await anyio.run_process(["docker", "volume", "create", *labels, f"{run_id}-state"])
        assert await names_there(docker_engine, run_id) == [f"{run_id}-state"]

    assert await names_there(docker_engine, run_id) == []
    assert f"removed volume {run_id}-state" in (tmp_path / "reaper.log").read_text()


async def test_a_reaper_that_is_killed_is_replaced_and_that_is_told(docker_engine: str, tmp_path: Path) -> None:
    run_id = new_run_id("replaced")
    labels = [word for key, value in run_labels(run_id).items() for word in ("--label", f"{key}={value}")]
    with structlog.testing.capture_logs() as said:
        async with guarded(docker_engine, run_id, run_directory=tmp_path) as guard, anyio.create_task_group() as tasks:
            tasks.start_soon(guard.watch)
            for _ in range(reaper_client.REPLACEMENTS):
                first = guard._helper.pid
                os.kill(first, signal.SIGKILL)
                with anyio.fail_after(PATIENCE):
                    while guard._helper.pid == first:
                        await anyio.sleep(0.01)
            await anyio.run_process(["docker", "volume", "create", *labels, f"{run_id}-state"])
            tasks.cancel_scope.cancel()

    assert await names_there(docker_engine, run_id) == []
    assert len(said) == reaper_client.REPLACEMENTS
    assert (
        "the reaper, which removes this run should Lucy be killed, was killed by SIGKILL; another" in said[0]["event"]
    )


async def test_reapers_that_are_killed_again_and_again_are_given_up_and_the_last_sweep_is_done_all_the_same(
    docker_engine: str, tmp_path: Path
) -> None:
    run_id = new_run_id("given-up")
    labels = [word for key, value in run_labels(run_id).items() for word in ("--label", f"{key}={value}")]
    with structlog.testing.capture_logs() as said:
        async with guarded(docker_engine, run_id, run_directory=tmp_path) as guard:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(guard.watch)
                killed = set()
                with anyio.fail_after(PATIENCE):
                    while len(killed) <= reaper_client.REPLACEMENTS:
                        if guard._helper.pid not in killed:
                            killed.add(guard._helper.pid)
                            os.kill(guard._helper.pid, signal.SIGKILL)
                        await anyio.sleep(0.01)
            await anyio.run_process(["docker", "volume", "create", *labels, f"{run_id}-state"])

    assert await names_there(docker_engine, run_id) == []
    assert "there is none now: `lucy gc` would remove the run" in said[-1]["event"]


# A Lucy that forks, as a pool of processes does, and is killed.
FORKED = """
import os, signal, subprocess, sys, time
from pathlib import Path
import anyio
from lucy_engines.docker.garbage.reaper_client import guarded

async def main():
    async with guarded(sys.argv[1], sys.argv[2], run_directory=Path(sys.argv[3])) as guard:
        subprocess.run(["docker", "volume", "create", *sys.argv[4:]], stdout=subprocess.DEVNULL, check=True)
        child = os.fork()
        if child == 0:
            time.sleep(600)
        print(guard._helper.pid, child, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


@pytest.mark.slow
def test_what_a_killed_lucy_made_goes_though_what_she_forked_lives_on(docker_engine: str, tmp_path: Path) -> None:
    run_id = new_run_id("forked")
    labels = [word for key, value in run_labels(run_id).items() for word in ("--label", f"{key}={value}")]
    words = [docker_engine, run_id, tmp_path, *labels, f"{run_id}-state"]
    with subprocess.Popen([sys.executable, "-c", FORKED, *words], stdout=subprocess.PIPE) as lucy_process:
        assert lucy_process.stdout is not None
        pid, child = map(int, lucy_process.stdout.readline().split())
        pidfd = os.pidfd_open(pid)
    try:
        assert select.select([pidfd], [], [], PATIENCE)[0]
        assert Path(f"/proc/{child}").exists()
        assert names_left(docker_engine, run_id) == []
    finally:
        os.close(pidfd)
        os.kill(child, signal.SIGKILL)


@given(
    st.lists(
        st.binary(max_size=40)
        | st.sampled_from((b"bye", b"{}", b"[" * 9000, b'{"op": "order", "host": 1, "label": ""}'))
    )
)
def test_nothing_that_a_reaper_hears_ends_it_but_its_last_word(lines: list[bytes]) -> None:
    order = b'{"op": "order", "host": "http://h", "label": "l"}'
    odd = [line.replace(b"\n", b"") for line in lines]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ear = reaper.Ear(theirs)
        for line in (*odd, order, *odd, b'{"op": "order", "host": "http://other", "label": "x"}'):
            assert ear.word is None
            ours.sendall(line + b"\n")
            assert ear.server.serve()
        ours.sendall(b"x" * 100_000 + b'\n{"op": "sweep"}\n{"op": "sweep"}\n{"op": "bye"}\n')
        ear.listen(ours.fileno())

    assert ear.reaper is not None
    assert ear.reaper._order == reaper.Order("http://h", "l")
    assert isinstance(ear.word, reaper.Sweep)


@pytest.mark.parametrize("state", ("running", "paused", "ended"))
def test_what_root_made_in_a_container_is_its_users_once_a_reaper_has_removed_it(
    docker_engine: str, simnode_image: str, tmp_path: Path, state: str
) -> None:
    run_id = new_run_id("given-back")
    labels = [word for key, value in run_labels(run_id).items() for word in ("--label", f"{key}={value}")]
    script = "mkdir -p /lucy/node/state; touch /lucy/node/state/made; ln -sf /etc/passwd /lucy/node/link; sleep 600"
    mount = ("--mount", f"type=bind,src={tmp_path},dst=/lucy/node", "--label", f"{USER}=12345:54321")
    start = [
        "docker",
        "run",
        "-d",
        "--name",
        run_id,
        *labels,
        *mount,
        "--entrypoint",
        "sh",
        simnode_image,
        "-c",
        script,
    ]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
    eventually((tmp_path / "link").is_symlink)
    if state != "running":
        word = {"paused": "pause", "ended": "kill"}[state]
        subprocess.run(["docker", word, run_id], check=True, stdout=subprocess.DEVNULL)

    order = reaper.Order(docker_engine, f"lucy.run={run_id}", log=str(tmp_path.parent / f"{run_id}.log"))
    assert reaper.Reaper(order).reap(settle=0.0)

    assert names_left(docker_engine, run_id) == []
    made = [path.lstat() for path in (tmp_path / "state/made", tmp_path / "link", tmp_path)]
    assert {(each.st_uid, each.st_gid) for each in made} == {(12345, 54321)}


def test_gc_says_of_files_that_stay_roots_that_they_do(docker_engine: str, simnode_image: str, tmp_path: Path) -> None:
    run_id = new_run_id("kept")
    dead = run_labels(run_id)[OWNER].split(":")
    with subprocess.Popen(["true"]) as gone:
        pass
    owner = ":".join((str(gone.pid), "1", *dead[2:]))
    labels = {**run_labels(run_id), OWNER: owner, USER: "12345:54321"}
    words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    start = ["docker", "create", "--name", run_id, *words, "--entrypoint", "/no/such/program", simnode_image]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL)

    done = subprocess.run([LUCY, "gc", "--run", run_id], check=False, capture_output=True, text=True, timeout=PATIENCE)

    first, last = done.stdout.splitlines()
    assert (done.returncode, last) == (0, "removed 1 thing of 1 run")
    assert first.startswith(f"removed container {run_id} of run {run_id}: its Lucy, process {gone.pid}, is gone; ")
    assert "what it made in its node's directory stays root's" in first
    assert names_left(docker_engine, run_id) == []


async def test_a_dismissed_guard_asks_the_engine_nothing(tmp_path: Path) -> None:
    async with guarded(f"unix://{tmp_path}/nobody", "any", run_directory=tmp_path) as guard:
        guard.dismiss()

    assert not (tmp_path / "reaper.log").exists()


def test_gc_says_which_engine_does_not_answer(tmp_path: Path) -> None:
    done = subprocess.run(
        [LUCY, "gc", "--docker-host", f"unix://{tmp_path}/nobody", "--run", "none"],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )

    assert done.returncode == 4
    assert f"can be used at unix://{tmp_path}/nobody: it gives no list" in done.stderr
    assert "No such file" in done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    (
        (("--older-than", "2"), "'2' is no duration; write 90s"),
        (("--older-than", "soon"), "'soon' is no duration"),
        (("--elsewhere",), "add --older-than"),
    ),
)
def test_gc_refuses_what_it_can_not_mean(words: tuple[str, ...], complaint: str) -> None:
    done = subprocess.run([LUCY, "gc", *words], check=False, capture_output=True, text=True, timeout=PATIENCE)

    assert done.returncode == 2
    assert complaint in done.stderr


class OwnEngine:
    """An Engine of a test's own, that may die. It listens on a unix socket, and with TLS on a port of loopback."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = Ports()
        self.tcp = f"tcp://127.0.0.1:{self._ports.take()}"
        self.unix = f"unix://{place}/docker.sock"
        self._make_certificates()
        # With `--bridge=none` an Engine removes docker0 at its start, that of the machine's own Engine.
        self._bridge = f"lucy{os.getpid() % 100_000}"
        self.environment = {**os.environ, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(place)}

    def _make_certificates(self) -> None:
        def openssl(*words: str) -> None:
            subprocess.run(["openssl", *words], cwd=self._place, check=True, capture_output=True)

        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
        (self._place / "server.ext").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
        (self._place / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
        for name, prefix in (("server", "server-"), ("client", "")):
            openssl("req", *key, "-keyout", f"{prefix}key.pem", "-out", "request.pem", "-subj", f"/CN={name}")
            signing = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2")
            openssl(
                "x509", "-req", "-in", "request.pem", "-out", f"{prefix}cert.pem", *signing, "-extfile", f"{name}.ext"
            )

    def start(self) -> None:
        subprocess.run(["ip", "link", "add", self._bridge, "type", "bridge"], check=False, capture_output=True)
        subprocess.run(["ip", "address", "replace", "10.213.7.1/24", "dev", self._bridge], check=True)
        self._launch()
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            # On a busy machine its containerd may take longer than it has patience for.
            self._launch()
        return bool(Caller(Endpoint(self.unix)).call("GET", "version"))

    def _launch(self) -> None:
        # A killed Engine leaves them, and a new one would wait for the containerd of that id.
        for left in ("docker.pid", "exec/containerd/containerd.pid"):
            (self._place / left).unlink(missing_ok=True)
        with (self._place / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd", "--host", self.unix, "--host", self.tcp, "--pidfile", self._place / "docker.pid",
                    "--data-root", self._place / "data", "--exec-root", self._place / "exec",
                    "--bridge", self._bridge, "--iptables=false", "--ip-forward=false", "--tlsverify",
                    "--tlscacert", "ca.pem", "--tlscert", "server-cert.pem", "--tlskey", "server-key.pem",
                ],
                cwd=self._place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def stop(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)

    def close(self) -> None:
        """Give port and bridge back, and undo what a killed Engine left: its data mounted on itself, perhaps twice."""
        self._ports.close()
        subprocess.run(["ip", "link", "delete", self._bridge], check=False)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if line.split()[1].startswith(f"{self._place}/"):
                subprocess.run(["umount", line.split()[1]], check=True)


def eventually(holds: Callable[[], bool]) -> None:
    """Look at a condition of another process until it holds; one that can't be looked at doesn't."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError):
            if holds():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def own_engine(docker_engine: str) -> Iterator[OwnEngine]:
    if os.getuid() != 0 or shutil.which("dockerd") is None or shutil.which("openssl") is None:
        pytest.skip("an Engine of one's own needs root, dockerd and openssl")
    # Not in pytest's directory: a socket's path may have 107 bytes, and containerd's is long already.
    with tempfile.TemporaryDirectory(prefix="lucy-") as place:
        engine = OwnEngine(Path(place))
        try:
            engine.start()
            yield engine
        finally:
            try:
                engine.stop(signal.SIGTERM)
            finally:
                engine.close()


class VirtualTime:
    """The module `time` for a reaper that shall not take any; something happens in it at one second."""

    strftime = staticmethod(time.strftime)

    def __init__(self, happens: Callable[[], object]) -> None:
        self._now = 0.0
        self._happens: Callable[[], object] | None = happens

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds
        if self._now > 1.0 and self._happens is not None:
            self._happens, happens = None, self._happens
            happens()


def test_a_request_of_a_dead_lucys_that_is_carried_out_late_is_undone_too(
    docker_engine: str, foreign: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = new_run_id("late")
    late = f"{run_id}-volume"
    clock = VirtualTime(lambda: make(foreign, "volume", late, labels=run_labels(run_id)))
    monkeypatch.setattr(reaper, "time", clock)
    order = reaper.Order(docker_engine, f"lucy.run={run_id}", log=str(tmp_path / "log"))

    assert reaper.Reaper(order).reap(settle=reaper.SETTLE_SECONDS)

    assert foreign == [["volume", late]]
    assert names_left(docker_engine, run_id) == []
    assert f"removed volume {late}" in (tmp_path / "log").read_text()


@pytest.mark.slow
@pytest.mark.leaks("a dead Lucy's reaper lives on for some seconds, as it should")
def test_a_reaper_outlasts_an_engine_that_is_dead_too(own_engine: OwnEngine, tmp_path: Path) -> None:
    run_id = new_run_id("outlasts")
    labels = [word for key, value in run_labels(run_id).items() for word in ("--label", f"{key}={value}")]
    program = """
import sys, anyio
from pathlib import Path
from lucy_engines.docker.garbage.reaper_client import guarded
async def main():
    async with guarded(sys.argv[1], sys.argv[2], run_directory=Path(sys.argv[3])) as guard:
        print(guard._helper.pid, flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""
    guarded_lucy = subprocess.Popen(
        [sys.executable, "-c", program, own_engine.tcp, run_id, str(tmp_path)],
        env=own_engine.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert guarded_lucy.stdout is not None
    guard = os.pidfd_open(int(guarded_lucy.stdout.readline()))
    create = ["docker", "-H", own_engine.unix, "volume", "create", *labels]
    subprocess.run([*create, "left"], check=True, stdout=subprocess.DEVNULL)

    own_engine.stop(signal.SIGKILL)
    guarded_lucy.kill()
    guarded_lucy.communicate()
    log = tmp_path / "reaper.log"
    eventually(lambda: "Connection refused" in log.read_text())
    own_engine.start()

    assert select.select([guard], [], [], PATIENCE)[0]
    os.close(guard)
    assert "removed volume left" in log.read_text()
    assert names_left(own_engine.unix, run_id) == []
