"""The flood's result as a report."""

import msgspec

from benchmarks.flood import Flood
from benchmarks.report import Curve, Report, Table, Target

PROMISED = {
    "bare_pipe_with_recording": ("bytes/s over the bare pipe's, recording", 0.33),
    "bare_recorder_with_recording": ("bytes/s over the bare recorder's, recording", 0.8),
    "bare_pipe_without_recording": ("bytes/s over the bare pipe's, no recording", 0.50),
    "asyncio_json_with_recording": ("lines/s over asyncio + json, recording", 12.0),
    "asyncio_orjson_with_recording": ("lines/s over asyncio + orjson, recording", 5.0),
}
PROMISED_CPU = {"lucy_with_recording": ("CPU, recording", 1.0), "lucy_without_recording": ("CPU, no recording", 0.55)}
"""In seconds a GB, by the row."""


def flood_report(flood: Flood) -> Report:
    """Put a flood into a table, against its targets."""
    table = Table(
        f"flood: {flood.nodes} nodes, {flood.megabytes:,.0f} MB, medians of {flood.runs} runs",
        [
            "reader",
            "k lines/s",
            "MB/s",
            "CPU s per M lines",
            "CPU s/GB",
            "peak MiB",
            "writers, cores",
            "Lucy over it, recording",
            "no recording",
        ],
        notes=[
            "over the bare pipe and the bare recorder in bytes a second, over the others in lines a second",
            "plain: Lucy searching by bytes.find, as without stringzilla; her other rows are compared, and promised",
        ],
    )
    if flood.searched == "bytes":
        table.notes.append("stringzilla isn't to be had here: all of Lucy's rows search by bytes.find")
    for name, row in flood.rows.items():
        leads = [flood.ratios.get(f"{name}_{kind}_recording") for kind in ("with", "without")]
        table.add(
            name,
            f"{row['lines_per_second'] / 1e3:,.0f}",
            f"{row['megabytes_per_second']:,.0f}",
            f"{row['cpu_seconds_per_million_lines']:.2f}",
            f"{row['cpu_seconds_per_gigabyte']:.2f}",
            f"{row['peak_mib']:.0f}",
            f"{row['writers_cores']:.2f}",
            *(f"{lead:.2f}x" if lead else "" for lead in leads),
        )
    tables = [table]
    if flood.paired:
        tables.append(_paired_table(flood))
    bars: list[tuple[float | str, float]] = [
        (name.replace("_", " "), row["megabytes_per_second"]) for name, row in flood.rows.items()
    ]
    targets = [
        Target(name, flood.ratios[key], limit, at_least=True)
        for key, (name, limit) in PROMISED.items()
        if key in flood.ratios
    ]
    targets += [
        Target(name, flood.rows[key]["cpu_seconds_per_gigabyte"], limit, unit="s/GB")
        for key, (name, limit) in PROMISED_CPU.items()
        if key in flood.rows
    ]
    figures = msgspec.to_builtins(flood)
    return Report(
        "flood",
        tables,
        targets,
        [Curve("flood", "Flood", "reader", "MB/s", {"MB/s": bars}, bars=True)],
        skipped=figures.pop("skipped"),
        ratios=figures.pop("ratios"),
        figures=figures,
    )


def _paired_table(flood: Flood) -> Table:
    table = Table(
        "flood: this checkout over the other one",
        ["reader", "lines/s", "least", "most", "CPU a line", "least", "most"],
        notes=["the median of as many ratios as there were rounds, of the two in one round; over 1 is more"],
    )
    for name, pair in flood.paired.items():
        spreads = (pair.lines_per_second, pair.cpu_seconds)
        table.add(name, *(f"{each:.3f}x" for at in spreads for each in (at.median, at.least, at.most)))
    return table
