"""The files below a directory whose paths match a pattern, each a source of its own. Bare.

A file is what it is, and not what it is called: each is read once, from its start to its end and for as long as it is
written, and its lines are those of the name that it had first. So it makes no difference that `server.log` becomes
`server-1.log`, which matches as well, and that another `server.log` takes its place: that is a new file, whose lines
are those of `server.log` too. A file that still has a name stays open, which also keeps the file system from giving its
number to another.

As where one name is followed (`follow`), the kernel tells of all that happens in the directories, so that a file that
was renamed before anybody looked is found by what it is called by now; `look` looks at all names without being told;
and what can't be read any more is doubted, never passed over. A link counts as the file that it leads to when it is
found. Not found out: that a file was copied, whose lines come twice where the copy matches.
"""

import contextlib
import fnmatch
import glob
import os
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple, final

from lucy_core.capturing.framing import Framer
from lucy_core.capturing.sources.files.inotify import (
    CREATED,
    DELETED,
    ENTRIES,
    MODIFIED,
    MOVED_FROM,
    MOVED_TO,
    OVERFLOWED,
    Notice,
)
from lucy_core.capturing.sources.files.open_file import OpenFile
from lucy_core.capturing.sources.files.turns import FilesInTurn
from lucy_core.capturing.sources.source import NO_DESCRIPTOR
from lucy_core.records.keys import readable

KEPT_FILES = 8
"""How many files are kept open that were deleted: their writers may be yet to be told."""
Identity = tuple[int, int]
"""A device, and the number of a file on it."""


class Born(NamedTuple):
    """A file that is yet to be opened."""

    first: str
    """What it was called first."""
    number: int
    """Which of all that were told of."""
    identity: Identity | None = None
    """What it is, where it was seen and not told of: a notice of what was before may be on its way."""


