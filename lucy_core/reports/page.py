"""A run as one HTML file that needs nothing else: no script, no font, no network."""

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from lucy_core.capturing import run_files
from lucy_core.judging.result import LedgerRow, RunResult, WaitResult
from lucy_core.records.journal import JOURNAL
from lucy_core.reports.text import read_as
from lucy_core.visible import visible_throughout

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
td, th { border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
pre { background: #f5f5f5; margin: 0; overflow-x: auto; padding: .5rem; white-space: pre-wrap }
.passed { color: #176b2c } .soft, .late { color: #8a5a00 } .failed { color: #a01818 }
.bar { background: #eee; height: .6rem; width: 10rem } .bar div { background: #4a7dbd; height: 100% }
.verdict { border: 2px solid; display: inline-block; font-weight: bold; padding: .2rem .8rem }
@media (prefers-color-scheme: dark) {
  body { background: #161616; color: #ddd } td, th { border-color: #444 } pre { background: #222 }
  .passed { color: #6fd08c } .soft, .late { color: #e0b050 } .failed { color: #ff8080 } .bar { background: #333 }
}
"""


def _class(outcome: str) -> str:
    return {"passed": "passed", "late": "late", "soft errors": "soft", "soft": "soft"}.get(outcome, "failed")


class Cell(NamedTuple):
    """What stands in a cell that is not its column's plain text: its class, and its HTML."""

    kind: str
    html: str


def _row(tag: str, cells: Iterable[tuple[str, str]]) -> str:
    return "<tr>" + "".join(f'<{tag} class="{kind}">{html}</{tag}>' for kind, html in cells) + "</tr>"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str | Cell, ...]]) -> str:
    """Write a table; a head that begins with `#` is that of numbers."""
    kinds = ["n" if head.startswith("#") else "" for head in heads]
    head = _row("th", zip(kinds, (escape(head.lstrip("#")) for head in heads), strict=True)) if any(heads) else ""
    body = (
        _row(
            "td",
            (cell if isinstance(cell, Cell) else (kind, escape(cell)) for kind, cell in zip(kinds, row, strict=True)),
        )
        for row in rows
    )
    return f"<table>{head}{''.join(body)}</table>"


def _wait(wait: WaitResult) -> tuple[str | Cell, ...]:
    share = 0.0 if wait.hard is None else min(100.0, 100 * wait.seconds / wait.hard) if wait.hard > 0 else 100.0
    limits = " / ".join("no limit" if limit is None else f"{limit:g} s" for limit in (wait.soft, wait.hard))
    outcome = Cell(_class(wait.outcome), escape(wait.outcome))
    bar = Cell("", f'<div class="bar"><div style="width:{share:.0f}%"></div></div>')
    return (wait.section, wait.description, outcome, f"{wait.seconds:.1f} s", limits, bar)


COUNTS = ("#lines", "#MB", "#malformed", "#torn", "#undecodable", "#max lag", "#blocked")
CAPTURED = ("node", *COUNTS, "by", "#left out", "failures")


def _captured(row: LedgerRow) -> tuple[str | Cell, ...]:
    log = escape(run_files.log_of(row.node, JOURNAL))
    return (
        Cell("", f'<a href="{log}">{escape(row.node)}</a>'),
        f"{row.lines:,}",
        f"{row.bytes / 1e6:,.1f}",
        f"{row.malformed:,}",
        f"{row.torn:,}",
        f"{row.undecodable:,}",
        f"{row.lag_max * 1e3:,.0f} ms",
        f"{row.blocked * 1e3:,.0f} ms",
        row.capture,
        f"{row.filtered_lines:,}",
        "; ".join(row.failures),
    )


def _formats(row: LedgerRow) -> tuple[str | Cell, ...]:
    lines = "<br>".join(map(escape, row.malformed_lines))
    return (row.node, read_as(row), f"{row.unleveled:,}", Cell("", lines))


def html_report(result: RunResult) -> str:
    """Write the page. Control characters are shown: somebody copies what is on it."""
    result = visible_throughout(result)
    kind = "passed" if result.outcome == "passed" else "failed"
    title = f"{escape(result.scenario)} on {escape(result.engine)}: {escape(result.outcome.value)}"
    facts = {"run": result.run_id, "started": result.started, **result.options, "once more": result.again}
    sections = (
        (
            section.name,
            Cell(_class(section.outcome), escape(section.outcome)),
            f"{section.started:.1f} s",
            f"{section.seconds:.1f} s",
        )
        for section in result.sections
    )
    errors = (
        (
            f"{error.at:.1f} s",
            error.section,
            Cell(_class(error.severity), escape(f"{error.severity}: {error.kind}")),
            Cell("", f"<pre>{escape(error.said)}</pre>"),
        )
        for error in result.errors
    )
    nodes = ((node.name, node.role, node.state, Cell("", "<br>".join(map(escape, node.life)))) for node in result.nodes)
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>',
        f"<h1>{escape(result.scenario)} on the {escape(result.engine)} engine</h1>",
        f'<p class="verdict {kind}">{escape(result.outcome.value)} after {result.seconds:.1f} s</p>',
        _table(("", ""), ((name, Cell("", f"<code>{escape(value)}</code>")) for name, value in facts.items())),
        "<h2>Sections</h2>",
        _table(("section", "outcome", "#from", "#took"), sections),
        "<h2>Errors</h2>",
        _table(("#at", "section", "kind", "message"), errors) if result.errors else "<p>None.</p>",
        f"<pre>{escape(result.traceback)}</pre>" if result.traceback else "",
        "<h2>Waits</h2>",
        _table(("section", "for", "outcome", "#took", "#soft / hard", "used"), map(_wait, result.waits)),
        "<h2>Nodes</h2>",
        _table(("node", "role", "at the end", "life"), nodes),
        "<h2>Captured</h2>",
        _table(CAPTURED, map(_captured, result.ledger)),
        *(f'<p class="failed">{escape(note)}</p>' for note in result.ledger_notes),
        "<h2>Formats</h2>",
        _table(("node", "read as", "#unknown severity", "malformed lines"), map(_formats, result.ledger)),
        "</html>\n",
    ]
    return "\n".join(part for part in parts if part)
