"""Streams of records whose stack traces are joined to them."""

from typing import Any, final

from reactivex import Observable, abc

from lucy_core.records.joined import Joiner
from lucy_core.records.record import Event, Record
from lucy_core.records.severity import Severity


@final
class Joined(Observable[Any]):
    """The records of a chain, each with the lines that go on with it, from a level up.

    A node's record is given when its next begins, or at the end of the chain.
    """

    def __init__(self, records: "Observable[Event[Record]]", level: Severity | None) -> None:
        super().__init__()
        self._records = records
        self._level = level

    def _subscribe_core(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        joiner, level = Joiner(), self._level

        def give(event: Event[Record]) -> None:
            if level is None or event.record.severity >= level:
                observer.on_next(event)

        def take(event: Event[Record]) -> None:
            whole = joiner.take(event)
            if whole is not None:
                give(whole)

        def failed(error: Exception) -> None:
            for event in joiner.rest():
                give(event)
            observer.on_error(error)

        def completed() -> None:
            for event in joiner.rest():
                give(event)
            observer.on_completed()

        return self._records.subscribe(take, failed, completed, scheduler=scheduler)
