"""What pytest shows of an error of Lucy's: the line of the test, and what the error says."""

import asyncio
import contextlib
import types
from pathlib import Path
from typing import Any

import _pytest
import anyio
import pluggy
import pytest

from lucy_core.errors import LucyError

HIDDEN = (
    Path(__file__).parents[2],
    Path(__file__).parents[3] / "lucy_engines",
    *(Path(str(module.__file__)).parent for module in (asyncio, anyio, _pytest, pluggy)),
    Path(contextlib.__file__),
)
"""Lucy, and what she stands on. An error that isn't Lucy's own is shown with all frames: it may be hers to mend."""


def hide_frames(call: pytest.CallInfo[None], config: pytest.Config) -> bool:
    """Leave the hidden frames out of an error of Lucy's; return whether none is left then. `--full-trace` shows all."""
    error = call.excinfo
    if error is None or not isinstance(error.value, LucyError) or config.getoption("fulltrace", default=False):
        return False
    entries = [error.tb]
    while (following := entries[-1].tb_next) is not None:
        entries.append(following)
    shown = None
    # A real traceback, for pytest looks for the test's own frame in that, and not in what it was made to show.
    for entry in reversed(entries):
        path = Path(entry.tb_frame.f_code.co_filename)
        if not any(path == place or place in path.parents for place in HIDDEN):
            shown = types.TracebackType(shown, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    if shown is not None:
        call.excinfo = pytest.ExceptionInfo.from_exc_info((error.type, error.value, shown))
    return shown is None


def in_words(error: pytest.ExceptionInfo[BaseException]) -> Any:  # pytest keeps the type to itself
    """Show what an error says and nothing else."""
    shown = error.getrepr(style="value")
    shown.reprtraceback.reprentries[-1].lines = f"{error.typename}: {error.value}".splitlines()
    return shown
