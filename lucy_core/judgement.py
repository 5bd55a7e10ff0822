"""What a test holds against a run: sections, soft and hard errors, and the outcome that follows from them. Sans-IO.

An error belongs to the section in which it happened; sections nest, and each is timed. A *soft* error is recorded and
the test goes on, a *hard* one is an exception and ends the section (or the test, outside of a soft section). Both fail
the run, as in Mina's executive; unlike there, several causes are told apart (`Outcome`), and the exit code of the first
hard error survives its section.
"""

import enum
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

import msgspec

from lucy_core.errors import CheckFailedError, EngineError, InconclusiveError, NodeExitedError, PipelineError


class Severity(enum.StrEnum):
    """Whether the test went on after an error."""

    SOFT = "soft"
    HARD = "hard"


class Outcome(enum.StrEnum):
    """What became of a run."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    INFRASTRUCTURE = "infrastructure error"
    INTERRUPTED = "interrupted"


class HeldError(msgspec.Struct, frozen=True):
    """One error of a run."""

    severity: Severity
    section: str
    kind: str
    message: str
    at: float
    """Seconds since the test began."""


class SectionResult(msgspec.Struct, frozen=True):
    """One section, once it is over."""

    name: str
    started: float
    """Seconds since the test began."""
    seconds: float
    outcome: str
    """`passed`, `soft errors` or `failed`."""


class CurrentWait(msgspec.Struct, frozen=True):
    """What the test waits for now."""

    description: str
    started: float
    soft: float | None
    hard: float | None


def outcome_of(error: BaseException) -> Outcome:
    """Classify an error that ended a test."""
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return Outcome.INTERRUPTED
    if isinstance(error, (InconclusiveError, PipelineError)):
        return Outcome.INCONCLUSIVE
    if isinstance(error, NodeExitedError):
        return Outcome.FAILED
    if isinstance(error, EngineError):
        return Outcome.INFRASTRUCTURE
    return Outcome.FAILED


@final
class Judgement:
    """All that is held against one run, as it is collected."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._open: list[str] = []
        self.errors: list[HeldError] = []
        self.sections: list[SectionResult] = []
        self.waits: list[tuple[str, float, str]] = []
        """Description, seconds and outcome of each wait that is over."""
        self.current_wait: CurrentWait | None = None
        self.ended_by: BaseException | None = None
        self.listeners: list[Callable[[HeldError | SectionResult], None]] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the test began."""
        return self._clock() - self._began

    @property
    def section_name(self) -> str:
        """The sections that are open, outermost first."""
        return " / ".join(self._open)

    def soft_error(self, message: str, kind: str = "check") -> None:
        """Hold something against the run and go on."""
        self._hold(HeldError(Severity.SOFT, self.section_name, kind, message, self.elapsed))

    def check(self, condition: bool, message: str) -> None:  # noqa: FBT001  # the thing that is checked
        """End the test unless `condition` holds.

        Raises:
            CheckFailedError: it doesn't.
        """
        if not condition:
            raise CheckFailedError(message)

    def _hold(self, error: HeldError) -> None:
        self.errors.append(error)
        for listener in self.listeners:
            listener(error)

    def hold(self, error: BaseException) -> None:
        """Record the exception that ends a section or the test; the same one again adds nothing."""
        if self.ended_by is error:
            return
        self.ended_by = error
        text = str(error) or type(error).__name__
        self._hold(HeldError(Severity.HARD, self.section_name, type(error).__name__, text, self.elapsed))

    @contextmanager
    def section(self, name: str, *, soft: bool = False) -> Iterator[None]:
        """Name and time a part of the test. An error in it is recorded under its name.

        Args:
            name: what the part is for.
            soft: whether an error ends the section alone, and the test goes on after it.
        """
        self._open.append(name)
        full_name = self.section_name
        started = self.elapsed
        before = len(self.errors)
        failed = False
        try:
            yield
        except Exception as error:
            failed = True
            self.hold(error)
            if not soft:
                raise
        except BaseException:
            failed = True
            raise
        finally:
            self._open.pop()
            outcome = "failed" if failed else "soft errors" if len(self.errors) > before else "passed"
            result = SectionResult(full_name, started, self.elapsed - started, outcome)
            self.sections.append(result)
            for listener in self.listeners:
                listener(result)

    @property
    def outcome(self) -> Outcome:
        """What became of the run, as far as it has come."""
        if self.ended_by is not None:
            return outcome_of(self.ended_by)
        return Outcome.FAILED if self.errors else Outcome.PASSED
