"""The tests of `tests/systems` show what it takes to test somebody's software: each is short, with all it needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from places import REPOSITORY

FILES = sorted((REPOSITORY / "tests/systems").glob("test_*.py"))
LINES = 60


def names_of_tests(source: str) -> list[str]:
    return [name for name in statements_of(source) if name.startswith("test_")]


def statements_of(source: str) -> dict[str, ast.stmt]:
    """What a module binds, to the statement that does."""
    bound: dict[str, ast.stmt] = {}
    for statement in ast.parse(source).body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                bound[statement.name] = statement
            case ast.Import() | ast.ImportFrom():
                bound |= dict.fromkeys((each.asname or each.name for each in statement.names), statement)
            case _:
                names = [each for each in ast.walk(statement) if isinstance(each, ast.Name)]
                bound |= {each.id: statement for each in names if isinstance(each.ctx, ast.Store)}
    return bound


def lines_with_all_it_needs(source: str, test: str) -> list[str]:
    """A test as a file of its own: with whatever of its module it needs, as it stands there, and no blank line."""
    bound = statements_of(source)
    needed: set[str] = set()
    asked = {test, "pytestmark"}
    while asked:
        needed |= asked
        found = {each.id for name in asked for each in ast.walk(bound[name]) if isinstance(each, ast.Name)}
        asked = found & bound.keys() - needed
    text = source.splitlines()
    lines: set[int] = set()
    for statement in (bound[name] for name in needed):
        decorators = [each.lineno for each in getattr(statement, "decorator_list", ())]
        lines |= set(range(min(statement.lineno, *decorators, statement.lineno), (statement.end_lineno or 0) + 1))
    return [text[number - 1] for number in sorted(lines) if text[number - 1].strip()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_test_on_real_software_is_short_with_all_that_it_needs(file: Path) -> None:
    source = file.read_text(encoding="utf-8")

    sizes = {test: len(lines_with_all_it_needs(source, test)) for test in names_of_tests(source)}

    assert sizes
    assert {test: size for test, size in sizes.items() if size >= LINES} == {}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_that_a_test_needs_is_left_uncounted(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    for test in names_of_tests(source):
        alone = "\n".join(lines_with_all_it_needs(source, test))
        ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "-"]
        checked = subprocess.run(ruff, input=alone, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout


def test_what_a_test_needs_is_counted_and_nothing_else() -> None:
    source = """
import a
import b
import c

X = a.x
Y = (
    b.y,

    X,
)
Z = c.z
pytestmark = a.mark

@a.event
class Event:
    of: Y

def helper() -> None:
    b.done(Z)

def test_first() -> None:
    Event()

def test_second() -> None:
    helper()
"""
    assert [len(lines_with_all_it_needs(source, test)) for test in names_of_tests(source)] == [13, 9]
