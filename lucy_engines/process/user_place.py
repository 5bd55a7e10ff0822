"""The directory of a node that runs as another user: made theirs, and from then on worked in as that user alone.

Once the directory is theirs, so is what is in it, links too. Whatever root did there by its path could be led anywhere:
a link to `/etc` in the place of a directory is soon made. So what a test reads and writes there, and the emptying of
the state, is done by commands that run as that user, and reach what that user reaches. They are those that every Linux
has.

The directory is below a run directory that nobody else may enter, and stays so: that one user is let through it, and
sees nothing of the run. Below the system's directory for temporary files, where what a program makes is closed by habit
and gone soon, they are let through what is ours too (pytest's directories are three such). Elsewhere nothing of yours
is changed, and the run is refused.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import final

from lucy_core.engine import Output, Written, let_through
from lucy_core.errors import DeployError, NodeFileError
from lucy_core.helpers.helper import Refused
from lucy_engines.process.client import GuardianClient
from lucy_engines.process.users import User

SECONDS = 60.0
"""How long a command may take: longer only where a disk hangs, or a FIFO stands where a file should."""
_CLOSED = 'for place do [ -x "$place" ] || { printf %s "$place"; exit 1; }; done'
_READ = 'exec cat -- "$1"'
_WRITE = 'umask 077; mkdir -p -- "$(dirname -- "$1")" && exec cat >"$1"'
_EMPTY = (
    'if [ -L "$1" ]; then rm -f -- "$1"; elif [ -d "$1" ]; then chmod -R u+rwX -- "$1" && rm -rf -- "$1"; fi'
    ' && mkdir -m 700 -- "$1"'
)


@final
class UserPlace:
    """A node's directory, in the hands of its user."""

    def __init__(self, node: str, directory: Path, user: User, guardian: GuardianClient, run: Path) -> None:
        self._node = node
        self._directory = directory
        self._user = user
        self._guardian = guardian
        self._run = run

    async def hand_over(self) -> None:
        """Make the directory and all that is in it theirs, and have them get there.

        Raises:
            DeployError: they can't, saying where it ends.
        """
        try:
            # From the bottom up: as long as the top is ours nobody else is in there.
            for place, directories, files in os.walk(self._directory, topdown=False):
                for name in (*directories, *files):
                    self._give(Path(place, name))
            self._give(self._directory)
        except OSError as error:
            reason = f"{error.filename} can't be given to {self._user.name}: {error.strerror}"
            raise DeployError(reason, self._node) from error
        opened: Path | None = None
        while (closed := await self._first_closed()) is not None:
            if closed == opened or not self._may_be_opened(closed):
                reason = f"{self._user.name} may not enter {closed}, on the way to its directory"
                raise DeployError(
                    f"{reason}; choose a run directory in a place open to all, such as /var/tmp", self._node
                )
            try:
                let_through(closed, self._user.identity.user)
            except OSError as error:
                reason = f"{self._user.name} can't be let through {closed}: {error.strerror}"
                raise DeployError(f"{reason}; choose a run directory on another disk", self._node) from error
            opened = closed

    def _give(self, path: Path) -> None:
        os.chown(path, self._user.identity.user, self._user.identity.groups[0], follow_symlinks=False)

    async def _first_closed(self) -> Path | None:
        above = [str(place) for place in reversed(self._directory.parents)]
        code, found, errors = await self._run_as_user(_CLOSED, (*above, str(self._directory)))
        if code and not found:
            raise DeployError(f"nothing can be run as {self._user.name}: {_last(errors)}", self._node)
        return Path(os.fsdecode(found)) if code else None

    def _may_be_opened(self, place: Path) -> bool:
        temporary = Path(tempfile.gettempdir()).resolve()
        is_run = place == self._run or self._run in place.parents
        return place.stat().st_uid == os.geteuid() and (is_run or temporary in place.resolve().parents)

    async def read(self, path: str) -> bytes:
        """Return what a file holds, which the user may read.

        Raises:
            NodeFileError: it can't be read.
        """
        code, content, errors = await self._run_as_user(_READ, (self._absolute(path),))
        if code:
            raise NodeFileError(self._node, "read", path, _last(errors))
        return content

    async def write(self, path: str, content: bytes) -> None:
        """Put a file there, the user's alone.

        Raises:
            NodeFileError: it can't be written.
        """
        code, _, errors = await self._run_as_user(_WRITE, (self._absolute(path),), content)
        if code:
            raise NodeFileError(self._node, "write", path, _last(errors))

    async def make_empty(self, directory: str) -> None:
        """Have an empty directory there; a link in its place goes, and not what it leads to.

        Raises:
            DeployError: something in it can't be removed.
        """
        code, _, errors = await self._run_as_user(_EMPTY, (directory,))
        if code:
            reason = f"its state can't be emptied: {_last(errors)}"
            raise DeployError(f"{reason}; remove it, or start the node without fresh_state", self._node)

    def _absolute(self, path: str) -> str:
        return str(self._directory / path)

    async def _run_as_user(self, script: str, words: Sequence[str], given: bytes = b"") -> tuple[int, bytes, bytes]:
        written: dict[Output, list[bytes]] = {output: [] for output in Output}

        def take(piece: Written) -> None:
            written[piece.output].append(piece.data)

        try:
            done = await self._guardian.execute(
                ["/bin/sh", "-c", script, "sh", *words],
                {"PATH": os.defpath, "LC_ALL": "C"},
                Path("/"),
                given=given,
                seconds=SECONDS,
                take=take,
                identity=self._user.identity,
            )
        except Refused as refused:
            raise DeployError(f"nothing can be run as {self._user.name}: {refused.reason}", self._node) from refused
        out, errors = (b"".join(written[output]) for output in Output)
        if done.timed_out:
            return 1, out, f"it took more than {SECONDS:g} s".encode()
        return done.code, out, errors


def _last(errors: bytes) -> str:
    """Return what a command has complained of last: `cat: x: No such file or directory`, less its name."""
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1].partition(": ")[2] if lines else "it failed without a word"
