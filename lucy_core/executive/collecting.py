"""`lucy gc`: has every installed collector remove what dead runs left, and says what it removed."""

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio

from lucy_core.engine import EngineOption
from lucy_core.engine.garbage import Harvest, Search, harvest, load_collector
from lucy_core.errors import BrokenPluginError, UsageError, shown
from lucy_core.executive.own_options import add_own_options, own_options
from lucy_core.judging.result import ExitCode
from lucy_core.plugins import Kind, plugin_names

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

DESCRIPTION = """\
Find what runs left behind whose Lucy is dead, after a power cut for example, and remove it.

Only what bears Lucy's labels or mark is looked at, and of that only what no live run uses: other people's things and
processes are never touched, whatever their names are.
"""


def parse_duration(text: str) -> float:
    """Read `90s`, `30m`, `2h`, `1d` or `1h30m`.

    Raises:
        UsageError: it is nothing of the kind.
    """
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
        raise UsageError(shown(text), "is no duration; write 90s, 30m, 2h, 1d or 1h30m")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhd])", text))


def collectors_options() -> tuple[EngineOption, ...]:
    """List the options of the installed collectors, without those of a broken one: `harvest` tells what it lacks."""
    found: dict[str, EngineOption] = {}
    for name in plugin_names(Kind.COLLECTOR):
        with suppress(BrokenPluginError):
            found |= {option.name: option for option in getattr(load_collector(name), "options", ())}
    return tuple(found.values())


def add_gc(commands: Any, own: Sequence[EngineOption]) -> None:  # argparse keeps the type of its subparsers to itself
    """Add the command to the command line, with the collectors' own options."""
    parser = commands.add_parser("gc", help="remove what dead runs left behind", description=DESCRIPTION)
    add = parser.add_argument
    add("--older-than", default="0s", metavar="TIME", help="leave alone what is younger: 90s, 30m, 2h, 1d")
    add("--run", metavar="RUN", help="look at the run of this id alone")
    add("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    add(
        "--elsewhere",
        action="store_true",
        help="also what other machines made in the same place, by age alone; needs --older-than",
    )
    add_own_options(parser, "options of collectors", own)
    parser.set_defaults(collectors_options=own)


def collect_garbage(arguments: argparse.Namespace) -> int:
    """Do what the command line says; return the exit code.

    Raises:
        UsageError: it makes no sense.
    """
    older_than = parse_duration(arguments.older_than)
    if arguments.elsewhere and not older_than:
        raise UsageError("--elsewhere", "can't tell live runs from dead ones but by age; add --older-than 2h, say")
    options = own_options(arguments, arguments.collectors_options)
    search = Search(older_than=older_than, run_id=arguments.run, elsewhere=arguments.elsewhere, options=options)
    harvests = [anyio.run(_harvest, name, search, arguments.dry_run) for name in plugin_names(Kind.COLLECTOR)]
    for each in harvests:
        if each.failure is not None:
            sys.stderr.write(f"lucy: {each.collector}: {each.failure}\n")
    sys.stdout.write(in_words(harvests, dry_run=arguments.dry_run))
    left = any(each.failure or any(one.trouble for one in each.collected) for each in harvests)
    return ExitCode.INFRASTRUCTURE if left else ExitCode.PASSED


async def _harvest(name: str, search: Search, dry_run: bool) -> Harvest:  # noqa: FBT001  # anyio.run passes by place
    return await harvest(name, search, dry_run=dry_run)


def in_words(harvests: list[Harvest], *, dry_run: bool) -> str:
    """Write a line for each leftover, and their sum."""
    all_of_them = [one for each in harvests for one in each.collected]
    done = "would remove" if dry_run else "removed"
    lines = []
    for one in all_of_them:
        what = f"{one.leftover.kind} {one.leftover.name} of run {one.leftover.run_id or 'unknown'}"
        line = f"left {what}: {one.trouble}" if one.trouble else f"{done} {what}: {one.leftover.why}"
        lines.append(f"{line}; {one.remark}" if one.remark else line)
    count = sum(not one.trouble for one in all_of_them)
    runs = len({one.leftover.run_id for one in all_of_them if not one.trouble})
    things, of_runs = f"{count} {'thing' if count == 1 else 'things'}", f"{runs} {'run' if runs == 1 else 'runs'}"
    lines.append(f"{done} {things} of {of_runs}" if count else "nothing to remove")
    return "\n".join(lines) + "\n"
