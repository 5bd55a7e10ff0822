"""A node's files as they are before its first start: what is in them, and on this machine where they are."""

from collections.abc import Mapping
from pathlib import Path

from lucy_core.engine.layout import Layout, fill_in_bytes
from lucy_core.engine.spec import NodeSpec


def node_files(spec: NodeSpec, layout: Layout) -> dict[str, bytes]:
    """Return what is to be in the node, by path below its directory, with the placeholders of text replaced."""
    return {name: fill_in_bytes(content, spec.name, layout) for name, content in spec.files.items()}


def write_node_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Put files into a node's directory, readable by their owner alone, making it and its state's where they aren't.

    Raises:
        OSError: one can't be made.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "state").mkdir(mode=0o700, exist_ok=True)
    for name, content in files.items():
        for place in reversed(Path(name).parents):  # with `parents=True` those above it would be open to everybody
            (directory / place).mkdir(mode=0o700, exist_ok=True)
        path = directory / name
        path.touch(mode=0o600)
        path.write_bytes(content)
