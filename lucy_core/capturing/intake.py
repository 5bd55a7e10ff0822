"""Where lines go in: opens sources, and puts written lines and facts among what they give. Bare.

It is asked in the forms of `requests`, by the server of the capture process or, where nothing is recorded, by the
pipeline itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, final

from lucy_core.capturing import draining, requests
from lucy_core.capturing.requests import Drained, Listening, Position
from lucy_core.capturing.searching import count_lines
from lucy_core.capturing.sink import Sink
from lucy_core.capturing.sources.fifo import FifoSource
from lucy_core.capturing.sources.files.follow import FileSource
from lucy_core.capturing.sources.files.logs import LogFiles
from lucy_core.capturing.sources.resumable import ResumableListener
from lucy_core.capturing.sources.sockets import Listener
from lucy_core.capturing.sources.source import NO_DESCRIPTOR, Source
from lucy_core.capturing.sources.whole import WholeSource
from lucy_core.capturing.tagged import SHARED
from lucy_core.helpers.forms import Done, Form
from lucy_core.helpers.server import reason_of
from lucy_core.records.keys import key_of

S = TypeVar("S", bound=Source)


@final
class Intake:
    """The sources of one run, and what is put beside them."""

    def __init__(self, sink: Sink, token: str) -> None:
        """Begin without any.

        Args:
            sink: where all goes.
            token: what a peer over TCP has to say.
        """
        self.drain = draining.Drain(sink)
        self._sink = sink
        self._token = token
        self._shared: dict[str, draining.Reading] = {}
        """The FIFOs that several share, by their path."""
        self.verbs: Mapping[type[Any], Callable[[Any], Form | None]] = {
            requests.Write: self._write,
            requests.Note: self._note,
            requests.Fifo: self._open_fifo,
            requests.SharedFifo: self._open_shared_fifo,
            requests.JoinFifo: self._join_fifo,
            requests.File: self._follow_file,
            requests.Whole: self._read_whole,
            requests.LogFiles: self._follow_log_files,
            requests.Listen: self._listen,
            requests.ListenResumably: self._listen_resumably,
            requests.Fence: self._fence,
            requests.Drain: self._drain,
            requests.Rest: self._rest,
        }
        """What it can be asked."""

    def obey(self, asked: Form) -> Form:
        """Do what is asked, and answer.

        Raises:
            OSError: it can't be done.
            ValueError: it would make no sense.
        """
        return self.verbs[type(asked)](asked) or Done()

    def _write(self, asked: requests.Write) -> Position:
        position = self._sink.position
        self._sink.put(asked.node, [asked.lines], count_lines(asked.lines))
        return Position(position)

    def _note(self, asked: requests.Note) -> None:
        self._sink.note(asked.fact, asked.node, **asked.more)

    def _open_fifo(self, asked: requests.Fifo) -> None:
        self._open(lambda: FifoSource(asked.path, self.drain.buffer), asked.node)

    def _open_shared_fifo(self, asked: requests.SharedFifo) -> None:
        source = self._open(lambda: FifoSource(asked.path, self.drain.buffer), SHARED, asked.nodes)
        self._shared[asked.path] = self.drain.readings[source.fileno()]

    def _join_fifo(self, asked: requests.JoinFifo) -> None:
        shared = self._shared.get(asked.path)
        if shared is None:
            raise ValueError(f"nobody shares a FIFO {asked.path}")
        for each in asked.nodes:
            self._sink.begin(each)
        self.drain.join(shared, asked.nodes)

    def _follow_file(self, asked: requests.File) -> None:
        self._refuse_own(asked.path)
        self._open(lambda: FileSource(asked.path), asked.node)

    def _read_whole(self, asked: requests.Whole) -> None:
        self._refuse_own(asked.path)
        self._open(lambda: WholeSource(asked.path), asked.node)

    def _refuse_own(self, path: str) -> None:
        if self._sink.owns(path):
            raise ValueError(f"{path} is the recording's own: it would grow by being read")

    def _follow_log_files(self, asked: requests.LogFiles) -> None:
        for pattern in asked.patterns:
            self._refuse_own(f"{asked.directory}/{pattern}")

        def begin(name: str) -> None:
            self._sink.begin(key_of(asked.node, name))

        self.drain.add(LogFiles(asked.directory, asked.patterns, begin), asked.node)

    def _listen(self, asked: requests.Listen) -> Listening:
        return Listening(self._open(lambda: Listener(asked.address, self._token), asked.node).address)

    def _listen_resumably(self, asked: requests.ListenResumably) -> Listening:
        node = asked.node
        return Listening(self._open(lambda: ResumableListener(asked.address, self._token, node), node).address)

    def _open(self, make: Callable[[], S], node: str, sharers: Sequence[str] = ()) -> S:
        for each in (*sharers, node):
            self._sink.begin(each)
        source = make()
        self.drain.add(source, node, sharers)
        return source

    def _fence(self, _: requests.Fence) -> Position:
        return Position(self._sink.position)

    def _drain(self, asked: requests.Drain) -> Drained:
        self.drain.drain(asked.node, ended=asked.ended)
        return self._rest(asked)

    def _rest(self, asked: requests.Drain | requests.Rest) -> Drained:
        return Drained(self._sink.position, self.drain.peers(asked.node))


def reason(error: Exception) -> str:
    """Say why something was refused, and what to do where no descriptor is left."""
    if isinstance(error, OSError) and error.errno in NO_DESCRIPTOR:
        return draining.exhausted() + (f": {error.filename}" if error.filename else "")
    return reason_of(error)
