"""What a network is, as people write it down at the first try: each slip is refused in a sentence, at once."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lucy_core as lucy
from lucy_core import NetworkSpec, NodeSpec, TopologyError
from lucy_core.engine import HostForm, Layout, fill_in


def node(**fields: Any) -> NodeSpec:
    return NodeSpec(**{"name": "a", "role": "any", "command": ("sleep", "100"), **fields})


WRONG_FIELDS = {
    "command": (
        ("sleep 100", "is one text; give a tuple, like ('sleep', '100')"),
        (("sleep", 100), "command[1]=100 is of type int; give text: '100'"),
        ((Path("/bin/sleep"), "1"), "command[0]=PosixPath('/bin/sleep') is of type PosixPath; give text: '/bin/sleep'"),
        ((b"sleep",), "command[0]=b'sleep' is of type bytes"),
        ({"sleep", "100"}, "has no order"),
        (None, "command=None"),
        ((), "is an empty command"),
        ([""], "is an empty command"),
        (("sh", "1\0002"), "command[1]='1\\x002' has a NUL in it"),
        (("sh", "\ud800"), "command[1]='\\ud800'"),
    ),
    "environment": (
        ({"PORT": 8080}, "environment['PORT']=8080 is of type int; give text: '8080'"),
        ({"HOME": Path("/")}, "environment['HOME']"),
        ({"X": None}, "environment['X']=None"),
        ({"X": True}, "environment['X']=True"),
        ({5: "x"}, "a key of environment=5"),
        ({"X": "1\0002"}, "environment['X']='1\\x002' has a NUL in it"),
        ({"X=Y": "1"}, "'X=Y' can't name an environment variable"),
        ({"": "1"}, "'' can't name an environment variable"),
        (["A=b"], "give a mapping, like {'PORT': '8080'}"),
    ),
    "files": (
        ({"a": "text"}, "files['a']='text' is of type str; give bytes"),
        ({Path("a"): b""}, "a key of files=PosixPath('a') is of type PosixPath; give text: 'a'"),
        ({"": b""}, "is no path below the node's directory"),
        ({"/a": b""}, "is no path below the node's directory"),
        ({"../a": b""}, "is no path below the node's directory"),
        ({"a/../../b": b""}, "is no path below the node's directory"),
        ({"a/": b""}, "is no path below the node's directory"),
        ({"a\0b": b""}, "has a NUL in it"),
        ({"x" * 300: b""}, "is longer than file systems take"),
        ({"a": b"", "a/b": b""}, "has both 'a' and 'a/b'"),
    ),
    "ports": (
        ("rest", "is one text; give a tuple, like ('rest',)"),
        (("a", "a"), "has 'a' 2 times"),
        (("a.b",), "port"),
    ),
    "after": (("seed", "is one text; give a tuple, like ('seed',)"), ((5,), "after[0]=5")),
    "ready": (
        ("", "stands in every line"),
        (5, "tells of no node that it is ready"),
        (b"open", "give a text of a line, an event type, or a condition"),
        (lucy.port_open, "call it: port_open(…)"),
        (str, "tells of no node that it is ready"),
        (lucy.never(lucy.NodeExited), "has to hold, and never comes true for good"),
    ),
    "logs": (
        ("*.log", "is one text; give a tuple, like ('data/log/*.log',)"),
        (("/var/log/*.log",), "is no path below the node's directory"),
        (("../*.log",), "is no path below the node's directory"),
        (("a/**/b",), "has '**'"),
        (("stderr",), "is what a stream is called"),
        (("a.log", "a.log"), "has 'a.log' 2 times"),
    ),
    "streams": (("both", "is neither 'together' nor 'apart'"), (None, "streams=None")),
    "ready_within": ((0, "give seconds, more than 0"), (None, "give seconds"), ("5", "give seconds")),
    "name": ((None, "name=None"), (5, "name=5 is of type int; give text: '5'")),
    "role": ((5, "role=5"), ("\udcff", "surrogate")),
    "image": ((5, "image=5"), ("", "can't name an image"), ("a b", "can't name an image")),
    "harmless": (
        ("LANG", "is one text; give a tuple, like ('LANG',)"),
        (("A=b",), "can't name an environment variable"),
    ),
    "secrets": (("key", "is one text; give a tuple, like ('keys/own',)"), (("../a",), "is no path below")),
    "user": (
        (26, "user=26 is of type int; give text: '26'"),
        ("", "can't name a user"),
        ("a b", "can't name a user; give one like 'postgres', 'postgres:ssl-cert' or '26:26'"),
        ("a:b:c", "can't name a user"),
        ("../a", "can't name a user"),
        ("99999999999:1", "holds 99999999999, and no user's or group's number is above 4294967294"),
        ("26:4294967295", "holds 4294967295, and no"),
    ),
    "log_format": (
        (1, "log_format=1 is of type int"),
        ("klatsch", "no format is called 'klatsch'"),
        ("{", "is no format that was written down"),
    ),
    "stop_signal": (
        (None, "stop_signal=None is of type NoneType"),
        ("SIGSOON", "stop_signal='SIGSOON' is no signal; give one like 'SIGHUP' or signal.SIGHUP"),
        (0, "is no signal; give one from 1 to 64"),
        (1000, "is no signal"),
        ("SIGKILL", "is what node.kill() is for"),
        ("STOP", "is what node.pause() is for"),
    ),
    "stop_signal_to": (("children", "is none of 'daemon', 'group'; give one of them"), (True, "give text")),
    "wait_for_exit": ((1, "give True or False"), (None, "give True or False")),
}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [(field, value, said) for field, pairs in WRONG_FIELDS.items() for value, said in pairs],
)
def test_a_slip_in_a_node_is_one_sentence_with_node_and_field(field: str, value: Any, said: str) -> None:
    with pytest.raises(TopologyError) as refused:
        node(**{field: value})

    sentence = str(refused.value)
    assert sentence.startswith("node ")
    assert field in sentence
    assert said in sentence
    assert "\n" not in sentence


def test_every_field_of_a_node_has_wrong_values_here() -> None:
    assert set(WRONG_FIELDS) == set(NodeSpec.__struct_fields__)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    (
        ("name", "a/b", "can't name a directory"),
        ("name", "../up", "can't name a directory"),
        ("name", "", "can't name a directory"),
        ("name", "new\nline", "can't name a directory"),
        ("name", "x" * 300, "up to 100"),
        ("name", "\udcff", "surrogate"),
        ("name", Path("net"), "give text: 'net'"),
        ("name", None, "name=None"),
        ("nodes", node(), "give a tuple"),
        ("nodes", {"a": node()}, "give a tuple"),
        ("nodes", ({"name": "a"},), "nodes[0]={'name': 'a'} is of type dict"),
        ("nodes", None, "nodes=None"),
        ("counted_from", "now", "counted_from='now'"),
        ("counted_from", float("inf"), "no moment"),
        ("units", {"slots": 0}, "units['slots']=0 is no length of time that passes; give seconds, more than 0"),
        ("units", 1.5, "give a mapping"),
        ("host_forms", {"file": HostForm("{}", "{}")}, "can't name a placeholder"),
    ),
)
def test_a_slip_in_a_network_is_one_sentence_with_network_and_field(field: str, value: Any, said: str) -> None:
    with pytest.raises(TopologyError, match=r"^network ") as refused:
        NetworkSpec(**{"name": "net", "nodes": (node(),), field: value})

    assert f"{field}=" in str(refused.value) or f"{field}[" in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("nodes", "said"),
    (
        ((), "has no nodes"),
        ((node(name="A"),), "node name 'A' must be lower-case"),
        ((node(name="a/b"),), "node name 'a/b' must be lower-case"),
        ((node(name="../a"),), "node name '../a' must be lower-case"),
        ((node(name="lucy"),), "Lucy's own"),
        ((node(), node()), "'a' is used 2 times"),
        ((node(after=("z",)),), "to start after 'z'"),
        ((node(after=("a",)),), "wait for each other"),
        ((node(streams="apart", logs=("log/*", "std*")),), r"has 'std\*', which may find a file 'stdout'"),
    ),
)
def test_nodes_that_make_no_network_are_refused_before_one_is_deployed(nodes: tuple[NodeSpec, ...], said: str) -> None:
    with pytest.raises(TopologyError, match=said):
        NetworkSpec(name="net", nodes=nodes).validate()


def test_lists_and_generators_are_taken_for_tuples() -> None:
    nodes: Any = (node(name=name, command=["sleep", "100"], ports=iter(["p"])) for name in "ab")
    spec = NetworkSpec(name="net", nodes=nodes)

    assert [each.name for each in spec.nodes] == ["a", "b"]
    assert (spec.nodes[0].command, spec.nodes[0].ports) == (("sleep", "100"), ("p",))
    spec.validate()


def test_what_was_given_may_be_changed_afterwards() -> None:
    environment = {"A": "1"}
    spec = node(environment=environment)
    environment["A"] = "2"

    assert spec.environment == {"A": "1"}


@pytest.mark.anyio
async def test_a_generator_of_nodes_is_a_network_and_none_is_refused(tmp_path: Path) -> None:
    nodes: Any = (node(name=name) for name in "ab")
    async with lucy.deploy(NetworkSpec(name="net", nodes=nodes), run_directory=tmp_path / "run") as network:
        assert [each.name for each in network] == ["a", "b"]

    none: Any = iter(())
    with pytest.raises(TopologyError, match="has no nodes"):
        async with lucy.deploy(NetworkSpec(name="net", nodes=none), run_directory=tmp_path / "none"):
            raise AssertionError
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    (
        ({"command": ("sleep", "{port:q}")}, "'a' refers to {port:q}, but there is no 'q'"),
        ({"environment": {"X": "{port:z.p}"}}, "'a' refers to {port:z.p}, but there is no 'z'"),
        (
            {"command": ("cat", "{file:keys/../../b/key}")},
            "to {file:keys/../../b/key}, which is not below its directory",
        ),
        ({"command": ("cat", "{file:/etc/passwd}")}, "'a' refers to {file:/etc/passwd}, which is not below"),
        ({"files": {"config": b"caf\xe9\n{host:z}"}}, "'a' refers to {host:z}, but there is no 'z'"),
    ),
)
def test_a_placeholder_that_names_nothing_is_refused_before_anything_is_made(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(TopologyError) as refused:
        NetworkSpec(name="net", nodes=(node(**fields),)).validate()

    assert said in str(refused.value)


@pytest.mark.anyio
async def test_a_file_that_is_no_utf_8_is_filled_in_all_the_same(tmp_path: Path) -> None:
    network = NetworkSpec(name="net", nodes=(node(files={"config": b"# caf\xe9\nport {port:p}\n"}, ports=("p",)),))
    async with lucy.deploy(network, run_directory=tmp_path / "run") as running:
        port = running["a"].address("p")[1]
        assert await running["a"].read_file("config") == b"# caf\xe9\nport %d\n" % port


FILE_TOO_LARGE = """
import resource, sys
import anyio, lucy_core as lucy
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
node = lucy.NodeSpec(name="a", role="any", command=("true",), files={"large": b"x" * (1 << 17)})
async def main():
    async with lucy.deploy(lucy.NetworkSpec(name="net", nodes=(node,)), run_directory=sys.argv[1]):
        pass
