"""Lucy's end of the link, against a scripted other end."""

import itertools
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.errors import NodeGoneError, SupervisorError
from lucy_engines.supervisor.link import LINE_BYTES, Link, LinkEvent, LinkReply, decode_message

READY = b'{"event":"ready","version":1,"form":"python"}\n'


class Script:
    """The other end of a link: takes commands, says what it is told to."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self._send, self._receive = anyio.create_memory_object_stream[bytes](100)
        self._told = anyio.Event()

    def say(self, *texts: bytes) -> None:
        for text in texts:
            self._send.send_nowait(text)

    def end(self) -> None:
        self._send.close()

    async def command(self) -> bytes:
        while not self.commands:
            await self._told.wait()
        return self.commands.pop(0)

    async def receive(self) -> bytes:
        return await self._receive.receive()

    async def send(self, data: bytes) -> None:
        self.commands.append(data)
        told, self._told = self._told, anyio.Event()
        told.set()

    async def aclose(self) -> None:
        self._send.close()
        self._receive.close()


class Heard(list[LinkEvent]):
    """What was said unasked."""

    def __init__(self) -> None:
        super().__init__()
        self.first = anyio.Event()

    def hear(self, event: LinkEvent) -> None:
        self.append(event)
        self.first.set()


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Link, Script, Heard]]:
    script, events = Script(), Heard()
    link = Link(script, "bp")
    link.on_event = events.hear
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.listen)
        yield link, script, events
        script.end()
    await link.aclose()


async def test_replies_find_their_commands_in_any_order() -> None:
    async with linked() as (link, script, _), anyio.create_task_group() as tasks:
        tasks.start_soon(link.ask, "stop", "2")
        assert await script.command() == b"1 stop 2\n"
        tasks.start_soon(link.ask, "ping")
        assert await script.command() == b"2 ping\n"

        script.say(b'{"reply":2,"ok":true}\n{"re', b'ply":1,"ok":true}\n')


async def test_what_is_told_waits_for_no_reply_and_for_no_container() -> None:
    async with linked() as (link, script, _):
        await link.tell("signal", "1", "daemon")
        assert await script.command() == b"1 signal 1 daemon\n"
        script.say(b'{"reply":1,"ok":true}\n')
    await link.tell("signal", "1", "daemon")


async def test_a_refusal_says_whom_what_and_why() -> None:
    async with linked() as (link, script, _):
        script.say(b'{"reply":1,"error":"nobody reads the log"}\n')

        with pytest.raises(SupervisorError, match="can't start bp: nobody reads the log"):
            await link.ask("start")


async def test_a_container_that_goes_takes_its_commands_along() -> None:
    async with linked() as (link, script, _), anyio.create_task_group() as tasks:

        async def ask() -> None:
            with pytest.raises(NodeGoneError, match="can't stop bp: what it runs in is gone"):
                await link.ask("stop", "5")

        tasks.start_soon(ask)
        await script.command()
        script.end()

    assert link.gone
    with pytest.raises(NodeGoneError):
        await link.ask("ping")


async def test_what_others_write_to_pid_1s_stdout_harms_nothing() -> None:
    async with linked() as (link, script, events):
        script.say(b"hello\n\xff\xfe\0\n{}\n[1]\n", b'{"reply":"x"}\n{"event":"unheard of"}\n', b"half a line ")
        script.say(b'{"event": {"event"' + READY)
        await events.first.wait()
        script.say(b'{"reply":99,"ok":true}\n{"reply":1,"ok":true}\n')

        await link.ask("ping")

        assert [(event.event, event.form) for event in events] == [("ready", "python")]


async def test_a_line_without_end_does_not_grow_for_ever() -> None:
    async with linked() as (link, script, events):
        for _ in range(20):
            script.say(b"x" * (LINE_BYTES // 4))
        script.say(b"\n" + READY)
        await events.first.wait()

        assert len(link._line) < LINE_BYTES


@given(st.lists(st.sampled_from((READY, b'{"reply":7,"ok":true}\n', b"noise\n", b"\n")), max_size=8), st.data())
def test_any_cutting_of_the_stream_gives_the_same_messages(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(lines)
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=6))})
    events: list[LinkEvent] = []
    link = Link(types.SimpleNamespace(), "bp")
    link.on_event = events.append

    for start, stop in itertools.pairwise(cuts):
        link._feed(text[start:stop])

    assert len(events) == lines.count(READY)


@given(st.binary(max_size=200))
def test_no_line_breaks_the_reader(line: bytes) -> None:
    assert decode_message(line) is None or isinstance(decode_message(line), LinkEvent | LinkReply)
