"""Captures to look into: what is written, drained and replayed by the tests of several rooms."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec

from lucy_core.capturing.loop import Capture
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.helpers.channel import Channel, Notice
from lucy_core.recording.ledger import Ledger


def say(text: object) -> bytes:
    return b'{"message":"%b"}\n' % str(text).encode()


async def write(fifo: Path, data: bytes) -> None:
    def fill() -> None:
        with fifo.open("wb") as writer:
            writer.write(data)

    await anyio.to_thread.run_sync(fill)


async def until(pipeline: Pipeline, node: str) -> None:
    """Have all that a node has written delivered."""
    await pipeline.reach(await pipeline.drain(node))


def account(ledger: Ledger) -> dict[str, Any]:
    """All that a ledger says, but how late it was."""
    return {
        "nodes": {
            node: msgspec.to_builtins(msgspec.structs.replace(each, lag_ns=0, lag_max_ns=0))
            for node, each in ledger.nodes.items()
        },
        "gaps": ledger.gaps,
        "absences": ledger.absences,
        "position": ledger.position,
        "closed": ledger.closed,
        "died": ledger.capture_died,
        "stopped": ledger.recording_stopped,
        "deleted": ledger.recording_deleted,
    }


async def replayed(directory: Path) -> Ledger:
    """The ledger of a replay in which every line was decoded."""
    async with Pipeline.replay(directory) as pipeline:
        await pipeline.audit()
    return pipeline.ledger


def passed_by(said: bytes) -> list[tuple[bytes, bytes]]:
    """The rows that a capture sent past the recording, each with its block."""
    told = [each for each in Channel().feed(said) if isinstance(each, Notice)]
    return [(row, block) for row, _, block in (each.data.partition(b"\n") for each in told)]


@contextlib.contextmanager
def capture_in(directory: Path) -> Iterator[tuple[Capture, socket.socket]]:
    """A capture in this process, and Lucy's end of its socket."""
    (directory / "logs").mkdir()
    ours, theirs = socket.socketpair()
    bell = os.eventfd(0)
    capture = Capture(theirs, bell, str(directory), "lucy", token="", epoch_ns=0)
    with ours, theirs:
        yield capture, ours
    capture._recorder.close()
    capture._drain.close()
    os.close(bell)
