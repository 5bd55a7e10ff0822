"""The README's examples are run as they stand, and what it names is there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import LUCY, REPOSITORY

README = REPOSITORY / "README.md"
OPTION = re.compile(r"--[a-z][a-z-]+")


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_library_example_runs_as_it_stands(tmp_path: Path) -> None:
    (example,) = [block for block in python_blocks() if "anyio.run(main)" in block]
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("lucy-runs/*/logs/bp-1.ndjson"))


@pytest.mark.systems
@pytest.mark.skipif(shutil.which("etcd") is None, reason="needs etcd")
def test_the_example_of_etcd_runs_from_an_empty_directory(tmp_path: Path) -> None:
    (example,) = [block for block in python_blocks() if "etcd --name" in block]
    (tmp_path / "test_etcd.py").write_text(example)
    words = [sys.executable, "-m", "pytest", "-q", "test_etcd.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_declaration_example_declares_an_event_type() -> None:
    (example,) = [block for block in python_blocks() if "class PeerBanned" in block]
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert "PeerBanned" in names


def test_every_option_that_the_readme_names_is_in_the_help() -> None:
    helped = "".join(
        subprocess.run([LUCY, *words, "--help"], check=True, capture_output=True, text=True, timeout=60).stdout
        for words in ((), ("docker",), ("attach",), ("gc",), ("tail",))
    )
    text = re.sub(r"```python.*?```", "", README.read_text(), flags=re.DOTALL)  # in which daemons have options too
    named = {option for option in OPTION.findall(text) if option != "--help"}

    assert {"--mina-image", "--export", "--older-than"} <= named
    assert named - set(OPTION.findall(helped)) == set()


def set_up() -> str:
    """The library example's imports and its topology."""
    (example,) = [block for block in python_blocks() if "anyio.run(main)" in block]
    return example.partition("async def main()")[0]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "passed"), (("test_all_nodes_initialize", 1), ("lucy_module_network", 2)))
def test_the_examples_of_the_plugin_pass(what: str, passed: int, tmp_path: Path) -> None:
    (example,) = [block for block in python_blocks() if what in block]
    (tmp_path / "test_example.py").write_text(set_up() + example)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-k",
            "not docker",
            tmp_path,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"{passed} passed" in done.stdout


def run_in_a_network(example: str, function: str, directory: Path) -> None:
    """Run an example whose function takes a network, as a program of its own."""
    main = f"""
async def main():
    async with lucy.deploy(topology, engine="process") as network:
        await {function}(network)

anyio.run(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", set_up() + example + main],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_example_of_waits_runs_as_it_stands(tmp_path: Path) -> None:
    (example,) = [block for block in python_blocks() if "def a_node_comes_back" in block]
    run_in_a_network(example, "a_node_comes_back", tmp_path)


@pytest.mark.slow
def test_the_example_of_a_fault_runs_with_one_that_processes_have(tmp_path: Path) -> None:
    (example,) = [block for block in python_blocks() if "faults.inject" in block]
    run_in_a_network(example.replace("lucy.Drop(", "lucy.Pause("), "a_partition_heals", tmp_path)
