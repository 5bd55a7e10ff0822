"""Connections to other nodes, over TCP between real addresses.

Dialled addresses are dialled again for ever, with a growing pause; addresses learnt from peers join them, so that the
network becomes a full mesh and outlives its seed. Of two connections to one peer, either may close: both sides accept
whatever comes on any.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import final

from lucy_engines.simnode.peers import messages
from lucy_engines.simnode.peers.messages import Hello, Message, Peers

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
HANDSHAKE_SECONDS = 5.0
BACKLOG_BYTES = 64 << 20
"""A peer that takes nothing is dropped beyond this; it comes back when it can."""


@final
class Peer:
    """An open connection after the handshake."""

    def __init__(self, hello: Hello, writer: asyncio.StreamWriter) -> None:
        self.hello = hello
        self._writer = writer

    @property
    def peer_id(self) -> str:
        return self.hello.peer_id

    def send(self, message: Message) -> None:
        """Send without waiting; a peer that is too far behind is dropped."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > BACKLOG_BYTES:
            transport.abort()
            return
        self._writer.write(messages.encode(message))


@final
class Gossip:
    """All connections of one node."""

    def __init__(
        self,
        hello: Callable[[], Hello],
        on_message: Callable[[Peer, Message], None],
        on_peer: Callable[[Peer], None],
        refused: Callable[[str], None],
    ) -> None:
        self._hello = hello
        self._on_message = on_message
        self._on_peer = on_peer
        self._refused = refused
        self._peers: dict[str, Peer] = {}
        self._dialling: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[bool]] = set()
        self._server: asyncio.Server | None = None

    @property
    def peers(self) -> list[Peer]:
        return list(self._peers.values())

    async def listen(self, host: str, port: int) -> None:
        """Accept connections.

        Raises:
            OSError: the address can't be bound.
        """
        self._server = await asyncio.start_server(self._accept, host, port)

    def dial(self, address: tuple[str, int]) -> None:
        """Keep a connection to an address."""
        mine = self._hello()
        if address in self._dialling or address == (mine.host, mine.port):
            return
        self._dialling[address] = asyncio.create_task(self._keep(address))

    def send_all(self, message: Message, *, but: Peer | None = None) -> None:
        for peer in self._peers.values():
            if but is None or peer.peer_id != but.peer_id:
                peer.send(message)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [*self._dialling.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, address: tuple[str, int]) -> None:
        pause = FIRST_PAUSE
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                # Not `asyncio.wait_for`: before Python 3.12 it swallows a cancellation that comes in the very turn of
                # the loop in which its coroutine is done. Where a whole network ends, and peers come and go, a daemon
                # dialled on after TERM now and then, until it was killed 10 s later.
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    reader, writer = await asyncio.open_connection(*address)
                if await self._converse(reader, writer):
                    pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Shake hands and listen until the connection ends; return whether there was a handshake."""
        peer: Peer | None = None
        try:
            mine = self._hello()
            writer.write(messages.encode(mine))
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                theirs = await messages.read(reader)
            if not isinstance(theirs, Hello) or theirs.chain_id != mine.chain_id:
                self._refused("a peer is of another network, or speaks another protocol")
                return False
            if theirs.peer_id == mine.peer_id:
                return False
            peer = Peer(theirs, writer)
            known = tuple((other.hello.host, other.hello.port) for other in self._peers.values())
            self._peers[peer.peer_id] = peer
            peer.send(Peers(known))
            self._on_peer(peer)
            while True:
                message = await messages.read(reader)
                if isinstance(message, Peers):
                    for address in message.addresses:
                        self.dial(address)
                else:
                    self._on_message(peer, message)
        except (TimeoutError, EOFError, OSError, ValueError):
            return peer is not None
        finally:
            if peer is not None and self._peers.get(peer.peer_id) is peer:
                del self._peers[peer.peer_id]
            writer.close()
