"""Following a file by its name, through rotation and truncation. Standard library only: the capture process loads it.

A name leads to one file after the other, and whoever has an older one open may write on into it: a daemon that is yet
to be told of the rotation. So each file that the name has led to stays open, and is read for as long as anybody writes
it; what was born while nobody looked is found by what it is called by now. Each has lines of its own.

**Told by the kernel**, of every directory that the path leads through, links and their targets included: a file that
doesn't exist yet, a link that is put elsewhere, a directory that is renamed and made anew are noticed like a file that
grows, and counted, so that what came and went unseen is known to have been there. Nobody is told of what another
machine writes, or of a directory that may not be read: `look` looks without being told, and is to be called at times.

**What can't be read any more is doubted, never passed over**: a file that is truncated, whose last lines nobody could
read before that, for all one knows; one that is deleted, or moved out of its directory, before it was opened. The
ledger has each doubt as a gap. Not found out: a file that is written anew with the very bytes of before, at its
beginning and where reading goes on (`open_file`); one that is truncated before it was first read; one that came and
was deleted in a directory which the path leads into since the last look.
"""

import errno
import os
import stat
import time
from typing import final

from lucy_core.capturing.sources.files.inotify import FORGOTTEN, MODIFIED, OVERFLOWED, Notice
from lucy_core.capturing.sources.files.open_file import OpenFile
from lucy_core.capturing.sources.files.turns import FilesInTurn
from lucy_core.capturing.sources.files.way import Place, Way
from lucy_core.capturing.sources.source import NO_DESCRIPTOR

KEPT_FILES = 8
"""How many files that the name has left are kept open. Beyond that the one that was silent longest is let go; if
somebody writes it after all, it is opened again where it is still to be found."""
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFDIR: "a directory", stat.S_IFSOCK: "a socket"}


def _open(place: Place, name: str) -> int:
    """Open a regular file, and nothing else: to open a FIFO or a device may block, or do something.

    Raises:
        OSError: it is something else, of which a link is ELOOP, or can't be read.
    """
    path = os.path.join(place.entry.directory, name)
    _refuse_special(os.stat(name, dir_fd=place.fd, follow_symlinks=False).st_mode, path)
    fd = os.open(name, _OPEN, dir_fd=place.fd)
    try:
        _refuse_special(os.fstat(fd).st_mode, path)
    except OSError:
        os.close(fd)
        raise
    return fd


def _refuse_special(mode: int, path: str) -> None:
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "it is a link", path)
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "a device")
        raise OSError(errno.EINVAL, f"it is {kind}, and only a regular file can be followed", path)


