"""Whatever is public, given what people give by mistake: it works, or it says in a sentence what is wrong."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from odd_values import Target, faults_of, methods_of

import lucy_core as lucy
from lucy_core import mina
from lucy_core.errors import EventDefinitionError
from lucy_core.executive.plugin.marker import wanted
from lucy_core.judging.judgement import Judgement
from lucy_core.mina.graphql import client, connect
from lucy_core.records.event import event_type
from lucy_core.testing import scripted_node, virtual_network, virtual_time
from lucy_core.testing.virtual_network import VirtualNetwork

LONG = 1e5
"""Virtual seconds after which something that should have ended hasn't."""


@lucy.event(ids="test.odd_values.tick")
class Tick(msgspec.Struct, frozen=True):
    n: int


NODE = lucy.NodeSpec(name="a", role="any", command=("sleep", "100"), ports=("p",))
SPEC = lucy.NetworkSpec(name="odd", nodes=(NODE,))
LIKELY: Mapping[str, Any] = {
    "Pipeline.note_filtered.bytes": 1,
    "Pipeline.note_filtered.events": 1,
    "Pipeline.note_filtered.lines": 1,
    "account": "k",
    "accounts": (mina.Account("k", "1"),),
    "address": "socket",
    "arrived_ns": 1,
    "asked": lambda: {lucy.Interest(): print},
    "at_ns": 1,
    "balance": "1",
    "began_ns": 1,
    "block_producers": (mina.BlockProducer("bp", "k"),),
    "bytes": 1 << 20,
    "bytes_per_second": 1000,
    "call": lambda: lambda *_: None,
    "check": lambda: lambda *_: lucy.Progress(have=1, need=1),
    "command": ("true",),
    "condition": lucy.seen(Tick),
    "content": b"",
    "count": 1,
    "cpus": 1,
    "data": Tick(1),
    "data_type": Tick,
    "delay": 1,
    "description": "what is awaited",
    "directory": "nowhere",
    "duration": lucy.seconds(1),
    "error": lucy.DeployError("no machine"),
    "event": lucy.NodeStopped("a"),
    "event_types": (Tick,),
    "fault": lucy.Pause(nodes=("a",)),
    "fold": lambda: lambda *_: 1,
    "growth": 1,
    "cliff_amount": "1",
    "cliff_time": "1",
    "hard": lucy.seconds(2),
    "host": "127.0.0.1",
    "how": "interrupted",
    "initial_minimum_balance": "1",
    "vesting_increment": "1",
    "vesting_period": "1",
    "have": 1,
    "interest": lucy.Interest(),
    "items": (1, 2),
    "kind": Tick,
    "lasting": 1,
    "line": b"{}",
    "lines": b"line\n",
    "mapper": lambda: lambda *_: lucy.from_items((1,)),
    "message": "message",
    "name": "a",
    "names": ("a",),
    "need": 1,
    "node": "a",
    "nodes": ("a",),
    "on_end": lambda: lambda *_: None,
    "log_format": "envelope",
    "on_next": lambda: lambda *_: None,
    "other": lucy.from_items((1,)),
    "output": lucy.Output.STDOUT,
    "part": lucy.seen(Tick),
    "path": "path",
    "patterns": ("*.log",),
    "port": "p",
    "position": 0,
    "predicate": lambda: lambda *_: True,
    "probability": 0.5,
    "program": "sleep",
    "reason": "a reason",
    "record": lucy.Record(raw=b"message", text="message"),
    "role": "any",
    "seconds": 1,
    "signal": "SIGURG",
    "since": 0,
    "sink": lambda: lambda *_: None,
    "soft": lucy.seconds(1),
    "sought": "ready",
    "start": 0,
    "stop": 0,
    "text": "level > Info",
    "topology": SPEC,
    "transaction_hash": "hash",
    "url": "http://127.0.0.1:1/graphql",
    "way": "a way",
    "NetworkSpec.nodes": (NODE,),
    "Network.check.condition": True,
    "Node.asking.command": "a question",
    "Pipeline.read_whole.path": "/dev/null",
    "Network.add.spec": lucy.NodeSpec(name="new", role="any", command=("sleep", "100")),
}

