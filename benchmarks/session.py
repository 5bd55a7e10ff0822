"""Lucy as the measured party: a pipeline over some FIFOs, opened as a test would, its account checked."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from benchmarks.measurement import BenchmarkError
from benchmarks.pacing import Paced, Writer
from lucy_core.delivery.pipeline import Pipeline

T = TypeVar("T")


def run(work: Callable[[], Coroutine[Any, Any, T]], *, uvloop: bool) -> T:
    """Run a coroutine on asyncio's own loop or on uvloop."""
    return anyio.run(work, backend_options={"use_uvloop": uvloop})


@asynccontextmanager
async def open_pipeline(
    directory: Path, nodes: list[str], *, record: bool
) -> AsyncIterator[tuple[Pipeline, list[Path]]]:
    """Open a pipeline with a FIFO a node, which writes Mina's lines. Its recording is `directory`/run."""
    async with Pipeline.record(directory / "run") if record else Pipeline.pass_through() as pipeline:
        fifos = [await pipeline.open_fifo(node, None if record else directory / f"{node}.fifo") for node in nodes]
        for node in nodes:
            pipeline.read_as(node, "mina")
        yield pipeline, fifos


def check(pipeline: Pipeline, wanted: dict[str, int]) -> None:
    """Demand that every line was captured, and no subscriber broke.

    Raises:
        BenchmarkError: the run is no measurement.
    """
    captured = {node: pipeline.ledger.of(node).lines for node in wanted}
    if captured != wanted:
        wrong = {node: (captured[node], lines) for node, lines in wanted.items() if captured[node] != lines}
        message = f"captured and written differ: {wrong}"
        raise BenchmarkError(message)
    if pipeline.ledger.cut_off or not pipeline.ledger.complete:
        message = f"the ledger is not complete: {pipeline.ledger.cut_off} {pipeline.ledger.summary()}"
        raise BenchmarkError(message)


def in_order(numbers: list[int], *, lines: int, every: int, node: str) -> None:
    """Demand every event's number once and in order.

    Raises:
        BenchmarkError: one is lost, doubled or moved.
    """
    if numbers != list(range(0, lines, every)):
        message = f"{node}: events are lost, doubled or moved: {len(numbers)} of {len(range(0, lines, every))} came"
        raise BenchmarkError(message)


async def results_of(writers: list[Writer]) -> list[Paced]:
    """Wait for writers while the loop turns."""
    return [await anyio.to_thread.run_sync(writer.result) for writer in writers]