@final
class FileSource(FilesInTurn):
    """Reads a file from its start and follows it by name."""

    __slots__ = ("_looks", "_missed", "_path", "_told", "_way")

    def __init__(self, path: str) -> None:
        """Open it, where it is there.

        Raises:
            OSError: it is no regular file or can't be read, its directory isn't there, or there are too many watches.
        """
        super().__init__()
        self._path = os.path.abspath(path)
        self._told: set[int] = set()
        self._missed: dict[int, tuple[str, int]] = {}
        self._looks = 0
        self._way = Way(self._path, self._inotify)
        try:
            self._begin()
        except OSError:
            self.close()
            raise

    def _begin(self) -> None:
        self._way.find()
        self._way.settle()
        place = self._way.place
        if place is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.path.dirname(self._path))
        for number in place.pending:
            name = place.births.name_of(number)
            if name is not None:
                os.close(_open(place, name))
        self._hear(patient=True)

    def take_doubts(self) -> list[str]:
        doubts = [*super().take_doubts(), *self._way.doubts]
        self._way.doubts.clear()
        return doubts

    def look(self) -> None:
        """Look whether anything has happened that nobody told of, and doubt what can't be opened by now.

        What was there and isn't, without a notice of it, is doubted at the second look.
        """
        self._looks += 1
        self._way.stale = self.unread = True
        self._look_at_all()
        self._hear(patient=False)
        if self._leads_to_unknown():
            self._hear(patient=False)  # it may have come just now, and been told of
            if (place := self._leads_to_unknown()) is not None:
                place.found()
                self._hear(patient=False)

    def read(self) -> bytes:
        """Take the next bytes of the oldest file that has any. `framer` is then that file's.

        Raises:
            OSError: no descriptor is left for a file that is new, which waits; or the disk fails.
        """
        self._hear(patient=True)
        chunk = self._read_next()
        if not chunk:
            self._let_go()
            self.unread = self._way.stale
        return chunk

    def _name_of(self, file: OpenFile) -> str:  # noqa: ARG002  # all have had the one name
        return self._path

    def _let_go(self) -> None:
        """Close files that the name has left, all read to their ends, beyond those that may be kept."""
        now = None if self._way.place is None else self._way.place.births.now()
        old = [file for file in self._files.values() if file.is_open and file.number != now]
        for file in sorted(old, key=lambda file: file.last_read)[: max(0, len(old) - KEPT_FILES)]:
            self._give_up_line(file)
            file.close()

    # Hearing

    def _hear(self, *, patient: bool) -> None:
        """Take all notices, walk the way anew where it has changed, and open what was born.

        Patient, it leaves what can't be opened for the next time: a notice that says why may be on its way.
        """
        now_ns = time.time_ns()
        while True:
            while self._take_notices():
                pass
            self._way.settle()
            place = self._way.place
            if not self._way.stale and (place is None or not place.pending):
                self._way.looked_ns = now_ns
                return
            moved = place is not None and self._open_born(place, patient=patient)
            if self._way.stale:
                self._find_way()
                if self._way.stale:
                    return  # it changes all the time
            elif not moved and not self._take_notices():
                self._way.looked_ns = now_ns
                return

    def _find_way(self) -> None:
        try:
            self._way.find()
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                raise
            self._doubts.append(f"{self._path} can't be found any more: {error.strerror}: {error.filename}")

    def _take_notices(self) -> bool:
        notices = self._inotify.read()
        for notice in notices:
            self._heed(notice)
        return bool(notices)

    def _heed(self, notice: Notice) -> None:
        file = self._files.get(notice.watch)
        if notice.what & OVERFLOWED:
            self._go_on_unheard()
        elif file is None:
            self._way.heed(notice)
        elif notice.what & FORGOTTEN and not file.is_open:
            del self._files[notice.watch]
        elif notice.what & MODIFIED and (file.is_open or self._open_again(file)):
            self._soil(file)

    def _go_on_unheard(self) -> None:
        """Notices were lost: look at everything, and doubt where the name leads to a file that we don't know."""
        if self._leads_to_unknown() is not None:
            self._doubts.append(f"{self._path} was replaced while more happened around it than the kernel could tell")
        self._way.forget_names()
        self._look_at_all()

    def _leads_to_unknown(self) -> Place | None:
        """Return the place in which the name leads to a file that is neither open nor about to be."""
        place = self._way.place
        if place is None or place.births.now() in place.pending:
            return None
        try:
            found = os.stat(place.entry.name, dir_fd=place.fd, follow_symlinks=False)
        except OSError:
            return None
        known = not stat.S_ISREG(found.st_mode) or any(file.is_same(found) for file in self._files.values())
        return None if known else place

    def _soil(self, file: OpenFile) -> None:
        """Take note that there may be something to read."""
        if file not in self._dirty:
            self._dirty.append(file)
            self._dirty.sort(key=lambda each: each.number)

    def _open_again(self, file: OpenFile) -> bool:
        place = self._way.place
        name = None if place is None else place.births.name_of(file.number)
        if place is not None and name is not None:
            try:
                fd = _open(place, name)
                if self._watch(fd) == file.watch:
                    file.reopen(fd)
                    return True
                os.close(fd)
            except OSError:
                pass  # told below
        if file.number not in self._told:
            self._told.add(file.number)
            self._doubts.append(
                f"an earlier file of {self._path} is still written to, more than {KEPT_FILES} rotations later, and "
                f"can't be read any more"
            )
        return False

    # Opening

    def _watch(self, fd: int) -> int:
        return self._inotify.watch(f"/proc/self/fd/{fd}", MODIFIED)

    def _open_born(self, place: Place, *, patient: bool) -> bool:
        """Open what is called as was told; return whether any was renamed meanwhile, and is to be tried again."""
        moved = False
        for number in tuple(place.pending):
            name = place.births.name_of(number)
            if name is None:
                if not (place.births.is_moving(number) and self._waits_for(number, "")):
                    place.pending.remove(number)
                    self._doubts.append(f"{self._path}: a file was there for a moment, and gone before it was read")
                continue
            try:
                fd = _open(place, name)
            except OSError as error:
                self._leave(place, number, name, error, patient=patient)
                continue
            # Whoever renamed it before we opened it has been told of by now, and then this may be the next of its name.
            self._take_notices()
            if place.births.name_of(number) == name:
                place.pending.remove(number)
                self._take(fd, number)
            else:
                os.close(fd)
                moved = True
        return moved

    def _waits_for(self, number: int, called: str) -> bool:
        """Whether a file that is missing may be told of soon, as it is being renamed; at the second look it is gone."""
        name, look = self._missed.get(number, (None, 0))
        if name != called:
            look = self._looks
            self._missed[number] = (called, look)
        return look == self._looks

    def _leave(self, place: Place, number: int, name: str, error: OSError, *, patient: bool) -> None:
        """Do with a file that can't be opened what is right: wait, or doubt."""
        if error.errno in NO_DESCRIPTOR:
            raise error
        if error.errno == errno.ELOOP:
            place.pending.remove(number)  # a link: no file, but a way to one
        elif error.errno == errno.ENOENT and self._waits_for(number, name):
            pass
        elif not patient:
            if error.errno != errno.EACCES:
                place.pending.remove(number)
            if number not in self._told:
                self._told.add(number)
                self._doubts.append(f"{self._path} can't be read: {error.strerror}")

    def _take(self, fd: int, number: int) -> None:
        try:
            watch = self._watch(fd)
        except OSError:
            os.close(fd)
            raise
        file = self._files.get(watch)
        if file is None:
            file = self._files[watch] = OpenFile(fd, number, watch)
        else:
            file.reopen(fd)  # one that we know has its old name again, or one more
            file.number = number
        self._soil(file)

    def close(self) -> None:
        self._way.close()
        super().close()
