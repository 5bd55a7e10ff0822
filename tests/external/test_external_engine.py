"""A network that somebody else runs, captured: whoever writes to its pipes."""

import json
from pathlib import Path
from typing import ClassVar

import anyio
import pytest

import lucy_core as lucy
from lucy_core.capturing.sources.fifo import make_fifo
from lucy_core.engine import RunPlace
from lucy_core.run.exported import all_ended, describe_export
from lucy_core.testing.engine_conformance import LifeCycleConformance
from lucy_core.testing.engine_conformance.suite import Suite
from lucy_engines.external import ExternalEngine

PATIENCE = 90
SPEC = lucy.NetworkSpec(
    name="small",
    nodes=(
        lucy.NodeSpec(name="a", role="seed", command=("anything",), ports=("api",)),
        lucy.NodeSpec(name="b", role="node", command=("anything",), after=("a",)),
    ),
)


class TestExternalEngine(Suite):
    """Of the suite that every engine passes, what asks no node for anything: nobody commands these."""

    options: ClassVar[dict[str, str]] = {"exported": "somewhere"}

    @pytest.fixture
    def engine(self) -> ExternalEngine:
        return ExternalEngine()

    test_the_engine_keeps_the_contract = LifeCycleConformance.test_the_engine_keeps_the_contract
    test_a_plan_touches_nothing = LifeCycleConformance.test_a_plan_touches_nothing


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An exported network without containers: pipes, and what it is."""
    for part in ("pipes", "lucy"):
        (tmp_path / "exported" / part).mkdir(parents=True)
    for node in SPEC.nodes:
        make_fifo(str(tmp_path / "exported" / "pipes" / node.name))
    describe_export(tmp_path / "exported", SPEC, None)
    return tmp_path / "exported"


def write(exported: Path, node: str, **line: object) -> None:
    with (exported / "pipes" / node).open("r+b", buffering=0) as pipe:
        pipe.write(json.dumps(line).encode() + b"\n")


def test_the_external_engine_asks_where_the_network_is() -> None:
    with pytest.raises(lucy.TopologyError, match="the external engine captures .*; say where by --exported DIR"):
        ExternalEngine().plan(SPEC, RunPlace(run_id="r", directory=Path("run")))


async def test_lines_are_captured_as_in_a_run_of_lucys_own(exported: Path, tmp_path: Path) -> None:
    async with lucy.attach(exported, run_directory=tmp_path / "run") as network:
        write(exported, "a", message="from a")
        write(exported, "b", message="from b")
        for node in network:
            await node.records(since=0).first(lambda record, node=node: record.data.text == f"from {node.name}")
        assert network.ledger.complete

    assert (tmp_path / "run" / "logs" / "a.ndjson").read_text() == '{"message": "from a"}\n'


async def test_the_two_streams_of_a_node_of_others_are_told_apart(tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    for part in ("pipes", "lucy"):
        (exported / part).mkdir(parents=True)
    for pipe in ("a:stdout", "a:stderr", "b"):
        make_fifo(str(exported / "pipes" / pipe))
    a, b = SPEC.nodes
    nodes = (lucy.NodeSpec(name=a.name, role=a.role, command=a.command, streams="apart"), b)
    describe_export(exported, lucy.NetworkSpec(name="small", nodes=nodes), None)
    async with lucy.attach(exported, run_directory=tmp_path / "run") as network:
        write(exported, "a:stdout", message="out")
        write(exported, "a:stderr", message="error")
        write(exported, "b", message="both")
        said = {
            text: (await network.records(since=0).first(lambda record, text=text: record.data.text == text)).source
            for text in ("out", "error", "both")
        }
        assert said == {"out": "stdout", "error": "stderr", "both": ""}
        assert [node.name for node in network] == ["a", "b"]


async def test_nodes_of_others_are_not_commanded(exported: Path, tmp_path: Path) -> None:
    async with lucy.attach(exported, run_directory=tmp_path / "run") as network:
        node = network["a"]
        for command in (node.stop, node.kill, node.pause, node.resources):
            with pytest.raises(lucy.UnsupportedError, match="the external engine has no capability"):
                await command()
        with pytest.raises(lucy.UnsupportedError, match="the external engine has no capability 'address'"):
            node.address("api")
        assert network["a"].state == "running"


async def test_all_have_ended_when_every_supervisor_has_said_so_and_nothing_follows(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lucy_core.run.exported.QUIET_SECONDS", 0.0)

    def ends(node: str) -> None:
        write(
            exported,
            node,
            message="",
            puppeteer_script_event=True,
            puppeteer_event_type="node_exited",
            metadata={"code": 0},
        )

    async with lucy.attach(exported, run_directory=tmp_path / "run") as network:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                over = anyio.Event()

                async def watch() -> None:
                    await all_ended(network)
                    over.set()

                tasks.start_soon(watch)
                ends("a")
                await network["a"].records(since=0).first(lambda record: "puppeteer_event_type" in record.data.extra)
                for number in range(5):
                    write(exported, "b", message=f"alive {number}")
                    await (
                        network["b"]
                        .records(since=0)
                        .first(lambda record, text=f"alive {number}": record.data.text == text)
                    )
                assert not over.is_set()
                ends("b")
                await over.wait()


async def test_two_do_not_read_the_same_pipes(exported: Path, tmp_path: Path) -> None:
    async with lucy.attach(exported, run_directory=tmp_path / "first"):
        with pytest.raises(lucy.AttachError, match="is captured by another"):
            async with lucy.attach(exported, run_directory=tmp_path / "second"):
                pass
    async with lucy.attach(exported, run_directory=tmp_path / "third"):
        pass


async def test_a_directory_that_is_no_export_is_refused(tmp_path: Path, exported: Path) -> None:
    with pytest.raises(lucy.AttachError, match=r"holds no exported network .* --export"):
        async with lucy.attach(tmp_path):
            pass
    (exported / "pipes" / "b").unlink()
    with pytest.raises(lucy.AttachError, match="pipes/b is no FIFO"):
        async with lucy.attach(exported, run_directory=tmp_path / "run"):
            pass


async def test_a_refused_attempt_has_taken_no_line_from_the_next(exported: Path, tmp_path: Path) -> None:
    (exported / "pipes" / "b").unlink()
    with (exported / "pipes" / "a").open("r+b", buffering=0) as pipe:
        pipe.write(b'{"message": "early"}\n')
        with pytest.raises(lucy.AttachError):
            async with lucy.attach(exported, run_directory=tmp_path / "refused"):
                pass
        make_fifo(str(exported / "pipes" / "b"))
        async with lucy.attach(exported, run_directory=tmp_path / "run"):
            pass

    assert (tmp_path / "run" / "logs" / "a.ndjson").read_text() == '{"message": "early"}\n'


async def test_another_network_than_the_one_that_was_exported_is_refused(exported: Path, tmp_path: Path) -> None:
    spec = lucy.NetworkSpec(name="other", nodes=(lucy.NodeSpec(name="a", role="x", command=("anything",)),))
    options = {"exported": str(exported)}

    with pytest.raises(lucy.AttachError, match=r"exported is of another network, with b; capture it by `lucy attach`"):
        async with lucy.deploy(spec, engine="external", options=options, run_directory=tmp_path / "run"):
            pass
