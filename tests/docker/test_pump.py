"""The pump alone: what it is told, whom it watches, how its end is told. What it carries is in `test_relay`."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import pytest
from helper_processes import ended, pumping
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lucy_core.errors import CarrierDiedError
from lucy_core.helpers.helper import BOOT, own_pidfd
from lucy_engines.docker.api.endpoint import Endpoint
from lucy_engines.docker.run.marks import MarkFinder
from lucy_engines.docker.run.pump import Fifo

pytestmark = pytest.mark.blocking
PATIENCE = 60


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@final
class BarePump:
    """The program, spoken to without its client."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._control.settimeout(PATIENCE)
        with theirs, own_pidfd() as lucy:
            words = [str(theirs.fileno()), str(lucy)]
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", BOOT, "lucy_engines.docker.run.pump", *words],
                pass_fds=(theirs.fileno(), lucy),
            )
        self._said = self._control.makefile("rb")

    def say(self, *lines: bytes) -> None:
        self._control.sendall(b"\n".join(lines) + b"\n")

    def hear(self, number: int) -> dict[str, Any]:
        """Return the answer of this number; unasked words and answers to what had none are passed over."""
        while True:
            message = json.loads(self._said.readline())
            if message.get("id") == number and type(message["id"]) is int:
                return message

    def end(self) -> None:
        self._said.close()
        self._control.close()
        assert self.process.wait(PATIENCE) == 0


@pytest.fixture(scope="module")
def pump() -> Iterator[BarePump]:
    pump = BarePump()
    yield pump
    pump.end()


# --- commands -------------------------------------------------------------------------------------------------------

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from(("", "a", "\0", "\ud800", "/", "/dev/null", "127.0.0.1", "x" * 5000)),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)
NAMES = ("id", "node", "fifo", "host", "token", "container")
COMMANDS = st.fixed_dictionaries(
    {"op": st.just("carry") | ODD},
    optional=dict.fromkeys(NAMES, ODD),
).map(lambda command: json.dumps(command).encode())
LINES = st.lists(COMMANDS | ODD.map(lambda odd: json.dumps(odd).encode()) | st.binary(max_size=40), max_size=20)


@given(LINES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_no_command_ends_the_pump(pump: BarePump, lines: list[bytes]) -> None:
    pump.say(*lines, b'{"id": 77777, "op": "carry", "host": "tcp://nowhere.invalid:x"}')

    assert "error" in pump.hear(77777)


def test_each_command_that_makes_no_sense_is_answered_by_what_is_wrong_with_it(pump: BarePump) -> None:
    wrong = {
        b'{"id": 1, "op": "dance"}': "no command is called 'dance'",
        b'{"id": 2, "op": "carry", "node": "z"}': "'carry' needs 'fifo'",
        b'{"id": 3, "op": "carry", "node": 7}': "'carry' takes no node=7: it is no text",
        b'{"id": 4, "op": "carry", "node": "z", "fifo": "f", "token": "t", "container": "c", "host": "unix:///x"}': (
            "No such file or directory"
        ),
        b'{"id": 5, "op": "carry", "node": "z", "fifo": "f", "token": "t", "container": "c", "host": "nowhere"}': (
            "'nowhere' is no way to an Engine that Lucy knows; give unix:///path, tcp://host:port or https://host:port"
        ),
    }

    pump.say(*wrong)

    assert [pump.hear(number)["error"] for number in range(1, 6)] == list(wrong.values())


# --- what containers may write --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", (b"nonsense\n", b"\n", b"9" * 500 + b"\n", b"-1\n", b"12"))
def test_a_mark_that_a_node_made_up_is_a_nodes_bytes(rest: bytes) -> None:
    finder, text = MarkFinder("t"), b"before\x1eLUCY t " + rest

    found = [*finder.feed(text), finder.flush()]

    assert b"".join(part for part in found if isinstance(part, bytes)) == text
    assert MarkFinder("t").feed(b"a\x1eLUCY t 12\nb") == [b"a", 12, b"b"]


def test_a_fifo_that_nobody_reads_any_more_costs_its_bytes_and_says_why(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink = Fifo(str(fifo))
    os.close(reader)
    done: list[str] = []
    sink.queue.extend((b"lost", lambda: done.append("acknowledged"), b"lost too"))

    assert sink.flush()

    assert (done, sink.failure, len(sink.queue)) == (["acknowledged"], "Broken pipe", 0)
    os.close(sink.fd)


# --- its end --------------------------------------------------------------------------------------------------------


async def test_a_pump_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    async with pumping() as pump:
        os.write(pump._helper._words.fileno(), b"Traceback ...\nMemoryError: no room\n")
        os.kill(pump._helper.pid, signal.SIGKILL)

        with pytest.raises(CarrierDiedError, match=r"SIGKILL \(process \d+\); its last words: MemoryError: no room"):
            await pump.carry("a", tmp_path / "fifo", Endpoint("unix:///nowhere"), "c", "t")


# A Lucy that starts a pump, forks, as a pool of processes does, and is killed.
FORKED = """
import os, signal, sys, time
from lucy_engines.docker.run.pump_client import PumpClient
pump = PumpClient()
child = os.fork()
if child == 0:
    time.sleep(600)
print(pump._helper.pid, child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_pump_ends_with_its_lucy_though_what_she_forked_lives_on() -> None:
    with subprocess.Popen([sys.executable, "-c", FORKED], stdout=subprocess.PIPE) as lucy:
        assert lucy.stdout is not None
        pump, child = map(int, lucy.stdout.readline().split())
    try:
        assert lucy.returncode == -signal.SIGKILL
        assert ended(pump)
        assert Path(f"/proc/{child}").exists()
    finally:
        os.kill(child, signal.SIGKILL)
