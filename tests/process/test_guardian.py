"""The guardian by itself: what it is told, whom it ends, and that nothing it is told ends it."""

import json
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helper_processes import ended
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.helpers.helper import BOOT, own_pidfd
from lucy_core.helpers.server import Server
from lucy_engines.process import cgroups
from lucy_engines.process.orders import Cancel, End, Exec, Fifo, Signal, Spawn

SECONDS = 20.0
NOBODY = 65534
_PROGRAM = f"""
import os, runpy, sys
boot = runpy.run_path({BOOT!r})
sys.meta_path.insert(0, boot["Shells"]("lucy_core", "lucy_engines"))
import lucy_engines.process.guardian  # before it is somebody who may not read it
for number in [int(word) for word in (sys.argv.pop(1),) if word]:
    os.setgroups([])
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)
boot["main"]("lucy_engines.process.guardian", *sys.argv[1:])
"""


class Guarded:
    """A guardian of a test's own, and this end of its socket."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self.process = process
        self._control = control
        self._text = b""
        self._number = 0
        self.told: list[dict[str, Any]] = []

    def say(self, line: bytes, *descriptors: int) -> None:
        socket.send_fds(self._control, [line + b"\n"], descriptors)

    def next(self) -> dict[str, Any]:
        while b"\n" not in self._text:
            assert select.select([self._control], [], [], SECONDS)[0], "the guardian says nothing"
            chunk = self._control.recv(1 << 18)
            assert chunk, "the guardian has ended"
            self._text += chunk
        line, _, self._text = self._text.partition(b"\n")
        return json.loads(line)

    def order(self, op: str, *descriptors: int, **more: Any) -> int:
        self._number += 1
        self.say(json.dumps({"op": op, "id": self._number, "fds": len(descriptors), **more}).encode(), *descriptors)
        return self._number

    def run(self, *words: str, timeout: float = SECONDS, output: int | None = None) -> int:
        """Order a command, with nothing as its input, and its output to a descriptor or nowhere."""
        null = os.open(os.devnull, os.O_RDWR)
        more: dict[str, Any] = {"argv": words, "environment": {}, "cwd": "/", "timeout": timeout}
        number = self.order("exec", null, null if output is None else output, null, **more)
        os.close(null)
        return number

    def code_of(self, *words: str, timeout: float = SECONDS) -> int:
        return self.answer(self.run(*words, timeout=timeout))["code"]

    def ask(self, op: str, **more: Any) -> dict[str, Any]:
        return self.answer(self.order(op, **more))

    def answer(self, number: int) -> dict[str, Any]:
        return self._until(lambda told: told.get("id") == number)

    def exit_of(self, pid: int) -> dict[str, Any]:
        return self._until(lambda told: told.get("notice") == "exited" and told["pid"] == pid)

    def _until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while not (found := [told for told in self.told if wanted(told)]):
            self.told.append(self.next())
        self.told.remove(found[0])
        return found[0]

    def hang_up(self) -> None:
        self._control.shutdown(socket.SHUT_WR)


@contextmanager
def guardian(user: int | None = None, group: Path | None = None) -> Iterator[Guarded]:
    """Run one, as another user or in a control group."""

    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text("0")

    ours, theirs = socket.socketpair()
    with ours, own_pidfd() as lucy:
        with theirs:
            arguments = ["" if user is None else str(user), str(theirs.fileno()), str(lucy)]
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *arguments],
                pass_fds=(theirs.fileno(), lucy),
                preexec_fn=enter,  # noqa: PLW1509  # there are none
            )
        one = Guarded(process, ours)
        yield one
        one.hang_up()
        assert process.wait(SECONDS) == 0


@contextmanager
def fifo(place: Path) -> Iterator[tuple[str, int]]:
    """A node's FIFO, and the end that capture reads."""
    os.mkfifo(place, 0o622)
    place.chmod(0o622)
    fd = os.open(place, os.O_RDWR | os.O_NONBLOCK)
    yield str(place), fd
    os.close(fd)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user may look into: pytest's are its user's alone."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


