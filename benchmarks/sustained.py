"""`sustained`: a flood for as long as one likes, in which memory and speed should stay flat and no line is unaccounted.

A billion lines are 500 GB, so the disk is a ring: what was delivered, and compared byte by byte with what was written,
is given back. Then many nodes and subscriptions, with lines of 64 MiB beside small ones.
"""

import itertools

import msgspec

from benchmarks.endless import NODES, Endless, EndlessJob, Look, endless_listener
from benchmarks.measurement import Say, apart, scratch
from benchmarks.report import Curve, Report, Table, Target
from benchmarks.ring import why_no_ring
from benchmarks.wide import WIDE, WideJob, run_wide

MINUTES = 30.0
LINES = 1_000_000_000
LOOKS = 20
PASS_LINES = 50_000
"""Of a corpus: some 26 MB."""
DISK_BYTES = 4 << 30
"""What may be used of the disk, with what is on its way when the writers are stopped."""
HELD_FROM = DISK_BYTES * 3 // 4
STRIDE_BYTES = 64 << 20
SPARE_SECONDS = 120
"""Beyond the flood: to start, to drain, to compare."""


def run_sustained(
    *,
    say: Say,
    minutes: float = MINUTES,
    lines: int = LINES,
    rounds: int = 2,
    pass_lines: int = PASS_LINES,
    stride: int = STRIDE_BYTES,
    wide: WideJob = WIDE,
) -> Report:
    """Measure the flood, and what is wide.

    Args:
        say: told what is measured.
        minutes: of the flood, at most.
        lines: of the flood, at most; whole passes of each node's corpus, at least one.
        rounds: of what is wide; the flood is made once.
        pass_lines: of a corpus.
        stride: bytes of a log that are given back at once.
        wide: what is wide, with its long lines.
    """
    report = Report("sustained")
    _flood(report, say, minutes * 60, lines, pass_lines, stride)
    run_wide(report, say, rounds, wide)
    return report


def _flood(report: Report, say: Say, seconds: float, lines: int, pass_lines: int, stride: int) -> None:
    say(f"a flood of {seconds / 60:g} minutes, at most {lines:,} lines")
    with scratch("sustained", needs_bytes=DISK_BYTES) as root:
        if (why := why_no_ring(root)) is not None:
            report.skipped["the sustained flood"] = why
            return
        pass_lines = min(pass_lines, max(1, lines // NODES))
        passes = max(1, lines // (NODES * pass_lines))
        job = EndlessJob(str(root), seconds, passes, pass_lines, LOOKS, HELD_FROM, stride)
        found = apart(endless_listener, job, seconds=seconds + SPARE_SECONDS)
    _show(report, found)


def _show(report: Report, found: Endless) -> None:
    """Put it into a report."""
    looks, held = found.looks, found.held
    check = found.ring_cpu_seconds / found.bytes * 1e9
    table = Table(
        f"sustained: {looks[-1].seconds:,.0f} s of flood, {sum(found.written):,} lines, {found.bytes / 1e9:,.1f} GB",
        [
            *(
                "seconds",
                "million lines",
                "k lines/s",
                "CPU us a line",
                "others, cores",
                "test MiB",
                "capture MiB",
                "disk MiB",
            ),
            *("behind MB", "lag s", "held s"),
        ],
        notes=[
            f"one run, {NODES} nodes, one typed subscription; speed and CPU are of each row's own lines",
            f"the ledger has every line, {found.events:,} events came in order of number, every byte was compared",
            "others: what everybody else used, be it another program, the kernel's writing back, or the machine's host",
            f"behind: captured and not delivered, at the end for {found.drained_seconds:.1f} s; lag: the latest node's",
            f"held: writers stopped, as Lucy was behind ({held.by_lucy:.1f} s) or the check ({held.by_check:.1f} s)",
            f"{found.disk_peak_mib:,.0f} MiB of disk used at most; the check took {check:.2f} s of CPU a GB besides",
        ],
    )
    before = Look(*[0] * len(Look.__struct_fields__))
    for look in looks:
        table.add(
            f"{look.seconds:,.0f}",
            f"{look.lines / 1e6:,.1f}",
            f"{_rate(before, look) / 1e3:,.0f}",
            f"{_cost(before, look):.2f}",
            f"{(look.other_cpu_seconds - before.other_cpu_seconds) / (look.seconds - before.seconds):.2f}",
            f"{look.mib:.0f}",
            f"{look.capture_mib:.0f}",
            f"{look.disk_mib:,.0f}",
            f"{look.behind / 1e6:,.0f}",
            f"{look.lag:.1f}",
            f"{look.held_by_lucy + look.held_by_check - before.held_by_lucy - before.held_by_check:.1f}",
        )
        before = look
    report.tables.append(table)
    report.figures["flood"] = msgspec.to_builtins(found)
    _judge(report, found)


def _judge(report: Report, found: Endless) -> None:
    """Hold it against what was promised, and draw it."""
    looks = found.looks
    if len(looks) == LOOKS:
        quarter = LOOKS // 4
        second, last = ((looks[end - quarter - 1], looks[end - 1]) for end in (2 * quarter, LOOKS))
        speed, cost = _rate(*last) / _rate(*second), _cost(*last) / _cost(*second)
        report.ratios |= {"last quarter over second": round(speed, 3), "CPU a line, likewise": round(cost, 3)}
        report.targets += [
            Target("lines/s of the last quarter over the second's", speed, 0.9, at_least=True),
            Target("CPU a line of the last quarter over the second's", cost, 1.1),
        ]
    for name, growth in (
        ("the test's process", looks[-1].mib - looks[0].mib),
        ("the capture process", looks[-1].capture_mib - looks[0].capture_mib),
    ):
        report.targets.append(Target(f"memory of {name}, the end over the first look", growth, 16, unit="MiB"))
    report.targets.append(Target("disk used at most", found.disk_peak_mib, DISK_BYTES >> 20, unit="MiB"))
    memories: dict[str, list[tuple[float | str, float]]] = {
        "the test's process": [(look.seconds, look.mib) for look in looks],
        "the capture process": [(look.seconds, look.capture_mib) for look in looks],
    }
    speeds: list[tuple[float | str, float]] = [
        (after.seconds, _rate(before, after) / 1e3) for before, after in itertools.pairwise(looks)
    ]
    report.curves += [
        Curve("sustained-speed", "A sustained flood", "seconds", "k lines/s", {"delivered": speeds}),
        Curve("sustained-memory", "A sustained flood", "seconds", "resident MiB", memories),
    ]


def _rate(before: Look, after: Look) -> float:
    """Lines delivered a second between two looks."""
    return (after.lines - before.lines) / (after.seconds - before.seconds)


def _cost(before: Look, after: Look) -> float:
    """CPU that a line took between two looks, in microseconds."""
    return (after.cpu_seconds - before.cpu_seconds) / max(1, after.lines - before.lines) * 1e6
