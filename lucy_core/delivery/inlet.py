"""A run as it is filled: sources that are opened, and lines and facts that are put among theirs."""

import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from lucy_core.arguments import bytes_of, count_of, readable_text, switch_of, text_of, tuple_of
from lucy_core.capturing import requests, run_files
from lucy_core.capturing.facts import Fact
from lucy_core.capturing.sources.sockets import ANY
from lucy_core.capturing.tagged import SHARED
from lucy_core.delivery.delivery import Delivery
from lucy_core.delivery.direct import DirectSources
from lucy_core.delivery.feed import Feed
from lucy_core.errors import ArgumentError, RecordingError
from lucy_core.formats.choice import NodeFormats, formats_of, written
from lucy_core.formats.contract import Format
from lucy_core.helpers.forms import Done, Form
from lucy_core.recording.capture_process import CaptureProcess
from lucy_core.recording.recording import Recording
from lucy_core.records.journal import JOURNAL, EngineNotice, NodeMeasured, journal_line
from lucy_core.records.keys import SLASH, key_of

_OWN_DESCRIPTOR = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/(\d+)")
PEERS_SECONDS = 0.02
"""How often capture is asked whether anybody is connected still."""


_PATTERNS = tuple_of(text_of, "('log/*.log',)")


class Inlet(Feed):
    """Where lines go in. Whoever takes them, a process or this loop, is asked in the same forms."""

    def __init__(
        self,
        delivery: Delivery,
        recording: Recording | None = None,
        *,
        capture: CaptureProcess | DirectSources | None = None,
    ) -> None:
        super().__init__(delivery, recording)
        self.token = "" if capture is None else capture.token
        """What a peer that sends lines over TCP has to say first; nothing where nobody listens, in a replay."""
        self.is_replay = capture is None
        self._capture = capture

    def read_as(
        self, node: str, log_format: Format | str | Mapping[str, Format | str], *, source: str = ""
    ) -> NodeFormats:
        """Read a node's lines in this format, from the next block on. Without it, each line's format is found out.

        Say so before the node has written anything: a recording has one format of a node, the last that was chosen, or
        of each of its sources: with `source`, the lines of that one alone are meant.

        Raises:
            ArgumentError: that is no format, or one that can't be written down; or it is for Lucy's own journal, which
                keeps its own.
            UnknownNameError: no format is called so.
        """
        if node == JOURNAL:
            raise ArgumentError("node", node, "is Lucy's own journal, which keeps its format; name a node")
        chosen = formats_of(log_format, "log_format")
        key = _key(node, source)
        self._tell(requests.Note(Fact.FORMAT, key, {"reason": written(chosen)}))
        self._delivery.read_as(key, chosen)
        return chosen

    async def open_fifo(self, node: str, path: Path | None = None, *, source: str = "") -> Path:
        """Make the node's FIFO, or that of one of its sources, and drain it from now on.

        Raises:
            RecordingError: it can't be made or opened.
        """
        key = _key(node, source)
        with _refused_by_name():
            path = self._fifo_path(run_files.fifo_name(node, source), path)
        await self._open(requests.Fifo(key, str(path)), key)
        return path

    async def open_shared_fifo(self, nodes: Sequence[str], path: Path | None = None) -> Path:
        """Make one FIFO for several nodes or sources, and drain it from now on; see `LineCapture.open_shared_fifo`.

        Raises:
            RecordingError: it can't be made or opened, or is for nobody.
        """
        _check_sharers(nodes)
        with _refused_by_name():
            path = self._fifo_path(SHARED, path)
        await self._open(requests.SharedFifo(list(nodes), str(path)), *nodes, SHARED)
        return path

    async def join_shared_fifo(self, nodes: Sequence[str], path: Path) -> None:
        """Have more nodes or sources share a FIFO that is shared; see `LineCapture.join_shared_fifo`.

        Raises:
            RecordingError: none was opened there for several.
        """
        _check_sharers(nodes)
        with _refused_by_name():
            place = requests.check_path(os.fspath(path))
        await self._open(requests.JoinFifo(list(nodes), place), *nodes)

    def _fifo_path(self, name: str, path: Path | None) -> Path:
        if path is not None:
            return Path(requests.check_path(os.fspath(path)))
        if self.directory is None:
            raise RecordingError("a FIFO", "needs a path where there is no run directory")
        return self.directory / run_files.FIFOS / name

    async def follow_file(self, node: str, path: Path, *, source: str = "") -> None:
        """Read a file from its start and follow it by name, through rotation, links and truncation.

        Every file that the name leads to is read for as long as it is written. What may be missing all the same, as
        after a truncation, is a gap in the ledger.

        Raises:
            RecordingError: its directory doesn't exist or can't be watched, or it is no regular file.
        """
        key = _key(node, source)
        with _refused_by_name():
            path = Path(requests.check_path(os.fspath(path))).absolute()
        await self._open(requests.File(key, str(path)), key)

    async def follow_log_files(self, node: str, directory: Path, patterns: Sequence[str]) -> None:
        """Follow each file below a directory that is called so, now or later; see `LineCapture.follow_log_files`.

        Raises:
            RecordingError: the directory doesn't exist or can't be watched.
        """
        patterns = _PATTERNS(patterns, "patterns")
        with _refused_by_name():
            requests.check_node(node)
            for pattern in patterns:
                requests.check_key(f"{node}{SLASH}{pattern}")
            directory = Path(requests.check_path(os.fspath(directory))).absolute()
        await self._open(requests.LogFiles(node, str(directory), list(patterns)))

    async def read_whole(self, node: str, path: Path) -> None:
        """Read a file from its start to its end, once, and a pipe up to the end of its writers.

        `whole` waits until all of it is taken. A last line without a newline counts as one that its writer didn't end.

        Raises:
            RecordingError: it isn't there, or can't be read.
        """
        with _refused_by_name():
            requests.check_node(node)
            place = str(Path(requests.check_path(os.fspath(path))).absolute())
        own = None if self.recording is None else _OWN_DESCRIPTOR.fullmatch(place)
        if own is not None:  # its number is another's in the process that captures
            place = f"/proc/{os.getpid()}/fd/{own[1] or 0}"
        await self._open(requests.Whole(node, place), node)

    async def whole(self, node: str) -> None:
        """Wait until all is taken of a node's files that are read once, and nobody is connected who may bring more."""
        _check_node(node)
        while (await self._taker.ask(requests.Rest(node), requests.Drained)).peers:  # noqa: ASYNC110  # see `hung_up`
            await anyio.sleep(PEERS_SECONDS)

    async def listen(self, node: str, address: str | tuple[str, int]) -> str | tuple[str, int]:
        """Take the node's lines over a socket, unix or TCP; return the real address.

        Args:
            node: whose lines.
            address: a path, or a host and a port; a host is an address, v4 or v6, or a name that leads to one.

        Raises:
            RecordingError: it is no address, or can't be listened on.
        """
        with _refused_by_name():
            requests.check_node(node)
            address = requests.check_address(address)
        if not isinstance(address, str):
            address = await _resolved(*address)
        real: str | tuple[str, int] = (
            await self._open(requests.Listen(node, address), node, reply=requests.Listening)
        ).address
        return real

    async def listen_resumably(self, node: str, host: str, *, source: str = "") -> tuple[str, int]:
        """Take the node's lines over TCP through connections that may break; see `LineCapture.listen_resumably`.

        Raises:
            RecordingError: the host is no address of this machine.
        """
        key = _key(node, source)
        with _refused_by_name():
            address = await _resolved(*requests.check_port((host, 0)))
        found = (await self._open(requests.ListenResumably(key, address), key, reply=requests.Listening)).address
        assert isinstance(found, tuple)  # noqa: S101  # it is no path
        return found

    async def drain(self, node: str, *, ended: bool = False) -> int:
        """Take all that the node has written so far; return the position after it. See `LineCapture.drain`."""
        return (await self._drain(node, ended=switch_of(ended, "ended"))).position

    async def hung_up(self, node: str) -> None:
        """Wait until nobody is connected any more who brings lines of the node. See `LineCapture.hung_up`."""
        while (await self._drain(node)).peers:  # noqa: ASYNC110  # whoever sees connections end is another process
            await anyio.sleep(PEERS_SECONDS)

    async def _drain(self, node: str, *, ended: bool = False) -> requests.Drained:
        _check_node(node)
        drained: requests.Drained = await self._taker.ask(requests.Drain(node, ended), requests.Drained)
        return drained

    def note(self, event: EngineNotice | NodeMeasured) -> None:
        self.write_nowait(JOURNAL, journal_line(event))

    def note_way(self, node: str, way: str, *, source: str = "") -> None:
        self._note(Fact.WAY, _key(node, source), reason=way)

    def note_filtered(self, node: str, *, lines: int, bytes: int, events: int) -> None:  # noqa: A002  # the contract's
        self._note(Fact.FILTERED, node, filtered_lines=lines, filtered_bytes=bytes, filtered_events=events)

    def note_failed(self, node: str, reason: str) -> None:
        self._note(Fact.SOURCE_FAILED, node, reason=reason)

    def _note(self, fact: Fact, key: str, **more: str | int) -> None:
        with _refused_by_name():
            requests.check_key(key)
        for name, value in more.items():
            if name == "reason":
                readable_text(value, name)
            else:
                count_of(value, name)
        self._tell(requests.Note(fact, key, more))

    def write_nowait(self, node: str, lines: bytes, *, source: str = "") -> None:
        """Put whole lines into the run's order, as if `node` had written them now, to one of its sources.

        Lines given before a call of `drain` or `mark` through the same pipeline stand before its position.

        Raises:
            RecordingError: these are no whole lines in UTF-8.
        """
        self._tell(_written(_key(node, source), lines))

    async def write(self, node: str, lines: bytes) -> int:
        """Put whole lines into the run's order, and return the position of the first once they stand there.

        Raises:
            RecordingError: these are no whole lines in UTF-8.
            CaptureDiedError: the capture process is gone.
        """
        request = _written(_key(node, ""), lines)
        return (await self._taker.ask(request, requests.Position)).position

    def end_node(self, node: str, position: int) -> None:
        """Say that nothing of this node comes from `position` on: streams of it alone complete there."""
        _check_node(node)
        count_of(position, "position")
        self._delivery.end_node(node, position)

    def end(self) -> None:
        """Say that no node brings anything more: all streams complete, and so does one that is made later."""
        self._delivery.end()

    def begin_with_first(self) -> anyio.Event:
        """Where nothing is recorded, read no source before somebody subscribes: those lines could be given to nobody.

        Returns:
            What is set once sources are read.
        """
        begun = anyio.Event()
        direct = self._capture
        if isinstance(direct, DirectSources):

            def begin() -> None:
                direct.park(parked=False)
                begun.set()

            direct.park(parked=True)
            self._delivery.when_first(begin)
        else:
            begun.set()
        return begun

    async def fence(self) -> int:
        """Return a position before which everything stands that has arrived by now; see `Feed.fence`."""
        if self._capture is None or self.ended:
            return self.delivered
        return (await self._capture.ask(requests.Fence(), requests.Position)).position

    @property
    def _taker(self) -> CaptureProcess | DirectSources:
        if self._capture is None:
            raise RecordingError("a finished recording", "takes no new sources")
        return self._capture

    def _tell(self, form: Form) -> None:
        if self._capture is not None and self._capture.died is None:
            self._capture.tell(form)

    async def _open(self, form: Form, *nodes: str, reply: type[Any] = Done) -> Any:
        """Have a source opened, and the nodes' logs before anything is in them.

        So these stay readable if somebody deletes the directory. Where no descriptor is left for one, its node is
        refused here, and the others' lines go on being delivered.
        """
        taker = self._taker
        if self.recording is not None:
            for node in nodes:
                self.recording.make_log(node)
        return await taker.ask(form, reply)

    @property
    def capture_pid(self) -> int | None:
        """The process that captures, if there is one."""
        return None if self._capture is None else self._capture.pid