def read_line(fd: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([fd], [], [], SECONDS)[0]
        line += os.read(fd, 1)
    return line


def node(place: str, script: str) -> dict[str, Any]:
    path = os.environ["PATH"]
    return {"name": "a", "argv": ["/bin/sh", "-c", script], "environment": {"PATH": path}, "cwd": "/", "fifo": place}


# --- what it is told ------------------------------------------------------------------------------------------------

WORST = (
    b"",
    b"no json",
    b"[" * 100_000,
    b"9" * 5000,
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"op":"end","id":true}',
    b'{"op":"fly","id":1}',
    b'{"op":[],"id":1}',
    b'{"op":"signal","id":1,"pid":"x","signal":9}',
    b'{"op":"signal","id":1,"pid":1e400,"signal":9}',
    b'{"op":"signal","id":1,"pid":1,"signal":9,"lasting":NaN}',
    b'{"op":"signal","id":1,"pid":1,"signal":' + b"9" * 400 + b"}",
    b'{"op":"spawn","id":1}',
    b'{"op":"spawn","id":1,"name":"a","argv":[],"environment":{},"cwd":"/","fifo":"/"}',
    b'{"op":"spawn","id":1,"name":"a","argv":["x"],"environment":{"a":1},"cwd":"/","fifo":"/"}',
    b'{"op":"exec","id":1,"argv":["x"],"environment":{},"cwd":"/","timeout":-1}',
    b'{"op":"exec","id":1,"argv":["x"],"environment":{},"cwd":"/","timeout":"1"}',
    b'{"op":"cancel","id":1,"order":null}',
    b'{"op":"exec","id":1,"argv":["x"],"environment":{},"cwd":"/","timeout":1,"identity":{"user":1}}',
)
FITTING = (
    b'{"op":"fifo","id":1,"fifo":"/a\\u0000b"}',
    b'{"op":"spawn","id":1,"name":"a","argv":["x"],"environment":{},"cwd":"/","fifo":"/no\\ud800"}',
    b'{"op":"spawn","id":1,"name":"a","argv":["x\\u0000"],"environment":{},"cwd":"\\udcff","fifo":"/dev/null"}',
    b'{"op":"exec","id":1,"argv":["\\ud800"],"environment":{"=":"\\u0000"},"cwd":"/","timeout":1e999}',
    b'{"op":"cancel","id":1,"order":99}',
    b'{"op":"signal","id":1,"pid":' + b"9" * 300 + b',"signal":64,"lasting":1e308}',
    b'{"op":"signal","id":1,"pid":-1,"signal":9}',
)


ORDERS = (Fifo, Spawn, Signal, End, Exec, Cancel)


def understood(line: bytes) -> list[Any]:
    """The orders in what comes, or why it is none."""
    found: list[Any] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = Server(theirs, dict.fromkeys(ORDERS, found.append))
        ours.sendall(line + b"\n")
        ours.shutdown(socket.SHUT_WR)
        while (requests := server.receive()) is not None:
            found += filter(None, [server.obey(request).error for request in requests])
    return found


@pytest.mark.parametrize("line", WORST)
def test_what_is_no_order_is_refused_in_words(line: bytes) -> None:
    (reason,) = understood(line)
    assert isinstance(reason, str)
    assert 0 < len(reason) < 1000


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_fields = ("op", "id", "pid", "signal", "lasting", "argv", "environment", "cwd", "fifo", "name", "order", "timeout")
_ops = st.sampled_from(("fifo", "spawn", "signal", "end", "exec", "cancel"))
_orders = st.fixed_dictionaries(
    {"op": _ops, "id": st.integers()}, optional=dict.fromkeys(_fields[2:], _values)
) | st.dictionaries(st.sampled_from(_fields), _values)


@given(st.binary() | _orders.map(lambda told: json.dumps(told).encode()))
def test_whatever_comes_is_an_order_or_refused(line: bytes) -> None:
    assert all(isinstance(each, (*ORDERS, str)) for each in understood(line))


def test_no_command_ends_it() -> None:
    with guardian() as one:
        for line in (*WORST, *FITTING):
            one.say(line)
        answers = [one.next() for _ in (*WORST, *FITTING)]
        assert one.code_of("/bin/sh", "-c", "exit 7") == 7

    assert [answer["error"] for answer in answers[: len(WORST)] if not answer.get("error")] == []


@pytest.mark.parametrize("seconds", (2_147_484, 30 * 86_400, 10**9, 1e300, float("inf"), 10**400))
def test_a_time_out_may_be_for_ever(seconds: float, tmp_path: Path) -> None:
    with guardian() as one, fifo(tmp_path / "fifo") as (path, _):
        pid = one.ask("spawn", **node(path, "exec sleep 600"))["pid"]
        assert one.ask("signal", pid=pid, signal=int(signal.SIGSTOP), lasting=seconds)
        assert one.code_of("/bin/true", timeout=seconds) == 0
        one.ask("signal", pid=pid, signal=int(signal.SIGKILL))
        assert one.exit_of(pid)["signal"] == "SIGKILL"


def test_it_goes_on_while_lucy_takes_nothing_of_what_it_says(tmp_path: Path) -> None:
    with guardian() as one:
        # Far more answers than a socket holds, of which none is taken before the last order is obeyed.
        numbers = [one.order("fly" * 300) for _ in range(2000)]
        assert one.code_of("/bin/true") == 0
        assert all("fly" in one.answer(number)["error"] for number in numbers)