anyio.run(main)
"""


def test_a_file_that_can_not_be_written_is_told_with_its_node_and_place(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILE_TOO_LARGE, tmp_path / "run"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert f"node 'a': {tmp_path}/run/nodes/a: File too large" in done.stderr


@pytest.mark.parametrize(("host", "written"), (("seed", "/dns4/seed"), ("10.0.0.1", "/ip4/10.0.0.1")))
def test_a_vocabularys_own_placeholder_writes_a_host_by_what_it_is(host: str, written: str) -> None:
    layout = Layout(
        directory="/",
        state="/",
        bind="",
        hosts={"a": host},
        host_forms={"multiaddr": HostForm("/dns4/{}", "/ip4/{}")},
        ports={"a": {"p2p": 1}},
    )

    assert fill_in("{multiaddr:a}/tcp/{port:a.p2p}", "b", layout) == f"{written}/tcp/1"
    assert fill_in('{"x": {other:a}}', "b", layout) == '{"x": {other:a}}'


def test_a_placeholder_of_the_vocabularys_that_names_no_node_is_refused() -> None:
    forms = {"address": HostForm("{}", "{}")}
    with pytest.raises(TopologyError, match=r"node 'a' refers to \{address:z\}, but there is no 'z'"):
        NetworkSpec(name="net", nodes=(node(command=("x", "{address:z}")),), host_forms=forms).validate()
