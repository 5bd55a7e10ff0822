"""Running the commands that somebody was told to give."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are on a machine on which nobody has installed anything of Python's."""


class ShellError(Exception):
    """Commands had no end."""


def run_shell(
    words: Sequence[str | Path], directory: Path, environment: Mapping[str, str], *, within: float
) -> tuple[int, str]:
    """Run a command, with whatever it starts, for so many seconds; return its status and all that it wrote.

    Raises:
        ShellError: it had not ended; it was killed.
    """
    with subprocess.Popen(
        words,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            written, _ = process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            written, _ = process.communicate()
            raise ShellError(f"no end within {within:g} s:\n{written}") from None
    return process.returncode, written
