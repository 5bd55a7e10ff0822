"""Reading a page of `docs`, and running what stands in it.

A page is run from top to bottom, as its reader would, in a directory of its own. What a block is, its first line says:

- `python` is run in one namespace with the page's other ones, as in a notebook: `await` may stand outside of functions;
- `python`, `toml`, `yaml` or `json` with a `title="…"` is written into that file, and a later block has to use it;
- `sh` is run by bash, all in one terminal;
- `yaml` with the title of a workflow of GitHub's, or of GitLab's `.gitlab-ci.yml`, is run as `ci_jobs.py` says;
- `toml` that registers something, in `[project.entry-points]`, is loaded as if the page's files were installed so;
- `text` is no code, and whatever else is refused.

A comment on the line before says what a reader sees anyway: `<!-- prints -->` that a `text` is what the block before
writes, where `…` stands for anything; `<!-- exits 1 -->` that commands end with that status; `<!-- run by FILE -->`
that a test of that file runs the block; `<!-- needs registry -->` that it installs something, and
`<!-- needs docker -->` that it asks an Engine: where there is none it is left out, and the test that runs the page is
skipped in the end. The page's directory has a clone of Lucy beside it, `../lucy`.
"""

import json
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from ci_jobs import JobError, Machine, are_jobs, run_jobs
from notebook import Notebook, NotebookError
from places import REPOSITORY
from shells import SYSTEM_PATH, ShellError, run_shell

FENCE = re.compile(r"(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[\w./-]+)\")?")
NOTE = re.compile(r" *<!-- (prints|exits \d+|run by \S+|needs \w+) -->")
READERS = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
SECONDS, REGISTRY_SECONDS = 60, 300
NEEDS = {"registry": r"\bpip install\b", "docker": r"\bdocker\b"}
"""What isn't everywhere, and how to see that a block needs it: nothing else is to hide behind that."""
LOADING = (
    "import sys; from lucy_core.plugins import Kind, load_plugin; load_plugin(Kind(sys.argv[1]), sys.argv[2], object)"
)


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

    @property
    def needs(self) -> set[str]:
        return {note.removeprefix("needs ") for note in self.notes if note.startswith("needs ")}


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


def needs_of(page: Path) -> set[str]:
    """What blocks of a page need."""
    return {need for block in blocks_of(page.read_text(encoding="utf-8")) for need in block.needs}


