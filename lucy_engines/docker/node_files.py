"""A node's files as they are before its first start: what is in them, and on this machine where they are."""

from collections.abc import Mapping
from pathlib import Path

from lucy_core.engine import Layout, NodeSpec, fill_in


def contents(spec: NodeSpec, layout: Layout) -> dict[str, bytes]:
    """Return what is to be in the node, by path below its directory, with the placeholders of text replaced."""
    return {name: _filled_in(content, spec.name, layout) for name, content in spec.files.items()}


def _filled_in(content: bytes, node: str, layout: Layout) -> bytes:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    return fill_in(text, node, layout).encode()


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Make a node's directory and its files, readable by their owner alone.

    Raises:
        OSError: one can't be made.
    """
    for place in (directory, directory / "state"):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
