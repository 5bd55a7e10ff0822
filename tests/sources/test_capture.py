"""`capture`: sources of every kind as one pipeline, in a loop that runs already, and nothing left of them."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from captures import say, write

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.sources.capture import capture
from lucy_core.sources.source import Source, fifo, file, journald, process
from lucy_core.sources.source import socket as socket_source

pytestmark = pytest.mark.anyio


@pytest.fixture(params=(False, True), ids=("passing through", "recorded"))
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "run" if request.param else None


async def texts(pipeline: Pipeline, *, nodes: str | None = None) -> list[str]:
    """Every record's text up to the end of the stream."""
    since = None if pipeline.directory is None else 0
    with anyio.fail_after(20):
        async with pipeline.records(nodes=nodes, since=since).aiter() as records:
            return [each.data.text async for each in records]


async def some(pipeline: Pipeline, count: int) -> list[lucy.Event[lucy.Record]]:
    """The first records."""
    since = None if pipeline.directory is None else 0
    with anyio.fail_after(20):
        async with pipeline.records(since=since).aiter() as records:
            return [await anext(records) for _ in range(count)]


async def first(pipeline: Pipeline, text: str) -> None:
    since = None if pipeline.directory is None else 0
    await pipeline.records(since=since).filter(lambda each: each.data.text == text).first(within=20)


@asynccontextmanager
async def lives(pipeline: Pipeline) -> AsyncIterator[list[Any]]:
    """What the journal says of processes."""
    found: list[Any] = []
    kinds = (lucy.NodeExited, lucy.NodeStopped)
    pipeline.events(*kinds, since=None if pipeline.directory is None else 0).subscribe(
        lambda each: found.append(each.data)
    )
    yield found


async def until_gone(pid: int) -> None:
    """Wait for a process that was killed; whoever is to wait for an orphan may never do so."""
    with anyio.fail_after(20):
        while is_running(pid):
            await anyio.sleep(0.005)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- the kinds of sources -------------------------------------------------------------------------------------------


async def test_a_process_gives_both_of_its_outputs_and_its_exit_and_then_everything_ends(
    directory: Path | None,
) -> None:
    program = """echo out; echo err >&2; printf unfinished; exit 3"""
    async with capture(a=process("sh", "-c", program), directory=directory) as pipeline, lives(pipeline) as said:
        assert sorted(await texts(pipeline)) == ["err", "out"]
        assert pipeline.ledger.of("a").lines == 3
        (exited,) = said
        assert (exited.node, exited.code, exited.how) == ("a", 3, "exited with code 3")


async def test_a_recording_says_first_that_a_process_was_started(tmp_path: Path) -> None:
    async with capture(a=process("echo", "one"), directory=tmp_path / "run") as pipeline:
        assert await texts(pipeline) == ["one"]
        (started,) = await pipeline.so_far(lucy.NodeStarted)
        (line,) = await pipeline.so_far(nodes="a")
        assert started.data == lucy.NodeStarted("a")
        assert started.position < line.position
    with pytest.raises(lucy.UnknownProgramError):
        async with capture(a=process("no-such-program"), directory=tmp_path / "other"):
            pass
    async with Pipeline.replay(tmp_path / "other") as pipeline:
        (failed,) = await pipeline.so_far(lucy.NodeStartFailed)
        assert "no-such-program" in failed.data.reason


async def test_an_exit_comes_behind_all_lines_of_its_node(directory: Path | None) -> None:
    async with capture(a=process("sh", "-c", "seq 20000"), directory=directory) as pipeline:
        since = None if directory is None else 0
        numbers: list[str] = []
        pipeline.records(nodes="a", since=since).subscribe(lambda each: numbers.append(each.data.text))
        exited = await pipeline.events(lucy.NodeExited, since=since).first(within=20)
        assert numbers == [str(number) for number in range(1, 20001)]
        assert exited.position >= 20000


async def test_half_a_line_on_one_output_is_not_torn_by_the_other(directory: Path | None) -> None:
    program = "printf 'one '; echo two >&2; echo three"
    async with capture(a=process("sh", "-c", program), directory=directory) as pipeline:
        assert sorted(await texts(pipeline)) == ["one three", "two"]


