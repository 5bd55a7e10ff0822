"""What ends a run for whoever waits, and what callbacks raise, which may.

The run may be over for whoever waits while lines still come (a node died, and one wants to read how): `abort` tells
those who registered with `when_aborted`, and delivery goes on.

What a callback raises never ends the delivery, which is everybody's. An `Exception` is reported and the run
goes on. All else *escapes*: `SystemExit`, `KeyboardInterrupt` and the outcomes of a test framework (`pytest.fail`,
`pytest.skip`) mean the test as a whole, so they end the run and come out where it was opened, while the delivery to the
others goes on. So does a cancellation that nobody asked for, or a `GeneratorExit`, as the cause of a `CallbackError`:
bare, the next task group would take it for its own, swallow it, and the test would pass.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

from lucy_core import log
from lucy_core.aio import out_of_callback
from lucy_core.recording.ledger import Ledger


@final
class RunEnd:
    """One run's, of whatever kind."""

    def __init__(self, ledger: Ledger) -> None:
        self.aborted: BaseException | None = None
        """Why the run is over for whoever waits."""
        self.on_cut_off: Callable[[str], None] | None = None
        self.on_escape: Callable[[BaseException], None] | None = None
        self.cut_off: list[Exception] = []
        """What callbacks raised that has cut them off and ended nothing else."""
        self._ledger = ledger
        self._escapes: list[BaseException] = []
        """What they raised that ends the run; the first comes out of it."""
        self._left = False
        self._cutting: BaseException | None = None
        self._when_aborted: dict[object, Callable[[], None]] = {}

    def abort(self, error: BaseException) -> None:
        """Say that the run is over for whoever waits. Again changes nothing."""
        if self.aborted is None:
            self.aborted = error
            calls, self._when_aborted = self._when_aborted, {}
            for call in calls.values():
                call()

    def when_aborted(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call once the run is over for whoever waits, or now if it is; return what takes that back."""
        if self.aborted is not None:
            call()
            return lambda: None
        key = object()
        self._when_aborted[key] = call

        def forget() -> None:
            self._when_aborted.pop(key, None)

        return forget

    @property
    def escaped(self) -> BaseException | None:
        """Why the run is over for whoever waits, where a callback has ended it."""
        return self.aborted if any(each is self.aborted for each in self._escapes) else None

    def report(self, subscriber: str, error: BaseException) -> None:
        """Have what a callback raised heard: by the ledger and the run, or, where it ends the run, by its owner."""
        if self._cutting is not None and self._cutting in (error, error.__cause__):
            return
        text = f"a subscriber to {subscriber} raised {type(error).__name__}: {error}"
        self._ledger.cut_off.append(text)
        if isinstance(error, Exception):
            self.cut_off.append(error)
            log.error("subscriber cut off", error, reason=text)
            if self.on_cut_off is not None:
                self.on_cut_off(text)
        else:
            self.escape(error)

    @contextmanager
    def reported(self, error: BaseException) -> Iterator[None]:
        """Report no more of an error that has cut a subscription off and comes back as its end."""
        before, self._cutting = self._cutting, error
        try:
            yield
        finally:
            self._cutting = before

    def escape(self, error: BaseException) -> None:
        """End the run with what a callback raised that is no `Exception`."""
        if self._left:  # in a turn that an operator took later: only the loop can tell of it
            raise error
        escape = out_of_callback(error)
        self._escapes.append(escape)
        self.abort(escape)
        if self.on_escape is not None:
            self.on_escape(escape)

    def leave(self) -> None:
        """Take note that nobody hears any more of what ends the run, and raise what has.

        Raises:
            BaseException: what a callback raised that ends the run.
        """
        self._left = True
        if self._escapes:
            raise self._escapes[0]
