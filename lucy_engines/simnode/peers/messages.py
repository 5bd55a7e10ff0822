"""What simulated nodes say to each other: a length, then a JSON object tagged with its kind."""

import asyncio

import msgspec

from lucy_engines.simnode.chain.blocks import Block
from lucy_engines.simnode.chain.frontier import Snapshot
from lucy_engines.simnode.chain.ledger import Command

MAX_BYTES = 256 << 20


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first message of both sides: who, of which network, listening where, with which best tip."""

    chain_id: str
    peer_id: str
    host: str
    port: int
    tip: str
    height: int


class Status(msgspec.Struct, frozen=True, tag=True):
    """The sender's best tip; sent each slot, so that whoever missed something notices."""

    tip: str
    height: int


class Peers(msgspec.Struct, frozen=True, tag=True):
    """Addresses of other nodes."""

    addresses: tuple[tuple[str, int], ...]


class NewBlock(msgspec.Struct, frozen=True, tag=True):
    """A block, passed on by everybody who takes it."""

    block: Block


class NewCommand(msgspec.Struct, frozen=True, tag=True):
    """A command for the pool."""

    command: Command


class NewWork(msgspec.Struct, frozen=True, tag=True):
    """Proving work for the pool: ids, fee, prover."""

    ids: tuple[int, ...]
    fee: str
    prover: str


class GetBlocks(msgspec.Struct, frozen=True, tag=True):
    """Asks for the blocks that lead from one of `known` to `tip`."""

    tip: str
    known: tuple[str, ...]


class Blocks(msgspec.Struct, frozen=True, tag=True):
    """The answer: parents first, or None where nothing known is below the tip."""

    tip: str
    blocks: tuple[Block, ...] | None


class GetSnapshot(msgspec.Struct, frozen=True, tag=True):
    """Asks for a whole frontier."""


class Frontiers(msgspec.Struct, frozen=True, tag=True):
    """The answer."""

    snapshot: Snapshot


Message = Hello | Status | Peers | NewBlock | NewCommand | NewWork | GetBlocks | Blocks | GetSnapshot | Frontiers

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """Write a message with its length."""
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body


async def read(reader: asyncio.StreamReader) -> Message:
    """Read one message.

    Raises:
        EOFError: the peer closed.
        ValueError: what came is no message.
    """
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > MAX_BYTES:
        raise ValueError(f"a message of {size} bytes is none of ours")
    return _decoder.decode(await reader.readexactly(size))
