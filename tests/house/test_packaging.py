"""What a user gets from `pip install lucy-core`."""

import configparser
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
from places import REPOSITORY

from lucy_core.run.versions import versions


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel of this tree, built with the backend that is installed and thus without any network."""
    directory = tmp_path_factory.mktemp("dist")
    build = "import sys, hatchling.build; print(hatchling.build.build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", build, directory], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    return zipfile.Path(directory / built.stdout.split()[-1])


def information(project: dict) -> str:
    return f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"


def metadata(wheel: zipfile.Path, project: dict, name: str) -> str:
    return (wheel / information(project) / name).read_text(encoding="utf-8")


def test_the_wheel_ships_every_file_that_git_tracks_in_the_packages(wheel: zipfile.Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "lucy_core", "lucy_engines"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )

    shipped = set(wheel.root.namelist())

    assert [file for file in tracked.stdout.split() if (REPOSITORY / file).exists() and file not in shipped] == []


def test_the_wheel_ships_nothing_but_the_packages(wheel: zipfile.Path, project: dict) -> None:
    assert {path.name for path in wheel.iterdir()} == {"lucy_core", "lucy_engines", information(project)}
    assert [name for name in wheel.root.namelist() if "cache" in name] == []


@pytest.mark.parametrize("package", ("lucy_core", "lucy_engines"))
def test_type_checkers_see_the_packages_types(wheel: zipfile.Path, package: str) -> None:
    assert (wheel / package / "py.typed").exists()


def test_the_wheel_declares_the_commands_and_plugins_of_pyproject(wheel: zipfile.Path, project: dict) -> None:
    declared = configparser.ConfigParser(delimiters=("=",))
    declared.optionxform = str  # names are case-sensitive
    declared.read_string(metadata(wheel, project, "entry_points.txt"))

    found = {group: dict(declared[group]) for group in declared.sections()}

    assert found == {"console_scripts": project["scripts"], **project["entry-points"]}


def test_every_entry_point_names_a_module_that_is_shipped(wheel: zipfile.Path, project: dict) -> None:
    groups = (project["scripts"], *project["entry-points"].values())
    modules = {target.partition(":")[0].replace(".", "/") for group in groups for target in group.values()}

    shipped = set(wheel.root.namelist())

    assert [name for name in sorted(modules) if not shipped & {f"{name}.py", f"{name}/__init__.py"}] == []


def test_the_wheel_carries_its_licence(wheel: zipfile.Path, project: dict) -> None:
    assert "Apache License" in metadata(wheel, project, "licenses/LICENSE")
    assert "License-Expression: Apache-2.0" in metadata(wheel, project, "METADATA")


def test_whoever_is_told_to_install_lucy_gets_no_strangers_distribution(project: dict) -> None:
    assert project["name"] != "lucy"  # which is somebody else's on PyPI
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    texts = {
        file: (REPOSITORY / file).read_text(encoding="utf-8", errors="replace")
        for file in tracked.stdout.split()
        if (REPOSITORY / file).is_file() and file != "tests/house/test_packaging.py"
    }

    extras = "|".join(project["optional-dependencies"])
    named = {
        (file, name)
        for file, text in texts.items()
        for name in re.findall(rf"\b(lucy[\w-]*)\[(?:{extras})(?:,(?:{extras}))*\]", text)
    }
    told = {name for text in texts.values() for name in re.findall(r"pip install '?(lucy[\w-]*)", text)}

    assert {name for _, name in named} | told == {project["name"]}


def test_a_run_says_which_version_of_lucy_it_was(project: dict) -> None:
    assert versions()["lucy"] == project["version"]


def test_the_changelogs_first_entry_is_this_version(project: dict) -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")

    entry = re.search(r"^## (\S+)", changelog, re.MULTILINE)

    assert entry is not None
    assert entry[1] == project["version"]


def test_the_gate_finds_the_one_command_in_the_readme() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    gate = (REPOSITORY / ".ci/run").read_text(encoding="utf-8")

    pattern = re.search(r"grep -m 1 '(.+)' README\.md", gate)

    assert pattern is not None
    assert len(re.findall(pattern[1], readme, re.MULTILINE)) == 1
