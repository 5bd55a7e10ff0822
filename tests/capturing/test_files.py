"""Files followed by name: each line arrives, or the ledger doubts it; nothing is passed over in silence."""

import contextlib
import io
import itertools
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lucy_core.capturing.sources.files import follow as files
from lucy_core.capturing.sources.files.follow import FileSource
from lucy_core.capturing.sources.files.inotify import OVERFLOWED, Inotify, Notice
from lucy_core.delivery.interests.interest import Interest
from lucy_core.delivery.pipeline import Pipeline

pytestmark = pytest.mark.blocking


class Reader:
    """Reads a file source to its end when told to, as capture does, and keeps what came."""

    def __init__(self, path: Path) -> None:
        self.source = FileSource(str(path))
        self.lines: list[bytes] = []
        self.torn: list[bytes] = []
        self.doubts: list[str] = []

    def read(self) -> list[bytes]:
        """Take what is there; return all lines so far."""
        while True:
            chunk = self.source.read()
            self.torn += self.source.take_torn()
            self.doubts += self.source.take_doubts()
            if not chunk:
                return self.lines
            self.lines += b"".join(self.source.framer.feed(chunk)).splitlines()

    def look(self) -> list[bytes]:
        self.source.look()
        return self.read()


@contextlib.contextmanager
def following(path: Path) -> Iterator[Reader]:
    reader = Reader(path)
    try:
        yield reader
    finally:
        reader.source.close()


def write(path: Path, *lines: bytes) -> None:
    with path.open("ab", 0) as file:
        file.write(b"".join(line + b"\n" for line in lines))


def test_a_daemon_that_was_not_told_of_the_rotation_is_read_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab", 0) as daemon, following(log) as reader:
        daemon.write(b"1\n2")
        reader.read()
        log.rename(tmp_path / "log.1")
        write(log, b"new")
        assert reader.read() == [b"1", b"new"]
        daemon.write(b"nd\n3\n")
        write(log, b"newer")
        assert reader.read() == [b"1", b"new", b"2nd", b"3", b"newer"]
        (tmp_path / "log.1").unlink()
        daemon.write(b"4\n")
        assert reader.read()[-1] == b"4"
        assert reader.doubts == []


