"""What the Docker engine is about to do, worked out without an Engine."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucy_core.engine import HostForm, NetworkSpec, NodeSpec, RunPlace
from lucy_core.errors import ExportError, TopologyError
from lucy_engines.docker import DockerEngine
from lucy_engines.docker.api.endpoint import api_path
from lucy_engines.docker.plan import labels
from lucy_engines.docker.plan.compose import compose
from lucy_engines.docker.plan.config import DockerConfig, docker_config

NODE = NodeSpec(
    name="a",
    role="seed",
    command=("mina", "-port", "{port:rest}", "-peer", "{multiaddr:b}/tcp/{port:b.external}", "-state", "{state}"),
    environment={"KEYS": "{file:keys/a}"},
    ports=("external", "rest"),
)
OTHER = NodeSpec(name="b", role="producer", command=("mina", "-ip", "{host:a}", "-bind", "{bind}"), ports=("external",))


def config(tmp_path: Path, **options: str) -> DockerConfig:
    place = RunPlace(run_id="run-1", directory=tmp_path / "run", options=options)
    forms = {"multiaddr": HostForm("/dns4/{}", "/ip4/{}")}
    return DockerEngine().plan(NetworkSpec(name="net", nodes=(NODE, OTHER), host_forms=forms), place).config


def body(tmp_path: Path, node: str = "a", **options: str) -> dict[str, Any]:
    return config(tmp_path, **options).containers[node].body


def test_expanding_touches_nothing(tmp_path: Path) -> None:
    config(tmp_path, docker_host="unix:///nowhere.sock")

    assert list(tmp_path.iterdir()) == []


def test_the_same_network_gives_the_same_config(tmp_path: Path) -> None:
    assert config(tmp_path) == config(tmp_path)


def test_words_are_filled_in_with_what_holds_inside_of_a_container(tmp_path: Path) -> None:
    command = body(tmp_path)["Entrypoint"][-7:]

    assert command == ["mina", "-port", "10002", "-peer", "/dns4/b/tcp/10001", "-state", "/lucy/node/state"]
    assert body(tmp_path, "b")["Entrypoint"][-5:] == ["mina", "-ip", "a", "-bind", "0.0.0.0"]
    assert "KEYS=/lucy/node/keys/a" in body(tmp_path)["Env"]


def test_ports_are_published_on_loopback_alone(tmp_path: Path) -> None:
    free, fixed = body(tmp_path)["HostConfig"], body(tmp_path, "b", docker_ports="31000")["HostConfig"]

    assert free["PortBindings"] == {
        "10001/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        "10002/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
    }
    assert fixed["PortBindings"] == {"10001/tcp": [{"HostIp": "127.0.0.1", "HostPort": "31002"}]}


def test_containers_are_labelled_in_the_call_that_makes_them(tmp_path: Path) -> None:
    remote = config(tmp_path, docker_host="tcp://10.0.0.1:2375").containers["a"].labelled(labels.run_labels("run-1"))

    assert {labels.RUN, labels.NODE, labels.ROLE, labels.CREATED, labels.OWNER} <= remote["Labels"].keys()
    (volume,) = (mount for mount in remote["HostConfig"]["Mounts"] if mount["Type"] == "volume")
    assert volume["VolumeOptions"]["Labels"][labels.RUN] == "run-1"


def test_an_engine_elsewhere_is_given_nothing_of_this_machines_files(tmp_path: Path) -> None:
    here, elsewhere = body(tmp_path), body(tmp_path, docker_host="tcp://10.0.0.1:2375")

    assert {mount["Type"] for mount in here["HostConfig"]["Mounts"]} == {"bind"}
    assert {mount["Type"] for mount in elsewhere["HostConfig"]["Mounts"]} == {"volume"}


def test_limits_reach_the_container(tmp_path: Path) -> None:
    host = body(tmp_path, docker_memory="64m", docker_cpus="0.5", docker_log_max_size="3m")["HostConfig"]

    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (64 << 20, 64 << 20, 500_000_000)
    assert host["LogConfig"]["Type"] == "local"
    assert host["LogConfig"]["Config"]["max-size"] == "3m"
    assert body(tmp_path)["HostConfig"]["LogConfig"]["Config"]["max-size"] == "10m"


def test_a_nodes_own_image_comes_before_the_runs_and_the_runs_before_the_default(tmp_path: Path) -> None:
    spec = NetworkSpec(name="net", nodes=(NodeSpec(name="a", role="x", command=("x",), image="own:1"),))
    place = RunPlace(run_id="run-1", directory=tmp_path, options={"mina_image": "mina:1"})

    assert DockerEngine().plan(spec, place).config.containers["a"].image == "own:1"
    assert config(tmp_path, mina_image="mina:1").containers["b"].image == "mina:1"
    assert config(tmp_path).containers["b"].image == "lucy-simnode:latest"


@pytest.mark.parametrize(
    ("fields", "said"),
    (
        ({"command": ("x", "a\udcff")}, "node 'a': command[1]="),
        ({"environment": {"X": "a\udcff"}}, "node 'a': environment['X']="),
    ),
)
def test_a_word_that_the_engine_can_not_be_told_is_refused_by_node_and_field(
    fields: dict[str, Any], said: str, tmp_path: Path
) -> None:
    spec = NetworkSpec(name="net", nodes=(NodeSpec(**{"name": "a", "role": "x", "command": ("x",), **fields}),))

    with pytest.raises(TopologyError) as refused:
        DockerEngine().plan(spec, RunPlace(run_id="run-1", directory=tmp_path))
    assert said in str(refused.value)


def test_archive_nodes_have_an_image_of_their_own(tmp_path: Path) -> None:
    spec = NetworkSpec(name="net", nodes=(NODE, OTHER, NodeSpec(name="c", role="archive", command=("a",))))

    def images(**options: str) -> list[str]:
        place = RunPlace(run_id="run-1", directory=tmp_path, options=options)
        return [each.image for each in DockerEngine().plan(spec, place).config.containers.values()]

    assert images(mina_image="mina:1", archive_image="archive:1") == ["mina:1", "mina:1", "archive:1"]
    assert images(mina_image="mina:1") == ["mina:1"] * 3


@pytest.mark.parametrize(
    ("option", "value"),
    (
        ("docker_memory", "much"),
        ("docker_memory", "0"),
        ("docker_cpus", "-1"),
        ("docker_cpus", "nan"),
        ("docker_log_max_size", "10x"),
        ("docker_ports", "70000"),
    ),
)
def test_an_option_that_makes_no_sense_is_refused_by_name(tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(TopologyError, match=f"{option}='{value}'.*write one like"):
        config(tmp_path, **{option: value})


def test_a_placeholder_that_names_nothing_is_refused(tmp_path: Path) -> None:
    spec = NetworkSpec(name="net", nodes=(NodeSpec(name="a", role="x", command=("x", "{port:nowhere.rest}")),))

    with pytest.raises(TopologyError, match="nowhere"):
        DockerEngine().plan(spec, RunPlace(run_id="r", directory=tmp_path))


def test_a_run_id_that_can_name_no_container_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="run id 'a run'"):
        DockerEngine().plan(NetworkSpec(name="net", nodes=(NODE, OTHER)), RunPlace(run_id="a run", directory=tmp_path))


@pytest.mark.parametrize(
    "image", ("../version", "a/../../containers/x", "a//b", "a?force=1", "a#b", "a%2e", "/a", "a/", "-a", "\u00e9")
)
def test_what_can_not_name_an_image_is_refused_before_any_path_is_made_of_it(image: str) -> None:
    spec = NetworkSpec(name="n", nodes=(NodeSpec(name="a", role="r", command=("x",), image=image),))

    with pytest.raises(TopologyError, match=r"node 'a': .* can't name an image; give one like 'mina:1\.0'"):
        docker_config(spec, RunPlace(run_id="r", directory=Path("/r")))


@pytest.mark.parametrize(
    "image", ("mina", "mina:1.0", "reg.io:5000/a_b/mina@sha256:0a", "[::1]:5000/mina", "sha256:0a1b", "UPPER/x")
)
def test_an_image_may_be_named_with_registry_path_tag_digest_or_by_its_id(image: str) -> None:
    spec = NetworkSpec(name="n", nodes=(NodeSpec(name="a", role="r", command=("x",), image=image),))

    assert docker_config(spec, RunPlace(run_id="r", directory=Path("/r"))).containers["a"].image == image


@given(st.lists(st.text(min_size=1), min_size=1))
def test_a_part_of_the_apis_paths_stays_one_part(parts: list[str]) -> None:
    encodable = [part.encode(errors="replace").decode() for part in parts]
    path = api_path(*encodable)

    assert [unquote(part) for part in path.split("/")] == encodable
    assert not set(path) & set("?#")


def test_files_that_lucy_cannot_see_are_not_followed(tmp_path: Path) -> None:
    def refused(pattern: str, **options: str) -> str:
        node = NodeSpec(name="a", role="x", command=("true",), logs=(pattern,), image="x:1")
        place = RunPlace(run_id="run", directory=tmp_path, options=options)
        with pytest.raises((TopologyError, ExportError)) as caught:
            compose(docker_config(NetworkSpec(name="n", nodes=(node,)), place), {})
        return str(caught.value)

    assert "'a': logs= can't be followed, for the Engine at tcp://" in refused(
        "log/*", docker_host="tcp://10.0.0.1:2375"
    )
    assert "logs= can't be followed below state/" in refused("state/*.log", docker_disk_size="1g")
    assert "follows no files; leave out logs=" in refused("log/*.log")