def _key(node: str, source: str) -> str:
    """Name a source.

    Raises:
        RecordingError: none can be called so.
    """
    _check_node(node)
    with _refused_by_name():
        return requests.check_key(key_of(node, text_of(source, "source")))


def _check_sharers(nodes: Sequence[str]) -> None:
    if not nodes:
        raise RecordingError("a shared FIFO", "needs the names of the nodes that share it")
    with _refused_by_name():
        for key in nodes:
            requests.check_key(key)


def _check_node(node: str) -> None:
    with _refused_by_name():
        requests.check_node(node)


@contextmanager
def _refused_by_name() -> Iterator[None]:
    """Turn what a check of a request says into an error of Lucy's."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise RecordingError(str(error)) from error


def _written(key: str, lines: bytes) -> requests.Write:
    """Ask for lines to be written.

    Raises:
        RecordingError: they aren't whole, or not in UTF-8.
    """
    bytes_of(lines, "lines")
    with _refused_by_name():
        return requests.Write(key, requests.check_lines(bytes(lines)))


async def _resolved(host: str, port: int) -> tuple[str, int]:
    """Return the address that a host's name leads to, v4 rather than v6: capture may not wait for an answer.

    Raises:
        RecordingError: it leads to none.
    """
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host or ANY)), port  # needs no look-up, which a thread does that stays
    try:
        found = await anyio.getaddrinfo(host or ANY, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecordingError(f"the address {(host, port)}", f"can't be listened on: {reason}") from error
    _, _, _, _, (address, _) = min(found, key=lambda each: each[0] != socket.AF_INET)
    return address, port
