"""A run as JSON lines, one an event, as it happens.

The reader may be slow. Then lines wait in a bounded buffer, the subscription is set aside behind its gate, and goes on
from the recording when there is room: a slow `| jq` slows neither nodes nor test. What it still lacks when the network
is down is read from the finished recording. A reader that goes away ends the lines, not the run: the writing is the
voice's.

Somebody may look at the lines on a terminal, so nothing in them drives one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, final

import anyio
import anyio.to_thread
import msgspec

from lucy_core.delivery.interests.subscription import Gate
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import RecordingError
from lucy_core.executive.showing.views import Told, own_and_vocabulary, sheltered
from lucy_core.executive.showing.voice import Way
from lucy_core.network.network import Network
from lucy_core.records.journal import encodable
from lucy_core.records.record import Event
from lucy_core.visible import visible_json

BUFFER_BYTES = 256 * 1024
DATA_BYTES = 4096
"""Larger payloads are left out of a line; its position leads to them."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line."""

    event: str
    time: str
    node: str = ""
    source: str = ""
    position: int | None = None
    data: msgspec.Raw | None = None
    data_bytes: int | None = None
    """How large the payload is that was left out."""


def _as_text(value: object) -> str:
    return str(value)


_encode_plainly = msgspec.json.Encoder(enc_hook=_as_text).encode


def _encode(value: object) -> bytes:
    try:
        data = _encode_plainly(value)
    except (ValueError, TypeError, RecursionError):  # a name of the file system's, an object that refuses
        data = _encode_plainly(encodable(repr(value)))
    return visible_json(data)


def line(name: str, data: object) -> bytes:
    """Make a line for something that happens to the run itself."""
    return _encode(Line(name, datetime.now(UTC).isoformat(), data=msgspec.Raw(_encode(data)))) + b"\n"


def event_line(event: Event[Any]) -> bytes:
    """Make a line for an event, in short form."""
    data = _encode(event.data)
    stamp = datetime.fromtimestamp(event.arrived_ns / 1e9, UTC).isoformat()
    short = len(data) <= DATA_BYTES
    return (
        _encode(
            Line(
                event=type(event.data).__name__,
                time=stamp,
                node=event.node,
                source=event.source,
                position=event.position,
                data=msgspec.Raw(data) if short else None,
                data_bytes=None if short else len(data),
            )
        )
        + b"\n"
    )


@final
class EventLines:
    """The view."""

    def __init__(self, way: Way, told: Told) -> None:
        """Write to `way`; have `told` know of an error that ends the lines."""
        self._way = way
        self._told = told
        self._buffer = bytearray()
        self._gate = Gate()
        self._filled = anyio.Event()
        self._ended = False
        self._network: Network | None = None
        self._next = 0
        """The first position that wasn't taken."""
        self._complete = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write while the run goes on, and what is left at its end."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write)
            try:
                yield
            finally:
                await self._take_the_rest()
                self._ended = True
                self._filled.set()

    def watch(self, network: Network) -> None:
        self._network = network
        self._follow(network, network.pipeline)

    def _follow(self, network: Network, pipeline: Pipeline) -> anyio.Event:
        over = anyio.Event()

        def ended(error: Exception | None) -> None:
            self._complete = error is None
            over.set()

        take = sheltered(self._take, self._told)
        pipeline.subscribe(own_and_vocabulary(network), take, ended, since=self._next, gate=self._gate)
        return over

    async def _take_the_rest(self) -> None:
        if self._network is None or self._network.directory is None or self._complete or self._way.is_gone:
            return
        try:
            async with Pipeline.replay(self._network.directory) as pipeline:
                await self._follow(self._network, pipeline).wait()
        except RecordingError as error:
            self.put(line("LinesMissing", {"from_position": self._next, "reason": str(error)}))

    def test_over(self) -> None:
        """Nothing changes."""

    def put(self, data: bytes) -> None:
        if self._way.is_gone:
            self._way.put(data)  # which counts it as lost
        else:
            self._buffer += data
            self._filled.set()

    def _take(self, events: list[Event[Any]]) -> None:
        for event in events:
            self.put(event_line(event))
        self._next = events[-1].position + 1
        if len(self._buffer) > BUFFER_BYTES:
            self._gate.close()

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            self._filled = anyio.Event()
            while self._buffer:
                data, self._buffer = bytes(self._buffer), bytearray()
                self._way.put(data)
                # Abandoned with its thread where nobody waits for the reader any more: see `Way.give_up`.
                await anyio.to_thread.run_sync(self._way.wait, abandon_on_cancel=True)
                self._gate.open()
            if self._ended:
                return
