"""The reference in `docs/reference`: every public name is in it once, and is described down to its fields.

The site is built from the sources as they are written, so these are read the same way, by griffe.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest
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


def test_every_format_that_is_shipped_stands_in_the_reference() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (REPOSITORY / "docs/reference/formats.md").read_text(encoding="utf-8")
    told = {name for row in re.findall(r"(?m)^\| (`.*?) \|", page) for name in re.findall(r"`(\w+)`", row)}

    assert sorted(set(project["entry-points"]["lucy.formats"]) ^ told) == []


@pytest.fixture(scope="module")
def sources() -> griffe.Module:
    loader = griffe.GriffeLoader(search_paths=[REPOSITORY])
    loader.load("lucy_core")
    loader.resolve_aliases()
    return loader.modules_collection["lucy_core"]


def found(sources: griffe.Module, name: str) -> griffe.Object:
    facade, _, last = name.rpartition(".")
    module = FACADES.get(facade, facade.replace(".", "/") + ".py")
    path = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    member = sources[f"{path}.{last}".removeprefix("lucy_core.")]
    return member.final_target if member.is_alias else member


def in_a_section(owner: griffe.Class) -> set[str]:
    """The attributes that a class's own docstring describes."""
    sections = owner.docstring.parse("google") if owner.docstring else []
    return {
        attribute.name
        for section in sections
        if section.kind is griffe.DocstringSectionKind.attributes
        for attribute in section.value
    }


def _bare(name: str) -> str:
    """A name without its number: `ERROR3` is a step of `ERROR`, which is described for all four."""
    return name.rstrip("0123456789") if name.isupper() else name


def fields_without_a_word(owner: griffe.Class) -> Iterator[str]:
    """The public fields and properties of a class, its bases' included, that nothing describes."""
    family = [owner, *owner.mro()]
    described = set().union(*(in_a_section(each) for each in family))
    described |= {name for each in family for name, member in each.members.items() if member.has_docstring}
    for each in family:
        for name, member in each.members.items():
            is_of_the_class_alone = member.labels & {"class-attribute", "instance-attribute"} == {"class-attribute"}
            if member.is_attribute and name[0] != "_" and not is_of_the_class_alone and _bare(name) not in described:
                yield f"{each.canonical_path}.{name}"


def test_every_public_name_and_each_field_is_described(sources: griffe.Module) -> None:
    wordless = set()
    for entry in entries():
        thing = found(sources, entry)
        if not thing.has_docstring:
            wordless.add(thing.canonical_path)
        if thing.is_class:
            wordless.update(fields_without_a_word(thing))

    assert sorted(wordless) == [], "write a docstring below it"


def test_a_field_that_nothing_describes_is_found(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(
        'class Base:\n    """Of others."""\n    near: int\n    """How near."""\n'
        'class Made(Base):\n    """One.\n\n    Attributes:\n        told: in a section.\n    """\n'
        "    near: int = 1\n    far: int\n    def __init__(self):\n        self.told = 1\n        self.untold = 2\n"
        "    @property\n    def size(self): return 1\n"
    )
    module = griffe.load("made", search_paths=[tmp_path])

    assert sorted(fields_without_a_word(module["Made"])) == ["made.Made.far", "made.Made.size", "made.Made.untold"]
