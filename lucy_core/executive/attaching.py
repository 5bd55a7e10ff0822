"""`lucy attach DIR`: captures a network that somebody else runs, until Ctrl-C or until all of its nodes have ended."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from lucy_core.arguments import path_of
from lucy_core.errors import ArgumentError, shown
from lucy_core.executive.performance import Order
from lucy_core.network.network import Network
from lucy_core.run.exported import ENGINE, ExportedNetwork, all_ended, read_export, where
from lucy_core.run.run import When

DESCRIPTION = """\
Capture a network that `lucy ENGINE SCENARIO --export DIR/FILE` wrote and somebody else runs.

Every line of every node goes into a run directory of its own, as in a run of Lucy's. The nodes are not touched: Ctrl-C
ends the capture, and so does the end of all nodes.
"""


def given_path(text: str) -> Path:
    """Read a path on the command line. Raises ArgumentTypeError, which argparse says with the argument's name."""
    try:
        return Path(path_of(text, "it"))
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(f"{shown(text)} {error.reason}") from None


def add_attach(commands: Any) -> argparse.ArgumentParser:  # argparse keeps the type of its subparsers to itself
    """Add the command to the command line, without the options that it shares with the others that run."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "attach", help="capture an exported network that somebody else runs", description=DESCRIPTION
    )
    parser.add_argument("exported", metavar="DIR", type=given_path, help="where the network was exported to")
    parser.add_argument("-d", "--debug", action="store_true", help="Lucy's debug log on stderr")
    parser.set_defaults(engine=ENGINE)
    return parser


@final
class Attaching:
    """A scenario that tests nothing: it watches."""

    summary = "captures a network that somebody else runs"

    ending = "ending the capture; the network runs on"

    def __init__(self, directory: Path) -> None:
        """Read what the exported network is.

        Raises:
            AttachError: there is none.
        """
        self._exported = read_export(directory)
        self.name = self._exported.spec.name

    def topology(self, options: Mapping[str, str]) -> ExportedNetwork:  # noqa: ARG002  # nothing to choose
        return self._exported

    async def run(self, network: Network) -> None:
        """Watch until nothing more can come."""
        await all_ended(network)


def attaching_order(arguments: argparse.Namespace) -> Order:
    """Say how such a run is kept and ended."""
    return Order(
        engine=ENGINE,
        options=where(arguments.exported),
        directory=arguments.run_dir,
        keep=When.ALWAYS,
        again=("lucy", "attach", str(arguments.exported)),
        lasts_until_interrupted=True,
    )
