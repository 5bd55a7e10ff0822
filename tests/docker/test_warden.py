"""The warden alone: what it is told, and whom it watches. What it does to containers is in `test_docker_faults`."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lucy_core.helpers.helper import BOOT, own_pidfd

WARDEN = "lucy_engines.docker.faults.warden"
PATIENCE = 60


@final
class BareWarden:
    """The program, spoken to without its client, on an Engine that isn't there."""

    def __init__(self, place: Path) -> None:
        self.control, theirs = socket.socketpair()
        with theirs, own_pidfd() as lucy:
            descriptors = (theirs.fileno(), lucy)
            arguments = (*map(str, descriptors), f"unix://{place}/nobody", "LUCY-test")
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", BOOT, WARDEN, *arguments], pass_fds=descriptors
            )
        self._words = self.control.makefile("rb")

    def say(self, *lines: bytes) -> None:
        self.control.sendall(b"".join(line + b"\n" for line in lines))

    def hear(self, number: int) -> dict[str, Any]:
        while True:
            told = json.loads(self._words.readline())
            if told.get("id") == number and type(told["id"]) is int:
                return told

    def end(self) -> None:
        self._words.close()
        self.control.close()
        assert self.process.wait(PATIENCE) == 0


@pytest.fixture(scope="module")
def warden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareWarden]:
    warden = BareWarden(tmp_path_factory.mktemp("warden"))
    yield warden
    warden.end()


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.sampled_from(("", "a", "\0", "\ud800", "Pause", "ClockOffset", "MemoryLimit")),
    st.lists(st.sampled_from(("a", 1, None)), max_size=2),
    st.dictionaries(st.sampled_from(("a", "seconds", "bytes")), st.none() | st.just({"container": "x"}), max_size=2),
)
NAMES = ("id", "number", "kind", "nodes", "others", "amounts", "lasting", "places")
FITTING = {
    "id": st.integers(),
    "number": st.integers(),
    "kind": st.sampled_from(("Pause", "ClockOffset", "CpuLimit", "Disconnect")),
    "nodes": st.just(["a"]),
    "others": st.just([]),
    "amounts": st.just({}),
    "lasting": st.floats(),
    "places": st.just({"a": {"container": "x"}}),
}
COMMANDS = st.fixed_dictionaries(
    {"op": st.sampled_from(("inject", "revert")) | ODD}, optional={name: ODD | FITTING[name] for name in NAMES}
).map(lambda command: json.dumps(command).encode())
LINES = st.lists(COMMANDS | ODD.map(lambda odd: json.dumps(odd).encode()) | st.binary(max_size=40), max_size=10)


@given(LINES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_no_command_ends_the_warden(warden: BareWarden, lines: list[bytes]) -> None:
    warden.say(*lines, b'{"id": 77777, "op": "revert", "number": "none"}')

    assert "none" in warden.hear(77777)["error"]


def test_each_command_that_makes_no_sense_is_answered_by_what_is_wrong_with_it(warden: BareWarden) -> None:
    pause = {"op": "inject", "kind": "Pause", "nodes": ["a"], "others": [], "amounts": {}, "places": {}}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"op": "dance"}, "no command is called 'dance'"),
        ({"op": "revert", "number": 1}, "no fault has the number 1"),
        ({**pause, "lasting": 1}, "'inject' needs 'number'"),
        ({**pause, "number": 1, "lasting": float("nan")}, "'inject' takes no lasting=nan: it is no length of time"),
        ({**pause, "number": 1, "lasting": 1}, "nobody has said where a is"),
    ]

    warden.say(*(json.dumps({**command, "id": number}).encode() for number, (command, _) in enumerate(wrong)))

    answers = [warden.hear(number)["error"] for number in range(len(wrong))]
    assert [answer for answer, (_, said) in zip(answers, wrong, strict=True) if not answer.startswith(said)] == []


# A Lucy that starts a warden, forks, as a pool of processes does, and is killed.
FORKED = """
import os, signal, sys, time
from lucy_core.helpers.helper import Helper
warden = Helper("the warden", *sys.argv[1:])
child = os.fork()
if child == 0:
    time.sleep(600)
print(warden.pid, child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_warden_ends_with_its_lucy_though_what_she_forked_lives_on(tmp_path: Path) -> None:
    words = [WARDEN, f"unix://{tmp_path}/nobody", "LUCY-test"]
    with subprocess.Popen([sys.executable, "-c", FORKED, *words], stdout=subprocess.PIPE) as lucy:
        assert lucy.stdout is not None
        pid, child = map(int, lucy.stdout.readline().split())
        pidfd = os.pidfd_open(pid)
    try:
        assert lucy.returncode == -signal.SIGKILL
        assert select.select([pidfd], [], [], PATIENCE)[0]
        assert Path(f"/proc/{child}").exists()
    finally:
        os.close(pidfd)
        os.kill(child, signal.SIGKILL)
