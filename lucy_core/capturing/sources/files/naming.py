"""What has been called by one name, and where it is now. Standard library only, since the capture process loads it.

A name leads to other files over time: one is renamed and the next made, a link is put elsewhere, a directory is renamed
and made anew. Two things are known here: through which entries of which directories a name leads (`walk`), and which
files it has led to in the last of them, in their order (`Births`), however often they have been renamed since.
"""

import errno
import os
import stat
from typing import NamedTuple, final

from lucy_core.capturing.sources.files.inotify import CREATED, DELETED, MOVED_FROM, MOVED_TO, Notice

_LINKS = 40
"""How many links a path may go through, as for the kernel."""


class Entry(NamedTuple):
    """A name in a directory, which is no link itself."""

    directory: str
    name: str

    @property
    def path(self) -> str:
        return os.path.join(self.directory, self.name)


class Walk(NamedTuple):
    """Where a path leads."""

    entries: list[Entry]
    """Each entry that it leads through, links' and their targets' too."""
    reached: bool
    """Whether the last entry is the file's own; otherwise a directory is missing, and it is that one."""
    there: bool
    """Whether the file is there."""


def walk(path: str) -> Walk:
    """Walk an absolute path, as the kernel does.

    Raises:
        OSError: it leads in circles, or through a directory that may not be gone through.
    """
    entries: list[Entry] = []
    directory, links = "/", 0
    left = [part for part in path.split("/") if part]
    while left:
        name = left.pop(0)
        if name in {".", ".."}:
            directory = os.path.dirname(directory) if name == ".." else directory
            continue
        entry = Entry(directory, name)
        entries.append(entry)
        try:
            mode = os.lstat(entry.path).st_mode
            target = os.readlink(entry.path) if stat.S_ISLNK(mode) else None
        except FileNotFoundError:
            return Walk(entries, reached=not left, there=False)
        if target is not None:
            links += 1
            if links > _LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            directory = "/" if target.startswith("/") else directory
            left[:0] = [part for part in target.split("/") if part]
        elif left and not stat.S_ISDIR(mode):
            return Walk(entries, reached=False, there=False)
        elif left:
            directory = entry.path
    return Walk(entries, reached=True, there=True)


@final
class Births:
    """The files that a name in one directory has led to, each with a number, and what they are called now. Sans-IO."""

    __slots__ = ("_at", "_moving", "_name", "next")

    def __init__(self, name: str, first: int) -> None:
        self._name = name
        self._at: dict[str, int] = {}
        self._moving: dict[int, int] = {}
        self.next = first
        """The number that the next one gets."""

    def found(self) -> int:
        """Take note that the name leads to a file that nobody has told of; return its number."""
        self._at[self._name] = self.next
        self.next += 1
        return self.next - 1

    def heed(self, notice: Notice) -> int | None:
        """Take note of what happened in the directory; return the number of the file that came to be, if one did."""
        at, name = self._at, notice.name
        # What leaves the name without having been told of was there before anybody was told of anything.
        untold = name == self._name and name not in at
        if notice.what & MOVED_FROM:
            if untold:
                self.found()
            if name in at:
                self._moving[notice.cookie] = at.pop(name)
            return self.next - 1 if untold else None
        if notice.what & MOVED_TO:
            number = self._moving.pop(notice.cookie, None)
            at.pop(name, None)
            if number is not None:
                at[name] = number
            elif name == self._name:
                return self.found()
        elif notice.what & CREATED:
            # One that is there already was found before it was told of: nothing is made where something is.
            if untold:
                return self.found()
        elif notice.what & DELETED:
            number = self.found() if untold else None
            at.pop(name, None)
            return number
        return None

    def is_moving(self, number: int) -> bool:
        """Whether a file was renamed, and its new name isn't told yet: it never is where it has left the directory."""
        return number in self._moving.values()

    def forget(self) -> None:
        """Take note that not all was told: nobody knows what any file is called."""
        self._at.clear()
        self._moving.clear()

    def name_of(self, number: int) -> str | None:
        """Return what a file is called now, or None where it is gone from the directory."""
        return next((name for name, each in self._at.items() if each == number), None)

    def now(self) -> int | None:
        """Return the number of the file that the name leads to, as far as was told."""
        return self._at.get(self._name)
