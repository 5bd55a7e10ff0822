"""Reading a page of `docs`, and running what stands in it.

A page is run from top to bottom, as its reader would, in a directory of its own. What a block is, its first line says:

- `python` is run in one namespace with the page's other ones, as in a notebook: `await` may stand outside of functions;
- `python`, `toml`, `yaml` or `json` with a `title="…"` is written into that file, and a later block has to use it;
- `sh` is run by bash;
- `toml`, `yaml` and `json` have to be readable;
- `text` is no code.

A comment on the line before says what a reader sees anyway: `<!-- prints -->` that a `text` is what the block before
writes, where `…` stands for anything; `<!-- exits 1 -->` that commands end with that status; `<!-- run by FILE -->`
that a test of that file runs the block; `<!-- needs registry -->` that it installs something, and is left out.
"""

import ast
import asyncio
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import yaml
from places import REPOSITORY

FENCE = re.compile(r"(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[\w./-]+)\")?")
NOTE = re.compile(r" *<!-- (prints|exits \d+|run by \S+|needs \w+) -->")
READERS = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
SECONDS = 60
# What needs a registry is an installation, and nothing else could hide behind that.
INSTALLATION = re.compile(r"(?:python3 -m venv \.venv|\. \.venv/bin/activate|pip install (?:-e )?[\w '.,/\[\]-]+)")


class PageError(Exception):
    """A page says what isn't so."""


class Block(NamedTuple):
    line: int
    language: str
    title: str | None
    notes: tuple[str, ...]
    text: str

    def noted(self, word: str) -> str | None:
        """What follows a word in a note; None where none begins with it."""
        return next((note.removeprefix(word).strip() for note in self.notes if note.startswith(word)), None)


def blocks_of(text: str) -> Iterator[Block]:
    lines = iter(enumerate(text.splitlines(), 1))
    notes: list[str] = []
    for number, line in lines:
        if note := NOTE.fullmatch(line):
            notes.append(note[1])
            continue
        if line.lstrip().startswith("```"):
            fence = FENCE.fullmatch(line)
            if fence is None:
                raise PageError(f"line {number}: {line.strip()!r} is no way to begin a block")
            body = []
            for _, each in lines:
                if each.strip() == "```":
                    break
                body.append(each.removeprefix(fence["indent"]))
            yield Block(number, fence["language"], fence["title"], tuple(notes), "\n".join(body) + "\n")
        elif notes:
            raise PageError(f"line {number}: a note stands before no block")
        notes = []


class Notebook:
    """A Python of its own that takes blocks, and gives what they print."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
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
            PageError: with the traceback of what it raised.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        printed, raised = json.loads(self._process.stdout.readline())
        if raised is not None:
            raise PageError(raised)
        return str(printed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate(timeout=SECONDS)


def run_page(page: Path, directory: Path) -> None:
    """Run all that stands in a page, in an empty directory.

    Raises:
        PageError: naming the first line of what isn't so.
    """
    blocks = list(blocks_of(page.read_text(encoding="utf-8")))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment = kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:asyncio",  # two plugins that run coroutines are another page
        "NO_COLOR": "1",
    }
    written: str | None = None
    with Notebook(directory, environment) as notebook:
        for number, block in enumerate(blocks):
            try:
                if (given := _text(block, written, page)) is not None or _is_left_out(block):
                    written = given
                elif block.title is not None:
                    _read(block)
                    _write(block, directory, "".join(each.text for each in blocks[number + 1 :]))
                elif block.language == "python":
                    written = notebook.run(block.text)
                elif block.language == "sh":
                    written = _shell(block, directory, environment)
                else:
                    _read(block)
            except PageError as error:
                raise PageError(f"{page.name}, line {block.line}: {error}") from None


def _text(block: Block, written: str | None, page: Path) -> str | None:
    """Hold a text against what it claims to be; None where the block is none, and claims nothing."""
    if (file := block.noted("run by")) is not None:
        if page.name not in (REPOSITORY / file).read_text(encoding="utf-8"):
            raise PageError(f"{file} doesn't know of this page")
        return ""
    if block.language != "text":
        return None
    if block.noted("prints") is not None:
        wanted = "(?s:.*?)".join(map(re.escape, block.text.strip().split("…")))
        if written is None or not re.search(wanted, written):
            raise PageError(f"this is not what is printed:\n{written}")
    return written or ""


def _is_left_out(block: Block) -> bool:
    need = block.noted("needs")
    if need is None:
        return False
    if need != "registry":
        raise PageError(f"nobody knows what {need!r} is that it needs")
    if others := [line for line in block.text.splitlines() if not INSTALLATION.fullmatch(line)]:
        raise PageError(f"these install nothing, so that they could run: {others}")
    return True


def _read(block: Block) -> None:
    """Refuse what can't be read as what it is called."""
    try:
        if block.language == "python":
            compile(block.text, block.title or "block", "exec")
        else:
            READERS[block.language](block.text)
    except KeyError:
        raise PageError(f"nobody knows how to run {block.language!r}; what is no code is `text`") from None
    except (ValueError, SyntaxError, yaml.YAMLError) as error:
        raise PageError(f"it can't be read: {error}") from error


def _write(block: Block, directory: Path, rest: str) -> None:
    assert block.title is not None
    if Path(block.title).stem not in rest and Path(block.title).name != "pyproject.toml":
        raise PageError(f"nothing runs {block.title}")
    path = directory / block.title
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")


def _shell(block: Block, directory: Path, environment: dict[str, str]) -> str:
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            written, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            written, _ = process.communicate()
            raise PageError(f"no end within {SECONDS} s:\n{written}") from None
    wanted = int(block.noted("exits") or 0)
    if process.returncode != wanted:
        raise PageError(f"it ended with {process.returncode}, not with {wanted}:\n{written}")
    return written


async def _serve() -> None:
    """Be the Python of a `Notebook`: its loop runs on between two blocks."""
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
