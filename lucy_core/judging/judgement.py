"""What a test holds against a run: sections, soft and hard errors, and the outcome that follows from them. Sans-IO.

An error belongs to the section in which it happened; sections nest, and each is timed. A *soft* error is recorded and
the test goes on, a *hard* one is an exception and ends the section (or the test, outside of a soft section). Both fail
the run, and several causes are told apart (`Outcome`).

Nothing is kept here but the exceptions themselves: whatever happens becomes an event of the journal, and what is read
here is the journal's fold.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import final

import msgspec

from lucy_core.aio import is_cancellation, leaves
from lucy_core.answers import refuse_awaitable
from lucy_core.arguments import instance_of, switch_of, text_of
from lucy_core.errors import CaptureDiedError, CheckFailedError, RunOverError, shown
from lucy_core.judging.fold import Fold
from lucy_core.judging.result import (
    Findings,
    HeldError,
    OpenWait,
    Outcome,
    SectionResult,
    Severity,
    WaitResult,
    exit_code,
    outcome_of,
)
from lucy_core.judging.scopes import Scopes
from lucy_core.records.journal import RunDecided, RunError, SectionEnded, SectionStarted, WaitEnded, encodable


@final
class Judgement:
    """All that is held against one run. Made by its network; read it, and hold errors by the network's own methods."""

    def __init__(
        self, fold: Fold, scopes: Scopes, write: Callable[[msgspec.Struct], None], now: Callable[[], datetime]
    ) -> None:
        self._fold = fold
        self._scopes = scopes
        self._write = write
        self._now = now
        self._held: list[BaseException] = []
        self._ended_by: BaseException | None = None
        self._decided = False
        self._over = False

    @property
    def elapsed(self) -> float:
        """Seconds since the run began: the clock on which sections, waits and errors have their times."""
        return self._fold.seconds(self._now())

    @property
    def errors(self) -> tuple[HeldError, ...]:
        """What is held against the run, in the order in which it happened."""
        return tuple(self._fold.errors)

    @property
    def sections(self) -> tuple[SectionResult, ...]:
        """The sections that are over, in the order in which they began."""
        return self._fold.sections

    @property
    def open_sections(self) -> tuple[str, ...]:
        return self._fold.open_sections

    @property
    def waits(self) -> tuple[WaitResult, ...]:
        """The waits that are over, in the order in which they ended."""
        return tuple(self._fold.waits)

    @property
    def open_waits(self) -> tuple[OpenWait, ...]:
        """What the test waits for, the longest-running first."""
        return self._fold.open_waits

    @property
    def outcome(self) -> Outcome:
        """What became of the run, as far as it has come."""
        return self._fold.verdict()[0]

    @property
    def ended_by(self) -> BaseException | None:
        """The exception that the outcome rests on, where it rests on one."""
        return self._ended_by or (self._held[0] if self._held else None)

    def findings(self) -> Findings:
        return self._fold.findings()

    def soft_error(self, message: str, kind: str = "check") -> None:
        """Hold something against the run and go on.

        Raises:
            RunOverError: its result is written.
            StrayCallError: this is another thread or loop than the network's.
        """
        text_of(message, "message")
        text_of(kind, "kind")
        if self._over:
            raise RunOverError(message)
        self._write(RunError(Severity.SOFT, message, kind, self._scopes.current()))

    def check(self, condition: object, message: str) -> None:
        """End the test unless `condition` holds.

        Raises:
            CheckFailedError: it doesn't.
            TypeError: it is an awaitable, which is always true.
        """
        refuse_awaitable(condition, f"check(…, {shown(message)}) was given")
        text_of(message, "message")
        if not condition:
            raise CheckFailedError(message)

    def record(self, error: BaseException) -> None:
        """Record an exception, or each of a group's, as a hard error; the same one again adds nothing."""
        for each in leaves(_ERROR(error, "error")):
            if not any(_is_same(each, held) for held in self._held):
                self._held.append(each)
                outcome = outcome_of(each)
                self._write(
                    RunError(
                        Severity.HARD,
                        said_by(each),
                        type(each).__name__,
                        self._scopes.current(),
                        outcome,
                        exit_code(outcome, each),
                    )
                )

    def decide(self, error: BaseException | None, outcome: Outcome | None = None) -> None:
        """Take note that the test is over, and of the exception that ended it, if one did. The first call counts.

        What it makes of the run follows from it, unless `outcome` says so.
        """
        if self._decided:
            return
        self._decided = True
        if error is None:
            self._write(RunDecided(Outcome.PASSED))
            return
        if is_cancellation(error):
            self.interrupt("cancelled")
            return
        self.record(error)
        first = self._ended_by = next(leaves(error))
        outcome = outcome or outcome_of(first)
        self._write(RunDecided(outcome, exit_code(outcome, first), type(first).__name__, said_by(first)))

    def interrupt(self, how: str) -> None:
        """Take note that somebody ended the test before it was over."""
        text_of(how, "how")
        self._decided = True
        outcome = Outcome.INTERRUPTED
        self._write(RunDecided(outcome, exit_code(outcome, None), "", how))

    def end_waits(self) -> None:
        """Say of the waits that still wait that the run is over: when they hear of it, the journal is closed."""
        for wait in self.open_waits:
            seconds = round(self.elapsed - wait.started, 3)
            self._write(WaitEnded(wait.id, wait.description, seconds, "unfinished"))

    def close(self) -> None:
        """Take note that the result is being written: what would be held from now on would be lost."""
        self._over = True

    def cut_short(self) -> None:
        """Take note that the run was cancelled after its test, on the way out, so that it has not passed.

        Whoever opened it hears of the cancellation and of no verdict; what is held against it already stands.
        """
        if self.outcome is Outcome.PASSED:
            self.interrupt("cancelled on its way out")

    @contextmanager
    def section(self, name: str, *, soft: bool = False) -> Iterator[None]:
        """Name and time a part of the test. An error in it is recorded under its name.

        Args:
            name: what the part is for.
            soft: whether an error ends the section alone, and the test goes on after it. Only an `Exception` is
                swallowed so: Ctrl-C, `pytest.fail` and the like end the test.
        """
        text_of(name, "name")
        switch_of(soft, "soft")
        number = self._scopes.new_id()
        self._write(SectionStarted(number, name, self._scopes.current()))
        began = time.monotonic()
        failed = True
        try:
            with self._scopes.entered(number):
                try:
                    yield
                except Exception as error:
                    self.record(error)
                    if not soft:
                        raise
                except BaseException as error:
                    # A cancellation is nobody's error: it ends the section, and whoever cancelled says why.
                    if not is_cancellation(error):
                        self.record(error)
                    raise
                else:
                    failed = False
        finally:
            outcome = "failed" if failed else "soft errors" if self._fold.is_troubled(number) else "passed"
            seconds = round(time.monotonic() - began, 3)
            self._write(SectionEnded(number, self._fold.name_of(number), seconds, outcome))


_ERROR = instance_of(BaseException, "an exception")


def _is_same(error: BaseException, held: BaseException) -> bool:
    """Tell whether an error is held already. A capture dies once; each who asked it has an instance of that."""
    return error is held or (
        isinstance(error, CaptureDiedError) and isinstance(held, CaptureDiedError) and error.reason == held.reason
    )


def said_by(error: BaseException) -> str:
    """Say what an exception says, and where it says nothing, or fails at that, its name."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # anybody's `__str__`, which must not take the place of what went wrong
        text = ""
    return encodable(text) or type(error).__name__
