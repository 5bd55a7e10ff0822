"""Events and pipelines for the tests of streams: lines that stand in the run's order as soon as they are written."""

import msgspec

import lucy_core as lucy
from lucy_core.delivery.pipeline import Pipeline


@lucy.event(ids="stream.numbered")
class Numbered(msgspec.Struct, frozen=True):
    n: int


@lucy.event(ids="stream.other")
class Other(msgspec.Struct, frozen=True):
    text: str


def numbered(*numbers: int, level: str = "Info") -> bytes:
    return b"".join(
        b'{"message":"m","level":"%b","metadata":{"n":%d},"event_id":"stream.numbered"}\n' % (level.encode(), n)
        for n in numbers
    )


def other(text: str) -> bytes:
    return b'{"message":"m","level":"Info","metadata":{"text":"%b"},"event_id":"stream.other"}\n' % text.encode()


async def write(pipeline: Pipeline, node: str, *lines: bytes) -> None:
    """Have a node's lines arrive and be delivered to all who subscribe."""
    position = await pipeline.write(node, b"".join(lines))
    await pipeline.reach(position + b"".join(lines).count(b"\n"))
