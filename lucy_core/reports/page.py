"""A run as one HTML file that needs nothing else: no script, no font, no network."""

from collections.abc import Iterable
from html import escape

from lucy_core.capture import run_files
from lucy_core.judging.result import RunResult, WaitResult
from lucy_core.records.journal import JOURNAL
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


def _log(node: str) -> str:
    return escape(run_files.log_of(node, JOURNAL))


def _row(cells: Iterable[tuple[str, str]]) -> str:
    return "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in cells) + "</tr>"


def _table(heads: Iterable[tuple[str, str]], rows: Iterable[str]) -> str:
    head = "".join(f'<th class="{kind}">{escape(name)}</th>' for kind, name in heads)
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _wait(wait: WaitResult) -> str:
    share = 0.0 if wait.hard is None else min(100.0, 100 * wait.seconds / wait.hard) if wait.hard > 0 else 100.0
    limits = " / ".join("no limit" if limit is None else f"{limit:g} s" for limit in (wait.soft, wait.hard))
    return _row(
        (
            ("", escape(wait.section)),
            ("", escape(wait.description)),
            (_class(wait.outcome), escape(wait.outcome)),
            ("n", f"{wait.seconds:.1f} s"),
            ("n", limits),
            ("", f'<div class="bar"><div style="width:{share:.0f}%"></div></div>'),
        )
    )


def html_report(result: RunResult) -> str:
    """Write the page. Control characters are shown: somebody copies what is on it."""
    result = visible_throughout(result)
    kind = "passed" if result.outcome == "passed" else "failed"
    title = f"{escape(result.scenario)} on {escape(result.engine)}: {escape(result.outcome.value)}"
    facts = {"run": result.run_id, "started": result.started, **result.options, "once more": result.again}
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>',
        f"<h1>{escape(result.scenario)} on the {escape(result.engine)} engine</h1>",
        f'<p class="verdict {kind}">{escape(result.outcome.value)} after {result.seconds:.1f} s</p>',
        _table(
            (), (_row((("", escape(name)), ("", f"<code>{escape(value)}</code>"))) for name, value in facts.items())
        ),
        "<h2>Sections</h2>",
        _table(
            (("", "section"), ("", "outcome"), ("n", "from"), ("n", "took")),
            (
                _row(
                    (
                        ("", escape(section.name)),
                        (_class(section.outcome), escape(section.outcome)),
                        ("n", f"{section.started:.1f} s"),
                        ("n", f"{section.seconds:.1f} s"),
                    )
                )
                for section in result.sections
            ),
        ),
        "<h2>Errors</h2>",
        _table(
            (("n", "at"), ("", "section"), ("", "kind"), ("", "message")),
            (
                _row(
                    (
                        ("n", f"{error.at:.1f} s"),
                        ("", escape(error.section)),
                        (_class(error.severity), escape(f"{error.severity}: {error.kind}")),
                        ("", f"<pre>{escape(error.said)}</pre>"),
                    )
                )
                for error in result.errors
            ),
        )
        if result.errors
        else "<p>None.</p>",
        f"<pre>{escape(result.traceback)}</pre>" if result.traceback else "",
        "<h2>Waits</h2>",
        _table(
            (("", "section"), ("", "for"), ("", "outcome"), ("n", "took"), ("n", "soft / hard"), ("", "used")),
            (_wait(wait) for wait in result.waits),
        ),
        "<h2>Nodes</h2>",
        _table(
            (("", "node"), ("", "role"), ("", "at the end"), ("", "life")),
            (
                _row(
                    (
                        ("", escape(node.name)),
                        ("", escape(node.role)),
                        ("", escape(node.state)),
                        ("", "<br>".join(map(escape, node.life))),
                    )
                )
                for node in result.nodes
            ),
        ),
        "<h2>Captured</h2>",
        _table(
            (
                ("", "node"),
                ("n", "lines"),
                ("n", "MB"),
                ("n", "malformed"),
                ("n", "torn"),
                ("n", "undecodable"),
                ("n", "max lag"),
                ("n", "blocked"),
                ("", "by"),
                ("n", "left out"),
                ("", "failures"),
            ),
            (
                _row(
                    (
                        ("", f'<a href="{_log(row.node)}">{escape(row.node)}</a>'),
                        ("n", f"{row.lines:,}"),
                        ("n", f"{row.bytes / 1e6:,.1f}"),
                        ("n", f"{row.malformed:,}"),
                        ("n", f"{row.torn:,}"),
                        ("n", f"{row.undecodable:,}"),
                        ("n", f"{row.lag_max * 1e3:,.0f} ms"),
                        ("n", f"{row.blocked * 1e3:,.0f} ms"),
                        ("", escape(row.capture)),
                        ("n", f"{row.filtered_lines:,}"),
                        ("", escape("; ".join(row.failures))),
                    )
                )
                for row in result.ledger
            ),
        ),
        *(f'<p class="failed">{escape(note)}</p>' for note in result.ledger_notes),
        "</html>\n",
    ]
    return "\n".join(part for part in parts if part)
