"""The examples in docstrings, which `docs/reference` shows, run."""

import ast
import inspect
import re
import shutil
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from places import REPOSITORY

import lucy_core as lucy

EXAMPLE = re.compile(r"::\n\n((?: {4}.*\n|\n)+)", re.MULTILINE)
DOCUMENTED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)  # of modules, the reference shows the names alone


def examples_of(source: str) -> Iterator[tuple[str, str]]:
    """The examples of a module, each with the name of what it is an example of."""
    for thing in ast.walk(ast.parse(source)):
        if isinstance(thing, DOCUMENTED):
            for example in EXAMPLE.findall(f"{ast.get_docstring(thing) or ''}\n"):
                yield thing.name, textwrap.dedent(example).strip()


EXAMPLES = {
    f"{path.relative_to(REPOSITORY)}:{name}": example
    for package in ("lucy_core", "lucy_engines")
    for path in sorted((REPOSITORY / package).rglob("*.py"))
    for name, example in examples_of(path.read_text(encoding="utf-8"))
}


@lucy.event(pattern="Ready to accept connections")
class BecameReady(msgspec.Struct, frozen=True):
    pass


@asynccontextmanager
async def surroundings(directory: Path) -> AsyncIterator[dict[str, Any]]:
    """What an example takes for granted: a network, and a stream that has an end."""
    spec = lucy.NetworkSpec(name="n", nodes=(lucy.NodeSpec(name="a", role="x", command=("sleep", "600")),))
    async with (
        lucy.deploy(spec, engine="process", run_directory=directory / "run") as network,
        lucy.capture(echo=lucy.process("echo", "hello")) as pipeline,
    ):
        names = {"lucy": lucy, "network": network, "stream": pipeline.lines(), "NodeSpec": lucy.NodeSpec}
        yield {**names, "BecameReady": BecameReady, "BecameLeader": BecameReady}


async def run(example: str, names: dict[str, Any]) -> None:
    code = compile(example, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result


@pytest.mark.anyio
@pytest.mark.parametrize(
    "place",
    [pytest.param(place, marks=[pytest.mark.systems] * ("redis-" in EXAMPLES[place])) for place in sorted(EXAMPLES)],
)
async def test_an_example_runs_as_it_stands(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_tcp_port: int
) -> None:
    example = EXAMPLES[place].replace('"7000"', f'"{free_tcp_port}"').replace("…", 'role="x", command=("api",)')
    if "redis-server" in example and shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    monkeypatch.chdir(tmp_path)
    Path("api.log").touch()

    async with surroundings(tmp_path) as names:
        await run(example, names)


@pytest.mark.anyio
async def test_an_example_that_does_not_run_is_found(tmp_path: Path) -> None:
    ((name, example),) = examples_of(
        'def f():\n    """Do it.\n\n    ::\n\n        await network.f()\n\n    So.\n    """\n'
    )
    assert (name, example) == ("f", "await network.f()")
    async with surroundings(tmp_path) as names:
        with pytest.raises(AttributeError):
            await run(example, names)


def test_there_are_examples() -> None:
    assert {place.rpartition(":")[2] for place in EXAMPLES} >= {"so_far", "aiter", "capture", "Pipeline"}
