"""What became of a run, as values: the source of every report, and of the exit code.

`Findings` is what the journal's fold says (`lucy_core.judging.fold`), live and on replay alike; `RunResult` adds what
was run and what the ledger counted.
"""

import enum
from pathlib import Path

import msgspec

from lucy_core import errors
from lucy_core.errors import (
    EngineError,
    InconclusiveError,
    NodeExitedError,
    NotReadyError,
    PipelineError,
    WaitTimeoutError,
    shown,
)
from lucy_core.formats.choice import name_written
from lucy_core.recording.ledger import Ledger
from lucy_core.records.keys import node_of, source_of


class Severity(enum.StrEnum):
    """Whether the test went on after an error."""

    SOFT = "soft"
    HARD = "hard"


class Outcome(enum.StrEnum):
    """What became of a run."""

    PASSED = "passed"
    """Nothing is held against it."""
    FAILED = "failed"
    """Something is held against what was tested."""
    INCONCLUSIVE = "inconclusive"
    """Lines are missing on which the answer rests: neither red nor green."""
    INFRASTRUCTURE = "infrastructure error"
    """What the network stands on failed: an engine, a disk, a process of Lucy's."""
    INTERRUPTED = "interrupted"
    """Somebody ended it, by Ctrl-C or a signal."""


