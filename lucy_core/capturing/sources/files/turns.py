"""The turns of the files of one source, each of which is read while there is something to read. Bare.

Which files there are, whoever keeps them finds out: `follow` by one name, `logs` by patterns. Here is what it does with
them then. The kernel says which were written; these are read one after the other, each to its end.
"""

from abc import abstractmethod

from lucy_core.capturing.framing import Framer
from lucy_core.capturing.sources.files.inotify import Inotify
from lucy_core.capturing.sources.files.open_file import OpenFile
from lucy_core.capturing.sources.source import Source


class FilesInTurn(Source):
    """Several files, each with the unfinished line of its own."""

    __slots__ = ("_dirty", "_doubts", "_files", "_inotify", "_reads", "_torn", "unread")
    is_plain = False

    def __init__(self) -> None:
        """Begin without a file.

        Raises:
            OSError: there are too many watches.
        """
        super().__init__()
        self._files: dict[int, OpenFile] = {}
        """By watch."""
        self._dirty: list[OpenFile] = []
        """In which there may be something to read, in the order in which they are read."""
        self._torn: list[Framer] = []
        self._doubts: list[str] = []
        self._reads = 0
        self.unread = True
        self._inotify = Inotify()

    def fileno(self) -> int:
        return self._inotify.fileno()

    @abstractmethod
    def _name_of(self, file: OpenFile) -> str:
        """Return what a file is called, for people."""

    def _read_next(self) -> bytes:
        """Take the next bytes of the first file that has any, whose `framer` is then the source's; `b""` for none.

        Raises:
            OSError: the disk fails.
        """
        while self._dirty:
            file = self._dirty[0]
            chunk = file.read() if file.is_open else b""
            if chunk is None:
                self._give_up_line(file)
                self._doubts.append(f"{self._name_of(file)} was truncated: what was written just before may be missing")
            elif chunk:
                self._reads += 1
                file.last_read = self._reads
                self.framer = file.framer
                self.unread = True
                return chunk
            else:
                self._dirty.pop(0)
        return b""

    def _in_order(self) -> list[OpenFile]:
        return sorted(self._files.values(), key=lambda file: file.number)

    def _look_at_all(self) -> None:
        """Read all that are open, whether anything was told of them or not."""
        self._dirty = [file for file in self._in_order() if file.is_open]

    def _give_up_line(self, file: OpenFile) -> None:
        self._torn.append(file.framer)
        file.framer = Framer(file.framer.name)

    def take_doubts(self) -> list[str]:
        doubts, self._doubts = self._doubts, []
        return doubts

    def take_torn(self) -> list[Framer]:
        torn, self._torn = self._torn, []
        return torn

    def unfinished(self) -> list[Framer]:
        return [file.framer for file in self._in_order()]

    def left(self) -> int:
        return sum(file.size() for file in self._files.values())

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._inotify.close()
