"""The frontier on disk: one file in the config directory, replaced whole."""

from pathlib import Path

import msgspec

from lucy_engines.simnode.chain.frontier import Snapshot

FILE_NAME = "simulated-frontier.json"


def save(directory: Path, snapshot: Snapshot) -> None:
    """Write the frontier; a crash in between leaves the one before."""
    path = directory / FILE_NAME
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(snapshot))
    fresh.replace(path)


def load(directory: Path, chain_id: str) -> Snapshot | None:
    """Read the frontier that an earlier run of this network left; None where there is none that fits."""
    try:
        snapshot = msgspec.json.decode((directory / FILE_NAME).read_bytes(), type=Snapshot)
    except (OSError, ValueError):
        return None
    return snapshot if snapshot.chain_id == chain_id else None
