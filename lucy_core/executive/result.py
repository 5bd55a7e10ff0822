"""What became of a run, as values: the source of every report, and of the exit code."""

import enum
from pathlib import Path

import msgspec

from lucy_core.errors import NodeExitedError, PipelineError, WaitTimeoutError
from lucy_core.judgement import HeldError, Outcome, SectionResult, outcome_of
from lucy_core.pipeline.ledger import Ledger


class ExitCode(enum.IntEnum):
    """What the command `lucy` exits with."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    INFRASTRUCTURE = 4
    NOT_INITIALIZED = 20
    NODE_EXITED = 30
    INTERRUPTED = 130


EXIT_CODES = {
    ExitCode.PASSED: "passed",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "the command line was wrong; nothing was started",
    ExitCode.INCONCLUSIVE: "inconclusive: the log has a gap where the answer would be",
    ExitCode.INFRASTRUCTURE: "infrastructure error: the engine failed, not the nodes",
    ExitCode.NOT_INITIALIZED: "failed: the nodes did not initialise before the hard timeout",
    ExitCode.NODE_EXITED: "failed: a node ended by itself",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C, TERM or HUP)",
}

CODE_OF_WAIT = {"nodes_initialized": ExitCode.NOT_INITIALIZED}
"""Waits, by the name of their condition, whose hard timeout has an exit code of its own."""


class WaitResult(msgspec.Struct, frozen=True, kw_only=True):
    """One wait, and how much of its time it used."""

    description: str
    section: str
    started: float
    """Seconds since the run began."""
    seconds: float
    soft: float | None
    hard: float | None
    outcome: str
    """`passed`, `late`, `cancelled`, or the name of the error."""


class NodeResult(msgspec.Struct, frozen=True):
    """What happened to one node."""

    name: str
    role: str
    state: str
    """Where it stood when the test was over."""
    life: tuple[str, ...]
    """Its starts, stops and exits, in order, each with its time."""


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
    """The way its lines came: `fifo`, `attach`."""
    filtered_lines: int = 0
    """Lines that a capture filter left out."""
    filtered_bytes: int = 0


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
    traceback: str = ""
    """Where an error was raised that Lucy doesn't know."""
    nodes: tuple[NodeResult, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    ledger_notes: tuple[str, ...] = ()
    """What went wrong with the capture itself."""

    @property
    def path(self) -> Path:
        """The run directory."""
        return Path(self.directory)


def early_outcome(error: BaseException) -> Outcome:
    """Classify an error from before there was a network: a log that can't be written leaves no verdict in doubt."""
    return Outcome.INFRASTRUCTURE if isinstance(error, PipelineError | OSError) else outcome_of(error)


def exit_code(outcome: Outcome, ended_by: BaseException | None) -> ExitCode:
    """Choose the exit code of a run."""
    if outcome is Outcome.FAILED:
        if isinstance(ended_by, NodeExitedError):
            return ExitCode.NODE_EXITED
        if isinstance(ended_by, WaitTimeoutError):
            return CODE_OF_WAIT.get(getattr(ended_by, "condition", ""), ExitCode.FAILED)
    return {
        Outcome.PASSED: ExitCode.PASSED,
        Outcome.FAILED: ExitCode.FAILED,
        Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
        Outcome.INFRASTRUCTURE: ExitCode.INFRASTRUCTURE,
        Outcome.INTERRUPTED: ExitCode.INTERRUPTED,
    }[outcome]


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
        )
        for node, account in ledger.nodes.items()
    )


def ledger_notes(ledger: Ledger) -> tuple[str, ...]:
    """Say what went wrong with the capture itself."""
    about_nodes = set(ledger.nodes)
    notes = [f"{what}: {text}" for what, text in ledger.summary().items() if what not in about_nodes]
    return (*notes, *ledger.cut_off)
