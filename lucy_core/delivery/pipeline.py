"""What wires the rest: sources to recording to subscribers.

Two kinds, one face. With a run directory, a capture process drains the sources and this end follows the recording.
Without one, the sources are read here, on the test's loop: nothing can be read back, a test that blocks makes its nodes
wait once their pipes are full, and no process is started; good for a tool that only wants the lines.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import final

import anyio

from lucy_core.aio import Services, one_error
from lucy_core.arguments import new_place_of
from lucy_core.capturing import searching
from lucy_core.capturing.requests import Position, Write
from lucy_core.delivery.delivery import Delivery
from lucy_core.delivery.direct import DirectSources
from lucy_core.delivery.feed import Feed
from lucy_core.delivery.follower import Follower
from lucy_core.delivery.inlet import Inlet
from lucy_core.delivery.live import clock_since, read_epoch_ns
from lucy_core.delivery.streams.lines import Lines
from lucy_core.errors import RecordingError
from lucy_core.recording.capture_process import CaptureProcess
from lucy_core.recording.ledger import Gap, Ledger
from lucy_core.recording.recording import Recording, make_run_directory
from lucy_core.recording.survey import survey
from lucy_core.records.journal import JOURNAL

LAST_DELIVERY_SECONDS = 30.0


@final
class Pipeline(Inlet, Lines):
    """Lines from sources to subscribers. Open one with `record`, `pass_through` or `replay`.

    A network has one, and a tool without a network needs no more::

        async with lucy.Pipeline.record("lucy-runs/mine") as pipeline:
            fifo = await pipeline.open_fifo("a")
            pipeline.events(BecameLeader).subscribe(print)
            ...
            await pipeline.reach(await pipeline.drain("a"))
    """

    @property
    def _feed(self) -> Feed:
        return self

    @classmethod
    @asynccontextmanager
    async def record(cls, directory: str | Path) -> AsyncIterator["Pipeline"]:
        """Capture into a new run directory, by a process of its own. Leaving takes the last lines of every source.

        Raises:
            RecordingError: the directory can't be made, or holds a recording; or `LUCY_SEARCH` asks for a search that
                isn't there.
        """
        _check_search()
        place = new_place_of(directory, "directory")
        make_run_directory(place)
        epoch_ns = read_epoch_ns()
        capture = CaptureProcess(place, _new_token(), epoch_ns)
        try:
            async with Services.running() as services:
                services.start(capture.listen)
                await capture.ask(Write(JOURNAL, b""), Position)
                async with cls.over(capture, place, clock_since(epoch_ns)) as pipeline:
                    yield pipeline
        finally:
            capture.dispose()

    @classmethod
    @asynccontextmanager
    async def over(
        cls, capture: CaptureProcess, directory: Path, now_ns: Callable[[], int]
    ) -> AsyncIterator["Pipeline"]:
        """Follow what a capture records into a directory. For `record`, and for `lucy_core.testing`.

        Args:
            capture: who records; its first row is there.
            directory: where.
            now_ns: the clock that stamps arrivals.
        """
        with Recording(directory) as recording:
            recording.make_log(JOURNAL)
            delivery = Delivery(Ledger(), recording, now_ns)
            pipeline = cls(delivery, recording, capture=capture)
            async with Services.running() as services:
                services.start(delivery.serve)
                follower = Follower(capture, recording, delivery)
                services.start(follower.follow)
                try:
                    with _block(pipeline):
                        yield pipeline
                finally:
                    with anyio.CancelScope(shield=True):
                        await pipeline._finish(capture, follower)  # its own
                    delivery.close()
        delivery.run_end.leave()

    @classmethod
    @asynccontextmanager
    async def pass_through(cls) -> AsyncIterator["Pipeline"]:
        """Read sources on this loop and keep nothing.

        Raises:
            RecordingError: `LUCY_SEARCH` asks for a search that isn't there.
        """
        _check_search()
        delivery = Delivery(Ledger(), None)
        with closing(DirectSources(delivery, _new_token())) as direct:
            async with one_error(), anyio.create_task_group() as tasks:
                for work in (direct.run, direct.beat, delivery.serve):
                    tasks.start_soon(work)
                try:
                    with _block(cls(delivery, capture=direct)) as pipeline:
                        yield pipeline
                finally:
                    tasks.cancel_scope.cancel()
            direct.finish()
            delivery.end()
            delivery.close()
        delivery.run_end.leave()

    @classmethod
    @asynccontextmanager
    async def replay(cls, directory: str | Path) -> AsyncIterator["Pipeline"]:
        """Open a finished run: every subscription gets what it names, from the start unless it says otherwise.

        What a power cut or a full disk has torn is read as far as it is sound; the ledger's gaps say what is missing.

        Raises:
            RecordingError: there is no recording, or `LUCY_SEARCH` asks for a search that isn't there.
            UnknownNameError: a node's format isn't installed here.
        """
        _check_search()
        with Recording(directory) as recording:
            delivery = Delivery(Ledger(), recording)
            delivery.stand_at_end(await survey(recording, delivery.ledger))
            delivery.read_as_recorded()
            async with one_error(), anyio.create_task_group() as tasks:
                tasks.start_soon(delivery.serve)
                try:
                    with _block(cls(delivery, recording)) as pipeline:
                        yield pipeline
                finally:
                    delivery.close()
                    tasks.cancel_scope.cancel()
        delivery.run_end.leave()

    async def _finish(self, capture: CaptureProcess, follower: Follower) -> None:
        """Take the last lines, deliver them, complete all streams."""
        await capture.close()
        with anyio.move_on_after(LAST_DELIVERY_SECONDS) as limit:
            await follower.done.wait()
        if limit.cancelled_caught:
            reason = f"not all was delivered within {LAST_DELIVERY_SECONDS:g} s of the run's end"
            self.ledger.miss(Gap(self.delivered, None, reason))
        if not self.ended:
            self._delivery.end()
        await self._delivery.finish_late_comers()
        if self.ledger.recording_stopped is None and self._audit is not None:
            await self._audit.finish()


def _check_search() -> None:
    try:
        searching.chosen()
    except ValueError as error:
        raise RecordingError("lines", f"can't be searched: {error}") from error


def _new_token() -> str:
    return secrets.token_urlsafe(24)


@contextmanager
def _block(pipeline: Pipeline) -> Iterator[Pipeline]:
    """Leave the block once a callback has ended the run, unless somebody else sees to that.

    Raises:
        ForgottenAwaitError: the block has ended well, and a `first()` that was made in it was never awaited.
    """
    with anyio.CancelScope() as body:
        pipeline.report_escape(lambda _: body.cancel())
        yield pipeline
        pipeline.promises.check()