class ExitCode(enum.IntEnum):
    """What the command `lucy` exits with: for each outcome a code of its name, and more."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    INFRASTRUCTURE = 4
    NOT_READY = 20
    NODE_EXITED = 30
    INTERRUPTED = 130


EXIT_CODES = {
    ExitCode.PASSED: "passed",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "the command line was wrong; nothing was started",
    ExitCode.INCONCLUSIVE: "inconclusive: the log has a gap where the answer would be",
    ExitCode.INFRASTRUCTURE: "infrastructure error: the engine failed, not the nodes",
    ExitCode.NOT_READY: "failed: the nodes were not ready before the hard timeout",
    ExitCode.NODE_EXITED: "failed: a node ended by itself",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C, TERM or HUP)",
}


def said(severity: str, kind: str, message: str) -> str:
    """Say what an error says, and of one that isn't Lucy's its type too: a `KeyError` says nothing but the key."""
    is_own = severity == Severity.SOFT or isinstance(getattr(errors, kind, None), type)
    return message if is_own or message == kind else f"{kind}: {message}"


class HeldError(msgspec.Struct, frozen=True):
    """One error of a run."""

    severity: Severity
    section: str
    """The sections that it happened in, outermost first."""
    kind: str
    message: str
    at: float
    """Seconds since the run began."""
    inside: int = 0
    """The id of the innermost of these sections; 0 outside of all."""

    @property
    def said(self) -> str:
        """What people are told of it."""
        return said(self.severity, self.kind, self.message)

    def __str__(self) -> str:
        what = self.kind if self.kind.startswith(self.severity) else f"{self.severity} {self.kind}"
        return f"[{self.at:.1f} s] {what}: {self.message}"


class SectionResult(msgspec.Struct, frozen=True):
    """One section, once it is over."""

    name: str
    """Its own name, after those of the sections around it."""
    started: float
    """Seconds since the run began."""
    seconds: float
    outcome: str
    """`passed`, `soft errors` or `failed`."""
    id: int = 0
    parent: int = 0


class OpenWait(msgspec.Struct, frozen=True, kw_only=True):
    """What the test waits for now."""

    description: str
    section: str
    started: float
    """Seconds since the run began."""
    soft: float | None
    """Seconds; None is no limit."""
    hard: float | None
    lasting: float | None = None
    id: int = 0
    inside: int = 0
    """The id of its section."""


class WaitResult(OpenWait, frozen=True, kw_only=True):
    """A wait that is over, and how much of its time it used."""

    seconds: float
    outcome: str
    """`passed`, `late`, `cancelled`, the name of the error, or `unfinished` where the run was over before it."""


class NodeResult(msgspec.Struct, frozen=True):
    """What happened to one node."""

    name: str
    role: str
    state: str
    """Where it stood when the test was over."""
    life: tuple[str, ...]
    """Its starts, stops and exits, in order, each with its time."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the journal says of a run."""

    run_id: str = ""
    test: str = ""
    engine: str = ""
    outcome: Outcome = Outcome.PASSED
    exit_code: int = 0
    decided_by: HeldError | None = None
    """Of several errors the one that the outcome rests on."""
    sections: tuple[SectionResult, ...] = ()
    """Those that are over, in the order in which they began."""
    open_sections: tuple[str, ...] = ()
    waits: tuple[WaitResult, ...] = ()
    """Those that are over, in the order in which they ended."""
    open_waits: tuple[OpenWait, ...] = ()
    """The longest-running first."""
    errors: tuple[HeldError, ...] = ()
    nodes: tuple[NodeResult, ...] = ()


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was captured of one node."""

    node: str
    lines: int
    bytes: int
    malformed: int
    torn: int
    undecodable: int
    lag_max: float
    """Seconds from arrival to delivery, at most."""
    blocked: float
    """Seconds that it may have waited for capture, at most."""
    failures: tuple[str, ...]
    capture: str = ""
    """The way its lines came: `fifo`, `engine`."""
    filtered_lines: int = 0
    """Lines that a capture filter left out."""
    filtered_bytes: int = 0
    unleveled: int = 0
    """Records that don't say how much they matter, or by a word that nobody knows."""
    formats: dict[str, int] = {}
    """How many of its lines were read as what."""
    malformed_lines: tuple[str, ...] = ()
    """The first that its format can't read: each with its place, why, and how it begins."""


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report tells."""

    run_id: str
    scenario: str
    engine: str
    options: dict[str, str]
    outcome: Outcome
    exit_code: int
    started: str
    """Wall time, ISO 8601 in UTC."""
    seconds: float
    directory: str
    again: str
    """The command that runs the same once more."""
    sections: tuple[SectionResult, ...] = ()
    waits: tuple[WaitResult, ...] = ()
    errors: tuple[HeldError, ...] = ()
    decided_by: HeldError | None = None
    """Of several errors the one that the outcome rests on."""
    traceback: str = ""
    """Where an error was raised that Lucy doesn't know."""
    nodes: tuple[NodeResult, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    ledger_notes: tuple[str, ...] = ()
    """What went wrong with the capture itself."""

    @property
    def path(self) -> Path:
        return Path(self.directory)


def outcome_of(error: BaseException) -> Outcome:
    """Classify an error that ended a test.

    An exception that isn't an `Exception` is somebody's wish to be elsewhere, but for those of a test runner, such as
    `pytest.fail`'s, whose base is the same: a run that they ended has not passed.
    """
    if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
        return Outcome.INTERRUPTED
    if isinstance(error, (InconclusiveError, PipelineError)):
        return Outcome.INCONCLUSIVE
    if isinstance(error, EngineError) and not isinstance(error, NodeExitedError):
        return Outcome.INFRASTRUCTURE
    return Outcome.FAILED


def early_outcome(error: BaseException) -> Outcome:
    """Classify an error from before there was a network: a log that can't be written leaves no verdict in doubt."""
    return Outcome.INFRASTRUCTURE if isinstance(error, PipelineError | OSError) else outcome_of(error)


def exit_code(outcome: Outcome, ended_by: BaseException | None) -> ExitCode:
    """Choose the exit code of a run."""
    if outcome is Outcome.FAILED:
        if isinstance(ended_by, NodeExitedError):
            return ExitCode.NODE_EXITED
        if isinstance(ended_by, NotReadyError) or (isinstance(ended_by, WaitTimeoutError) and ended_by.is_readiness):
            return ExitCode.NOT_READY
    return ExitCode[outcome.name]


MALFORMED_BYTES = 200
"""How much is shown of a line that can't be read."""


def _read_as(ledger: Ledger, key: str) -> dict[str, int]:
    """Say how many of a source's lines were read as what: as was found out, or as was chosen, for it or its node."""
    account = ledger.nodes[key]
    text = account.format or ledger.nodes.get(node_of(key), account).format
    return account.judged.found or ({name_written(text, source_of(key)): account.decoded} if text else {})


def ledger_rows(ledger: Ledger) -> tuple[LedgerRow, ...]:
    """Copy the ledger's figures, a row a node."""
    return tuple(
        LedgerRow(
            node=node,
            lines=account.lines,
            bytes=account.bytes,
            malformed=account.malformed,
            torn=account.torn,
            undecodable=account.undecodable,
            lag_max=account.lag_max_ns / 1e9,
            blocked=account.blocked_ns / 1e9,
            failures=tuple(account.failures),
            capture=account.capture,
            filtered_lines=account.filtered_lines,
            filtered_bytes=account.filtered_bytes,
            unleveled=account.judged.unleveled,
            formats=_read_as(ledger, node),
            malformed_lines=tuple(
                f"at position {bad.position:,}: {bad.reason}: {shown(bad.raw[:MALFORMED_BYTES])}"
                for bad in account.judged.first_malformed
            ),
        )
        for node, account in ledger.accounts.items()
    )


def ledger_notes(ledger: Ledger) -> tuple[str, ...]:
    """Say what went wrong with the capture itself."""
    about_nodes = set(ledger.nodes)
    notes = [f"{what}: {text}" for what, text in ledger.summary().items() if what not in about_nodes]
    return (*notes, *ledger.cut_off)
