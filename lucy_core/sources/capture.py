"""`capture`: sources as one pipeline, for the length of a block, in a program whose event loop runs already."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, final

import anyio
import msgspec

from lucy_core.aio import one_error
from lucy_core.arguments import mapping_of
from lucy_core.capturing.requests import check_node
from lucy_core.capturing.tagged import SHARED
from lucy_core.delivery.pipeline import Pipeline
from lucy_core.errors import ArgumentError
from lucy_core.formats.choice import AUTO
from lucy_core.records.journal import JOURNAL, NodeStopped, journal_line
from lucy_core.run.keeper import kept
from lucy_core.sources import child
from lucy_core.sources.child import Child
from lucy_core.sources.source import Fifo, File, Process, Socket, Source, source_of

Given = Source | str | os.PathLike[str]


@kept
@asynccontextmanager
async def capture(
    sources: Mapping[str, Given | Sequence[Given]] | None = None,
    /,
    *,
    directory: str | Path | None = None,
    **named: Given | Sequence[Given],
) -> AsyncIterator[Pipeline]:
    """Capture sources without a network, as one pipeline with the streams that a network has.

    ::

        async with lucy.capture(api="api.log", db=lucy.process("redis-server", "--port", "7000")) as pipeline:
            pipeline.records(level=lucy.Severity.ERROR).subscribe(print)
            await pipeline.events(BecameReady, nodes="db").first(within=10)

    Each source has a node's name, under which its lines come; a node may have several. A bare path is a FIFO where one
    is there, and a file that is followed elsewhere. The block may be entered and left by any task, as by two cells of a
    notebook. Leaving it takes the last lines, and ends the processes that it has started, however it is left.

    Without a directory nothing is kept: sources are read from the first subscription on, whoever subscribes in that
    turn of the loop gets all of their lines, and whoever can't take more makes them wait. With one, a process of its
    own records them from the beginning, and `since=0` gives what has come before.

    The streams of a node complete once all of its sources have ended: a process with its exit, a file with
    `follow=False` at its end. Once that is so of every node, all streams do.

    Args:
        sources: by node; for names that are no words of Python.
        directory: a new run directory to record into.
        named: the same, as keywords.

    Raises:
        EventLoopError: this is no asyncio.
        StrayTaskError: the task that entered the block still ran, elsewhere, when the block was left.
        ArgumentError: there is no source, or one is of no use; nothing was opened.
        RecordingError: a source can't be opened, or the directory can't be made or holds a recording.
        UnknownProgramError: a program is not there.
        UnrunnableError: a program can't be run.
    """
    chosen = _chosen(sources, named)
    async with AsyncExitStack() as stack:
        opened = Pipeline.pass_through() if directory is None else Pipeline.record(directory)
        pipeline = await stack.enter_async_context(opened)
        capturing = _Capturing(pipeline)
        stack.push_async_callback(capturing.close)
        for node, several in chosen.items():
            await capturing.open(node, several)
        async with one_error(), anyio.create_task_group() as tasks:
            tasks.start_soon(capturing.watch)
            try:
                yield pipeline
            finally:
                tasks.cancel_scope.cancel()


def _node_of(value: Any, name: str) -> str:
    try:
        node = check_node(value)
    except ValueError as error:
        raise ArgumentError(name, value, f"can't be a node: {error}") from error
    if node in (JOURNAL, SHARED):
        raise ArgumentError(name, value, "is Lucy's own name; choose another")
    return node


def _sources_of(value: Any, name: str) -> tuple[Source, ...]:
    if isinstance(value, (Source, str, os.PathLike)) or not isinstance(value, (tuple, list)):
        return (source_of(value, name),)
    several = tuple(source_of(each, f"{name}[{place}]") for place, each in enumerate(value))
    if not several:
        raise ArgumentError(name, value, "has no source; give one, or leave the node out")
    formats = {each.log_format or AUTO for each in several}
    if len(formats) > 1:
        reason = "has sources in several formats, and a node speaks one; give them names of their own"
        raise ArgumentError(name, sorted(formats), reason)
    return several


_SOURCES = mapping_of(_node_of, _sources_of, "{'api': 'api.log'}")


def _chosen(sources: Any, named: Mapping[str, Any]) -> dict[str, tuple[Source, ...]]:
    """Hold what was given against what is wanted. Raises ArgumentError."""
    mapped: dict[str, tuple[Source, ...]] = {} if sources is None else _SOURCES(sources, "sources")
    for node in named:
        if node in mapped:
            raise ArgumentError("sources", node, "is given as a keyword too; leave one out")
    chosen = {**mapped, **{_node_of(node, "a name"): _sources_of(value, node) for node, value in named.items()}}
    if not chosen:
        raise ArgumentError("sources", sources, "names none; give one, like api='api.log'")
    return chosen


class _Node(msgspec.Struct):
    """What is open of one node."""

    children: list[Child] = []
    has_whole: bool = False
    is_endless: bool = False


@final
class _Capturing:
    """The sources of one block."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._begun = pipeline.begin_with_first()
        self._nodes: dict[str, _Node] = {}
        self._made: list[Path] = []
        """FIFOs and sockets that weren't there before."""
        self._running = 0

    async def open(self, node: str, sources: tuple[Source, ...]) -> None:
        held = self._nodes[node] = _Node()
        for source in sources:
            if source.log_format is not None:
                self._pipeline.read_as(node, source.log_format)
        for source in sources:
            await self._open(node, held, source)

    async def _open(self, node: str, held: _Node, source: Source) -> None:
        pipeline = self._pipeline
        match source:
            case File(follow=True):
                held.is_endless = True
                await pipeline.follow_file(node, source.path)
            case File():
                held.has_whole = True
                await pipeline.read_whole(node, source.path)
            case Fifo():
                held.is_endless = True
                is_new = not os.path.lexists(source.path)
                path = await pipeline.open_fifo(node, source.path)
                if is_new:
                    self._made.append(path)
            case Socket():
                held.is_endless = True
                address = await pipeline.listen(node, source.address)
                if isinstance(address, str):
                    self._made.append(Path(address))
            case Process():
                held.children.append(await child.start(node, source, pipeline.open_fifo, self._tell))
            case _:
                raise ArgumentError("sources", source, "is none that can be opened; make it by lucy.file and the like")

    def _tell(self, event: msgspec.Struct) -> None:
        self._pipeline.write_nowait(JOURNAL, journal_line(event))

    async def watch(self) -> None:
        """See each node to its end, and the pipeline to that of all."""
        await self._begun.wait()
        async with anyio.create_task_group() as tasks:
            for node, held in self._nodes.items():
                tasks.start_soon(self._watch, node, held)
        await self._pipeline.reach(await self._pipeline.fence())
        self._pipeline.end()

    async def _watch(self, node: str, held: _Node) -> None:
        async with anyio.create_task_group() as tasks:
            for each in held.children:
                tasks.start_soon(self._watch_child, each)
            if held.has_whole and not held.is_endless:
                tasks.start_soon(self._pipeline.whole, node)
            if held.is_endless:
                tasks.start_soon(anyio.sleep_forever)
        position = await self._pipeline.drain(node, ended=True)
        self._pipeline.end_node(node, position)

    async def _watch_child(self, each: Child) -> None:
        await each.ended()
        await self._pipeline.drain(each.node)
        self._tell_end(each, each.exited())

    def _tell_end(self, each: Child, event: msgspec.Struct) -> None:
        each.is_told = True
        self._tell(event)

    async def close(self) -> None:
        """End the processes, and remove the FIFOs and sockets that were made."""
        children = [each for held in self._nodes.values() for each in held.children]
        try:
            with anyio.CancelScope(shield=True):
                async with one_error(), anyio.create_task_group() as tasks:
                    for each in children:
                        tasks.start_soon(self._end, each)
        finally:
            for each in children:
                each.dispose()
            for path in self._made:
                path.unlink(missing_ok=True)

    async def _end(self, each: Child) -> None:
        was_over = each.is_over
        was_killed = False if was_over else await each.stop()
        if not each.is_told:
            await self._pipeline.drain(each.node)
            self._tell_end(each, each.exited() if was_over else NodeStopped(each.node, killed=was_killed))