@final
class LogFiles(FilesInTurn):
    """Reads files as they come."""

    __slots__ = (
        "_begin",
        "_born",
        "_directories",
        "_directory",
        "_identities",
        "_moving",
        "_number",
        "_patterns",
        "_stale",
        "_taken",
    )

    def __init__(self, directory: str, patterns: Sequence[str], begin: Callable[[str], None]) -> None:
        """Begin to look.

        Args:
            directory: where; it is there already.
            patterns: of paths below it, as the shell has them; `**` is no other than `*`.
            begin: makes ready for the lines of a file, by its name, before any of them.

        Raises:
            OSError: the directory isn't there, or there are too many watches.
        """
        super().__init__()
        self._directory = os.path.abspath(directory)
        self._patterns = [pattern.split("/") for pattern in patterns]
        self._begin = begin
        self._identities: dict[Identity, OpenFile] = {}
        self._born: dict[str, Born] = {}
        """By what each is called now."""
        self._taken: set[str] = set()
        """What those are called now that were opened."""
        self._moving: dict[int, Born | None] = {}
        """By cookie what is being renamed; None where that was opened."""
        self._directories: dict[int, str] = {}
        self._number = 0
        self._stale = True
        try:
            self._inotify.watch(self._directory, ENTRIES)
            self._hear()
        except OSError:
            self.close()
            raise

    def look(self) -> None:
        """Look at all names, and at all files."""
        self._stale = self.unread = True
        self._look_at_all()
        self._hear()

    def read(self) -> bytes:
        """Take the next bytes of the file that has waited longest. `framer` is then that file's, and has its name.

        Raises:
            OSError: no descriptor is left for a file that is new, which waits; or the disk fails.
        """
        self._hear()
        chunk = self._read_next()
        if not chunk:
            self._let_go()
            self.unread = False
        return chunk

    def _name_of(self, file: OpenFile) -> str:
        return file.framer.name

    def _let_go(self) -> None:
        """Close files that have no name any more and are read to their ends, beyond those that may be kept."""
        gone = [(identity, file) for identity, file in self._identities.items() if file.is_nameless]
        gone.sort(key=lambda each: each[1].last_read)
        for identity, file in gone[: max(0, len(gone) - KEPT_FILES)]:
            self._give_up_line(file)
            file.close()
            del self._identities[identity]
            del self._files[file.watch]
            self._inotify.forget(file.watch)

    # Hearing

    def _hear(self) -> None:
        """Take all notices, and open what was born."""
        while True:
            while notices := self._inotify.read():
                for notice in notices:
                    self._heed(notice)
            if self._stale:
                self._stale = False
                self._look_at_names()
            elif not self._born:
                break
            for name, born in tuple(self._born.items()):
                self._open(name, born)
        lost = [born for born in self._moving.values() if born is not None]
        self._doubts += [f"{born.first} was moved elsewhere before it was read" for born in lost]
        self._moving.clear()

    def _heed(self, notice: Notice) -> None:
        if notice.what & OVERFLOWED:
            self._stale = True
            self._look_at_all()
            self._doubts.append("more happened around its files than the kernel could tell: one may have been missed")
            return
        if (file := self._files.get(notice.watch)) is not None:
            if notice.what & MODIFIED and file.is_open and file not in self._dirty:
                self._dirty.append(file)
            return
        if not notice.name or notice.watch not in self._directories:
            return
        place = self._directories[notice.watch]
        name = f"{place}/{notice.name}" if place else notice.name
        if notice.what & (CREATED | MOVED_TO) and self._leads_on(name):
            self._stale = True
        if notice.what & MOVED_FROM and (name in self._born or name in self._taken):
            self._moving[notice.cookie] = self._born.pop(name, None)
            self._taken.discard(name)
            return
        self._taken.discard(name)
        if notice.what & (DELETED | MOVED_TO) and (born := self._born.get(name)) is not None:
            if born.identity is not None and born.identity == self._identity_of(name):
                return  # what was deleted or replaced had the name before
            del self._born[name]
            self._doubts.append(f"{born.first} came and was gone before it could be read")
        if notice.what & MOVED_TO and notice.cookie in self._moving:
            moved = self._moving.pop(notice.cookie)
            if moved is None:
                self._taken.add(name)
            else:
                self._born[name] = moved
        elif notice.what & (CREATED | MOVED_TO) and self._matches(name) and name not in self._born:
            self._bear(name)

    def _bear(self, name: str, identity: Identity | None = None) -> None:
        self._number += 1
        self._born[name] = Born(name, self._number, identity)

    def _identity_of(self, name: str) -> Identity | None:
        with contextlib.suppress(OSError):
            found = os.stat(f"{self._directory}/{name}")
            return found.st_dev, found.st_ino
        return None

    def _matches(self, name: str) -> bool:
        parts = name.split("/")
        return any(len(parts) == len(pattern) and _fit(parts, pattern) for pattern in self._patterns)

    def _leads_on(self, name: str) -> bool:
        """Tell whether a directory of that name may come to hold such a file, or hold one already."""
        parts = name.split("/")
        return any(len(parts) < len(pattern) and _fit(parts, pattern) for pattern in self._patterns)

    def _look_at_names(self) -> None:
        """Watch the directories that are there by now, and only then read the names in them."""
        for pattern in self._patterns:
            for depth in range(len(pattern)):
                part = "/".join(pattern[:depth])
                for name in glob.glob(part, root_dir=self._directory) if part else ("",):
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                        self._directories[self._inotify.watch(f"{self._directory}/{name}", ENTRIES)] = name
        for pattern in self._patterns:
            for name in sorted(glob.glob("/".join(pattern), root_dir=self._directory)):
                identity = self._identity_of(name)
                if identity is not None and identity not in self._identities and name not in self._born:
                    self._bear(name, identity)

    # Opening

    def _open(self, name: str, born: Born) -> None:
        """Take a file in, unless it turns out to be known, or to be none; what has another name by now, waits."""
        if self._born.get(name) != born:
            return
        try:
            fd = self._opened(name)
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                raise
            for notice in self._inotify.read():
                self._heed(notice)
            if self._born.get(name) == born:
                del self._born[name]
                self._doubts.append(f"{born.first} can't be read: {error.strerror}")
            return
        if fd is None:
            del self._born[name]
            return
        try:
            for notice in self._inotify.read():
                self._heed(notice)
            found = os.fstat(fd)
            identity = found.st_dev, found.st_ino
            if self._born.get(name) != born:
                return  # that was another file, which had this name before or has it by now
            if identity not in self._identities and self._can_begin(born):
                self._take(fd, identity, born)
                fd = -1
            del self._born[name]
            self._taken.add(name)
        finally:
            if fd >= 0:
                os.close(fd)

    def _can_begin(self, born: Born) -> bool:
        """Make ready for a file's lines. One that has no place among the logs, by its long name say, costs no other."""
        try:
            self._begin(readable(born.first))
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                raise
            self._doubts.append(f"{born.first} can't be recorded: {error.strerror}")
            return False
        return True

    def _opened(self, name: str) -> int | None:
        """Open a regular file, and nothing else: to open a FIFO or a device may block, or do something."""
        path = f"{self._directory}/{name}"
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return None

    def _take(self, fd: int, identity: Identity, born: Born) -> None:
        watch = self._inotify.watch(f"/proc/self/fd/{fd}", MODIFIED)
        file = OpenFile(fd, born.number, watch)
        file.framer = Framer(readable(born.first))
        self._files[watch] = self._identities[identity] = file
        self._dirty.append(file)
        self.unread = True


def _fit(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether the parts of a path are as the first of a pattern say; a dot at the beginning has to be said."""
    return all(
        fnmatch.fnmatchcase(part, wanted) and (part[:1] != "." or wanted[:1] == ".")
        for part, wanted in zip(parts, pattern, strict=False)
    )
