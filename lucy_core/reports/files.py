"""The files that a run leaves beside its recording, each written by itself.

A disk may be full by then, and its recording has filled it: so some room is kept from the beginning, and given back
when the result is written. What can't be written all the same, by whatever error, costs that file alone and a sentence;
half a result is worse than none, so a file is there whole or not at all.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import msgspec

from lucy_core.capturing import run_files
from lucy_core.judging.result import RunResult
from lucy_core.private_files import write_private
from lucy_core.removal import remove
from lucy_core.visible import visible, visible_json

RESERVE_BYTES = 32 * 1024
"""Room for the result, the page and the XML of a run of some dozen waits. More would be missed by the recording."""


@final
class RunFiles:
    """The files of one run directory."""

    def __init__(self, directory: Path) -> None:
        """Nothing is written yet."""
        self._directory = directory
        self._reasons: dict[str, list[str]] = {}

    @property
    def unwritten(self) -> str | None:
        """Say which files could not be written or removed and why, or None if all could."""
        return visible("; ".join(f"{' and '.join(names)} {why}" for why, names in self._reasons.items())) or None

    def reserve(self) -> None:
        """Keep room for the result, if there is some."""
        with contextlib.suppress(OSError):
            reserve = os.open(
                self._directory / run_files.RESULT_RESERVE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            try:
                os.posix_fallocate(reserve, 0, RESERVE_BYTES)
            finally:
                os.close(reserve)

    def write_description(self, description: dict[str, object]) -> None:
        self._write(run_files.RUN, lambda: _json(description))

    def write_result(self, result: RunResult) -> None:
        """Write what became of it, for programs, for CI and for people."""
        # Imported here: XML and pages are no business of who only imports Lucy.
        from lucy_core.reports.junit import junit
        from lucy_core.reports.page import html_report

        with contextlib.suppress(OSError):
            (self._directory / run_files.RESULT_RESERVE).unlink()
        self._write(run_files.RESULT, lambda: _json(result))
        self._write(run_files.JUNIT, lambda: junit(result))
        self._write(run_files.REPORT, lambda: html_report(result).encode(errors="backslashreplace"))

    def remove(self) -> None:
        try:
            remove(self._directory)
        except OSError as error:
            self._reasons.setdefault(f"can't be removed: {error.strerror}", []).append(str(error.filename))

    def _write(self, name: str, make: Callable[[], bytes]) -> None:
        path = self._directory / name
        try:
            write_private(self._directory, name, make())
        except Exception as error:  # noqa: BLE001  # a slip in a report is no verdict either
            is_system = isinstance(error, OSError) and error.strerror
            why = error.strerror if is_system else f"{type(error).__name__}: {error}"  # type: ignore[attr-defined]  # an OSError
            self._reasons.setdefault(f"can't be written: {why}", []).append(str(path))


def _json(content: Any) -> bytes:  # what msgspec writes
    return visible_json(msgspec.json.format(msgspec.json.encode(content, enc_hook=str), indent=2) + b"\n")