def test_what_was_rotated_again_and_again_while_nobody_looked_is_found_in_its_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, b"0")
    with following(log) as reader:
        reader.read()
        for number in range(1, 30):
            write(log, b"%d late" % (number - 1))
            for old in range(number, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    (tmp_path / f"log.{old}").rename(tmp_path / f"log.{old + 1}")
            log.rename(tmp_path / "log.1")
            write(log, b"%d" % number)
        late = [[b"%d" % number, b"%d late" % number] for number in range(29)]
        assert reader.read() == [*itertools.chain.from_iterable(late), b"29"]
        assert reader.doubts == []


def test_a_file_that_was_gone_before_it_could_be_read_is_a_doubt(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, b"1")
    with following(log) as reader:
        reader.read()
        log.rename(tmp_path / "log.1")
        write(log, b"2")
        log.unlink()
        write(log, b"3")
        assert reader.read() == [b"1", b"3"]
        assert [doubt for doubt in reader.doubts if "gone before it was read" in doubt] == reader.doubts != []


@pytest.mark.parametrize("leave", (Path.unlink, lambda log: log.rename(log.parent / "elsewhere" / "x")))
def test_one_that_is_deleted_and_made_anew_is_read_from_its_start(
    leave: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    log = tmp_path / "log"
    write(log, b"1")
    with following(log) as reader:
        for number in range(2, 20):
            reader.read()
            leave(log)
            write(log, b"%d" % number)
        assert reader.read() == [b"%d" % number for number in range(1, 20)]
        assert reader.doubts == []


def test_one_that_is_replaced_by_renaming_another_onto_it_is_read_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab", 0) as daemon, following(log) as reader:
        daemon.write(b"1\n")
        write(tmp_path / "tmp", b"3")
        (tmp_path / "tmp").rename(log)
        daemon.write(b"2\n")
        assert reader.read() == [b"1", b"2", b"3"]
        assert reader.doubts == []


def test_a_truncated_file_is_a_doubt_though_it_has_grown_past_its_old_size(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, *(b"old %d" % number for number in range(3)))
    with following(log) as reader:
        reader.read()
        log.write_bytes(b"")
        write(log, *(b"new %d" % number for number in range(100)))
        assert reader.read() == [b"old %d" % n for n in range(3)] + [b"new %d" % n for n in range(100)]
        (doubt,) = reader.doubts
        assert "was truncated: what was written just before may be missing" in doubt


def test_a_truncated_file_of_exactly_its_old_size_is_noticed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, b"x" * 5000, b"end")
    with following(log) as reader:
        reader.read()
        log.write_bytes(b"")
        write(log, b"y" * 5000, b"end")
        assert reader.read()[2:] == [b"y" * 5000, b"end"]
        assert len(reader.doubts) == 1


def test_of_a_writer_that_goes_on_behind_a_hole_no_zero_is_a_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb", 0) as daemon, following(log) as reader:
        daemon.write(b"1\n" * 100_000)
        reader.read()
        os.truncate(log, 0)
        daemon.write(b"2\n")
        assert reader.read()[100_000:] == [b"2"]
        daemon.write(b"3\n")
        assert reader.read()[100_000:] == [b"2", b"3"]
        os.truncate(log, 0)
        reader.read()
        daemon.write(b"4\n")
        assert reader.read()[100_000:] == [b"2", b"3", b"4"]
        assert len(reader.doubts) == 2


def test_a_file_behind_links_is_followed_where_it_is_rotated(tmp_path: Path) -> None:
    real, link = tmp_path / "docker/1/json.log", tmp_path / "containers/node.log"
    for directory in (real.parent, link.parent, tmp_path / "pods/node"):
        directory.mkdir(parents=True)
    (tmp_path / "pods/node/0.log").symlink_to(real)
    link.symlink_to("../pods/node/0.log")
    write(real, b"1")
    with real.open("ab", 0) as daemon, following(link) as reader:
        reader.read()
        real.rename(real.with_suffix(".1"))
        write(real, b"3")
        daemon.write(b"2\n")
        assert sorted(reader.read()) == [b"1", b"2", b"3"]
        assert reader.doubts == []


def test_a_link_that_is_swapped_leads_to_its_new_file_and_the_old_is_read_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "log", b"%b1" % name.encode())
    (tmp_path / "..data").symlink_to("a")
    (tmp_path / "log").symlink_to("..data/log")
    with (tmp_path / "a/log").open("ab", 0) as daemon, following(tmp_path / "log") as reader:
        reader.read()
        (tmp_path / "..tmp").symlink_to("b")
        (tmp_path / "..tmp").rename(tmp_path / "..data")
        daemon.write(b"a2\n")
        assert sorted(reader.read()) == [b"a1", b"a2", b"b1"]
        daemon.write(b"a3\n")
        write(tmp_path / "b/log", b"b2")
        assert reader.read()[3:] == [b"a3", b"b2"]
        assert reader.doubts == []
        for name in ("a", "b", "a"):
            (tmp_path / "..tmp").symlink_to(name)
            (tmp_path / "..tmp").rename(tmp_path / "..data")
        assert reader.read()[5:] == []
        assert ["put elsewhere 3 times unseen" in doubt for doubt in reader.doubts] == [True]


def test_a_directory_that_is_renamed_and_made_anew_is_followed_in_both(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "home/logs/log"
    log.parent.mkdir(parents=True)
    with log.open("ab", 0) as daemon, following(log) as reader:
        daemon.write(b"1\n")
        home.rename(tmp_path / "old")
        log.parent.mkdir(parents=True)
        daemon.write(b"2\n")
        write(log, b"3")
        assert reader.read() == [b"1", b"2", b"3"]
        log.rename(log.with_suffix(".1"))
        write(log, b"4")
        daemon.write(b"5\n")
        assert sorted(reader.read()) == [b"%d" % number for number in range(1, 6)]
        assert reader.doubts == []


def test_a_directory_that_was_made_anew_with_rotated_files_in_it_is_a_doubt(tmp_path: Path) -> None:
    log = tmp_path / "logs/log"
    log.parent.mkdir()
    write(log, b"1")
    with following(log) as reader:
        reader.read()
        shutil.rmtree(log.parent)
        log.parent.mkdir()
        write(log, b"2")
        log.rename(log.with_suffix(".1"))
        write(log, b"3")
        assert reader.read() == [b"1", b"3"]
        (doubt,) = reader.doubts
        assert "leads into another directory, where 'log.1' was rotated before it could be watched" in doubt


def test_files_beyond_those_that_are_kept_open_are_read_on_or_doubted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "KEPT_FILES", 2)
    log = tmp_path / "log"
    with log.open("ab", 0) as first, following(log) as reader, contextlib.ExitStack() as daemons:
        second = None
        for number in range(10):
            write(log, b"%d" % number)
            reader.read()
            log.rename(tmp_path / f"log.{number}")
            if number == 0:
                second = daemons.enter_context(log.open("ab", 0))
        assert len([file for file in reader.source._files.values() if file.is_open]) == 3
        first.write(b"late\n")
        assert reader.read()[-1] == b"late"
        (tmp_path / "log.1").unlink()
        assert second is not None
        second.write(b"too late\n")
        assert reader.read()[-1] == b"late"
        assert ["is still written to" in doubt for doubt in reader.doubts] == [True]


