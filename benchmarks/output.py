"""Showing reports: tables on the terminal, JSON for programs, Markdown for the README."""

import os
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.machine import Machine
from benchmarks.report import Report, Table, Target


def targets_table(reports: list[Report]) -> Table:
    """Put all promises and what became of them into one table."""
    table = Table("targets", ["target", "promised", "measured", "met"])
    for report in reports:
        for target in report.targets:
            table.add(f"{report.name}: {target.name}", target.promise, measured(target), "yes" if target.met else "NO")
    return table


def measured(target: Target) -> str:
    """Write a target's figure as finely as it needs."""
    return f"{target.value:,.0f} {target.unit}" if abs(target.value) >= 100 else f"{target.value:.3g} {target.unit}"


def show(console: Console, reports: list[Report], machine: Machine) -> None:
    """Print everything."""
    for report in reports:
        for table in report.tables:
            _show_table(console, table)
        for name, why in report.skipped.items():
            console.print(f"skipped {name}: {why}", highlight=False, markup=False)
    promised = targets_table(reports)
    if promised.rows:
        _show_table(console, promised)
    console.print(str(machine), highlight=False, markup=False, soft_wrap=True)


def _show_table(console: Console, table: Table) -> None:
    shown = RichTable(title=table.title, title_justify="left")
    for index, name in enumerate(table.columns):
        shown.add_column(name, justify="right" if index else "left")
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)
    for note in table.notes:
        console.print(f"  {note}", highlight=False, markup=False)


def as_json(reports: list[Report], machine: Machine) -> bytes:
    """Encode for programs: one report stands at the top, with `ratios` and all; several under `reports`, by name."""
    marked = {"machine": msgspec.to_builtins(machine)}
    each = {report.name: _builtins(report) for report in reports}
    content = {**marked, **each[reports[0].name]} if len(reports) == 1 else {**marked, "reports": each}
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def _builtins(report: Report) -> dict[str, object]:
    content: dict[str, object] = msgspec.to_builtins(report)
    content["targets"] = [
        {**msgspec.to_builtins(target), "promise": target.promise, "met": target.met} for target in report.targets
    ]
    return content


def as_markdown(reports: list[Report], machine: Machine, figures: dict[str, list[Path]], *, beside: Path) -> str:
    """Write the tables, and links to the plots as seen from the file `beside`."""
    parts = [f"{machine}.", ""]
    promised = targets_table(reports)
    if promised.rows:
        parts += _markdown_table(promised)
    for report in reports:
        parts += [f"### {report.name}", ""]
        for table in report.tables:
            parts += _markdown_table(table)
        for curve in report.curves:
            for path in figures.get(curve.name, ()):
                if path.suffix == ".svg":
                    parts += [f"![{curve.title}]({_relative(path, beside)})", ""]
        parts += [f"Skipped {name}: {why}.\n" for name, why in report.skipped.items()]
    return "\n".join(parts).rstrip() + "\n"


BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def put_into(path: Path, text: str) -> None:
    """Write `text` between the two marks of a file that has them; make the file of it alone where there are none."""
    before, begin, rest = (path.read_text() if path.exists() else "").partition(BEGIN)
    _, end, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}" if begin and end else text)


def _relative(path: Path, beside: Path) -> str:
    # Not `Path.relative_to`: it walks up from Python 3.12 on only.
    return os.path.relpath(path.resolve(), beside.resolve().parent)


def _markdown_table(table: Table) -> list[str]:
    def row(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(table.columns) - 1)
    notes = ["", *table.notes] if table.notes else []
    return [f"**{table.title}**", "", row(table.columns), rule, *map(row, table.rows), *notes, ""]
