"""`lucy tail`, run as people run it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import REPOSITORY

LUCY = (sys.executable, "-m", "lucy_core.executive", "tail")
ZAP = b'{"level":"warn","ts":1796112000.5,"msg":"slow disk","took":"1s"}\n'
ERROR = b'{"level":"error","msg":"boom"}\n'
INFO = b'{"level":"info","msg":"started"}\n'
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `lucy tail` with some arguments, in a directory of its own."""
    started: list[subprocess.Popen[bytes]] = []
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def start(*words: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*LUCY, *words], cwd=tmp_path, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=False
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


Tail = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tail(start: Start) -> Tail:
    """Runs it to its end; returns its exit code and what it wrote."""

    def tail(*words: str, given: bytes = b"") -> tuple[int, str, str]:
        process = start(*words)
        out, err = process.communicate(given, timeout=60)
        return process.returncode, out.decode(), err.decode()

    return tail


@pytest.fixture
def endless() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Kills what would have no end, so that a broken test has one."""
    timers: list[threading.Timer] = []

    def limit(process: subprocess.Popen[bytes]) -> None:
        timers.append(threading.Timer(60, process.kill))
        timers[-1].start()

    yield limit
    for timer in timers:
        timer.cancel()
        timer.join()


def test_lines_are_shown_by_what_each_is(tail: Tail, tmp_path: Path) -> None:
    (tmp_path / "api.log").write_bytes(ZAP + b"a plain line\n" + b'{"broken\n' + b"the last has no newline")

    code, out, err = tail("api.log")

    assert out.splitlines() == [
        "2026-12-01 08:00:00.500+00:00 warn slow disk took=1s",
        "a plain line",
        '{"broken',
        "the last has no newline",
    ]
    assert err.startswith("lucy: 1 line couldn't be read, the first of api.log: ")
    assert code == 0


def test_a_named_format_reads_every_line(tail: Tail, tmp_path: Path) -> None:
    (tmp_path / "api.log").write_bytes(ERROR)

    assert tail("api.log", "--format", "logfmt")[:2] == (0, ERROR.decode())


def test_several_files_are_told_apart(tail: Tail, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(INFO + ERROR)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/a.log").write_bytes(INFO)

    code, out, _ = tail("a.log", "b/a.log", "-", given=ERROR)

    assert sorted(out.splitlines()) == [
        "a.log: error boom",
        "a.log: info started",
        "b/a.log: info started",
        "stdin: error boom",
    ]
    assert out.index("a.log: info") < out.index("a.log: error")
    assert code == 0


TRACE = b"Traceback (most recent call last):\n  File x, line 1\nKeyError: 'a'\n"


def test_a_level_chooses_with_what_goes_on_and_says_what_nobody_can_judge(tail: Tail, tmp_path: Path) -> None:
    (tmp_path / "api.log").write_bytes(INFO + b"  of which more is said\n" + ERROR + TRACE + b"who knows\n")

    code, out, err = tail("api.log", "--level", "Warn")

    assert out.encode() == b"error boom\n" + TRACE
    assert err == "lucy: --level left out 1 line of which nobody can say how much it matters\n"
    assert code == 0


def test_a_filter_chooses_by_any_field(tail: Tail, tmp_path: Path) -> None:
    (tmp_path / "api.log").write_bytes(INFO + ZAP + b"level=info msg=logfmt took=1s\n")

    assert tail("api.log", "--filter", '.took == "1s" && level < Warn')[1] == "info logfmt took=1s\n"


def test_json_gives_each_line_as_an_object(tail: Tail, tmp_path: Path) -> None:
    (tmp_path / "api.log").write_bytes(ZAP + b"plain\n" + b'{"broken\n')

    code, out, _ = tail("api.log", "--json")

    assert [json.loads(line) for line in out.splitlines()] == [
        {
            "file": "api.log",
            "time": "2026-12-01T08:00:00.500000Z",
            "severity": "WARN",
            "level": "warn",
            "text": "slow disk",
            "fields": {"took": "1s"},
        },
        {"file": "api.log", "text": "plain"},
        {"file": "api.log", "unreadable": '{"broken'},
    ]
    assert code == 0


@pytest.mark.parametrize("form", ((), ("--json",)))
def test_nothing_in_a_line_drives_a_terminal(tail: Tail, tmp_path: Path, form: tuple[str, ...]) -> None:
    (tmp_path / "api.log").write_bytes(b"\x1b]0;title\x07\xff\xe2\x80\xae\n" + b'{"msg":"\\u001b[2J"}\n{\x1b\n')

    _, out, err = tail("api.log", *form)

    assert not set(out + err) & {"\x1b", "\x07", "\u202e", "\udcff"}
    assert out.isascii()


def test_a_long_file_is_shown_whole(tail: Tail, tmp_path: Path) -> None:
    data = b"".join(b"line %d\n" % number for number in range(60_000))
    (tmp_path / "api.log").write_bytes(data)

    assert tail("api.log")[1].encode() == data


def test_a_named_pipe_is_shown_up_to_the_end_of_its_writers(
    start: Start, tmp_path: Path, endless: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    process = start("pipe")
    endless(process)
    (tmp_path / "pipe").write_bytes(ERROR)

    assert process.communicate(timeout=60)[0] == b"error boom\n"
    assert process.returncode == 0


def test_follow_shows_what_comes_until_it_is_interrupted(
    start: Start, tmp_path: Path, endless: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    log = tmp_path / "api.log"
    log.write_bytes(INFO)
    process = start("--follow", "api.log")
    endless(process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"info started\n"
    with log.open("ab") as more:
        more.write(ERROR)
    assert process.stdout.readline() == b"error boom\n"
    log.rename(tmp_path / "api.log.1")
    log.write_bytes(b"after a rotation\n")
    assert process.stdout.readline() == b"after a rotation\n"

    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0


def test_follow_waits_for_the_next_writer_of_a_pipe_and_ends_with_stdin(
    start: Start, tail: Tail, tmp_path: Path, endless: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    process = start("--follow", "pipe")
    endless(process)
    assert process.stdout is not None
    for _ in range(2):
        (tmp_path / "pipe").write_bytes(ERROR)
        assert process.stdout.readline() == b"error boom\n"

    assert tail("--follow", "-", given=INFO)[:2] == (0, "info started\n")


def test_a_reading_that_is_cut_short_is_interrupted(
    start: Start, endless: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    process = start("-")
    endless(process)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(INFO)
    process.stdin.flush()
    assert process.stdout.readline() == b"info started\n"

    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 130


@pytest.mark.parametrize("follow", ((), ("--follow",)))
def test_a_reader_that_leaves_ends_it_and_is_no_error(
    start: Start, tmp_path: Path, follow: tuple[str, ...], endless: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    (tmp_path / "api.log").write_bytes(INFO * (1 if follow else 100_000))
    process = start("api.log", *follow)
    endless(process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"info started\n"

    process.stdout.close()

    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("words", "complaint"),
    (
        (("nowhere.log",), "'nowhere.log' can't be read: No such file or directory"),
        (("nowhere.log", "--follow"), "'nowhere.log' can't be read: No such file or directory"),
        (("api.log", "."), "'.' is a directory; name the files in it"),
        (("api.log", "--level", "loud"), "--level 'loud' is none; give trace, debug"),
        (("api.log", "--format", "jsno"), "no format is called 'jsno'; did you mean json?"),
        (("api.log", "--filter", "level >="), "--filter: the filter 'level >=' can't be used: column 9"),
        (("-", "-"), "'-' is given twice, and stdin can be read once; leave one out"),
        ((), "the following arguments are required: FILE"),
        (("",), "is an empty path; give one"),
    ),
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    tail: Tail, tmp_path: Path, words: tuple[str, ...], complaint: str
) -> None:
    (tmp_path / "api.log").write_bytes(INFO)

    code, out, err = tail(*words)

    assert (code, out) == (2, "")
    assert complaint in err
    assert "Traceback" not in err