class Page:
    """A page, and what is there of it by now: files, what commands have exported, and a notebook."""

    def __init__(self, page: Path, directory: Path, had: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHONPATH"))}
        self._page = page
        self._blocks = list(blocks_of(page.read_text(encoding="utf-8")))
        self._had = had
        self._place = directory
        self._directory = directory / "project"
        self._files: dict[str, str] = {}
        self._environment = kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:asyncio",  # two plugins that run coroutines are another page
            "NO_COLOR": "1",
        }
        self._notebook: Notebook | None = None

    def run(self) -> None:
        self._directory.mkdir()
        (self._place / "lucy").symlink_to(REPOSITORY)
        if "registry" in self._had and any("registry" in each.needs and each.language == "sh" for each in self._blocks):
            self._forget_installed()
        written: str | None = None
        with ExitStack() as stack:
            for number, block in enumerate(self._blocks):
                try:
                    written = self._run_block(number, block, written, stack)
                except (PageError, NotebookError, ShellError, JobError) as error:
                    raise PageError(f"{self._page.name}, line {block.line}: {error}") from None

    def _run_block(self, number: int, block: Block, written: str | None, stack: ExitStack) -> str | None:
        """Run a block; return what it wrote, or what the one before wrote where it can't write."""
        if (text := _text(block, written, self._page)) is not None:
            if block.title is not None:
                self._write(block, self._rest(number))
            return text
        if _is_left_out(block, self._had):
            return None
        if block.language == "sh":
            return self._shell(block)
        if block.language == "python" and block.title is None:
            self._notebook = self._notebook or stack.enter_context(Notebook(self._directory, self._environment))
            return self._notebook.run(block.text)
        _read(block)
        if are_jobs(block.title):
            self._run_jobs(number, block)
        elif block.title is not None:
            self._write(block, self._rest(number))
        elif block.language == "toml":
            self._register(tomllib.loads(block.text), self._place / f"installed-{number}")
        else:
            raise PageError("nothing runs it; what is no code is `text`")
        return written

    def _rest(self, number: int) -> str:
        return "".join(each.text for each in self._blocks[number + 1 :])

    def _register(self, project: dict[str, Any], installed: Path) -> None:
        """Load what a project's entry points lead to, as Lucy does, from beside the page's files."""
        match project:
            case {"project": {"entry-points": {**groups}, **others}, **more} if not others and not more:
                pass
            case _:
                raise PageError("nothing runs it: it registers something else than entry points")
        (information := installed / "page-1.dist-info").mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: page\nVersion: 1\n")
        points = [(group, name, point) for group, names in groups.items() for name, point in names.items()]
        (information / "entry_points.txt").write_text("".join("[{}]\n{} = {}\n".format(*point) for point in points))
        environment = {**self._environment, "PYTHONPATH": f"{installed}{os.pathsep}{self._directory}"}
        for group, name, _ in points:
            words = ["python3", "-c", LOADING, group, name]
            code, written = run_shell(words, self._directory, environment, within=SECONDS)
            if code:
                raise PageError(f"{name!r} can't be loaded:\n{written}")

    def _forget_installed(self) -> None:
        """Leave a bare `python3` and the system's programs, for a page that installs what it needs."""
        (bare := self._place / "bare").mkdir()
        python = Path(sys.base_prefix, "bin/python3")
        (bare / "python3").write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} "$@"\n')
        (bare / "python3").chmod(0o755)
        self._environment["PATH"] = f"{bare}{os.pathsep}{SYSTEM_PATH}"

    def _write(self, block: Block, rest: str) -> None:
        assert block.title is not None
        if Path(block.title).stem not in rest and Path(block.title).name != "pyproject.toml":
            raise PageError(f"nothing runs {block.title}")
        path = self._directory / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        self._files[block.title] = block.text

    def _shell(self, block: Block) -> str:
        exported = self._place / "exported"
        text = f"trap 'env --null > {shlex.quote(str(exported))}' EXIT\n{block.text}"
        words = ["bash", "-euo", "pipefail", "-c", text]
        seconds = REGISTRY_SECONDS if "registry" in block.needs else SECONDS
        code, written = run_shell(words, self._directory, self._environment, within=seconds)
        wanted = int(block.noted("exits") or 0)
        if code != wanted:
            raise PageError(f"it ended with {code}, not with {wanted}:\n{written}")
        variables = os.fsdecode(exported.read_bytes()).split("\0")
        self._environment = dict(each.split("=", 1) for each in variables if each)
        return written

    def _run_jobs(self, number: int, block: Block) -> None:
        assert block.title is not None
        had = {need: self._had[need] for need in block.needs}
        wheel = Path(had["registry"]) if "registry" in had else None
        machine = Machine(self._environment, wheel, had.get("docker"))
        before = "".join(each.text for each in self._blocks[:number] if each.title == block.title)
        run_jobs(block.title, block.text, before, self._files, self._place / f"jobs-{number}", machine)


def run_page(page: Path, directory: Path, had: Mapping[str, str] | None = None) -> None:
    """Run all that stands in a page, in an empty directory.

    Args:
        page: where it stands.
        directory: where to run it.
        had: what there is of `NEEDS`: of a registry, the wheel of Lucy that it would have; of an Engine, its URL.
            Blocks that need more are left out.

    Raises:
        PageError: naming the first line of what isn't so.
    """
    Page(page, directory, had or {}).run()


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


def _is_left_out(block: Block, had: Mapping[str, str]) -> bool:
    for need in block.needs:
        if need not in NEEDS:
            raise PageError(f"nobody knows what {need!r} is that it needs")
        if not re.search(NEEDS[need], block.text):
            raise PageError(f"it needs no {need}: it could run anywhere")
    return not had.keys() >= block.needs


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
