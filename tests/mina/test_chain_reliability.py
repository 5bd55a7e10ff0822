"""Mina's `chain-reliability` through the command line: the same scenario, the same test, on every engine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from lucy_engines.docker import DockerEngine

SECTIONS = (
    "start nodes",
    "all nodes initialize",
    "two blocks",
    "two blocks without node-c",
    "node-c catches up from nothing",
    "three payments",
    "all agree on the chain",
)
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `lucy` in a directory of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        with (tmp_path / "stderr").open("w") as errors:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "lucy_core.executive",
                    *words,
                    "--seed",
                    "7",
                    "--run-dir",
                    str(tmp_path / "run"),
                ],
                cwd=tmp_path,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def check_run(start: Start, engine: str, meant: str, tmp_path: Path) -> str:
    """Run the scenario on an engine and hold it to all that it promises; return the run's id."""
    lucy = start(engine, "chain-reliability")
    out, _ = lucy.communicate(timeout=100)
    told = (tmp_path / "stderr").read_text()
    assert lucy.returncode == 0, told
    result = json.loads(out.splitlines()[-1])["data"]
    assert (result["outcome"], result["exit_code"], result["engine"]) == ("passed", 0, meant)
    assert [(each["name"], each["outcome"]) for each in result["sections"]] == [(name, "passed") for name in SECTIONS]
    assert result["errors"] == [], told
    assert result["ledger_notes"] == [], told
    accounts = {account["node"]: account for account in result["ledger"]}
    assert set(accounts) == {"lucy", "seed", "node-a", "node-b", "node-c"}
    for name, account in accounts.items():
        log = tmp_path / "run" / ("journal.ndjson" if name == "lucy" else f"logs/{name}.ndjson")
        assert (account["failures"], account["torn"], account["undecodable"]) == ([], 0, 0)
        assert account["bytes"] == log.stat().st_size > 0
        assert account["lines"] == log.read_bytes().count(b"\n")
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert events.count("NodeStarted") == 5
    assert events.count("BlockProduced") >= 4
    for file in ("run.json", "result.json", "junit.xml", "report.html"):
        assert (tmp_path / "run" / file).stat().st_size > 0
    return str(result["run_id"])


@pytest.mark.slow
def test_the_chain_is_reliable_on_processes(start: Start, tmp_path: Path) -> None:
    check_run(start, "process", "process", tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("docker_engine", "simnode_image")
def test_the_chain_is_reliable_in_containers_by_either_name(start: Start, tmp_path: Path) -> None:
    run_id = check_run(start, "local", "docker", tmp_path)

    assert anyio.run(DockerEngine().leftovers, run_id) == []


@pytest.mark.slow
@pytest.mark.usefixtures("docker_engine", "simnode_image")
def test_ctrl_c_ends_a_run_in_containers_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    lucy = start("docker", "chain-reliability")
    assert lucy.stdout is not None
    run_id = json.loads(lucy.stdout.readline())["data"]["run_id"]
    for line in lucy.stdout:
        if json.loads(line)["event"] == "BlockProduced":
            break
    assert anyio.run(DockerEngine().leftovers, run_id) != []

    lucy.send_signal(signal.SIGINT)
    rest = lucy.stdout.read().splitlines()

    assert lucy.wait(60) == 130, (tmp_path / "stderr").read_text()
    assert json.loads(rest[-1])["data"]["outcome"] == "interrupted"
    assert anyio.run(DockerEngine().leftovers, run_id) == []