async def test_a_process_gets_its_arguments_directory_and_variables(tmp_path: Path) -> None:
    given = process("sh", "-c", 'echo "$0 $COLOUR $(pwd)"', "first", directory=tmp_path, environment={"COLOUR": "blue"})
    async with capture(a=given) as pipeline:
        assert await texts(pipeline) == [f"first blue {tmp_path}"]


async def test_a_file_is_read_and_followed_from_its_beginning(directory: Path | None, tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_bytes(say("before"))
    async with capture(a=log, directory=directory) as pipeline:
        since = None if directory is None else 0
        async with pipeline.records(since=since).aiter() as records, asyncio.timeout(20):
            assert (await anext(records)).data.text == "before"
            with log.open("ab") as more:
                more.write(say("after"))
            assert (await anext(records)).data.text == "after"


async def test_a_file_that_is_read_once_ends(directory: Path | None, tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_bytes(b"".join(say(number) for number in range(50_000)))
    async with capture(a=file(log, follow=False), directory=directory) as pipeline:
        assert await texts(pipeline) == [str(number) for number in range(50_000)]


async def test_a_node_ends_with_the_last_of_its_sources(directory: Path | None, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(say("of the file"))
    sources = {
        "a": (file(tmp_path / "a.log", follow=False), process("sh", "-c", "echo of the process")),
        "b": process("sleep", "600"),
    }
    async with capture(sources, directory=directory) as pipeline:
        assert sorted(await texts(pipeline, nodes="a")) == ["of the file", "of the process"]
        assert not pipeline.ended


async def test_a_fifo_is_made_and_removed_and_one_that_was_there_stays(directory: Path | None, tmp_path: Path) -> None:
    there = tmp_path / "there"
    os.mkfifo(there)
    made = tmp_path / "made"
    async with capture(a=there, b=fifo(made), directory=directory) as pipeline:
        since = None if directory is None else 0
        async with pipeline.records(since=since).aiter() as records, asyncio.timeout(20):
            for place, text in ((there, "one"), (made, "two")):
                await write(place, say(text))
                assert (await anext(records)).data.text == text
    assert there.is_fifo()
    assert not made.exists()


async def test_a_socket_takes_lines(directory: Path | None, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with capture(a=socket_source(path), directory=directory) as pipeline:

        def speak() -> None:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(path)
                peer.sendall(say("spoken"))

        await anyio.to_thread.run_sync(speak)
        await first(pipeline, "spoken")
    assert not os.path.lexists(path)


JOURNALCTL = """#!/bin/sh
# A stand-in for journalctl: there is no systemd where these tests run.
echo "called with $*"
echo '{"MESSAGE":"raft: elected","PRIORITY":"4","__REALTIME_TIMESTAMP":"1796112000000000"}'
exec sleep 600
"""


@pytest.fixture
def standin_journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    program.write_text(JOURNALCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


async def test_the_systemd_journal_is_followed_as_json(directory: Path | None, standin_journalctl: None) -> None:
    async with capture(j=journald("etcd.service", lines=5), directory=directory) as pipeline:
        since = None if directory is None else 0
        async with pipeline.records(since=since).aiter() as records, asyncio.timeout(20):
            called = (await anext(records)).data.text
            assert called == "called with --follow --output=json --lines=5 --no-pager --unit=etcd.service"
            entry = (await anext(records)).data
            assert (entry.text, entry.severity) == ("raft: elected", lucy.Severity.WARN)
            assert entry.time == datetime(2026, 12, 1, 8, tzinfo=UTC)


async def test_without_journalctl_the_journal_is_refused_by_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(lucy.UnknownProgramError, match="no program 'journalctl'; install it"):
        async with capture(j=journald()):
            pass


async def test_each_source_is_read_in_its_format(directory: Path | None) -> None:
    said = """echo '{"message":"one","level":"Spam"}'"""
    sources = {"a": process("sh", "-c", said, log_format="mina"), "b": process("sh", "-c", said)}
    async with capture(sources, directory=directory) as pipeline:
        found = await some(pipeline, 2)
        known = {each.node: each.data.severity for each in found}
        assert known == {"a": lucy.Severity.TRACE2, "b": lucy.Severity.UNSPECIFIED}


# --- how it begins and ends -----------------------------------------------------------------------------------------


async def test_lines_wait_for_the_first_subscriber_where_nothing_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(say("early"))
    async with capture(a=tmp_path / "a.log", b=file(tmp_path / "a.log", follow=False)) as pipeline:
        for _ in range(50):
            await anyio.sleep(0)
        assert (pipeline.ledger.of("a").lines, pipeline.ledger.of("b").lines) == (0, 0)
        assert [each.data.text for each in await some(pipeline, 2)] == ["early", "early"]


async def test_the_block_ends_processes_and_what_they_started(directory: Path | None) -> None:
    program = """sleep 600 & echo $!; echo $$; wait"""
    async with capture(a=process("sh", "-c", program), directory=directory) as pipeline, lives(pipeline) as said:
        found = await some(pipeline, 2)
        pids = [int(each.data.text) for each in found]
        assert all(map(is_running, pids))
    assert said == [lucy.NodeStopped("a")]
    for pid in pids:
        await until_gone(pid)


async def test_what_an_exited_process_left_running_is_killed(directory: Path | None) -> None:
    async with capture(a=process("sh", "-c", "sleep 600 & echo $!"), directory=directory) as pipeline:
        (pid,) = await texts(pipeline)
        await until_gone(int(pid))


async def test_who_does_not_end_is_killed_after_its_grace(directory: Path | None) -> None:
    stubborn = process("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 600; done", grace=0.05)
    async with capture(a=stubborn, directory=directory) as pipeline, lives(pipeline) as said:
        await first(pipeline, "ready")
    assert said == [lucy.NodeStopped("a", killed=True)]


async def test_a_process_is_asked_to_end_by_its_own_signal_and_its_last_words_come(directory: Path | None) -> None:
    program = "trap 'echo interrupted; exit' INT; echo ready; while :; do sleep 0.01; done"
    asked = process("sh", "-c", program, stop_signal=signal.SIGINT)
    said: list[str] = []
    async with capture(a=asked, directory=directory) as pipeline:
        since = None if directory is None else 0
        pipeline.records(since=since).subscribe(lambda each: said.append(each.data.text))
        await first(pipeline, "ready") if directory else await pipeline.records().first(within=20)
    assert said == ["ready", "interrupted"]


@pytest.mark.parametrize("how", ("cancelled", "by an error"))
async def test_nothing_is_left_however_the_block_ends(how: str, directory: Path | None, tmp_path: Path) -> None:
    pids: list[int] = []

    async def use() -> None:
        sources = {"a": process("sh", "-c", "echo $$; exec sleep 600"), "b": fifo(tmp_path / "fifo")}
        async with capture(sources, directory=directory) as pipeline:
            since = None if directory is None else 0
            pids.append(int((await pipeline.records(since=since).first(within=20)).data.text))
            if how == "by an error":
                raise KeyError("of the block")
            started.set_result(None)
            await anyio.sleep_forever()

    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    before = asyncio.all_tasks()
    task = asyncio.create_task(use())
    if how == "cancelled":
        await started
        task.cancel()
    with pytest.raises(asyncio.CancelledError if how == "cancelled" else KeyError):
        await task
    assert not is_running(pids[0])
    assert not (tmp_path / "fifo").exists()
    assert asyncio.all_tasks() - before - {task} == set()


async def test_cells_of_a_notebook_share_it_on_the_loop_that_runs_already(directory: Path | None) -> None:
    """Each cell is a task of its own, on a loop that somebody else has started; the first is over when others run."""
    namespace: dict[str, Any] = {}
    program = "echo ready; exec sleep 600"

    async def enter() -> None:
        namespace["capture"] = capture(a=process("sh", "-c", program), directory=directory)
        namespace["pipeline"] = await namespace["capture"].__aenter__()

    async def use() -> None:
        await first(namespace["pipeline"], "ready")

    async def leave() -> None:
        await namespace["capture"].__aexit__(None, None, None)

    before = asyncio.all_tasks()
    for cell in (enter, use, leave):
        await asyncio.create_task(cell())
    assert asyncio.all_tasks() - before == set()


async def test_when_a_source_cannot_be_opened_those_before_it_are_ended(directory: Path | None, tmp_path: Path) -> None:
    sources = {"a": process("sleep", "600"), "b": file(tmp_path / "nowhere" / "b.log")}
    with pytest.raises(lucy.RecordingError, match="nowhere"):
        async with capture(sources, directory=directory):
            pass


# --- mistakes -------------------------------------------------------------------------------------------------------


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(lucy.UnknownProgramError, match="no-such-program"):
        async with capture(a=process("no-such-program")):
            pass


async def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for asked in (process(tmp_path / "text"), process("true", directory=tmp_path / "nowhere")):
        with pytest.raises(lucy.UnrunnableError, match="can't run"):
            async with capture(a=asked):
                pass


@pytest.mark.parametrize(
    ("sources", "complaint"),
    (
        pytest.param({}, "give one, like api='api.log'", id="none"),
        pytest.param({"a": ()}, "has no source", id="a node without"),
        pytest.param({"a": 5}, "is of type int; give a path", id="a number"),
        pytest.param({"a": Source}, "is the class Source", id="a class"),
        pytest.param({"a": (None,)}, r"\[0\].* give a path", id="nothing in a list"),
        pytest.param({"lucy": "x"}, "Lucy's own name", id="the journal's name"),
        pytest.param({"a/b": "x"}, "can't be a node", id="no name of a node"),
        pytest.param({5: "x"}, "can't be a node", id="a number as a name"),
        pytest.param(
            {"a": (file("x", log_format="mina"), file("y", log_format="envelope"))}, "a node speaks one", id="formats"
        ),
        pytest.param({"a": ("x", file("y", log_format="klog"))}, "auto.*a node speaks one", id="a format beside none"),
    ),
)
async def test_sources_that_make_no_sense_are_refused(sources: Any, complaint: str) -> None:
    with pytest.raises(lucy.ArgumentError, match=complaint):
        async with capture(sources):
            pass


async def test_a_node_that_is_given_twice_is_refused() -> None:
    with pytest.raises(lucy.ArgumentError, match="is given as a keyword too"):
        async with capture({"a": "x"}, a="y"):
            pass


@pytest.mark.parametrize(
    ("make", "complaint"),
    (
        (lambda: file(""), "is an empty path"),
        (lambda: file("x", follow=1), "give True or False"),  # type: ignore[arg-type]
        (lambda: file("x", log_format="jsno"), "log_format='jsno' is none"),
        (lambda: file("x", log_format=lucy.log_format("json", malformed="soft")), "leave malformed= out"),
        (lambda: process(""), "is no program"),
        (lambda: process("true", "a\0b"), r"command\[1\].*NUL"),
        (lambda: process("true", 5), r"command\[1\].*give text: '5'"),  # type: ignore[arg-type]
        (lambda: process("true", grace=-1), "give 0 or more"),
        (lambda: process("true", stop_signal=2), "give a signal"),  # type: ignore[arg-type]
        (lambda: process("true", environment={"A=B": "c"}), "can't name an environment variable"),
        (lambda: socket_source(("127.0.0.1", 0)), "give one, or use `listen`"),
        (lambda: socket_source(("127.0.0.1",)), "neither"),  # type: ignore[arg-type]
        (lambda: socket_source("x" * 200), "107 bytes"),
        (lambda: journald(""), "names no unit"),
        (lambda: journald(lines=-1), "too small"),
    ),
)
async def test_a_source_that_makes_no_sense_is_refused_where_it_is_made(make: Any, complaint: str) -> None:
    with pytest.raises(lucy.ArgumentError, match=complaint):
        make()


async def test_a_program_dies_with_whoever_captures_it_though_that_is_killed() -> None:
    program = """
import anyio, lucy_core as lucy
async def main():
    async with lucy.capture(a=lucy.process("sh", "-c", "echo $$; exec sleep 600")) as pipeline:
        print((await pipeline.records().first()).data.text, flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""
    async with await anyio.open_process([sys.executable, "-c", program], stderr=None) as lucys:
        assert lucys.stdout is not None
        pid = int(await lucys.stdout.receive())
        assert is_running(pid)
        lucys.kill()
    await until_gone(pid)
