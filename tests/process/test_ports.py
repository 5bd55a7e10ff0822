"""Ports are kept from other runs, by nothing that anybody could have planted."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lucy_core.errors import DeployError
from lucy_engines.process import ports
from lucy_engines.process.ports import Ports

HOLDING = """
import sys
from lucy_engines.process import ports
ports.FIRST, ports.LAST = int(sys.argv[1]), int(sys.argv[2])
held = ports.Ports()
print(held.take(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """A range of two ports that are free."""
    free = Ports()
    first = free.take()
    while first == ports.LAST or not ports.is_free(first + 1):
        first = free.take()
    free.close()
    monkeypatch.setattr(ports, "FIRST", first)
    monkeypatch.setattr(ports, "LAST", first + 1)
    return first, first + 1


def test_a_port_is_nobody_elses_until_it_is_given_back(two: tuple[int, int]) -> None:
    one, other = Ports(), Ports()
    assert {one.take(), other.take()} == set(two)
    with pytest.raises(DeployError, match="no port from .* is free"):
        other.take()
    one.close()
    one.close()
    assert other.take() in two
    other.close()


def test_a_killed_run_gives_its_ports_back(two: tuple[int, int]) -> None:
    words = [sys.executable, "-c", HOLDING, *map(str, two)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        taken = int(process.stdout.readline())
        mine = Ports()
        assert mine.take() == sum(two) - taken
        with pytest.raises(DeployError):
            mine.take()
        process.kill()
        process.wait()
        assert mine.take() == taken
        mine.close()


def test_a_port_at_which_somebody_listens_is_left_alone(two: tuple[int, int]) -> None:
    with socket.create_server(("127.0.0.1", two[0])):
        mine = Ports()
        assert mine.take() == two[1]
        mine.close()


def test_taking_a_port_makes_no_file_wherever_temporary_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, victim = tmp_path / f"lucy-ports-{os.getuid()}", tmp_path / "victim"
    planted.mkdir()
    victim.mkdir()
    for port in range(ports.FIRST, ports.LAST + 1):
        (planted / str(port)).symlink_to(victim / str(port))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = Ports()
    mine.take()
    mine.close()

    assert list(victim.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {planted.name, "victim"}
