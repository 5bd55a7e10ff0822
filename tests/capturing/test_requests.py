"""What the capture process is asked: whatever it is told, it refuses in a sentence or does it, and goes on."""

import json
import os
import select
import stat
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from captures import capture_in, say
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lucy_core.capturing import requests
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.requests import Write
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import RecordingError


def words() -> tuple[str, ...]:
    """All that a capture can be asked."""
    with tempfile.TemporaryDirectory() as place, capture_in(Path(place)) as (capture, _):
        return tuple(capture._server._verbs)


WORDS = words()
NAMES = ("op", "id", "node", "nodes", "path", "address", "text", "fact", "more", "position")
odd = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(exclude_characters="/"), max_size=20),  # what a command makes stays in one directory
        st.sampled_from((*WORDS, *Fact, "a", "..", "../x", "", "a\0b", "\ud800", "x" * 300, 10**30, -1, 1 << 70)),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
commands = st.dictionaries(st.sampled_from(NAMES), odd, max_size=8) | st.fixed_dictionaries(
    {"op": st.sampled_from([word for word in WORDS if word != "close"])},
    optional={"id": st.integers(0, 99) | odd, **dict.fromkeys(NAMES[2:], odd)},
)
lines = st.one_of(
    st.binary(max_size=40), commands.map(lambda each: json.dumps(each).encode()), odd.map(repr).map(str.encode)
)


def asked(line: bytes) -> list[int]:
    """The id of the answer that a command wants, if it can have one."""
    try:
        number = json.loads(line)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [number] if type(number) is int and 0 <= number < 1 << 63 else []


@pytest.mark.blocking
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(st.lists(lines.filter(lambda line: b"\n" not in line), min_size=1, max_size=5))
def test_no_command_ends_the_capture_or_its_recording(tmp_path_factory: Any, said: list[bytes]) -> None:
    directory = tmp_path_factory.mktemp("run")
    here = os.getcwd()
    os.chdir(directory)  # a path of a command may be made
    try:
        with capture_in(directory) as (capture, ours):
            for line in said:
                if b'"close"' in line:
                    continue
                ours.sendall(line + b"\n")
                capture._serve_control(select.EPOLLIN)
                ours.setblocking(False)
                try:
                    replies = ours.recv(1 << 20).splitlines()
                except BlockingIOError:
                    replies = []
                numbers = [json.loads(reply)["id"] for reply in replies]
                assert [number for number in numbers if number is not None] == asked(line)
            ours.setblocking(True)
            ours.sendall(b'{"op":"write","id":7,"node":"b","bytes":3}\non\n')
            capture._serve_control(select.EPOLLIN)
            assert json.loads(ours.recv(1 << 20))["id"] == 7
    finally:
        os.chdir(here)
    rows = [json.loads(row) for row in (directory / "arrivals.ndjson").read_bytes().splitlines()]
    assert rows[-1]["node"] == "b"


@pytest.mark.parametrize(
    ("command", "reason"),
    (
        (b"garbage", "a command is a JSON object, and b'garbage' is none"),
        (b"[" * 10_000, "a command is a JSON object"),
        (b'{"op":"explode","id":1}', "no command is called 'explode'"),
        (b'{"op":["seen"]}', "no command is called"),
        (b'{"op":"drain","id":"one","node":"a"}', "a command's id is a number, and 'one' is none"),
        (b'{"op":"drain","node":"../../etc/passwd"}', "a node's name is text that a file can be called by"),
        (b'{"op":"drain"}', "'drain' needs 'node'"),
        (b'{"op":"seen","position":1e999}', "'seen' takes no position=inf: it is no whole number"),
        (b'{"op":"fifo","node":"a","path":"a\\u0000b"}', r"a path is text in UTF-8 without NUL: 'a\x00b' is none"),
        (b'{"op":"file","node":"a","path":"\\ud800"}', r"a path is text in UTF-8 without NUL"),
        (b'{"op":"listen","node":"a","address":["127.0.0.1",65536]}', "a port is a number below 65536"),
        (b'{"op":"listen","node":"a","address":["127.0.0.1",true]}', "a port is a number below 65536"),
        (b'{"op":"listen","node":"a","address":5}', "an address is a path, or a host and a port: 5 is neither"),
        (b'{"op":"listen","node":"a","address":[1,2,3]}', "an address is a path, or a host and a port"),
        (b'{"op":"listen","node":"a","address":"%b"}' % (b"x" * 108), "the path of a socket has 107 bytes at most"),
        (b'{"op":"shared_fifo","nodes":"ab","path":"p"}', "'shared_fifo' takes no nodes='ab': it is no list"),
        (b'{"op":"write","node":"a","bytes":4}\nhalf', "what is to be recorded is whole lines"),
        (b'{"op":"note","fact":"fun","node":"a","more":{}}', "'note' takes no fact='fun'"),
        (b'{"op":"note","fact":"way","node":"a","more":{"position":1}}', "a fact says nothing like {'position': 1}"),
        (b'{"op":"note","fact":"way","node":"a","more":{"reason":1}}', "a fact says nothing like {'reason': 1}"),
    ),
)
def test_what_can_not_be_is_refused_in_a_sentence(command: bytes, reason: str, tmp_path: Path) -> None:
    with capture_in(tmp_path) as (capture, ours):
        ours.sendall(command if b"half" in command else command + b"\n")
        (request,) = capture._server.receive() or ()
        error = capture._server.obey(request).error
    assert error is not None
    assert reason in error
    assert len(error) < 250