@pytest.mark.parametrize("rotated", (False, True))
def test_notices_that_the_kernel_lost_cost_no_line_unless_doubted(
    rotated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    write(log, b"1")
    with following(log) as reader:
        reader.read()
        write(log, b"2")
        if rotated:
            log.rename(tmp_path / "log.1")
            write(log, b"3")
        # To fill the kernel's own queue takes 16,384 of them.
        while reader.source._inotify.read():
            pass
        told = iter([[Notice(-1, OVERFLOWED, 0, "")]])
        monkeypatch.setattr(Inotify, "read", lambda _: next(told, []))
        assert reader.read() == [b"1", b"2", b"3"][: 2 + rotated]
        assert ["more happened around it than the kernel could tell" in doubt for doubt in reader.doubts] == [
            True
        ] * rotated


def test_what_nobody_tells_of_is_found_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    write(log, b"1")
    with following(log) as reader:
        reader.read()
        monkeypatch.setattr(Inotify, "read", lambda _: [])
        write(log, b"2")
        log.rename(tmp_path / "log.1")
        write(log, b"3")
        assert reader.read() == [b"1"]
        assert reader.look() == [b"1", b"2", b"3"]


class World:
    """A daemon's log, and all that can be done to it behind a reader's back; each line is written once."""

    def __init__(self, directory: Path, choose: random.Random) -> None:
        self.choose = choose
        self.home = directory / "home"
        self.link = directory / "log"
        self.files = contextlib.ExitStack()
        self.daemons: list[io.FileIO] = []
        self.written: list[bytes] = []
        self.made = 0
        self.appends = choose.random() < 0.7
        for name in ("a", "b"):
            (self.home / name).mkdir(parents=True)
        (directory / "current").symlink_to("home/a")
        self.link.symlink_to("current/log")

    @property
    def log(self) -> Path:
        return self.link.parent / "current" / "log"

    def write(self) -> None:
        if not self.daemons:
            self.reopen()
        line = b"line %d %b" % (len(self.written), b"x" * self.choose.choice((0, 5, 3000)))
        self.written.append(line)
        self.choose.choice(self.daemons).write(line + b"\n")

    def write_once(self, path: Path) -> None:
        if self.log.parent.exists():
            self.made += 1
            self.written.append(b"made %d" % self.made)
            write(path, self.written[-1])

    def reopen(self) -> None:
        if self.log.parent.exists():
            if not self.appends:  # two of them would write over each other's lines
                self.daemons.clear()
            fd = os.open(self.log, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if self.appends else 0), 0o600)
            self.daemons.append(self.files.enter_context(io.FileIO(fd, "w")))
            self.daemons[-1].seek(0, io.SEEK_END)
        else:
            self.log.parent.mkdir()
            self.reopen()

    def leave(self) -> None:
        if len(self.daemons) > 1:
            self.daemons.pop(0).close()

    def rotate(self) -> None:
        if self.log.exists():
            for old in range(9, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    (self.log.parent / f"log.{old}").rename(self.log.parent / f"log.{old + 1}")
            self.log.rename(self.log.parent / "log.1")
            if self.choose.random() < 0.7:
                self.reopen()

    def delete(self) -> None:
        self.log.unlink(missing_ok=True)

    def delete_oldest(self) -> None:
        if rotated := sorted(self.log.parent.glob("log.*")):
            rotated[-1].unlink()

    def replace(self) -> None:
        if self.log.exists():
            self.write_once(self.home / "new")
            (self.home / "new").rename(self.log)

    def truncate(self) -> None:
        if self.log.exists():
            os.truncate(self.log, 0)

    def swap(self) -> None:
        other = "home/b" if str(self.log.parent.readlink()) == "home/a" else "home/a"
        (self.home / "link").symlink_to(other)
        (self.home / "link").rename(self.log.parent)

    def renew(self) -> None:
        if self.log.parent.exists():
            self.made += 1
            real = self.log.parent.resolve()
            real.rename(self.home / f"old {self.made}")
            real.mkdir()


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_done_to_a_log_each_line_arrives_or_is_doubted(seed: int, tmp_path: Path) -> None:
    choose = random.Random(seed)
    world = World(tmp_path, choose)
    world.write()
    told: list[str] = []
    with world.files, following(world.link) as reader:
        reader.read()
        acts = [world.write] * 8 + [world.rotate, world.reopen, world.leave] * 2
        acts += [world.delete, world.delete_oldest, world.replace, world.truncate, world.swap, world.renew]
        acts = [*acts[:14], *choose.sample(acts[14:], choose.randrange(7))]
        for _ in range(60):
            act = choose.choice(acts)
            if act == world.truncate:
                world.write_once(world.log)
                reader.read()  # of what was never read nobody can know that it was truncated
                world.write_once(world.log)
            told.append(act.__name__)
            act()
            if act in (world.swap, world.renew):
                reader.read()  # nor of what comes and goes in a directory that nobody watches yet
            if choose.random() < 0.4:
                told.append("read")
                reader.read()
        reader.look()
        reader.look()
        assert set(reader.lines) <= set(world.written)
        assert reader.doubts or sorted(reader.lines) == sorted(world.written), told


def say(text: str) -> bytes:
    return b'{"message":"%b"}' % text.encode()


@pytest.mark.anyio
@pytest.mark.parametrize("recorded", (True, False))
async def test_a_pipeline_reads_on_what_was_rotated_and_doubts_what_was_truncated(
    recorded: bool, tmp_path: Path
) -> None:
    log = tmp_path / "node.log"
    found: list[str] = []
    async with Pipeline.record(tmp_path / "run") if recorded else Pipeline.pass_through() as pipeline:
        with log.open("ab", 0) as daemon:
            await pipeline.follow_file("a", log)
            pipeline.subscribe(
                Interest(nodes=["a"]), lambda items: found.extend(item.data.text for item in items), lambda _: None
            )
            daemon.write(say("1") + b"\n")
            await pipeline.reach(await pipeline.drain("a"))
            log.rename(tmp_path / "node.log.1")
            write(log, say("2"))
            daemon.write(say("3") + b"\n")
            await pipeline.reach(await pipeline.drain("a"))
        assert pipeline.ledger.complete
        log.write_bytes(b"")
        write(log, say("5"), say("6"))
        await pipeline.reach(await pipeline.drain("a"))
        assert [gap.node for gap in pipeline.ledger.gaps] == ["a"]
        assert not pipeline.ledger.of("a").failures
    assert sorted(found) == ["1", "2", "3", "5", "6"]
    if recorded:
        async with Pipeline.replay(tmp_path / "run") as again:
            assert again.ledger.gaps == pipeline.ledger.gaps
            assert "node.log was truncated" in again.ledger.summary()["gap 1"]


@pytest.mark.anyio
async def test_rotations_while_capture_is_held_cost_no_line(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    found: list[str] = []
    async with Pipeline.record(tmp_path / "run") as pipeline:
        await pipeline.follow_file("a", log)
        pipeline.subscribe(
            Interest(nodes=["a"]), lambda items: found.extend(item.data.text for item in items), lambda _: None
        )
        assert pipeline.capture_pid is not None
        os.kill(pipeline.capture_pid, signal.SIGSTOP)
        for number in range(20):
            write(log, say(f"{number}"))
            log.rename(tmp_path / f"node.log.{number}")
        os.kill(pipeline.capture_pid, signal.SIGCONT)
        await pipeline.reach(await pipeline.drain("a"))
        assert found == [f"{number}" for number in range(20)]
        assert pipeline.ledger.complete
