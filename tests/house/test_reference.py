"""The reference in `docs/reference`: every public name is in it once."""

import ast
import re

from places import REPOSITORY

FACADES = {
    "lucy_core": "lucy_core/face.py",
    "lucy_core.mina": "lucy_core/mina/__init__.py",
    "lucy_core.testing": "lucy_core/testing/__init__.py",
    "lucy_core.engine": "lucy_core/engine/__init__.py",
}


def listed(file: str) -> dict[str, str]:
    """What a façade lists: each name, and where it was made."""
    tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    return {
        alias.asname: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }


def entries() -> list[str]:
    """What the pages of the reference describe, as they name it."""
    pages = sorted((REPOSITORY / "docs/reference").glob("*.md"))
    return [
        name for page in pages for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def made_at(name: str) -> str:
    """Where what a façade shows was made; one façade may show another's names."""
    facade, _, last = name.rpartition(".")
    made = listed(FACADES[facade]).get(last, name) if facade in FACADES else name
    return made if made == name else made_at(made)


def test_every_public_name_stands_in_the_reference_once() -> None:
    public = {made_at(f"{facade}.{name}") for facade, file in FACADES.items() for name in listed(file)}
    described = [made_at(name) for name in entries()]

    assert sorted(public - set(described)) == [], "give it a line in docs/reference"
    assert sorted({each for each in described if described.count(each) > 1}) == []
