"""The way that a path leads, watched. Standard library only, since the capture process loads it.

Watched are all directories that the path leads through, links' and their targets' too, so that a link that is put
elsewhere and a directory that is renamed and made anew are told of. A directory is watched before it is looked into:
what happens in between is told twice, and not at all otherwise.
"""

import contextlib
import os
from typing import final

from lucy_core.capturing.sources.files.inotify import CREATED, ENTRIES, MOVED_TO, Inotify, Notice
from lucy_core.capturing.sources.files.naming import Births, Entry, Walk, walk

_TRIES = 10
"""How often in a row the way may have changed while it was walked; then it is left for the next time."""
_ROTATED = (".", "-", "_", "~")
"""What stands between a log's name and what is added to it where it is rotated."""
_TICK_NS = 10_000_000
"""The kernel's stamps of files are up to a tick of its clock behind."""


@final
class Place:
    """The directory in which the file itself is, held open: its path may be another's by now."""

    __slots__ = ("births", "entry", "fd", "key", "pending", "watch")

    def __init__(self, entry: Entry, watch: int, first: int) -> None:
        self.entry = entry
        self.watch = watch
        self.fd = os.open(entry.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        found = os.fstat(self.fd)
        self.key = (found.st_dev, found.st_ino, entry.name)
        self.births = Births(entry.name, first)
        self.pending: list[int] = []
        """Numbers of the files that are yet to be opened."""

    def found(self) -> None:
        """Take note that the file is there, whoever told."""
        self.pending.append(self.births.found())

    def rotated_since(self, moment_ns: int) -> str | None:
        """Return a file here that had the name, maybe, at a moment of the machine's clock or later, if any."""
        forms = tuple(self.entry.name + mark for mark in _ROTATED)
        with contextlib.suppress(OSError):
            for name in os.listdir(self.entry.directory):
                if name.startswith(forms) and os.stat(name, dir_fd=self.fd).st_ctime_ns > moment_ns - _TICK_NS:
                    return name
        return None

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


@final
class Way:
    """Where a path leads now, and what is told of it."""

    __slots__ = ("_inotify", "_names", "_path", "_swaps", "_there", "doubts", "looked_ns", "place", "stale")

    def __init__(self, path: str, inotify: Inotify) -> None:
        self._path = path
        self._inotify = inotify
        self._names: dict[int, set[str]] = {}
        self._swaps: dict[tuple[int, str], int] = {}
        self._there = False
        self.place: Place | None = None
        """Where the file is; where it was last, while the path leads nowhere; None before it ever was anywhere."""
        self.looked_ns = 0
        """When all had been told, the last time, on the machine's clock."""
        self.stale = True
        """Whether `find` is to be called."""
        self.doubts: list[str] = []
        """What may have been there unseen; whoever reads them takes them away."""

    def heed(self, notice: Notice) -> None:
        """Take note of what happened."""
        place = self.place
        here = place is not None and notice.watch == place.watch
        if place is not None and here and notice.what & ENTRIES:
            born = place.births.heed(notice)
            if born is not None:
                place.pending.append(born)
        if notice.name not in self._names.get(notice.watch, ()):
            return
        self.stale = True
        if notice.what & (CREATED | MOVED_TO) and not (place is not None and here and notice.name == place.entry.name):
            step = (notice.watch, notice.name)
            self._swaps[step] = self._swaps.get(step, 0) + 1

    def settle(self) -> None:
        """Take note that all was told: a file that is there, and of which nobody told, was there before."""
        there, self._there = self._there, False
        if there and self.place is not None and self.place.births.now() is None:
            self.place.found()

    def forget_names(self) -> None:
        """Take note that not all was told: what is called how is not known any more."""
        self.stale = True
        if self.place is not None:
            self.place.births.forget()

    def find(self) -> None:
        """Walk the path anew.

        Raises:
            OSError: it can't be walked, or not be watched.
        """
        self.stale = not any(self._found() for _ in range(_TRIES))
        swaps, self._swaps = self._swaps, {}
        for (_, name), count in swaps.items():
            if count > 1:
                self.doubts.append(f"on the way to {self._path}, {name!r} was put elsewhere {count} times unseen")

    def _found(self) -> bool:
        """Walk the path once; return whether nothing can have changed meanwhile without being told."""
        try:
            walked = walk(self._path)
            watches = self._watch(walked.entries)
            if watches is None:
                return False
            if walked.reached:
                self._arrive(walked, watches.get(walked.entries[-1].directory, -1))
        except (FileNotFoundError, NotADirectoryError):
            return False  # it went away under our feet
        return True

    def _watch(self, entries: list[Entry]) -> dict[str, int] | None:
        """Watch the directories of these entries and no others; None where any was not watched before."""
        watches: dict[str, int] = {}
        names: dict[int, set[str]] = {}
        for directory, name in entries:
            try:
                number = watches[directory] = self._inotify.watch(directory, ENTRIES)
            except PermissionError:
                continue  # one may go through it and not look into it: nobody can be told, and `look` looks
            names.setdefault(number, set()).add(name)
        before, self._names = self._names, names
        kept = -1 if self.place is None else self.place.watch
        for number in before.keys() - names.keys() - {kept}:
            self._inotify.forget(number)
        return None if names.keys() - before.keys() - {kept} else watches

    def _arrive(self, walked: Walk, watch: int) -> None:
        entries, place = walked.entries, self.place
        new = Place(entries[-1], watch, 0 if place is None else place.births.next)
        if place is not None and new.key == place.key:
            new.close()
            place.entry = entries[-1]
        else:
            place = new
            self._move(place)
        self._there = walked.there

    def _move(self, place: Place) -> None:
        old, self.place = self.place, place
        if old is None:
            return
        self.doubts += [f"{self._path} led to a file that could not be opened before it led elsewhere"] * len(
            old.pending
        )
        if old.watch not in self._names:
            self._inotify.forget(old.watch)
        old.close()
        if rotated := place.rotated_since(self.looked_ns):
            self.doubts.append(
                f"{self._path} leads into another directory, where {rotated!r} was rotated before it could be watched"
            )

    def close(self) -> None:
        """Close what is open. Again is no error."""
        if self.place is not None:
            self.place.close()
