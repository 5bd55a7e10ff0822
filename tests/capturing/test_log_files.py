"""Files that are found by a pattern: each line of each arrives once, under the name by which its file was found."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from captures import until

import lucy_core as lucy
from lucy_core.capturing.sources.files import logs
from lucy_core.errors import RecordingError

pytestmark = [pytest.mark.anyio, pytest.mark.blocking]


class Watched:
    """A pipeline that follows files, and what came of it."""

    def __init__(self, pipeline: lucy.Pipeline, place: Path) -> None:
        self.pipeline = pipeline
        self.place = place
        self.lines: list[lucy.Line] = []

    async def read(self) -> dict[str, list[str]]:
        """Take all that was written; return all lines so far, by source."""
        await until(self.pipeline, "a")
        found: dict[str, list[str]] = {}
        for line in self.lines:
            found.setdefault(line.source, []).append(line.raw.decode())
        return found

    @property
    def gaps(self) -> list[str]:
        return [gap.reason for gap in self.pipeline.ledger.gaps]


@asynccontextmanager
async def following(tmp_path: Path, *patterns: str) -> AsyncIterator[Watched]:
    place = tmp_path / "place"
    place.mkdir()
    async with lucy.Pipeline.record(tmp_path / "run") as pipeline:
        watched = Watched(pipeline, place)
        pipeline.lines(nodes=("a",)).subscribe(watched.lines.append)
        await pipeline.follow_log_files("a", place, patterns)
        yield watched


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


async def test_each_file_is_a_source_whenever_it_and_its_directory_come(tmp_path: Path) -> None:
    async with following(tmp_path, "log/*/*.log", "main.log") as watched:
        assert await watched.read() == {}
        write(watched.place / "log" / "x" / "1.log", "x 1")
        write(watched.place / "log" / "x" / "1.txt", "not meant")
        write(watched.place / "log" / "x" / ".hidden.log", "not meant")
        write(watched.place / "log" / "y" / "2.log", "y 1")
        (watched.place / "log" / "y" / "directory.log").mkdir()
        os.mkfifo(watched.place / "log" / "y" / "fifo.log")
        (watched.place / "log" / "y" / "link.log").symlink_to("2.log")
        assert await watched.read() == {"log/x/1.log": ["x 1"], "log/y/2.log": ["y 1"]}
        write(watched.place / "log" / "x" / "1.log", "x 2")
        write(watched.place / "main.log", "main")
        assert await watched.read() == {"log/x/1.log": ["x 1", "x 2"], "log/y/2.log": ["y 1"], "main.log": ["main"]}
        assert watched.pipeline.ledger.of("a").lines == 4
        assert watched.gaps == []
    async with lucy.Pipeline.replay(tmp_path / "run") as pipeline:
        assert sorted(pipeline.recorded_nodes) == ["a", "lucy"]
        assert pipeline.ledger.of("a/log/x/1.log").lines == 2
        assert pipeline.ledger.complete


async def test_what_is_written_is_told_without_anybody_asking(tmp_path: Path) -> None:
    async with following(tmp_path, "*.log") as watched:
        lines = watched.pipeline.lines(nodes=("a",)).first(within=20)
        write(watched.place / "1.log", "one")
        assert (await lines).raw == b"one"


async def test_a_file_that_was_rotated_away_and_matches_still_is_no_new_one(tmp_path: Path) -> None:
    async with following(tmp_path, "*.log") as watched:
        server, old = watched.place / "server.log", watched.place / "server-1.log"
        with server.open("a", buffering=1) as daemon:
            daemon.write("1\n")
            assert await watched.read() == {"server.log": ["1"]}
            server.rename(old)
            write(server, "3")
            daemon.write("2\n")
            found = await watched.read()
            # Of two files what was written first arrives first, unless both are looked at once: then the older's.
            assert {name: sorted(lines) for name, lines in found.items()} == {"server.log": ["1", "2", "3"]}
        old.rename(watched.place / "server-2.log")
        server.rename(old)
        write(server, "4")
        assert (await watched.read())["server.log"][3:] == ["4"]
        assert watched.gaps == []


async def test_a_name_that_led_to_a_rotated_file_leads_to_a_new_one(tmp_path: Path) -> None:
    async with following(tmp_path, "*.log") as watched:
        server, old = watched.place / "server.log", watched.place / "server-1.log"
        write(server, "1")
        await watched.read()
        server.rename(old)
        await watched.read()
        old.rename(watched.place / "kept")
        write(old, "new")
        assert await watched.read() == {"server.log": ["1"], "server-1.log": ["new"]}
        assert watched.gaps == []


@pytest.mark.parametrize("seed", range(12))
async def test_through_any_rotation_each_line_comes_once_or_is_doubted(tmp_path: Path, seed: int) -> None:
    chosen, written = random.Random(seed), 0
    async with following(tmp_path, "*.log") as watched:
        for _ in range(60):
            match chosen.randrange(4):
                case 0 | 1:
                    written += 1
                    write(watched.place / f"{chosen.choice('ab')}.log", str(written))
                case 2:
                    for name in "ab":
                        for number in (2, 1, 0):
                            path = watched.place / (f"{name}-{number}.log" if number else f"{name}.log")
                            if path.exists() and number < 6:
                                path.rename(watched.place / f"{name}-{number + 1}.log")
                case 3:
                    await watched.read()
        found = [line for lines in (await watched.read()).values() for line in lines]
        assert len(found) == len(set(found))
        assert set(found) <= set(map(str, range(1, written + 1)))
        assert (len(found) < written) == bool(watched.gaps)


async def test_a_file_that_came_and_went_unseen_is_a_doubt(tmp_path: Path) -> None:
    async with following(tmp_path, "*.log") as watched:
        await watched.read()
        os.kill(watched.pipeline.capture_pid or 0, 19)  # SIGSTOP: capture doesn't look
        write(watched.place / "short.log", "lost")
        (watched.place / "short.log").unlink()
        os.kill(watched.pipeline.capture_pid or 0, 18)  # SIGCONT
        assert await watched.read() == {}
        assert watched.gaps == ["short.log came and was gone before it could be read"]


async def test_a_name_that_is_no_text_is_shown_in_backslashes(tmp_path: Path) -> None:
    async with following(tmp_path, "log/*.log") as watched:
        write(watched.place / "log" / os.fsdecode(b"\xff\xe4.log"), "odd")
        write(watched.place / "log" / "\u00e4 \u2028\n.log", "text")
        assert await watched.read() == {r"log/\udcff\udce4.log": ["odd"], "log/\u00e4 \u2028\n.log": ["text"]}
    async with lucy.replay(tmp_path / "run") as run:
        assert run.ledger.of(r"a/log/\udcff\udce4.log").lines == 1


async def test_a_name_that_no_log_can_have_costs_that_file_alone(tmp_path: Path) -> None:
    async with following(tmp_path, "log/*.log") as watched:
        write(watched.place / "log" / "a.log", "1")
        write(watched.place / "log" / f"{'x' * 250}.log", "lost")
        await watched.read()
        write(watched.place / "log" / "a.log", "2")
        write(watched.place / "log" / "b.log", "3")
        assert await watched.read() == {"log/a.log": ["1", "2"], "log/b.log": ["3"]}
        assert watched.gaps
        assert all("x.log can't be recorded: File name too long" in gap for gap in watched.gaps)


async def test_without_a_recording_it_is_the_same(tmp_path: Path) -> None:
    async with lucy.Pipeline.pass_through() as pipeline:
        watched = Watched(pipeline, tmp_path)
        pipeline.lines(nodes=("a",)).subscribe(watched.lines.append)
        await pipeline.follow_log_files("a", tmp_path, ("*.log",))
        write(tmp_path / "1.log", "one")
        assert await watched.read() == {"1.log": ["one"]}


async def test_a_directory_that_is_not_there_and_a_pattern_that_leaves_it_are_refused(tmp_path: Path) -> None:
    async with lucy.Pipeline.record(tmp_path / "run") as pipeline:
        with pytest.raises(RecordingError, match="No such file or directory"):
            await pipeline.follow_log_files("a", tmp_path / "nowhere", ("*.log",))
        for pattern in ("../*.log", "/etc/*.log", "", "a//b"):
            with pytest.raises(RecordingError):
                await pipeline.follow_log_files("a", tmp_path, (pattern,))


def test_no_more_files_that_were_deleted_are_held_than_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KEPT_FILES", 3)
    before = len(os.listdir("/proc/self/fd"))
    source = logs.LogFiles(str(tmp_path), ["*.log"], lambda _: None)
    for number in range(6):
        write(tmp_path / f"{number}.log", "x")
        assert source.read() == b"x\n"
        (tmp_path / f"{number}.log").unlink()
        assert source.read() == b""
    assert len(os.listdir("/proc/self/fd")) == before + 4
    assert source.take_doubts() == []
    source.close()
    assert len(os.listdir("/proc/self/fd")) == before
