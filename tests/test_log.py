"""Lucy's own log: where it goes, how short it is, and that it is in nobody's way."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import structlog.testing

from lucy_core import log


@pytest.fixture(autouse=True)
def _configuration() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    log._Wanted.frames = False


def slip(secret: str) -> None:
    raise ValueError(f"no {len(secret)}")


def raised() -> Exception:
    try:
        slip("a secret of eleven letters"[:11])
    except ValueError as error:
        return error


def test_without_a_configuration_a_line_goes_to_stderr_and_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()

    log.error("subscriber cut off", raised(), reason="a subscriber raised ValueError: \x1b[2J")
    log.warning("can't be written")

    out, err = capsys.readouterr()
    assert out == ""
    place = f"{__file__}:{slip.__code__.co_firstlineno + 1} in slip"
    assert err.splitlines() == [
        rf"lucy: error: subscriber cut off: reason a subscriber raised ValueError: \x1b[2J, at {place}",
        "lucy: warning: can't be written",
    ]


def test_frames_come_where_they_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    log.show_frames()

    log.error("subscriber cut off", raised())

    assert "Traceback" in capsys.readouterr().err


def test_whoever_configured_structlog_has_lines_his_way() -> None:
    mine = io.StringIO()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory(mine)
    )

    log.error("subscriber cut off", raised(), reason="it raised")

    assert '"event": "subscriber cut off"' in mine.getvalue()
    assert "Traceback" not in mine.getvalue()
    assert "exc_info" not in mine.getvalue()


def test_whoever_said_only_how_lines_look_does_not_get_them_among_his_data(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])

    log.warning("can't be written")

    out, err = capsys.readouterr()
    assert (out, err) == ("", '{"event": "can\'t be written"}\n')


def test_captured_logs_hold_lucys_too(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as entries:
        log.warning("can't be written", file="result.json")

    assert entries == [{"event": "can't be written", "file": "result.json", "log_level": "warning"}]
    log.warning("can't be written")
    assert capsys.readouterr().err == "lucy: warning: can't be written\n", "capturing is no configuration"


class Gone(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stderr", (Gone(), None))
def test_a_line_that_can_not_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch, stderr: Gone | None) -> None:
    structlog.reset_defaults()
    monkeypatch.setattr(sys, "stderr", stderr)

    log.error("subscriber cut off", raised())


def test_neither_does_a_processor_that_raises() -> None:
    def refuse(*_: object) -> str:
        raise RuntimeError("no")

    structlog.configure(processors=[refuse])

    log.warning("can't be written")


# A script of a user's, in which one subscriber of two raises.
SCRIPT = """
import sys, anyio
from lucy_core import Pipeline

async def main(directory):
    seen = []
    async with Pipeline.record(directory) as pipeline:
        pipeline.records().subscribe(lambda event: 1 / 0)
        pipeline.records().subscribe(lambda event: seen.append(event.data.text))
        for number in range(3):
            pipeline.write_nowait("a", b'{"message":"%d"}\\n' % number)
            await pipeline.reach(await pipeline.drain("a"))
    with open(f"{directory}/seen", "w") as file:
        file.write(" ".join(seen))

anyio.run(main, sys.argv[1])
"""


@pytest.mark.blocking
def test_a_script_whose_reader_is_gone_delivers_to_the_others_all_the_same(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, tmp_path / "run"], stdout=writer, stderr=writer, timeout=60, check=False
        )
    finally:
        os.close(writer)

    assert (tmp_path / "run" / "seen").read_text() == "0 1 2"
    assert done.returncode == 0
