"""A daemon whose stdout and stderr are told apart, under both forms of PID 1 and by each way that lines take."""

import fcntl
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import final

import anyio
import pytest
from puppets import FORMS, PYTHONS, Puppet, puppet, supervisor

from lucy_core.capturing.tagged import Demultiplexer, Piece
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import SupervisorError
from lucy_engines.supervisor.puppeteer import OFFLINE

pytestmark = pytest.mark.blocking


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    return request.param


@final
class Apart:
    """A running puppeteer, and the FIFO of its daemon's stderr."""

    def __init__(self, bp: Puppet, fifo: int) -> None:
        self.bp = bp
        self._fifo = fifo
        self.text = b""

    def complained(self) -> bytes:
        """Return all that is or was in it."""
        with suppress(BlockingIOError):
            self.text += os.read(self._fifo, 1 << 20)
        return self.text


@asynccontextmanager
async def apart(form: str, directory: Path, *argv: str, **environment: str) -> AsyncIterator[Apart]:
    path = directory / "errors"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    given = {"LUCY_STREAMS": "apart", "LUCY_STDERR_LOG": str(path), **environment}
    try:
        async with puppet(form, directory, *argv, **given) as bp:
            yield Apart(bp, reader)
    finally:
        os.close(reader)


async def test_the_daemons_two_streams_are_the_two_fifos_themselves(form: str, tmp_path: Path) -> None:
    show = "readlink /proc/self/fd/1; readlink /proc/self/fd/2 >&2; ls /proc/self/fd >&2"
    show += "; env | grep -cE 'LUCY_(STREAMS|STDERR)'"
    async with apart(form, tmp_path, "sh", "-c", show) as daemon:
        await daemon.bp.link.ask("start")
        await daemon.bp.until("exited")

        assert daemon.bp.unread().decode().split() == [str(tmp_path / "log"), "0"]
        # 3 is the directory that is listed: nothing else is handed down.
        assert daemon.complained().decode().split() == [str(tmp_path / "errors"), "0", "1", "2", "3"]


async def test_both_streams_have_all_once_the_daemon_has_ended_over_restarts_and_kills(
    form: str, tmp_path: Path
) -> None:
    script = "echo out; echo error >&2; trap 'echo bye; echo sorry >&2; exit 0' TERM; while :; do sleep 0.05; done"
    async with apart(form, tmp_path, "sh", "-c", script, LUCY_STOP_TO="daemon") as daemon:
        bp = daemon.bp
        await bp.link.ask("start")
        await bp.wrote(b"out\n")
        await bp.link.ask("stop", "20")
        assert bp.unread() == b"bye\n"
        assert daemon.complained() == b"error\nsorry\n"
        bp.text = daemon.text = b""

        await bp.link.ask("start")
        await bp.wrote(b"out\n")
        with anyio.fail_after(30):
            while daemon.complained() != b"error\n":
                await anyio.sleep(0.01)
        await bp.link.ask("kill")
        assert bp.unread() == b""
        assert daemon.complained() == b"error\n"
        assert (await bp.until("exited", 2)).signal == "SIGKILL"


@pytest.mark.parametrize("keep", ("", "level >= Warn"), ids=("direct", "filtered"))
async def test_a_fifo_of_stderr_that_nobody_reads_is_a_sentence_and_the_other_is_let_go(
    python: str, keep: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "unread")
    given = {"LUCY_STREAMS": "apart", "LUCY_STDERR_LOG": str(tmp_path / "unread"), "LUCY_CAPTURE_FILTER": keep}
    async with puppet(python, tmp_path, "true", **given) as bp:
        with pytest.raises(SupervisorError, match="nobody reads the log .*/unread"):
            await bp.link.ask("start")
        held = [os.readlink(each) for each in Path(f"/proc/{bp.process.pid}/fd").iterdir()]
        assert str(tmp_path / "log") not in held


async def test_of_an_unattended_daemon_that_is_killed_no_half_line_of_either_stream_grows_together_with_the_next(
    form: str, tmp_path: Path
) -> None:
    script = "printf half; printf 'half error' >&2; kill -9 $$"
    async with apart(form, tmp_path, "sh", "-c", script, LUCY_AUTOSTART="1") as daemon:
        await daemon.bp.link.aclose()
        await daemon.bp.end()

        lines = (await daemon.bp.wrote(OFFLINE.encode())).decode().splitlines()
        assert lines[0] == "half"
        assert '"node_exited"' in lines[1]
        assert daemon.complained() == b"half error\n"


# --- through a relay ------------------------------------------------------------------------------------------------

COUNT = """
import sys
for number in range(20000):
    print(number, "x" * (number % 400))
    print(-number, file=sys.stderr)
sys.stderr.write("half error")
sys.stdout.write("half")
"""
COUNTING = (PYTHONS["python"], "-c", COUNT)
OUT = b"".join(b"%d %b\n" % (number, b"x" * (number % 400)) for number in range(20_000)) + b"half"
ERRORS = b"".join(b"%d\n" % -number for number in range(20_000)) + b"half error"