MADE_BY_LUCY = frozenset(
    (
        *("Absence", "Arrived", "Batch", "Event", "EventType", "ExecResult", "FaultEffective", "FaultRequested"),
        *("FaultReverted", "Faults", "Gap", "Lease", "Ledger", "Life", "Line", "Lives", "Malformed", "Mark"),
        *("Network", "Node", "NodeAdded", "NodeExited", "NodeLedger", "NodePaused", "NodeRemoved", "NodeResumed"),
        *("NodeStartFailed", "NodeStarted", "NodeStopped", "Pipeline", "Record", "Replay", "Source", "Start", "Stream"),
        *("Undecodable", "WaitOutcome"),
        *("FeePayerSummary", "MinaState", "RemotePeer", "RootTransition", "SnarkWork"),
        "TransactionStatus",
    )
)
"""Values and objects that she gives, and nobody else makes. What their methods are given is looked at below."""
CONTRACTS = frozenset({"AnyCondition", "AnyFault", "Format", "Machine", "Needles", "StateFold"})
INTERNAL = {
    "Network": ("fail",),
    "Pipeline": (
        "abort",
        "begin_with_first",
        "end",
        "go_on",
        "over",
        "pass_through",
        "record",
        "replay",
        "report",
        "report_cut_off",
        "report_escape",
        "run",
    ),
    "Node": ("destroyed", "exited", "leaving", "remove", "settle", "was_paused", "was_resumed"),
}
"""What only other rooms of Lucy's call."""
REALLY = frozenset({"deploy"})
"""What makes real processes, which virtual time doesn't wait for."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual_time.BACKEND


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a directory of its own, and let coroutines go that nobody was meant to await."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine 'an_async_function' was never awaited")
        yield


def is_declared(kind: type) -> bool:
    try:
        event_type(kind)
    except EventDefinitionError:
        return False
    return True


def public_calls() -> list[Target]:
    """List what the two faces offer to be called: functions, and the types that people write down."""
    found: list[Target] = []
    for module in (lucy, mina):
        for name in [name for name in dir(module) if not name.startswith("_")]:
            member = getattr(module, name)
            is_made_by_lucy = isinstance(member, type) and issubclass(member, (BaseException, Enum))
            is_event = isinstance(member, type) and module is mina and is_declared(member)
            if (
                callable(member)
                and name not in MADE_BY_LUCY | CONTRACTS | REALLY
                and not is_made_by_lucy
                and not is_event
            ):
                found.append(Target(name, member, dict(LIKELY)))
    return found


CALLS = public_calls()


@pytest.mark.anyio
@pytest.mark.parametrize("target", CALLS, ids=lambda target: target.name)
async def test_a_function_or_type_says_what_is_wrong_with_what_it_is_given(target: Target) -> None:
    assert await faults_of(target, LONG) == []


Find = Callable[[VirtualNetwork], list[Target]]


def of_network(virtual: VirtualNetwork) -> list[Target]:
    return methods_of(lucy.Network, virtual.network, dict(LIKELY), INTERNAL["Network"])


def of_node(virtual: VirtualNetwork) -> list[Target]:
    return methods_of(lucy.Node, virtual.network["a"], dict(LIKELY), INTERNAL["Node"])


def of_stream(virtual: VirtualNetwork) -> list[Target]:
    return methods_of(lucy.Stream, virtual.network.events(Tick), dict(LIKELY))


def of_the_rest(virtual: VirtualNetwork) -> list[Target]:
    network = virtual.network
    likely = {**LIKELY, "line": lucy.Record(raw=b"message", text="message")}
    return [
        *methods_of(lucy.Faults, network.faults, likely),
        *methods_of(Judgement, network.judgement, likely),
        *methods_of(lucy.Clock, network.clock, likely),
        *methods_of(lucy.LogFilter, lucy.logproc("level > Info"), likely),
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("find", (of_network, of_node, of_stream, of_the_rest), ids=lambda find: find.__name__)
async def test_a_method_says_what_is_wrong_with_what_it_is_given(find: Find) -> None:
    found: list[str] = []
    async with virtual_network("a") as virtual:
        names = [target.name for target in find(virtual)]
    for name in names:
        # A run of its own for each: some calls are meant to end one.
        try:
            async with virtual_network("a", "b", interrupt=False) as virtual:
                virtual.log("a", Tick(1), Tick(2))
                (target,) = (target for target in find(virtual) if target.name == name)
                found += await faults_of(target, LONG)
                virtual.network.pipeline.promises.forgotten()
        except lucy.RunFailedError:
            pass
    assert found == []


def marked(topology: Any = SPEC, engine: Any = "process", options: Any = None) -> None:
    marker = pytest.mark.lucy(topology=topology, engine=engine, options={} if options is None else options).mark
    wanted(marker, command_line=None, parameter=None)


def parametrized(parameter: Any = "process") -> None:
    wanted(pytest.mark.lucy(topology=SPEC).mark, command_line=None, parameter=parameter)


@pytest.mark.anyio
@pytest.mark.parametrize("read", (marked, parametrized, scripted_node, client, connect))
async def test_what_is_public_in_other_rooms_says_what_is_wrong_with_what_it_is_given(read: Any) -> None:
    assert await faults_of(Target(read.__name__, read, dict(LIKELY)), LONG) == []


# --- on real processes ----------------------------------------------------------------------------------------------

REAL = pytest.mark.parametrize("anyio_backend", ("asyncio",))
PATIENCE = 20.0
"""Seconds after which a call on a real process never ends."""


@REAL
@pytest.mark.anyio
async def test_a_deployment_says_what_is_wrong_with_what_it_is_given(anyio_backend: object) -> None:
    assert await faults_of(Target("deploy", lucy.deploy, dict(LIKELY)), PATIENCE) == []


@REAL
@pytest.mark.anyio
async def test_a_node_its_faults_and_its_replay_survive_what_they_are_asked(
    tmp_path: Path, anyio_backend: object
) -> None:
    quick = {**LIKELY, "path": "path", "grace": 0}
    found: list[str] = []
    async with lucy.deploy(SPEC, run_directory=tmp_path / "run") as network:
        node = network["a"]
        with node.expecting_exit():  # of signals and arguments some are right, and end it
            for target in methods_of(lucy.Node, node, quick, INTERNAL["Node"]):
                if node.state is lucy.engine.State.PAUSED:
                    await node.resume()
                if node.state is lucy.engine.State.STOPPED:
                    await node.start()
                found += await faults_of(target, PATIENCE)
        if node.state is not lucy.engine.State.RUNNING:
            await node.restart()
        for target in methods_of(lucy.Faults, network.faults, quick):
            found += await faults_of(target, PATIENCE)
        assert (await node.exec(["echo", "well"])).stdout == b"well\n"
        network.pipeline.promises.forgotten()
    async with lucy.replay(tmp_path / "run") as run:
        for target in methods_of(lucy.Replay, run, quick):
            found += await faults_of(target, PATIENCE)
        run.pipeline.promises.forgotten()
    assert found == []


@REAL
@pytest.mark.anyio
async def test_a_pipeline_survives_what_it_is_given(tmp_path: Path, anyio_backend: object) -> None:
    found: list[str] = []
    async with lucy.Pipeline.record(tmp_path / "run") as pipeline:
        for target in methods_of(lucy.Pipeline, pipeline, dict(LIKELY), INTERNAL["Pipeline"]):
            found += await faults_of(target, PATIENCE)
        before = await pipeline.fence()
        pipeline.write_nowait("a", b"well\n")
        assert await pipeline.fence() == before + 1
    assert found == []


@REAL
@pytest.mark.anyio
@pytest.mark.parametrize("name", ("record", "replay"))
async def test_what_is_no_directory_opens_no_pipeline(name: str, anyio_backend: object) -> None:
    target = Target(f"Pipeline.{name}", getattr(lucy.Pipeline, name), dict(LIKELY))
    assert await faults_of(target, PATIENCE) == []
