"""What plug-ins add to a command of `lucy`: an engine to its own, a collector to `gc`."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from lucy_core.engine import EngineOption


def add_own_options(parser: argparse.ArgumentParser, title: str, options: Sequence[EngineOption]) -> None:
    """Add them to a command, in a group of their own; a variable of the environment is an option's default."""
    if not options:
        return
    group = parser.add_argument_group(title)
    for option in options:
        default = os.environ.get(option.variable) if option.variable else None
        text = option.help + (f" (default: ${option.variable})" if option.variable else "")
        if option.is_switch:
            form: dict[str, Any] = {"action": "store_const", "const": "1"}
        elif option.choices:
            form = {"choices": option.choices}
        else:
            form = {"metavar": option.metavar}
        group.add_argument(option.flag, dest=option.name, default=default, help=text, **form)


def own_options(arguments: argparse.Namespace, options: Sequence[EngineOption]) -> dict[str, str]:
    """Return those that were given, by name."""
    given = {option.name: getattr(arguments, option.name) for option in options}
    return {name: value for name, value in given.items() if value is not None}
