"""What other distributions bring along is found in one way, and each mistake in it is told by name."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import pytest

import lucy_core as lucy
from lucy_core.plugins import Kind, load_plugin, plugin_names

MODULE = """
class Whole:
    name = "whole"
    def work(self): ...

class Half:
    name = "half"

class Picky:
    def __init__(self):
        raise OSError("no disk")

made = Whole()
"""


@runtime_checkable
class Worker(Protocol):
    name: str

    def work(self) -> None: ...


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two distributions with a module of plug-ins; both have a `whole`."""
    (tmp_path / "plugins_of_tests.py").write_text(MODULE)
    points = {"half": "Half", "picky": "Picky", "whole": "Whole", "made": "made", "gone": "Nowhere"}
    for number, names in enumerate((points, {"whole": "Whole"})):
        information = tmp_path / f"plugins_of_tests{number}-1.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugins-of-tests{number}\nVersion: 1\n")
        lines = "".join(f"{name} = plugins_of_tests:{attribute}\n" for name, attribute in names.items())
        (information / "entry_points.txt").write_text("".join(f"[{kind}]\n{lines}" for kind in Kind))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_is_found_by_its_group(kind: Kind) -> None:
    assert {"gone", "half", "made", "picky", "whole"} <= set(plugin_names(kind))
    assert isinstance(load_plugin(kind, "whole", Worker), Worker)


def test_a_name_that_two_distributions_have_is_listed_once() -> None:
    assert plugin_names(Kind.SCENARIO).count("whole") == 1


def test_a_class_is_made_and_a_value_is_taken_as_it_is() -> None:
    assert load_plugin(Kind.VOCABULARY, "made", Worker) is load_plugin(Kind.VOCABULARY, "made", Worker)
    assert load_plugin(Kind.ENGINE, "whole", Worker) is not load_plugin(Kind.ENGINE, "whole", Worker)


def test_an_unknown_name_is_refused_with_what_there_is_and_what_was_perhaps_meant() -> None:
    with pytest.raises(lucy.UnknownNameError, match="no format is called 'hole'; did you mean whole") as refusal:
        load_plugin(Kind.FORMAT, "hole", Worker)
    assert set(refusal.value.known) >= {"gone", "half", "made", "picky", "whole"}
    with pytest.raises(lucy.UnknownEngineError):
        load_plugin(Kind.ENGINE, "hole", Worker)


@pytest.mark.parametrize(
    ("name", "reason"),
    (("half", "it lacks work"), ("picky", "OSError: no disk"), ("gone", "AttributeError: .*Nowhere")),
)
def test_one_that_is_broken_is_named_with_where_it_is_and_why(name: str, reason: str) -> None:
    with pytest.raises(lucy.BrokenPluginError, match=f"the scenario '{name}', installed as .*{reason}"):
        load_plugin(Kind.SCENARIO, name, Worker)
