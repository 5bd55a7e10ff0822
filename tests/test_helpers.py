"""What Lucy's own processes have in common: they see her end whoever holds her sockets, and have last words."""

import os
import select
import subprocess
import sys

import pytest

from lucy_core.helpers import LastWords, how_it_ended, own_pidfd

# A helper that says what it sees first: that Lucy has ended, or that her pipe has.
HELPER = """
import os, select, sys
pidfd, pipe = map(int, sys.argv[1:])
os.write(1, b"lucy" if pidfd in select.select([pidfd, pipe], [], [], 20)[0] else b"pipe")
"""
# A Lucy that forks, and is killed while her child lives: the child holds the pipe that the helper reads.
LUCY = """
import os, signal, subprocess, sys
from lucy_core.helpers import own_pidfd
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
