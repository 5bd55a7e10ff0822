"""What stands between a daemon and its log where the daemon can't write to it itself.

Standard library only, Python 3.7 or newer: the puppeteer loads it inside of a container.
"""

from __future__ import annotations

from typing import Any


class Relay:
    """Takes the daemon's lines and carries them out."""

    def __init__(self, environment: dict[str, str], *, unattended: bool) -> None:
        """Open the way out.

        Raises:
            ValueError: there is no such way.
        """
        kind = environment.get("LUCY_CAPTURE", "fifo")
        text = f"lines can't be carried out by {kind!r} here{' without Lucy' * unattended}"
        raise ValueError(text)

    def take_input(self) -> int:
        """Return the descriptor that the daemon writes to, for the caller to close."""
        raise NotImplementedError

    def interests(self) -> dict[int, int]:
        """Return what to poll for."""
        raise NotImplementedError

    def patience(self) -> float:
        """Return how many seconds `turn` may be put off."""
        raise NotImplementedError

    def turn(self) -> None:
        """Carry what can be carried without waiting."""
        raise NotImplementedError

    def messages(self) -> list[dict[str, Any]]:
        """Return what there is to say to Lucy since the last call."""
        raise NotImplementedError

    def end(self) -> None:
        """Take note that the last writer is gone."""
        raise NotImplementedError

    @property
    def finished(self) -> bool:
        """Whether the writers are gone and all their bytes are out."""
        raise NotImplementedError

    def account(self) -> dict[str, Any]:
        """Return what goes into the daemon's `exited` event."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what is open."""
        raise NotImplementedError