def test_a_command_writes_into_what_came_with_its_order_and_an_order_without_is_refused() -> None:
    said, saying = os.pipe()
    with guardian() as one:
        words = {"argv": ["/bin/true"], "environment": {}, "cwd": "/", "timeout": 1.0}
        assert one.ask("exec", **words)["error"] == "3 descriptors have to come with it"
        # What came with an order that is refused goes to no other.
        refused = one.order("exec", saying, saying, saying, **{**words, "timeout": -1})
        assert "no length of time" in one.answer(refused)["error"]
        number = one.run("/bin/echo", "hello", output=saying)
        os.close(saying)
        assert os.read(said, 100) == b"hello\n"
        assert os.read(said, 100) == b""
        assert one.answer(number)["code"] == 0
    os.close(said)


def test_a_command_is_cancelled_by_its_number_and_that_is_answered_at_its_end() -> None:
    said, saying = os.pipe()
    with guardian() as one:
        number = one.run("/bin/sh", "-c", "/bin/sleep 600 & echo $!; wait", output=saying)
        os.close(saying)
        below = int(read_line(said))
        cancelled = one.order("cancel", order=number)
        assert [one.answer(each)["code"] for each in (number, cancelled)] == [-9, -9]
        assert ended(below)
        assert one.ask("cancel", order=number) == {"id": cancelled + 1}
    os.close(said)


# --- whom it ends ---------------------------------------------------------------------------------------------------

DETACHED = {
    "in its session": "sleep 600 & echo $!",
    "with its mark": "setsid sh -c 'echo $$; exec sleep 600 >&- 2>&-' &",
    "with its FIFO alone": "env -i PATH=$PATH setsid sh -c 'echo $$; exec sleep 600' &",
    "below one that holds nothing": "env -i PATH=$PATH setsid sh -c"
    " '(sh -c \"echo \\$\\$; exec sleep 600\") & exec >&- 2>&-; sleep 600; true' &",
}


