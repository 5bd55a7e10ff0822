"""A daemon whose stdout and stderr are told apart, under both forms of PID 1."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import final

import anyio
import pytest
from puppets import FORMS, Puppet, puppet

from lucy_core.errors import SupervisorError
from lucy_engines.supervisor.puppeteer import OFFLINE

pytestmark = pytest.mark.blocking


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
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


async def test_a_fifo_of_stderr_that_nobody_reads_is_a_sentence_and_the_other_is_let_go(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "unread")
    given = {"LUCY_STREAMS": "apart", "LUCY_STDERR_LOG": str(tmp_path / "unread")}
    async with puppet("python", tmp_path, "true", **given) as bp:
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