async def test_a_filter_leaves_lines_out_of_each_stream(python: str, tmp_path: Path) -> None:
    say = """echo '{"level":"Spam"}'; echo kept; echo '{"level":"Spam"}' >&2; printf 'half error' >&2"""
    async with apart(python, tmp_path, "sh", "-c", say, LUCY_CAPTURE_FILTER="level >= Warn") as daemon:
        await daemon.bp.link.ask("start")
        await daemon.bp.until("exited")

        assert daemon.bp.unread() == b"kept\n"
        assert daemon.complained() == b"half error"
        # Said at the end, and once a second before it: a line of one stream may be told of before the other's.
        assert sum(event.lines for event in daemon.bp.heard("filtered")) == 2


async def test_on_a_shared_pipe_the_lines_of_each_stream_are_tagged_and_numbered_over_restarts(
    python: str, tmp_path: Path
) -> None:
    split, said = Demultiplexer(["bp/stdout", "bp/stderr"]), []
    script = "echo out; echo error >&2; printf half >&2"
    async with apart(python, tmp_path, "sh", "-c", script, LUCY_NODE="bp", LUCY_CAPTURE="shared") as daemon:
        for life in (1, 2):
            await daemon.bp.link.ask("start")
            await daemon.bp.until("exited", life)
            said += split.feed(daemon.bp.unread())

    assert all_of(said, "bp/stdout") == b"out\nout\n"
    assert all_of(said, "bp/stderr") == b"error\nhalferror\nhalf"
    assert sum(piece.lost + piece.duplicates + piece.torn for piece in said) == 0


def all_of(pieces: list[Piece], name: str) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.node == name)


async def test_over_tcp_each_stream_has_a_connection_of_its_own(python: str, tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        ports = [(await pipeline.listen_resumably("bp", "127.0.0.1", source=name))[1] for name in ("stdout", "stderr")]
        given = {
            "LUCY_CAPTURE": "tcp",
            "LUCY_ADDRESS": f"127.0.0.1:{ports[0]}",
            "LUCY_STDERR_ADDRESS": f"127.0.0.1:{ports[1]}",
            "LUCY_TOKEN": pipeline.token,
            "LUCY_NODE": "bp",
        }
        async with apart(python, tmp_path, *COUNTING, **given) as daemon:
            await daemon.bp.link.ask("start")
            end = await daemon.bp.until("exited")
        await pipeline.drain("bp", ended=True)

        assert end.lost == 0
        assert (tmp_path / "run/logs/bp/stdout.ndjson").read_bytes() == OUT
        assert (tmp_path / "run/logs/bp/stderr.ndjson").read_bytes() == ERRORS


def through_the_engine(directory: Path, **more: str) -> dict[str, str]:
    own = {"LUCY_CAPTURE": "engine", "LUCY_TOKEN": "t0", "LUCY_NODE": "bp", "LUCY_AUTOSTART": "1"}
    return {**os.environ, **own, "LUCY_ACTIVE_FILE": f"{directory}/active", **more}


def test_through_the_engine_lines_come_tagged_before_the_mark(python: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [*supervisor(python, tmp_path), "--", *COUNTING],
        env=through_the_engine(tmp_path, LUCY_STREAMS="apart"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )

    said = Demultiplexer(["bp/stdout", "bp/stderr"]).feed(ended.stderr.partition(b"\x1eLUCY t0 1\n")[0])
    assert all_of(said, "bp/stdout") == OUT
    assert all_of(said, "bp/stderr") == ERRORS
    assert sum(piece.lost + piece.duplicates + piece.torn for piece in said) == 0


def test_a_mark_waits_for_room_behind_lines_that_fill_the_engines_pipe(python: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    script = f"head -c 4096 /dev/zero | tr '\\0' '\\n'; touch {tmp_path}/done"
    process = subprocess.Popen(
        [*supervisor(python, tmp_path), "--", "sh", "-c", script],
        env=through_the_engine(tmp_path, LUCY_CAPTURE_FILTER="level >= Warn"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=writer,
    )
    os.close(writer)
    try:
        # It has ended, as far as its puppeteer can tell, before anybody reads.
        while process.poll() is None and (not (tmp_path / "done").exists() or (tmp_path / "active").exists()):
            pass
        with open(reader, "rb") as pipe:
            text = pipe.read()
    finally:
        process.wait(30)

    assert re.match(rb"\n{4096}\x1eLUCY t0 1\n", text)


async def test_the_shell_form_refuses_streams_apart_through_the_engine(tmp_path: Path) -> None:
    async with apart("dash", tmp_path, "true", LUCY_CAPTURE="engine") as daemon:
        reason = r"no Python 3\.7 or newer, which capture by engine needs to tell stdout and stderr apart"
        with pytest.raises(SupervisorError, match=reason):
            await daemon.bp.link.ask("start")