@pytest.mark.parametrize("how", DETACHED)
def test_what_a_node_started_ends_before_its_end_is_told(how: str, tmp_path: Path) -> None:
    with guardian() as one, fifo(tmp_path / "fifo") as (path, lines), fifo(tmp_path / "other") as (other, other_lines):
        neighbour = one.ask("spawn", **node(other, f"{DETACHED[how]}\nexec sleep 600"))["pid"]
        pid = one.ask("spawn", **node(path, f"{DETACHED[how]}\nexec sleep 600"))["pid"]
        detached, others = int(read_line(lines)), int(read_line(other_lines))
        one.ask("signal", pid=pid, signal=int(signal.SIGTERM))
        assert one.exit_of(pid)["left"] == []
        assert ended(detached)
        # Of the neighbour's nothing is.
        assert Path(f"/proc/{others}/stat").exists()
        assert Path(f"/proc/{neighbour}/stat").exists()


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group that NOBODY may make others below."""
    own = cgroups.own_group()
    made = cgroups.make(own, f"test-{os.getpid()}")
    if made is None or os.getuid() != 0:
        pytest.skip("no control groups of the second version can be made here")
    for path in (made, f"{made}/cgroup.procs"):
        os.chown(path, NOBODY, NOBODY)
    yield Path(made)
    assert cgroups.remove(made), "groups, or processes in them, were left"


def test_a_daemon_that_bears_no_sign_of_its_node_but_its_group_ends_with_it(group: Path, tmp_path: Path) -> None:
    script = "env -i PATH=$PATH setsid sh -c 'echo $$; exec sleep 600 >&- 2>&-' &\nexec sleep 600"
    with guardian(group=group) as one, fifo(tmp_path / "fifo") as (path, lines):
        pid = one.ask("spawn", **node(path, script))["pid"]
        silent = int(read_line(lines))
        assert (group / f"lucy-{one.process.pid}-1" / "cgroup.procs").read_text().split() == [str(pid), str(silent)]
        one.ask("signal", pid=pid, signal=int(signal.SIGTERM))
        assert one.exit_of(pid)["left"] == []
        assert ended(silent)
        assert [path for path in group.iterdir() if path.is_dir()] == []
        refused = one.ask("spawn", **{**node(path, script), "argv": ["/nowhere"]})
        assert "No such file" in refused["error"]
        assert [path for path in group.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("how", ("stopped", "left to the end"))
def test_what_a_node_started_as_root_ends_with_its_group(how: str, group: Path, open_place: Path) -> None:
    helper = open_place / "setpriv"
    shutil.copy(shutil.which("setpriv") or "setpriv", helper)
    helper.chmod(0o4755)
    script = f"{helper} --reuid 0 --regid 0 --clear-groups sleep 600 & echo $!; exec sleep 600"
    with guardian(NOBODY, group) as one, fifo(open_place / "fifo") as (path, lines):
        pid = one.ask("spawn", **node(path, script))["pid"]
        rooted = int(read_line(lines))
        if how == "stopped":
            one.ask("signal", pid=pid, signal=int(signal.SIGTERM))
            assert one.exit_of(pid)["left"] == []
        else:
            one.hang_up()
            assert one.process.wait(SECONDS) == 0
        assert ended(rooted)


@pytest.mark.skipif(os.getuid() != 0, reason="makes another user's process")
@pytest.mark.parametrize("is_leader", (False, True))
def test_who_may_not_be_killed_is_named_and_all_else_goes_on(*, is_leader: bool, open_place: Path) -> None:
    helper = open_place / "setpriv"
    shutil.copy(shutil.which("setpriv") or "setpriv", helper)
    helper.chmod(0o4755)  # as sudo is
    as_root = f"{helper} --reuid 0 --regid 0 --clear-groups sleep 600"
    script = f"echo $$; exec {as_root}" if is_leader else f"{as_root} & echo $!; exec sleep 600"
    places = [open_place / "fifo", open_place / "other"]
    with guardian(NOBODY) as one, fifo(places[0]) as (path, lines), fifo(places[1]) as (other, _):
        neighbour = one.ask("spawn", **node(other, "exec sleep 600"))["pid"]
        pid = one.ask("spawn", **node(path, script))["pid"]
        rooted = int(read_line(lines))
        while Path(f"/proc/{rooted}/cmdline").read_bytes() != b"sleep\x00600\x00":
            time.sleep(0)
        named = f"process {rooted} (sleep 600) of root"
        try:
            reply = one.ask("signal", pid=pid, signal=int(signal.SIGTERM))
            if is_leader:
                assert reply["refused"] == named
            else:
                assert one.exit_of(pid)["left"] == [named]
            assert one.code_of("/bin/true") == 0
            one.ask("signal", pid=neighbour, signal=int(signal.SIGTERM))
            assert one.exit_of(neighbour)["signal"] == "SIGTERM"
            one.hang_up()
            assert one.process.wait(SECONDS) == 0
        finally:
            os.kill(rooted, signal.SIGKILL)


@pytest.mark.skipif(os.getuid() != 0, reason="makes another user's process")
def test_a_command_that_may_not_be_killed_is_answered_when_its_time_is_over(open_place: Path) -> None:
    helper = open_place / "setpriv"
    shutil.copy(shutil.which("setpriv") or "setpriv", helper)
    helper.chmod(0o4755)
    with guardian(NOBODY) as one:
        words = (str(helper), "--reuid", "0", "--regid", "0", "--clear-groups", "/bin/sleep", "600")
        reply = one.answer(one.run(*words, timeout=0.3))
        assert reply["timed_out"]
        (left,) = reply["left"]
        assert left.endswith(" of root")
        assert one.code_of("/bin/true") == 0
        os.kill(int(left.split()[1]), signal.SIGKILL)


_FORKING = """
import json, os, signal, socket, subprocess, sys
from lucy_core.helpers.helper import BOOT, own_pidfd
from lucy_core.helpers.server import Server
program, until, told, *arguments = sys.argv[1:]
ours, theirs = socket.socketpair()
with own_pidfd() as lucy:
    fds = (theirs.fileno(), lucy)
    subprocess.Popen([sys.executable, "-c", program, "", *map(str, fds)], pass_fds=fds)
theirs.close()
if os.fork() == 0:
    os.read(int(until), 1)  # a worker, which holds all that its parent had open
    os._exit(0)
ours.sendall(json.dumps({"op": "spawn", "id": 1, **json.loads(arguments[0])}).encode() + b"\\n")
os.write(int(told), ours.recv(1000))
signal.pause()
"""


def test_the_nodes_of_a_killed_lucy_end_while_a_process_that_she_forked_lives_on(tmp_path: Path) -> None:
    until, release = os.pipe()
    answer, told = os.pipe()
    with fifo(tmp_path / "fifo") as (path, _):
        words = (_PROGRAM, str(until), str(told), json.dumps(node(path, "exec sleep 600")))
        lucy = subprocess.Popen([sys.executable, "-c", _FORKING, *words], pass_fds=(until, told))
        try:
            pid = json.loads(read_line(answer))["pid"]
            lucy.kill()
            lucy.wait()
            assert ended(pid)
        finally:
            lucy.kill()
            for fd in (until, release, answer, told):
                os.close(fd)
