"""Writing a network down for others to run: a Compose file, and beside it all that it mounts."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lucy_core.engine import check_shared, create_private, make_fifo, node_files, write_node_files
from lucy_core.errors import ExportError
from lucy_engines.docker.plan.compose import CARRIED, PIPES, compose
from lucy_engines.docker.plan.config import DockerConfig

NODES = "nodes"


def write_export(config: DockerConfig, file: Path, about: Mapping[str, str]) -> None:
    """Write the Compose file, and beside it the FIFOs, the nodes' files, and the puppeteer, all for its user alone.

    A directory that isn't there is made, for its user alone too.

    Raises:
        ExportError: something of that is there already, can't be written, or can't be said in a Compose file.
        TopologyError: a placeholder in a node's file names nothing.
    """
    directory = file.parent
    there = [path for path in (file, *(directory / part for part in (PIPES, CARRIED, NODES))) if os.path.lexists(path)]
    if there:
        raise ExportError(
            str(there[0]), "is there already, and nothing is overwritten; remove it, or choose a new directory"
        )
    composition = compose(config, about)
    files = {node.name: node_files(node, config.layouts[node.name]) for node in config.spec.nodes}
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_shared(directory)
    except OSError as error:
        raise ExportError(str(error.filename or directory), f"can't be written to: {error.strerror}") from error
    try:
        for part in (PIPES, CARRIED, NODES):
            (directory / part).mkdir(mode=0o700)
        for pipe in composition.pipes:
            make_fifo(str(directory / pipe))
        for target, source in composition.carried.items():
            shutil.copy(source, directory / target)
        for name, content in files.items():
            write_node_files(directory / NODES / name, content)
        # Last, so that a file that is there is whole; read by its owner alone, for passwords are in it.
        create_private(file, msgspec.json.format(msgspec.json.encode(composition.content), indent=2) + b"\n")
    except OSError as error:
        for part in (PIPES, CARRIED, NODES):
            shutil.rmtree(directory / part, ignore_errors=True)
        with contextlib.suppress(OSError):
            file.unlink()
        raise ExportError(str(error.filename or file), f"can't be written: {error.strerror}") from error
