"""What Lucy's own processes have in common: they see her end whoever holds her sockets, and have last words."""

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
import pytest
from helper_processes import ended

from lucy_core.errors import HelperDiedError, HelperStartError
from lucy_core.helpers.helper import Helper, LastWords, Refused, how_it_ended, own_pidfd

# A helper that says what it sees first: that Lucy has ended, or that her pipe has.
HELPER = """
import os, select, sys
pidfd, pipe = map(int, sys.argv[1:])
os.write(1, b"lucy" if pidfd in select.select([pidfd, pipe], [], [], 20)[0] else b"pipe")
"""
# A Lucy that forks, and is killed while her child lives: the child holds the pipe that the helper reads.
LUCY = """
import os, signal, subprocess, sys
from lucy_core.helpers.helper import own_pidfd
theirs, ours = os.pipe()
with own_pidfd() as pidfd:
    arguments = [sys.executable, "-c", sys.argv[1], str(pidfd), str(theirs)]
    subprocess.Popen(arguments, pass_fds=(pidfd, theirs), stdout=int(sys.argv[2]))
os.close(theirs)
if os.fork() == 0:
    os.read(int(sys.argv[3]), 1)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_helper_sees_the_end_of_a_lucy_whose_child_holds_her_pipe() -> None:
    said, saying = os.pipe()
    until, ends = os.pipe()
    try:
        lucy = subprocess.run(
            [sys.executable, "-c", LUCY, HELPER, str(saying), str(until)], pass_fds=(saying, until), check=False
        )
        assert lucy.returncode == -9
        assert select.select([said], [], [], 20)[0]
        assert os.read(said, 100) == b"lucy"
    finally:
        for fd in (said, saying, until, ends):
            os.close(fd)


def test_the_pidfd_is_closed_with_its_block() -> None:
    with own_pidfd() as pidfd:
        assert not select.select([pidfd], [], [], 0)[0]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pidfd)


def test_the_last_line_of_what_a_helper_said_is_its_last_word() -> None:
    words = LastWords()
    try:
        assert words.last_line() == ""
        program = "import sys; sys.stderr.write('x' * 100_000 + '\\n'); raise ValueError('the end\\udcff')"
        code = subprocess.run([sys.executable, "-c", program], stderr=words.fileno(), check=False).returncode
        assert how_it_ended(code, words.last_line()) == "exited with code 1, saying: ValueError: the end\\udcff"
    finally:
        words.close()
        words.close()


@pytest.mark.parametrize(
    ("code", "how"), ((0, "exited with code 0"), (-9, "was killed by SIGKILL"), (-40, "was killed by signal 40"))
)
def test_an_end_is_told_in_words(code: int, how: str) -> None:
    assert how_it_ended(code) == how


# --- Lucy's end, with a guardian at the other ----------------------------------------------------------------------


class End(NamedTuple):
    pass


class Dance(NamedTuple):
    word: str


class Spawn(NamedTuple):
    name: str
    argv: list[str]
    environment: dict[str, str]
    cwd: str
    fifo: str


class Spawned(NamedTuple):
    pid: int


class Exited(NamedTuple):
    pid: int
    code: int | None


class Odd(NamedTuple):
    colour: str


@asynccontextmanager
async def helping(hear: dict[type[Any], Callable[[Any], object]] | None = None) -> AsyncIterator[Helper]:
    helper = Helper("the helper, which is tested", "lucy_engines.process.guardian", hear=hear)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(helper.listen)
            yield helper
            tasks.cancel_scope.cancel()
    finally:
        helper.dispose()
        helper.dispose()
    assert ended(helper.pid)


async def test_what_is_asked_is_answered_and_what_is_refused_says_why() -> None:
    async with helping() as helper:
        helper.tell(End())
        await helper.ask(End())
        with pytest.raises(Refused, match="dance: no command is called 'dance'") as refused:
            await helper.ask(Dance("tango"))
        assert refused.value.op == "dance"


async def test_a_notice_is_heard_by_its_form() -> None:
    heard: list[Exited] = []
    async with helping({Exited: heard.append}) as helper:
        spawn = Spawn("a", ["/bin/sh", "-c", "exit 3"], {}, "/", "/dev/null")
        spawned = await helper.ask(spawn, Spawned)
        with anyio.fail_after(20):
            while not heard:
                await helper.ask(End())
        assert heard == [Exited(spawned.pid, 3)]


async def test_a_request_that_a_socket_can_not_hold_is_sent_as_there_is_room() -> None:
    async with helping() as helper:
        os.kill(helper.pid, signal.SIGSTOP)
        calls = [helper.call(Dance("x" * 100_000)) for _ in range(20)]
        await anyio.wait_all_tasks_blocked()
        assert helper._outgoing
        os.kill(helper.pid, signal.SIGCONT)
        for call in calls:
            await call.done.wait()
            with pytest.raises(Refused):
                helper.result(call, End)
        assert not helper._outgoing


async def test_descriptors_are_closed_here_once_they_are_sent_or_never_will_be() -> None:
    async with helping() as helper:
        end, given = os.pipe()
        await helper.call(Dance(""), [given]).done.wait()
        assert os.read(end, 1) == b""
        os.close(end)
        helper.kill()
        with pytest.raises(HelperDiedError):
            await helper.ask(End())
        end, given = os.pipe()
        await helper.call(Dance(""), [given]).done.wait()
        assert os.read(end, 1) == b""
        os.close(end)


async def test_what_is_larger_than_any_may_be_is_refused_and_its_descriptors_stay_the_callers() -> None:
    async with helping() as helper:
        end, given = os.pipe()
        with pytest.raises(Refused, match="'dance' would take") as refused:
            helper.call(Dance("x" * (17 << 20)), [given])
        assert refused.value.op == "dance"
        os.close(given)
        os.close(end)
        await helper.ask(End())


async def test_a_helper_that_is_left_while_much_waits_to_be_sent_ends_its_listening() -> None:
    helper = Helper("the helper, which is tested", "lucy_engines.process.guardian")
    try:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(helper.listen)
                os.kill(helper.pid, signal.SIGSTOP)
                for _ in range(20):
                    helper.tell(Dance("x" * 100_000))
                await anyio.wait_all_tasks_blocked()
                helper.dispose()
    finally:
        helper.dispose()


async def test_whoever_waits_is_told_of_its_death_with_its_last_words() -> None:
    async with helping() as helper:
        os.write(helper._words.fileno(), b"Traceback ...\nMemoryError: no room\n")
        os.kill(helper.pid, signal.SIGSTOP)
        call = helper.call(End())
        helper.kill()
        for ask in (call.done.wait, lambda: helper.ask(End())):
            with anyio.fail_after(20):
                try:
                    await ask()
                except HelperDiedError as error:
                    assert error is helper.died  # noqa: PT017
        said = r"the helper, which is tested, was killed by SIGKILL \(process \d+\); its last words: MemoryError"
        with pytest.raises(HelperDiedError, match=said):
            helper.result(call, End)


async def test_an_end_that_it_was_told_is_no_death() -> None:
    async with helping() as helper:
        helper.hang_up()
        with anyio.fail_after(20):
            await helper.ended()
            await helper.heard_out.wait()
        assert (helper.died, helper.code, helper.how) == (None, 0, "exited with code 0")
        with pytest.raises(HelperDiedError, match="was told to end"):
            await helper.ask(End())


async def test_the_end_of_a_helper_is_waited_for_with_its_last_word_and_no_longer_than_that() -> None:
    async with helping() as helper:
        helper.before_reading = helper.ended  # it is heard late
        with anyio.fail_after(20):
            await helper.end(20)
        assert (helper.code, helper.heard_out.is_set()) == (0, True)
    async with helping() as helper:
        os.kill(helper.pid, signal.SIGSTOP)
        with anyio.fail_after(20):
            await helper.end(0.01)
        assert helper.code is None
    unheard = Helper("the helper, which is tested", "lucy_engines.process.guardian")
    with anyio.fail_after(20):
        await unheard.end(20)
    assert unheard.code == 0
    unheard.dispose()


async def test_whoever_gives_up_waiting_leaves_the_others_their_answers() -> None:
    async with helping() as helper:
        with anyio.move_on_after(0):
            await helper.ask(Dance(""))
        await helper.ask(End())


async def test_what_is_not_understood_is_told_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async with helping({Odd: print}) as helper:
        helper._send(b"garbage\n")
        helper._understand(helper._channel.feed(b'{"notice":"odd"}\n')[0])
        helper._understand(helper._channel.feed(b'{"notice":"unknown"}\n')[0])
        await helper.ask(End())
    said = capsys.readouterr().err
    assert said.count("the helper, which is tested, and Lucy don't understand each other") == 3
    assert "b'garbage' is none" in said
    assert "'odd' needs 'colour'" in said


async def test_a_helper_that_can_not_be_started_leaves_nothing_behind() -> None:
    with pytest.raises(HelperStartError, match="the helper, does not start: .*/nowhere"):
        Helper("the helper", "lucy_engines.process.guardian", directory="/nowhere")


def fill_descriptors() -> list[int]:
    """Open files until that is refused."""
    taken: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    return taken


async def test_a_helper_for_which_no_descriptor_is_left_says_so_and_keeps_none() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    taken = fill_descriptors()
    try:
        for free in range(5):
            with pytest.raises(HelperStartError, match="the helper, does not start: Too many open files"):
                Helper("the helper", "lucy_engines.process.guardian")
            again = fill_descriptors()
            assert len(again) == free
            taken += again
            for fd in (taken.pop() for _ in range(free + 1)):
                os.close(fd)
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.leaks("a helper lives on, as it was left to")
async def test_a_helper_that_is_left_goes_on_by_itself_until_lucy_has_hung_up() -> None:
    helper = Helper("the helper", "lucy_engines.process.guardian")
    helper.leave()
    assert ended(helper.pid)
