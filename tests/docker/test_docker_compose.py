"""A network written down for Compose, run by Compose, and captured by `lucy attach`."""

import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from places import LUCY

import lucy_core as lucy
from lucy_core.engine import RunPlace
from lucy_core.mina import BlockProduced
from lucy_core.run.exported import all_ended, describe_export
from lucy_engines.docker.plan.compose import compose
from lucy_engines.docker.plan.config import DockerConfig, docker_config
from lucy_engines.docker.plan.export import write_export
from lucy_engines.docker.plan.inside import LOG, STDERR_LOG

PATIENCE = 90
SPEC = lucy.NetworkSpec(
    name="small",
    nodes=(
        lucy.NodeSpec(
            name="a", role="seed", command=("sh", "-c", "echo $HOME {host:b}"), ports=("api",), files={"k": b"{host:a}"}
        ),
        lucy.NodeSpec(name="b", role="node", command=("true",), environment={"X": "$$"}, after=("a",)),
    ),
)


APART = lucy.NetworkSpec(
    name="apart",
    nodes=(
        lucy.NodeSpec(
            name="a",
            role="any",
            command=("sh", "-c", "echo out; echo error >&2; printf half >&2; kill -9 $$"),
            streams="apart",
        ),
    ),
)


def config_in(directory: Path, **options: str) -> DockerConfig:
    return docker_config(SPEC, RunPlace(run_id="small-1", directory=directory, options=options))


def altered(config: DockerConfig, part: str, value: Any) -> DockerConfig:
    """The same with something more in the containers' HostConfig."""
    containers = {
        name: msgspec.structs.replace(each, body={**each.body, "HostConfig": {**each.body["HostConfig"], part: value}})
        for name, each in config.containers.items()
    }
    return msgspec.structs.replace(config, containers=containers)