SPECIAL = {
    "a FIFO": os.mkfifo,
    "a directory": os.mkdir,
    "a socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
    "a device": lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(5, 0)),
}


@pytest.mark.anyio
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("recorded", (True, False))
async def test_a_file_that_is_none_is_refused_and_the_others_go_on(kind: str, recorded: bool, tmp_path: Path) -> None:
    if kind == "a device" and os.geteuid() != 0:
        pytest.skip("making a device needs root")
    SPECIAL[kind](tmp_path / "special")
    (tmp_path / "link").symlink_to("special")
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        for name in ("special", "link"):
            with anyio.fail_after(20), pytest.raises(RecordingError, match=f"{kind}, and only a regular file"):
                await pipeline.follow_file("a", tmp_path / name)
        if kind != "a FIFO":
            with pytest.raises(RecordingError, match="something is there that is no FIFO"):
                await pipeline.open_fifo("a", tmp_path / "special")
        log = tmp_path / "log"
        log.write_bytes(say(1))
        await pipeline.follow_file("b", log)
        await pipeline.reach(await pipeline.drain("b"))
        assert pipeline.ledger.of("b").lines == 1
        assert pipeline.ledger.complete


@pytest.mark.anyio
async def test_what_the_recording_itself_writes_is_not_followed(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        (tmp_path / "link").symlink_to("run")
        for path in ("run/logs/a.ndjson", "link/journal.ndjson", "run/arrivals.ndjson"):
            with pytest.raises(RecordingError, match="is the recording's own"):
                await pipeline.follow_file("a", tmp_path / path)
        (tmp_path / "run" / "a.log").touch()  # where a node's files are is its own matter
        await pipeline.follow_file("a", tmp_path / "run" / "a.log")


@pytest.mark.anyio
async def test_a_file_that_becomes_none_is_a_doubt(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(say(1))
    async with Pipeline.pass_through() as pipeline:
        await pipeline.follow_file("a", log)
        log.unlink()
        os.mkfifo(log)
        await pipeline.reach(await pipeline.drain("a"))
        (gap,) = pipeline.ledger.gaps
        assert "it is a FIFO" in gap.reason


@pytest.mark.anyio
@pytest.mark.parametrize("recorded", (True, False))
@pytest.mark.parametrize(
    "address", (5, ("127.0.0.1", 65536), ("127.0.0.1", -1), ("127.0.0.1", "80"), "a\0b", ("a\0b", 1))
)
async def test_an_address_that_is_none_is_refused_in_a_sentence(address: Any, recorded: bool, tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        with pytest.raises(RecordingError, match="is none|is neither"):
            await pipeline.listen("a", address)
        for path in (5, "a\0b", b"bytes"):
            with pytest.raises(RecordingError):
                await pipeline.follow_file("a", path)  # type: ignore[arg-type]
            with pytest.raises(RecordingError):
                await pipeline.open_fifo("a", path)  # type: ignore[arg-type]
        with pytest.raises(RecordingError, match="a node's name"):
            await pipeline.open_fifo("a/b", tmp_path / "fifo")
        await pipeline.open_fifo("a", tmp_path / "fifo")
        assert pipeline.ledger.complete


@pytest.mark.anyio
async def test_more_lines_at_once_than_a_channel_carries_are_refused_and_the_next_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "DATA_BYTES", 10)
    async with Pipeline.record(tmp_path / "run") as pipeline:
        with pytest.raises(RecordingError, match="at once has 10 bytes at most, not 11"):
            await pipeline.write("a", b"0123456789\n")
        await pipeline.write("a", b"012345678\n")
        assert await pipeline.drain("a") == 1


class Explode(NamedTuple):
    pass


@pytest.mark.anyio
async def test_what_could_not_be_written_down_as_told_is_a_doubt(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        with pytest.raises(RecordingError, match="whole lines in UTF-8"):
            pipeline.write_nowait("a", b"half")
        assert pipeline._capture is not None
        pipeline._capture.tell(Write("a", b"half"))
        await pipeline.reach(await pipeline.fence())
        with anyio.fail_after(20):
            while pipeline.ledger.complete:
                await anyio.sleep(0.001)
        pipeline._capture.tell(Explode())
        pipeline._capture._helper._send(b"garbage\0\xff\n")
        pipeline._capture.tell(Write("a", b"whole\n"))
        await pipeline.reach(await pipeline.drain("a"))
        (gap,) = pipeline.ledger.gaps
        assert gap.node == "a"
        assert pipeline.ledger.of("a").lines == 1
        assert gap.reason.startswith("capture could not do as it was told: 'write' takes no lines=b'half': what is to")


@pytest.mark.anyio
async def test_more_nodes_than_a_request_can_name_are_refused_and_the_next_goes_in(tmp_path: Path) -> None:
    async with Pipeline.record(tmp_path / "run") as pipeline:
        capture = pipeline._capture
        assert capture is not None
        with pytest.raises(RecordingError, match="capture refused shared_fifo: .*would take [0-9,]+ bytes"):
            await capture.ask(requests.SharedFifo(["x" * 240] * 80_000, str(tmp_path / "fifo")))
        await pipeline.write("a", say(1))
        assert pipeline.ledger.complete
