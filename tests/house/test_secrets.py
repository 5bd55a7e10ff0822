"""What nobody is to see stands nowhere that somebody looks: not in a run's files, not on stdout, not in a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from rich.pretty import pretty_repr

import lucy_core as lucy
from lucy_core.engine.spec import MASK
from lucy_core.mina.scenarios import chain_reliability
from lucy_core.run.exported import describe_export, read_export

PASSWORD = "c0rrect-horse"
KEY = b"-----BEGIN PRIVATE KEY----- xyzzy"
NODE = lucy.NodeSpec(
    name="a",
    role="r",
    command=("sh", "-c", 'test -n "$PASSWORD" && echo up; exec sleep 600'),
    environment={"PASSWORD": PASSWORD, "LANG": "C.UTF-8"},
    files={"keys/own": KEY, "config": b"{}"},
    harmless=("LANG",),
    secrets=("keys/own",),
)
SPEC = lucy.NetworkSpec(name="secretive", nodes=(NODE,))


def holders(directory: Path, secret: bytes) -> list[str]:
    """Name the files that hold a secret, but for the nodes' own."""
    found = [path for path in directory.rglob("*") if path.is_file() and "nodes" not in path.parts]
    return [path.name for path in found if secret in path.read_bytes()]


async def test_a_runs_files_have_the_names_of_variables_and_the_values_of_harmless_ones(tmp_path: Path) -> None:
    async with lucy.deploy(SPEC, run_directory=tmp_path / "run") as network:
        a = network["a"]
        with anyio.fail_after(20):
            while not network.ledger.of("a").bytes:
                await anyio.sleep(0.01)
        await a.restart(environment={"TOKEN": PASSWORD, "LANG": "de"}, grace=0)
        assert await a.read_file("config") == b"{}"
        for path in ("keys/own", "./keys//own", str(tmp_path / "run/nodes/a/keys/own")):
            assert await a.read_file(path) == KEY

    (described,) = json.loads((tmp_path / "run/run.json").read_bytes())["network"]["nodes"]
    assert described["environment"] == {"PASSWORD": MASK, "LANG": "C.UTF-8"}
    assert (described["files"], described["secrets"]) == ({"keys/own": len(KEY), "config": 2}, ["keys/own"])
    journal = (tmp_path / "run/journal.ndjson").read_text()
    assert '\\"TOKEN\\":\\"(masked)\\",\\"LANG\\":\\"de\\"' in journal
    assert holders(tmp_path / "run", PASSWORD.encode()) == []
    assert holders(tmp_path / "run", b"xyzzy") == []


@pytest.mark.parametrize("shown", (repr(SPEC), str(NODE), pretty_repr(NODE)))
def test_a_traceback_shows_no_value_either(shown: str) -> None:
    assert PASSWORD not in shown
    assert "xyzzy" not in shown
    assert "C.UTF-8" in shown
    assert "'keys/own': 33" in shown


def test_secrets_that_name_no_file_are_refused() -> None:
    spec = lucy.NetworkSpec(name="x", nodes=(lucy.NodeSpec(name="a", role="r", command=("x",), secrets=("key",)),))

    with pytest.raises(lucy.TopologyError, match="'a': secrets= names 'key', and no file is called so; it has none"):
        spec.validate()


def test_an_exported_networks_description_has_no_values(tmp_path: Path) -> None:
    (tmp_path / "lucy").mkdir()

    describe_export(tmp_path, SPEC, None)

    (node,) = read_export(tmp_path).spec.nodes
    assert node.environment == {"PASSWORD": MASK, "LANG": "C.UTF-8"}
    assert holders(tmp_path, PASSWORD.encode()) == []


def test_every_private_key_and_password_that_a_mina_network_makes_is_marked() -> None:
    spec = chain_reliability.topology({}).network_spec({})

    for node in spec.nodes:
        keys = {path for path in node.files if path.startswith("keys/") and not path.endswith((".pub", ".peerid"))}
        assert set(node.secrets) == keys
        assert not [name for name in node.harmless if "PASS" in name]
        told = json.dumps(node.description())
        assert "naughty blue worm" not in told
    assert any(len(node.secrets) == 2 for node in spec.nodes)


def test_the_first_line_of_a_run_on_stdout_has_no_values(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("lucy")
    words = [program, "process", "chain-reliability", "--program", "/bin/false", "--run-dir", tmp_path / "run"]
    done = subprocess.run(
        [*words, "--json"], capture_output=True, check=False, timeout=100, env={**os.environ, "NO_COLOR": "1"}
    )

    first = done.stdout.splitlines()[0]
    assert json.loads(first)["event"] == "RunStarted", done.stderr
    assert b"MINA_PRIVKEY_PASS" in first
    assert b"naughty blue worm" not in done.stdout + done.stderr