def run_lucy(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([LUCY, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == code, done.stderr
    return done


# --- without an Engine ----------------------------------------------------------------------------------------------


def test_a_service_says_what_the_container_would_have_been(tmp_path: Path) -> None:
    config = config_in(tmp_path, docker_memory="256m", docker_cpus="0.5", docker_log_max_size="7m")
    body = config.containers["a"].body

    services = compose(config, {}).content["services"]

    a, b = services["a"], services["b"]
    assert (a["image"], a["hostname"], a["user"]) == (body["Image"], "a", body["User"])
    assert (a["mem_limit"], a["memswap_limit"], a["cpus"]) == (256 << 20, 256 << 20, 0.5)
    assert a["logging"] == {"driver": "local", "options": {"max-size": "7m", "max-file": "2"}}
    assert a["ports"] == ["127.0.0.1::10001"]
    assert b["depends_on"] == {"a": {"condition": "service_started"}}
    assert "depends_on" not in a
    assert a["labels"] == {"lucy.node": "a", "lucy.role": "seed"}


def test_compose_puts_no_variables_of_its_own_into_what_nodes_are_run_with(tmp_path: Path) -> None:
    services = compose(config_in(tmp_path), {}).content["services"]

    assert services["a"]["entrypoint"][-1] == "echo $$HOME b"
    assert services["b"]["environment"]["X"] == "$$$$"


def test_nobody_commands_the_daemons_so_they_start_at_once(tmp_path: Path) -> None:
    service = compose(config_in(tmp_path), {}).content["services"]["a"]

    assert service["environment"]["LUCY_AUTOSTART"] == "1"
    assert "stdin_open" not in service


def test_a_capture_filter_goes_along_and_another_way_of_lines_is_refused(tmp_path: Path) -> None:
    filtered = compose(config_in(tmp_path, capture_filter="Error"), {}).content["services"]["a"]["environment"]

    assert (filtered["LUCY_CAPTURE"], filtered["LUCY_CAPTURE_FILTER"]) == ("fifo", "Error")
    for options in ({"capture": "tcp"}, {"capture": "engine"}, {"shared_pipe": "1"}):
        with pytest.raises(lucy.ExportError, match="leave out --capture and --shared-pipe"):
            compose(config_in(tmp_path, **options), {})


def test_paths_are_relative_so_that_the_directory_may_move(tmp_path: Path) -> None:
    composition = compose(config_in(tmp_path), {})

    for node, service in composition.content["services"].items():
        sources = {each["target"]: each["source"] for each in service["volumes"]}
        assert sources[LOG] == f"./pipes/{node}"
        assert sources["/lucy/node"] == f"./nodes/{node}"
        assert all(source.startswith("./") for source in sources.values())
    assert str(tmp_path) not in json.dumps(composition.content)
    assert {f"./{target}" for target in composition.carried} == {
        each["source"] for each in service["volumes"] if each["source"].startswith("./lucy/")
    }


def test_a_node_whose_streams_are_apart_has_a_pipe_for_each(tmp_path: Path) -> None:
    composition = compose(docker_config(APART, RunPlace(run_id="apart-1", directory=tmp_path, options={})), {})

    sources = {each["target"]: each["source"] for each in composition.content["services"]["a"]["volumes"]}
    assert composition.pipes == ("pipes/a:stdout", "pipes/a:stderr")
    assert (sources[LOG], sources[STDERR_LOG]) == ("./pipes/a:stdout", "./pipes/a:stderr")


def test_a_disk_in_memory_keeps_its_size(tmp_path: Path) -> None:
    disk = compose(config_in(tmp_path, docker_disk_size="2m"), {}).content["services"]["a"]["volumes"][-1]
    assert disk == {"type": "tmpfs", "target": "/lucy/node/state", "tmpfs": {"size": 2 << 20}}


@pytest.mark.parametrize(
    ("part", "value", "complaint"),
    (
        ("BlkioWeight", 10, "a: its container has BlkioWeight, for which there is no word"),
        ("Mounts", [{"Type": "volume", "Source": "s", "Target": "/state"}], "/state is a volume of the Engine at"),
        ("Tmpfs", {"/x": "size=1m"}, "a: its container has Tmpfs, for which there is no word"),
        ("Binds", ["/a:/b"], "a: its container has Binds, for which there is no word"),
    ),
)
def test_what_can_not_be_said_in_compose_is_refused_by_name(
    tmp_path: Path, part: str, value: Any, complaint: str
) -> None:
    with pytest.raises(lucy.ExportError, match=complaint):
        compose(altered(config_in(tmp_path), part, value), {})


def test_an_export_is_whole_private_and_overwrites_nothing(tmp_path: Path) -> None:
    place = tmp_path / "new"

    write_export(config_in(place), place / "compose.json", {"read": "like this"})

    assert json.loads((place / "compose.json").read_text())["x-lucy"] == {"read": "like this"}
    assert stat.S_ISFIFO((place / "pipes" / "b").stat().st_mode)
    assert (place / "nodes" / "a" / "k").read_bytes() == b"a"
    assert (place / "lucy" / "puppeteer.py").read_text() == (
        Path(lucy.__file__).parent.parent / "lucy_engines/supervisor/puppeteer.py"
    ).read_text()
    assert {path.stat().st_mode & 0o077 for path in (place, *place.iterdir())} == {0}
    for file in ("compose.json", "other.json"):
        with pytest.raises(lucy.ExportError, match="is there already, and nothing is overwritten"):
            write_export(config_in(place), place / file, {})


def test_an_export_goes_through_no_link_and_into_nobody_elses_directory(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/compose.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(lucy.ExportError, match="is there already, and nothing is overwritten"):
        write_export(config_in(tmp_path / "new"), tmp_path / "new/compose.json", {})
    assert not (tmp_path / "elsewhere").exists()

    (tmp_path / "new/compose.json").unlink()
    if os.getuid() == 0:
        os.chown(tmp_path / "new", 65534, 65534)
        with pytest.raises(lucy.ExportError, match=r"new: can't be written to: it belongs to \w+ \(user 65534\)"):
            write_export(config_in(tmp_path / "new"), tmp_path / "new/compose.json", {})
    assert list((tmp_path / "new").iterdir()) == []


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    config = altered(config_in(tmp_path), "Mounts", [{"Type": "bind", "Source": "/no/such/file", "Target": "/x"}])

    with pytest.raises(lucy.ExportError, match="No such file"):
        write_export(config, tmp_path / "compose.json", {})

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_refers_to_nothing_is_found_before_anything_is_written(tmp_path: Path) -> None:
    a = msgspec.structs.replace(SPEC.nodes[0], files={"k": b"{host:nobody}"})
    spec = msgspec.structs.replace(SPEC, nodes=(a, SPEC.nodes[1]))
    config = docker_config(spec, RunPlace(run_id="small-1", directory=tmp_path, options={}))

    with pytest.raises(lucy.TopologyError, match="'a' refers to {host:nobody}"):
        write_export(config, tmp_path / "compose.json", {})

    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_can_not_export_says_so(tmp_path: Path) -> None:
    done = run_lucy("process", "chain-reliability", "--export", tmp_path / "compose.json", code=2)

    assert "the process engine can't write a network down" in done.stderr
    assert list(tmp_path.iterdir()) == []


# --- in containers --------------------------------------------------------------------------------------------------


class Project:
    """A Compose project."""

    def __init__(self, file: Path) -> None:
        self.name = f"lucy-test-{os.getpid()}-{os.urandom(3).hex()}"
        self._words = ["docker-compose", "-f", str(file), "-p", self.name]

    def do(self, *words: str) -> str:
        done = subprocess.run([*self._words, *words], capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def left(self) -> list[str]:
        label = f"label=com.docker.compose.project={self.name}"
        return [
            line
            for kind in (["ps", "-a"], ["network", "ls"], ["volume", "ls"])
            for line in subprocess.run(
                ["docker", *kind, "-q", "--filter", label], check=True, capture_output=True, text=True
            ).stdout.split()
        ]


@pytest.fixture
def compose_file(docker_engine: str, simnode_image: str, tmp_path: Path) -> Path:
    """Where to export to, on a machine that can run the result."""
    if shutil.which("docker-compose") is None:
        pytest.skip("no docker-compose; apt-get install docker-compose")
    return tmp_path / "exported" / "compose.json"


@pytest.fixture
def project(compose_file: Path) -> Iterator[Project]:
    project = Project(compose_file)
    yield project
    if project.left():
        project.do("kill")
        project.do("down")


@pytest.mark.slow
def test_compose_runs_what_was_exported_and_attach_captures_it(
    compose_file: Path, project: Project, tmp_path: Path
) -> None:
    told = run_lucy(
        "docker", "chain-reliability", "--export", compose_file, "--docker-memory", "256m", "--docker-disk-size", "64m"
    ).stdout
    assert f"lucy attach {compose_file.parent}" in told
    project.do("config", "--quiet")
    project.do("up", "--detach")
    assert len(project.left()) == 5

    attached = subprocess.Popen(
        [LUCY, "attach", str(compose_file.parent), "--run-dir", str(tmp_path / "first")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    producers: set[str] = set()
    assert attached.stdout is not None
    for text in attached.stdout:
        line = json.loads(text)
        if line["event"] == "BlockProduced":
            producers.add(line["node"])
        if len(producers) > 1:
            break
    attached.send_signal(signal.SIGINT)
    rest, report = attached.communicate(timeout=PATIENCE)

    assert attached.returncode == 0, report
    assert len(producers) > 1, report
    assert "the network runs on" in report
    assert json.loads(rest.splitlines()[-1])["event"] == "RunEnded"
    result = json.loads((tmp_path / "first" / "result.json").read_text())
    assert result["outcome"] == "passed"
    assert {row["node"] for row in result["ledger"] if row["lines"]} > producers

    async def capture_until_it_ends() -> int:
        async with lucy.attach(compose_file.parent, run_directory=tmp_path / "second") as network:
            await network.events(BlockProduced, since=0).first(within=PATIENCE)
            await anyio.to_thread.run_sync(project.do, "down")
            with anyio.fail_after(PATIENCE):
                await all_ended(network)
            assert network.ledger.complete
            return sum("node_exited" in line for node in network for line in _log(tmp_path / "second", node.name))

    assert anyio.run(capture_until_it_ends) == 4
    assert project.left() == []


@pytest.mark.blocking
async def test_the_two_streams_of_a_node_that_compose_runs_are_told_apart(
    compose_file: Path, project: Project, tmp_path: Path
) -> None:
    directory = compose_file.parent
    write_export(docker_config(APART, RunPlace(run_id="apart-1", directory=directory)), compose_file, {})
    describe_export(directory, APART, None)
    async with lucy.attach(directory, run_directory=tmp_path / "run") as network:
        await anyio.to_thread.run_sync(project.do, "up", "--detach")
        with anyio.fail_after(PATIENCE):
            await all_ended(network)
        await anyio.to_thread.run_sync(project.do, "down")
        assert network.ledger.complete

    assert _log(tmp_path / "run", "a/stderr") == ["error", "half"]
    # A killed daemon may have left half a line, so an empty one goes before what is said of it.
    out, empty, *end = _log(tmp_path / "run", "a/stdout")
    assert (out, empty, "node_exited" in end[0], len(end)) == ("out", "", True, 2)


def _log(run: Path, node: str) -> list[str]:
    return (run / "logs" / f"{node}.ndjson").read_text().splitlines()
