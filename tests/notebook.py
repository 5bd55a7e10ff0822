"""A Python of its own that runs blocks of code one after the other, as a notebook does. Standard library alone."""

import ast
import asyncio
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

SECONDS = 60


class NotebookError(Exception):
    """A block raised."""


class Notebook:
    """The `python3` that an environment leads to; it takes blocks, and gives what they print."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        python = shutil.which("python3", path=environment["PATH"])
        assert python is not None
        self._process = subprocess.Popen(
            [python, __file__],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, code: str) -> str:
        """Run a block; return what it printed.

        Raises:
            NotebookError: with the traceback of what it raised.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        printed, raised = json.loads(self._process.stdout.readline())
        if raised is not None:
            raise NotebookError(raised)
        return str(printed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate(timeout=SECONDS)


async def _serve() -> None:
    """Be that Python: its loop runs on between two blocks."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what else writes to stdout is nobody's answer
    sys.path[0] = str(Path.cwd())
    namespace: dict[str, object] = {"__name__": "__main__"}
    while line := await asyncio.to_thread(sys.stdin.readline):
        printed, raised = io.StringIO(), None
        try:
            code = compile(json.loads(line), "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            with contextlib.redirect_stdout(printed):
                result = eval(code, namespace)
                if result is not None:
                    await result
        except (Exception, SystemExit):  # noqa: BLE001  # whatever a page's code raises
            raised = traceback.format_exc()
        print(json.dumps((printed.getvalue(), raised)), file=answers, flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
