"""The report at the end of a run, as text for people."""

import shlex
from collections.abc import Callable, Iterator

from lucy_core.capturing import run_files
from lucy_core.judging.result import (
    EXIT_CODES,
    ExitCode,
    HeldError,
    LedgerRow,
    Outcome,
    RunResult,
    SectionResult,
    WaitResult,
)
from lucy_core.records.journal import JOURNAL
from lucy_core.visible import visible_throughout

GOOD, SOFT, BAD, CUT_SHORT = "✓", "!", "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
MARKS = {"passed": GOOD, "soft errors": SOFT, "failed": BAD}
COLOURS = {GOOD: "32", SOFT: "33", BAD: "31", CUT_SHORT: "36"}

VERDICTS = {
    Outcome.PASSED: "PASSED",
    Outcome.FAILED: "FAILED",
    Outcome.INCONCLUSIVE: "INCONCLUSIVE: the log has a gap where the answer would be",
    Outcome.INFRASTRUCTURE: "INFRASTRUCTURE ERROR: nothing is said about the nodes",
    Outcome.INTERRUPTED: "INTERRUPTED",
}

Paint = Callable[[str, str], str]


def _plain(text: str, _: str) -> str:
    return text


def _coloured(text: str, mark: str) -> str:
    return f"\x1b[{COLOURS.get(mark, '1')}m{text}\x1b[0m"


def report(result: RunResult, *, coloured: bool, kept: bool) -> str:
    """Tell a run in full, its colours the only control characters. The last lines say the verdict and where to look."""
    result = visible_throughout(result)
    paint = _coloured if coloured else _plain
    lines = [
        "",
        paint(f"=== {result.scenario} on the {result.engine} engine, run {result.run_id} ===", "title"),
        *_sections(result, paint),
        *_nodes(result),
        *_ledger(result, paint),
        *([result.traceback] if result.traceback else []),
        *_verdict(result, paint),
        *_where(result, kept=kept),
    ]
    return "\n".join(lines) + "\n"


def _error(error: HeldError, paint: Paint) -> str:
    mark = SOFT if error.severity == "soft" else BAD
    said = error.said.replace("\n", "\n        ")
    return f"      {paint(f'[{error.at:6.1f} s] {error.severity}:', mark)} {said}"


def head_room(wait: WaitResult) -> str:
    """Say how much of the allowed time a wait used."""
    if wait.hard is None:
        used = "no limit"
    else:
        used = f"{100 * wait.seconds / wait.hard:.0f} % of {wait.hard:g} s" if wait.hard > 0 else "no time allowed"
    has_soft = wait.soft is not None and (wait.hard is None or wait.soft < wait.hard)
    return f"{used}, soft {wait.soft:g} s" if has_soft else used


def _wait(wait: WaitResult, paint: Paint) -> str:
    mark = {"passed": GOOD, "late": SOFT, "cancelled": CUT_SHORT}.get(wait.outcome, BAD)
    return f"      {paint(mark, mark)} {wait.seconds:7.1f} s  {wait.description}  ({head_room(wait)})"


def _mark(section: SectionResult, result: RunResult) -> str:
    if section.outcome == "failed" and not any(error.inside == section.id for error in result.errors):
        return CUT_SHORT
    return MARKS[section.outcome]


def _sections(result: RunResult, paint: Paint) -> Iterator[str]:
    known = {section.id for section in result.sections}
    for section in result.sections:
        mark = _mark(section, result)
        yield f"  {paint(mark, mark)} {section.name:<52} {section.seconds:7.1f} s"
        yield from (_wait(wait, paint) for wait in result.waits if wait.inside == section.id)
        yield from (_error(error, paint) for error in result.errors if error.inside == section.id)
    yield from (_wait(wait, paint) for wait in result.waits if wait.inside not in known)
    outside = [error for error in result.errors if error.inside not in known]
    if outside:
        yield "  Outside of sections:"
        yield from (_error(error, paint) for error in outside)


def _nodes(result: RunResult) -> Iterator[str]:
    if result.nodes:
        yield "Nodes"
    for node in result.nodes:
        yield f"  {node.name:<14} {node.state:<9} {'; '.join(node.life) or 'never started'}"


def read_as(row: LedgerRow) -> str:
    """Say as what a node's lines were read, most first."""
    most_first = sorted(row.formats.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name} ({count:,})" for name, count in most_first)


def _ledger(result: RunResult, paint: Paint) -> Iterator[str]:
    if not result.ledger:
        return
    yield f"Captured       {'lines':>12} {'MB':>10} {'malformed':>10} {'max lag':>10} {'blocked':>10}  by"
    for row in result.ledger:
        bad = row.malformed + row.torn + row.undecodable
        count = paint(f"{bad:>10,}", "!") if bad else f"{bad:>10,}"
        yield (
            f"  {row.node:<12} {row.lines:>12,} {row.bytes / 1e6:>10,.1f} {count} "
            f"{row.lag_max * 1e3:>7,.0f} ms {row.blocked * 1e3:>7,.0f} ms  {row.capture}".rstrip()
        )
        if row.filtered_lines:
            left_out = f"{row.filtered_lines:,} lines, {row.filtered_bytes / 1e6:,.1f} MB"
            yield f"    left out by the capture filter: {left_out}"
        if row.formats:
            yield f"    read as: {read_as(row)}"
        if row.unleveled:
            yield f"    of unknown severity: {row.unleveled:,} records"
        yield from (f"    {paint(f'malformed {line}', SOFT)}" for line in row.malformed_lines)
        yield from (f"    {paint(f'at its source: {reason}', BAD)}" for reason in row.failures)
    yield from (f"  {paint(note, BAD)}" for note in result.ledger_notes)


def _verdict(result: RunResult, paint: Paint) -> Iterator[str]:
    mark = GOOD if result.outcome is Outcome.PASSED else BAD
    yield paint(f"{mark} {VERDICTS[result.outcome]} after {result.seconds:.1f} s", mark)
    if result.decided_by is not None and len(result.errors) > 1:
        yield f"  decided by     {str(result.decided_by).splitlines()[0]}"
    code = ExitCode(result.exit_code)
    if code not in (ExitCode.PASSED, ExitCode.FAILED):
        yield f"  exit code {code.value}: {EXIT_CODES[code]}"


def _where(result: RunResult, *, kept: bool) -> Iterator[str]:
    if kept:
        path = result.path
        yield f"  run directory  {path}"
        yield f"  to read        {path / run_files.REPORT}"
        yield f"  a node's log   less {shlex.quote(str(path))}/{run_files.log_of('NODE', JOURNAL)}"
        yield f"  Lucy's own     {path / run_files.JOURNAL}"
    else:
        yield "  the run directory was removed, as --keep says"
    if result.again:
        yield f"  once more      {result.again}"
